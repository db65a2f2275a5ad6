"""The scribe: keeps what the forge shows of each issue true, and obeys commands in comments.

Events only say that an issue may have changed; what is written is the dispatcher's own view of it, a
moment later, and only if it means something else than what was written last. Every write is repeatable
and told to the journal afterwards, so that a crash in between leads to a look and never to a second
comment.
"""

from collections import Counter
from collections.abc import Collection
from itertools import islice

import trio

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.coroner import letter_of
from coordinator.actors.follower import MAX_CRASHES, Follower, Output
from coordinator.actors.messages import WriteAgain
from coordinator.actors.scribe.clerk import Answer, Clerk, NotYet
from coordinator.actors.scribe.command_desk import CommandDesk
from coordinator.actors.scribe.doubts import Doubts, stirred_lately
from coordinator.actors.scribe.inquiry import Inquiry
from coordinator.actors.scribe.look_orders import LookOrders
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
from coordinator.rules.looks import Looks
from coordinator.rules.orders import LookAgain, RunCommand
from coordinator.rules.refusals import Refusals
from coordinator.rules.views import IssueView
from coordinator.rules.write_queue import WriteQueue, WritingPace
from coordinator.rules.written import PARTS, Pages, Part, Wish, keys_of, wish_of

__all__ = ["TARGET", "Scribe"]

TARGET = "scribe"

