"""The seam between a monitor and the agent it watches: orders go down, reports come up.

A driver knows how one kind of agent is reached and nothing of thresholds, sessions or the journal.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from coordinator.edges.journal import StoredOrder
from coordinator.rules.context import ContextUsage
from coordinator.rules.ids import RunId

__all__ = ["AckStatus", "Driver", "OrderAcked", "PollFault", "Report", "UsageReported"]

AckStatus = Literal["accepted", "done", "failed"]


@dataclass(frozen=True, slots=True)
class UsageReported:
    """One context reading. `run` is None for the agent's only run, `session` for its current one.

    A reading taken twice keeps its `sampled_at`, so that a silent agent does not look alive.
    """

    run: RunId | None
    session: int | None
    usage: ContextUsage
    at_turn_boundary: bool


@dataclass(frozen=True, slots=True)
class OrderAcked:
    """An answer to an order: "accepted" (the run was taken
    up), "done", "failed"; `handoff` goes with a rotation, `after_tokens` with a compaction."""

    order_id: int
    status: AckStatus
    detail: str = ""
    handoff: str | None = None
    after_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PollFault:
    """The agent could not be looked at; says nothing about its context."""

    detail: str


Report = UsageReported | OrderAcked | PollFault


class Driver(Protocol):
    """One agent's driver. Both methods may raise VendorError, which a monitor treats as PollFault."""

    async def carry_out(self, order: StoredOrder) -> None:
        """Hand the order to the agent. Safe to repeat for the same order id: an order answered with
        done or failed is answered so again, so that no answer is lost in a crash."""

    async def poll(self) -> tuple[Report, ...]:
        """What happened since the last poll, oldest first; empty when there is nothing to say."""
