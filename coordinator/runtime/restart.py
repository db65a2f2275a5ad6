"""The arithmetic of restarting: who is restarted, how often, how soon. Values in, values out."""

from collections import deque
from collections.abc import Iterable
from typing import Literal

__all__ = [
    "Restart",
    "Strategy",
    "Window",
    "backoff_delay_s",
    "is_restarted",
    "quiet_s",
    "sharing_fate",
]

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]


def is_restarted(restart: Restart, *, abnormal: bool) -> bool:
    """OTP's exit table (supervisor.erl, do_restart/3): permanent always, transient if abnormal."""
    return restart == "permanent" or (restart == "transient" and abnormal)


def sharing_fate(strategy: Strategy, failed: int, orders: Iterable[int]) -> list[int]:
    """Which of the siblings are stopped and started again with number `failed`."""
    match strategy:
        case "one_for_one":
            return []
        case "one_for_all":
            return [order for order in orders if order != failed]
        case "rest_for_one":
            return [order for order in orders if order > failed]


class Window:
    """How many restarts a sliding window still allows; one exactly `period_s` old still counts."""

    __slots__ = ("_times", "intensity", "period_s")

    _times: deque[float] | tuple[()]  # a deque from the first restart on: most children never have one

    def __init__(self, intensity: int, period_s: float) -> None:
        self.intensity = intensity
        self.period_s = period_s
        self._times = ()

    def charge(self, now: float) -> bool:
        """Book one restart; False if that is one too many."""
        self._forget(now)
        times = self._times = self._times or deque()
        times.append(now)
        return len(times) <= self.intensity

    def left(self, now: float) -> int:
        """Restarts that may still be booked now."""
        self._forget(now)
        return max(0, self.intensity - len(self._times))

    def clear(self) -> None:
        """Start over with the full budget."""
        self._times = ()

    def _forget(self, now: float) -> None:
        times = self._times
        while times and times[0] + self.period_s < now:  # the sum by which `now` may have been reached
            times.popleft()


def backoff_delay_s(streak: int, *, min_s: float, max_s: float, jitter: float, roll: float) -> float:
    """The wait before restart number `streak` (from 1) of a row: none, then min·2ⁿ up to max.

    `roll` in [0, 1) picks the share of `jitter` that is added; the cap comes after it and so holds.
    """
    if streak <= 1:
        return 0.0
    # 2**64 times any sensible minimum is past any sensible maximum; more would overflow a float.
    doubled = min_s * 2.0 ** min(streak - 2, 64)
    return float(min(max_s, doubled * (1.0 + jitter * roll)))


def quiet_s(*, min_s: float, max_s: float) -> float:
    """How long a child must run for its row of restarts to end: half way between the bounds."""
    return (min_s + max_s) / 2
