"""The scribe: keeps what the forge shows of each issue true, and obeys commands in comments.

Events only say that an issue may have changed; what is written is the dispatcher's own view of it, a
moment later, and only if it means something else than what was written last. Every write is repeatable
and told to the journal afterwards, so that a crash in between leads to a look and never to a second
comment.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

import trio

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.coroner import letter_of
from coordinator.actors.follower import MAX_CRASHES, Follower, Output
from coordinator.actors.messages import ExplainIssue, ListIssues
from coordinator.actors.scribe.clerk import Answer, Clerk, NotYet
from coordinator.actors.scribe.command_desk import CommandDesk
from coordinator.actors.scribe.mail import CommandDone, LookAround, Touched, Wrote
from coordinator.actors.scribe.pen import Outcome, Pen
from coordinator.edges.event_wire import issues_of
from coordinator.edges.gitea import Forge
from coordinator.edges.journal import Draft, Journal, OrderClosed, Stored, StoredOrder
from coordinator.edges.snapshot_wire import dump_pages, load_pages
from coordinator.errors import ForgeError, ForgeUnavailable
from coordinator.rules.events import IssueDeleted
from coordinator.rules.fleet import Fleet
from coordinator.rules.ids import IssueRef
from coordinator.rules.orders import RunCommand
from coordinator.rules.views import IssuePage, IssueView
from coordinator.rules.write_queue import WriteQueue, WritingPace
from coordinator.rules.written import PARTS, Pages, Part, Wish, wish_of
from coordinator.runtime import ActorDown, Call, CallTimeout, MailboxFull

__all__ = ["TARGET", "Scribe"]

T = TypeVar("T")

TARGET = "scribe"

# The dispatcher is milliseconds behind, or starting anew.
EARLY_S = 0.1
# So long a command waits for its issue to be read; then what is known of it counts.
GRACE_S = 10.0
# Views asked for at once after a start: some ten milliseconds of the dispatcher's time.
REVIEW_PAGE = 200
# Shown of a long list.
SHOWN = 20
# Enough of a reason for whoever looks an order up.
MAX_DETAIL_CHARS = 300

_UNREACHABLE = (ActorDown, CallTimeout, MailboxFull)


class Scribe(Follower):
    """Every event in; comments, labels, assignments and answers to commands out."""

    name = "scribe"

    def __init__(
        self,
        journal: Journal,
        fleet: Fleet,
        forge: Forge,
        clock: Clock = utc_now,
        *,
        write_back: Collection[Part] = ("comment", "labels"),
        pace: WritingPace = WritingPace(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(journal, clock)
        self.fleet = fleet
        self.write_back = tuple(part for part in PARTS if part in write_back)
        self.pages = Pages(fleet)
        self.queue = WriteQueue(pace)
        self.commands = CommandDesk()
        self.writes: Counter[Part] = Counter()
        self.pen = Pen(forge)
        self.clerk = Clerk(forge, self.pen, fleet.logins, self._explain, is_mute=not self.write_back)
        self._in_full: set[IssueRef] = set()
        # The newest command answered on an issue, and until when its view is waited for.
        self._answered: dict[IssueRef, tuple[int, float]] = {}
        self._suspects: dict[IssueRef, float] = {}
        # Where the last life may have sent a first comment that the forge has not carried out yet.
        self._inherited: set[IssueRef] = set()
        # What the forge has refused to take, until something else is to be said or a restart.
        self._given_up: dict[IssueRef, dict[str, tuple[str, str]]] = {}

    # the fold -----------------------------------------------------------------------------------

    def fold(self, stored: Stored) -> None:
        self.pages.fold(stored.event, stored.seq)

    async def consider(self, stored: Stored, output: Output) -> None:
        self.fold(stored)
        now = trio.current_time()
        for ref in issues_of(stored.event):
            if isinstance(stored.event, IssueDeleted):
                self._forget(ref)
            elif ref in self.pages.pages:
                self.queue.touch(ref, now)

    async def catch_up(self) -> None:
        await super().catch_up()
        self._look_around()

    async def caught_up(self, output: Output) -> None:
        pages = self.pages.pages.items()
        self._inherited = {ref for ref, page in pages if page.comment_id is None}
        self.context.spawn(self._review, name="review")
        self.context.spawn(self._watch_orders, name="orders")

    def save(self) -> bytes:
        return dump_pages(self.pages)

    def load(self, state: bytes) -> None:
        self.pages = load_pages(state, self.fleet)

    async def answer(self, message: object) -> object:
        match message:
            case LookAround():
                pass
            case Touched(refs=refs):
                self._touch(refs)
            case Wrote():
                await self._finish(message)
            case CommandDone():
                await self._finish_command(message)
            case _:
                return await super().answer(message)
        self._look_around()
        return None

    def inspect(self) -> object:
        followed = super().inspect()
        assert isinstance(followed, dict)
        now = trio.current_time()
        refused = sorted(self._given_up.items())[:SHOWN]
        return followed | {
            "write_back": list(self.write_back),
            "issues": len(self.pages.pages),
            "waiting": len(self.queue),
            "oldest_s": self.queue.oldest_s(now),
            "in_flight": [str(ref) for ref in sorted(self.queue.busy)],
            "failing": {
                repo: {"failures": failures, "error": error}
                for repo, failures, error in list(self.queue.failing())[:SHOWN]
            },
            "given_up": {
                str(ref): {part: why for part, (_, why) in parts.items()} for ref, parts in refused
            },
            "given_up_issues": len(self._given_up),
            "writes": dict(self.writes),
            "commands": dict(self.commands.results),
            "commands_open": len(self.journal.open_orders(TARGET)),
            "commands_in_flight": self.commands.in_flight,
            "commands_last_error": self.commands.last_error,
        }

    # what is due --------------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Start what is due, and look again when the next is."""
        if not self._caught_up:
            return
        now = trio.current_time()
        for ref in self.queue.take(now):
            self.context.spawn(self._job, ref, name=f"write {ref}", item=f"write {ref}")
        for stored, order in self.commands.take(self.journal.open_orders(TARGET), now):
            self.context.spawn(self._obey, stored, order, name=order.key, item=order.key)
        waits = [self.queue.next_in_s(now), self.commands.next_in_s(now)]
        if soon := [wait_s for wait_s in waits if wait_s is not None]:
            self.context.start_timer("look", min(soon), LookAround())

    def _touch(self, refs: Collection[IssueRef]) -> None:
        for ref in refs:
            self.pages.page(ref)
            self.queue.touch(ref, trio.current_time())

    def _forget(self, ref: IssueRef) -> None:
        self.queue.forget(ref)
        self._in_full.discard(ref)
        self._inherited.discard(ref)
        for kept in (self._answered, self._suspects, self._given_up):
            kept.pop(ref, None)

    async def _review(self) -> None:
        """After a start: which issues say at the forge what they should not? A change may have come
        between the last look and the end of the last life."""
        after = None
        while True:
            page = await self._page(after)
            wrong = tuple(view.issue for view in page.issues if self._wish(view))
            await self.context.ref.cast(Touched(wrong))
            after = page.next_after
            if after is None:
                return

    async def _page(self, after: IssueRef | None) -> IssuePage:
        while True:
            try:
                return await self._ask(ListIssues(after, REVIEW_PAGE))
            except _UNREACHABLE:
                await trio.sleep(1.0)

    async def _watch_orders(self) -> None:
        """Commands come as orders, not as events."""
        seen = 0
        while True:
            await self.journal.wait_orders(TARGET, seen)
            seen = max((order.id for order in self.journal.open_orders(TARGET)), default=seen)
            await self.context.ref.cast(LookAround())

    # one issue ----------------------------------------------------------------------------------

    async def _job(self, ref: IssueRef) -> None:
        in_full = ref in self._in_full
        crashes = self.context.crashes_of(f"write {ref}")
        if len(crashes) >= MAX_CRASHES:
            reason = f"writing it crashed twice: {crashes[-1].error.type}"
            refused = Outcome(refused=dict.fromkeys(self.write_back, reason))
            await self.context.ref.cast(Wrote(ref, refused))
            return
        try:
            view = await self._explain(ref)
        except NotYet:
            await self.context.ref.cast(Wrote(ref, is_early=True))
            return
        newest, until = self._answered.get(ref, (0, 0.0))
        is_behind = view is not None and _newest_command(view) < newest
        if is_behind and trio.current_time() < until:
            await self.context.ref.cast(Wrote(ref, is_early=True))
            return
        self._in_full.discard(ref)
        wish = self._wish(view, in_full=in_full) if view is not None else None
        outcome = await self.pen.write(wish) if wish else None
        keys = tuple((part, wish.key_of(part) or "") for part in PARTS) if wish else ()
        await self.context.ref.cast(Wrote(ref, outcome, keys, in_full))

    def _wish(self, view: IssueView, *, in_full: bool = False) -> Wish:
        """What is to be written of this view, less what the forge would refuse again."""
        must_look = view.issue in self._suspects
        parts = self.write_back
        wish = wish_of(view, self.pages, parts, must_look=must_look, in_full=in_full)
        for part, (key, _) in self._given_up.get(view.issue, {}).items():
            if wish.key_of(_part(part)) == key and not in_full:
                wish = _without(wish, part)
        return wish

    async def _finish(self, wrote: Wrote) -> None:
        ref, outcome, now = wrote.ref, wrote.outcome, trio.current_time()
        if outcome is None:
            self.queue.settled(ref)
            if wrote.is_early:
                self.queue.touch_at(ref, now + EARLY_S, now)
            else:
                self._answered.pop(ref, None)
            return
        await self._tell(ref, outcome)
        self.writes.update(outcome.written)
        self._note_refusals(wrote, outcome)
        is_first = "comment" in outcome.written and ref in self._inherited
        if outcome.is_unsure or is_first:
            self._inherited.discard(ref)
            self._suspects[ref] = now + self.queue.pace.suspect_s
        if outcome.failure is not None:
            if wrote.in_full:
                self._in_full.add(ref)
            self.queue.failed(ref, now, str(outcome.failure), wait_s=outcome.failure.retry_after_s)
            return
        self.queue.written(ref, now)
        self._answered.pop(ref, None)
        self._look_at_suspect(ref, now)

    async def _tell(self, ref: IssueRef, outcome: Outcome) -> None:
        if outcome.events and ref in self.pages.pages:  # else it was deleted meanwhile
            drafts = [Draft(event) for event in outcome.events]
            for stored in (await self.write(Output(events=drafts))).events:
                self.fold(stored)

    def _note_refusals(self, wrote: Wrote, outcome: Outcome) -> None:
        keys = dict(wrote.keys)
        noted = self._given_up.pop(wrote.ref, {})
        noted = {part: kept for part, kept in noted.items() if not keys.get(part)}
        for part, reason in outcome.refused.items():
            noted[part] = (keys.get(part, ""), reason)
            self.log.warning("write_refused", issue=str(wrote.ref), part=part, error=reason)
        if noted:
            self._given_up[wrote.ref] = noted

    def _look_at_suspect(self, ref: IssueRef, now: float) -> None:
        """Where a comment may have been created unseen, look until it cannot come any more."""
        until = self._suspects.get(ref)
        if until is None:
            return
        if now >= until:
            del self._suspects[ref]
        else:
            self.queue.touch_at(ref, until, now)

    # one command --------------------------------------------------------------------------------

    async def _obey(self, stored: StoredOrder, order: RunCommand) -> None:
        crashes = self.context.crashes_of(order.key)
        age_s = (self.clock() - stored.opened_at).total_seconds()
        if len(crashes) >= MAX_CRASHES:
            done = CommandDone(stored.id, Answer("crashed", detail=crashes[-1].error.type))
        else:
            try:
                answer = await self.clerk.answer(order, is_last_try=age_s > GRACE_S)
                done = CommandDone(stored.id, answer)
            except NotYet as early:
                done = CommandDone(stored.id, error=str(early))
            except ForgeUnavailable as error:
                done = CommandDone(stored.id, error=str(error), wait_s=error.retry_after_s or 0.0)
            except ForgeError as error:
                done = CommandDone(stored.id, error=str(error))
        await self.context.ref.cast(done)

    async def _finish_command(self, done: CommandDone) -> None:
        now = trio.current_time()
        stored = next((o for o in self.journal.open_orders(TARGET) if o.id == done.order_id), None)
        if stored is None or not isinstance(stored.order, RunCommand):
            self.commands.gone(done.order_id)
        elif done.answer is None:
            self.log.warning("command_waits", order=done.order_id, error=done.error)
            self.commands.failed(done.order_id, done.error, now, done.wait_s)
        else:
            await self._close(stored, stored.order, done.answer)

    async def _close(self, stored: StoredOrder, order: RunCommand, answer: Answer) -> None:
        output = Output(
            closed=[OrderClosed(stored.id, answer.result, answer.detail[:MAX_DETAIL_CHARS])]
        )
        if answer.event is not None:
            output.events.append(Draft(answer.event, stored.delivery))
        if answer.result == "crashed":
            crashes = self.context.crashes_of(order.key)
            output.dead_letters.append(letter_of(self.name, None, order.key, crashes))
        for event in (await self.write(output)).events:
            self.fold(event)
        self.commands.done(stored.id, answer.result)
        self.log.info("command", comment=order.comment_id, issue=str(order.ref), outcome=answer.result)
        if answer.event is not None:
            self._show_answer(answer)

    def _show_answer(self, answer: Answer) -> None:
        """At once where nothing else will follow; what changes the issue is shown with the change."""
        event = answer.event
        assert event is not None
        newest, _ = self._answered.get(event.ref, (0, 0.0))
        until = trio.current_time() + GRACE_S
        self._answered[event.ref] = max(event.comment_id, newest), until
        self._in_full.add(event.ref)
        at_once = answer.result == "refused" or event.verb == "explain"
        self.queue.touch(event.ref, trio.current_time(), at_once=at_once)

    # asking the dispatcher ----------------------------------------------------------------------

    async def _explain(self, ref: IssueRef) -> IssueView | None:
        try:
            return await self._ask(ExplainIssue(ref))
        except _UNREACHABLE as error:
            raise NotYet(str(error)) from error

    async def _ask(self, question: Call[T]) -> T:
        answer: T = await self.context.whereis("dispatcher").call(question)
        return answer


def _newest_command(view: IssueView) -> int:
    return 0 if view.last_command is None else view.last_command.comment_id


def _part(name: str) -> Part:
    return next(part for part in PARTS if part == name)


def _without(wish: Wish, part: str) -> Wish:
    match part:
        case "comment":
            return replace(wish, comment=None)
        case "labels":
            return replace(wish, labels=None)
        case _:
            return replace(wish, assignee=None)
