"""When a coordinator that is a process of its own is killed: in moments that are chosen to hurt.

`kill -9` comes from the forge's side, while a request of the coordinator's is in its hands: that is
when something has happened that the dead process knows nothing of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import trio

from coordinator.demo.forge.faults import AnswerFault, AnswerFaults

__all__ = ["MOMENTS", "Moment", "Trap"]

_ISSUES = "/repos/{owner}/{repo}/issues"
# So that the next life has begun, looked and written, or even ended; shorter than a doubt lasts.
_LATE_S = 3.0

Fate = Literal["done", "answered", "late", "lost"]


@dataclass(frozen=True, slots=True)
class Moment:
    """The request that is the last, as "METHOD /path/template", and what becomes of it: "done" without
    an answer, "answered" and death soon after, "late" is done when the next life is at work, "lost" is
    never done. Without a route there are "heard", right behind a 200 to a delivery, "ever", and
    "unborn", before the process is up."""

    route: str
    fate: Fate | Literal["heard", "ever", "unborn"]

    def __str__(self) -> str:
        return f"{self.route} {self.fate}".strip()


_POST, _PATCH = f"POST {_ISSUES}/{{index}}/comments", f"PATCH {_ISSUES}/comments/{{id}}"
_LABELS, _REACTION = f"POST {_ISSUES}/{{index}}/labels", f"POST {_ISSUES}/comments/{{id}}/reactions"
_SWEEP, _SWEEP_COMMENTS = f"GET {_ISSUES}", f"GET {_ISSUES}/comments"
_READ = f"GET {_ISSUES}/{{index}}"

MOMENTS: tuple[Moment, ...] = (
    Moment(_POST, "done"),
    Moment(_POST, "answered"),
    Moment(_POST, "late"),
    Moment(_POST, "lost"),
    Moment(_PATCH, "done"),
    Moment(_PATCH, "answered"),
    Moment(_PATCH, "late"),
    Moment(_LABELS, "done"),
    Moment(_LABELS, "answered"),
    Moment(_LABELS, "late"),
    Moment(_REACTION, "done"),
    Moment(_REACTION, "answered"),
    Moment(_SWEEP, "lost"),
    Moment(_SWEEP, "answered"),
    Moment(_SWEEP_COMMENTS, "answered"),
    Moment(_READ, "answered"),
    Moment("", "heard"),
    Moment("", "ever"),
    Moment("", "unborn"),
)


class Trap(AnswerFaults):
    """The faults of a forge's answers, and beside them one request that is somebody's last.

    Unless the fate is "answered", `kill` has returned before the forge does anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sprung = trio.Event()
        self._moment: Moment | None = None
        self._kill: Callable[[], None] = _nobody
        self._spared = 0

    def set(self, moment: Moment, kill: Callable[[], None], *, spared: int) -> None:
        """Wait for this request; so many are let through before it."""
        self.sprung = trio.Event()
        self._moment, self._kill, self._spared = moment, kill, spared

    def unset(self) -> None:
        self._moment = None

    def take(self, route: str) -> AnswerFault | None:
        moment = self._moment
        if moment is None or moment.route != route:
            return super().take(route)
        if self._spared:
            self._spared -= 1
            return None
        self.unset()
        if moment.fate != "answered":
            self._kill()
        self.sprung.set()
        match moment.fate:
            case "late":
                return AnswerFault("slow", delay_s=_LATE_S)
            case "lost":
                return AnswerFault("reset")
            case _:
                return None


def _nobody() -> None:
    """There is nobody to kill."""
