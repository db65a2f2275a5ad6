"""Notices from outside that the event loop no longer turns: a blocked loop cannot tell of itself.

A thread asks the loop for a sign of life and looks at its stack when none comes. Real time only: a
virtual clock stands still in a blocked loop.
"""

import sys
import threading
import time
import types
from collections.abc import Callable

import trio

from .child import Child
from .incarnation import Incarnation
from .reports import BlockedReport
from .stacks import place

__all__ = ["Watchdog"]

# Looks per limit: a blockage is told a quarter of the limit late at most, and one wake-up costs 0.1 ms.
LOOKS = 4
# Innermost frames in a report: the guilty ones, with the loop's own around them.
FRAMES = 64
# A `blocked` hook that hangs must not hold up the end of the tree for longer than a zombie would.
JOIN_S = 1.0
# Whose frames know which child is running.
_KNOWING = frozenset({Child.__module__, Incarnation.__module__})


class Watchdog:
    """Calls `tell` from its thread, once per blockage, when the loop of `start` rests for `limit_s`."""

    def __init__(self, limit_s: float, tell: Callable[[BlockedReport], None]) -> None:
        if not 0 < limit_s < float("inf"):
            raise ValueError(f"watchdog_s is {limit_s!r}, must be finite and more than 0")
        self._limit_s = limit_s
        self._tell = tell
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._asked_at: float | None = None
        self._is_told = False

    def start(self) -> None:
        """Watch the event loop this is called from."""
        token = trio.lowlevel.current_trio_token()
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, args=(token,), name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch; the thread is gone when this returns, unless a hook of its hangs."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def _watch(self, token: trio.lowlevel.TrioToken) -> None:
        while not self._over.wait(self._limit_s / LOOKS):
            now, asked_at = time.monotonic(), self._asked_at
            if asked_at is None:
                self._is_told, self._asked_at = False, now
                try:
                    token.run_sync_soon(self._beat, idempotent=True)
                except trio.RunFinishedError:
                    return
            elif now - asked_at >= self._limit_s and not self._is_told:
                self._is_told = True
                self._report(now - asked_at)

    def _beat(self) -> None:
        """The loop turns: this runs in it."""
        self._asked_at = None

    def _report(self, seconds: float) -> None:
        frames = _frames(sys._current_frames().get(self._loop_thread))
        if self._asked_at is None:  # it has just come back, and these frames are nobody's fault
            return
        stack = tuple(place(frame) for frame in frames[-FRAMES:])
        self._tell(BlockedReport(_child_id(frames), seconds, stack))


def _frames(innermost: types.FrameType | None) -> list[types.FrameType]:
    """The stack, outermost first."""
    found = []
    while innermost is not None:
        found.append(innermost)
        innermost = innermost.f_back
    return found[::-1]


def _child_id(frames: list[types.FrameType]) -> str | None:
    """The child whose task runs: the outermost frame of the runtime that belongs to one says it."""
    for frame in frames:
        if frame.f_globals.get("__name__") not in _KNOWING:
            continue
        match frame.f_locals.get("self"):
            case Child() as child:
                return child.id
            case Incarnation() as life:
                return life.cell.id
    return None
