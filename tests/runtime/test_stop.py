"""The ladder: ask, deadline, cancel, grace, zombie; strictly one child after the other."""

import sys

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import Tree, child, dynamic, open_tree, supervisor, task
from coordinator.runtime.child import Child
from coordinator.runtime.supervisor import Supervisor
from tests.runtime.stage import (
    AT_ONCE,
    Boom,
    BoomError,
    Chronicle,
    Do,
    Hang,
    Player,
    Say,
    Script,
    is_conserved,
    player,
    settle,
    status,
)


async def test_strict_reverse_order(autojump_clock: MockClock) -> None:
    """Each child is down, slow or not, before the one started before it is asked."""
    chronicle = Chronicle()
    slow = Script(terminate_takes_s=3)
    spec = supervisor(
        "root",
        player(chronicle, "a"),
        supervisor("mid", player(chronicle, "b"), player(chronicle, "c", slow)),
        player(chronicle, "d", slow),
    )
    async with open_tree(spec):
        chronicle.clear()
    assert chronicle.lines == [
        "terminate d shutdown",
        "terminated d",
        "terminate c shutdown",
        "terminated c",
        "terminate b shutdown",
        "terminate a shutdown",
    ]


async def test_a_stop_does_not_wait_behind_the_queue(autojump_clock: MockClock) -> None:
    """Queued messages are returned unhandled, in order; the one in hand is finished."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        ref = tree.ref("a")
        await ref.cast(Hang(for_s=2))
        for n in range(50):
            await ref.cast(Say(str(n)))
        await settle()
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 2
        assert chronicle.of("said") == []
        assert [m for _, m in chronicle.returned] == [Say(str(n)) for n in range(50)]
        assert tree.dump().find("a").mailbox is not None
        assert is_conserved(tree)


async def test_a_batch_does_not_delay_a_stop(autojump_clock: MockClock) -> None:
    """A stop asked for from inside the first handler of a full mailbox comes after one or two more."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Do(lambda actor: actor.context.tree.request_stop()))
        for n in range(63):
            ref.cast_nowait(Say(str(n)))
        await tree.wait()
    assert len(chronicle.of("said")) <= 2


