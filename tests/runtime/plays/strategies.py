"""Scenarios of who shares whose fate: the three strategies, budgets, escalation."""

import pytest
import trio

from coordinator.runtime import ReachedMaxIntensity, dynamic, supervisor
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    Boom,
    Chronicle,
    Do,
    Hang,
    Say,
    Script,
    player,
    settle,
    status,
)


@scenario("strategies", small=True)
async def one_for_one_restarts_the_fallen_alone() -> None:
    """Given three children, the middle one falls: it alone has a second life."""
    story = Chronicle()
    cast = [player(story, n) for n in "abc"]
    async with given(story, supervisor("root", *cast)) as tree:
        story.clear()
        await crash_once(tree, "b")
        assert story.lines == ["boom b boom 1", "terminate b crash", "init b 2", "survived b boom"]


@scenario("strategies", small=True)
async def one_for_all_restarts_all_in_order() -> None:
    """Given three children, the first falls: the others stop in reverse, all start in order."""
    story = Chronicle()
    cast = [player(story, n) for n in "abc"]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        story.clear()
        await crash_once(tree, "a")
        assert story.of("terminate") == ["a", "c", "b"]
        assert [s for s in story.lines if "init" in s] == ["init a 2", "init b 2", "init c 2"]


@scenario("strategies", small=True)
async def rest_for_one_restarts_the_later_ones() -> None:
    """Given three children, the second falls: the first lives on, the third goes and comes with it."""
    story = Chronicle()
    cast = [player(story, n) for n in "abc"]
    async with given(story, supervisor("root", *cast, strategy="rest_for_one")) as tree:
        story.clear()
        await crash_once(tree, "b")
        assert story.of("terminate") == ["b", "c"]
        assert story.of("init") == ["b", "c"]


@scenario("strategies", small=True)
async def rest_for_one_goes_on_from_the_one_that_fails() -> None:
    """Given a later child that fails once on its way back, the earlier one is not started again."""
    story, shaky = Chronicle(), Script()
    cast = [player(story, "a"), player(story, "b"), player(story, "c", shaky)]
    async with given(story, supervisor("root", *cast, strategy="rest_for_one")) as tree:
        story.clear()
        shaky.failing_inits = 1
        await crash_once(tree, "b")
        assert [s for s in story.lines if "init" in s] == ["init b 2", "init-failed c", "init c 3"]


@scenario("strategies", small=True)
async def one_for_all_begins_again_from_the_first() -> None:
    """Given a later child that fails once on its way back, those started before it start again."""
    story, shaky = Chronicle(), Script()
    cast = [player(story, "a"), player(story, "b"), player(story, "c", shaky)]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        story.clear()
        shaky.failing_inits = 1
        await crash_once(tree, "a")
        assert [s for s in story.lines if "init" in s] == [
            "init a 2",
            "init b 2",
            "init-failed c",
            "init a 3",
            "init b 3",
            "init c 3",
        ]


@scenario("strategies", small=True)
async def a_temporary_bystander_is_not_brought_back() -> None:
    """Given a temporary sibling under one_for_all, a crash of another removes it for good."""
    story = Chronicle()
    spec = supervisor(
        "root", player(story, "a"), player(story, "b", restart="temporary"), strategy="one_for_all"
    )
    async with given(story, spec) as tree:
        await crash_once(tree, "a")
        assert tree.healthy() == {"root": "running", "a": "running"}
        assert story.of("terminate") == ["a", "b"]


@scenario("strategies", small=True)
async def a_group_falls_together_and_counts_once() -> None:
    """Given a budget of one, two children of one_for_all that crash in one moment cost one restart."""
    story = Chronicle()
    cast = [player(story, n) for n in "abc"]
    spec = supervisor("root", *cast, strategy="one_for_all", intensity=1)
    async with given(story, spec) as tree:
        await crash_once(tree, "a", "c")
        assert set(tree.healthy().values()) == {"running"}
        assert tree.dump().find("root").status == "running"


@scenario("strategies", small=True)
async def a_child_stopped_by_hand_stays_down_in_a_group_restart() -> None:
    """Given a terminated sibling, a group restart leaves it stopped."""
    story = Chronicle()
    cast = [player(story, n) for n in "abc"]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        await tree.terminate_child("root", "b")
        await crash_once(tree, "a")
        assert (status(tree, "a"), status(tree, "b")) == ("running", "stopped")
        assert story.of("init") == ["a", "b", "c", "a", "c"]


