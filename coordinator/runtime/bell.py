"""How one task sleeps until somebody has changed something: the only primitive the runtime waits on."""

import math

import trio

__all__ = ["Bell"]


class Bell:
    """Wakes its one sleeper. Not sticky: look at the facts, then wait, with no await in between."""

    __slots__ = ("_sleeper",)

    def __init__(self) -> None:
        self._sleeper: trio.lowlevel.Task | None = None

    def ring(self) -> None:
        """Wake the sleeper, if there is one."""
        if self._sleeper is not None:
            trio.lowlevel.reschedule(self._sleeper)
            self._sleeper = None

    async def wait(self, until: float = math.inf) -> None:
        """Sleep until the bell rings or the clock shows `until`, whichever is first."""
        if until == math.inf:
            await self._sleep()
        else:
            with trio.move_on_at(until):
                await self._sleep()

    async def _sleep(self) -> None:
        self._sleeper = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._wake_early)

    def _wake_early(self, _: object) -> trio.lowlevel.Abort:
        self._sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED
