"""A blocked loop is reported from outside, in real time; a busy one is not."""

import threading
import time
from collections.abc import Callable

import pytest
import trio
import trio.lowlevel

from coordinator.runtime import BlockedReport, Hooks, open_tree, supervisor, task
from coordinator.runtime.watchdog import Watchdog
from tests.runtime.stage import Chronicle, Do, Player, player

LIMIT_S = 0.1


class Ear:
    """Hears the watchdog. What it reports of a machine that stands still by itself does not count."""

    def __init__(self) -> None:
        self.told = list[BlockedReport]()
        self.threads = set[int]()

    def __call__(self, report: BlockedReport) -> None:
        self.threads.add(threading.get_ident())
        if report.stack[-1].startswith("test_watchdog.py:_block:"):
            self.told.append(report)


def _block(is_told: Callable[[], bool]) -> None:
    """Hold up the loop in real time, which is the subject, until it is told, and then some more."""
    until = time.monotonic() + 60
    while not is_told():
        assert time.monotonic() < until
        time.sleep(0.001)
    time.sleep(LIMIT_S * 2)


async def test_a_blocked_loop_names_its_actor_and_the_line() -> None:
    """Once per blockage, however long it lasts, with the stack down to the guilty function."""
    ear, began = Ear(), time.monotonic()
    spec = supervisor("root", player(Chronicle(), "quick"), player(Chronicle(), "slow"))
    async with open_tree(spec, hooks=Hooks(blocked=ear), watchdog_s=LIMIT_S) as tree:
        for times in (1, 2):
            over = trio.Event()

            def hold_up(_actor: Player, times: int = times, over: trio.Event = over) -> None:
                _block(lambda: len(ear.told) >= times)
                over.set()

            await tree.ref("slow").cast(Do(hold_up))
            await over.wait()
            assert len(ear.told) == times
            await trio.sleep(LIMIT_S)
    assert [report.actor_id for report in ear.told] == ["slow", "slow"]
    assert LIMIT_S <= ear.told[0].seconds < time.monotonic() - began
    assert any(":_handle:" in line for line in ear.told[0].stack)
    assert ear.threads.isdisjoint({threading.get_ident()})


async def test_whoever_blocks_is_found() -> None:
    """A task is named like an actor, an actor's background job by its actor, other code by nobody."""
    ear, done = Ear(), trio.Event()

    async def blocking(*, task_status: trio.TaskStatus[None]) -> None:
        _block(lambda: len(ear.told) >= 1)
        task_status.started()
        await trio.sleep_forever()

    async def job() -> None:
        _block(lambda: len(ear.told) >= 2)
        done.set()

    spec = supervisor("root", player(Chronicle(), "a"), task(blocking, id="t"))
    async with open_tree(spec, hooks=Hooks(blocked=ear), watchdog_s=LIMIT_S) as tree:
        await trio.sleep(LIMIT_S)
        await tree.ref("a").cast(Do(lambda actor: actor.context.spawn(job, name="job")))
        await done.wait()
        await trio.sleep(LIMIT_S)
        _block(lambda: len(ear.told) >= 3)
    assert [report.actor_id for report in ear.told] == ["t", "a", None]


async def test_a_busy_loop_that_turns_is_not_blocked() -> None:
    """Work in small steps for longer than the limit brings no report."""
    told = list[BlockedReport]()
    spec = supervisor("root", player(Chronicle(), "a"))
    limit_s = LIMIT_S * 4
    async with open_tree(spec, hooks=Hooks(blocked=told.append), watchdog_s=limit_s):
        longest_s, now = 0.0, time.monotonic()
        until = now + limit_s * 2
        while now < until:
            time.sleep(0.002)  # noqa: ASYNC251  work, not waiting
            await trio.lowlevel.checkpoint()
            longest_s, now = max(longest_s, time.monotonic() - now), time.monotonic()
    assert told == [] or longest_s > limit_s / 2, "only a machine that stood still may look like it"


async def test_the_thread_ends_with_the_tree() -> None:
    """Also when the block fails; a hook that raises is counted and the watch goes on."""

    def broken(report: BlockedReport) -> None:
        raise ValueError("no")

    before = set(threading.enumerate())
    spec = supervisor("root", player(Chronicle(), "a"))
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  the block is what fails
        async with open_tree(spec, hooks=Hooks(blocked=broken), watchdog_s=LIMIT_S) as tree:
            assert len(set(threading.enumerate()) - before) == 1
            for times in (1, 2):
                _block(lambda n=times: tree.hook_failures >= n)  # type: ignore[misc]
                await trio.sleep(LIMIT_S)
            raise ZeroDivisionError
    assert set(threading.enumerate()) <= before


def test_a_run_that_is_over_ends_the_watch() -> None:
    """A watchdog nobody stopped goes with its loop."""
    watchdog = Watchdog(0.01, lambda report: None)

    async def begin() -> None:
        watchdog.start()

    trio.run(begin)
    assert watchdog._thread is not None
    watchdog._thread.join(60)
    assert not watchdog._thread.is_alive()


@pytest.mark.parametrize("limit_s", [0.0, -1.0, float("inf"), float("nan")])
def test_the_limit_is_finite_and_positive(limit_s: float) -> None:
    """Anything else is a mistake and says so."""
    with pytest.raises(ValueError, match="watchdog_s is"):
        Watchdog(limit_s, lambda report: None)
