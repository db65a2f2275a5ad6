"""What an author writes and is given: the Actor, its context, and the reference others hold."""

import math
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import trio

from .current import CURRENT, busy_child, running_child
from .down import wait_down
from .errors import CallTimeout, WouldDeadlock
from .messages import CallOf, Cast, CastOf, Down, Envelope, Reply

if TYPE_CHECKING:
    from .cell import Cell
    from .incarnation import Incarnation
    from .reports import CrashReport
    from .tree import Tree

__all__ = ["Actor", "ActorContext", "ActorRef", "Handles"]

T = TypeVar("T")
# The default, Python 3.13's, makes plain `ActorRef` refer to any actor; mypy knows it for all versions.
if TYPE_CHECKING:
    M_contra = TypeVar("M_contra", contravariant=True, default=Any)
else:
    M_contra = TypeVar("M_contra", contravariant=True)
Taken_contra = TypeVar("Taken_contra", contravariant=True)
# OTP's default: long enough for a busy actor, short enough that a caller notices a stuck one.
CALL_TIMEOUT_S = 5.0


class Handles(Protocol[Taken_contra]):
    """An actor by what it takes: how mypy gets from a class to the messages of its reference."""

    async def handle(self, message: Taken_contra, /) -> Any:
        """Deal with one message."""


