"""Many deadlines, one watcher."""

import math

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import CallTimeout, open_tree, supervisor
from coordinator.runtime.watch import FEW, DeadlineWatch
from tests.runtime.stage import (
    BoomError,
    Chronicle,
    DoAsync,
    Echo,
    Hang,
    Player,
    Say,
    SlowEcho,
    player,
    settle,
)


async def test_each_actor_has_its_own_deadline(autojump_clock: MockClock) -> None:
    """Three hung handlers are cut each at its own time, the shortest first, though started last."""
    chronicle, begin = Chronicle(), trio.current_time()
    cut = list[tuple[str, float]]()
    spec = supervisor(
        "root", *(player(chronicle, n, handler_timeout_s=t) for n, t in (("a", 9), ("b", 5), ("c", 2)))
    )
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        for name in "abc":
            await tree.ref(name).cast(Hang())
        while len(cut) < 3:
            await trio.sleep(0.5)
            known = {name for name, _ in cut}
            cut += [
                (c.id, trio.current_time() - begin) for c in chronicle.crashes if c.id not in known
            ][:1]
    assert [name for name, _ in cut] == ["c", "b", "a"]


async def test_an_idle_actor_costs_no_wakeup(autojump_clock: MockClock) -> None:
    """After its message is handled nothing is watched any more."""
    async with open_tree(supervisor("root", player(Chronicle(), "a", handler_timeout_s=3))) as tree:
        await tree.ref("a").cast(Say("x"))
        await settle()
        assert len(tree.watch._heap) == 1
        await trio.sleep(10)
        assert tree.watch._heap == []


async def test_calls_end_each_at_its_own_time(autojump_clock: MockClock) -> None:
    """A call with a short timeout ends first, though an earlier one waits longer; each exactly."""
    ended, begin = list[tuple[float, float]](), trio.current_time()
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.ref("a").cast(Hang(for_s=20))

        async def ask(timeout_s: float) -> None:
            with pytest.raises(CallTimeout):
                await tree.ref("a").call(Echo("x"), timeout_s=timeout_s)
            ended.append((timeout_s, trio.current_time() - begin))

        async with trio.open_nursery() as nursery:
            for timeout_s in (7.0, 1.5, 3.0):
                nursery.start_soon(ask, timeout_s)
                await settle()
    assert ended == [(1.5, 1.5), (3.0, 3.0), (7.0, 7.0)]


async def test_answered_calls_do_not_pile_up(autojump_clock: MockClock) -> None:
    """Of thousands of answered calls a handful is still in the heap, and those that wait are kept."""
    async with (
        open_tree(supervisor("root", player(Chronicle(), "a"), player(Chronicle(), "b"))) as tree,
        trio.open_nursery() as nursery,
    ):

        async def ask_slow() -> None:
            with pytest.raises(CallTimeout):
                await tree.ref("b").call(SlowEcho("x", 9), timeout_s=2)

        nursery.start_soon(ask_slow)
        for _ in range(1_000):
            await tree.ref("a").call(Echo("x"))
        assert len(tree.watch._heap) <= 2 * FEW


async def test_deadlines_hold_while_the_tree_stops(autojump_clock: MockClock) -> None:
    """A handler that calls somebody silent gets its CallTimeout even if the tree is cancelled."""
    chronicle, begin = Chronicle(), trio.current_time()

    async def ask(actor: object) -> None:
        with pytest.raises(CallTimeout):
            await silent.call(Echo("x"), timeout_s=2)
        chronicle.lines.append(f"timeout after {trio.current_time() - begin:g}")

    spec = supervisor("root", player(chronicle, "silent", shutdown_s=60), player(chronicle, "asking"))
    with trio.CancelScope() as scope:
        async with open_tree(spec) as tree:
            silent = tree.ref("silent")
            await silent.cast(Hang(for_s=9))
            await tree.ref("asking").cast(DoAsync(ask))
            await settle()
            scope.cancel()
            await trio.sleep_forever()
    assert "timeout after 2" in chronicle.lines
    assert trio.current_time() - begin == 9


