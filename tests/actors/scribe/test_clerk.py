"""Commands are obeyed once, from people who may write, and nobody else is even answered."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from coordinator.actors.clocks import utc_now
from coordinator.actors.scribe import clerk
from coordinator.actors.scribe.scribe import GRACE_S
from coordinator.demo.forge import open_forge
from coordinator.demo.forge.model import Comment
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteComment
from coordinator.edges.journal import Commit, OrderDraft
from coordinator.rules.events import (
    CommandGiven,
    CommandRefused,
    IssueAssessed,
    IssueDispatched,
    RunEnded,
    WithdrawalRequested,
)
from coordinator.rules.orders import RunCommand
from tests.actors.scribing import BRISK, Desk, desk
from tests.fakes.forge import BOT, REPO, Issue, furnish
from tests.rules.builders import ended, ref

MONITORED = ("dispatcher", "monitor:sonnet-1", "monitor:opus-1")


def reactions(comment: Comment) -> list[tuple[str, str]]:
    return [(each.login, each.content) for each in comment.reactions]


async def at_work(at: Desk, *names: str) -> tuple[Issue, IssueDispatched]:
    """An issue that an agent has."""
    issue = at.issue()
    await at.agents_up(*names or ("sonnet-1",))
    await at.ready(issue)
    return issue, await at.on.wait_for(IssueDispatched)


@pytest.mark.parametrize("product", ["gitea", "forgejo"])
async def test_a_writer_is_obeyed_and_answered(tmp_path: Path, product: str) -> None:
    """The command becomes an event, gets a thumb up, and shows in the sticky comment."""
    async with desk(tmp_path, product) as at:
        issue = at.issue()
        await at.ready(issue)
        comment = await at.command(issue, "/coordinator park until the holidays are over")
        given = await at.given("park")
        assert (given.by, given.reason) == ("maria", "until the holidays are over")
        await at.on.wait_for(IssueAssessed, lambda each: each.reason == "parked_by_person")
        await at.quiet()
        assert reactions(comment) == [(BOT, "+1")]
        [sticky] = at.sticky(issue)
        assert "parked by maria: until the holidays are over" in sticky.body
        assert at.labels(issue) == {"coordinator/parked"}
        assert at.state()["commands"] == {"accepted": 1}


@pytest.mark.parametrize(
    ("by", "result"),
    [
        ("rita", "no_permission"),
        ("stranger", "no_permission"),
        ("claude-sonnet", "agent"),
        ("coder-bot", "agent"),
        (BOT, "own"),
    ],
)
async def test_nobody_else_is_answered(tmp_path: Path, by: str, result: str) -> None:
    """Readers, strangers, agents and our own account: no event, no reaction, no comment; counted."""
    async with desk(tmp_path) as at:
        at.forge.user("claude-sonnet")
        at.forge.repository(REPO).collaborators["claude-sonnet"] = "write"
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        comment = await at.command(issue, "/coordinator park for ever", by=by)
        await at.obeyed()
        await at.quiet()
        assert reactions(comment) == []
        assert at.state()["commands"] == {result: 1}
        told = [each.event for each in await at.on.events()]
        assert not any(isinstance(each, CommandGiven | CommandRefused) for each in told)
        assert "park" not in at.sticky(issue)[0].body.partition("<details>")[0]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("> /coordinator retry", "not_a_command"),
        ("please\n/coordinator retry", "not_a_command"),
        ("    /coordinator retry", "not_a_command"),
        ("```\n/coordinator retry\n```", "not_a_command"),
    ],
)
async def test_what_only_looks_like_a_command_is_none(tmp_path: Path, text: str, result: str) -> None:
    """Quotations and code are no commands, whatever the payload said."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.command(issue, text)
        await at.obeyed()
        assert at.state()["commands"] == {result: 1}


async def test_a_comment_too_long_to_be_read_is_no_command(tmp_path: Path) -> None:
    """It is not asked for again and again."""
    async with desk(tmp_path, client={"max_answer_bytes": 50_000}) as at:
        issue = at.issue()
        await at.command(issue, "/coordinator park " + "x" * 100_000)
        await at.obeyed()
        assert at.state()["commands"] == {"not_a_command": 1}