@scenario("intensity", small=True)
async def one_restart_too_many_ends_the_supervisor() -> None:
    """Given intensity 2, the third crash in the window stops everybody and comes out bare."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), player(story, "b"), intensity=2)

    async def play() -> None:
        async with given(story, spec) as tree:
            for _ in range(3):
                await crash_once(tree, "b")
            await trio.sleep_forever()

    with pytest.raises(ReachedMaxIntensity) as caught:
        await play()
    assert (caught.value.supervisor_id, caught.value.child_id) == ("root", "b")
    assert story.of("init") == ["a", "b", "b", "b"]
    assert story.lines[-1] == "terminate a shutdown"


@scenario("intensity", small=True)
async def a_restart_exactly_as_old_as_the_window_still_counts() -> None:
    """Given 1 in 5 s, a crash at 5 s ends the supervisor; the budget says so before."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), intensity=1, period_s=5)

    async def play() -> None:
        async with given(story, spec) as tree:
            await crash_once(tree, "a")
            await trio.sleep(5)
            assert tree.dump().find("root").budget_left == 0
            await crash_once(tree, "a")
            await trio.sleep_forever()

    with pytest.raises(ReachedMaxIntensity):
        await play()


@scenario("intensity", small=True)
async def the_window_forgets() -> None:
    """Given 1 in 5 s, a crash every 6 s goes on for ever."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), intensity=1, period_s=5)
    async with given(story, spec) as tree:
        for _ in range(4):
            await crash_once(tree, "a")
            await trio.sleep(6)
        assert story.of("init") == ["a"] * 5


@scenario("intensity", small=True)
async def a_transient_supervisor_over_its_limit_is_restarted() -> None:
    """Given a transient inner supervisor that gives up, its parent starts it again, in order."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "b"), player(story, "c"), intensity=0, restart="transient")
    async with given(story, supervisor("root", player(story, "a"), mid)) as tree:
        story.clear()
        await crash_once(tree, "b")
        assert story.of("terminate") == ["b", "c"]
        assert story.of("init") == ["b", "c"]
        assert set(tree.healthy().values()) == {"running"}
        assert story.of("survived") == ["b"]


@scenario("intensity", small=True)
async def dynamic_children_have_budgets_of_their_own() -> None:
    """Given 1 in 5 s each, two children that fall once do not cost their supervisor its life."""
    story = Chronicle()
    cast = [player(story, n) for n in "ab"]
    spec = supervisor("root", dynamic("pool", initial=cast, intensity=1), intensity=0)
    async with given(story, spec) as tree:
        await crash_once(tree, *"ab")
        assert set(tree.healthy().values()) == {"running"}
        assert sorted(story.of("survived")) == list("ab")


@scenario("intensity", small=True)
async def significant_children_end_their_supervisor() -> None:
    """Given any_significant, the normal end of a significant child stops its siblings in reverse."""
    story = Chronicle()
    spec = supervisor(
        "mid",
        player(story, "a"),
        player(story, "b", restart="transient", significant=True),
        player(story, "c"),
        restart="temporary",
        auto_shutdown="any_significant",
    )
    async with given(story, supervisor("root", spec)) as tree:
        story.clear()
        tree.ref("b").cast_nowait(Do(lambda actor: actor.context.stop()))
        await settle()
        assert story.of("terminate") == ["b", "c", "a"]
        assert tree.healthy() == {"root": "running"}


@scenario("strategies", small=True)
async def messages_survive_a_group_restart_in_order() -> None:
    """Given queued messages in a bystander, a group restart keeps them, in order."""
    story = Chronicle()
    cast = [player(story, n) for n in "ab"]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        tree.ref("b").cast_nowait(Hang(for_s=1))
        await settle()
        for word in "xyz":
            tree.ref("b").cast_nowait(Say(word))
        tree.ref("a").cast_nowait(Boom(once=True))
        await trio.sleep(2)
        assert [line for line in story.lines if "said" in line] == ["said b x", "said b y", "said b z"]
