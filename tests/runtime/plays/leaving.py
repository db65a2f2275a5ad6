"""Scenarios of lives that have come to their end and cannot leave: something inside is deaf."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from coordinator.runtime import (
    CallTimeout,
    Hooks,
    ReachedMaxIntensity,
    StartFailed,
    Tree,
    open_tree,
    supervisor,
)
from coordinator.runtime.supervisor import Supervisor
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    Boom,
    BoomError,
    Chronicle,
    Do,
    DoAsync,
    Echo,
    Hang,
    Player,
    Say,
    Script,
    player,
    settle,
    status,
)


@contextmanager
def broken_steps(tree: Tree, name: str) -> Iterator[None]:
    """Inside, each step of that supervisor raises, as a bug of its own would."""
    body = tree._registry.find(name).body
    assert isinstance(body, Supervisor)

    def broken(now: float) -> float:
        raise BoomError(f"at {now:g}")

    vars(body)["_step"] = broken
    yield
    del vars(body)["_step"]


async def deaf(free: trio.Event) -> None:
    """As a thread would, that Trio cannot take back."""
    with trio.CancelScope(shield=True):
        await free.wait()


def employs(free: trio.Event) -> Script:
    """Its first life has a background task that ignores its cancellation."""

    def begin(actor: Player) -> None:
        if actor.context.incarnation == 1:
            actor.context.spawn(deaf, free, name="job")

    return Script(on_init=begin)


@scenario("leaving", small=True)
async def a_crash_behind_a_deaf_job_is_a_zombie() -> None:
    """Given a background task that ignores its end, the crashed actor is given up, and comes back."""
    story, free = Chronicle(), trio.Event()
    spec = supervisor("root", player(story, "a", employs(free), shutdown_s=2))
    async with given(story, spec) as tree:
        tree.ref("a").cast_nowait(Boom(once=True))
        await trio.sleep(2.9)
        assert (status(tree, "a"), story.zombies) == ("stopping", [])
        await trio.sleep(0.2)
        assert (status(tree, "a"), [z.id for z in story.zombies]) == ("zombie", ["a"])
        assert any("deaf" in frame for frame in story.zombies[0].await_stack)
        error = tree.dump().find("a").last_error
        assert error is not None
        assert error.type == "BoomError"
        free.set()
        await settle()
        assert (status(tree, "a"), story.of("survived")) == ("running", ["a"])
        assert story.lines[1:3] == ["boom a boom 1", "terminate a crash"]


@scenario("leaving", small=True)
async def a_normal_end_behind_a_deaf_job_is_a_zombie() -> None:
    """Given an actor that stops itself beside a deaf background task, it is given up, then rests."""
    story, free = Chronicle(), trio.Event()
    calm = player(story, "a", employs(free), restart="transient", shutdown_s=2)
    async with given(story, supervisor("root", calm)) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.stop()))
        await trio.sleep(3.1)
        assert status(tree, "a") == "zombie"
        free.set()
        await settle()
        assert (status(tree, "a"), story.stopped) == ("stopped", [("a", "normal")])


@scenario("leaving", small=True)
async def a_background_task_may_clean_up() -> None:
    """Given one that needs most of shutdown_s after a crash, it has it, and nobody is given up."""
    story, free = Chronicle(), trio.Event()
    spec = supervisor("root", player(story, "a", employs(free), shutdown_s=2))
    async with given(story, spec) as tree:
        await crash_once(tree, "a")
        await trio.sleep(1.9)
        free.set()
        await settle()
        assert (status(tree, "a"), story.zombies) == ("running", [])
        assert story.of("terminate") == ["a"]


@scenario("leaving", small=True)
async def an_exit_behind_a_deaf_job_gets_out() -> None:
    """Given a handler that exits beside a deaf background task, the tree stops all the same."""
    story, free = Chronicle(), trio.Event()

    def leave(_: Player) -> None:
        raise SystemExit(3)

    cast = [player(story, "a", employs(free), shutdown_s=2), player(story, "b")]
    code: object = None
    try:
        async with given(story, supervisor("root", supervisor("mid", *cast))) as tree:
            tree.ref("a").cast_nowait(Do(leave))
            try:
                await trio.sleep_forever()
            finally:
                assert trio.current_time() == 3
                assert (status(tree, "a"), status(tree, "b")) == ("zombie", "stopped")
                free.set()
    except SystemExit as exc:
        code = exc.code
    assert (code, story.of("init")) == (3, ["a", "b"])


@scenario("leaving", small=True)
async def an_init_that_fails_behind_a_deaf_job_fails_the_start() -> None:
    """Given a failing init with a deaf background task, the start fails with that init's error."""
    story, free = Chronicle(), trio.Event()
    script = employs(free)
    script.failing_inits = 1

    async def release() -> None:
        await trio.sleep(10)
        assert [(z.id, trio.current_time()) for z in story.zombies[:1]] == [("a", 10)]
        free.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(release)
        with pytest.raises(StartFailed) as caught:
            async with given(story, supervisor("root", player(story, "a", script, shutdown_s=2))):
                raise AssertionError("it has not started")
    assert (caught.value.child_id, type(caught.value.__cause__)) == ("a", BoomError)


