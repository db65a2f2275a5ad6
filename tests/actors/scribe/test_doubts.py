"""What a life that was killed has left at the forge is found and put right, also when it comes late."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from coordinator.actors.scribe.doubts import MAX_PAGES, PAGE, Doubts, stirred_lately
from coordinator.demo.forge import Issue, Mishap
from coordinator.edges.journal import Commit, Draft
from coordinator.rules.events import (
    CommandRefused,
    CommentWritten,
    IssueAssessed,
    IssueBlocked,
    IssueDeleted,
    IssueUnblocked,
)
from coordinator.rules.ids import Login
from coordinator.rules.written import Part
from coordinator.runtime import Actor
from tests.actors.scribing import BRISK, Desk, desk
from tests.actors.stage import stage
from tests.fakes.forge import furnish, open_forge
from tests.rules.builders import ref

COMMENTS = "POST /repos/{owner}/{repo}/issues/{index}/comments"
EDITS = "PATCH /repos/{owner}/{repo}/issues/comments/{id}"
LABELS = "POST /repos/{owner}/{repo}/issues/{index}/labels"
# A life begins, looks and writes in less; what is delayed by so much comes while it is still in doubt.
LATE_S = 1.0
PACE = replace(BRISK, suspect_s=2.0)
BEGAN = datetime(2026, 5, 1, tzinfo=UTC)


async def judge(at: Desk, issue: Issue, *, is_blocked: bool) -> None:
    """It stands in a circle, or is free."""
    ref, key = at.ref(issue), f"text-{issue.id}"
    other = replace(ref, number=77)
    blocked = IssueBlocked(ref, key, True, (other,), (), (ref, other))
    await at.tell(blocked if is_blocked else IssueUnblocked(ref, key, True))


async def test_a_comment_that_two_lives_did_not_see_is_removed(tmp_path: Path) -> None:
    """Killed while it made the first comment, and again when the next life had made another: the first
    turns up behind them, and one of the two goes."""
    async with desk(tmp_path, pace=PACE) as at:
        issue = at.issue()
        at.forge.misbehave("slow", route=COMMENTS, delay_s=LATE_S)
        await at.ready(issue)
        await at.until(lambda: at.forge.server.requests[COMMENTS])
        at.on.tree.kill("scribe")
        await at.on.wait_for(CommentWritten)
        at.on.tree.kill("scribe")
        await at.until(lambda: len(at.sticky(issue)) == 2)
        await at.until(lambda: len(at.sticky(issue)) == 1)


@pytest.mark.parametrize("route", [EDITS, LABELS])
async def test_an_edit_that_arrives_late_is_undone(tmp_path: Path, route: str) -> None:
    """Killed while the forge took its time over it, the next life finds all as it should be; when the
    old word stands there after all, in the comment or as a label, it is put right."""

    def is_shown(state: str) -> bool:
        is_labelled = f"coordinator/{state}" in at.labels(issue)
        return is_labelled and state.capitalize() in at.sticky(issue)[0].body

    async with desk(tmp_path, pace=PACE) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        seen = at.forge.server.requests[route]
        at.forge.misbehave("slow", route=route, delay_s=LATE_S)
        await judge(at, issue, is_blocked=True)
        await at.until(lambda: at.forge.server.requests[route] > seen)
        at.on.tree.kill("scribe")
        await judge(at, issue, is_blocked=False)
        await at.until(lambda: not is_shown("ready"))
        await at.until(lambda: is_shown("ready"))
        await at.quiet()
        assert is_shown("ready")


@pytest.mark.parametrize(("mishap", "comments"), [("slow", 1), ("hang", 0)])
async def test_an_issue_that_is_no_longer_ours_is_looked_at(
    tmp_path: Path, mishap: Mishap, comments: int
) -> None:
    """Killed while it made the first comment, and closed before the next life: a comment that was made
    says so, and where none was made none is begun."""
    async with desk(tmp_path, pace=PACE, client={"request_timeout_s": 10.0}) as at:
        issue = at.issue()
        at.forge.misbehave(mishap, route=COMMENTS, after=mishap == "slow", delay_s=10.0)
        await at.ready(issue)
        await at.until(lambda: at.forge.server.requests[COMMENTS])
        await at.observe(issue, state="closed")
        await at.on.wait_for(IssueAssessed, lambda each: each.state == "closed")
        at.on.tree.kill("scribe")
        await at.until(lambda: at.state()["waiting"])
        await at.quiet()
        assert ["Closed" in each.body for each in at.sticky(issue)] == [True] * comments
        assert at.forge.server.requests[COMMENTS] == 1


async def test_a_life_that_ends_in_the_middle_of_a_write_is_doubted(tmp_path: Path) -> None:
    """Stopped in good order while the forge took its time over the first comment: the next life has two
    of them in the end, and removes one."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        with trio.CancelScope() as life:
            async with desk(tmp_path, forge=forge, token=token, pace=PACE) as at:
                issue = at.issue()
                forge.misbehave("slow", route=COMMENTS, delay_s=LATE_S)
                await at.ready(issue)
                await at.until(lambda: forge.server.requests[COMMENTS])
                with trio.CancelScope(shield=True):
                    await at.on.tree.stop()
                life.cancel()
        async with desk(tmp_path, forge=forge, token=token, pace=PACE) as at:
            await at.on.wait_for(CommentWritten)
            await at.until(lambda: len(at.sticky(issue)) == 2)
            await at.until(lambda: len(at.sticky(issue)) == 1)


