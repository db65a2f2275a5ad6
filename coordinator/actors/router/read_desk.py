"""What one life of the router keeps about its reads: which are asked for, under way, answered, failing.

The orders in the journal are the truth; all of this is made anew from them at the next start.
"""

from collections.abc import Iterable
from datetime import datetime

from coordinator.actors.messages import FailingRepository, ReadsView
from coordinator.actors.router.reading import Answer
from coordinator.edges.journal import StoredOrder
from coordinator.rules.ids import DeliveryId, IssueRef
from coordinator.rules.orders import ReadIssue
from coordinator.rules.reads import Read, ReadQueue

__all__ = ["MAX_UNREADABLE", "TARGET", "ReadDesk"]

TARGET = "router"

# A forge that hides a repository for a moment (a team being changed) shows it again within seconds;
# so many tries take about three.
MAX_UNREADABLE = 3


class ReadDesk:
    """Orders in, reads out, answers back. Instants are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._queue = ReadQueue()
        self._orders: dict[int, StoredOrder] = {}
        self._answers: list[tuple[Read, Answer]] = []
        self._errors: dict[str, str] = {}
        # How often a repository was hidden from us, and when that was counted last.
        self._hidden: dict[str, tuple[int, float]] = {}
        self._sent_s: dict[IssueRef, float] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def ask(self, orders: Iterable[StoredOrder], now_s: float) -> None:
        """Take in those of the orders that are reads."""
        for stored in orders:
            if isinstance(stored.order, ReadIssue):
                self._orders[stored.id] = stored
                self._queue.ask(stored.id, stored.order, now_s)

    def due(self, now_s: float) -> list[Read]:
        """The reads to send now."""
        reads = self._queue.due(now_s)
        self._sent_s |= {read.ref: now_s for read in reads}
        return reads

    def next_s(self) -> float | None:
        """When to ask for due ones again; None: not before something else happens."""
        return self._queue.next_s()

    def awaits(self, ref: IssueRef) -> bool:
        """Whether a read of the issue is asked for and not sent yet."""
        return self._queue.awaits(ref)

    def pending(self, canonical: str) -> int:
        """How many issues of the repository are still to be read."""
        return self._queue.pending(canonical)

    def hand_in(self, read: Read, answer: Answer) -> None:
        """Leave an answer until it is taken."""
        self._answers.append((read, answer))

    def take(self) -> list[tuple[Read, Answer]]:
        """The answers that came in, in order."""
        answers, self._answers = self._answers, []
        return answers

    def done(self, read: Read, *, is_readable: bool = True) -> None:
        """The read was answered, once and for all."""
        self._sent_s.pop(read.ref, None)
        for order_id in self._queue.done(read.ref):
            self._orders.pop(order_id, None)
        if is_readable:
            self._errors.pop(read.ref.repo, None)
            self._hidden.pop(read.ref.repo, None)

    def put_back(self, read: Read) -> None:
        """The read was never sent; it is due as before."""
        self._queue.put_back(read.ref)

    def failed(self, read: Read, why: str, now_s: float, *, alone: bool) -> None:
        """The read must be sent again later."""
        self._errors[read.ref.repo] = why
        self._queue.failed(read.ref, now_s, alone=alone)

    def hidden(self, read: Read, why: str, now_s: float) -> bool:
        """The repository was not shown to us. True: often enough to give the read up, which the caller
        then does; else it is sent again later."""
        repo = read.ref.repo
        tries, counted_s = self._hidden.get(repo, (0, float("-inf")))
        # Reads that were under way together count once.
        if self._sent_s[read.ref] >= counted_s:
            tries += 1
            self._hidden[repo] = (tries, now_s)
        if tries >= MAX_UNREADABLE:
            self._errors[repo] = why
            return True
        self.failed(read, why, now_s, alone=False)
        return False

    def cause_of(self, read: Read) -> DeliveryId | None:
        """The newest delivery among those that asked for the read."""
        causes = (self._orders[each].delivery for each in reversed(read.order_ids))
        return next((cause for cause in causes if cause is not None), None)

    def asked_at(self, read: Read) -> datetime:
        """When the first of its orders was opened."""
        return self._orders[read.order_ids[0]].opened_at

    def view(self, now: datetime) -> ReadsView:
        """How it goes, for whoever asks."""
        hidden = {repo: tries for repo, (tries, _) in self._hidden.items()}
        failures = {**hidden, **self._queue.failing}
        oldest = next(iter(self._orders.values()), None)
        return ReadsView(
            pending=len(self._queue),
            in_flight=len(self._queue.in_flight),
            oldest_age_s=None if oldest is None else max((now - oldest.opened_at).total_seconds(), 0.0),
            failing=tuple(
                FailingRepository(repo, failures.get(repo, 1), why)
                for repo, why in sorted(self._errors.items())
            ),
        )
