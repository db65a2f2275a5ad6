"""Crashing out of a whole tree, asking it, and closing it."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from trio.testing import MockClock

from coordinator.runtime import (
    Actor,
    AdminError,
    Backoff,
    Hooks,
    RuntimeFault,
    SpecError,
    StartFailed,
    Tree,
    WouldDeadlock,
    child,
    open_tree,
    supervisor,
    task,
)
from tests.runtime.stage import (
    Boom,
    BoomError,
    Chronicle,
    Do,
    DoAsync,
    Hang,
    Player,
    Say,
    Script,
    player,
    settle,
)


def small_tree(chronicle: Chronicle, script: Script | None = None) -> Any:
    return supervisor(
        "root",
        player(chronicle, "a", script),
        supervisor("mid", player(chronicle, "b", script), player(chronicle, "c", script)),
    )


async def test_the_root_is_a_supervisor() -> None:
    """Nothing else can be opened."""
    with pytest.raises(SpecError, match="must be a supervisor"):
        async with open_tree(child(Player, Chronicle(), id="a")):
            pass


async def test_nothing_is_left_behind() -> None:
    """After the tree there are as many tasks as before."""
    before = trio.lowlevel.current_statistics().tasks_living
    async with open_tree(small_tree(Chronicle())) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.start_timer("t", 99, Say("x"))))
        await settle()
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_an_actor_requests_the_stop_and_does_not_wait_for_it() -> None:
    """Waiting for one's own stop is refused, asking for it works; the block goes on until it looks."""
    chronicle = Chronicle()

    async def leave(actor: Player) -> None:
        with pytest.raises(WouldDeadlock, match="use request_stop"):
            await actor.context.tree.stop()
        actor.context.tree.request_stop("enough")

    async with open_tree(small_tree(chronicle)) as tree:
        await tree.ref("a").cast(DoAsync(leave))
        await tree.wait()
        chronicle.lines.append("block goes on")
    assert chronicle.of("terminate") == ["c", "b", "a"]
    assert chronicle.lines[-1] == "block goes on"


# fatal errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
async def test_fatal_errors_are_never_restarted(fatal: type[BaseException]) -> None:
    """They stop everything in order and come out of the tree bare."""
    chronicle = Chronicle()

    def fall(_: Player) -> None:
        raise fatal

    with pytest.raises(fatal):  # noqa: PT012  the tree itself raises
        async with open_tree(small_tree(chronicle)) as tree:
            tree.ref("b").cast_nowait(Do(fall))
            await trio.sleep_forever()
    assert chronicle.of("init") == ["a", "b", "c"]
    assert chronicle.of("terminate") == ["b", "c", "a"]


async def test_a_fatal_error_in_a_background_task_is_found_in_its_group() -> None:
    """Also when it comes wrapped together with others."""

    async def fall() -> None:
        raise KeyboardInterrupt

    def arm(actor: Player) -> None:
        actor.context.spawn(fall, name="one")
        actor.context.spawn(fall, name="two")

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  the tree itself raises
        async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
            tree.ref("a").cast_nowait(Do(arm))
            await trio.sleep_forever()


