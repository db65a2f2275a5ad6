"""Scenarios of one life and of many: timers, background tasks, fatal errors, scale, dumps."""

import json

import pytest
import trio

from coordinator.runtime import dynamic, supervisor, task
from tests.runtime.moments import any_moment
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    BoomError,
    Chronicle,
    Do,
    DoAsync,
    Hang,
    Player,
    Say,
    Script,
    is_conserved,
    player,
    settle,
    status,
)


@scenario("lifecycle", small=True)
async def timers_fire_in_order_of_time() -> None:
    """Given timers set out of order, they fire in order, but not the one replaced or cancelled."""
    story = Chronicle()

    def wind(actor: Player) -> None:
        for key, after_s in (("z", 3.0), ("x", 1.0), ("y", 2.0), ("n", 2.5)):
            actor.context.start_timer(key, after_s, Say(key))
        actor.context.start_timer("x", 1.5, Say("X"))
        actor.context.cancel_timer("n")

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(wind))
        await trio.sleep(5)
        assert story.lines == ["init a 1", "said a X", "said a y", "said a z"]


@scenario("lifecycle", small=True)
async def a_timer_dies_with_its_life() -> None:
    """Given a timer of the first life, a crash before it is due means that it never fires."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.start_timer("k", 2, Say("never"))))
        await crash_once(tree, "a")
        await trio.sleep(5)
        assert story.of("said") == []


@scenario("lifecycle", small=True)
async def a_timer_meets_a_message() -> None:
    """Given a timer due in the moment a message is sent, both are handled, once each."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.start_timer("k", 2, Say("timer"))))
        await trio.sleep(2)
        await tree.ref("a").cast(Say("message"))
        await settle()
        assert sorted(story.lines[1:]) == ["said a message", "said a timer"]


@scenario("lifecycle", small=True)
async def a_background_task_ends_with_its_life() -> None:
    """Given a background task, the stop of its actor ends it before the sibling's last words."""
    story = Chronicle()

    async def hum() -> None:
        try:
            await trio.sleep_forever()
        finally:
            story.lines.append("hushed b")

    def spawn(actor: Player) -> None:
        actor.context.spawn(hum, name="hum")

    script = Script(on_init=spawn)
    async with given(story, supervisor("root", player(story, "a"), player(story, "b", script))):
        await settle()
        story.clear()
    assert story.lines == ["hushed b", "terminate b shutdown", "terminate a shutdown"]


@scenario("lifecycle", small=True)
async def a_background_crash_repeats_the_message_as_the_same_attempt() -> None:
    """Given a background task that crashes under a handler, the message comes again, unblamed."""
    story, first = Chronicle(), [True]

    async def fail() -> None:
        await trio.sleep(1)
        raise BoomError("background")

    async def work(actor: Player) -> None:
        story.lines.append(f"attempt {actor.context.attempt}")
        if first:
            first.clear()
            actor.context.spawn(fail, name="fail")
            await trio.sleep(10)

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(work))
        await trio.sleep(5)
        assert story.of("attempt") == ["1", "1"]
        assert (story.dead, [c.attempt for c in story.crashes]) == ([], [1])


@scenario("lifecycle", small=True)
async def an_exit_is_never_restarted() -> None:
    """Given a handler that raises SystemExit, everybody stops in order and it comes out."""
    story = Chronicle()

    def leave(_: Player) -> None:
        raise SystemExit(3)

    spec = supervisor("root", *(player(story, n) for n in "abc"))

    async def play() -> None:
        async with given(story, spec) as tree:
            tree.ref("b").cast_nowait(Do(leave))
            await trio.sleep_forever()

    with pytest.raises(SystemExit):
        await play()
    assert story.of("init") == ["a", "b", "c"]
    assert [n for n in story.of("terminate") if n != "b"] == ["c", "a"]


@scenario("lifecycle", small=True)
async def an_error_of_the_user_comes_out_after_the_stop() -> None:
    """Given a block that raises, the children stop in reverse first, and the error is bare."""
    story = Chronicle()
    with pytest.raises(BoomError, match="user"):
        async with given(story, supervisor("root", player(story, "a"), player(story, "b"))):
            raise BoomError("user")
    assert story.of("terminate") == ["b", "a"]


