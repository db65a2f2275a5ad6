"""What an author writes and is given: the Actor, its context, and the reference others hold."""

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import trio

from .current import CURRENT
from .errors import CallTimeout, WouldDeadlock
from .messages import Call, Cast, Envelope, Reply, brief

if TYPE_CHECKING:
    from .cell import Cell
    from .incarnation import Incarnation
    from .reports import CrashReport
    from .tree import Tree

__all__ = ["Actor", "ActorContext", "ActorRef"]

T = TypeVar("T")
# OTP's default: long enough for a busy actor, short enough that a caller notices a stuck one.
CALL_TIMEOUT_S = 5.0


class ActorRef:
    """Points to an actor's cell, and so survives every restart of the actor."""

    __slots__ = ("_cell",)

    def __init__(self, cell: "Cell") -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<ActorRef {self.id}>"

    @property
    def id(self) -> str:
        """The actor's id in the tree."""
        return self._cell.id

    @property
    def alive(self) -> bool:
        """False once the actor is stopped for good; True while it is being restarted."""
        return self._cell.closed is None

    def cast_nowait(self, message: Cast, *, coalesce: bool = False) -> bool:
        """Queue the message; False if the policy drops it or, with `coalesce`, an equal one is queued.

        Raises MailboxFull under "wait" and "reject", ActorDown if the actor is stopped for good.
        """
        _require_kind(message, Cast, "call")
        if coalesce and self._cell.closed is None and self._cell.queue.holds_equal(message):
            return False
        return self._cell.offer(Envelope(message, trio.current_time()))

    async def cast(self, message: Cast) -> None:
        """Queue the message, waiting for room under the policy "wait"; otherwise like `cast_nowait`."""
        _require_kind(message, Cast, "call")
        await self._cell.put(Envelope(message, trio.current_time()))

    async def call(self, message: Call[T], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """The actor's reply. The time covers waiting for room, for a restart, and for the handler.

        Raises CallTimeout, ActorDown, MailboxFull, or whatever the handler put into a ReplyError.
        """
        _require_kind(message, Call, "cast")
        if not 0 < timeout_s < float("inf"):
            raise ValueError(f"timeout_s is {timeout_s!r}, must be finite and more than 0")
        asking = CURRENT.get()
        if (
            asking is not None
            and asking is self._cell.child
            and trio.lowlevel.current_task() is asking.task
        ):
            raise WouldDeadlock(f"{self.id} calls itself from its own handler")
        reply = Reply()
        envelope = Envelope(message, trio.current_time(), reply)
        try:
            with trio.move_on_after(timeout_s):
                await self._cell.put(envelope)
                return cast(T, await reply.wait())
        finally:
            if not reply.done:
                self._cell.abandon(envelope)
        raise CallTimeout(self.id, brief(message), timeout_s)


def _require_kind(message: object, kind: type, other: str) -> None:
    if not isinstance(message, kind):
        raise TypeError(f"{brief(message)} is not a {kind.__name__}: use {other}() or subclass it")


class ActorContext:
    """What an actor may ask of the runtime. It belongs to one incarnation and dies with it."""

    __slots__ = ("_cell", "_incarnation", "incarnation", "ref", "tree")

    def __init__(self, incarnation: "Incarnation", cell: "Cell", tree: "Tree") -> None:
        self._incarnation = incarnation
        self._cell = cell
        self.tree = tree
        self.ref = ActorRef(cell)
        self.incarnation = cell.child.incarnation

    @property
    def id(self) -> str:
        """This actor's id in the tree."""
        return self._cell.id

    @property
    def attempt(self) -> int:
        """1 or 2: which attempt at the message in hand this is; 1 between messages."""
        return 1 if self._cell.in_flight is None else self._cell.in_flight.attempt

    def whereis(self, id: str) -> ActorRef:  # noqa: A002
        """The actor of that id anywhere in the tree; KeyError names an unknown one."""
        return self.tree.ref(id)

    def start_timer(self, key: str, after_s: float, message: Cast) -> None:
        """Handle `message` in `after_s` seconds. Replaces one of the same key, dies with this life."""
        _require_kind(message, Cast, "call")
        self._incarnation.timers.set(key, trio.current_time() + after_s, message)
        self._cell.bell.ring()

    def cancel_timer(self, key: str) -> None:
        """Forget the timer; an unknown key is fine."""
        self._incarnation.timers.cancel(key)

    def spawn(
        self,
        fn: Callable[..., Awaitable[object]],
        *args: object,
        name: str,
        item: Hashable | None = None,
    ) -> None:
        """Run `fn(*args)` beside the handlers; ends with this life, its exception crashes the actor.

        With `item` such a crash is the item's, as under `working_on`.
        """
        self._incarnation.spawn(fn, *args, name=f"{self.id}/{name}", item=item)

    @property
    def is_stopping(self) -> bool:
        """Whether this life has been asked to end: a handler that waits should give up and return."""
        return self._cell.stop_asked is not None or self._cell.child.stop_wanted

    def still_working(self) -> None:
        """Give the handler in progress its full time again: it waits for something and knows it."""
        self._incarnation.extend()

    def working_on(self, item: Hashable | None) -> None:
        """From here to the next mark or the handler's end a crash is the item's, not the message's."""
        hash(item)  # one that cannot be a key is refused here and not when its crash is booked
        self._cell.item = item

    def crashes_of(self, item: Hashable) -> "tuple[CrashReport, ...]":
        """The crashes of the item over all lives, oldest first; the last thousand items are kept."""
        return self._cell.crashes.get(item, ())

    def stop(self, reason: str = "normal") -> None:
        """End this actor, normally, as soon as the handler in progress returns."""
        if self._cell.stop_asked is None:
            self._cell.stop_asked = reason
        self._cell.bell.ring()


class Actor:
    """One incarnation of an actor: built anew for each start, so its state is plain attributes."""

    context: ActorContext

    async def init(self) -> None:
        """Get ready; the start waits for it, and raising here is a failed start."""

    async def handle(self, message: Any) -> Any:
        """Deal with one message at a time. The returned value is the reply of a Call."""
        raise NotImplementedError(f"{type(self).__name__} got {brief(message)} and has no handle()")

    async def terminate(self, reason: str) -> None:
        """Clean up; shielded from cancellation, bounded by what is left of `shutdown_s`.

        `reason` is "normal", "shutdown", "crash" or what was given to the stop. Called once after every
        successful init, so after a crash, too, when the state may be broken.
        """

    def inspect(self) -> object:
        """The state as JSON-able data. Sync and quick: the dump asks while the handler hangs."""
        return None
