"""Whatever strangers write, and whatever the forge's clock says, no sweep is blinded by it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from coordinator.actors.messages import Refresh
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteComment
from tests.actors.sweeping import fresh
from tests.fakes.forge import REPO

# So much of an answer is held here; 16 MiB are as little to whoever may open issues.
HOLDS = 200_000
LONG = "A" * 60_000
TOO_LONG = "A" * 300_000
COMMENTS = "GET /repos/{owner}/{repo}/issues/comments"

BOTH = pytest.mark.parametrize("product", ["gitea", "forgejo"])


class Narrow(Forge):
    """The client, holding only short answers."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options, max_answer_bytes=HOLDS)


narrow = partial(fresh, client=Narrow)


@BOTH
async def test_many_long_issues_hide_nothing(product: Any, tmp_path: Path) -> None:
    """A page of them is longer than can be held, so it is read in parts, and what was lost is found."""
    async with narrow(tmp_path, product) as watch:
        for number in range(20):
            watch.forge.open(REPO, f"Long {number}", LONG, by="rita")
        watch.forge.open(REPO, "Lost", assignees=["coder-bot"])
        await watch.refresh()
        found = dict(await watch.missed())
        assert found.keys() == set(range(2, 23))
        assert found[22] == ("assigned", "opened")
        assert (watch.state()["failing"], watch.state()["too_long"]) == ({}, {})


@BOTH
async def test_an_issue_too_long_to_read_is_passed_over(product: Any, tmp_path: Path) -> None:
    """It is counted, and hides no other, neither in this sweep nor in the next, nor in a full list."""
    async with narrow(tmp_path, product) as watch:
        [first] = watch.forge.data.issues.values()
        watch.forge.rewrite(first, TOO_LONG, by="maria")
        doomed = watch.forge.open(REPO, "Doomed")
        lost = watch.forge.open(REPO, "Lost", assignees=["coder-bot"])
        watch.forge.open(REPO, "The newest", TOO_LONG, by="rita")
        await watch.refresh()
        assert watch.state()["too_long"] == {REPO: 2}
        assert sorted(await watch.missed()) == [(2, ("opened",)), (3, ("assigned", "opened"))]
        watch.forge.close(lost)
        watch.forge.delete(doomed)
        await watch.refresh()
        missed = {"assigned": 1, "closed": 1, "deleted": 1, "opened": 2}
        assert watch.state("router")["missed"] == missed
        assert await watch.known(first.repo_id) == [1, 3]
        assert watch.state()["failing"] == {}


