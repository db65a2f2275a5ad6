"""The queue in front of an actor: bounded, ordered, and alive when its actor is not.

A deque holds the messages and Trio is used only to wait, because a channel cannot drop its oldest,
tell an age or outlive its receiver.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from .errors import ActorDown, MailboxFull
from .messages import Envelope
from .spec import Mailbox

if TYPE_CHECKING:
    from .trace import Tracer

__all__ = ["Counters", "Queue"]


@dataclass(slots=True)
class Counters:
    """What became of every message; the conservation law ties them together.

    accepted = acked + dead_lettered + returned + expired + dropped + queued + stashed + in hand.
    Messages that never got in (`refused`) are outside the law.
    """

    accepted: int = 0
    acked: int = 0
    dead_lettered: int = 0
    returned: int = 0
    expired: int = 0
    dropped: int = 0
    refused: int = 0

    def left_over(self) -> int:
        """Accepted messages whose fate is still open."""
        settled = self.acked + self.dead_lettered + self.returned + self.expired + self.dropped
        return self.accepted - settled


class _Sender:
    """A blocked sender: its message, and why it was turned away, if it was."""

    __slots__ = ("envelope", "refusal")

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.refusal: str | None = None


# Stands for the senders of an actor that never had one wait. Ordered: a plain dict whose first entries
# were deleted looks for its new first one in linear time.
NO_SENDERS: OrderedDict[trio.lowlevel.Task, _Sender] = OrderedDict()


class Queue:
    """Messages in order of arrival under one Mailbox policy, and the senders that wait for room.

    `lost` hears of each message the policy drops, except those dropped because of what it does itself.
    """

    __slots__ = (
        "_capacity", "_equals", "_is_telling", "_items", "_lost", "_senders", "counters", "id",
        "mailbox", "makes_wait", "tracer",
    )  # fmt: skip

    def __init__(self, owner_id: str, mailbox: Mailbox, lost: Callable[[object], None]) -> None:
        self.id = owner_id
        self.mailbox = mailbox
        self.counters = Counters()
        self.tracer: Tracer | None = None
        self.makes_wait = mailbox.full == "wait"
        self._capacity = mailbox.capacity
        self._lost = lost
        self._is_telling = False
        self._items: deque[Envelope] = deque()
        self._senders = NO_SENDERS
        self._equals: Counter[object] | None = None  # kept only once somebody coalesces

    def __len__(self) -> int:
        return len(self._items)

    @property
    def senders_waiting(self) -> int:
        """Senders blocked for room."""
        return len(self._senders)

    def oldest_age_s(self, now: float) -> float | None:
        """How long the oldest message has been queued."""
        return now - self._items[0].enqueued_at if self._items else None

    def holds_equal(self, message: object) -> bool:
        """Whether an equal cast is queued; constant time after the first question."""
        if not _is_hashable(message):
            return any(e.message == message for e in self._items)
        if self._equals is None:
            self._equals = Counter(e.message for e in self._items if _is_counted(e))
        return self._equals[message] > 0

    def offer(self, envelope: Envelope) -> bool:
        """Take the message in now; False if the policy drops it, MailboxFull if it refuses."""
        if not self.admit_if_room(envelope):
            match self.mailbox.full:
                case "wait" | "reject":
                    self.counters.refused += 1
                    raise MailboxFull(self.id, self.mailbox.capacity)
                case "drop_newest":
                    self.counters.refused += 1
                    self._lose(envelope)
                    return False
                case "drop_oldest":
                    oldest = self._pop()
                    self.counters.dropped += 1
                    self._admit(envelope)
                    self._lose(oldest)
        return True

    def admit_if_room(self, envelope: Envelope) -> bool:
        """Take the message in if it need not wait; otherwise False."""
        if self._senders or len(self._items) >= self._capacity:
            return False
        self.counters.accepted += 1  # as in `_admit`; this is every message's way and a call costs
        self._items.append(envelope)
        if self._equals is not None or self.tracer is not None:
            self._note(envelope)
        return True

    async def wait_for_room(self, envelope: Envelope) -> None:
        """Wait in line until the message is in: first come, first served."""
        task = trio.lowlevel.current_task()
        if self._senders is NO_SENDERS:
            self._senders = OrderedDict()
        sender = self._senders[task] = _Sender(envelope)

        def leave(_: object) -> trio.lowlevel.Abort:
            del self._senders[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)
        if sender.refusal is not None:
            raise ActorDown(self.id, sender.refusal)

    def take(self) -> Envelope | None:
        """The oldest message, or None; its place goes to the sender that has waited longest."""
        if not self._items:
            return None
        envelope = self._items.popleft()
        if self._equals is not None:
            self._forget(envelope)
        if self._senders:
            self._admit_waiting()
        return envelope

    def withdraw(self, envelope: Envelope) -> bool:
        """Remove one message whose caller gave up; False if it is no longer queued."""
        try:
            self._items.remove(envelope)
        except ValueError:
            return False
        self._forget(envelope)
        self.expire(envelope)
        if self._senders:
            self._admit_waiting()
        return True

    def expire(self, envelope: Envelope) -> None:
        """The caller of an accepted message has given up, and it will not be handled."""
        self.counters.expired += 1
        if self.tracer is not None:
            self.tracer.note("expired", envelope)

    def close(self, reason: str) -> list[Envelope]:
        """Empty the queue for good and turn the waiting senders away; gives what was still queued."""
        self.turn_away(reason)
        left = list(self._items)
        self._items.clear()
        self._equals = None
        self.counters.returned += len(left)
        return left

    def turn_away(self, reason: str, but: Callable[[trio.lowlevel.Task], bool] | None = None) -> None:
        """Refuse those who wait for room: ActorDown, with this reason. `but` says who may stay."""
        leaving = [task for task in self._senders if but is None or not but(task)]
        for task in leaving:
            self._senders.pop(task).refusal = reason
            trio.lowlevel.reschedule(task)

    def _admit(self, envelope: Envelope) -> None:
        self.counters.accepted += 1
        self._items.append(envelope)
        if self._equals is not None or self.tracer is not None:
            self._note(envelope)

    def _note(self, envelope: Envelope) -> None:
        self._recount(envelope, 1)
        if self.tracer is not None:
            self.tracer.note("queued", envelope)

    def _admit_waiting(self) -> None:
        task, sender = self._senders.popitem(last=False)
        sender.envelope.enqueued_at = trio.current_time()
        self._admit(sender.envelope)
        trio.lowlevel.reschedule(task)

    def _pop(self) -> Envelope:
        envelope = self._items.popleft()
        self._forget(envelope)
        return envelope

    def _forget(self, envelope: Envelope) -> None:
        self._recount(envelope, -1)

    def _recount(self, envelope: Envelope, change: int) -> None:
        if self._equals is None:
            return
        try:
            if _is_counted(envelope):
                self._equals[envelope.message] += change
                if not self._equals[envelope.message]:
                    del self._equals[envelope.message]
        except Exception:  # noqa: BLE001  no message is lost for a hash or an equality that raises
            self._equals = None  # counted anew when somebody asks

    def _lose(self, envelope: Envelope) -> None:
        if envelope.reply is not None:
            envelope.reply.refuse(MailboxFull(self.id, self.mailbox.capacity))
        if self.tracer is not None:
            self.tracer.note("dropped", envelope)
        if not self._is_telling:  # who hears of it may cast to the same actor, and again, and again
            self._is_telling = True
            self._lost(envelope.message)
            self._is_telling = False


def _is_hashable(message: object) -> bool:
    try:
        hash(message)
    except TypeError:
        return False
    return True


def _is_counted(envelope: Envelope) -> bool:
    """Calls never coalesce: each has a caller of its own."""
    return envelope.reply is None and _is_hashable(envelope.message)