async def test_an_edited_comment_is_no_command(tmp_path: Path) -> None:
    """Whoever may write can edit what others have said: the words are not surely the author's."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        comment = at.forge.comment(issue, "hello", by="maria")
        comment.body = "/coordinator park"
        comment.updated_at = comment.updated_at.replace(year=2099)
        await at.order(issue, comment)
        await at.obeyed()
        assert at.state()["commands"] == {"edited": 1}


async def test_a_comment_that_is_gone_or_on_a_pull_request_is_passed_over(tmp_path: Path) -> None:
    """The order is closed, whatever it was."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        comment = at.forge.comment(issue, "/coordinator retry", by="maria")
        del at.forge.data.comments[comment.id]
        await at.order(issue, comment)
        pull = at.forge.open(REPO, "A change", is_pull=True)
        await at.command(pull, "/coordinator retry")
        await at.obeyed()
        assert at.state()["commands"] == {"gone": 1, "pull_request": 1}


async def test_wrong_usage_is_refused_with_the_right_one(tmp_path: Path) -> None:
    """A confused reaction, and the sticky comment says how it is written; pings go nowhere."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        comment = await at.command(issue, "/coordinator dance @everyone <img src=x>")
        refused = await at.refused()
        await at.quiet()
        assert reactions(comment) == [(BOT, "confused")]
        assert refused.verb == ""
        body = at.sticky(issue)[0].body
        assert "dance is not one of them" in body
        assert "<img" not in body


async def test_an_unknown_agent_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """Who mistypes a name is told the names there are."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.command(issue, "/coordinator assign haiku-9")
        assert (await at.refused()).why == "there is no agent haiku-9; there are opus-1, sonnet-1"
        await at.quiet()
        assert "there are opus-1, sonnet-1" in at.sticky(issue)[0].body


async def test_assign_gives_the_issue_to_that_agent(tmp_path: Path) -> None:
    """The named agent gets it, spelled as it may be, though another is cheaper."""
    async with desk(tmp_path, names=MONITORED) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.command(issue, "/coordinator assign Sonnet-1")
        assert (await at.given("assign")).agent == "sonnet-1"
        await at.agents_up()
        assert (await at.on.wait_for(IssueDispatched)).agent == "sonnet-1"


async def test_park_stops_the_run_and_resume_starts_another(tmp_path: Path) -> None:
    """A parked issue is withdrawn from its agent; resumed, it is dispatched again."""
    async with desk(tmp_path, names=MONITORED) as at:
        issue, _ = await at_work(at)
        await at.command(issue, "/coordinator park wait for the spec")
        await at.on.wait_for(WithdrawalRequested)
        await at.on.wait_for(RunEnded, lambda each: each.outcome == "withdrawn")
        await at.on.wait_for(IssueAssessed, lambda each: each.reason == "parked_by_person")
        await at.command(issue, "/coordinator resume")
        await at.on.wait_for(IssueDispatched, lambda each: each.run.generation == 2)


async def test_retry_asks_for_another_run(tmp_path: Path) -> None:
    """What was done or failed is dispatched again for a person's clear word, once."""
    async with desk(tmp_path) as at:
        issue, first = await at_work(at)
        await at.tell(ended(1, 1, first.agent, "failed"))
        await at.on.wait_for(IssueAssessed, lambda each: each.reason == "run_failed")
        comment = await at.command(issue, "/coordinator retry")
        again = await at.on.wait_for(IssueDispatched, lambda each: each.run.generation == 2)
        assert again.wish_id == comment.id
        await at.order(issue, comment)
        await at.obeyed()
        given = [e.event for e in await at.on.events() if isinstance(e.event, CommandGiven)]
        assert len(given) == 1


async def test_an_estimate_changes_who_fits(tmp_path: Path) -> None:
    """A person's word on the size overrides the text's: what was too large fits."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.agents_up()
        await at.ready(issue, estimated_context_tokens=900_000)
        await at.on.wait_for(IssueAssessed, lambda each: each.state == "parked")
        await at.command(issue, "/coordinator estimate 30k easy")
        sent = await at.on.wait_for(IssueDispatched)
        assert sent.estimated_context_tokens == 30_000


async def test_explain_refreshes_the_comment_at_once_and_in_full(tmp_path: Path) -> None:
    """Even when it says the same as before."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        assert "just starting" in at.sticky(issue)[0].body
        for _ in range(2):
            edits = at.asked("PATCH")
            comment = await at.command(issue, "/coordinator explain")
            await at.obeyed()
            await at.quiet()
            assert reactions(comment) == [(BOT, "+1")]
            assert at.asked("PATCH") == edits + 1
        assert "maria: explain (accepted)" in at.sticky(issue)[0].body