async def test_a_hung_handler_is_cancelled_at_the_deadline(autojump_clock: MockClock) -> None:
    """After shutdown_s the handler is cancelled, terminate still runs, the message is returned."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a", shutdown_s=4))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Hang())
        await settle()
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 4
    assert chronicle.lines[-1] == "terminate a shutdown"
    assert chronicle.returned == [("a", Hang())]
    assert chronicle.crashes == []
    assert chronicle.zombies == []


async def test_a_slow_terminate_is_cut_at_the_deadline(autojump_clock: MockClock) -> None:
    """Cleaning up has until the deadline, then it is cancelled."""
    chronicle = Chronicle()
    script = Script(terminate_takes_s=100)
    async with open_tree(supervisor("root", player(chronicle, "a", script, shutdown_s=4))):
        begin = trio.current_time()
    assert begin + 4 <= trio.current_time() <= begin + 4.5
    assert chronicle.lines[-1] == "terminate a shutdown"


async def test_hurry_skips_the_deadlines(autojump_clock: MockClock) -> None:
    """A hurried stop cancels at once and keeps the order."""
    chronicle = Chronicle()
    spec = supervisor(
        "root", *(player(chronicle, n) for n in "ab"), supervisor("m", player(chronicle, "c"))
    )
    async with open_tree(spec) as tree:
        for name in "abc":
            await tree.ref(name).cast(Hang())
        await settle()
        chronicle.clear()
        begin = trio.current_time()
        await tree.stop(hurry=True)
        assert trio.current_time() == begin
    assert chronicle.of("terminate") == ["c", "b", "a"]


async def test_a_second_stop_hurries_the_first(autojump_clock: MockClock) -> None:
    """A stop under way can be hurried, also inside a nested supervisor; both callers return."""
    chronicle = Chronicle()
    spec = supervisor("root", supervisor("m", player(chronicle, "a", shutdown_s=1000)))
    async with open_tree(spec) as tree:
        await tree.ref("a").cast(Hang())
        await settle()
        begin = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.stop)
            await trio.sleep(3)
            nursery.start_soon(tree.stop, "again", True)
        assert trio.current_time() == begin + 3


async def test_a_second_stop_is_idempotent(autojump_clock: MockClock) -> None:
    """Stopping twice at once, and once more when all is over, is the same as once."""
    chronicle = Chronicle()
    async with open_tree(
        supervisor("root", player(chronicle, "a", Script(terminate_takes_s=1)))
    ) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.stop)
            nursery.start_soon(tree.stop)
        await tree.stop()
        await tree.wait()
    assert chronicle.of("terminate") == ["a"]


async def test_an_error_in_terminate_is_reported_and_the_stop_goes_on() -> None:
    """The next child is stopped as if nothing had happened."""
    chronicle = Chronicle()
    spec = supervisor(
        "root", player(chronicle, "a"), player(chronicle, "b", Script(terminate_raises=True))
    )
    async with open_tree(spec, hooks=chronicle.hooks()):
        pass
    assert chronicle.of("terminate") == ["b", "a"]
    assert [(c.id, c.phase, c.error.message) for c in chronicle.crashes] == [
        ("b", "terminate", "terminate")
    ]


async def test_dynamic_children_stop_together(autojump_clock: MockClock) -> None:
    """Ten children that take a second each are down after a second."""
    chronicle = Chronicle()
    initial = [player(chronicle, f"p{n}", Script(terminate_takes_s=1)) for n in range(10)]
    async with open_tree(supervisor("root", dynamic("d", initial=initial))):
        begin = trio.current_time()
    assert trio.current_time() == begin + 1


async def test_an_outer_cancellation_keeps_the_order(autojump_clock: MockClock) -> None:
    """Cancelling whoever opened the tree stops the children in reverse, with their deadlines."""
    chronicle = Chronicle()
    script = Script(terminate_takes_s=2)
    spec = supervisor(
        "root", *(player(chronicle, n, script) for n in "ab"), supervisor("m", player(chronicle, "c"))
    )
    with trio.CancelScope() as scope:
        async with open_tree(spec):
            chronicle.clear()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert chronicle.lines == [
        "terminate c shutdown",
        "terminate b shutdown",
        "terminated b",
        "terminate a shutdown",
        "terminated a",
    ]


async def test_a_zombie_is_named_and_the_stop_goes_on(autojump_clock: MockClock) -> None:
    """One that ignores its cancellation is reported with its await stack after deadline and grace."""
    chronicle, free = Chronicle(), trio.Event()
    stubborn = Script(ignores_cancel_until=free)
    spec = supervisor(
        "root",
        player(chronicle, "a"),
        supervisor("m", player(chronicle, "b"), player(chronicle, "z", stubborn)),
    )
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("z").cast(Hang())
        await settle()
        chronicle.clear()
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 5 + 1
        assert chronicle.of("terminate") == ["b", "a"]
        dump = tree.dump()
        assert [z.id for z in dump.zombies] == ["z", "m"]  # m cannot leave before z does
        assert any("stage.py:hang" in line for line in dump.zombies[0].await_stack)
        assert dump.find("z").status == "zombie"
        free.set()
    assert chronicle.zombies[0].path == "root/m/z"


async def test_a_zombie_is_replaced_only_when_it_is_gone(autojump_clock: MockClock) -> None:
    """A group restart leaves a survivor alone and starts it again once it has ended."""
    chronicle, free = Chronicle(), trio.Event()
    spec = supervisor(
        "root", player(chronicle, "a"), player(chronicle, "z", Script(ignores_cancel_until=free)),
        strategy="one_for_all",
    )  # fmt: skip
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("z").cast(Hang())
        await settle()
        await tree.ref("a").cast(Boom(once=True))
        await trio.sleep(7)
        assert (status(tree, "a"), status(tree, "z")) == ("running", "zombie")
        free.set()
        await settle()
        assert status(tree, "z") == "running"
        assert tree.dump().find("z").incarnation == 2


async def test_a_task_is_cancelled_and_may_clean_up(autojump_clock: MockClock) -> None:
    """A stop cancels a task at once; shielded cleaning up has shutdown_s."""
    lines = list[str]()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
                lines.append("clean")

    async with open_tree(supervisor("root", task(serve, id="t"))):
        begin = trio.current_time()
    assert (lines, trio.current_time()) == (["clean"], begin + 3)


async def test_a_task_that_cleans_up_for_ever_is_a_zombie(autojump_clock: MockClock) -> None:
    """After shutdown_s and the grace it is reported."""
    free, chronicle = trio.Event(), Chronicle()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with trio.CancelScope(shield=True):
            await free.wait()

    async with open_tree(supervisor("root", task(serve, id="t")), hooks=chronicle.hooks()) as tree:
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 6
        free.set()
    assert chronicle.zombies[0].id == "t"


async def test_a_stop_during_the_start_is_obeyed(autojump_clock: MockClock) -> None:
    """A child in the middle of a long init is cancelled at once; who started is stopped."""
    chronicle = Chronicle()
    spec = supervisor("m", player(chronicle, "a"), player(chronicle, "b", Script(init_takes_s=25)))

    async with open_tree(supervisor("root", dynamic("d"))) as tree:
        begin = trio.current_time()

        async def stop_soon(tree: Tree) -> None:
            await trio.sleep(2)
            await tree.terminate_child("d", "m")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_soon, tree)
            with pytest.raises(Exception, match="did not start"):
                await tree.start_child("d", spec)
        assert trio.current_time() == begin + 2
    assert chronicle.lines == ["init a 1", "terminate a shutdown"]


async def test_last_words_after_a_crash_are_watched(autojump_clock: MockClock) -> None:
    """A `terminate` that ignores its cancellation after a crash makes a zombie like after a stop."""
    chronicle, release = Chronicle(), trio.Event()

    class Mumbler(Player):
        async def terminate(self, reason: str) -> None:
            with trio.CancelScope(shield=True), trio.move_on_after(20):
                await release.wait()

    spec = supervisor("root", child(Mumbler, chronicle, id="a", backoff=AT_ONCE))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Boom(once=True))
        await trio.sleep(4)
        assert status(tree, "a") == "stopping"
        await trio.sleep(3)
        assert status(tree, "a") == "zombie"
        assert [zombie.id for zombie in chronicle.zombies] == ["a"]
        release.set()
        await settle()
        assert status(tree, "a") == "running"
        assert chronicle.of("survived") == ["a"]


async def test_an_error_beside_a_cut_terminate_is_only_reported(autojump_clock: MockClock) -> None:
    """A group of Cancelled and an error out of `terminate` is an error in `terminate`, no crash."""
    chronicle = Chronicle()

    class Messy(Player):
        async def terminate(self, reason: str) -> None:
            async def untidy() -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    raise BoomError("cleanup")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(untidy)
                nursery.start_soon(trio.sleep_forever)
                await trio.sleep_forever()

    spec = supervisor("root", child(Messy, chronicle, id="a", shutdown_s=1))
    async with open_tree(spec, hooks=chronicle.hooks()):
        pass
    assert [crash.phase for crash in chronicle.crashes] == ["terminate"]
    assert ("a", "shutdown") in chronicle.stopped


async def test_a_zombie_that_has_ended_is_shown_down(autojump_clock: MockClock) -> None:
    """Once it ends at last, below a supervisor that is gone, nobody calls it a zombie any more."""
    story, gate = Chronicle(), trio.Event()
    stubborn = player(story, "a", Script(ignores_cancel_until=gate), shutdown_s=1)
    async with open_tree(supervisor("root", supervisor("s", stubborn))) as tree:
        tree.ref("a").cast_nowait(Hang())
        await settle()
        await tree.terminate_child("root", "s")
        assert status(tree, "a") == "zombie"
        gate.set()
        await settle()
        assert status(tree, "a") == "stopped"


async def test_a_stop_broken_off_gives_up_at_once_who_is_held(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who said so before has had its grace, and is not waited for until it ends."""
    gate, broken = trio.Event(), list[str]()
    steps = sys.modules[Supervisor.__module__]
    press = steps.press

    def breaks(held: Child, now: float, *, hurry: bool) -> None:
        if held.id == "s" and held.is_held and not broken:
            broken.append(held.id)
            raise BoomError("a bug in the step")
        press(held, now, hurry=hurry)

    monkeypatch.setattr(steps, "press", breaks)
    stubborn = player(Chronicle(), "z", Script(ignores_cancel_until=gate), shutdown_s=0.1)
    with pytest.raises(BoomError):  # noqa: PT012  the tree itself raises
        async with open_tree(supervisor("root", supervisor("s", stubborn))) as tree:
            tree.ref("z").cast_nowait(Hang())
            await settle()
            begin = trio.current_time()
            tree.request_stop()
            try:
                with trio.move_on_after(60):
                    await tree.wait()
            finally:
                waited = trio.current_time() - begin
                gate.set()
            assert broken == ["s"]
    assert waited < 3
