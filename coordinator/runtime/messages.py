"""What travels: the two kinds of message, the envelope around one, the slot its reply comes through."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

import trio

if TYPE_CHECKING:
    from .reports import CrashReport

__all__ = [
    "Call",
    "CallOf",
    "Cast",
    "CastOf",
    "Down",
    "Envelope",
    "Reply",
    "brief",
    "brief_text",
    "cut",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Own_co = TypeVar("Own_co", covariant=True)

# A message may carry a whole document; a report shows enough of it to recognise it.
REPR_CHARS = 200
# A validation error tells of each field it saw; more is in the traceback.
ERROR_CHARS = 2000


class Cast:
    """A message without a reply. Subclass it as a frozen dataclass: it may be handled twice."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _as_cast(self) -> Self: ...


class Call(Generic[T]):
    """A message answered with a T: given `class Sum(Call[int])`, `await ref.call(Sum())` is an int."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _as_call(self) -> tuple[Self, T]: ...


class CastOf(Protocol[Own_co]):
    """A Cast that is one of the messages `Own_co`. Only mypy looks at it: a bound on the type variable
    of a self-type is not checked, so `ActorRef.cast` could not refuse a Call otherwise."""

    def _as_cast(self) -> Own_co: ...


class CallOf(Protocol[Own_co, T_co]):
    """A Call that is one of the messages `Own_co`, answered with a `T_co`. Only mypy looks at it."""

    def _as_call(self) -> tuple[Own_co, T_co]: ...


@dataclass(frozen=True, slots=True)
class Down(Cast):
    """The actor `id`, which the receiver watches, is stopped for good; `reason` says why."""

    id: str
    reason: str


def brief(value: object) -> str:
    """The repr of `value` in at most 200 characters; a repr that raises is named instead."""
    try:
        text = repr(value)
    except Exception as exc:  # noqa: BLE001  reports must come out whatever a message does
        text = f"<{type(value).__name__}: repr raised {type(exc).__name__}>"
    return cut(text, REPR_CHARS)


def brief_text(error: BaseException) -> str:
    """The error's own words in at most 2,000 characters."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  reports must come out whatever an error's __str__ does
        text = "<no message: its __str__ raised>"
    return cut(text, ERROR_CHARS)


def cut(text: str, chars: int) -> str:
    """The text in at most so many characters; the last one tells that something is missing."""
    return text if len(text) <= chars else text[: chars - 1] + "…"


class Reply:
    """The one place a call's answer can land; whatever comes second, or too late, is dropped.

    `deadline` is watched by the tree, so that a call pays for no cancel scope of its own.
    """

    __slots__ = ("_error", "_value", "abandoned", "caller", "deadline", "done", "expected_at")

    def __init__(self, deadline: float = math.inf) -> None:
        self.done = False
        self.abandoned = False
        self.deadline = deadline
        self.expected_at = math.inf
        self.caller: trio.lowlevel.Task | None = None
        self._value: object = None
        self._error: BaseException | None = None

    def answer(self, value: object) -> None:
        """Give the caller its reply."""
        if not self.done and not self.abandoned:
            self._value = value
            self.done = True
            self._wake()

    def refuse(self, error: BaseException) -> None:
        """Raise `error` at the caller."""
        if not self.done and not self.abandoned:
            self._error = error
            self.done = True
            self._wake()

    def give_up(self) -> None:
        """From this step on nobody wants the answer any more."""
        self.abandoned = True
        self.deadline = math.inf

    def overrun(self) -> None:
        """The deadline is here; the caller wakes up and finds the call abandoned."""
        if not self.done:
            self.give_up()
            self._wake()

    def _wake(self) -> None:
        self.deadline = math.inf
        if self.caller is not None:
            trio.lowlevel.reschedule(self.caller)
            self.caller = None

    async def wait(self) -> object:
        """The answer, once there is one; None if the deadline came first, which `abandoned` tells.

        It is handed over, so that there is one only once.
        """
        if self.done or self.abandoned:
            await trio.lowlevel.checkpoint()
        else:
            self.caller = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._give_up_waiting)
        error, value = self._error, self._value
        self._error = self._value = None  # the watch may keep this object until the deadline
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback has this frame, and nobody should need the collector
        return value

    def _give_up_waiting(self, _: object) -> trio.lowlevel.Abort:
        self.caller = None
        return trio.lowlevel.Abort.SUCCEEDED


class Envelope:
    """One accepted message on its way: when it came, which attempt it is on, where its reply goes.

    Once its handler has ended, `took_s` tells how long that took and `ok` whether it returned.
    """

    __slots__ = ("crashes", "enqueued_at", "message", "ok", "reply", "took_s")

    took_s: float
    ok: bool

    def __init__(self, message: object, enqueued_at: float, reply: Reply | None = None) -> None:
        self.message = message
        self.enqueued_at = enqueued_at
        self.reply = reply
        self.crashes: tuple[CrashReport, ...] = ()

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1 on."""
        return 1 + len(self.crashes)

    @property
    def abandoned(self) -> bool:
        """Its caller has given up, so handling it would serve nobody."""
        return self.reply is not None and self.reply.abandoned
