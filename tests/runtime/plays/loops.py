"""Scenarios of falling again and again: restart loops that let others in between, and waits."""

from itertools import pairwise

import pytest
import trio

from coordinator.runtime import (
    Backoff,
    CallTimeout,
    ChildNotStopped,
    ReachedMaxIntensity,
    dynamic,
    supervisor,
)
from coordinator.runtime.restart import Strategy
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    Chronicle,
    Echo,
    Say,
    Script,
    player,
    settle,
    status,
)

STEADY = Backoff(min_s=1.0, max_s=8.0, jitter=0.0)


async def loop_and_terminate(strategy: Strategy) -> list[str]:
    """A middle child that fails for ever is terminated out of its loop: what the others do then."""
    story, broken = Chronicle(), Script()
    cast = [player(story, "a"), player(story, "b", broken, backoff=STEADY), player(story, "c")]
    spec = supervisor("root", *cast, strategy=strategy, intensity=100)
    async with given(story, spec) as tree:
        broken.failing_inits = 1000
        await crash_once(tree, "b")
        await trio.sleep(4)
        await tree.terminate_child("root", "b")
        await trio.sleep(STEADY.max_s)
        story.clear()
        await trio.sleep(60)
        assert story.lines == []
        return [status(tree, name) for name in "abc"]


@scenario("restart loop", small=True)
async def a_loop_is_ended_by_hand_under_one_for_one() -> None:
    """Given a child that fails for ever among two others, terminate ends its loop and harms nobody."""
    assert await loop_and_terminate("one_for_one") == ["running", "stopped", "running"]


@scenario("restart loop", small=True)
async def a_loop_is_ended_by_hand_under_one_for_all() -> None:
    """Given a group held up by one that fails for ever, terminating it lets the others come up."""
    assert await loop_and_terminate("one_for_all") == ["running", "stopped", "running"]


@scenario("restart loop", small=True)
async def a_loop_is_ended_by_hand_under_rest_for_one() -> None:
    """Given later ones held up by one that fails for ever, terminating it lets them come up."""
    assert await loop_and_terminate("rest_for_one") == ["running", "stopped", "running"]


@scenario("restart loop", small=True)
async def a_dynamic_loop_is_ended_by_hand() -> None:
    """Given a dynamic child that fails for ever, terminate removes it and it never tries again."""
    story, broken = Chronicle(), Script()
    cast = [player(story, "a", broken, backoff=STEADY)]
    async with given(story, supervisor("root", dynamic("pool", initial=cast, intensity=100))) as tree:
        broken.failing_inits = 1000
        await crash_once(tree, "a")
        await trio.sleep(4)
        await tree.terminate_child("pool", "a")
        assert tree.which_children("pool") == ()
        tries = len(story.of("init-failed"))
        await trio.sleep(60)
        assert len(story.of("init-failed")) == tries


@scenario("restart loop", small=True)
async def others_come_and_go_during_a_loop() -> None:
    """Given a child that fails for ever, its supervisor starts, stops and restarts others meanwhile."""
    story, broken = Chronicle(), Script()
    cast = [player(story, "a", broken, backoff=STEADY), player(story, "b")]
    async with given(story, supervisor("root", *cast, intensity=100)) as tree:
        broken.failing_inits = 1000
        await crash_once(tree, "a")
        await trio.sleep(4.5)
        begin = trio.current_time()
        await tree.start_child("root", player(story, "c"))
        await tree.terminate_child("root", "b")
        await tree.restart_child("root", "b")
        assert trio.current_time() == begin
        assert tree.healthy() == {
            "root": "running",
            "a": "restarting",
            "b": "running",
            "c": "running",
        }


@scenario("restart loop", small=True)
async def a_looping_child_is_neither_restarted_nor_deleted() -> None:
    """Given a child between two tries, restart_child and delete_child name the state it is in."""
    story, broken = Chronicle(), Script()
    spec = supervisor("root", player(story, "a", broken, backoff=STEADY), intensity=100)
    async with given(story, spec) as tree:
        broken.failing_inits = 1000
        await crash_once(tree, "a")
        await trio.sleep(4.5)
        for verb in (tree.restart_child, tree.delete_child):
            with pytest.raises(ChildNotStopped, match="restarting"):
                await verb("root", "a")


@scenario("restart loop", small=True)
async def a_loop_broken_by_hand_begins_afresh() -> None:
    """Given a child terminated out of its loop and healed, restart_child starts it at once, free."""
    story, broken = Chronicle(), Script()
    spec = supervisor("root", player(story, "a", broken, backoff=STEADY), intensity=3, period_s=100)
    async with given(story, spec) as tree:
        broken.failing_inits = 2
        await crash_once(tree, "a")
        await trio.sleep(2)
        await tree.terminate_child("root", "a")
        broken.failing_inits = 0
        left, begin = tree.dump().find("root").budget_left, trio.current_time()
        await tree.restart_child("root", "a")
        assert (tree.dump().find("root").budget_left, trio.current_time()) == (left, begin)
        assert status(tree, "a") == "running"


@scenario("restart loop", small=True)
async def a_group_in_a_loop_falls_over_its_budget() -> None:
    """Given one_for_all whose last child fails for ever, the group gives up and all are down."""
    story, broken = Chronicle(), Script()
    cast = [player(story, "a"), player(story, "b", broken)]

    async def play() -> None:
        async with given(story, supervisor("root", *cast, strategy="one_for_all", intensity=2)) as tree:
            broken.failing_inits = 1000
            await crash_once(tree, "a")
            await trio.sleep_forever()

    with pytest.raises(ReachedMaxIntensity) as caught:
        await play()
    assert caught.value.child_id == "b"
    assert story.of("init-failed") == ["b", "b"]
    assert story.of("init").count("a") == story.of("terminate").count("a") == 3


