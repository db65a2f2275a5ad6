"""What of an actor outlives its task: mailbox, message in hand, counters, crash record.

The supervisor's child owns the cell and a reference points to it; incarnations borrow it.
"""

import math
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

import trio

from .bell import Bell
from .errors import ActorDown, DeadLettered
from .mailbox import Queue
from .messages import Envelope, brief
from .reports import DeadLetterReport

if TYPE_CHECKING:
    from .child import Child
    from .reports import CrashReport
    from .spec import ActorSpec
    from .tree import Tree

__all__ = ["Cell"]

# Enough to see what an actor was at when it broke, little enough for 10,000 actors in one dump.
LAST_MESSAGES = 10
# p50 and p99 of the recent past; one more octave would not move them and sorting stays in microseconds.
LATENCIES = 128
# Crashes kept for `crashes_of`: an actor skips an item long before a thousand newer ones broke, too.
ITEMS = 1000


class Cell:
    """The lasting half of an actor. All methods are sync except those that wait for the mailbox."""

    __slots__ = (
        "batch", "bell", "child", "closed", "crashes", "deadline", "handled", "handling_since", "id",
        "in_flight", "item", "last_messages", "latencies", "queue", "spec", "stop_asked",
        "tree",
    )  # fmt: skip

    def __init__(self, child: "Child", spec: "ActorSpec", tree: "Tree") -> None:
        self.id = spec.id
        self.child = child
        self.spec = spec
        self.tree = tree
        self.bell = Bell()
        self.queue = Queue(spec.id, spec.mailbox, self._lost)
        self.in_flight: Envelope | None = None
        self.item: Hashable | None = None
        self.crashes: dict[Hashable, tuple[CrashReport, ...]] = {}
        self.closed: str | None = None
        self.stop_asked: str | None = None
        self.handled = 0
        self.last_messages: deque[tuple[object, float, bool]] = deque(maxlen=LAST_MESSAGES)
        self.latencies: deque[float] = deque(maxlen=LATENCIES)
        self.batch: trio.CancelScope | None = None
        self.deadline = math.inf
        self.handling_since: float | None = None

    # for references ---------------------------------------------------------------------------

    def require_open(self) -> None:
        """Raise ActorDown if the actor is stopped for good."""
        if self.closed is not None:
            raise ActorDown(self.id, self.closed)

    def offer(self, envelope: Envelope) -> bool:
        """Queue the message now or raise; False if the policy dropped it."""
        self.require_open()
        taken = self.queue.offer(envelope)
        self.bell.ring()
        return taken

    async def put(self, envelope: Envelope) -> None:
        """Queue the message; policy "wait" waits for room, the others only yield."""
        self.require_open()
        if self.spec.mailbox.full != "wait":
            await trio.lowlevel.checkpoint()
            self.require_open()  # it may have been stopped meanwhile
        await self.queue.put(envelope)
        self.require_open()
        self.bell.ring()

    def abandon(self, envelope: Envelope) -> None:
        """The caller has gone: a queued call is withdrawn, one in hand loses its listener."""
        if envelope.reply is not None:
            envelope.reply.abandoned = True
        self.queue.withdraw(envelope)

    # for the incarnation ------------------------------------------------------------------------

    def has_work(self) -> bool:
        """A message is waiting, or one came back from a crash."""
        return self.in_flight is not None or len(self.queue) > 0

    def next_envelope(self) -> Envelope | None:
        """The message to handle now: the one brought back by a restart, then the queue in order."""
        if self.in_flight is not None:
            if not self.in_flight.abandoned:
                return self.in_flight
            self.in_flight = None
            self.queue.counters.expired += 1
        self.in_flight = self.queue.take()
        return self.in_flight

    def bring(self, message: object, now: float) -> Envelope:
        """A timer's message: accepted past the queue, for it was promised a time and not a place."""
        self.queue.counters.accepted += 1
        self.in_flight = Envelope(message, now)
        return self.in_flight

    def acknowledge(self, envelope: Envelope, started: float, now: float, *, ok: bool) -> None:
        """The handler has returned: the message is done with."""
        self.in_flight = None
        self.item = None
        self.queue.counters.acked += 1
        self.handled += 1
        self.last_messages.append((envelope.message, now - started, ok))
        self.latencies.append(now - started)
        if self.tree.hooks.handled is not None:
            self.tree.tell(self.tree.hooks.handled, self.id, envelope.message, now - started)

    # for the child ------------------------------------------------------------------------------

    def blame(self, report: "CrashReport") -> None:
        """Book a crash on the item or message in hand; at its second one a message is dead-lettered."""
        if self.in_flight is not None:
            self.last_messages.append((self.in_flight.message, self._busy_s(), False))
        if report.item is not None:
            self._blame_item(report)
        elif self.in_flight is not None:
            self._blame_message(self.in_flight, report)

    def is_repeat(self, item: Hashable | None, attempt: int) -> bool:
        """Whether a crash now would be charged to what is in hand and not to the restart budget.

        Exactly the second crash of an item is free: from the third on the actor is not skipping it,
        and an unbounded free ride would be a livelock.
        """
        if item is not None:
            return len(self.crashes.get(item, ())) == 1
        return attempt >= 2

    def blame_job(self, report: "CrashReport") -> None:
        """Book the crash of a background job on its item; the message in hand is a bystander."""
        self._book(report)

    def _blame_item(self, report: "CrashReport") -> None:
        known = self._book(report)
        if known >= 2 and self.in_flight is not None:
            self._blame_message(self.in_flight, report)

    def _book(self, report: "CrashReport") -> int:
        """Remember the crash under its item; gives how many were known before."""
        known = self.crashes.pop(report.item, ())
        self.crashes[report.item] = (*known, report)[-LAST_MESSAGES:]
        if len(self.crashes) > ITEMS:
            del self.crashes[next(iter(self.crashes))]
        return len(known)

    def _blame_message(self, envelope: Envelope, report: "CrashReport") -> None:
        envelope.crashes = (*envelope.crashes, report)
        envelope.attempt += 1
        if envelope.attempt > 2:
            self._dead_letter(envelope)

    def _dead_letter(self, envelope: Envelope) -> None:
        self.in_flight = None
        self.queue.counters.dead_lettered += 1
        if envelope.reply is not None:
            envelope.reply.refuse(DeadLettered(self.id, f"crashed twice on {brief(envelope.message)}"))
        letter = DeadLetterReport(self.id, self.child.path, envelope.message, envelope.crashes)
        self.tree.tell(self.tree.hooks.dead_letter, letter)

    def life_over(self) -> None:
        """Forget what belonged to the incarnation; the message in hand stays for the next one."""
        self.item = None
        self.stop_asked = None
        self.batch = None
        self.handling_since = None
        self.deadline = math.inf

    def close(self, reason: str) -> None:
        """Stopped for good: callers are told at once, queued messages are returned."""
        if self.closed is not None:
            return
        self.closed = reason
        left = self.queue.close(reason)
        if self.in_flight is not None:
            left.insert(0, self.in_flight)
            self.in_flight = None
            self.queue.counters.returned += 1
        for envelope in left:
            if envelope.reply is not None:
                envelope.reply.refuse(ActorDown(self.id, reason))
            self.tree.tell(self.tree.hooks.returned, self.id, envelope.message)

    def reopen(self) -> None:
        """A stopped child is started again: references work again."""
        self.closed = None

    def is_conserved(self) -> bool:
        """The conservation law: every accepted message is settled, queued or in hand."""
        in_hand = 0 if self.in_flight is None else 1
        return self.queue.counters.left_over() == len(self.queue) + in_hand

    def _busy_s(self) -> float:
        return 0.0 if self.handling_since is None else trio.current_time() - self.handling_since

    def _lost(self, message: object) -> None:
        self.tree.tell(self.tree.hooks.dropped, self.id, message)
