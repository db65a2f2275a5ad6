"""The router: what each delivery means, against what is already known.

It reads deliveries in order and keeps the newest facts of every issue it has seen. With a forge token a
delivery is only a hint: it opens an order to read the issue, and what was read is the news. Without one
the payload is trusted; the order of arrival never decides, the forge's own `updated_at` does.
"""

from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.coroner import letter_of
from coordinator.actors.follower import (
    MAX_CRASHES,
    REPLAY_BATCH,
    SNAPSHOT_EVERY,
    patiently,
    wake,
    watch,
)
from coordinator.actors.messages import ReadsDue, Wake
from coordinator.actors.router.deliveries import Deliveries
from coordinator.actors.router.findings import Findings
from coordinator.actors.router.inquiries import Inquiries, Inquiry
from coordinator.actors.router.own_account import own_login
from coordinator.actors.router.read_desk import TARGET, ReadDesk
from coordinator.actors.router.reading import (
    Answer,
    Crashed,
    Failed,
    Found,
    Gone,
    NotAsked,
    Unreadable,
    read_issue,
)
from coordinator.actors.router.sheet import Sheet
from coordinator.edges.journal import (
    Commit,
    DeadLetter,
    DeliveryOutcome,
    Journal,
    Snapshot,
    StoredDelivery,
)
from coordinator.edges.snapshot_wire import dump_known, load_known
from coordinator.rules.events import IssueObserved
from coordinator.rules.fleet import Fleet
from coordinator.rules.further_reads import undescribed
from coordinator.rules.reads import Read
from coordinator.rules.routing import KnownIssues, Routed
from coordinator.runtime import Actor, ActorDown, MailboxFull

