"""The sticky comment says where an issue stands, in a screenful, and pings nobody."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.commands import is_command
from coordinator.rules.comment import MARKER, MAX_CHARS, is_sticky, render
from coordinator.rules.events import CommandRefused
from coordinator.rules.ids import AgentName, IssueRef, Login
from tests.rules import builders
from tests.rules.builders import at, ref, view

SONNET = AgentName("sonnet-1")
API = IssueRef("acme/api", 3)


def body(**fields: Any) -> str:
    return render(view(**fields)).body


def row(text: str, name: str) -> str | None:
    rows = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return rows[0].split(" | ", 1)[1].removesuffix(" |") if rows else None


def test_it_is_found_again_and_is_no_command() -> None:
    """The marker is its first line, and what it teaches it does not do."""
    text = body()
    assert is_sticky(text)
    assert is_sticky(text.replace("\n", "\r\n"))
    assert not is_sticky("look: " + MARKER)
    assert not is_command(text)
    assert "estimate &lt;tokens&gt; [easy|medium|hard]" in text
    assert text.splitlines()[-1].startswith("<details>")


def test_the_state_stands_in_one_line() -> None:
    """A bold word and the evidence."""
    text = body(state="blocked", evidence="waits for acme/widgets#2 to be closed")
    assert text.splitlines()[1].startswith("**Blocked** · waits for acme/widgets#\u200b2")


def test_what_it_needs_and_who_says_so() -> None:
    """Estimate, difficulty and reader; a person's estimate names the person; unread says nothing."""
    assert row(body(), "Needs") == "about 20,000 tokens · medium · read by rules"
    assert row(body(estimated_by=Login("maria")), "Needs") == (
        "about 20,000 tokens · medium · as maria said"
    )
    assert row(body(parsed_by=None), "Needs") == "about 20,000 tokens · medium"
    assert row(body(metadata=None), "Needs") is None


def test_blockers_are_links_under_their_present_names() -> None:
    """Seen issues link; unseen ones of other repositories do not, and hidden ones are counted."""
    text = body(
        public=frozenset({"acme/api", "victim/repo"}),
        open_blockers=(ref(2), API),
        unknown_blockers=(ref(5), IssueRef("victim/repo", 1)),
        hidden_blockers=2,
        names=(("acme/api", "Acme/API"), ("acme/widgets", "Acme/Widgets")),
    )
    assert row(text, "Waits for") == (
        "#2, Acme/API#3, #5 (unknown), victim/repo#\u200b1 (unknown), 2 we may not see"
    )
    assert row(body(), "Waits for") is None


def test_the_canonical_name_serves_where_no_other_is_known() -> None:
    """Issues read before names were kept are linked under the name they are filed under."""
    text = body(repo_name="", open_blockers=(ref(2), API), public=frozenset({"acme/api"}))
    assert row(text, "Waits for") == "#2, acme/api#3"


def test_issues_of_repositories_that_are_not_public_are_only_counted() -> None:
    """Neither name, number nor link, be they open or unknown, in the row or in the evidence."""
    vault, more = IssueRef("vault/plans", 7), IssueRef("vault/plans", 77)
    names = (("vault/plans", "Vault/Plans"),)
    evidence = "waits for acme/widgets#2, vault/plans#7 to be closed"
    one = body(open_blockers=(ref(2), vault), names=names, evidence=evidence)
    assert row(one, "Waits for") == "#2, an issue in another repository"
    assert "waits for acme/widgets#\u200b2, an issue in another repository to be closed" in one
    two = body(open_blockers=(vault,), unknown_blockers=(more,), hidden_blockers=1, names=names)
    assert row(two, "Waits for") == "2 issues in other repositories, 1 we may not see"
    for text in (one, two, render(view(open_blockers=(vault,), evidence=evidence), in_full=True).body):
        assert "vault" not in text.lower()


def test_what_the_text_of_the_issue_names_is_named_as_there() -> None:
    """In plain words, without a link, whatever the repository is called by now."""
    old, new = IssueRef("vault/plans", 7), IssueRef("vault/schemes", 7)
    fields: dict[str, Any] = {"open_blockers": (old,), "names": (("vault/plans", "Vault/Schemes"),)}
    for stated in (old, new):
        text = body(metadata=builders.metadata(blocked_by=(stated,)), evidence=f"on {old}", **fields)
        assert row(text, "Waits for") == f"{stated.repo}#\u200b7"
        assert f"**Ready** · on {stated.repo}#\u200b7" in text
    unknown = body(metadata=builders.metadata(blocked_by=(old,)), unknown_blockers=(old,))
    assert row(unknown, "Waits for") == "vault/plans#\u200b7 (unknown)"


def test_a_cycle_through_a_repository_that_is_not_public_is_told_without_its_name() -> None:
    """The way stays to be seen, and what is public in it stays a link."""
    text = body(
        cycle=(API, ref(1), IssueRef("vault/plans", 7)),
        public=frozenset({"acme/api"}),
        evidence="in a dependency cycle: acme/api#3 → acme/widgets#1 → vault/plans#7 → acme/api#3",
    )
    assert row(text, "Cycle") == (
        "acme/api#3 → #1 → an issue in another repository → acme/api#3;"
        " remove one of these dependencies"
    )
    assert "vault" not in text