async def test_a_fatal_error_while_stopping_is_not_lost() -> None:
    """It comes out even though the child was being stopped anyway."""

    async def fall(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        async with open_tree(supervisor("root", task(fall, id="t"))):
            pass


async def test_an_interrupt_during_the_stop_hurries_it(autojump_clock: MockClock) -> None:
    """Whoever waits for the last stop and is interrupted leaves a hurried one behind."""
    chronicle = Chronicle()
    async with open_tree(small_tree(chronicle, Script(terminate_takes_s=4))) as tree:
        begin = trio.current_time()
        with trio.move_on_after(2):
            await tree.wind_down()
        await tree.wait()
        assert trio.current_time() - begin < 5
    assert chronicle.of("terminate") == ["c", "b", "a"]


@pytest.fixture
def ctrl_c_raises() -> Iterator[None]:
    """Python's own handler, which is absent where the tests run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize("where", ["handler", "block", "hook"])
def test_ctrl_c_stops_the_tree_in_order(where: str) -> None:
    """Wherever the signal strikes, in an actor, in the block or inside the runtime: nobody is left."""
    chronicle = Chronicle()

    def strike(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    async def scenario() -> None:
        hooks = Hooks(stopped=strike) if where == "hook" else Hooks()
        async with open_tree(small_tree(chronicle), hooks=hooks) as tree:
            if where == "block":
                strike()
            tree.ref("b").cast_nowait(Do(strike) if where == "handler" else Boom(once=True))
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(scenario)
    assert sorted(chronicle.of("init")) == sorted(chronicle.of("terminate"))


# crash at every await -----------------------------------------------------------------------------


class Injection(trio.abc.Instrument):
    """Raises in a task instead of resuming it, at its n-th step from now."""

    def __init__(self, task: trio.lowlevel.Task, at_step: int, error: BaseException) -> None:
        self.task = task
        self.left = at_step
        self.error = error
        self.done = False

    def arm(self) -> None:
        trio.lowlevel.add_instrument(self)

    def disarm(self) -> None:
        trio.lowlevel.remove_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task and not self.done:
            self.left -= 1
            if self.left == 0:
                self.done = True
                task._next_send_fn = task.coro.throw
                task._next_send = self.error


async def stop_in_a_moment(tree: Tree) -> None:
    await tree.ref("a").cast(Boom(once=True))
    await settle()
    await tree.terminate_child("mid", "c")
    await tree.restart_child("mid", "c")
    await tree.stop()


@pytest.mark.parametrize("victim", ["root", "root/mid"])
@pytest.mark.parametrize("step", range(1, 14))
async def test_a_supervisor_killed_at_any_await_stops_every_child(
    victim: str, step: int, autojump_clock: MockClock
) -> None:
    """Whatever breaks in the supervisor's own code, at whichever await: no child survives it."""
    chronicle = Chronicle()
    before = trio.lowlevel.current_statistics().tasks_living
    error = BoomError("supervisor")
    injections = list[Injection]()
    outcomes = list[Exception]()
    try:
        async with open_tree(small_tree(chronicle, Script(terminate_takes_s=1))) as tree:
            place = tree.root if victim == "root" else tree._registry.find("mid")
            assert place.task is not None
            injections.append(Injection(place.task, step, error))
            injections[0].arm()
            with trio.move_on_after(100):
                await stop_in_a_moment(tree)
    except Exception as exc:  # noqa: BLE001  the injected error or what it led to
        outcomes.append(exc)
    assert all(isinstance(exc, BoomError | RuntimeFault | ExceptionGroup) for exc in outcomes)
    injections[0].disarm()
    inits, ends = chronicle.of("init"), chronicle.of("terminate")
    assert sorted(inits) == sorted(ends)
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_a_cancelled_supervisor_stops_its_children_in_order(autojump_clock: MockClock) -> None:
    """A nested supervisor whose own scope is cancelled still stops its children in reverse."""
    chronicle = Chronicle()
    async with open_tree(small_tree(chronicle)) as tree:
        chronicle.clear()
        tree._registry.find("mid").scope.cancel()
        await settle()
        assert chronicle.of("terminate") == ["c", "b"]
        assert chronicle.of("init") == ["b", "c"]


async def test_an_interrupted_wind_up_kills_what_is_left(autojump_clock: MockClock) -> None:
    """When even the ordered stop breaks, every child is cancelled at once."""
    chronicle = Chronicle()
    with pytest.raises(BoomError):  # noqa: PT012  the tree itself raises
        async with open_tree(small_tree(chronicle, Script(terminate_takes_s=50))) as tree:
            await tree.ref("a").cast(Hang())
            await settle()
            begin = trio.current_time()
            assert tree.root.task is not None
            tree.request_stop()
            injection = Injection(tree.root.task, 2, BoomError("wind-up"))
            injection.arm()
            await trio.sleep_forever()
    injection.disarm()
    assert trio.current_time() - begin == 10.5  # mid had its 2 × 5 s before; a lost its own


async def test_a_stop_requested_during_the_start_fails_it() -> None:
    """An init that stops its own tree leaves nothing running, and the opener hears of it."""
    chronicle = Chronicle()
    script = Script(on_init=lambda actor: actor.context.tree.request_stop())
    with pytest.raises(StartFailed, match="root did not start: it was stopped first"):
        async with open_tree(
            supervisor("root", player(chronicle, "a"), player(chronicle, "b", script))
        ):
            pass
    assert chronicle.of("init") == chronicle.of("terminate")[::-1]


async def test_a_killed_actor_comes_back_without_last_words() -> None:
    """A kill is an abnormal end without `terminate`; mailbox and references live on."""
    chronicle = Chronicle()
    async with open_tree(
        supervisor("root", player(chronicle, "a", restart="transient")), hooks=chronicle.hooks()
    ) as tree:
        tree.kill("a")
        tree.kill("a")
        await tree.ref("a").cast(Say("after"))
        await settle()
        assert [line for line in chronicle.lines if "terminate" in line] == []
        assert chronicle.lines[-1] == "said a after"
        assert [crash.error.type for crash in chronicle.crashes] == ["Killed"]


async def test_a_killed_actor_handles_nothing_more() -> None:
    """Also if it was killed by its own handler in the middle of a batch."""
    chronicle, lives = Chronicle(), list[int]()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: tree.kill("a")))
        for _ in range(3):
            tree.ref("a").cast_nowait(Do(lambda actor: lives.append(actor.context.incarnation)))
        await settle()
        assert lives == [2, 2, 2]