class ActorRef(Generic[M_contra]):
    """Points to an actor's cell, and so survives every restart of the actor.

    Equal references point to the same one; who comes later under the same id is another.
    """

    __slots__ = ("_cell",)

    def __init__(self, cell: "Cell") -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<ActorRef {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other._cell is self._cell

    def __hash__(self) -> int:
        return hash(self._cell)

    @property
    def id(self) -> str:
        """The actor's id in the tree."""
        return self._cell.id

    @property
    def alive(self) -> bool:
        """False once the actor is stopped for good; True while it is being restarted."""
        return self._cell.closed is None

    def cast_nowait(self, message: CastOf[M_contra], *, coalesce: bool = False) -> bool:
        """Queue the message; False if the policy drops it or, with `coalesce`, an equal one is queued.

        Raises MailboxFull under "wait" and "reject", ActorDown if the actor is stopped for good,
        TypeError if it does not take such messages.
        """
        cell = self._cell
        if type(message) not in cell.takes.casts:
            cell.takes.require_cast(message, cell.id, cell.tree.show)
        if coalesce and cell.closed is None and cell.queue.holds_equal(message):
            return False
        return cell.offer(Envelope(message, cell.now()))

    async def cast(self, message: CastOf[M_contra]) -> None:
        """Queue the message, waiting for room under the policy "wait"; otherwise like `cast_nowait`.

        With "wait" and room it is not a checkpoint, so that a sender pays for the scheduler once per
        full mailbox and not once per message. An actor that would wait for itself gets WouldDeadlock.
        """
        cell = self._cell
        if type(message) not in cell.takes.casts:
            cell.takes.require_cast(message, cell.id, cell.tree.show)
        envelope = Envelope(message, cell.now())
        await trio.lowlevel.checkpoint_if_cancelled()
        if not cell.admit(envelope):
            if cell.takes_messages and cell.queue.makes_wait:
                self._require_no_deadlock("casts to itself with a full mailbox")
            await cell.put(envelope)

    async def call(self, message: CallOf[M_contra, T], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """The actor's reply. The time covers waiting for room, for a restart, and for the handler.

        Raises CallTimeout, ActorDown, MailboxFull, TypeError, or what the handler put in a ReplyError.
        """
        cell = self._cell
        if type(message) not in cell.takes.calls:
            cell.takes.require_call(message, cell.id, cell.tree.show)
        if not 0 < timeout_s < float("inf"):
            raise ValueError(f"timeout_s is {timeout_s!r}, must be finite and more than 0")
        self._require_no_deadlock("calls itself from its own handler")
        now = cell.now()
        reply = Reply(now + timeout_s)
        envelope = Envelope(message, now, reply)
        try:
            await cell.ask(envelope, reply)
            answer = await reply.wait()
        finally:
            if not reply.done:
                cell.abandon(envelope)
        if not reply.done:
            raise CallTimeout(cell.id, cell.tree.show(cell.id, message), timeout_s)
        return cast(T, answer)

    def _require_no_deadlock(self, deed: str) -> None:
        asking = CURRENT.get()
        if asking is not None and asking is self._cell.child and busy_child() is asking:
            raise WouldDeadlock(f"{self.id} {deed}")

    async def down(self) -> str:
        """Wait until the actor is stopped for good, however often it is restarted; gives the reason.

        WouldDeadlock for one that waits for its own end.
        """
        if running_child() is self._cell.child:
            raise WouldDeadlock(f"{self.id} waits for its own end")
        return await wait_down(self._cell)


class ActorContext:
    """What an actor may ask of the runtime. It belongs to one incarnation and dies with it: after that
    it changes nothing any more, and `stash` and `spawn` raise RuntimeError."""

    __slots__ = ("_cell", "_incarnation", "incarnation", "ref", "tree")

    def __init__(self, incarnation: "Incarnation", cell: "Cell", tree: "Tree") -> None:
        self._incarnation = incarnation
        self._cell = cell
        self.tree = tree
        self.ref: ActorRef[Any] = ActorRef(cell)
        self.incarnation = cell.child.incarnation

    @property
    def id(self) -> str:
        """This actor's id in the tree."""
        return self._cell.id

    @property
    def attempt(self) -> int:
        """1 or 2: which attempt at the message in hand this is; 1 between messages."""
        envelope = None if self._incarnation.is_over else self._cell.in_flight
        return 1 if envelope is None else envelope.attempt

    def whereis(self, id: str) -> ActorRef[Any]:  # noqa: A002
        """The actor of that id anywhere in the tree; UnknownChild, a KeyError, if there is none."""
        return self.tree.ref(id)

    def start_timer(self, key: str, after_s: float, message: Cast) -> None:
        """Handle `message` in `after_s` seconds. Replaces one of the same key, dies with this life."""
        if math.isnan(after_s):
            raise ValueError(f"timer {key!r}: after_s is {after_s!r}, must be a number of seconds")
        self._cell.takes.require_cast(message, self._cell.id, self.tree.show)
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
        """Whether this life has been asked to end: a handler that waits should give up and return.

        A drain wants the messages handled, and asks only when its time is up.
        """
        return self._incarnation.is_ending

    def still_working(self) -> None:
        """Give the handler in progress its full time again: it waits for something and knows it."""
        self._incarnation.extend()

    def working_on(self, item: Hashable | None) -> None:
        """From here to the next mark or the handler's end a crash is the item's, not the message's."""
        hash(item)  # one that cannot be a key is refused here and not when its crash is booked
        self._incarnation.mark(item)

    def crashes_of(self, item: Hashable) -> "tuple[CrashReport, ...]":
        """The crashes of the item over all lives, oldest first, without state and other messages.

        The last ten of each item are kept, and the last thousand items.
        """
        return self._cell.crashes.get(item, ())

    def stash(self) -> None:
        """Put the message in hand aside when this handler returns: unanswered, not acknowledged.

        StashFull if the stash and what was unstashed already hold as much as the mailbox may.
        """
        if self._incarnation.is_over:
            raise RuntimeError(f"{self.id} has begun another life, this one has nothing to stash")
        self._cell.ask_stash()

    def unstash_all(self) -> None:
        """Handle what was stashed, in the order it came, before anything that is queued."""
        if not self._incarnation.is_over:
            self._cell.stash.take_up()
            self._cell.bell.ring()

    def watch(self, ref: ActorRef[Any]) -> None:
        """Bring one Down when that actor is stopped for good, at once if it is; a restart is no death.

        Ends with this life. TypeError if the annotation of `handle` does not list Down.
        """
        self._cell.takes.require_cast(Down(ref.id, ""), self.id, self.tree.show)
        self._incarnation.watch(ref._cell)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Take the watch back, and a notice that has not been handled; an unknown one is fine."""
        self._incarnation.unwatch(ref._cell)

    def stop(self, reason: str = "normal") -> None:
        """End this life, and no later one, normally, as soon as the handler in progress returns."""
        if self._incarnation.is_over:
            return
        if self._cell.stop_asked is None:
            self._cell.stop_asked = reason
        self._cell.bell.ring()


class Actor:
    """One incarnation of an actor: built anew for each start, so its state is plain attributes.

    `context` is there from `init` on, and not yet in `__init__`.
    """

    context: ActorContext

    async def init(self) -> None:
        """Get ready; the start waits for it, and raising here is a failed start."""

    async def handle(self, message: Any) -> Any:
        """Deal with one message at a time. The returned value is the reply of a Call."""
        shown = self.context.tree.show(self.context.id, message)
        raise NotImplementedError(f"{type(self).__name__} got {shown} and has no handle()")

    async def terminate(self, reason: str) -> None:
        """Clean up; shielded from cancellation, bounded by what is left of `shutdown_s`.

        `reason` is "normal", "shutdown", "crash" or what was given to the stop. Called once after every
        successful init, so after a crash, too, when the state may be broken.
        """

    def inspect(self) -> object:
        """The state as JSON-able data. Sync and quick: the dump asks while the handler hangs."""
        return None