@scenario("leaving", small=True)
async def a_start_by_hand_that_fails_behind_a_deaf_job_does_not_hang() -> None:
    """Given a new child whose init fails beside a deaf background task, its asker is told why."""
    story, free = Chronicle(), trio.Event()
    script = employs(free)
    script.failing_inits = 1
    async with given(story, supervisor("root")) as tree:
        with pytest.raises(StartFailed) as caught:
            await tree.start_child("root", player(story, "a", script, shutdown_s=2))
        assert (type(caught.value.__cause__), trio.current_time()) == (BoomError, 3)
        free.set()
        await settle()
        assert "a" not in tree.healthy()


@scenario("leaving", small=True)
async def a_deaf_handler_behind_a_broken_job_is_a_zombie() -> None:
    """Given a background task that crashes beside a deaf handler, the life is on the ladder at once."""
    story, free = Chronicle(), trio.Event()

    async def fail() -> None:
        raise BoomError("job")

    async def hang(actor: Player) -> None:
        if actor.context.incarnation == 1:
            actor.context.spawn(fail, name="job")
            await deaf(free)

    async with given(story, supervisor("root", player(story, "a", shutdown_s=2))) as tree:
        tree.ref("a").cast_nowait(DoAsync(hang))
        await trio.sleep(3.1)
        assert status(tree, "a") == "zombie"
        free.set()
        await settle()
        assert (status(tree, "a"), len(story.zombies)) == ("running", 1)


@scenario("leaving", small=True)
async def a_deaf_culprit_is_named() -> None:
    """Given an init deep in the tree that ignores its cancellation, it is the culprit of the start."""
    story = Chronicle()

    async def sleep(_: Player) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

    culprit = player(story, "culprit", Script(on_init=sleep), start_timeout_s=2)
    with pytest.raises(StartFailed, match="culprit was not ready after 2 s") as caught:
        async with given(story, supervisor("root", supervisor("mid", culprit))):
            raise AssertionError("it has not started")
    assert caught.value.child_id == "culprit"


@scenario("leaving", small=True)
async def a_start_by_hand_names_a_deaf_culprit() -> None:
    """Given a subtree started by hand with a deaf init, the asker hears of the innermost culprit."""
    story, free = Chronicle(), trio.Event()
    culprit = player(story, "culprit", Script(on_init=lambda _: deaf(free)), start_timeout_s=2)
    async with given(story, supervisor("root")) as tree:
        with pytest.raises(StartFailed) as caught:
            await tree.start_child("root", supervisor("mid", culprit))
        assert caught.value.child_id == "culprit"
        free.set()


@scenario("leaving", small=True)
async def a_held_root_says_why_it_fell() -> None:
    """Given a root that falls beside a deaf child, `wait` raises what brought it down."""
    story, free = Chronicle(), trio.Event()
    hang = player(story, "b", Script(ignores_cancel_until=free), shutdown_s=1)
    heard = list[str]()
    with pytest.raises(ReachedMaxIntensity):  # noqa: PT012  the tree itself raises
        async with given(story, supervisor("root", player(story, "a"), hang, intensity=0)) as tree:
            tree.ref("b").cast_nowait(Hang())
            tree.ref("a").cast_nowait(Boom())
            with trio.CancelScope(shield=True):
                try:
                    await tree.wait()
                except ReachedMaxIntensity as fall:
                    heard.append(fall.supervisor_id)
            free.set()
    assert heard == ["root"]


@scenario("leaving", small=True)
async def a_call_ends_in_time_while_a_zombie_holds_the_tree() -> None:
    """Given a tree that is down but for a zombie, a call to it ends after its timeout."""
    story, free, took = Chronicle(), trio.Event(), list[float]()
    hang = player(story, "a", Script(ignores_cancel_until=free), shutdown_s=1)
    async with trio.open_nursery() as nursery:

        async def ask(tree: Tree, name: str) -> None:
            begin = trio.current_time()
            with pytest.raises(CallTimeout):
                await tree.ref(name).call(Echo("x"), timeout_s=3)
            took.append(trio.current_time() - begin)
            if len(took) == 2:
                free.set()

        async with given(story, supervisor("root", supervisor("mid", hang))) as tree:
            tree.ref("a").cast_nowait(Hang())
            nursery.start_soon(ask, tree, "a")
            await tree.stop()
            assert trio.current_time() == 2
            nursery.start_soon(ask, tree, "a")
    assert took == [3, 3]


