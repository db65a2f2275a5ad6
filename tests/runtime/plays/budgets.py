"""Scenarios of budgets: what counts, who falls over the limit, how far it climbs, what comes back."""

import pytest
import trio

from coordinator.runtime import ReachedMaxIntensity, StartFailed, Tree, dynamic, supervisor
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    BoomError,
    Chronicle,
    Hang,
    Say,
    Script,
    player,
    settle,
    status,
)


async def falls(tree: Tree, name: str, times: int) -> None:
    """Crash it so often, one after the other; the actor survives each message the second time."""
    for _ in range(times):
        if name in tree.healthy():
            await crash_once(tree, name)


@scenario("intensity", small=True)
async def intensity_zero_allows_no_fall() -> None:
    """Given intensity 0, the first crash stops the others in reverse and comes out with its cause."""
    story = Chronicle()

    async def play() -> None:
        cast = [player(story, n) for n in "abc"]
        async with given(story, supervisor("root", *cast, intensity=0)) as tree:
            await falls(tree, "b", 1)
            await trio.sleep_forever()

    with pytest.raises(ReachedMaxIntensity) as caught:
        await play()
    assert isinstance(caught.value.__cause__, BoomError)
    assert story.of("terminate") == ["b", "c", "a"]
    assert [name for name, _ in story.returned] == ["b"]


@scenario("intensity", small=True)
async def a_fall_climbs_two_floors() -> None:
    """Given nobody with budget, a crash three floors down ends the root; the causes form a chain."""
    story = Chronicle()
    low = supervisor("low", player(story, "a"), intensity=0)
    mid = supervisor("mid", low, player(story, "b"), intensity=0)

    async def play() -> None:
        async with given(story, supervisor("root", player(story, "z"), mid, intensity=0)) as tree:
            await falls(tree, "a", 1)
            await trio.sleep_forever()

    with pytest.raises(ReachedMaxIntensity) as caught:
        await play()
    assert (caught.value.supervisor_id, caught.value.child_id) == ("root", "mid")
    inner = caught.value.__cause__
    assert isinstance(inner, ReachedMaxIntensity)
    assert (inner.supervisor_id, inner.child_id) == ("mid", "low")
    assert story.of("terminate") == ["a", "b", "z"]


@scenario("intensity", small=True)
async def a_restarted_supervisor_has_its_whole_budget() -> None:
    """Given an inner supervisor that gave up and came back, its children may fall as often again."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a"), intensity=1)
    async with given(story, supervisor("root", mid, intensity=1)) as tree:
        await falls(tree, "a", 2)
        assert tree.dump().find("mid").budget_left == 1
        await falls(tree, "a", 1)
        assert set(tree.healthy().values()) == {"running"}
        assert tree.dump().find("root").budget_left == 0


@scenario("intensity", small=True)
async def a_temporary_supervisor_over_its_limit_is_gone() -> None:
    """Given a temporary inner supervisor, its giving up removes it and every name below it."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a"), player(story, "b"), intensity=0, restart="temporary")
    async with given(story, supervisor("root", mid, player(story, "z"))) as tree:
        ref = tree.ref("b")
        await falls(tree, "a", 1)
        assert tree.healthy() == {"root": "running", "z": "running"}
        assert not ref.alive
        await tree.start_child("root", player(story, "a"))
    assert story.of("terminate") == ["a", "b", "a", "z"]


@scenario("intensity", small=True)
async def a_restarted_supervisor_forgets_its_guests() -> None:
    """Given a child added by hand, its supervisor's restart drops it and brings back the specified."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a"), player(story, "b"), intensity=0)
    async with given(story, supervisor("root", mid)) as tree:
        guest = await tree.start_child("mid", player(story, "guest"))
        await tree.terminate_child("mid", "b")
        await falls(tree, "a", 1)
        assert [info.id for info in tree.which_children("mid")] == ["a", "b"]
        assert set(tree.healthy().values()) == {"running"}
        assert not guest.alive


@scenario("intensity", small=True)
async def a_mailbox_outlives_its_supervisors_restart() -> None:
    """Given a queue and a message in hand, the restart of their supervisor keeps both, in order."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a"), player(story, "b", shutdown_s=1), intensity=0)
    async with given(story, supervisor("root", mid)) as tree:
        ref = tree.ref("b")
        ref.cast_nowait(Hang(for_s=3))
        await settle()
        for word in "xy":
            ref.cast_nowait(Say(word))
        await falls(tree, "a", 1)
        await trio.sleep(5)
        assert [line for line in story.lines if "said" in line] == ["said b x", "said b y"]
        assert (tree.ref("b").alive, tree.dump().find("b").handled, story.dead) == (True, 3, [])


@scenario("intensity", small=True)
async def a_common_fault_goes_over_the_dynamic_cap() -> None:
    """Given 1 each and so ten for all, the eleventh fall of two children ends their supervisor."""
    story = Chronicle()
    cast = [player(story, n) for n in "ab"]
    pool = dynamic("pool", initial=cast, intensity=1, restart="temporary")
    async with given(story, supervisor("root", pool)) as tree:
        for _ in range(5):
            await crash_once(tree, "a")
            await crash_once(tree, "b")
        assert status(tree, "pool") == "running"
        assert tree.dump().find("pool").budget_left == 0
        await crash_once(tree, "a")
        assert tree.healthy() == {"root": "running"}


@scenario("intensity", small=True)
async def a_charged_crash_is_in_the_report_and_the_budget() -> None:
    """Given 3 in 5 s, each crash takes one of the budget, says so, and is forgotten after it."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        await falls(tree, "a", 2)
        assert tree.dump().find("root").budget_left == 1
        assert [c.charged for c in story.crashes] == [True, True]
        await trio.sleep(5.1)
        assert tree.dump().find("root").budget_left == 3


@scenario("intensity")
async def only_a_crash_that_is_answered_by_a_restart_is_charged() -> None:
    """Given crashes of a temporary child and in a start by hand, their reports say they are free."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        await tree.start_child("root", player(story, "b", restart="temporary"))
        await crash_once(tree, "b")
        with pytest.raises(StartFailed):
            await tree.start_child("root", player(story, "c", Script(failing_inits=1)))
        assert tree.dump().find("root").budget_left == 3
        await crash_once(tree, "a")
        assert tree.dump().find("root").budget_left == 2
        assert [(c.id, c.charged) for c in story.crashes] == [("b", False), ("c", False), ("a", True)]


@scenario("intensity", small=True)
async def a_subtree_is_down_before_its_supervisor_returns() -> None:
    """Given slow last words below a supervisor that gives up, its second life waits for them."""
    story = Chronicle()
    mid = supervisor(
        "mid", player(story, "a", Script(terminate_takes_s=2)), player(story, "b"), intensity=0
    )
    async with given(story, supervisor("root", mid)) as tree:
        story.clear()
        await falls(tree, "b", 1)
        assert story.lines[-1] == "terminate a shutdown"
        await trio.sleep(3)
        assert story.lines[2:5] == ["terminate a shutdown", "terminated a", "init a 2"]
