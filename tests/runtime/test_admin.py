"""OTP's verbs and their answers in every state of a child."""

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import (
    AdminError,
    Backoff,
    ChildCount,
    ChildInfo,
    ChildNotStopped,
    StartFailed,
    TooManyChildren,
    UnknownChild,
    WouldDeadlock,
    dynamic,
    open_tree,
    supervisor,
    task,
)
from tests.runtime.stage import (
    Boom,
    BoomError,
    Chronicle,
    DoAsync,
    Echo,
    Player,
    Script,
    player,
    settle,
    status,
)


async def test_children_come_and_go() -> None:
    """A child started by hand is last in order, can be stopped, started again and forgotten."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        ref = await tree.start_child("root", player(chronicle, "b"))
        assert await ref.call(Echo("hi")) == "hi"
        assert [c.id for c in tree.which_children("root")] == ["a", "b"]
        await tree.terminate_child("root", "b")
        assert tree.which_children("root")[1] == ChildInfo("b", "actor", "stopped")
        await tree.terminate_child("root", "b")
        await tree.restart_child("root", "b")
        assert await ref.call(Echo("again")) == "again"
        await tree.terminate_child("root", "b")
        await tree.delete_child("root", "b")
        assert "b" not in tree.healthy()


async def test_counts_by_kind() -> None:
    """Places, live ones, supervisors and workers."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a"), dynamic("d"), player(chronicle, "b"))
    async with open_tree(spec) as tree:
        await tree.terminate_child("root", "b")
        assert tree.count_children("root") == ChildCount(specs=3, active=2, supervisors=1, workers=2)


async def test_verbs_that_do_not_fit_are_refused() -> None:
    """A running child is neither restarted nor deleted, an unknown one nothing at all."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        with pytest.raises(ChildNotStopped, match="root/a is running"):
            await tree.restart_child("root", "a")
        with pytest.raises(ChildNotStopped, match="root/a is running"):
            await tree.delete_child("root", "a")
        with pytest.raises(UnknownChild, match="no child 'x'"):
            await tree.terminate_child("root", "x")
        with pytest.raises(AdminError, match="not a supervisor"):
            await tree.start_child("a", player(chronicle, "b"))
        with pytest.raises(KeyError, match="nowhere"):
            tree.which_children("nowhere")


async def test_a_failed_start_by_hand_leaves_nothing() -> None:
    """The asker gets the error with its cause; no retry, no place, no name."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", dynamic("d"))) as tree:
        for owner in ("d", "root"):
            with pytest.raises(StartFailed) as caught:
                await tree.start_child(owner, player(chronicle, "bad", Script(failing_inits=1)))
            assert isinstance(caught.value.__cause__, BoomError)
            assert "bad" not in tree.healthy()
        assert tree.dump().root.budget_left == 3


async def test_max_children() -> None:
    """A full dynamic supervisor refuses; a place that becomes free can be taken."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", dynamic("d", max_children=1))) as tree:
        await tree.start_child("d", player(chronicle, "a"))
        with pytest.raises(TooManyChildren, match="1 of 1"):
            await tree.start_child("d", player(chronicle, "b"))
        await tree.terminate_child("d", "a")
        await tree.start_child("d", player(chronicle, "b"))


async def test_a_terminated_temporary_child_is_gone() -> None:
    """Its place is not kept, under a static supervisor either."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a", restart="temporary"))) as tree:
        await tree.terminate_child("root", "a")
        assert "a" not in tree.healthy()


