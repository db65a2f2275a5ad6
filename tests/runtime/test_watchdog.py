"""A blocked loop is reported from outside, in real time; a busy one is not."""

import threading
import time

import pytest
import trio
import trio.lowlevel

from coordinator.runtime import BlockedReport, Hooks, open_tree, supervisor, task
from coordinator.runtime.watchdog import Watchdog
from tests.runtime.stage import Chronicle, Do, player

LIMIT_S = 0.1


def _block(seconds: float) -> None:
    """Real sleep, for a loop that does not turn is the subject."""
    time.sleep(seconds)


async def _heard(told: list[BlockedReport], count: int = 1) -> None:
    """Wait for so many reports, and let the loop turn: they come from a thread, in real time."""
    with trio.fail_after(5):
        while len(told) < count:  # noqa: ASYNC110  a thread cannot set a trio.Event
            await trio.sleep(0.01)
        await trio.sleep(LIMIT_S)


async def test_a_blocked_loop_names_its_actor_and_the_line() -> None:
    """Once per blockage, however long it lasts, with the stack down to the guilty function."""
    told = list[BlockedReport]()
    threads = set[int]()

    def blocked(report: BlockedReport) -> None:
        threads.add(threading.get_ident())
        told.append(report)

    spec = supervisor("root", player(Chronicle(), "quick"), player(Chronicle(), "slow"))
    async with open_tree(spec, hooks=Hooks(blocked=blocked), watchdog_s=LIMIT_S) as tree:
        await tree.ref("slow").cast(Do(lambda actor: _block(LIMIT_S * 4)))
        await _heard(told)
        assert len(told) == 1
        await tree.ref("slow").cast(Do(lambda actor: _block(LIMIT_S * 2)))
        await _heard(told, 2)
    assert [report.actor_id for report in told] == ["slow", "slow"]
    assert LIMIT_S <= told[0].seconds < LIMIT_S * 4
    assert told[0].stack[-1].startswith("test_watchdog.py:_block:")
    assert any(":_handle:" in line for line in told[0].stack)
    assert threads.isdisjoint({threading.get_ident()})


async def test_whoever_blocks_is_found() -> None:
    """A task is named like an actor, an actor's background job by its actor, other code by nobody."""
    told = list[BlockedReport]()

    async def blocking(*, task_status: trio.TaskStatus[None]) -> None:
        _block(LIMIT_S * 2)
        task_status.started()
        await trio.sleep_forever()

    async def job() -> None:
        _block(LIMIT_S * 2)

    spec = supervisor("root", player(Chronicle(), "a"), task(blocking, id="t"))
    async with open_tree(spec, hooks=Hooks(blocked=told.append), watchdog_s=LIMIT_S) as tree:
        await _heard(told)
        await tree.ref("a").cast(Do(lambda actor: actor.context.spawn(job, name="job")))
        await _heard(told, 2)
        _block(LIMIT_S * 2)
        await _heard(told, 3)
    assert [report.actor_id for report in told] == ["t", "a", None]


async def test_a_busy_loop_that_turns_is_not_blocked() -> None:
    """Work in small steps for longer than the limit brings no report."""
    told = list[BlockedReport]()
    spec = supervisor("root", player(Chronicle(), "a"))
    limit_s = LIMIT_S * 4  # a machine that is busy itself must not look like a blocked loop
    async with open_tree(spec, hooks=Hooks(blocked=told.append), watchdog_s=limit_s):
        until = time.monotonic() + limit_s * 2
        while time.monotonic() < until:
            _block(0.002)
            await trio.lowlevel.checkpoint()
    assert told == []


async def test_the_thread_ends_with_the_tree() -> None:
    """Also when the block fails; a hook that raises is counted and the watch goes on."""

    def broken(report: BlockedReport) -> None:
        raise ValueError("no")

    before = set(threading.enumerate())
    spec = supervisor("root", player(Chronicle(), "a"))
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  the block is what fails
        async with open_tree(spec, hooks=Hooks(blocked=broken), watchdog_s=LIMIT_S) as tree:
            assert len(set(threading.enumerate()) - before) == 1
            _block(LIMIT_S * 2)
            await trio.sleep(LIMIT_S)
            _block(LIMIT_S * 2)
            await trio.lowlevel.checkpoint()
            assert tree.hook_failures == 2
            raise ZeroDivisionError
    assert set(threading.enumerate()) <= before


def test_a_run_that_is_over_ends_the_watch() -> None:
    """A watchdog nobody stopped goes with its loop."""
    watchdog = Watchdog(0.01, lambda report: None)

    async def begin() -> None:
        watchdog.start()

    trio.run(begin)
    assert watchdog._thread is not None
    watchdog._thread.join(5)
    assert not watchdog._thread.is_alive()


@pytest.mark.parametrize("limit_s", [0.0, -1.0, float("inf"), float("nan")])
def test_the_limit_is_finite_and_positive(limit_s: float) -> None:
    """Anything else is a mistake and says so."""
    with pytest.raises(ValueError, match="watchdog_s is"):
        Watchdog(limit_s, lambda report: None)
