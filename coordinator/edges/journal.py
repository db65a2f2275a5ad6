"""The journal's contract: the one interface of this program, because it gets two engines.

The journal holds what happened (deliveries, events), what must be done (orders), how far each actor
has read (cursors) and what it knew then (snapshots). Everything an actor decides goes in with one
`commit`, whole or not at all. The contract suite in tests/edges/journal_contract.py states every
sentence here as a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import trio

from coordinator.rules.context import ContextUsage
from coordinator.rules.events import Event
from coordinator.rules.ids import AgentName, DeliveryId, IssueRef, RunId
from coordinator.rules.orders import Order

__all__ = [
    "Commit",
    "Committed",
    "DeadLetter",
    "Delivery",
    "DeliveryOutcome",
    "Draft",
    "Journal",
    "JournalHealth",
    "OrderClosed",
    "OrderDraft",
    "Receipt",
    "Sample",
    "Snapshot",
    "Stored",
    "StoredDeadLetter",
    "StoredDelivery",
    "StoredOrder",
]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One verified request: `body` byte for byte; `headers` without credentials and signatures."""

    id: DeliveryId
    event: str
    event_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """The delivery is on disk as `seq`; `duplicate_of` is the seq of the first copy, if it had one."""

    seq: int
    duplicate_of: int | None = None


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A delivery as read back; `body` is None once retention has pruned it."""

    seq: int
    id: DeliveryId
    event: str
    event_type: str
    received_at: datetime
    body: bytes | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Draft:
    """An event about to be written; `delivery` is the delivery it goes back to, if any."""

    event: Event
    delivery: DeliveryId | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as written: `seq` is gap-free in commit order over the whole journal."""

    seq: int
    at: datetime
    actor: str
    delivery: DeliveryId | None
    event: Event


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """An order to open for `target`: "parser" or "agent:<name>". A key that is open or was ever
    opened is left as it is, so opening again is harmless."""

    order: Order
    target: str
    delivery: DeliveryId | None = None


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An open order."""

    id: int
    target: str
    order: Order
    opened_at: datetime
    delivery: DeliveryId | None


@dataclass(frozen=True, slots=True)
class OrderClosed:
    """An order to close; closing a closed or unknown id changes nothing. `result` is one word."""

    id: int
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What the router made of a delivery: `outcome` is one word, `detail` says why."""

    seq: int
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One context reading of a run, kept for history and plots."""

    agent: AgentName
    run: RunId
    session: int
    usage: ContextUsage


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that crashed its actor twice; `item` is the seq of the event or delivery, if any."""

    actor: str
    item: int | None
    message: str
    first_error: str
    second_error: str


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter as read back; `replayed_at` is None until somebody asked to try it again."""

    id: int
    at: datetime
    letter: DeadLetter
    replayed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An actor's state behind event `cursor`; `version` names the layout of `state` (opaque bytes)."""

    cursor: int
    version: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything one decision of one actor writes, in one transaction.

    `cursor` moves the actor's cursor from `expected_cursor`; when the stored one differs (a second
    incarnation is at work) the whole commit is refused with JournalError. `texts` maps text_key to
    the text (title, blank line, body) it names; a known key is left as it is.
    """

    actor: str
    at: datetime
    events: tuple[Draft, ...] = ()
    opened: tuple[OrderDraft, ...] = ()
    closed: tuple[OrderClosed, ...] = ()
    cursor: int | None = None
    expected_cursor: int | None = None
    snapshot: Snapshot | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    outcomes: tuple[DeliveryOutcome, ...] = ()
    samples: tuple[Sample, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """What the commit wrote, with its numbers; orders whose key was known are not repeated."""

    events: tuple[Stored, ...]
    opened: tuple[StoredOrder, ...]


@dataclass(frozen=True, slots=True)
class JournalHealth:
    """`commits` is whether the last write or probe reached the disk; counts are of this process
    where they say so, of the file otherwise."""

    commits: bool
    error: str | None
    queued: int
    head: int
    deliveries: int
    last_accepted_at: datetime | None
    dead_letters: int
    open_orders: int
    size_bytes: int
    schema_version: int
    collisions: int = 0


class Journal(Protocol):
    """A durable log and inbox. Writes raise JournalUnavailable when the store cannot commit within
    its deadline (nothing of the write is stored then, or the write is known by its keys when
    repeated); after a return the write has been fsynced."""

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the store, report ready, write until cancelled, close cleanly. May be served again.

        Raises JournalCorrupt, JournalTooNew, JournalInUse, JournalUnavailable before ready.
        """

    async def accept(self, delivery: Delivery) -> Receipt:
        """Store the delivery once: the same id, or the same event and body under another id, is
        answered with `duplicate_of`. The same id with another body is stored as a new delivery
        under a suffixed id and counted as a collision."""

    async def reject(self, delivery: Delivery, reason: str) -> None:
        """Keep a signed but invalid delivery for diagnosis; the newest 1,000 (64 MiB) are kept."""

    async def commit(self, commit: Commit) -> Committed: ...

    async def read_deliveries(self, after: int, limit: int) -> list[StoredDelivery]:
        """Accepted deliveries with seq > after, in order."""

    async def read_events(self, after: int, limit: int) -> list[Stored]:
        """Events with seq > after, in order. Recent ones come from memory without a disk read."""

    async def timeline(self, issue: IssueRef, limit: int) -> list[Stored]:
        """The newest `limit` events about one issue, oldest first."""

    async def text(self, text_key: str) -> str | None: ...

    async def cursor(self, actor: str) -> int:
        """How far the actor has read; 0 when it never committed one."""

    async def snapshot(self, actor: str) -> Snapshot | None: ...

    async def dead_letters(
        self, *, actor: str | None = None, limit: int = 1000
    ) -> list[StoredDeadLetter]:
        """Newest first."""

    async def replay_dead_letter(self, letter_id: int, at: datetime) -> StoredDeadLetter | None:
        """Mark the letter replayed and, if it was a delivery (the router's items are), append a copy
        under a suffixed id at the end of the inbox, so that the router meets it again.

        None when there is no such letter; one that was replayed before comes back as it is. A
        delivery whose body retention has pruned is a JournalError, and the letter stays."""

    async def samples(self, agent: AgentName, since: datetime, limit: int) -> list[Sample]:
        """Oldest first; the newest `limit` since then."""

    async def backup(self, path: Path) -> None:
        """A consistent copy at `path`, which must not exist yet, while everything goes on."""

    def open_orders(self, target: str) -> tuple[StoredOrder, ...]:
        """Open orders of one target, oldest first, from memory."""

    def head(self, stream: Literal["deliveries", "events"]) -> int:
        """The last seq written, 0 for none, from memory."""

    async def wait_past(self, stream: Literal["deliveries", "events"], seq: int) -> None:
        """Return once head(stream) > seq."""

    async def wait_orders(self, target: str, after: int = 0) -> None:
        """Return once the target has an open order with an id above `after`."""

    def health(self) -> JournalHealth: ...
