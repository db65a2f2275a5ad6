"""What travels: the two kinds of message, the envelope around one, the slot its reply comes through."""

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from .reports import CrashReport

__all__ = ["Call", "Cast", "Envelope", "Reply", "brief"]

T = TypeVar("T")

# A message may carry a whole document; a report shows enough of it to recognise it.
REPR_CHARS = 200


class Cast:
    """A message without a reply. Subclass it as a frozen dataclass: it may be handled twice."""

    __slots__ = ()


class Call(Generic[T]):
    """A message answered with a T: given `class Sum(Call[int])`, `await ref.call(Sum())` is an int."""

    __slots__ = ()


def brief(value: object) -> str:
    """The repr of `value` in at most 200 characters; a repr that raises is named instead."""
    try:
        text = repr(value)
    except Exception as exc:  # noqa: BLE001  reports must come out whatever a message does
        text = f"<{type(value).__name__}: repr raised {type(exc).__name__}>"
    return text if len(text) <= REPR_CHARS else text[: REPR_CHARS - 1] + "…"


class Reply:
    """The one place a call's answer can land; whatever comes second, or too late, is dropped."""

    __slots__ = ("_error", "_task", "_value", "abandoned", "done")

    def __init__(self) -> None:
        self.done = False
        self.abandoned = False
        self._value: object = None
        self._error: BaseException | None = None
        self._task: trio.lowlevel.Task | None = None

    def answer(self, value: object) -> None:
        """Give the caller its reply."""
        if not self.done and not self.abandoned:
            self._value = value
            self._finish()

    def refuse(self, error: BaseException) -> None:
        """Raise `error` at the caller."""
        if not self.done and not self.abandoned:
            self._error = error
            self._finish()

    def _finish(self) -> None:
        self.done = True
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    async def wait(self) -> object:
        """The answer, once there is one."""
        if not self.done:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._give_up_waiting)
        else:
            await trio.lowlevel.checkpoint()
        if self._error is not None:
            raise self._error
        return self._value

    def _give_up_waiting(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class Envelope:
    """One accepted message on its way: when it came, which attempt it is on, where its reply goes."""

    __slots__ = ("attempt", "crashes", "enqueued_at", "message", "reply")

    def __init__(self, message: object, enqueued_at: float, reply: Reply | None = None) -> None:
        self.message = message
        self.enqueued_at = enqueued_at
        self.reply = reply
        self.attempt = 1
        self.crashes: tuple[CrashReport, ...] = ()

    @property
    def abandoned(self) -> bool:
        """Its caller has given up, so handling it would serve nobody."""
        return self.reply is not None and self.reply.abandoned
