"""The one task that watches the deadlines of all handlers and calls, so that none pays for a scope."""

import heapq
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Protocol

import trio

from .bell import Bell

__all__ = ["DeadlineWatch", "Watched"]

# Rebuilding the heap is not worth it below so many entries; above, it is paid for by those it drops.
FEW = 64


class Watched(Protocol):
    """What has a deadline; infinity while nothing is to be watched, or it is not in the heap."""

    deadline: float
    expected_at: float

    def overrun(self) -> None:
        """The deadline has come."""


class DeadlineWatch:
    """Tells what is watched of its deadline.

    A cell is in the heap under a time no later than its real deadline; when that time comes the real
    one is looked up. So a cell costs one heap operation per handler timeout, however many messages it
    handles. A call stays in the heap when it is answered; the answered ones are dropped once they
    outnumber the rest. `expected_at` tells which entry counts: others of the same are passed over.
    `broke` hears what somebody raises who is told; the others are told all the same.
    """

    def __init__(self, broke: Callable[[BaseException], None]) -> None:
        self._broke = broke
        self._heap: list[tuple[float, int, Watched]] = []
        self._order = count()
        self._bell = Bell()
        self._scope = trio.CancelScope(shield=True)
        self._rebuild_at = FEW

    def expect(self, watched: Watched) -> None:
        """Look at it when its present deadline comes."""
        if len(self._heap) >= self._rebuild_at:
            self._rebuild()
        watched.expected_at = watched.deadline
        heapq.heappush(self._heap, (watched.deadline, next(self._order), watched))
        if self._heap[0][2] is watched:
            self._bell.ring()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch as long as the block takes, whatever is raised in it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            try:
                yield
            finally:
                self._scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Watch for good. Shielded: handlers and calls have deadlines in an ordered stop, too."""
        with self._scope:
            while True:
                await self._bell.wait(self._heap[0][0] if self._heap else math.inf)
                self._look(trio.current_time())

    def _look(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            due, _, watched = heapq.heappop(self._heap)
            if due != watched.expected_at:
                continue
            watched.expected_at = math.inf
            if watched.deadline <= now:
                self._tell(watched)
            elif watched.deadline < math.inf:
                self.expect(watched)

    def _tell(self, watched: Watched) -> None:
        try:
            watched.overrun()
        except BaseException as exc:  # noqa: BLE001  without the watch no deadline would hold
            self._broke(exc)

    def _rebuild(self) -> None:
        """Drop what has no deadline any more, and wait for as many entries again."""
        kept = []
        for entry in self._heap:
            due, _, watched = entry
            if due != watched.expected_at:
                continue
            if watched.deadline < math.inf:
                kept.append(entry)
            else:
                watched.expected_at = math.inf
        heapq.heapify(kept)
        self._heap = kept
        self._rebuild_at = 2 * len(kept) + FEW