class Due:
    """A deadline of its own."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expected_at = math.inf
        self.overruns = 0

    def overrun(self) -> None:
        self.overruns += 1


async def test_a_deadline_that_moves_is_looked_up(autojump_clock: MockClock) -> None:
    """Pushed back it is kept until then, lifted it is dropped; and each is told at most once."""
    watch, now = DeadlineWatch(list[BaseException]().append), trio.current_time()
    moved, lifted, due = Due(now + 1), Due(now + 1), Due(now + 1)
    async with watch.running():
        for each in (moved, lifted, due):
            watch.expect(each)
        moved.deadline, lifted.deadline = now + 5, math.inf
        await trio.sleep(2)
        assert [each.overruns for each in (moved, lifted, due)] == [0, 0, 1]
        assert [each.expected_at for each in (moved, lifted, due)] == [now + 5, math.inf, math.inf]
        await trio.sleep(4)
        assert (moved.overruns, moved.expected_at) == (1, math.inf)


def test_rebuilding_drops_what_has_no_deadline_any_more() -> None:
    """And tells it so, for an actor that becomes busy again has to be expected again."""
    watch = DeadlineWatch(list[BaseException]().append)
    idle, busy = [Due(5.0) for _ in range(FEW)], Due(7.0)
    for each in idle:
        watch.expect(each)
        each.deadline = math.inf
    watch.expect(busy)
    assert [entry[2] for entry in watch._heap] == [busy]
    assert all(each.expected_at == math.inf for each in idle)
    assert busy.expected_at == 7.0


async def test_an_earlier_deadline_replaces_the_later_one(autojump_clock: MockClock) -> None:
    """Expected sooner than before it is told then, once; the later entry is passed over or swept."""
    watch, now = DeadlineWatch(list[BaseException]().append), trio.current_time()
    sooner = Due(now + 5)
    async with watch.running():
        watch.expect(sooner)
        sooner.deadline = now + 1
        watch.expect(sooner)
        await trio.sleep(2)
        assert sooner.overruns == 1
        sooner.deadline = now + 7
        watch.expect(sooner)
        await trio.sleep(4)
        assert sooner.overruns == 1
        await trio.sleep(2)
        assert (sooner.overruns, watch._heap) == (2, [])


async def test_a_deadline_shorter_than_the_grace_holds_in_every_life(autojump_clock: MockClock) -> None:
    """The grace given to a handler cut off does not lengthen the time of the next one."""
    chronicle, took = Chronicle(), list[float]()

    async def hang(actor: Player) -> None:
        begin = trio.current_time()
        try:
            await trio.sleep_forever()
        finally:
            took.append(trio.current_time() - begin)

    spec = supervisor("root", player(chronicle, "a", handler_timeout_s=0.25))
    async with open_tree(spec) as tree:
        await tree.ref("a").cast(DoAsync(hang))
        await trio.sleep(5)
    assert took == [0.25, 0.25]


class Raising(Due):
    """What is told of its deadline, and what it raises then."""

    def overrun(self) -> None:
        super().overrun()
        raise BoomError("shielded" if trio.lowlevel.currently_ki_protected() else "open")


async def test_what_is_raised_at_a_deadline_costs_nobody_elses(autojump_clock: MockClock) -> None:
    """It is handed on, the watch goes on, and no KeyboardInterrupt arises there."""
    raised = list[BaseException]()
    watch, now = DeadlineWatch(raised.append), trio.current_time()
    raising, calm = Raising(now + 1), Due(now + 1)
    async with watch.running():
        for each in (raising, calm):
            watch.expect(each)
        await trio.sleep(2)
        assert (raising.overruns, calm.overruns, [*map(str, raised)]) == (1, 1, ["shielded"])
