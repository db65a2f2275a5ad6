"""What is a command, what it means, and what is said to who got it wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules import commands
from coordinator.rules.commands import Command, Refusal, is_command, objection, parse
from coordinator.rules.events import CommandRefused
from coordinator.rules.ids import AgentName, Login
from tests.rules.builders import at, ref, view

SONNET, OPUS = AgentName("sonnet-1"), AgentName("Opus-1")


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("/coordinator retry", Command("retry")),
        ("  /coordinator   RETRY  \r\nplease", Command("retry")),
        ("/Coordinator resume\t", Command("resume")),
        ("/coordinator explain\n\nwhy?", Command("explain")),
        ("/coordinator assign sonnet-1", Command("assign", agent=SONNET)),
        ("/coordinator assign sonnet\u200b-1", Command("assign", agent=SONNET)),
        ("/coordinator park after  the\trelease", Command("park", reason="after the release")),
        ("/coordinator park " + "x" * 900, Command("park", reason="x" * 199 + "…")),
        ("/coordinator estimate 80k", Command("estimate", tokens=80_000)),
        ("/coordinator estimate 80,000 HARD", Command("estimate", tokens=80_000, difficulty="hard")),
        ("/coordinator estimate 80_000 easy", Command("estimate", tokens=80_000, difficulty="easy")),
        ("/coordinator estimate 1.5M", Command("estimate", tokens=1_500_000)),
        ("/coordinator estimate 1", Command("estimate", tokens=1_000)),
        ("/coordinator estimate 999999m", Command("estimate", tokens=2_000_000)),
    ],
)
def test_a_command_is_read(body: str, command: Command) -> None:
    """The verb in any case, its argument bounded; blanks and line ends do not matter."""
    assert parse(body) == command
    assert is_command(body)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "retry",
        "please /coordinator retry",
        "> /coordinator retry",
        "`/coordinator retry`",
        "```\n/coordinator retry\n```",
        "    /coordinator retry",
        "\t/coordinator retry",
        "\n/coordinator retry",
        "- /coordinator retry",
        "/coordinators retry",
        "/coordinator-retry",
        "<!-- mosaic-coordinator:sticky -->\n/coordinator retry",
    ],
)
def test_what_is_quoted_or_mentioned_is_none(body: str) -> None:
    """Only a comment that begins with the word itself tells us anything."""
    assert parse(body) is None
    assert not is_command(body)


@pytest.mark.parametrize(
    ("body", "verb", "why"),
    [
        ("/coordinator", None, "none was given"),
        ("/coordinator dance @maria", None, "dance is not one of them"),
        ("/coordinator retry now", "retry", "/coordinator retry"),
        ("/coordinator assign", "assign", "assign <agent>"),
        ("/coordinator assign two words", "assign", "assign <agent>"),
        ("/coordinator assign " + "x" * 101, "assign", "assign <agent>"),
        ("/coordinator park", "park", "park <reason>"),
        ("/coordinator estimate", "estimate", "estimate <tokens>"),
        ("/coordinator estimate many", "estimate", "estimate <tokens>"),
        ("/coordinator estimate 80k huge", "estimate", "estimate <tokens>"),
        ("/coordinator estimate -5", "estimate", "estimate <tokens>"),
    ],
)
def test_a_mistake_is_answered_with_the_usage(body: str, verb: str | None, why: str) -> None:
    """The refusal says how it is written, and repeats only a bounded piece of what was."""
    refusal = parse(body)
    assert isinstance(refusal, Refusal)
    assert refusal.verb == verb
    assert why in refusal.why
    assert len(refusal.why) < 300


@pytest.mark.parametrize(
    ("command", "fields", "why"),
    [
        (Command("retry"), {"state": "running", "agent": SONNET}, "sonnet-1 has it"),
        (Command("retry"), {"state": "closed"}, "closed"),
        (Command("park", reason="x"), {"state": "ignored"}, "not assigned"),
        (Command("assign", agent=AgentName("gpt")), {"agents": (OPUS, SONNET)}, "are Opus-1, sonnet-1"),
        (Command("assign", agent=AgentName("gpt")), {"agents": ()}, "there are none"),
        (Command("assign", agent=AgentName("gpt")), {"agents": (SONNET,) * 21}, "sonnet-1 …"),
    ],
)
def test_what_does_not_apply_is_refused(command: Command, fields: dict[str, Any], why: str) -> None:
    """Commands to issues that are not ours, unknown agents and retries of a run at work."""
    refusal = objection(command, view(**fields))
    assert isinstance(refusal, Refusal)
    assert why in refusal.why
    assert refusal.verb == command.verb


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (Command("retry"), {"state": "parked", "reason": "run_parked"}),
        (Command("resume"), {"state": "ready"}),
        (Command("park", reason="x"), {"state": "running"}),
        (Command("explain"), {"state": "closed"}),
        (Command("estimate", tokens=5_000), {"state": "blocked"}),
    ],
)
def test_what_applies_is_carried_out(command: Command, fields: dict[str, Any]) -> None:
    """Everything else goes through as it was given."""
    assert objection(command, view(**fields)) is command


def test_an_agent_is_known_in_any_case_of_letters() -> None:
    """The command goes on with the name as it was configured; nobody can be told of an unseen issue."""
    found = objection(Command("assign", agent=AgentName("opus-1")), view(agents=(OPUS, SONNET)))
    assert found == Command("assign", agent=OPUS)
    assert isinstance(objection(Command("resume"), None), Refusal)
    assert objection(Command("explain"), None) == Command("explain")


def test_commands_become_events() -> None:
    """An event says who, where and when; a refusal why."""
    command = Command("estimate", tokens=5_000, difficulty="easy")
    event = commands.given(command, ref(1), comment_id=7, by=Login("maria"), at=at(3))
    assert (event.verb, event.tokens, event.difficulty, event.at) == ("estimate", 5_000, "easy", at(3))
    no = commands.refused(Refusal("no", "retry"), ref(1), comment_id=8, by=Login("maria"))
    assert no == CommandRefused(ref(1), 8, Login("maria"), "no", "retry")
    assert commands.refused(Refusal("what"), ref(1), comment_id=8, by=Login("m")).verb == ""


@given(st.text(max_size=300))
def test_any_words_are_read_or_refused(words: str) -> None:
    """No text makes it fail, and whatever is taken from it is bounded and on one line."""
    found = parse(f"/coordinator {words}")
    assert is_command(f"/coordinator {words}") == (found is not None)
    if isinstance(found, Command):
        assert len(found.reason) <= 200
        assert len(str(found.agent)) <= 100
        assert found.tokens is None or 1_000 <= found.tokens <= 2_000_000
        assert found.reason.isprintable()
