"""What a supervisor looks at next: who has changed, whose time has come, whose turn it is.

With it a step costs what changed since the last one, however many children wait for something.
"""

import heapq
import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .child import Child

__all__ = ["Agenda", "Turns"]

# Entries without use are tolerated up to the number of those in use, and so many more: sweeping them
# away then costs a constant per entry, and a short agenda is never swept.
SWEPT_FROM = 64


class Agenda:
    """The children that have changed, and a time for each of those that wait for one."""

    __slots__ = ("_changed", "_heap", "_serial", "_times")

    def __init__(self) -> None:
        self._changed: dict[Child, None] = {}
        self._times: dict[Child, float] = {}
        self._heap: list[tuple[float, int, Child]] = []  # a superset of `_times`: changes leave entries
        self._serial = count()

    def __len__(self) -> int:
        return len(self._changed.keys() | self._times.keys())

    @property
    def has_news(self) -> bool:
        """Whether somebody has changed since the last `take`."""
        return bool(self._changed)

    def note(self, child: "Child") -> None:
        """The child has changed: look at it at the next step."""
        self._changed[child] = None

    def take(self, now: float) -> "list[Child]":
        """Who has changed and whose time has come, each once, in that order."""
        while self._heap and self._heap[0][0] <= now:
            due, _, child = heapq.heappop(self._heap)
            if self._times.get(child) == due:
                del self._times[child]
                self._changed[child] = None
        taken = list(self._changed)
        self._changed.clear()
        return taken

    def look_at(self, child: "Child", due: float) -> None:
        """Look at the child again at `due` and at no other time; never, if that is infinite."""
        if due == math.inf:
            self._times.pop(child, None)
        elif self._times.get(child) != due:
            self._times[child] = due
            heapq.heappush(self._heap, (due, next(self._serial), child))
        if len(self._heap) > 2 * len(self._times) + SWEPT_FROM:
            self._sweep()

    def forget(self, child: "Child") -> None:
        """Do not look at it any more."""
        self._changed.pop(child, None)
        self._times.pop(child, None)

    def clear(self) -> None:
        """Forget everybody."""
        self._changed.clear()
        self._times.clear()
        self._heap.clear()

    def next_time(self) -> float:
        """When the first of the times comes."""
        while self._heap and self._times.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def _sweep(self) -> None:
        self._heap = [(due, next(self._serial), child) for child, due in self._times.items()]
        heapq.heapify(self._heap)


class Turns:
    """Children that go one after the other: in order of their start, or the last one first."""

    __slots__ = ("_children", "_heap", "_sign")

    def __init__(self, *, is_reversed: bool = False) -> None:
        self._sign = -1 if is_reversed else 1
        self._heap: list[int] = []
        self._children: dict[int, Child] = {}

    def __iter__(self) -> "Iterator[Child]":
        return iter(self._children.values())

    def add(self, child: "Child") -> None:
        """Let it wait for its turn; again it changes nothing."""
        key = self._sign * child.order
        if key not in self._children:
            self._children[key] = child
            heapq.heappush(self._heap, key)

    def first(self, waits: "Callable[[Child], bool]") -> "Child | None":
        """Whose turn it is; those at the front that no longer wait are forgotten."""
        while self._heap:
            child = self._children[self._heap[0]]
            if waits(child):
                return child
            del self._children[heapq.heappop(self._heap)]
        return None

    def clear(self) -> None:
        """Nobody waits."""
        self._heap.clear()
        self._children.clear()