async def test_a_blocker_too_long_to_read_is_asked_for_seldom(tmp_path: Path) -> None:
    """A pull request that was read before and has become too long is not fetched with each round."""
    issue = "GET /repos/{owner}/{repo}/issues/{index}"
    async with narrow(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        pull = watch.forge.open(REPO, "The fix", is_pull=True)
        watch.forge.block(first, pull)
        await watch.refresh()
        before = watch.forge.server.requests[issue]
        watch.forge.rewrite(pull, TOO_LONG)
        for _ in range(3):
            await watch.refresh()
        assert watch.forge.server.requests[issue] == before + 1


async def test_a_flood_of_comments_hides_no_command(tmp_path: Path) -> None:
    """Neither many long ones nor one that is too long."""
    async with narrow(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        for _ in range(9):
            watch.forge.comment(first, LONG, by="rita")
        wanted = watch.forge.comment(first, "/coordinator retry")
        watch.forge.comment(first, TOO_LONG, by="rita")
        watch.forge.comment(first, LONG, by="rita")
        await watch.refresh()
        assert watch.commands() == [wanted.id]
        assert (watch.state()["failing"], watch.state()["too_long"]) == ({}, {REPO: 1})


async def test_a_comment_that_is_shifted_ends_no_part(tmp_path: Path) -> None:
    """Where a page is read in parts, a comment edited meanwhile shifts one that was seen to the next
    part; those behind it are looked through all the same."""
    shifts: list[Callable[[], None]] = []

    class Shifting(Narrow):
        async def comments_since(self, *given: Any, **options: Any) -> tuple[RemoteComment, ...]:
            comments = await super().comments_since(*given, **options)
            if options["limit"] == 1 and shifts:
                shifts.pop()()
            return comments

    async with fresh(tmp_path, client=Shifting) as watch:
        [first] = watch.forge.data.issues.values()
        old = watch.forge.comment(first, "Of long ago")
        watch.clock.advance(3_600)
        watch.forge.retitle(first, "Edited")
        await watch.refresh()
        watch.clock.advance(3_600)
        watch.forge.comment(first, TOO_LONG, by="rita")
        watch.forge.comment(first, "Talk")
        watch.forge.comment(first, "More talk")
        wanted = watch.forge.comment(first, "/coordinator retry")
        edit = watch.forge.actions.edit_comment
        shifts.append(lambda: edit(old, "Edited meanwhile", by="maria"))
        await watch.refresh()
        assert shifts == []
        assert watch.commands() == [wanted.id]


async def test_comments_that_cannot_be_read_are_told_once(tmp_path: Path) -> None:
    """However many sweeps find the same trouble, there is one line; after a good one, another."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        with structlog.testing.capture_logs() as logs:
            for times in (2, 1):
                watch.forge.misbehave("status", route=COMMENTS, status=404, times=times)
                for number in range(times + 1):
                    watch.forge.retitle(first, f"Edited {times} {number}")
                    await watch.refresh()
                assert watch.state()["failing"] == {}
        told = [each for each in logs if each["event"] == "comments_not_swept"]
        assert [each["repository"] for each in told] == [REPO, REPO]


async def test_comments_that_cannot_be_read_hold_nothing_up(tmp_path: Path) -> None:
    """The issues are swept all the same; the repository is named, and once its comments can be read
    again the command is found, however far the issues were swept meanwhile."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.forge.misbehave("status", route=COMMENTS, status=404, times=None)
        wanted = watch.forge.comment(first, "/coordinator retry")
        watch.forge.retitle(first, "Edited")
        await watch.refresh()
        assert await watch.missed() == [(1, ("edited",))]
        assert "its comments were not looked through" in watch.state()["failing"][REPO]
        watch.clock.advance(3_600)
        watch.forge.close(first)
        await watch.refresh()
        assert (await watch.missed())[1:] == [(1, ("closed",))]
        assert (watch.commands(), watch.state()["stuck"]) == ([], 0)
        await watch.refresh()
        assert watch.state()["stuck"] == 1
        watch.forge.server.faults.clear()
        await watch.refresh()
        assert (watch.commands(), watch.state()["failing"]) == ([wanted.id], {})


async def test_a_token_refused_for_comments_stops_the_sweeps(tmp_path: Path) -> None:
    """It is refused everywhere, so it is the problem of all, not of one repository's comments."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.forge.misbehave("status", route=COMMENTS, status=401, times=1)
        watch.forge.comment(first, "/coordinator retry")
        watch.clock.advance(60)
        await watch.tree.ref("sweeper").call(Refresh())
        await watch.until(lambda: "401" in (watch.state()["problem"] or ""))
        await watch.until(lambda: len(watch.commands()) == 1)


async def test_a_clock_that_is_set_back_hides_no_command(tmp_path: Path) -> None:
    """Stamped before our first sweep, a lost command is found all the same; one of before our time is
    history still, also when the clock is right again."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.clock.advance(-86_400)
        watch.forge.comment(first, "/coordinator park of the day before")
        watch.clock.advance(86_400)
        await watch.refresh()
        assert watch.commands() == []
        watch.clock.advance(-30 * 86_400)
        wanted = watch.forge.comment(first, "/coordinator resume")
        await watch.refresh()
        assert watch.commands() == [wanted.id]
        watch.clock.advance(30 * 86_400)
        later = watch.forge.comment(first, "/coordinator retry")
        await watch.refresh()
        assert watch.commands() == [wanted.id, later.id]
