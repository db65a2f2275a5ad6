"""A moment that the schedule chooses: something begins at any pass of the scheduler during the rest."""

import trio
from trio._core import _run as scheduler

from tests.runtime.schedules import choose

__all__ = ["any_moment"]

# Any deadline at all tells the checker that this task does not wait for ever; none comes so far.
FAR_S = 1e9


async def any_moment(passes: int = 8) -> None:
    """Wait for 0 to `passes` − 1 scheduling passes: how many is one of the schedule's choices.

    The task sleeps and so is in no batch meanwhile: were it only yielding, each pass would have an
    order more, and two to the power of all passes would have to be tried. When nobody else can run
    it goes on at once, before the clock moves.
    """
    count = choose(passes)
    if count:
        with trio.move_on_after(FAR_S):
            await _Alarm(trio.lowlevel.current_task(), count).wait()


class _Alarm(trio.abc.Instrument):
    """Wakes one task after so many passes. Trio calls it once before each."""

    def __init__(self, task: trio.lowlevel.Task, passes: int) -> None:
        self._task = task
        self._left = passes

    async def wait(self) -> None:
        """Sleep until then."""
        trio.lowlevel.add_instrument(self)
        await trio.lowlevel.wait_task_rescheduled(self._leave)

    def before_io_wait(self, timeout: float) -> None:
        self._left -= 1
        if self._left == 0 or not scheduler.GLOBAL_RUN_CONTEXT.runner.runq:
            trio.lowlevel.remove_instrument(self)
            trio.lowlevel.reschedule(self._task)

    def _leave(self, _: object) -> trio.lowlevel.Abort:
        trio.lowlevel.remove_instrument(self)
        return trio.lowlevel.Abort.SUCCEEDED
