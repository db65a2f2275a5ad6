"""Keyed timers of one incarnation: a heap and a dict, no task of their own."""

import heapq
import math
from collections.abc import Hashable
from typing import TypeAlias

from .messages import Cast

__all__ = ["Key", "Timers"]

# A text is the actor's own; the runtime's notices have keys of another kind.
Key: TypeAlias = Hashable


class Timers:
    """What an actor wants to be told later. They die with the object, and so with the incarnation."""

    __slots__ = ("_current", "_heap", "_number")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._current: dict[Key, tuple[int, float, Cast]] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._current)

    def set(self, key: Key, due: float, message: Cast) -> None:
        """Deliver `message` at `due`, instead of whatever `key` stood for."""
        self._number += 1
        self._current[key] = (self._number, due, message)
        heapq.heappush(self._heap, (due, self._number, key))
        self._prune()

    def cancel(self, key: Key) -> None:
        """Forget `key`; an unknown one is fine, it may just have fired."""
        self._current.pop(key, None)
        self._prune()

    def next_due(self) -> float:
        """When the earliest timer is due; infinity without one."""
        return self._heap[0][0] if self._heap else math.inf

    def mark(self) -> int:
        """A number between the timers set so far and those to come."""
        return self._number

    def pop_due(self, now: float, mark: int) -> Cast | None:
        """The message of the earliest timer that is due, if it was set before `mark` was taken.

        So one that is set again and again for "now" fires once per mark and cannot starve the mailbox.
        """
        if not self._heap or self._heap[0][0] > now or self._heap[0][1] > mark:
            return None
        _, _, key = heapq.heappop(self._heap)
        _, _, message = self._current.pop(key)
        self._prune()
        return message

    def pending(self) -> list[tuple[str, float]]:
        """(key, due) of the actor's own, earliest first."""
        own = ((key, due) for key, (_, due, _) in self._current.items() if isinstance(key, str))
        return sorted(own, key=lambda timer: timer[1])

    def _prune(self) -> None:
        """Drop replaced and cancelled entries from the top, and all once they outnumber the rest."""
        if len(self._heap) > 2 * len(self._current) + 8:
            self._heap = [(due, number, key) for key, (number, due, _) in self._current.items()]
            heapq.heapify(self._heap)
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)

    def _is_stale(self, entry: tuple[float, int, Key]) -> bool:
        current = self._current.get(entry[2])
        return current is None or current[0] != entry[1]
