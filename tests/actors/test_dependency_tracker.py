"""The tracker owns the graph, says what changed once, and remembers it over restarts."""

from pathlib import Path

from coordinator.rules.events import (
    CycleBroken,
    CycleFound,
    IssueBlocked,
    IssueUnblocked,
)
from tests.actors.router.test_router import find
from tests.actors.stage import Stage, stage
from tests.rules.builders import observed, parsed, ref


async def verdicts(on: Stage) -> list[str]:
    return [
        type(each.event).__name__ for each in await on.events() if each.actor == "dependency-tracker"
    ]


async def test_a_blocker_blocks_until_it_is_closed(tmp_path: Path) -> None:
    """Open blocks, closed unblocks, each told once."""
    async with stage(tmp_path, ["dependency-tracker"]) as on:
        await on.tell("router", observed(2, assignees=()), observed(1, blocked_by=(ref(2),)), parsed(1))
        blocked = await on.wait_for(IssueBlocked, lambda each: each.parsed)
        assert blocked.open_blockers == (ref(2),)
        await on.tell("router", observed(2, assignees=(), state="closed", updated=1))
        free = await on.wait_for(IssueUnblocked)
        assert free.satisfied == (ref(2),)


async def test_an_unknown_blocker_blocks_with_its_name(tmp_path: Path) -> None:
    """What nobody has told us about counts as open."""
    async with stage(tmp_path, ["dependency-tracker"]) as on:
        await on.tell("router", observed(1, blocked_by=(ref(7),)), parsed(1))
        blocked = await on.wait_for(IssueBlocked)
        assert blocked.unknown_blockers == (ref(7),)


async def test_cycles_are_named_and_their_end_too(tmp_path: Path) -> None:
    """Three issues in a circle are one CycleFound; removing an edge is one CycleBroken."""
    async with stage(tmp_path, ["dependency-tracker"]) as on:
        for number, before in ((1, 2), (2, 3), (3, 1)):
            await on.tell("router", observed(number, blocked_by=(ref(before),)), parsed(number))
        found = await on.wait_for(CycleFound)
        assert [issue.number for issue in found.issues] == [1, 2, 3]
        await on.tell("router", observed(3, updated=1, text_key="no edge"))
        assert (await on.wait_for(CycleBroken)).issues == found.issues


async def test_a_restart_says_nothing_twice(tmp_path: Path) -> None:
    """What was said is part of the state, whether from the snapshot or from its own events."""
    async with stage(tmp_path, ["dependency-tracker"]) as on:
        await on.tell("router", observed(1, blocked_by=(ref(7),)), parsed(1))
        await on.wait_for(IssueBlocked, lambda each: each.parsed)
        said = await verdicts(on)
    async with stage(tmp_path, ["dependency-tracker"]) as on:
        assert await verdicts(on) == said
        await on.tell("router", observed(7, assignees=()))
        await on.wait_for(IssueBlocked, lambda each: each.open_blockers == (ref(7),))
        state = find(on.tree.dump().as_dict(), "dependency-tracker")
        assert (state["issues"], state["concerned"]) == (2, 1)
