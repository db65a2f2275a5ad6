"""One life of an actor, from its construction to its `terminate`: the loop that handles messages."""

import math
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import TYPE_CHECKING

import trio

from .actor import ActorContext
from .down import Watching
from .end import fatal_in, is_cancellation, sole
from .errors import HandlerTimeout, ReplyError, RuntimeFault
from .messages import Envelope
from .timers import Timers

if TYPE_CHECKING:
    from .actor import Actor
    from .cell import Cell
    from .child import Child

__all__ = ["Incarnation"]

# One trip through the scheduler per so many messages: the trip then costs a few per cent of the work.
BATCH = 64
# A batch of slow sync handlers yields after this; a human does not notice it, a heartbeat survives it.
BATCH_S = 0.005
# For `terminate` after a cancellation: half of the grace, so that it can still end in time.
LAST_WORDS_S = 0.5


class Incarnation:
    """Borrows the cell, runs the actor, gives the cell back as it is."""

    __slots__ = (
        "_is_timer_due", "_last_words", "_queue_had_turn", "_ready", "_timer_mark", "actor",
        "broken_item", "cell", "child", "in_handler_crash", "is_over", "jobs", "timers", "watching",
    )  # fmt: skip

    def __init__(self, cell: "Cell", child: "Child") -> None:
        self.cell = cell
        self.child = child
        self.timers = Timers()
        self.watching: Watching | None = None
        self.actor: Actor | None = None
        self.in_handler_crash = False
        self.is_over = False
        self.broken_item: Hashable | None = None
        self.jobs: trio.Nursery | None = None
        self._last_words: trio.CancelScope | None = None
        self._timer_mark = 0
        self._is_timer_due = False
        self._queue_had_turn = True
        self._ready = False

    @trio.lowlevel.disable_ki_protection
    async def run(self) -> None:
        """Live until asked to stop; raises what broke it."""
        reason = "crash"
        try:
            await self._live()
            reason = self.cell.stop_asked or "normal"
        except BaseException as exc:
            if is_cancellation(exc):
                reason = self.cell.stop_asked or "shutdown"
            raise
        finally:
            try:
                if self._ready and self.child.forced_error is None:
                    await self._terminate(reason)
            finally:
                self.is_over = True
                if self.watching is not None:
                    self.watching.end()

    async def _live(self) -> None:
        spec = self.cell.spec
        self.actor = spec.actor(*spec.args, **spec.kwargs)
        self.actor.context = ActorContext(self, self.cell, self.cell.tree)
        async with trio.open_nursery() as self.jobs:
            try:
                await self.actor.init()
                self._ready = True
                self.child.mark_started()
                await self._handle_messages(self.actor)
            except BaseException as exc:
                self._leave(exc)
                raise
            self._leave(None)
            self.jobs.cancel_scope.cancel()

    def _leave(self, error: BaseException | None) -> None:
        """Nothing is handled any more; background tasks that are left are on the ladder."""
        self.child.note_cause(error)
        if self.jobs is not None and self.jobs.child_tasks:
            self.child.mark_leaving(trio.current_time())

    async def _handle_messages(self, actor: "Actor") -> None:
        """Until a stop. One scope serves all handlers: only an overrun uses it up."""
        cell = self.cell
        while cell.stop_asked is None:
            cell.is_overdue = self.child.is_reported = False
            await trio.lowlevel.checkpoint_if_cancelled()  # who is late, or was killed, handles nothing
            with trio.CancelScope() as scope:
                cell.loop_scope = scope
                while cell.stop_asked is None and not cell.is_overdue:
                    await self._take_turn(actor)
            if scope.cancelled_caught:
                self.in_handler_crash = not self._is_unwinding()
                message = None if cell.in_flight is None else cell.in_flight.message
                shown = cell.tree.show(cell.id, message)
                raise HandlerTimeout(cell.id, shown, cell.spec.handler_timeout_s)

    async def _take_turn(self, actor: "Actor") -> None:
        """One batch and one trip through the scheduler, or one sleep."""
        cell = self.cell
        if self._has_work():
            await self._handle_batch(actor)
            if cell.stop_asked is None and not cell.is_overdue and self._has_work():
                await trio.lowlevel.checkpoint()
        elif cell.is_draining:
            cell.stop_asked = "shutdown"
        else:
            await cell.bell.wait(math.inf if cell.is_suspended else self.timers.next_due())

    def _has_work(self) -> bool:
        """Whether there is something to handle now. Who drains is past its timers."""
        cell = self.cell
        if cell.is_suspended:
            return False
        if cell.has_work():
            return True
        due = self.timers.next_due()
        return due < math.inf and not cell.is_draining and due <= trio.current_time()

    async def _handle_batch(self, actor: "Actor") -> None:
        cell = self.cell
        child, tree = self.child, cell.tree
        started = now = cell.now()
        if self._queue_had_turn:
            self._timer_mark = self.timers.mark()
            self._queue_had_turn = False
        self._is_timer_due = self.timers.next_due() <= started and not cell.is_draining
        for _ in range(BATCH):
            envelope = self._next(started)
            if envelope is None:
                break
            now = await self._handle(actor, envelope, now)
            if now - started > BATCH_S or cell.is_overdue or cell.is_suspended:
                break
            is_stop_near = child.stop_wanted or cell.stop_asked is not None or tree.is_stopping
            if is_stop_near or child.is_killed:
                break  # somebody is about to stop this actor and needs the scheduler to say so

    def _next(self, now: float) -> Envelope | None:
        cell = self.cell
        if self._is_timer_due and cell.in_flight is None:
            message = self.timers.pop_due(now, self._timer_mark)
            if message is not None:
                return cell.bring(message, now)
            self._is_timer_due = False  # those set from here on are past the mark
        self._queue_had_turn = True
        return cell.next_envelope()

    async def _handle(self, actor: "Actor", envelope: Envelope, now: float) -> float:
        """Handle one message and acknowledge it; gives the time at its end."""
        cell = self.cell
        cell.item = None
        cell.handling_since = now
        cell.deadline = now + cell.spec.handler_timeout_s
        if cell.deadline < cell.expected_at:
            cell.tree.watch.expect(cell)
        if cell.queue.tracer is not None:
            cell.queue.tracer.note("begun", envelope)
        ok = True
        try:
            answer = await actor.handle(envelope.message)
            if envelope.reply is not None and not cell.is_stashing:
                envelope.reply.answer(answer)
        except BaseException as exc:
            refusal = sole(exc)  # a nursery in the handler wraps it
            if not isinstance(refusal, ReplyError):
                self._judge_crash(exc)
                raise
            ok = cell.is_stashing = False
            self.child.note_error(refusal.error)
            if envelope.reply is not None:
                envelope.reply.refuse(refusal.error)
        ended = cell.now()
        cell.handling_since = None
        cell.deadline = math.inf
        if cell.is_stashing:
            cell.set_aside(envelope)
        else:
            cell.acknowledge(envelope, now, ended, ok=ok)
        return ended

    def _judge_crash(self, error: BaseException) -> None:
        """Decide whether the handler is to blame; RuntimeFault for a Cancelled nobody asked for."""
        cell = self.cell
        cell.deadline = math.inf  # it has ended, and is no survivor of its deadline
        self.child.is_reported = False  # what else survives the life is told of, too
        is_stray = self._is_stray(error, cell.loop_scope)
        is_its_own = is_stray or not is_cancellation(error)
        self.in_handler_crash = is_its_own and not self._is_unwinding()
        if is_stray:
            raise RuntimeFault(f"{cell.id} raised a Cancelled of no scope around it") from error

    async def _terminate(self, reason: str) -> None:
        """Let the actor clean up, shielded, for as long as the stop's deadline allows."""
        assert self.actor is not None  # _ready says so
        now = trio.current_time()
        self.child.mark_leaving(now)
        scope = trio.CancelScope(shield=True, deadline=self._last_words_until(now))
        try:
            with scope as self._last_words:
                await self.actor.terminate(reason)
        except BaseException as exc:
            if fatal_in(exc) is not None:
                raise
            self.child.report_terminate_error(exc)  # the stop goes on
        self._last_words = None

    def _last_words_until(self, now: float) -> float:
        if self.child.is_killed:
            return now + LAST_WORDS_S
        return now + self.cell.spec.shutdown_s

    def spawn(
        self, fn: Callable[..., Awaitable[object]], *args: object, name: str, item: Hashable | None
    ) -> None:
        """Run a background task in this life's own nursery; the first crash names its item."""
        if self.jobs is None:
            raise RuntimeError(f"{self.cell.id} can spawn from init on, not while it is being built")
        hash(item)  # one that cannot be a key is refused here and not when its crash is booked

        async def job() -> None:
            try:
                await fn(*args)
            except BaseException as exc:
                is_stray = self._is_stray(exc, None)
                if is_cancellation(exc) and not is_stray:
                    raise
                if not self._is_unwinding():
                    self.broken_item = item
                self._leave(exc)
                if is_stray:
                    raise RuntimeFault(f"{name} raised a Cancelled of no scope around it") from exc
                raise

        self.jobs.start_soon(job, name=name)

    def _is_stray(self, error: BaseException, inner: trio.CancelScope | None) -> bool:
        """Whether it is a Cancelled that no scope around has asked for: kept from elsewhere and raised
        again it would pass for the end of this life, and the message come back for ever."""
        is_asked = self._is_cancelled or (inner is not None and inner.cancel_called)
        return is_cancellation(error) and not is_asked

    @property
    def _is_cancelled(self) -> bool:
        is_broken = self.jobs is not None and self.jobs.cancel_scope.cancel_called
        return is_broken or self.child.scope.cancel_called

    @property
    def stragglers(self) -> Iterable[trio.lowlevel.Task]:
        """Background tasks that were cancelled with the life and still run."""
        return self.jobs.child_tasks if self.jobs is not None and self._is_cancelled else ()

    def _is_unwinding(self) -> bool:
        """Whether the life is ending anyway: what breaks now is not the cause and nobody's to blame."""
        return self._is_cancelled or self.child.stop_wanted

    def watch(self, other: "Cell") -> None:
        """Bring this life one Down when the other actor is stopped for good."""
        if self.is_over:
            return
        if self.watching is None:
            self.watching = Watching(self.cell)
        self.watching.watch(other, self.timers)

    def unwatch(self, other: "Cell") -> None:
        """Take the watch back."""
        if self.watching is not None:
            self.watching.unwatch(other, self.timers)

    @property
    def is_ending(self) -> bool:
        """Whether it has been asked to end, or is over; a drain asks when its time is up."""
        child = self.child
        is_asked = self.cell.stop_asked is not None or (child.stop_wanted and not child.drains)
        return self.is_over or is_asked or child.is_killed

    def mark(self, item: Hashable | None) -> None:
        """Name what the handler in progress works on; too late once it has crashed."""
        if not self.is_over and not self.in_handler_crash:
            self.cell.item = item

    def extend(self) -> None:
        """Push the deadline of the handler in progress, if there is one."""
        if not self.is_over and self.cell.handling_since is not None:
            self.cell.deadline = trio.current_time() + self.cell.spec.handler_timeout_s

    def cut_last_words(self) -> None:
        """The time for `terminate` is up."""
        if self._last_words is not None:
            self._last_words.cancel()
