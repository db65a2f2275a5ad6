"""What happens to one actor's messages, as it happens: a bounded stream for whoever looks on.

The actor pays for noting a tuple and never waits; a slow reader loses the oldest events and is told
how many.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import trio

from .bell import Bell
from .shown import show

if TYPE_CHECKING:
    from .cell import Cell
    from .messages import Envelope

__all__ = ["CAPACITY", "EventKind", "Trace", "TraceEvent", "Tracer", "traced"]

EventKind = Literal[
    "queued",
    "begun",
    "handled",
    "crashed",
    "stashed",
    "dropped",
    "expired",
    "returned",
    "dead_lettered",
]

# Four mailboxes of the default size: a reader that looks again within a batch or two loses nothing.
CAPACITY = 256


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One thing that happened to a message, at a time of Trio's clock.

    `seconds` is how long the handler took, for "handled" and "crashed".
    """

    at: float
    kind: EventKind
    message: str
    attempt: int
    seconds: float | None


class Trace(AsyncIterator[TraceEvent]):
    """The events of one actor, oldest first; ends when the actor is down for good or nobody listens.

    One task at a time may wait for events. `lost` counts those pushed out because nobody read them.
    """

    def __init__(self, cell: "Cell", capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity!r}, must be at least 1")
        self.lost = 0
        self._cell = cell
        self._events: deque[tuple[float, EventKind, object, int, float | None]] = deque(maxlen=capacity)
        self._bell = Bell()
        self._is_waiting = False
        self._is_over = False

    def take(
        self, at: float, kind: EventKind, message: object, attempt: int, seconds: float | None
    ) -> None:
        """Keep one event, in place of the oldest if there is no room."""
        if len(self._events) == self._events.maxlen:
            self.lost += 1
        self._events.append((at, kind, message, attempt, seconds))
        self._bell.ring()

    def end(self) -> None:
        """There is nothing more to come; what is there may still be read."""
        self._is_over = True
        self._bell.ring()

    def __aiter__(self) -> "Trace":
        return self

    async def __anext__(self) -> TraceEvent:
        if self._is_waiting:
            raise trio.BusyResourceError(f"another task already reads this trace of {self._cell.id}")
        await trio.lowlevel.checkpoint_if_cancelled()
        self._is_waiting = True
        try:
            while not self._events and not self._is_over:
                await self._bell.wait()
        finally:
            self._is_waiting = False
        if not self._events:
            raise StopAsyncIteration
        at, kind, message, attempt, seconds = self._events.popleft()
        text = show(self._cell.tree.hooks, self._cell.id, message)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return TraceEvent(at, kind, text, attempt, seconds)


class Tracer:
    """What a traced cell notes its events with: hands them to every trace of it."""

    __slots__ = ("traces",)

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def note(self, kind: EventKind, envelope: "Envelope", seconds: float | None = None) -> None:
        """Something happened to the message, now."""
        now = trio.current_time()
        for trace in self.traces:
            trace.take(now, kind, envelope.message, envelope.attempt, seconds)

    def end(self) -> None:
        """The actor is down for good."""
        for trace in self.traces:
            trace.end()


@contextmanager
def traced(cell: "Cell", capacity: int) -> Iterator[Trace]:
    """Listen to the cell for the length of the block; the last listener to leave stops the noting."""
    trace = Trace(cell, capacity)
    if cell.closed is not None:
        trace.end()
    tracer = cell.tracer
    if not isinstance(tracer, Tracer):
        tracer = cell.tracer = Tracer()
    tracer.traces.append(trace)
    try:
        yield trace
    finally:
        trace.end()
        tracer.traces.remove(trace)
        if not tracer.traces and cell.tracer is tracer:
            cell.tracer = None