@pytest.mark.parametrize("text", ["/coordinator park for now", "/coordinator dance"])
async def test_who_writes_nothing_reacts_to_nothing(tmp_path: Path, text: str) -> None:
    """With every way of writing switched off commands count, and the forge is only asked."""
    async with desk(tmp_path, parts=()) as at:
        issue = at.issue()
        await at.ready(issue)
        comment = await at.command(issue, text)
        await at.obeyed()
        await at.quiet()
        assert sum(at.state()["commands"].values()) == 1
        assert reactions(comment) == []
        assert at.asked("POST", "PATCH", "PUT", "DELETE") == 0


async def test_explain_answers_also_where_nothing_concerns_us(tmp_path: Path) -> None:
    """Somebody who may write asks why nothing happens, and is told."""
    async with desk(tmp_path) as at:
        issue = at.issue(assignees=["maria"])
        await at.ready(issue)
        await at.command(issue, "/coordinator explain")
        await at.given("explain")
        await at.quiet()
        assert "none of our logins is assigned" in at.sticky(issue)[0].body


async def test_commands_wait_for_a_forge_that_is_away(tmp_path: Path) -> None:
    """The order stays open and is carried out once, when the forge is back."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        comment = at.forge.comment(issue, "/coordinator park", by="maria")
        comment.body = "/coordinator park later"
        at.forge.go_away()
        await at.order(issue, comment)
        await at.until(lambda: at.state().get("commands_last_error"))
        await at.forge.come_back()
        await at.given("park")
        await at.quiet()
        assert reactions(comment) == [(BOT, "+1")]


async def test_a_crash_while_a_command_is_judged_obeys_it_once(tmp_path: Path) -> None:
    """The reaction stood, the event did not: the next life does both, which looks like once."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        at.forge.misbehave("slow", route="reactions", after=True, delay_s=0.8)
        comment = await at.command(issue, "/coordinator park")
        comment.body = "/coordinator park a while"
        await at.until(lambda: comment.reactions or at.state().get("commands"))
        at.on.tree.kill("scribe")
        await at.obeyed()
        await at.quiet()
        told = [each.event for each in await at.on.events()]
        answers = [each for each in told if isinstance(each, CommandGiven | CommandRefused)]
        assert len(answers) == 1
        assert len(comment.reactions) <= 2


async def test_a_reaction_that_fails_keeps_nobody_waiting(tmp_path: Path) -> None:
    """The command counts all the same."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        at.forge.misbehave("status", route="reactions", status=500, times=None)
        await at.command(issue, "/coordinator park a while")
        await at.given("park")


async def test_without_admin_rights_the_assignable_people_may_command(tmp_path: Path) -> None:
    """A forge tells permissions to administrators only; others ask who can be assigned."""
    async with open_forge("gitea") as forge:
        furnish(forge)
        forge.user("scribe-bot")
        forge.repository(REPO).collaborators["scribe-bot"] = "write"
        async with desk(tmp_path, forge=forge, token=forge.token("scribe-bot")) as at:
            issue = at.issue()
            await at.ready(issue)
            await at.command(issue, "/coordinator park a", by="rita")
            await at.obeyed()
            await at.command(issue, "/coordinator park b", by="maria")
            assert (await at.given("park")).reason == "b"
            await at.quiet()
            assert at.state()["commands"] == {"no_permission": 1, "accepted": 1}


async def test_a_command_on_an_issue_never_read_waits_for_the_read(tmp_path: Path) -> None:
    """The router reads the issue meanwhile; then the command counts."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.command(issue, "/coordinator park a while")
        await at.until(lambda: "nothing is known yet" in at.state().get("commands_last_error", ""))
        await at.ready(issue)
        await at.given("park")


