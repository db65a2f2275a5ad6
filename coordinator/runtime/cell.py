"""What of an actor outlives its task: mailbox, message in hand, counters, crash record.

The supervisor's child owns the cell and a reference points to it; incarnations borrow it.
"""

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from .bell import Bell
from .current import is_of
from .errors import ActorDown, DeadLettered, StashFull
from .mailbox import Queue
from .messages import Envelope, Reply
from .protocol import takes_of
from .reports import DeadLetterReport
from .stash import Stash
from .stop import GRACE_S

if TYPE_CHECKING:
    from .child import Child
    from .down import Teller
    from .reports import CrashReport
    from .spec import ActorSpec
    from .trace import Tracer
    from .tree import Tree

__all__ = ["Cell"]

# Enough to see what an actor was at when it broke, little enough for 10,000 actors in one dump.
LAST_MESSAGES = 10
# p50 and p99 of the recent past; one more octave would not move them and sorting stays in microseconds.
LATENCIES = 128
# Crashes kept for `crashes_of`: an actor skips an item long before a thousand newer ones broke, too.
ITEMS = 1000
# Stand for deques nobody has needed yet: a real one takes 600 bytes, and most actors idle.
NO_MESSAGES: deque[Envelope] = deque(maxlen=0)
NO_TIMES: deque[float] = deque(maxlen=0)


