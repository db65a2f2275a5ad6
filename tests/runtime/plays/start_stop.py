"""Scenarios of starting and stopping: order, failure, deadlines, cancellation."""

import pytest
import trio

from coordinator.runtime import StartFailed, dynamic, supervisor, task
from tests.runtime.scenarios import given, scenario
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


@scenario("start", small=True)
async def children_start_left_to_right() -> None:
    """Given three children, one slow, each init returns before the next begins; stop is the reverse."""
    story = Chronicle()
    spec = supervisor(
        "root", player(story, "a"), player(story, "b", Script(init_takes_s=2)), player(story, "c")
    )
    async with given(story, spec):
        assert story.lines == ["init a 1", "init b 1", "init c 1"]
        story.clear()
    assert story.lines == ["terminate c shutdown", "terminate b shutdown", "terminate a shutdown"]


@scenario("start", small=True)
async def a_failed_start_is_undone_in_reverse() -> None:
    """Given a third child that fails, the first two are stopped in reverse, the fourth never starts."""
    story = Chronicle()
    cast = [player(story, n, Script(failing_inits=n == "c")) for n in "abcd"]
    with pytest.raises(StartFailed) as caught:
        async with given(story, supervisor("root", *cast)):
            raise AssertionError("it must not open")
    assert caught.value.child_id == "c"
    assert isinstance(caught.value.__cause__, BoomError)
    assert story.lines == [
        "init a 1",
        "init b 1",
        "init-failed c",
        "terminate b shutdown",
        "terminate a shutdown",
    ]


@scenario("start", small=True)
async def a_nested_failed_start_names_the_innermost() -> None:
    """Given a grandchild that fails, the whole start fails in its name."""
    story = Chronicle()
    inner = supervisor("mid", player(story, "b"), player(story, "c", Script(failing_inits=1)))
    with pytest.raises(StartFailed) as caught:
        async with given(story, supervisor("root", player(story, "a"), inner)):
            raise AssertionError("it must not open")
    assert caught.value.child_id == "c"
    assert story.of("terminate") == ["b", "a"]


@scenario("start", small=True)
async def a_start_is_given_up_after_its_time() -> None:
    """Given an init that hangs, the start fails at its deadline and the sibling is stopped."""
    story, begin = Chronicle(), trio.current_time()
    hung = player(story, "b", Script(init_takes_s=100), start_timeout_s=7)
    with pytest.raises(StartFailed, match="not ready after 7 s"):
        async with given(story, supervisor("root", player(story, "a"), hung)):
            raise AssertionError("it must not open")
    assert trio.current_time() == begin + 7
    assert story.lines == ["init a 1", "terminate a shutdown"]


@scenario("start")
async def dynamic_children_start_together() -> None:
    """Given three slow initial children, the supervisor is up after one of their times, not three."""
    story, begin = Chronicle(), trio.current_time()
    cast = [player(story, n, Script(init_takes_s=5)) for n in "abc"]
    async with given(story, supervisor("root", dynamic("pool", initial=cast))):
        assert trio.current_time() == begin + 5
        assert sorted(story.of("init")) == ["a", "b", "c"]


@scenario("start", small=True)
async def a_start_is_cancelled_from_outside() -> None:
    """Given a start that hangs at the second child, a cancellation stops the first and comes out."""
    story = Chronicle()
    hung = player(story, "b", Script(init_takes_s=100))
    with trio.move_on_after(3) as scope:
        async with given(story, supervisor("root", player(story, "a"), hung)):
            raise AssertionError("it must not open")
    assert scope.cancelled_caught
    assert story.lines == ["init a 1", "terminate a shutdown"]


@scenario("start", small=True)
async def a_task_is_ready_when_it_says_so() -> None:
    """Given a task before an actor, the actor starts once the task has called started()."""
    story = Chronicle()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(1)
        story.lines.append("ready t")
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            story.lines.append("cleaned t")

    async with given(story, supervisor("root", task(serve, id="t"), player(story, "a"))):
        assert story.lines == ["ready t", "init a 1"]
        story.clear()
    assert story.lines == ["terminate a shutdown", "cleaned t"]


@scenario("stop", small=True)
async def a_stop_is_in_strict_reverse() -> None:
    """Given slow last words, each child is down before the one started before it is asked."""
    story = Chronicle()
    slow = Script(terminate_takes_s=2)
    mid = supervisor("mid", player(story, "b"), player(story, "c", slow))
    async with given(story, supervisor("root", player(story, "a", slow), mid)):
        story.clear()
    assert story.lines == [
        "terminate c shutdown",
        "terminated c",
        "terminate b shutdown",
        "terminate a shutdown",
        "terminated a",
    ]


