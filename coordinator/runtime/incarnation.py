"""One life of an actor, from its construction to its `terminate`: the loop that handles messages."""

import math
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING

import trio

from .actor import ActorContext
from .errors import HandlerTimeout, ReplyError
from .messages import Envelope, brief
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

    def __init__(self, cell: "Cell", child: "Child") -> None:
        self.cell = cell
        self.child = child
        self.timers = Timers()
        self.actor: Actor | None = None
        self.in_handler_crash = False
        self.broken_item: Hashable | None = None
        self._nursery: trio.Nursery | None = None
        self._last_words: trio.CancelScope | None = None
        self._timer_mark = 0
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
            if _is_cancellation(exc):
                reason = self.cell.stop_asked or "shutdown"
            raise
        finally:
            if self._ready and self.child.forced_error is None:
                await self._terminate(reason)

    async def _live(self) -> None:
        spec = self.cell.spec
        self.actor = spec.actor(*spec.args, **spec.kwargs)
        self.actor.context = ActorContext(self, self.cell, self.cell.tree)
        async with trio.open_nursery() as self._nursery:
            await self.actor.init()
            self._ready = True
            self.child.mark_started()
            await self._handle_messages(self.actor)
            self._nursery.cancel_scope.cancel()

    async def _handle_messages(self, actor: "Actor") -> None:
        cell = self.cell
        while cell.stop_asked is None:
            if self._has_work():
                await self._handle_batch(actor)
                if cell.stop_asked is None and self._has_work():
                    await trio.lowlevel.checkpoint()
            else:
                await cell.bell.wait(self.timers.next_due())

    def _has_work(self) -> bool:
        return self.cell.has_work() or self.timers.next_due() <= trio.current_time()

    async def _handle_batch(self, actor: "Actor") -> None:
        cell = self.cell
        started = now = trio.current_time()
        with trio.CancelScope() as cell.batch:
            scope = cell.batch
            if self._queue_had_turn:
                self._timer_mark = self.timers.mark()
                self._queue_had_turn = False
            for _ in range(BATCH):
                envelope = self._next(started)
                if envelope is None:
                    break
                now = await self._handle(actor, envelope, now)
                if now - started > BATCH_S or scope.cancel_called or self._is_stop_near():
                    break
        cell.batch = None
        if scope.cancelled_caught:
            self.in_handler_crash = True
            raise HandlerTimeout(cell.id, brief(_message(cell.in_flight)), cell.spec.handler_timeout_s)

    def _is_stop_near(self) -> bool:
        """Somebody above is about to stop this actor and needs the scheduler to say so."""
        return self.child.stop_wanted or self.cell.stop_asked is not None or self.cell.tree.is_stopping

    def _next(self, now: float) -> Envelope | None:
        cell = self.cell
        if cell.in_flight is None:
            message = self.timers.pop_due(now, self._timer_mark)
            if message is not None:
                return cell.bring(message, now)
        self._queue_had_turn = True
        return cell.next_envelope()

    async def _handle(self, actor: "Actor", envelope: Envelope, now: float) -> float:
        """Handle one message and acknowledge it; gives the time at its end."""
        cell = self.cell
        cell.item = None
        cell.handling_since = now
        cell.deadline = now + cell.spec.handler_timeout_s
        cell.tree.watch.expect(cell)
        ok = True
        try:
            answer = await actor.handle(envelope.message)
            if envelope.reply is not None:
                envelope.reply.answer(answer)
        except ReplyError as refusal:
            ok = False
            self.child.note_error(refusal.error)
            if envelope.reply is not None:
                envelope.reply.refuse(refusal.error)
        except BaseException as exc:
            self.in_handler_crash = not _is_cancellation(exc) and not self._is_unwinding()
            raise
        ended = trio.current_time()
        cell.handling_since = None
        cell.deadline = math.inf
        cell.acknowledge(envelope, now, ended, ok=ok)
        return ended

    async def _terminate(self, reason: str) -> None:
        """Let the actor clean up, shielded, for as long as the stop's deadline allows."""
        assert self.actor is not None  # _ready says so
        now = trio.current_time()
        self.child.mark_leaving(now)
        scope = trio.CancelScope(shield=True, deadline=self._last_words_until(now))
        try:
            with scope as self._last_words:
                await self.actor.terminate(reason)
        except Exception as exc:  # noqa: BLE001  reported; the stop goes on
            self.child.report_terminate_error(exc)
        self._last_words = None

    def _last_words_until(self, now: float) -> float:
        if self.child.is_killed:
            return now + LAST_WORDS_S
        return now + self.cell.spec.shutdown_s

    def spawn(
        self, fn: Callable[..., Awaitable[object]], *args: object, name: str, item: Hashable | None
    ) -> None:
        """Run a background task in this life's own nursery; the first crash names its item."""
        if self._nursery is None:
            raise RuntimeError(f"{self.cell.id} can spawn from init on, not while it is being built")
        hash(item)  # one that cannot be a key is refused here and not when its crash is booked

        async def job() -> None:
            try:
                await fn(*args)
            except BaseException as exc:
                if not _is_cancellation(exc) and not self._is_unwinding():
                    self.broken_item = item
                raise

        self._nursery.start_soon(job, name=name)

    def _is_unwinding(self) -> bool:
        """Whether the life is ending anyway: what breaks now is not the cause and nobody's to blame."""
        is_broken = self._nursery is not None and self._nursery.cancel_scope.cancel_called
        return is_broken or self.child.stop_wanted or self.child.scope.cancel_called

    def extend(self) -> None:
        """Push the deadline of the handler in progress, if there is one."""
        if self.cell.handling_since is not None:
            self.cell.deadline = trio.current_time() + self.cell.spec.handler_timeout_s

    def cut_last_words(self) -> None:
        """The time for `terminate` is up."""
        if self._last_words is not None:
            self._last_words.cancel()


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_cancellation, error.exceptions))
    return isinstance(error, trio.Cancelled)


def _message(envelope: Envelope | None) -> object:
    return None if envelope is None else envelope.message