async def test_a_name_taken_by_another_repository_leads_to_the_right_one(tmp_path: Path) -> None:
    """Who owns the old name of a repository cannot command the new one."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        repo = at.forge.data.repo_of(issue)
        comment = at.forge.comment(issue, "/coordinator park a while", by="maria")
        at.forge.rename(REPO, "acme/gadgets")
        at.forge.repository(REPO, collaborators={BOT: "admin", "stranger": "admin"})
        order = RunCommand(ref(1), repo.id, REPO, comment.id)
        await at.on.journal.commit(
            Commit(actor="router", at=utc_now(), opened=(OrderDraft(order, "scribe"),))
        )
        assert (await at.given("park")).ref == ref(1)


async def test_a_crowd_without_the_right_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked about again for a minute after a no; the memory of it is bounded."""
    monkeypatch.setattr(clerk, "MAX_DENIED", 1)
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        for by in ("stranger", "rita"):
            before = at.forge.server.requests.total()
            for _ in range(20):
                await at.command(issue, "/coordinator retry", by=by)
            await at.obeyed()
            assert at.forge.server.requests.total() - before <= 3
        await at.command(issue, "/coordinator park a while")
        await at.obeyed()
        await at.quiet()
        assert at.state()["commands"] == {"no_permission": 40, "accepted": 1}


async def test_a_command_on_an_issue_read_after_it_is_refused_at_once(tmp_path: Path) -> None:
    """A comment counts as a change of the issue, so what was read since is known: none of ours."""
    async with desk(tmp_path) as at:
        issue = at.issue(assignees=["maria"])
        comment = at.forge.comment(issue, "/coordinator park a while", by="maria")
        await at.ready(issue)
        at.forge.server.requests.clear()
        with trio.fail_after(GRACE_S / 2):
            await at.order(issue, comment)
            refused = await at.refused()
        assert refused.why == "the issue is not assigned to one of our accounts"


async def test_what_a_command_leads_to_is_shown_within_a_moment(tmp_path: Path) -> None:
    """However often the issue was written lately, and however many commands there are."""
    pace = replace(BRISK, debounce_s=30.0, interval_s=30.0, max_interval_s=60.0)
    async with desk(tmp_path, pace=pace) as at:
        issue = at.issue()
        await at.ready(issue)
        told = {"park one": "maria: one", "resume": "**Ready**", "park two": "maria: two"}
        for command, shown in told.items():
            with trio.fail_after(15.0):
                await at.command(issue, f"/coordinator {command}")
                await at.until(lambda: at.sticky(issue))
                while shown not in at.sticky(issue)[0].body:  # noqa: ASYNC110
                    await trio.sleep(0.01)


async def test_a_command_in_a_repository_renamed_a_moment_ago_is_obeyed(tmp_path: Path) -> None:
    """The name we know is another repository's by now: the comment is read where it is."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.command(issue, "/coordinator park a while")
        await at.given("park")
        repo = at.forge.data.repo_of(issue)
        at.forge.rename(REPO, "acme/gadgets")
        at.forge.repository(REPO, collaborators={BOT: "admin", "stranger": "admin"})
        comment = at.forge.comment(issue, "/coordinator resume", by="maria")
        order = RunCommand(ref(1), repo.id, REPO, comment.id)
        await at.on.journal.commit(
            Commit(actor="router", at=utc_now(), opened=(OrderDraft(order, "scribe"),))
        )
        assert (await at.given("resume")).ref == ref(1)
        assert reactions(comment) == [(BOT, "+1")]


class Clumsy(Forge):
    """Drops every comment it is to read."""

    async def comment(self, repo: str, comment_id: int, *, repo_id: int | None = None) -> RemoteComment:
        raise ZeroDivisionError("dropped")


async def test_a_command_that_crashes_twice_is_a_dead_letter(tmp_path: Path) -> None:
    """Its order is closed and both reports are kept."""
    async with desk(tmp_path, client={"kind": Clumsy}) as at:
        issue = at.issue()
        await at.ready(issue)
        comment = await at.command(issue, "/coordinator park a while")
        await at.obeyed()
        [letter] = await at.on.journal.dead_letters(actor="scribe")
        assert letter.letter.message.endswith(str(comment.id))
        assert at.state()["commands"] == {"crashed": 1}


async def test_an_explanation_outlasts_a_failure_of_the_forge(tmp_path: Path) -> None:
    """It is written in full when the forge takes it again."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        at.forge.misbehave("status", route="PATCH", status=503, times=2)
        await at.command(issue, "/coordinator explain")
        await at.given("explain")
        await at.quiet()
        assert "maria: explain (accepted)" in at.sticky(issue)[0].body
