"""The router: what each delivery means, against what is already known.

It reads deliveries in order and keeps the newest facts of every issue it has seen. Without a forge
token it trusts the payload; the order of arrival never decides, the forge's own `updated_at` does.
"""

from datetime import datetime
from functools import partial

import structlog
import trio

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.coroner import letter_of
from coordinator.actors.follower import REPLAY_BATCH, SNAPSHOT_EVERY, patiently, wake, watch
from coordinator.actors.messages import Wake
from coordinator.edges.gitea_wire import Ignored, IssueDelivery, facts_of, parse_delivery
from coordinator.edges.journal import (
    Commit,
    DeadLetter,
    DeliveryOutcome,
    Draft,
    Journal,
    Snapshot,
    StoredDelivery,
)
from coordinator.edges.snapshot_wire import dump_facts, load_facts
from coordinator.errors import PayloadInvalid
from coordinator.rules.events import IssueObserved
from coordinator.rules.fleet import Fleet
from coordinator.rules.routing import KnownIssues, Routed
from coordinator.runtime import Actor

__all__ = ["Router"]

# Deliveries carry bodies of several KiB, up to MiB: a smaller batch than for events.
BATCH = 64

# A forge sends what belongs together within milliseconds; quieter than this, a burst is over.
QUIET_S = 0.002
BURST_S = 0.050

# A delivery takes some 0.2 ms: deliveries that arrive meanwhile are answered in between.
PAUSE_EVERY = 16


class Router(Actor):
    """Deliveries in, `IssueObserved` and `IssueDeleted` out, and an outcome for each delivery."""

    name = "router"
    snapshot_version = 1

    def __init__(self, journal: Journal, fleet: Fleet, clock: Clock = utc_now) -> None:
        self.journal = journal
        self.clock = clock
        self.log = structlog.get_logger().bind(actor=self.name)
        self.known = KnownIssues(fleet.logins)
        self.cursor = 0
        self._events_at = 0
        self._snapshot_at = 0
        self._whole = False  # as in Follower: no snapshot of a state that ran ahead of the journal

    async def init(self) -> None:
        self.cursor = await patiently(self, partial(self.journal.cursor, self.name))
        snapshot = await patiently(self, partial(self.journal.snapshot, self.name))
        if snapshot is not None and snapshot.version == self.snapshot_version:
            facts, deleted = await trio.to_thread.run_sync(load_facts, snapshot.state)
            self.known.load(facts, deleted)
            self._snapshot_at = snapshot.cursor
        self._events_at = self._snapshot_at
        await self._replay()
        self._whole = True
        self.context.spawn(self._watch, name="watch")
        wake(self.context.ref)

    async def handle(self, message: Wake) -> None:
        await self._let_burst_in()
        batch = await patiently(self, partial(self.journal.read_deliveries, self.cursor, BATCH))
        if batch:
            await self._route(batch)
        if len(batch) == BATCH:
            wake(self.context.ref)
        if self._events_at - self._snapshot_at >= SNAPSHOT_EVERY:
            await self._write_snapshot()

    async def terminate(self, reason: str) -> None:
        if self._whole and self._events_at != self._snapshot_at:
            await self._write_snapshot()

    def inspect(self) -> object:
        return {
            "cursor": self.cursor,
            "lag": self.journal.head("deliveries") - self.cursor,
            "known_issues": len(self.known.facts),
            "deleted_issues": len(self.known.deleted),
        }

    async def _let_burst_in(self) -> None:
        """Wait while deliveries keep coming, but not for long: accepting them is what the forge waits
        for, and routing many at once costs half of routing them one by one."""
        until = trio.current_time() + BURST_S
        seen = -1
        while (head := self.journal.head("deliveries")) != seen and trio.current_time() < until:
            seen = head
            await trio.sleep(QUIET_S)

    async def _route(self, batch: list[StoredDelivery]) -> None:
        events: list[Draft] = []
        outcomes: list[DeliveryOutcome] = []
        letters: list[DeadLetter] = []
        texts: dict[str, str] = {}
        self._whole = False
        routes: list[Routed] = []
        for number, delivery in enumerate(batch, start=1):
            if number % PAUSE_EVERY == 0:
                await trio.lowlevel.checkpoint()
            routed, text = self._consider(delivery, letters)
            routes.append(routed)
            outcomes.append(DeliveryOutcome(delivery.seq, routed.outcome, routed.detail))
            if routed.event is not None:
                events.append(Draft(routed.event, delivery.id))
            if text is not None:
                texts[text[0]] = text[1]
        self.context.working_on(None)
        commit = Commit(
            actor=self.name,
            at=self.clock(),
            events=tuple(events),
            texts=texts,
            outcomes=tuple(outcomes),
            dead_letters=tuple(letters),
            cursor=batch[-1].seq,
            expected_cursor=self.cursor,
        )
        committed = await patiently(self, partial(self.journal.commit, commit))
        self.cursor = batch[-1].seq
        if committed.events:
            self._events_at = committed.events[-1].seq
        self._whole = True
        self._log(batch, routes, self.clock())

    def _consider(
        self, delivery: StoredDelivery, letters: list[DeadLetter]
    ) -> tuple[Routed, tuple[str, str] | None]:
        crashes = self.context.crashes_of(delivery.seq)
        if len(crashes) >= 2:
            letters.append(letter_of(self.name, delivery.seq, f"delivery {delivery.id}", crashes))
            return Routed("dead_letter", "crashed the router twice"), None
        self.context.working_on(delivery.seq)
        if delivery.body is None:
            return Routed("pruned", "its body was pruned by retention before it was read"), None
        try:
            parsed = parse_delivery(delivery.event, delivery.event_type, delivery.body)
        except PayloadInvalid as invalid:
            return Routed("invalid", str(invalid)), None
        match parsed:
            case Ignored(reason=reason):
                return Routed("ignored", reason), None
            case IssueDelivery():
                facts, text = facts_of(parsed)
                routed = self.known.route(
                    facts, parsed.action, parsed.sender, deleted=parsed.is_deletion
                )
                return routed, (facts.text_key, text) if routed.event is not None else None

    def _log(self, batch: list[StoredDelivery], routes: list[Routed], now: datetime) -> None:
        """One line per delivery, which is also the line of the change it brought."""
        for delivery, routed in zip(batch, routes, strict=True):
            event = routed.event
            self.log.info(
                "delivery_routed",
                delivery=delivery.id,
                delivery_seq=delivery.seq,
                issue=str(routed.issue) if routed.issue is not None else None,
                outcome=routed.outcome,
                why=routed.detail,
                action=event.action if isinstance(event, IssueObserved) else None,
                ms=round((now - delivery.received_at).total_seconds() * 1000, 1),
            )

    async def _replay(self) -> None:
        read = self.journal.read_events
        while batch := await patiently(self, partial(read, self._events_at, REPLAY_BATCH)):
            for stored in batch:
                if stored.actor == self.name:
                    self.known.fold(stored.event)
            self._events_at = batch[-1].seq
            self.context.still_working()

    async def _write_snapshot(self) -> None:
        facts, deleted = dict(self.known.facts), set(self.known.deleted)
        state = await trio.to_thread.run_sync(dump_facts, facts, deleted)
        snapshot = Snapshot(self._events_at, self.snapshot_version, state)
        commit = Commit(actor=self.name, at=self.clock(), snapshot=snapshot)
        await patiently(self, partial(self.journal.commit, commit))
        self._snapshot_at = self._events_at

    async def _watch(self) -> None:
        await watch(self, self.journal, "deliveries")
