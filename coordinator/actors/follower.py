"""An actor whose state is a fold over the journal's events, and the shell every such actor shares.

Receive, decide, commit, perform: `consider` decides on one event, everything it returns is written
with the cursor in one commit, and only then performed. A wake-up is a hint: the actor reads from
its cursor to the head whenever it looks. An event that crashed the actor twice becomes a dead
letter and is passed over, here and after every restart.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeVar

import structlog
import trio

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.coroner import RETRY_S, letter_of
from coordinator.actors.event_line import log_event
from coordinator.actors.messages import Reconsider, Wake
from coordinator.edges.journal import (
    Commit,
    Committed,
    DeadLetter,
    Draft,
    Journal,
    OrderClosed,
    OrderDraft,
    Snapshot,
    Stored,
)
from coordinator.errors import JournalUnavailable
from coordinator.rules.events import Event
from coordinator.runtime import Actor, ActorDown, ActorRef, MailboxFull

__all__ = ["Follower", "Output", "drafts", "patiently", "wake", "watch"]

T = TypeVar("T")

# One read and one commit at most for so many events: large enough to catch up fast, small enough that
# a stop or a question never waits long.
BATCH = 256

# Replaying decides nothing, so it reads more at a time.
REPLAY_BATCH = 1_000

# Wake-ups can be lost by design; a second is the longest an event then lies unread.
POLL_S = 1.0

# A restart folds at most this many events on top of the last snapshot (well under a second).
SNAPSHOT_EVERY = 5_000

# A crash that happens twice on one event is the event's fault.
MAX_CRASHES = 2


@dataclass(slots=True)
class Output:
    """What one batch decided, in order."""

    events: list[Draft] = field(default_factory=list)
    opened: list[OrderDraft] = field(default_factory=list)
    closed: list[OrderClosed] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.events or self.opened or self.closed or self.dead_letters)


class Follower(Actor):
    """Folds the events stream. Subclasses say how to fold, decide, save and load.

    Its own events are folded when they are decided and passed over when they are read back.
    """

    name: str
    snapshot_version = 1

    def __init__(self, journal: Journal, clock: Clock = utc_now) -> None:
        self.journal = journal
        self.clock = clock
        self.log = structlog.get_logger().bind(actor=self.name)
        self.cursor = 0
        self._saved_cursor = 0
        self._snapshot_at = 0
        self._skip: set[int] = set()
        self._caught_up = False
        # False from the first fold of a batch to its commit: a state that ran ahead of the journal
        # must not become a snapshot when a crash or a cancellation comes in between.
        self._whole = False

    # what a subclass says -----------------------------------------------------------------------

    def fold(self, stored: Stored) -> None:
        """Take one event into the state without deciding anything."""
        raise NotImplementedError

    async def consider(self, stored: Stored, output: Output) -> None:
        """Fold one event of another actor and add what follows from it to the output."""
        raise NotImplementedError

    async def conclude(self, output: Output) -> None:
        """Add what follows from a whole batch; called after its last event and after a restart."""

    async def perform(self, committed: Committed) -> None:
        """Carry out what was committed."""

    def save(self) -> bytes:
        """The state as bytes for a snapshot."""
        raise NotImplementedError

    def load(self, state: bytes) -> None:
        """The state back from its snapshot."""
        raise NotImplementedError

    def replayed(self) -> None:
        """The past has been folded; what comes from now on is decided on."""

    async def caught_up(self, output: Output) -> None:
        """The head is reached for the first time in this life; add what a new life has to decide."""

    # the shell ----------------------------------------------------------------------------------

    async def init(self) -> None:
        self._skip = await self._dead()
        self.cursor = await patiently(self, partial(self.journal.cursor, self.name))
        self._saved_cursor = self.cursor
        snapshot = await patiently(self, partial(self.journal.snapshot, self.name))
        if snapshot is not None and snapshot.version == self.snapshot_version:
            await trio.to_thread.run_sync(self.load, snapshot.state)
            self._snapshot_at = snapshot.cursor
        await self._replay(self._snapshot_at, self.cursor)
        await self._replay(self.cursor, self.journal.head("events"), own_only=True)
        self.replayed()
        self._whole = True
        self.context.spawn(self._watch, name="watch")
        wake(self.context.ref)

    async def handle(self, message: object) -> object:
        match message:
            case Wake():
                await self.catch_up()
                return None
            case Reconsider(seq=seq):
                await self._reconsider(seq)
                return None
            case _:
                return await self.answer(message)

    async def answer(self, message: object) -> object:
        """Reply to a message that is not a wake-up."""
        raise NotImplementedError(f"{self.name} does not know {type(message).__name__}")

    async def terminate(self, reason: str) -> None:
        if self._whole and self.cursor != self._snapshot_at:
            await self._write_snapshot()

    async def catch_up(self) -> None:
        """Decide on the next batch and commit; behind a full one wake up again, so that questions
        and a stop get in between."""
        batch = await patiently(self, partial(self.journal.read_events, self.cursor, BATCH))
        output = Output()
        self._whole = False
        for stored in batch:
            if stored.actor != self.name:
                await self._consider(stored, output)
        self.context.working_on(None)
        if len(batch) == BATCH:
            wake(self.context.ref)
        elif not self._caught_up:
            self._caught_up = True
            await self.caught_up(output)
        await self.conclude(output)
        if batch:
            self.cursor = batch[-1].seq
        if output:
            await self.perform(await self.write(output, cursor=self.cursor))
        self._whole = True
        if self.cursor - self._snapshot_at >= SNAPSHOT_EVERY:
            await self._write_snapshot()

    def inspect(self) -> object:
        return {"cursor": self.cursor, "lag": self.journal.head("events") - self.cursor}

    async def _dead(self) -> set[int]:
        """The events to pass over. One that was replayed counts again, unless it crashed in this very
        process: until the replay has gone well, folding it here would only crash the start."""
        return {
            each.letter.item
            for each in await patiently(self, partial(self.journal.dead_letters, actor=self.name))
            if each.letter.item is not None
            and (each.replayed_at is None or self.context.crashes_of(each.letter.item))
        }

    async def _consider(self, stored: Stored, output: Output) -> None:
        if stored.seq not in self._skip:
            await self._try(stored, stored.seq, output)

    async def _try(self, stored: Stored, item: Hashable, output: Output) -> None:
        """Consider the event, or bury it when it crashed the actor twice under this item."""
        crashes = self.context.crashes_of(item)
        if len(crashes) >= MAX_CRASHES:
            self._skip.add(stored.seq)
            kind = type(stored.event).__name__
            output.dead_letters.append(letter_of(self.name, stored.seq, kind, crashes))
            self.log.error("dead_letter", item=stored.seq, event_kind=kind)
            return
        self.context.working_on(item)
        await self.consider(stored, output)

    async def _reconsider(self, seq: int) -> None:
        """Two more tries, then it is a dead letter again. What it changed goes into a snapshot at once,
        because a replay from an older one passes over it."""
        self._whole = False
        output = Output()
        for stored in await patiently(self, partial(self.journal.read_events, seq - 1, 1)):
            await self._try(stored, f"again {seq}", output)
        await self.conclude(output)
        self.context.working_on(None)
        if output:
            await self.perform(await self.write(output))
        self._whole = True
        await self._write_snapshot()

    async def _replay(self, after: int, until: int, *, own_only: bool = False) -> None:
        while after < until:
            count = min(REPLAY_BATCH, until - after)
            batch = await patiently(self, partial(self.journal.read_events, after, count))
            for stored in batch:
                if stored.seq not in self._skip and (stored.actor == self.name or not own_only):
                    self.fold(stored)
            after = batch[-1].seq if batch else until
            self.context.still_working()

    async def write(self, output: Output, *, cursor: int | None = None) -> Committed:
        """Commit the output, waiting for as long as the journal cannot; then log each event."""
        commit = Commit(
            actor=self.name,
            at=self.clock(),
            events=tuple(output.events),
            opened=tuple(output.opened),
            closed=tuple(output.closed),
            dead_letters=tuple(output.dead_letters),
            cursor=cursor,
            expected_cursor=self._saved_cursor if cursor is not None else None,
        )
        committed = await patiently(self, partial(self.journal.commit, commit))
        if cursor is not None:
            self._saved_cursor = cursor
        for stored in committed.events:
            log_event(self.log, stored)
        return committed

    async def _write_snapshot(self) -> None:
        state = await trio.to_thread.run_sync(self.save)
        commit = Commit(
            actor=self.name,
            at=self.clock(),
            cursor=self.cursor,
            expected_cursor=self._saved_cursor,
            snapshot=Snapshot(self.cursor, self.snapshot_version, state),
        )
        await patiently(self, partial(self.journal.commit, commit))
        self._saved_cursor = self._snapshot_at = self.cursor

    async def _watch(self) -> None:
        await watch(self, self.journal, "events")


async def patiently(actor: Actor, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the journal, however long it is unavailable: a full disk is no fault of the actor's, its
    state may be ahead of the disk already, and a restart would only meet the same disk.

    An actor that is being stopped does not wait: JournalUnavailable ends its life."""
    while True:
        try:
            return await ask()
        except JournalUnavailable:
            if actor.context.is_stopping:
                raise
            actor.context.still_working()
            await trio.sleep(RETRY_S)


async def watch(actor: Actor, journal: Journal, stream: Literal["deliveries", "events"]) -> None:
    """Wake the actor whenever the stream has grown, and once a second for good measure."""
    seen = journal.head(stream)
    while True:
        with trio.move_on_after(POLL_S):
            await journal.wait_past(stream, seen)
        seen = journal.head(stream)
        wake(actor.context.ref)


def wake(ref: ActorRef) -> None:
    """A hint that costs nothing to lose: a full mailbox is looked at again within POLL_S, and an actor
    that is stopped for good reads the journal when it is started again."""
    with suppress(MailboxFull, ActorDown):
        ref.cast_nowait(Wake(), coalesce=True)


def drafts(events: Iterable[Event], stored: Stored) -> list[Draft]:
    """Events that follow from a stored one, under its correlation id."""
    return [Draft(event, stored.delivery) for event in events]