async def test_a_supervisor_is_not_killed() -> None:
    """Its children would be left without one; an unknown id is a KeyError."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        with pytest.raises(AdminError, match="is a supervisor"):
            tree.kill("root")
        with pytest.raises(KeyError):
            tree.kill("nobody")


async def test_depths_count_what_is_queued() -> None:
    """Every actor's queue is counted, supervisors have none."""
    chronicle = Chronicle()
    async with open_tree(small_tree(chronicle)) as tree:
        assert tree.depths() == {"a": 0, "b": 0, "c": 0}
        for _ in range(3):
            tree.ref("b").cast_nowait(Say("x"))
        assert tree.depths()["b"] == 3


async def test_a_waiting_handler_sees_that_it_should_end() -> None:
    """`is_stopping` turns true for a handler that is asked to stop while it waits."""
    chronicle = Chronicle()
    seen: list[bool] = []

    async def wait(actor: Player) -> None:
        seen.append(actor.context.is_stopping)
        while not actor.context.is_stopping:
            await trio.lowlevel.checkpoint()
        seen.append(True)

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(DoAsync(wait))
        await settle_briefly()
        await tree.stop()
    assert seen == [False, True]


async def test_the_state_of_a_stuck_actor() -> None:
    """`get_state` needs no help: `inspect()`, or the public attributes of an actor without one."""

    class Plain(Player):
        inspect = Actor.inspect

    spec = supervisor(
        "root",
        player(Chronicle(), "told", Script(state={"n": 1})),
        child(Plain, Chronicle(), id="plain"),
    )
    async with open_tree(spec, hooks=Hooks(redact=lambda name, value: value)) as tree:
        for name in ("told", "plain"):
            await tree.ref(name).cast(Hang())
        await settle()
        assert tree.get_state("told") == {"n": 1}
        shown = tree.get_state("plain")
        assert isinstance(shown, dict)
        assert set(shown) == {"chronicle", "script"}
        tree.request_stop(hurry=True)


async def test_the_state_between_two_lives(autojump_clock: MockClock) -> None:
    """There is none; supervisors and tasks have none at all, an unknown id is a KeyError."""
    spec = player(Chronicle(), "a", Script(state=1), backoff=Backoff(min_s=9, max_s=9))
    async with open_tree(supervisor("root", spec)) as tree:
        for _ in range(2):
            tree.ref("a").cast_nowait(Boom(once=True))
        await trio.sleep(5)
        assert tree.healthy()["a"] == "restarting"
        assert tree.get_state("a") is None
        with pytest.raises(AdminError, match="'root' is a supervisor, not an actor"):
            tree.get_state("root")
        with pytest.raises(KeyError, match="ghost"):
            tree.get_state("ghost")


async def settle_briefly() -> None:
    """A few turns of the scheduler, for a handler that never blocks."""
    for _ in range(10):
        await trio.lowlevel.checkpoint()
