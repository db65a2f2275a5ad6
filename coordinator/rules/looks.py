"""Issues to be looked at though nothing that we know of has changed: somebody may have changed ours.

What people do to our comment and our labels is put right, but nobody is fought: an issue is looked at
once in a while, however often it is changed.
"""

from collections.abc import Iterable
from heapq import heappop, heappush

from coordinator.rules.ids import IssueRef
from coordinator.rules.written import Part

__all__ = ["EVERY_S", "Looks"]

# Who deletes what we write each time it appears sees it once a minute, and learns how to be rid of it.
EVERY_S = 60.0
# Looks remembered before those that are long over are dropped: some hundred KB.
MAX_REMEMBERED = 1_000


class Looks:
    """Mutable, owned by one actor. Instants are seconds of any monotonic clock."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self.every_s = every_s
        # When each part is to be looked at; None: the issue is only to come up.
        self._wanted: dict[IssueRef, dict[Part | None, float]] = {}
        self._line: list[tuple[float, IssueRef]] = []
        self._due: dict[IssueRef, frozenset[Part]] = {}
        self._last: dict[IssueRef, float] = {}

    def ask(self, ref: IssueRef, parts: Iterable[Part], at: float) -> None:
        """Look at these parts at that instant, or as soon as the last look is long enough ago."""
        at = max(at, self._last.get(ref, at) + (self.every_s if ref in self._last else 0.0))
        wanted = self._wanted.setdefault(ref, {})
        for part in tuple(parts) or (None,):
            wanted[part] = min(at, wanted.get(part, at))
        heappush(self._line, (at, ref))

    def due(self, now: float) -> list[IssueRef]:
        """The issues whose look has come; their parts are to be had by `take`."""
        found = []
        while self._line and self._line[0][0] <= now:
            _, ref = heappop(self._line)
            wanted = self._wanted.pop(ref, {})
            later = {part: at for part, at in wanted.items() if at > now}
            if later:
                self._wanted[ref] = later
            if ready := wanted.keys() - later.keys():
                self.again(ref, frozenset(part for part in ready if part is not None))
                found.append(ref)
        return found

    def take(self, ref: IssueRef, now: float) -> frozenset[Part]:
        """What is to be looked at now, with whatever else is done to the issue; nothing mostly."""
        parts = self._due.pop(ref, frozenset())
        if parts:
            self._last[ref] = now
            self._forget_old(now)
        return parts

    def again(self, ref: IssueRef, parts: frozenset[Part]) -> None:
        """It came to nothing: the next who takes the issue in hand looks."""
        if parts:
            self._due[ref] = self._due.get(ref, frozenset()) | parts

    def forget(self, ref: IssueRef) -> None:
        """There is no such issue any more."""
        for kept in (self._wanted, self._due, self._last):
            kept.pop(ref, None)

    def next_in_s(self, now: float) -> float | None:
        """When the next look comes."""
        while self._line and self._is_stale(*self._line[0]):
            heappop(self._line)
        return max(0.0, self._line[0][0] - now) if self._line else None

    def _is_stale(self, at: float, ref: IssueRef) -> bool:
        """Its look has been taken, or is to come earlier."""
        return at not in self._wanted.get(ref, {}).values()

    def _forget_old(self, now: float) -> None:
        if len(self._last) > MAX_REMEMBERED:
            self._last = {ref: at for ref, at in self._last.items() if now - at < self.every_s}
