"""Where code is, in words: the stack of a waiting task or a running thread as "file:function:line"."""

import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import trio

__all__ = ["Stacks", "place"]

Place = tuple[int, int]
Coroutine, Generator = types.CoroutineType, types.GeneratorType


def place(frame: types.FrameType) -> str:
    """The frame as "file:function:line", the file without its folders."""
    code = frame.f_code
    return f"{code.co_filename.rpartition('/')[2]}:{code.co_name}:{frame.f_lineno}"


class Stacks:
    """Stacks of one moment; equal ones are one object.

    Ten thousand idle actors wait in the same dozen places, and finding a line number costs more than
    all the rest: it is done once per place. Keep it no longer than the pass it serves, for it knows
    code objects by their address.
    """

    __slots__ = ("_places", "_whole")

    def __init__(self) -> None:
        self._places: dict[Place, str] = {}
        self._whole: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, task: "trio.lowlevel.Task | None") -> tuple[str, ...]:
        """Where the task waits, outermost first; empty for none and for one that is over."""
        if task is None:
            return ()
        stack = self._walk(task.coro)
        if stack is None:  # inside an async generator; Trio knows how to look through one
            stack = tuple(place(frame) for frame, _ in task.iter_await_frames())
        return self._whole.setdefault(stack, stack)

    def _walk(self, waiting: Any) -> tuple[str, ...] | None:
        """The places down to the innermost; None if something on the way is no plain coroutine."""
        known, found = self._places, []
        while waiting is not None:
            kind = type(waiting)
            if kind is Coroutine:
                frame, waiting = waiting.cr_frame, waiting.cr_await
            elif kind is Generator:
                frame, waiting = waiting.gi_frame, waiting.gi_yieldfrom
            else:
                return None
            if frame is None:  # it has ended
                continue
            key = (id(frame.f_code), frame.f_lasti)
            text = known.get(key)
            if text is None:
                text = known[key] = place(frame)
            found.append(text)
        return tuple(found)
