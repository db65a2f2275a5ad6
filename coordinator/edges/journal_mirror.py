"""What the journal keeps in memory beside the file, in the Trio thread: heads, tails, open orders.

Fed by the writer's reports in commit order, so it never shows what is not on disk.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Generic, Literal, TypeVar

import trio

from coordinator.edges.journal import Stored, StoredDelivery, StoredOrder
from coordinator.edges.journal_inbox import Accepted, Replayed
from coordinator.edges.journal_reads import Loaded
from coordinator.edges.journal_rows import Written

__all__ = ["Mirror", "Stream", "Tail"]

Stream = Literal["deliveries", "events"]

_TAIL_ITEMS = 4_096  # every actor a few seconds behind at 1,000 events/s reads from memory
_TAIL_BYTES = 32 * 1024 * 1024  # 4,096 bodies of 8 MiB would not fit; 12 KB ones take 48 MiB

_T = TypeVar("_T")


class Tail(Generic[_T]):
    """The newest items of a gap-free sequence, bounded in number and in bytes."""

    def __init__(self, *, items: int = _TAIL_ITEMS, size_bytes: int = _TAIL_BYTES) -> None:
        self._limit = items
        self._limit_bytes = size_bytes
        # Ordered, because taking the oldest out of a plain dict looks past all that were taken before.
        self._items: OrderedDict[int, tuple[_T, int]] = OrderedDict()
        self._bytes = 0

    def append(self, seq: int, item: _T, size_bytes: int = 0) -> None:
        self._items[seq] = (item, size_bytes)
        self._bytes += size_bytes
        while len(self._items) > self._limit or self._bytes > self._limit_bytes:
            _, (_, dropped_bytes) = self._items.popitem(last=False)
            self._bytes -= dropped_bytes

    def update(self, seq: int, change: Callable[[_T], _T]) -> None:
        """Replace the item, if it is still here."""
        if seq in self._items:
            item, size_bytes = self._items[seq]
            self._items[seq] = (change(item), size_bytes)

    def read(self, after: int, limit: int, *, head: int) -> list[_T] | None:
        """Items after `after` up to `head`; None when some of them are no longer here."""
        if after >= head or limit <= 0:
            return []
        first = max(after, 0) + 1
        if first not in self._items:
            return None
        return [self._items[seq][0] for seq in range(first, min(head, after + limit) + 1)]


class Mirror:
    """Heads, tails and open orders of an open journal; waiters survive its closing and reopening."""

    def __init__(self) -> None:
        self._grown: dict[Stream, trio.Event] = {"deliveries": trio.Event(), "events": trio.Event()}
        self._ordered: dict[str, trio.Event] = {}
        self.last_accepted_at: datetime | None = None
        self.collisions = 0
        self.dead_letters = 0
        self._clear()

    def load(self, loaded: Loaded) -> None:
        """Start over from what the file holds."""
        self._clear()
        self._heads["deliveries"] = loaded.deliveries
        self._heads["events"] = loaded.events
        self.last_accepted_at = loaded.last_accepted_at
        self.collisions = loaded.collisions
        self.dead_letters = loaded.dead_letters
        for order in loaded.open_orders:
            self._open(order)
        self._wake("deliveries")
        self._wake("events")

    def accepted(self, accepted: Accepted) -> None:
        if accepted.stored is not None:
            self._delivered(accepted.stored)
            self.collisions += accepted.collided
            self.last_accepted_at = accepted.stored.received_at

    def committed(self, written: Written) -> None:
        for event in written.events:
            self.events.append(event.seq, event)
            self._heads["events"] = event.seq
        for order_id in written.closed:
            closed = self._orders.pop(order_id, None)
            if closed is not None:
                del self._by_target[closed.target][order_id]
        for order in written.opened:
            self._open(order)
        for one in written.outcomes:
            self.deliveries.update(one.seq, partial(replace, outcome=one.outcome))
        self.dead_letters += written.dead_letters
        if written.events:
            self._wake("events")

    def replayed(self, replayed: Replayed | None) -> None:
        if replayed is None:
            return
        self.dead_letters -= replayed.was_waiting
        if replayed.copy is not None:
            self._delivered(replayed.copy)

    def head(self, stream: Stream) -> int:
        return self._heads[stream]

    async def wait_past(self, stream: Stream, seq: int) -> None:
        while self._heads[stream] <= seq:
            await self._grown[stream].wait()

    def open_orders(self, target: str) -> tuple[StoredOrder, ...]:
        return tuple(self._by_target.get(target, {}).values())

    def open_order_count(self) -> int:
        return len(self._orders)

    async def wait_orders(self, target: str, after: int = 0) -> None:
        while not any(number > after for number in self._by_target.get(target, ())):
            await self._ordered.setdefault(target, trio.Event()).wait()

    def _clear(self) -> None:
        self._heads: dict[Stream, int] = {"deliveries": 0, "events": 0}
        self.deliveries: Tail[StoredDelivery] = Tail()
        self.events: Tail[Stored] = Tail()
        self._orders: dict[int, StoredOrder] = {}
        self._by_target: defaultdict[str, dict[int, StoredOrder]] = defaultdict(dict)

    def _delivered(self, stored: StoredDelivery) -> None:
        self.deliveries.append(stored.seq, stored, len(stored.body or b""))
        self._heads["deliveries"] = stored.seq
        self._wake("deliveries")

    def _open(self, order: StoredOrder) -> None:
        self._orders[order.id] = order
        self._by_target[order.target][order.id] = order
        if order.target in self._ordered:
            self._ordered.pop(order.target).set()

    def _wake(self, stream: Stream) -> None:
        self._grown[stream].set()
        self._grown[stream] = trio.Event()