class Cell:
    """The lasting half of an actor. All methods are sync except those that wait for the mailbox."""

    __slots__ = (
        "bell", "child", "closed", "crashes", "deadline", "expected_at", "handled", "handling_since",
        "id", "in_flight", "is_draining", "is_overdue", "is_stashing", "is_suspended", "item",
        "last_messages", "latencies", "loop_scope", "now", "queue", "spec", "stash", "stop_asked",
        "takes", "tree", "watchers",
    )  # fmt: skip

    def __init__(self, child: "Child", spec: "ActorSpec", tree: "Tree") -> None:
        self.id = spec.id
        self.child = child
        self.spec = spec
        self.tree = tree
        self.now = trio.lowlevel.current_clock().current_time  # half the price of trio.current_time
        self.bell = Bell()
        self.takes = takes_of(spec.actor)
        self.queue = Queue(spec.id, spec.mailbox, self._lost)
        self.in_flight: Envelope | None = None
        self.stash = Stash()
        self.is_stashing = False
        self.item: Hashable | None = None
        self.crashes: dict[Hashable, tuple[CrashReport, ...]] = {}
        self.closed: str | None = None
        self.stop_asked: str | None = None
        self.is_suspended = False
        self.is_draining = False
        self.watchers: dict[object, Teller] | None = None
        self.handled = 0
        self.last_messages = NO_MESSAGES
        self.latencies = NO_TIMES
        self.loop_scope: trio.CancelScope | None = None
        self.deadline = math.inf  # of the handler in progress, enforced by the tree's watch
        self.expected_at = math.inf
        self.is_overdue = False
        self.handling_since: float | None = None

    @property
    def front(self) -> deque[Envelope]:
        """Messages unstashed: they come before the queue."""
        return self.stash.front

    @property
    def depth(self) -> int:
        """Messages that wait to be handled; stashed ones do not, for now."""
        return len(self.queue) + len(self.stash.front)

    @property
    def tracer(self) -> "Tracer | None":
        """Who follows this actor's messages, if anybody does."""
        return self.queue.tracer

    @tracer.setter
    def tracer(self, tracer: "Tracer | None") -> None:
        self.queue.tracer = tracer

    # for references ---------------------------------------------------------------------------

    def require_open(self) -> None:
        """Raise ActorDown if the actor takes no messages: it is stopped for good, or about to be."""
        if self.closed is not None:
            raise ActorDown(self.id, self.closed)
        if self.is_draining and self.turns_away:
            raise ActorDown(self.id, "draining")

    @property
    def takes_messages(self) -> bool:
        """False once it is stopped for good, or about to be."""
        return self.closed is None and not self.turns_away

    @property
    def turns_away(self) -> bool:
        """Whether it is being drained, and who asks is not the actor itself: it ends what it began."""
        if not self.is_draining:
            return False
        return not (trio.lowlevel.in_trio_task() and self._is_own(trio.lowlevel.current_task()))

    def offer(self, envelope: Envelope) -> bool:
        """Queue the message now or raise; False if the policy dropped it."""
        self.require_open()
        taken = self.queue.offer(envelope)
        self.bell.ring()
        return taken

    def admit(self, envelope: Envelope) -> bool:
        """Queue the message now if the policy is "wait" and it need not; the one that costs least."""
        queue = self.queue
        if self.closed is not None or not queue.makes_wait or (self.is_draining and self.turns_away):
            return False
        is_in = queue.admit_if_room(envelope)
        self.bell.ring()
        return is_in

    async def put(self, envelope: Envelope) -> None:
        """Queue the message; policy "wait" waits for room, the others only yield."""
        self.require_open()
        if self.queue.makes_wait:
            await self.queue.wait_for_room(envelope)
        else:
            await trio.lowlevel.checkpoint()
            self.require_open()  # it may have been stopped meanwhile
            self.queue.offer(envelope)
        self.bell.ring()

    async def ask(self, envelope: Envelope, reply: Reply) -> None:
        """Queue a call and have its deadline watched; one without room in time is abandoned."""
        if not self.admit(envelope):
            with trio.CancelScope(deadline=reply.deadline) as scope:
                await self.put(envelope)
            if scope.cancelled_caught:
                reply.give_up()
        if reply.deadline < math.inf:
            self.tree.watch.expect(reply)

    def abandon(self, envelope: Envelope) -> None:
        """The caller has gone: a waiting call is withdrawn, one in hand loses its listener."""
        if envelope.reply is not None:
            envelope.reply.give_up()
        if not self.queue.withdraw(envelope) and self.stash.withdraw(envelope):
            self.queue.expire(envelope)

    # for the incarnation ------------------------------------------------------------------------

    def has_work(self) -> bool:
        """A message is waiting, or one came back from a crash."""
        return self.in_flight is not None or len(self.queue) > 0 or len(self.stash.front) > 0

    def next_envelope(self) -> Envelope | None:
        """The message to handle now: brought back by a restart, unstashed, or oldest in the queue."""
        envelope, front = self.in_flight, self.stash.front
        while True:
            if envelope is None:
                envelope = front.popleft() if front else self.queue.take()
            if envelope is None or envelope.reply is None or not envelope.reply.abandoned:
                self.in_flight = envelope
                return envelope
            self.queue.expire(envelope)
            envelope = None

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
        if self.last_messages is NO_MESSAGES:
            self._make_records()
        envelope.took_s = took_s = now - started
        envelope.ok = ok
        envelope.reply = None  # what is remembered keeps no answer and no caller's frames alive
        self.last_messages.append(envelope)
        self.latencies.append(took_s)
        if self.queue.tracer is not None:
            self.queue.tracer.note("handled", envelope, took_s)
        if self.tree.hooks.handled is not None:
            hook, waited_s = self.tree.hooks.handled, started - envelope.enqueued_at
            self.tree.tell(hook, self.id, envelope.message, took_s, waited_s, self.depth)

    def _make_records(self) -> None:
        self.last_messages = deque(maxlen=LAST_MESSAGES)
        self.latencies = deque(maxlen=LATENCIES)

    def overrun(self) -> None:
        """The handler in progress is past its deadline; past the grace, too, it is named a survivor."""
        if self.is_overdue:
            self.child.report_survivor()
        elif self.loop_scope is not None:
            self.is_overdue = True
            self.loop_scope.cancel()
            self.deadline = trio.current_time() + GRACE_S
            self.tree.watch.expect(self)

    # stash ----------------------------------------------------------------------------------------

    def ask_stash(self) -> None:
        """Put the message in hand aside when its handler returns; StashFull if there is no room."""
        if self.handling_since is None or self.in_flight is None:
            raise RuntimeError(f"{self.id} has no message in hand to stash")
        if self.stash.held >= self.spec.mailbox.capacity:
            raise StashFull(f"{self.id} has {self.stash.held} messages in its stash and no room")
        self.is_stashing = True

    def set_aside(self, envelope: Envelope) -> None:
        """The handler has returned and wants the message later."""
        self.is_stashing = False
        self.in_flight = None
        self.item = None
        if envelope.abandoned:  # its caller left while it was in hand
            self.queue.expire(envelope)
            return
        self.stash.put(envelope)
        if self.tracer is not None:
            self.tracer.note("stashed", envelope)

    # control: overtakes the queue -------------------------------------------------------------------

    def suspend(self) -> None:
        """Handle nothing after the message in hand, until resumed."""
        self.is_suspended = True

    def resume(self) -> None:
        """Go on handling."""
        self.is_suspended = False
        self.bell.ring()

    def drain(self) -> None:
        """Take nothing more, handle what was accepted, then end like a stop."""
        self.is_draining = True
        self.is_suspended = False
        self.queue.turn_away("draining", but=self._is_own)
        self.stash.take_up()
        self.bell.ring()

    # for the child ------------------------------------------------------------------------------

    def blame(self, report: "CrashReport") -> None:
        """Book a crash on the item or message in hand; at its second one a message is dead-lettered."""
        if self.in_flight is not None:
            self._remember_crash(self.in_flight)
        if report.item is not None:
            self._blame_item(report)
        elif self.in_flight is not None:
            self._blame_message(self.in_flight, report)

    def _remember_crash(self, envelope: Envelope) -> None:
        """Among the last messages it stands once per attempt, so this one is a copy."""
        if self.last_messages is NO_MESSAGES:
            self._make_records()
        crashed = Envelope(envelope.message, envelope.enqueued_at)
        crashed.took_s, crashed.ok = self._busy_s(), False
        self.last_messages.append(crashed)
        if self.tracer is not None:
            self.tracer.note("crashed", envelope, crashed.took_s)

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
        """Remember the crash under its item; gives how many were known before.

        Without what only the moment explains: a thousand items' states would fill memory.
        """
        known = self.crashes.pop(report.item, ())
        kept = replace(report, state=None, last_messages=(), caller_stack=())
        self.crashes[report.item] = (*known, kept)[-LAST_MESSAGES:]
        if len(self.crashes) > ITEMS:
            del self.crashes[next(iter(self.crashes))]
        return len(known)

    def _blame_message(self, envelope: Envelope, report: "CrashReport") -> None:
        is_last = envelope.attempt == 2
        if is_last and self.tracer is not None:
            self.tracer.note("dead_lettered", envelope)
        envelope.crashes = (*envelope.crashes, report)
        if is_last:
            self._dead_letter(envelope)

    def _dead_letter(self, envelope: Envelope) -> None:
        self.in_flight = None
        self.queue.counters.dead_lettered += 1
        if envelope.reply is not None:
            shown = self.tree.show(self.id, envelope.message)
            envelope.reply.refuse(DeadLettered(self.id, f"crashed twice on {shown}"))
        letter = DeadLetterReport(self.id, self.child.path, envelope.message, envelope.crashes)
        self.tree.tell(self.tree.hooks.dead_letter, letter)

    def life_over(self) -> None:
        """Forget what belonged to the incarnation; the next one has decided nothing about the stash."""
        self.item = None
        self.stop_asked = None
        self.loop_scope = None
        self.handling_since = None
        self.deadline = math.inf
        self.is_overdue = False
        self.is_stashing = False
        self.stash.take_up()

    def close(self, reason: str) -> None:
        """Stopped for good: callers and watchers are told at once, waiting messages are returned."""
        if self.closed is not None:
            return
        self.closed = reason
        self.is_suspended = self.is_draining = False
        self._return_all(reason)
        if self.tracer is not None:
            self.tracer.end()
        watchers, self.watchers = self.watchers or {}, None
        for tell in watchers.values():
            tell(reason)

    def _return_all(self, reason: str) -> None:
        kept = [*([self.in_flight] if self.in_flight is not None else []), *self.stash.clear()]
        self.in_flight = None
        self.queue.counters.returned += len(kept)
        for envelope in [*kept, *self.queue.close(reason)]:
            if envelope.reply is not None:
                envelope.reply.refuse(ActorDown(self.id, reason))
            if self.tracer is not None:
                self.tracer.note("returned", envelope)
            self.tree.tell(self.tree.hooks.returned, self.id, envelope.message)

    def reopen(self) -> None:
        """Another life begins: references work again, and a drain that a crash cut short is off."""
        self.closed = None
        self.is_draining = False

    def is_conserved(self) -> bool:
        """The conservation law: every accepted message is settled, queued, stashed or in hand."""
        in_hand = 0 if self.in_flight is None else 1
        return self.queue.counters.left_over() == len(self.queue) + self.stash.held + in_hand

    def _is_own(self, task: trio.lowlevel.Task) -> bool:
        return is_of(task, self.child)

    def _busy_s(self) -> float:
        return 0.0 if self.handling_since is None else trio.current_time() - self.handling_since

    def _lost(self, message: object) -> None:
        self.tree.tell(self.tree.hooks.dropped, self.id, message)