if TYPE_CHECKING:
    from coordinator.edges.gitea import Forge

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
    snapshot_version = 3  # without the repositories heard of the state is built anew from the events

    def __init__(
        self,
        journal: Journal,
        fleet: Fleet,
        clock: Clock = utc_now,
        forge: "Forge | None" = None,
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.forge = forge
        self.log = structlog.get_logger().bind(actor=self.name)
        self.known = KnownIssues(fleet.logins)
        self.deliveries = Deliveries(self.known)
        self.desk = ReadDesk()
        self.findings = Findings(self.known, self.desk)
        self.inquiries = Inquiries(self.findings, clock)
        self.cursor = 0
        self._events_at = 0
        self._snapshot_at = 0
        self._whole = False  # as in Follower: no snapshot of a state that ran ahead of the journal
        self._is_new = True

    async def init(self) -> None:
        self.cursor = await patiently(self, partial(self.journal.cursor, self.name))
        snapshot = await patiently(self, partial(self.journal.snapshot, self.name))
        if snapshot is not None and snapshot.version == self.snapshot_version:
            known = await trio.to_thread.run_sync(load_known, snapshot.state)
            self.known.load(known)
            self._snapshot_at = snapshot.cursor
        self._events_at = self._snapshot_at
        await self._replay()
        self._whole = True
        self.desk.ask(self.journal.open_orders(TARGET), trio.current_time())
        if self.forge is not None:
            self.context.spawn(self._learn_own, self.forge, name="whoami")
        self.context.spawn(self._watch, name="watch")
        wake(self.context.ref)

    async def handle(self, message: Wake | ReadsDue | Inquiry) -> object:
        reply: object = None
        match message:
            case Wake():
                await self._wake()
            case ReadsDue():
                pass
            case _:
                reply = await self._answer(message)
        await self._settle()
        self._send_due()
        if self._events_at - self._snapshot_at >= SNAPSHOT_EVERY:
            await self._write_snapshot()
        return reply

    async def terminate(self, reason: str) -> None:
        if self._whole and self._events_at != self._snapshot_at:
            await self._write_snapshot()

    def inspect(self) -> object:
        state = {
            "cursor": self.cursor,
            "lag": self.journal.head("deliveries") - self.cursor,
            "known_issues": len(self.known.facts),
            "deleted_issues": len(self.known.deleted),
        }
        if self.forge is None:
            return state
        reads = self.desk.view(self.clock())
        return state | {
            "own_login": self.deliveries.own,
            "missed": dict(self.known.missed),
            "reads_pending": reads.pending,
            "reads_in_flight": reads.in_flight,
            "oldest_read_age_s": reads.oldest_age_s,
            "failing_repositories": {
                each.canonical: {"failures": each.failures, "last_error": each.last_error}
                for each in reads.failing
            },
        }

    # deliveries ---------------------------------------------------------------------------------

    async def _wake(self) -> None:
        await self._let_burst_in()
        batch = await patiently(self, partial(self.journal.read_deliveries, self.cursor, BATCH))
        if batch:
            await self._route(batch)
        if len(batch) == BATCH:
            wake(self.context.ref)
        if self._is_new:
            self._is_new = False
            await self._begin()

    async def _let_burst_in(self) -> None:
        """Wait while deliveries keep coming, but not for long: accepting them is what the forge waits
        for, and routing many at once costs half of routing them one by one."""
        until = trio.current_time() + BURST_S
        seen = -1
        while (head := self.journal.head("deliveries")) != seen and trio.current_time() < until:
            seen = head
            await trio.sleep(QUIET_S)

    async def _route(self, batch: list[StoredDelivery]) -> None:
        sheet = Sheet()
        self._whole = False
        routes: list[Routed] = []
        for number, delivery in enumerate(batch, start=1):
            if number % PAUSE_EVERY == 0:
                await trio.lowlevel.checkpoint()
            routed = self._consider(delivery, sheet)
            routes.append(routed)
            sheet.outcomes.append(DeliveryOutcome(delivery.seq, routed.outcome, routed.detail))
        self.context.working_on(None)
        await self._write(sheet, cursor=batch[-1].seq)
        self._whole = True
        self._log(batch, routes, self.clock())

    def _consider(self, delivery: StoredDelivery, sheet: Sheet) -> Routed:
        crashes = self.context.crashes_of(delivery.seq)
        if len(crashes) >= MAX_CRASHES:
            what = f"delivery {delivery.id}"
            sheet.dead_letters.append(letter_of(self.name, delivery.seq, what, crashes))
            return Routed("dead_letter", "crashed the router twice")
        self.context.working_on(delivery.seq)
        take = self.deliveries.trust if self.forge is None else self.deliveries.hint
        return take(delivery, sheet)

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

    async def _answer(self, asked: Inquiry) -> object:
        sheet = Sheet()
        self._whole = False
        reply = self.inquiries.answer(asked, sheet)
        await self._write(sheet)
        self._whole = True
        return reply

    # reads --------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Dependencies were never read of what was known before there was a token."""
        if self.forge is not None:
            sheet = Sheet()
            self.findings.read_further(undescribed(self.known), "first", sheet)
            await self._write(sheet)

    def _send_due(self) -> None:
        now_s = trio.current_time()
        if (held_s := self._held_s()) is not None:
            self.context.start_timer("reads", held_s, ReadsDue())
            return
        for read in self.desk.due(now_s):
            item = _item(read)
            self.context.spawn(self._job, read, name=f"read {read.ref}", item=item)
        if (next_s := self.desk.next_s()) is not None:
            self.context.start_timer("reads", max(next_s - now_s, 0.0), ReadsDue())

    def _held_s(self) -> float | None:
        """How long nothing can be asked of the forge at all: no repository is to blame for that, and
        none backs off meanwhile."""
        return None if self.forge is None else self.forge.health().retry_in_s

    async def _job(self, read: Read) -> None:
        """One read beside the handlers; the answer is taken in by `_settle`."""
        self.desk.hand_in(read, await self._answer_to(read))
        # Else the next wake-up finds it.
        with suppress(MailboxFull, ActorDown):
            self.context.ref.cast_nowait(ReadsDue(), coalesce=True)

    async def _answer_to(self, read: Read) -> Answer:
        crashes = self.context.crashes_of(_item(read))
        if len(crashes) >= MAX_CRASHES:
            return Crashed(crashes)
        if self.forge is None:
            return Unreadable("there is no forge token any more")
        old = self.known.facts.get(read.ref)
        expects_close = read.action == "closed" or (old is not None and old.state == "open")
        order = read.latest
        return await read_issue(self.forge, order, expects_close=expects_close, clock=self.clock)

    async def _settle(self) -> None:
        """Take the answers in, in one commit: what they say, what was asked by them, what is next."""
        answers = self.desk.take()
        if not answers:
            return
        sheet = Sheet()
        self._whole = False
        for read, answer in answers:
            self.context.working_on(_item(read))
            await self._conclude(read, answer, sheet)
        self.context.working_on(None)
        await self._write(sheet)
        self._whole = True

    async def _conclude(self, read: Read, answer: Answer, sheet: Sheet) -> None:
        now_s = trio.current_time()
        match answer:
            case Found():
                self.inquiries.missing.seen(read.ref)
                self._end(read, self.findings.found(read, answer, sheet), sheet)
            case Gone():
                self.inquiries.missing.missed(read.ref, now_s)
                routed = self.known.gone(read.ref, read.why)
                sheet.add(routed, self.desk.cause_of(read), "")
                self._end(read, routed, sheet)
            case Unreadable(why=why) if self._gives_up(read, answer, now_s):
                if answer.is_final or read.ref not in self.known.facts:
                    self.inquiries.missing.missed(read.ref, now_s)
                routed = await self._trust(read, why, sheet)
                self._end(read, routed, sheet, is_readable=False)
            case Unreadable(why=why):
                self._log_failure(read, why)
            case Failed(why=why, alone=alone):
                self.desk.failed(read, why, now_s, alone=alone)
                self._log_failure(read, why)
            case NotAsked():
                self.desk.put_back(read)
            case Crashed():
                sheet.dead_letters.append(self._letter(read, answer))
                self._end(read, Routed("dead_letter", "crashed the router twice"), sheet)

    def _gives_up(self, read: Read, answer: Unreadable, now_s: float) -> bool:
        """Whether a repository that is not shown to us is asked for no more. One that only a text names
        is not asked for twice, nor remembered: anybody may write any name."""
        is_final = self.forge is None or answer.is_final or read.latest.repo_id == 0
        return is_final or self.desk.hidden(read, answer.why, now_s)

    async def _trust(self, read: Read, why: str, sheet: Sheet) -> Routed:
        """Nobody shows us the issue, so what its deliveries said must do."""
        routed = Routed("unreadable", why, issue=read.ref)
        for _, order in read.orders:
            if order.why == "delivery":
                ask = partial(self.journal.read_deliveries, int(order.nonce) - 1, 1)
                for delivery in await patiently(self, ask):
                    believed = self.deliveries.trust(delivery, sheet)
                    routed = Routed("trusted", f"{believed.outcome}; {why}", issue=read.ref)
        return routed

    def _letter(self, read: Read, crashed: Crashed) -> DeadLetter:
        """Under the last delivery that asked, so that a replay asks again."""
        asked = [int(order.nonce) for _, order in read.orders if order.why == "delivery"]
        item = asked[-1] if asked else None
        return letter_of(self.name, item, f"read {read.ref}", crashed.crashes)

    def _end(self, read: Read, routed: Routed, sheet: Sheet, *, is_readable: bool = True) -> None:
        sheet.close(read.order_ids, routed.outcome, routed.detail)
        waited = self.clock() - self.desk.asked_at(read)
        self.desk.done(read, is_readable=is_readable)
        self.log.info(
            "issue_read",
            issue=str(read.ref),
            outcome=routed.outcome,
            why=routed.detail,
            asked_by=read.why,
            orders=len(read.orders),
            ms=round(waited.total_seconds() * 1000, 1),
        )

    def _log_failure(self, read: Read, why: str) -> None:
        self.log.warning("issue_not_read", issue=str(read.ref), why=why, asked_by=read.why)

    async def _learn_own(self, forge: "Forge") -> None:
        self.deliveries.own = await own_login(forge, self.log)

    # the journal --------------------------------------------------------------------------------

    async def _write(self, sheet: Sheet, cursor: int | None = None) -> None:
        """Commit the sheet, if there is anything on it; what it opened is asked for from then on."""
        if not sheet and cursor is None:
            return
        expected = None if cursor is None else self.cursor
        commit = sheet.commit(self.name, self.clock(), cursor=cursor, expected=expected)
        committed = await patiently(self, partial(self.journal.commit, commit))
        if cursor is not None:
            self.cursor = cursor
        if committed.events:
            self._events_at = committed.events[-1].seq
        self.desk.ask(committed.opened, trio.current_time())

    async def _replay(self) -> None:
        read = self.journal.read_events
        while batch := await patiently(self, partial(read, self._events_at, REPLAY_BATCH)):
            for stored in batch:
                if stored.actor == self.name:
                    self.known.fold(stored.event)
            self._events_at = batch[-1].seq
            self.context.still_working()

    async def _write_snapshot(self) -> None:
        state = await trio.to_thread.run_sync(dump_known, self.known.save())
        snapshot = Snapshot(self._events_at, self.snapshot_version, state)
        commit = Commit(actor=self.name, at=self.clock(), snapshot=snapshot)
        await patiently(self, partial(self.journal.commit, commit))
        self._snapshot_at = self._events_at

    async def _watch(self) -> None:
        await watch(self, self.journal, "deliveries")


def _item(read: Read) -> tuple[str, int]:
    """What a crash while reading is charged to: asked for anew, it is another read."""
    return str(read.ref), read.order_ids[0]
