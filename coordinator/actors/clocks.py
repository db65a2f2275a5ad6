"""Where actors get the time from: the wall clock, and one that does not jump when the wall is set."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import trio

__all__ = ["Clock", "SteadyClock", "utc_now"]

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The wall clock in UTC; passed in by the composition root, read by nobody else."""
    return datetime.now(UTC)  # noqa: TID251


class SteadyClock:
    """The wall clock of the first call, moved on by the monotonic clock alone.

    For deadlines of runs: they are stored as instants, so that they outlive a restart, and must not
    expire because somebody set the clock. A new process reads the wall again.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = utc_now,
        monotonic_s: Callable[[], float] = trio.current_time,
    ) -> None:
        self._wall = wall
        self._monotonic_s = monotonic_s
        self._start: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        if self._start is None:
            self._start = self._wall(), self._monotonic_s()
        at, started_s = self._start
        return at + timedelta(seconds=self._monotonic_s() - started_s)
