"""How a life ends: normally, declined, broken, or by what must end the program."""

import trio

__all__ = ["FATAL", "End", "fatal_in", "is_cancellation", "sole"]

# These end the program and are nobody's to restart after.
FATAL = (KeyboardInterrupt, SystemExit, GeneratorExit, trio.TrioInternalError)


class End:
    """How a life ended. `charged`: a restart after it costs the budget; `ignored`: why it declined."""

    __slots__ = ("charged", "error", "ignored", "is_fatal")

    def __init__(
        self, error: BaseException | None, *, charged: bool = True, ignored: str | None = None
    ) -> None:
        self.error = error
        self.charged = charged
        self.ignored = ignored
        self.is_fatal = isinstance(error, FATAL)


def sole(error: BaseException) -> BaseException:
    """The one error inside nested groups of one; a group of several stays."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def fatal_in(error: BaseException) -> BaseException | None:
    """The error inside that must end the program, if there is one."""
    if isinstance(error, FATAL):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(fatal_in, error.exceptions)), None)
    return None


def is_cancellation(error: BaseException) -> bool:
    """Whether it is nothing but Trio's way out of a scope."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_cancellation, error.exceptions))
    return isinstance(error, trio.Cancelled)
