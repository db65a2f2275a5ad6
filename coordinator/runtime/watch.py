"""The one task that watches all handlers' deadlines, so that a message pays for no scope of its own."""

import heapq
import math
from itertools import count
from typing import TYPE_CHECKING

import trio

from .bell import Bell

if TYPE_CHECKING:
    from .cell import Cell

__all__ = ["HandlerWatch"]


class HandlerWatch:
    """Cancels the batch of a cell whose handler is past its deadline.

    A cell is in the heap at most once, under a time no later than its real deadline; when that time
    comes the real one is looked up. So a cell costs one heap operation per handler
    timeout, however many messages it handles.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Cell]] = []
        self._expected: set[Cell] = set()
        self._order = count()
        self._bell = Bell()

    def expect(self, cell: "Cell") -> None:
        """Look at the cell when its present deadline comes."""
        if cell in self._expected or cell.deadline == math.inf:
            return
        self._expected.add(cell)
        self._push(cell)
        if self._heap[0][2] is cell:
            self._bell.ring()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._bell.wait(self._heap[0][0] if self._heap else math.inf)
            self._look(trio.current_time())

    def _look(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            _, _, cell = heapq.heappop(self._heap)
            self._expected.discard(cell)
            if cell.handling_since is None:
                continue
            if cell.deadline > now:
                self.expect(cell)
            elif cell.batch is not None:
                cell.batch.cancel()

    def _push(self, cell: "Cell") -> None:
        heapq.heappush(self._heap, (cell.deadline, next(self._order), cell))