@scenario("lifecycle", small=True)
async def an_actor_that_stops_the_tree_does_not_wait_for_itself() -> None:
    """Given a handler that requests the stop, it returns, and everybody stops in reverse."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), player(story, "b"))) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.tree.request_stop()))
        await tree.wait()
    assert story.of("terminate") == ["b", "a"]


@scenario("lifecycle", small=True)
async def a_crash_meets_the_stop() -> None:
    """Given a crash in the moment of the stop, nobody is restarted once it is under way."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), player(story, "b"))
    async with given(story, spec) as tree, trio.open_nursery() as nursery:
        nursery.start_soon(crash_once, tree, "a")
        nursery.start_soon(tree.stop)
    assert story.of("terminate").count("a") == story.of("init").count("a")
    assert story.of("init").count("b") == 1
    stopping = story.lines.index("terminate b shutdown")
    assert not [line for line in story.lines[stopping:] if "init" in line]


@scenario("scale")
async def fifty_children_come_and_go() -> None:
    """Given fifty dynamic children, a crash of each third leaves all running, and all stop."""
    story = Chronicle()
    names = [f"n{i}" for i in range(50)]
    spec = supervisor("root", dynamic("pool", initial=[player(story, n) for n in names], intensity=5))
    async with given(story, spec) as tree:
        await crash_once(tree, *names[::3])
        assert set(tree.healthy().values()) == {"running"}
        assert len(story.of("init")) == 50 + 17
    assert len(story.of("terminate")) == 50 + 17


@scenario("scale")
async def a_deep_tree_stops_from_its_leaves() -> None:
    """Given ten supervisors in a row, each with an actor, the deepest actor goes first."""
    story = Chronicle()
    spec = supervisor("s0", player(story, "a0"))
    for depth in range(1, 10):
        spec = supervisor(f"s{depth}", player(story, f"a{depth}"), spec)
    async with given(story, spec):
        assert story.of("init") == [f"a{n}" for n in range(9, -1, -1)]
    assert story.of("terminate") == [f"a{n}" for n in range(10)]


@scenario("scale")
async def temporary_children_leave_nothing() -> None:
    """Given thirty temporary tasks that end together, no place and no name of them is left."""
    story = Chronicle()

    async def brief(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(1)

    async with given(story, supervisor("root", dynamic("pool"))) as tree:
        async with trio.open_nursery() as nursery:
            for n in range(30):
                spec = task(brief, id=f"t{n}", restart="temporary")
                nursery.start_soon(tree.start_child, "pool", spec)
        await trio.sleep(2)
        assert tree.healthy() == {"root": "running", "pool": "running"}


@scenario("dump", small=True)
async def a_dump_shows_a_stuck_actor() -> None:
    """Given an actor that hangs with a queue, the dump has its message, its stack and its depth."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Hang(for_s=9))
        await settle()
        tree.ref("a").cast_nowait(Say("queued"))
        node = tree.dump().find("a")
        assert node.in_flight is not None
        assert node.mailbox is not None
        assert (node.in_flight.attempt, node.mailbox.depth) == (1, 1)
        assert any("hang" in frame for frame in node.await_stack)


@scenario("dump")
async def a_dump_at_any_moment_is_whole() -> None:
    """Given a group restart under way, a dump at any pass has everybody, keeps the law and renders."""
    story = Chronicle()
    spec = supervisor("root", *(player(story, n) for n in "abc"), strategy="one_for_all")
    async with given(story, spec) as tree:

        async def look() -> None:
            await any_moment(12)
            assert {n.id for n in tree.dump().nodes()} == {"root", "a", "b", "c"}
            assert is_conserved(tree)
            json.dumps(tree.dump().as_dict())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            nursery.start_soon(crash_once, tree, "b")
            nursery.start_soon(tree.ref("c").cast, Say("hello"))
        assert status(tree, "b") == "running"