@scenario("stop", small=True)
async def two_stops_are_one() -> None:
    """Given two tasks that stop the tree at once, both return and each child is terminated once."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), player(story, "b", Script(terminate_takes_s=1)))
    async with given(story, spec) as tree, trio.open_nursery() as nursery:
        story.clear()
        nursery.start_soon(tree.stop)
        nursery.start_soon(tree.stop, "other")
    assert story.of("terminate") == ["b", "a"]


@scenario("stop", small=True)
async def a_stop_overtakes_the_queue() -> None:
    """Given a busy actor with a queue, a stop lets it finish its message and returns the others."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Hang(for_s=2))
        await settle()
        for word in "xyz":
            ref.cast_nowait(Say(word))
        await tree.stop()
    assert story.returned == [("a", Say("x")), ("a", Say("y")), ("a", Say("z"))]
    assert story.of("said") == []
    assert story.lines[-1] == "terminate a shutdown"


@scenario("shutdown", small=True)
async def a_hung_handler_is_cancelled_at_its_deadline() -> None:
    """Given a handler that hangs, a stop waits shutdown_s, cancels, terminates, returns the message."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), player(story, "b", shutdown_s=4))
    async with given(story, spec) as tree:
        tree.ref("b").cast_nowait(Hang())
        await settle()
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 4
    assert story.returned == [("b", Hang())]
    assert story.of("terminate") == ["b", "a"]
    assert story.crashes == []


@scenario("shutdown", small=True)
async def a_hurried_stop_keeps_the_order() -> None:
    """Given children with slow last words, a second, hurried stop skips the waiting, not the order."""
    story, begin = Chronicle(), trio.current_time()
    cast = [player(story, n, Script(terminate_takes_s=4)) for n in "abc"]
    async with given(story, supervisor("root", *cast)) as tree:
        story.clear()
        tree.request_stop()
        await trio.sleep(1)
        await tree.stop(hurry=True)
    assert story.of("terminate") == ["c", "b", "a"]
    assert trio.current_time() < begin + 3


@scenario("shutdown", small=True)
async def a_zombie_is_named_and_the_stop_goes_on() -> None:
    """Given a handler deaf to cancellation, it is reported after the grace and its sibling stopped."""
    story, free = Chronicle(), trio.Event()
    deaf = Script(ignores_cancel_until=free)
    spec = supervisor("root", player(story, "a"), player(story, "b", deaf, shutdown_s=2))
    async with trio.open_nursery() as nursery:

        async def release() -> None:
            await trio.sleep(60)
            free.set()

        nursery.start_soon(release)
        async with given(story, spec) as tree:
            tree.ref("b").cast_nowait(Hang())
            await settle()
            begin = trio.current_time()
            await tree.stop()
            assert trio.current_time() == begin + 3
            assert status(tree, "b") == "zombie"
            assert story.of("terminate") == ["a"]
    assert [z.id for z in story.zombies] == ["b"]
    assert any("hang" in frame for frame in story.zombies[0].await_stack)


@scenario("shutdown", small=True)
async def an_outer_cancellation_keeps_the_order() -> None:
    """Given a cancelled user, children still stop in reverse, with their full time."""
    story = Chronicle()
    slow = Script(terminate_takes_s=3)
    with trio.move_on_after(1):
        async with given(story, supervisor("root", player(story, "a", slow), player(story, "b", slow))):
            story.clear()
            await trio.sleep_forever()
    assert story.lines == [
        "terminate b shutdown",
        "terminated b",
        "terminate a shutdown",
        "terminated a",
    ]


@scenario("shutdown", small=True)
async def an_error_in_terminate_is_reported_and_the_stop_goes_on() -> None:
    """Given last words that raise, the others still stop, and the error is a report."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), player(story, "b", Script(terminate_raises=True)))
    async with given(story, spec):
        pass
    assert story.of("terminate") == ["b", "a"]
    assert [(c.id, c.phase, c.charged) for c in story.crashes] == [("b", "terminate", False)]


@scenario("shutdown")
async def dynamic_children_stop_together() -> None:
    """Given three children with slow last words, the supervisor is down after one of their times."""
    story = Chronicle()
    cast = [player(story, n, Script(terminate_takes_s=3)) for n in "abc"]
    async with given(story, supervisor("root", player(story, "z"), dynamic("p", initial=cast))) as tree:
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 3
    assert story.of("terminate")[-1] == "z"
    assert sorted(story.of("terminated")) == ["a", "b", "c"]
