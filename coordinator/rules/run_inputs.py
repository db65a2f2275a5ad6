"""What can happen to a run, and what a step of its life gives back."""

from dataclasses import dataclass
from typing import Literal

from coordinator.rules.context import ContextAction, ContextUsage
from coordinator.rules.events import Event
from coordinator.rules.orders import CompactContext, Order, RotateSession
from coordinator.rules.run_state import RunState

__all__ = ["Acked", "Close", "Input", "PollFailed", "Sampled", "Step", "Tick", "Withdrawn"]


@dataclass(frozen=True, slots=True)
class Sampled:
    """A context reading. `session` None means the current one; a reading that is not newer than the
    last, or of another session, is no news. `at_boundary`: the agent stands between two turns."""

    usage: ContextUsage
    session: int | None
    at_boundary: bool


@dataclass(frozen=True, slots=True)
class PollFailed:
    """The agent could not be looked at. Counted, never taken for a reading."""

    detail: str


@dataclass(frozen=True, slots=True)
class Acked:
    """The agent's answer to the order with this key."""

    order_key: str
    status: Literal["accepted", "done", "failed"]
    detail: str = ""
    handoff: str | None = None
    after_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The run must stop; the CancelRun order has been opened by whoever says so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: look at the deadlines."""


Input = Sampled | PollFailed | Acked | Withdrawn | Tick


@dataclass(frozen=True, slots=True)
class Close:
    """An open order to close, by its key; `result` is one word. A key not open is no error."""

    key: str
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What one input led to, to be committed together; only `state` is set when it was no news."""

    state: RunState
    events: tuple[Event, ...] = ()
    orders: tuple[Order, ...] = ()
    closed: tuple[Close, ...] = ()

    @property
    def action(self) -> ContextAction:
        """What this step asked the agent for, as one word."""
        for order in self.orders:
            if isinstance(order, CompactContext):
                return ContextAction.COMPACT
            if isinstance(order, RotateSession):
                return ContextAction.ROTATE
        return ContextAction.CONTINUE