def test_a_cycle_is_named_as_it_runs() -> None:
    """Each waits for the next, the last for the first; of a long one only the beginning."""
    assert row(body(cycle=(ref(1), ref(2))), "Cycle") == (
        "#1 → #2 → #1; remove one of these dependencies"
    )
    long = row(body(cycle=tuple(map(ref, range(1, 40)))), "Cycle")
    assert long is not None
    assert long.endswith("#11 → and 29 more; remove one of these dependencies")


@pytest.mark.parametrize(
    ("cycle", "named", "ends"),
    [
        (
            (ref(1), ref(2)),
            "#1 → #2 → #1; remove one of these dependencies",
            "one of these dependencies",
        ),
        ((ref(1),), "it waits for itself; remove that dependency", "that dependency"),
    ],
)
def test_a_cycle_ends_when_a_person_ends_it(cycle: tuple[IssueRef, ...], named: str, ends: str) -> None:
    """Nothing in it will ever be closed by itself; an issue that waits for itself is told so."""
    text = body(state="blocked", reason="cycle", cycle=cycle, open_blockers=cycle)
    assert row(text, "Cycle") == named
    assert row(text, "Next") == f"when a person removes {ends}"


def test_the_agent_and_its_context() -> None:
    """Phase, session, fill and what was done about it, each only where there is something to say."""
    run = {"agent": SONNET, "run_phase": "working", "session": 2}
    full = body(**run, fill_percent=60, compactions=1, rotations=2)
    assert row(full, "Agent") == (
        "sonnet-1 · working · session 2 · context about 60 % full · 1 compaction · 2 rotations"
    )
    assert row(body(**run), "Agent") == "sonnet-1 · working · session 2"
    assert row(body(), "Agent") is None
    assert row(body(pinned=SONNET), "Agent") == "sonnet-1, as a person asked"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "ready"}, "when an agent has room for it"),
        ({"state": "parked", "reason": "run_failed"}, "when a person decides"),
        ({"state": "parked", "reason": "parked_by_person"}, "/coordinator resume"),
        ({"state": "running"}, "when its agent reports"),
        ({"state": "strange"}, "on the next event"),
        ({"next_check_at": at(5)}, "2026-07-14 10:00:05 UTC"),
    ],
)
def test_what_happens_next(fields: dict[str, Any], words: str) -> None:
    """When it goes on by itself, or who has to act."""
    found = row(body(**fields), "Next")
    assert found is not None
    assert words in found


def test_the_last_command_is_answered() -> None:
    """Who asked for what, and what became of it, escaped."""
    parked = builders.given(1, 5, "park", reason="ask @maria")
    assert row(body(last_command=parked), "Last command") == "maria: park ask @\u200bmaria (accepted)"
    estimate = builders.given(1, 6, "estimate", tokens=80_000, difficulty="hard")
    assert row(body(last_command=estimate), "Last command") == (
        "maria: estimate 80,000 hard (accepted)"
    )
    no = CommandRefused(ref(1), 7, Login("maria"), "there is no agent <b>", "assign")
    assert row(body(last_command=no), "Last command") == (
        "maria: assign (refused: there is no agent &#x3c;b&#x3e;)"
    )
    unknown = CommandRefused(ref(1), 8, Login("maria"), "what")
    assert row(body(last_command=unknown), "Last command") == "maria: unknown (refused: what)"


def test_times_and_load_mean_nothing() -> None:
    """Neither when it is looked at next nor how busy agents are calls for an edit; the rest does."""
    plain = render(view())
    assert render(view(next_check_at=at(9))).meaning == render(view(next_check_at=at(5))).meaning
    assert render(view(next_check_at=at(9))).body != plain.body
    queued = [
        render(view(reason="no_free_slot", evidence=f"{n} of 9 slots taken")).meaning for n in (8, 9)
    ]
    assert queued[0] == queued[1] != plain.meaning
    assert render(view(evidence="another")).meaning != plain.meaning
    assert render(view(hidden_blockers=1)).meaning != plain.meaning


hostile = st.text(alphabet="<>&|`*_[]()!#@:/\\~$aA1-. \n\u202e", max_size=2_000)


@given(hostile, hostile, hostile, st.integers(0, 60), st.booleans())
def test_it_always_fits(evidence: str, why: str, agent: str, blockers: int, is_public: bool) -> None:
    """Whatever people wrote and however much is in the way, a screenful; the table stays a table."""
    many = tuple(IssueRef("o" * 100 + "/" + "r" * 100, number) for number in range(blockers))
    text = body(
        evidence=evidence,
        open_blockers=many,
        unknown_blockers=many,
        cycle=many,
        public=frozenset({many[0].repo}) if many and is_public else frozenset(),
        agent=AgentName(agent),
        run_phase="working",
        last_command=CommandRefused(ref(1), 7, Login(why), why, "park"),
    )
    assert len(text) <= MAX_CHARS
    head, _, rest = text.partition("\n\n")
    assert len(head.splitlines()) == 2
    for line in rest.splitlines():
        if line.startswith("|"):
            assert line.count("|") == 3


def test_in_full_it_shows_the_load_of_agents_and_means_the_same() -> None:
    """Who asks sees who is busy; that alone is never a reason to edit."""
    shown = view(reason="no_free_slot", evidence="sonnet-1 is full (2 of 2)")
    assert "sonnet-1 is full" not in render(shown).body
    full = render(shown, in_full=True)
    assert "sonnet-1 is full" in full.body
    assert full.meaning == render(shown).meaning