@scenario("leaving", small=True)
async def an_exit_in_a_hook_of_the_deadlines_comes_out() -> None:
    """Given a hook that exits when a deadline is ignored, the tree stops, and the others' ones hold."""
    story, free = Chronicle(), trio.Event()

    def leave(_: object) -> None:
        raise SystemExit(3)

    cast = [
        player(story, "a", Script(ignores_cancel_until=free), handler_timeout_s=2, shutdown_s=60),
        player(story, "b", handler_timeout_s=9, shutdown_s=60),
    ]
    code: object = None
    try:
        async with open_tree(supervisor("root", *cast), hooks=Hooks(zombie=leave)) as tree:
            for name in "ab":
                tree.ref(name).cast_nowait(Hang())
            await trio.sleep(10)
            assert (status(tree, "a"), status(tree, "b")) == ("stopping", "stopped")
            free.set()
            await trio.sleep_forever()
    except SystemExit as exc:
        code = exc.code
    assert (code, story.of("terminate")) == (3, ["b", "a"])


async def told_once(*, deadline_s: float, stop_at_s: float) -> None:
    """A deaf handler that passes its own deadline, and the ladder's, in either order."""
    story, free = Chronicle(), trio.Event()
    script = Script(ignores_cancel_until=free)
    hung = player(story, "a", script, shutdown_s=1, handler_timeout_s=deadline_s)
    async with given(story, supervisor("root", hung)) as tree:
        tree.ref("a").cast_nowait(Hang())
        await trio.sleep(stop_at_s)
        await tree.terminate_child("root", "a")
        await trio.sleep(30)
        assert (status(tree, "a"), len(story.zombies)) == ("zombie", 1)
        free.set()


@scenario("leaving", small=True)
async def a_survivor_is_told_of_once() -> None:
    """Given a deaf handler that the ladder gives up first, its own deadline tells of it no more."""
    await told_once(deadline_s=10, stop_at_s=5)


@scenario("leaving", small=True)
async def a_survivor_of_its_deadline_is_told_of_once() -> None:
    """Given a deaf handler that was told of for its own deadline, the ladder tells of it no more."""
    await told_once(deadline_s=2, stop_at_s=9)


@scenario("leaving", small=True)
async def each_survivor_of_a_life_is_told_of() -> None:
    """Given two deaf handlers of one life, one after the other, both are told of."""
    story, script = Chronicle(), Script()
    spec = supervisor("root", player(story, "a", script, handler_timeout_s=2))
    async with given(story, spec) as tree:
        for free in (trio.Event(), trio.Event()):
            script.ignores_cancel_until = free
            tree.ref("a").cast_nowait(Hang())
            await trio.sleep(4)
            free.set()
            await settle()
        assert [z.incarnation for z in story.zombies] == [1, 1]


@scenario("leaving", small=True)
async def a_bug_in_the_stop_hides_no_deaf_child() -> None:
    """Given a supervisor whose own code raises again and again, its deaf child is given up like it."""
    story, free = Chronicle(), trio.Event()
    cast = [player(story, "a", Script(ignores_cancel_until=free)), player(story, "b")]
    async with given(story, supervisor("root", supervisor("mid", *cast))) as tree:
        tree.ref("a").cast_nowait(Hang())
        await settle()
        with broken_steps(tree, "mid"):
            tree.ref("b").cast_nowait(Boom())
            await trio.sleep(1.1)
            up = [status(tree, name) for name in ("root", "mid", "a")]
            assert (up, status(tree, "b")) == (["running", "zombie", "zombie"], "stopped")
        free.set()
        await settle()
        tree.ref("b").cast_nowait(Say("back"))
        await settle()
        assert (story.words(), [z.id for z in story.zombies]) == ("back", ["a", "mid"])


@scenario("leaving", small=True)
async def a_bug_in_the_stop_waits_for_the_order_below() -> None:
    """Given a supervisor whose own code raises again and again, one below it still stops in order."""
    story, free = Chronicle(), trio.Event()
    deaf_ones = [player(story, name, Script(ignores_cancel_until=free)) for name in "ab"]
    mid = supervisor("mid", supervisor("low", *deaf_ones), player(story, "c"))
    async with given(story, supervisor("root", mid)) as tree:
        for name in "ab":
            tree.ref(name).cast_nowait(Hang())
        await settle()
        with broken_steps(tree, "mid"):
            tree.ref("c").cast_nowait(Boom())
            await trio.sleep(1.5)
            assert [status(tree, name) for name in ("mid", "low", "b")] == [
                "running",
                "stopping",
                "zombie",
            ]
            await trio.sleep(1)
            assert [status(tree, name) for name in ("mid", "low", "a")] == ["zombie"] * 3
        free.set()
        await settle()
        assert [z.id for z in story.zombies] == ["b", "a", "low", "mid"]
        assert status(tree, "a") == "running"
