"""Scenarios of the start: empty trees, tasks, nested and dynamic supervisors, what a failure leaves."""

import pytest
import trio

from coordinator.runtime import Actor, StartFailed, child, dynamic, supervisor, task
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    BoomError,
    Chronicle,
    Player,
    Say,
    Script,
    player,
    settle,
    status,
)


class Unbuildable(Actor):
    def __init__(self) -> None:
        raise BoomError("constructor")


@scenario("start", small=True)
async def a_supervisor_without_children_is_up_at_once() -> None:
    """Given two supervisors with nobody below, the tree is up in no time and stops as quickly."""
    story, begin = Chronicle(), trio.current_time()
    async with given(story, supervisor("root", supervisor("mid"), dynamic("pool"))) as tree:
        assert set(tree.healthy().values()) == {"running"}
        assert tree.which_children("pool") == ()
    assert trio.current_time() == begin


@scenario("start", small=True)
async def nothing_is_retried_in_a_first_start() -> None:
    """Given a permanent child and budget to spare, one failed init fails the whole start."""
    story = Chronicle()
    shaky = player(story, "a", Script(failing_inits=1))
    with pytest.raises(StartFailed):
        async with given(story, supervisor("root", shaky, intensity=100)):
            raise AssertionError("it must not open")
    assert story.lines == ["init-failed a"]
    assert [(c.phase, c.id) for c in story.crashes] == [("start", "a"), ("start", "root")]


@scenario("start", small=True)
async def a_temporary_child_that_fails_fails_the_start() -> None:
    """Given a temporary child whose init raises, its type is no excuse: the start fails."""
    story = Chronicle()
    cast = [player(story, "a"), player(story, "b", Script(failing_inits=1), restart="temporary")]
    with pytest.raises(StartFailed, match="b did not start"):
        async with given(story, supervisor("root", *cast)):
            raise AssertionError("it must not open")
    assert story.of("terminate") == ["a"]


@scenario("start", small=True)
async def a_constructor_that_raises_is_a_failed_start() -> None:
    """Given an actor that cannot be built, the start fails with its error, without last words."""
    story = Chronicle()
    with pytest.raises(StartFailed) as caught:
        async with given(story, supervisor("root", player(story, "a"), child(Unbuildable, id="b"))):
            raise AssertionError("it must not open")
    assert isinstance(caught.value.__cause__, BoomError)
    assert story.lines == ["init a 1", "terminate a shutdown"]


@scenario("start", small=True)
async def a_task_that_returns_before_it_is_ready_fails_the_start() -> None:
    """Given a task that never calls started(), its return is a failed start."""
    story = Chronicle()

    async def brief(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.lowlevel.checkpoint()

    spec = supervisor("root", player(story, "a"), task(brief, id="t"))
    with pytest.raises(StartFailed, match="t did not start"):
        async with given(story, spec):
            raise AssertionError("it must not open")
    assert story.lines == ["init a 1", "terminate a shutdown"]


@scenario("start", small=True)
async def a_supervisor_is_ready_after_its_children() -> None:
    """Given a slow grandchild, the next child of the root begins only after it."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a", Script(init_takes_s=3)), player(story, "b"))
    async with given(story, supervisor("root", mid, player(story, "c"))):
        assert story.of("init") == ["a", "b", "c"]


@scenario("start", small=True)
async def a_failing_initial_child_is_tried_again_later() -> None:
    """Given a dynamic supervisor whose initial child fails, it comes up without it and retries it."""
    story = Chronicle()
    cast = [player(story, "a", Script(failing_inits=1)), player(story, "b")]
    async with given(story, supervisor("root", dynamic("pool", initial=cast))) as tree:
        await settle()
        assert set(tree.healthy().values()) == {"running"}
    assert sorted(story.of("init")) == ["a", "b"]
    assert story.of("init-failed") == ["a"]


@scenario("start", small=True)
async def a_new_child_is_ready_when_start_child_returns() -> None:
    """Given a slow init, start_child returns after it, with a reference that is handled at once."""
    story = Chronicle()
    async with given(story, supervisor("root", dynamic("pool"))) as tree:
        begin = trio.current_time()
        ref = await tree.start_child("pool", player(story, "a", Script(init_takes_s=3)))
        assert (trio.current_time() - begin, story.of("init")) == (3, ["a"])
        await ref.cast(Say("hello"))
        await settle()
        assert story.of("said") == ["a"]


@scenario("start", small=True)
async def a_subtree_started_by_hand_fails_as_a_whole() -> None:
    """Given a supervisor whose second child fails, its start leaves no place and no name behind."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a"), player(story, "b", Script(failing_inits=1)))
    async with given(story, supervisor("root")) as tree:
        with pytest.raises(StartFailed) as caught:
            await tree.start_child("root", mid)
        assert caught.value.child_id == "b"
        assert tree.healthy() == {"root": "running"}
        await tree.start_child("root", player(story, "a"))
        assert story.of("init") == ["a", "a"]
    assert story.of("terminate") == ["a", "a"]