@scenario("restart loop", small=True)
async def the_rest_in_a_loop_falls_over_its_budget() -> None:
    """Given rest_for_one whose last child fails for ever, the budget ends it; the first fell once."""
    story, broken = Chronicle(), Script()
    cast = [player(story, "a"), player(story, "b", broken)]

    async def play() -> None:
        spec = supervisor("root", *cast, strategy="rest_for_one", intensity=2)
        async with given(story, spec) as tree:
            broken.failing_inits = 1000
            await crash_once(tree, "a")
            await trio.sleep_forever()

    with pytest.raises(ReachedMaxIntensity):
        await play()
    assert story.of("init").count("a") == story.of("terminate").count("a") == 2


@scenario("restart loop", small=True)
async def a_sibling_that_falls_on_the_way_back_counts_again() -> None:
    """Given a group coming back, another crash of an already started one begins it again and counts."""
    story, slow = Chronicle(), Script()
    cast = [player(story, "a"), player(story, "b", slow)]
    spec = supervisor("root", *cast, strategy="one_for_all", intensity=2, period_s=100)
    async with given(story, spec) as tree:
        slow.init_takes_s = 5
        await crash_once(tree, "b")
        await trio.sleep(2)
        slow.init_takes_s = 0
        await crash_once(tree, "a")
        assert set(tree.healthy().values()) == {"running"}
        assert tree.dump().find("root").budget_left == 0
        assert story.of("init") == ["a", "b", "a", "a", "b"]


@scenario("restart loop", small=True)
async def a_crash_is_seen_to_while_another_start_is_slow() -> None:
    """Given one child in a long init on its way back, another's crash is not kept waiting."""
    story, slow = Chronicle(), Script()
    async with given(story, supervisor("root", player(story, "a", slow), player(story, "b"))) as tree:
        slow.init_takes_s = 20
        await crash_once(tree, "a")
        await crash_once(tree, "b")
        assert (status(tree, "a"), status(tree, "b")) == ("starting", "running")
        assert story.of("survived") == ["b"]


@scenario("backoff", small=True)
async def a_group_waits_for_its_slowest_member() -> None:
    """Given one_for_all and a child in its third fall, its sibling comes back with it, not before."""
    story, times = Chronicle(), list[float]()
    cast = [
        player(story, "a", Script(on_init=lambda _: times.append(trio.current_time()))),
        player(story, "b", backoff=STEADY),
    ]
    spec = supervisor("root", *cast, strategy="one_for_all", intensity=100)
    async with given(story, spec) as tree:
        for _ in range(3):
            await crash_once(tree, "b")
            await trio.sleep(2.5)
        assert [b - a for a, b in pairwise(times)] == [0, 3.5, 3.5]
        assert set(tree.healthy().values()) == {"running"}


@scenario("backoff", small=True)
async def jitter_stays_within_its_share_and_the_cap() -> None:
    """Given 1 s to 8 s and 20 % jitter, each wait is in its band and none is over 8 s."""
    story, times = Chronicle(), list[float]()
    script = Script(on_init=lambda _: times.append(trio.current_time()))
    cast = player(story, "a", script, backoff=Backoff(min_s=1.0, max_s=8.0, jitter=0.2))
    async with given(story, supervisor("root", cast, intensity=100)) as tree:
        times.clear()
        script.failing_inits = 5
        await crash_once(tree, "a")
        await trio.sleep(40)
        waits = [b - a for a, b in pairwise(times)]
        for wait, least in zip(waits, (1, 2, 4, 8, 8), strict=True):
            assert least <= wait <= min(8, least * 1.2)


@scenario("backoff", small=True)
async def messages_wait_out_the_backoff() -> None:
    """Given a child between two tries, casts are taken, and handled in order when it is back."""
    story, shaky = Chronicle(), Script()
    spec = supervisor("root", player(story, "a", shaky, backoff=STEADY), intensity=100)
    async with given(story, spec) as tree:
        shaky.failing_inits = 1
        tree.kill("a")
        await settle()
        for word in "xyz":
            tree.ref("a").cast_nowait(Say(word))
        assert tree.dump().find("a").restart_due_in_s == 1
        await trio.sleep(2)
        assert story.lines[-3:] == ["said a x", "said a y", "said a z"]


@scenario("backoff", small=True)
async def a_call_runs_out_of_time_in_the_backoff() -> None:
    """Given a child that stays away longer than a call's time, its caller hears it; nothing is left."""
    story, broken = Chronicle(), Script()
    spec = supervisor("root", player(story, "a", broken, backoff=STEADY), intensity=100)
    async with given(story, spec) as tree:
        broken.failing_inits = 5
        tree.kill("a")
        with pytest.raises(CallTimeout):
            await tree.ref("a").call(Echo("hello"), timeout_s=3)
        assert tree.depths() == {"a": 0}


@scenario("backoff", small=True)
async def a_cooled_child_has_its_whole_budget_again() -> None:
    """Given a dynamic child that waited out its longest backoff, it may fall as often as at first."""
    story = Chronicle()
    cast = player(story, "a", backoff=STEADY)
    spec = supervisor("root", dynamic("pool", initial=[cast], intensity=1), intensity=0)
    async with given(story, spec) as tree:
        for _ in range(2):
            await crash_once(tree, "a")
        await trio.sleep(9)
        assert tree.dump().find("a").budget_left == 1
        await trio.sleep(5)
        await crash_once(tree, "a")
        assert status(tree, "a") == "running"
