"""Which commands are being judged, when the others are tried again, and how many came to what."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from coordinator.edges.journal import StoredOrder
from coordinator.rules.backoff import backoff_s
from coordinator.rules.ids import IssueRef
from coordinator.rules.orders import RunCommand

__all__ = ["CommandDesk"]

# A person waits for each, and each costs a few requests: two at once keep strangers who write many from
# taking the forge away from the rest.
CONCURRENCY = 2


@dataclass(slots=True)
class CommandDesk:
    """Mutable, owned by one actor. `results` counts since the process began, by `CommandResult`."""

    results: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    _busy: dict[int, IssueRef] = field(default_factory=dict)
    _retry_at: dict[int, float] = field(default_factory=dict)
    _failures: Counter[int] = field(default_factory=Counter)

    def shown(self, orders: Iterable[StoredOrder]) -> dict[str, object]:
        """What whoever looks in is told; `orders` are the open ones, of which some are commands."""
        return {
            "commands": dict(self.results),
            "commands_open": sum(isinstance(each.order, RunCommand) for each in orders),
            "commands_in_flight": len(self._busy),
            "commands_last_error": self.last_error,
        }

    def take(self, orders: Iterable[StoredOrder], now: float) -> list[tuple[StoredOrder, RunCommand]]:
        """The commands to judge now, oldest first, one of an issue at a time: the second may depend on
        what became of the first."""
        taken = []
        issues = set(self._busy.values())
        for stored in orders:
            order = stored.order
            if len(self._busy) >= CONCURRENCY:
                break
            if not isinstance(order, RunCommand) or stored.id in self._busy:
                continue
            if order.ref not in issues and self._retry_at.get(stored.id, now) <= now:
                self._busy[stored.id] = order.ref
                taken.append((stored, order))
            issues.add(order.ref)
        return taken

    def done(self, order_id: int, result: str) -> None:
        """The order is closed."""
        self.results[result] += 1
        self.gone(order_id)

    def failed(self, order_id: int, error: str, now: float, wait_s: float) -> None:
        """It could not be judged; it stays open."""
        self._busy.pop(order_id, None)
        self._failures[order_id] += 1
        self._retry_at[order_id] = now + max(wait_s, backoff_s(self._failures[order_id]))
        self.last_error = error

    def gone(self, order_id: int) -> None:
        """Somebody else has closed it."""
        self._busy.pop(order_id, None)
        self._retry_at.pop(order_id, None)
        self._failures.pop(order_id, None)

    def next_in_s(self, now: float) -> float | None:
        """When the next one is tried again."""
        if not self._retry_at or len(self._busy) >= CONCURRENCY:
            return None
        waiting = [at for order_id, at in self._retry_at.items() if order_id not in self._busy]
        return max(0.0, min(waiting) - now) if waiting else None