@pytest.mark.parametrize("parts", [(), ("comment", "labels")])
async def test_where_nothing_can_be_written_no_doubt_stays(
    tmp_path: Path, parts: tuple[Part, ...]
) -> None:
    """After a kill a life in good order takes its leave all the same: nothing is ever to be written, or
    not in a repository that nobody has seen."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        async with desk(tmp_path, forge=forge, token=token, parts=parts) as at:
            refused = CommandRefused(ref(1, "never/seen"), 7, Login("maria"), "why")
            await at.tell(refused)
            await at.quiet()
            at.on.tree.kill("scribe")
            await at.tell(refused)
            await at.quiet()
            head = at.on.journal.head("events")
        async with desk(tmp_path, forge=forge, token=token, parts=parts) as at:
            left = await at.on.journal.snapshot("scribe")
            assert left is not None
            assert left.cursor == head


def test_a_doubt_ends_with_a_look_after_it_has_lasted() -> None:
    """Until then every look is followed by another at its end; another doubt makes it last longer."""
    doubts = Doubts(60.0)
    doubts.inherit([ref(1), ref(2)], [ref(3)], 0.0)
    assert (ref(1) in doubts, ref(3) in doubts) == (False, True)
    doubts.written(ref(1), 10.0, has_comment=False, is_unsure=False)
    assert ref(1) not in doubts
    doubts.written(ref(1), 10.0, has_comment=True, is_unsure=False)
    doubts.written(ref(4), 10.0, has_comment=False, is_unsure=True)
    assert [doubts.next_look(ref(each), 20.0) for each in (1, 2, 3, 4)] == [70.0, None, 60.0, 70.0]
    doubts.written(ref(1), 30.0, has_comment=True, is_unsure=False)
    assert [doubts.next_look(ref(each), 70.0) for each in (1, 3, 4)] == [None] * 3
    assert not doubts


def test_what_is_gone_is_not_doubted() -> None:
    """Neither now nor when it is written to."""
    doubts = Doubts(60.0)
    doubts.inherit([ref(1)], [ref(2)], 0.0)
    for each in (1, 2):
        doubts.forget(ref(each))
        doubts.written(ref(each), 1.0, has_comment=True, is_unsure=False)
    assert not doubts


class Nobody(Actor):
    """Somebody to be patient for."""

    async def handle(self, message: object) -> object:
        return message


async def test_what_the_journal_told_last_counts_however_long_ago(tmp_path: Path) -> None:
    """The last seconds before its last event, over as many pages as they fill; none if empty."""
    async with stage(tmp_path) as on:
        assert await stirred_lately(Nobody(), on.journal, 60.0) == set()
        for at_s, numbers in ((0, (1, 2)), (50, range(3, 2 * PAGE)), (100, (1, 4))):
            events = tuple(Draft(IssueDeleted(ref(each))) for each in numbers)
            at = BEGAN + timedelta(seconds=at_s)
            await on.journal.commit(Commit(actor="router", at=at, events=events))
        assert await stirred_lately(Nobody(), on.journal, 10.0) == {ref(1), ref(4)}
        found = await stirred_lately(Nobody(), on.journal, 60.0)
        assert found == {ref(1), *map(ref, range(3, 2 * PAGE))}


async def test_a_journal_that_has_more_to_tell_is_read_so_far(tmp_path: Path) -> None:
    """A start must not take for ever, whatever happened just before it."""
    async with stage(tmp_path) as on:
        drafts = [Draft(IssueDeleted(ref(each))) for each in range(1, (MAX_PAGES + 1) * PAGE)]
        await on.journal.commit(Commit(actor="router", at=BEGAN, events=tuple(drafts)))
        assert len(await stirred_lately(Nobody(), on.journal, 60.0)) == MAX_PAGES * PAGE