# The dispatcher is milliseconds behind, or starting anew.
EARLY_S = 0.1
# What a command leads to is known within so much, and told in one go.
ANSWER_S = 0.7
# So long a command waits for its issue to be read; then what is known of it counts.
GRACE_S = 10.0
# Shown of a long list.
SHOWN = 20
# Enough of a reason for whoever looks an order up.
MAX_DETAIL_CHARS = 300


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
        self._inquiry = Inquiry(self)
        explain = self._inquiry.explain
        self.clerk = Clerk(forge, self.pen, fleet.logins, explain, is_mute=not self.write_back)
        self._in_full: set[IssueRef] = set()
        # The newest command answered on an issue, and until when its view is waited for.
        self._answered: dict[IssueRef, tuple[int, float]] = {}
        self._doubts = Doubts(pace.suspect_s)
        self._was_cut_off = False
        self._looks = Looks(pace.look_every_s)
        self._look_orders = LookOrders()
        self._refusals = Refusals()

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
        if self.pages.contradicts(stored.event):
            self._looks.ask(stored.event.facts.ref, ("labels",), now)

    async def catch_up(self) -> None:
        await super().catch_up()
        await self._heed()
        self._look_around()

    async def terminate(self, reason: str) -> None:
        """A life that leaves something in doubt takes no leave, so that the next one looks."""
        if not (self.queue.busy or self._doubts):
            await super().terminate(reason)

    def replayed(self) -> None:
        self._was_cut_off = self._snapshot_at < self.journal.head("events")

    async def caught_up(self, output: Output) -> None:
        now, pages, stirred = trio.current_time(), self.pages.pages, set[IssueRef]()
        if self._was_cut_off and self.write_back:
            window_s = self.queue.pace.suspect_s + self.queue.pace.max_interval_s
            stirred = pages.keys() & await stirred_lately(self, self.journal, window_s)
        self._doubts.inherit((ref for ref in pages if pages[ref].comment_id is None), stirred, now)
        for ref in stirred:
            self.queue.touch(ref, now)
        self.context.spawn(self._review, name="review")
        self.context.spawn(self._watch_orders, name="orders")

    def save(self) -> bytes:
        return dump_pages(self.pages)

    def load(self, state: bytes) -> None:
        self.pages = load_pages(state, self.fleet)

    async def answer(self, message: object) -> object:
        reply: object = None
        match message:
            case LookAround():
                pass
            case WriteAgain():
                self.pen.forget_places()
                self._touch(lifted := self._refusals.lift())
                reply = len(lifted)
            case Touched(refs=refs):
                self._touch(refs)
            case Wrote():
                await self._finish(message)
            case CommandDone():
                await self._finish_command(message)
            case _:
                return await super().answer(message)
        await self._heed()
        self._look_around()
        return reply

    def inspect(self) -> object:
        followed = super().inspect()
        assert isinstance(followed, dict)
        now = trio.current_time()
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
            "given_up": {str(ref): parts for ref, parts in islice(self._refusals.shown(), SHOWN)},
            "given_up_issues": len(self._refusals),
            "own_login": self.pen.own,
            "writes": dict(self.writes),
            **self.commands.shown(self.journal.open_orders(TARGET)),
        }

    # what is due --------------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Start what is due, and look again when the next is."""
        if not self._caught_up:
            return
        now = trio.current_time()
        for ref in self._looks.due(now):
            self.queue.touch(ref, now)
        for ref in self.queue.take(now):
            self.context.spawn(self._job, ref, name=f"write {ref}", item=f"write {ref}")
        for stored, order in self.commands.take(self.journal.open_orders(TARGET), now):
            self.context.spawn(self._obey, stored, order, name=order.key, item=order.key)
        waits = [each.next_in_s(now) for each in (self.queue, self.commands, self._looks)]
        if soon := [wait_s for wait_s in waits if wait_s is not None]:
            self.context.start_timer("look", min(soon), LookAround())

    def _touch(self, refs: Collection[IssueRef]) -> None:
        for ref in refs:
            self.pages.page(ref)
            self.queue.touch(ref, trio.current_time())

    def _forget(self, ref: IssueRef) -> None:
        for each in (self.queue, self._doubts, self._looks, self._refusals):
            each.forget(ref)
        self._in_full.discard(ref)
        self._answered.pop(ref, None)

    async def _review(self) -> None:
        """After a start: which issues say at the forge what they should not? A change may have come
        between the last look and the end of the last life."""
        after = None
        while True:
            page = await self._inquiry.page(after)
            wrong = tuple(view.issue for view in page.issues if self._allowed(self._wish(view)))
            await self.context.ref.cast(Touched(wrong))
            after = page.next_after
            if after is None:
                return

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
            look, orders = self._begin_look(ref)
            await self.context.ref.cast(Wrote(ref, refused, look=look, orders=orders))
            return
        try:
            view = await self._inquiry.explain(ref)
        except NotYet:
            await self.context.ref.cast(Wrote(ref, is_early=True))
            return
        newest, until = self._answered.get(ref, (0, 0.0))
        is_behind = view is not None and view.newest_command_id < newest
        if is_behind and trio.current_time() < until:
            await self.context.ref.cast(Wrote(ref, is_early=True))
            return
        self._in_full.discard(ref)
        look, orders = self._begin_look(ref)
        wish = None
        if view is not None:
            view = await self.pen.for_strangers(view, self.pages.repositories)
            wish = self._wish(view, look, in_full=in_full)
            self._refusals.settle(wish)
            wish = wish if in_full else self._allowed(wish)
        outcome = await self.pen.write(wish) if wish else None
        wrote = Wrote(ref, outcome, keys_of(wish), look, in_full, orders=orders)
        await self.context.ref.cast(wrote)

    def _begin_look(self, ref: IssueRef) -> tuple[frozenset[Part], tuple[int, ...]]:
        """What is to be looked at now, and which orders that answers."""
        look = self._looks.take(ref, trio.current_time())
        return look, self._look_orders.of(ref) if "comment" in look else ()

    def _wish(self, view: IssueView, look: Collection[Part] = (), *, in_full: bool = False) -> Wish:
        """What is to be written of this view."""
        must_look = PARTS if view.issue in self._doubts else look
        return wish_of(view, self.pages, self.write_back, must_look=must_look, in_full=in_full)

    def _allowed(self, wish: Wish) -> Wish:
        """It, less what the forge would refuse again."""
        return self._refusals.allowed(wish, trio.current_time())

    async def _finish(self, wrote: Wrote) -> None:
        ref, outcome, now = wrote.ref, wrote.outcome, trio.current_time()
        if wrote.is_early:
            self.queue.put_back(ref, now + EARLY_S, now)
            return
        if outcome is None:
            self.queue.settled(ref)
            await self._end_look(wrote, now)
            return
        await self._tell(ref, outcome)
        self.writes.update(outcome.written)
        self._note_refusals(wrote, outcome)
        if outcome.is_created:  # another coordinator may have made one at the same moment
            self._looks.ask(ref, ("comment",), now + self.queue.pace.twin_s)
        has_comment = "comment" in outcome.written
        self._doubts.written(ref, now, has_comment=has_comment, is_unsure=outcome.is_unsure)
        if outcome.failure is not None:
            if wrote.in_full:
                self._in_full.add(ref)
            self._looks.again(ref, wrote.look)
            wait_s, alone = outcome.failure.retry_after_s, outcome.is_alone
            self.queue.failed(ref, now, str(outcome.failure), wait_s=wait_s, alone=alone)
            return
        self.queue.written(ref, now)
        await self._end_look(wrote, now)

    async def _end_look(self, wrote: Wrote, now: float) -> None:
        """Nothing has failed: what asked for it is over, unless there is a doubt left."""
        self._answered.pop(wrote.ref, None)
        if (look_at := self._doubts.next_look(wrote.ref, now)) is not None:
            self.queue.touch_at(wrote.ref, look_at, now)
        if closed := self._look_orders.close(wrote.orders):
            await self.write(Output(closed=[OrderClosed(each, "looked") for each in closed]))

    async def _tell(self, ref: IssueRef, outcome: Outcome) -> None:
        if ref not in self.pages.pages:
            return  # it was deleted meanwhile
        if drafts := [Draft(event) for event in outcome.events if not self.pages.holds(event)]:
            for stored in (await self.write(Output(events=drafts))).events:
                self.fold(stored)

    def _note_refusals(self, wrote: Wrote, outcome: Outcome) -> None:
        for part, reason in outcome.refused.items():
            self.log.warning("write_refused", issue=str(wrote.ref), part=part, error=reason)
        now, refused = trio.current_time(), outcome.refused
        again_at = self._refusals.note(wrote.ref, dict(wrote.keys), refused, now)
        if again_at is not None:
            self._looks.ask(wrote.ref, (), again_at)

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
        """At once where nothing else will follow; else with the change, a moment later."""
        event = answer.event
        assert event is not None
        newest, _ = self._answered.get(event.ref, (0, 0.0))
        until = trio.current_time() + GRACE_S
        self._answered[event.ref] = max(event.comment_id, newest), until
        self._in_full.add(event.ref)
        within_s = 0.0 if answer.result == "refused" or event.verb == "explain" else ANSWER_S
        self.queue.touch(event.ref, trio.current_time(), within_s=within_s)

    async def _heed(self) -> None:
        """All that needs no question: comments somebody has changed, commands of who was told no."""
        closed = []
        for stored in self.journal.open_orders(TARGET):
            match stored.order:
                case LookAgain(ref=ref, comment_id=comment_id, by=by):
                    if by == self.pen.own or not self.pages.holds_comment(ref, comment_id):
                        self._look_orders.close([stored.id])
                        closed.append(OrderClosed(stored.id, "looked"))
                    elif self._look_orders.heed(stored.id, ref):
                        self._looks.ask(ref, ("comment",), trio.current_time())
                case RunCommand() as order if self.clerk.is_denied(order):
                    closed.append(OrderClosed(stored.id, "no_permission"))
                    self.commands.done(stored.id, "no_permission")
        if closed:
            await self.write(Output(closed=closed))