async def test_a_manual_stop_is_no_restart(autojump_clock: MockClock) -> None:
    """Stopping and starting by hand costs nothing of the budget."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"), intensity=0)) as tree:
        for _ in range(3):
            await tree.terminate_child("root", "a")
            await tree.restart_child("root", "a")
        assert status(tree, "a") == "running"


async def test_a_waiting_restart_can_be_called_off(autojump_clock: MockClock) -> None:
    """A child that waits for its next try is stopped without being started."""
    chronicle, script = Chronicle(), Script()
    slow = Backoff(min_s=50, max_s=50)
    async with open_tree(supervisor("root", dynamic("d"))) as tree:
        await tree.start_child("d", player(chronicle, "a", script, backoff=slow))
        script.failing_inits = 1
        tree.ref("a").cast_nowait(Boom(once=True))
        await settle()
        assert status(tree, "a") == "restarting"
        await tree.terminate_child("d", "a")
        assert "a" not in tree.healthy()


async def test_asking_ones_own_supervisor_from_init_is_an_error() -> None:
    """Static children start one after the other, so the new one would wait for the asker."""
    chronicle, refused = Chronicle(), list[str]()

    async def greedy(actor: Player) -> None:
        with pytest.raises(WouldDeadlock, match="root is starting a"):
            await actor.context.tree.start_child("root", player(chronicle, "b"))
        refused.append("b")

    async with open_tree(supervisor("root", player(chronicle, "a", Script(on_init=greedy)))):
        assert refused == ["b"]


async def test_a_dynamic_sibling_may_be_started_from_init() -> None:
    """Dynamic starts are concurrent, so nobody waits for the asker."""
    chronicle = Chronicle()

    async def generous(actor: Player) -> None:
        await actor.context.tree.start_child("d", player(chronicle, "b"))

    async with open_tree(supervisor("root", dynamic("d"))) as tree:
        await tree.start_child("d", player(chronicle, "a", Script(on_init=generous)))
        assert chronicle.of("init") == ["b", "a"]


async def test_stopping_oneself_by_verb_is_an_error() -> None:
    """An actor cannot wait for its own end, nor for that of a supervisor above it."""
    chronicle = Chronicle()

    async def suicide(actor: Player) -> None:
        with pytest.raises(WouldDeadlock, match="a asks to be stopped"):
            await actor.context.tree.terminate_child("mid", "a")
        with pytest.raises(WouldDeadlock, match="mid asks to be stopped"):
            await actor.context.tree.terminate_child("root", "mid")
        actor.note("refused")

    async with open_tree(supervisor("root", supervisor("mid", player(chronicle, "a")))) as tree:
        await tree.ref("a").cast(DoAsync(suicide))
        await settle()
        assert chronicle.of("refused") == ["a"]


async def test_a_stopped_supervisor_starts_nobody() -> None:
    """A request to a supervisor that does not run is refused and not forgotten in a queue."""
    chronicle = Chronicle()
    async with open_tree(
        supervisor("root", dynamic("d"), supervisor("s", player(chronicle, "x")))
    ) as tree:
        await tree.terminate_child("root", "d")
        await tree.terminate_child("root", "s")
        with pytest.raises(AdminError, match="d is stopped and starts nobody"):
            await tree.start_child("d", player(chronicle, "a"))
        with pytest.raises(AdminError, match="s is stopped and starts nobody"):
            await tree.restart_child("s", "x")
        await tree.restart_child("root", "d")
        await tree.start_child("d", player(chronicle, "a"))


async def test_an_asker_hears_when_the_supervisor_goes_down(autojump_clock: MockClock) -> None:
    """A start that is overtaken by the supervisor's stop fails for who asked for it."""
    chronicle, told = Chronicle(), list[str]()

    async with open_tree(supervisor("root", dynamic("d"))) as tree:

        async def ask() -> None:
            with pytest.raises(StartFailed, match="stopped first"):
                await tree.start_child("d", player(chronicle, "a", Script(init_takes_s=20)))
            told.append("a")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await settle()
            await tree.terminate_child("root", "d")
        assert told == ["a"]


async def test_other_kinds_can_be_started_by_hand() -> None:
    """A task or a supervisor has no reference."""

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    async with open_tree(supervisor("root")) as tree:
        assert await tree.start_child("root", task(run, id="t")) is None
        assert tree.healthy() == {"root": "running", "t": "running"}


async def test_a_failed_manual_restart_leaves_the_child_stopped() -> None:
    """The asker gets the error; the place stays, its references are down, a later try may work."""
    chronicle, script = Chronicle(), Script()
    async with open_tree(supervisor("root", player(chronicle, "a", script))) as tree:
        await tree.terminate_child("root", "a")
        script.failing_inits = 1
        with pytest.raises(StartFailed):
            await tree.restart_child("root", "a")
        assert (status(tree, "a"), tree.ref("a").alive) == ("failed", False)
        await tree.restart_child("root", "a")
        assert await tree.ref("a").call(Echo("x")) == "x"