@scenario("start", small=True)
async def a_timer_of_no_time_comes_before_the_queue() -> None:
    """Given an init that sets a timer of 0 s, its message comes before those that were queued."""
    story = Chronicle()

    def wind(actor: Player) -> None:
        actor.context.start_timer("begin", 0, Say("begin"))

    async with given(story, supervisor("root", player(story, "a", Script(on_init=wind)))) as tree:
        await settle()
        story.clear()
        tree.kill("a")
        tree.ref("a").cast_nowait(Say("queued"))
        await settle()
        assert story.lines == ["init a 2", "said a begin", "said a queued"]


@scenario("start", small=True)
async def a_dynamic_child_may_start_another_from_its_init() -> None:
    """Given a dynamic child that starts a sibling in its init, both come up: nobody waits in line."""
    story = Chronicle()

    async def bring(actor: Player) -> None:
        await actor.context.tree.start_child("pool", player(story, "b"))

    async with given(story, supervisor("root", dynamic("pool"))) as tree:
        await tree.start_child("pool", player(story, "a", Script(on_init=bring)))
        assert story.of("init") == ["b", "a"]


@scenario("start", small=True)
async def a_start_deadline_holds_on_the_way_back() -> None:
    """Given an init that hangs after a crash, it is cancelled at its deadline and tried once more."""
    story, slow = Chronicle(), Script()
    async with given(story, supervisor("root", player(story, "a", slow, start_timeout_s=7))) as tree:
        slow.init_takes_s = 100
        await crash_once(tree, "a")
        await trio.sleep(6)
        slow.init_takes_s = 0
        assert status(tree, "a") == "starting"
        await trio.sleep(2)
        assert status(tree, "a") == "running"
        assert [c.phase for c in story.crashes] == ["run", "start"]


@scenario("start", small=True)
async def a_stop_cancels_a_start_in_progress() -> None:
    """Given a child in a long init, a stop does not wait for it; the opener hears of a failed start."""
    story, begin = Chronicle(), trio.current_time()

    def leave(actor: Player) -> None:
        actor.context.spawn(later, actor, name="later")

    async def later(actor: Player) -> None:
        await trio.sleep(1)
        actor.context.tree.request_stop()

    cast = [player(story, "a", Script(on_init=leave)), player(story, "b", Script(init_takes_s=20))]
    with pytest.raises(StartFailed):
        async with given(story, supervisor("root", *cast)):
            raise AssertionError("it must not open")
    assert trio.current_time() == begin + 1
    assert story.of("init") == story.of("terminate") == ["a"]


@scenario("start", small=True)
async def a_child_that_was_ready_has_started_whatever_follows() -> None:
    """Given a new child that falls as soon as it is ready, who asked for it does not wait for more."""
    lives = list[int]()

    async def fall_once(*, task_status: trio.TaskStatus[None]) -> None:
        lives.append(1)
        if len(lives) > 1:
            await trio.sleep_forever()
        task_status.started()
        raise BoomError("fall")

    async with given(Chronicle(), supervisor("root", dynamic("d"))) as tree:
        with trio.fail_after(1):
            await tree.start_child("d", task(fall_once, id="a"))
        await settle()
        assert len(lives) == 2


@scenario("start", small=True)
async def a_start_by_hand_meets_a_group_restart() -> None:
    """Given a new child that is stopped and started again for its group's sake, it has started."""
    story = Chronicle()
    slow = player(story, "new", Script(init_takes_s=2))
    spec = supervisor("root", player(story, "a"), strategy="one_for_all")
    async with given(story, spec) as tree, trio.open_nursery() as nursery:

        async def start() -> None:
            ref = await tree.start_child("root", slow)
            story.lines.append(f"got {ref.id}")

        nursery.start_soon(start)
        await trio.sleep(1)
        await crash_once(tree, "a")
        await trio.sleep(3)
        assert (status(tree, "new"), story.of("got")) == ("running", ["new"])


@scenario("start", small=True)
async def who_hears_of_a_failed_start_may_try_again_at_once() -> None:
    """Given a new child that cleans up when a stop cuts its start short, its asker hears afterwards."""
    story = Chronicle()

    async def tidy(_: Player) -> None:
        try:
            await trio.sleep(2)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)

    async with given(story, supervisor("root", supervisor("s"))) as tree:

        async def start() -> None:
            with pytest.raises(StartFailed, match="it was stopped first"):
                await tree.start_child("s", player(story, "a", Script(on_init=tidy)))
            await tree.start_child("s", player(story, "a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await trio.sleep(1)
            await tree.terminate_child("s", "a")
        assert status(tree, "a") == "running"


@scenario("start", small=True)
async def a_start_by_hand_that_a_stop_cuts_short_leaves_nothing() -> None:
    """Given a new child that still starts when it is stopped, it is gone."""
    await _cut_short("s", "a")


@scenario("start", small=True)
async def a_start_by_hand_that_its_supervisors_stop_cuts_short_leaves_nothing() -> None:
    """Given a new child that still starts when its supervisor is stopped, it is gone."""
    await _cut_short("root", "s")


async def _cut_short(*stopped: str) -> None:
    story = Chronicle()
    async with given(story, supervisor("root", supervisor("s"))) as tree:

        async def start() -> None:
            with pytest.raises(StartFailed, match="it was stopped first"):
                await tree.start_child("s", player(story, "a", Script(init_takes_s=2)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await trio.sleep(1)
            await tree.terminate_child(*stopped)
        assert set(tree.healthy()) == {"root", "s"}
