"""Tasks as children: ready when they say so, cancelled to stop, restarted like anybody."""

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import StartFailed, open_tree, supervisor, task
from tests.runtime.stage import AT_ONCE, BoomError, Chronicle


async def test_a_task_gets_its_arguments_and_says_when_it_is_ready(autojump_clock: MockClock) -> None:
    """The tree is up when started() was called, with whatever value."""
    seen = list[object]()

    async def serve(port: int, *, task_status: trio.TaskStatus[int]) -> None:
        await trio.sleep(3)
        task_status.started(port)
        task_status.started(port)
        seen.append(port)
        await trio.sleep_forever()

    begin = trio.current_time()
    async with open_tree(supervisor("root", task(serve, 8000, id="t"))) as tree:
        assert trio.current_time() == begin + 3
        assert (seen, tree.dump().find("t").kind) == ([8000], "task")


async def test_a_crashing_task_is_restarted_and_charged(autojump_clock: MockClock) -> None:
    """It costs the budget of its supervisor."""
    lives = list[int]()

    async def flaky(*, task_status: trio.TaskStatus[None]) -> None:
        lives.append(len(lives))
        task_status.started()
        if len(lives) < 3:
            raise BoomError("flaky")
        await trio.sleep_forever()

    chronicle = Chronicle()
    spec = supervisor("root", task(flaky, id="t", backoff=AT_ONCE))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await trio.sleep(1)
        assert lives == [0, 1, 2]
        assert tree.dump().root.budget_left == 1
    assert [c.charged for c in chronicle.crashes] == [True, True]


async def test_a_task_that_fails_before_it_is_ready_fails_the_start() -> None:
    """Its own error is the cause."""

    async def broken(*, task_status: trio.TaskStatus[None]) -> None:
        raise BoomError("no port")

    with pytest.raises(StartFailed, match="t did not start: BoomError: no port"):
        async with open_tree(supervisor("root", task(broken, id="t"))):
            pass


async def test_a_crash_while_stopping_is_reported_and_the_stop_goes_on() -> None:
    """An error in a task's cleanup does not turn the stop into a failure."""
    chronicle = Chronicle()

    async def messy(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            raise BoomError("cleanup")

    async with open_tree(supervisor("root", task(messy, id="t")), hooks=chronicle.hooks()):
        pass
    assert [(c.id, c.phase) for c in chronicle.crashes] == [("t", "stop")]
    assert chronicle.stopped[-1] == ("root", "shutdown")
