"""What actors may say to each other and what a face may ask them. All frozen; replies are typed.

Dumps show messages by their repr, so fields that carry people's or agents' words are left out of it.
"""

from dataclasses import dataclass, field

from coordinator.edges.drivers import AckStatus
from coordinator.rules.context import ContextUsage
from coordinator.rules.events import IssueParsed
from coordinator.rules.ids import AgentName, IssueRef, RunId
from coordinator.rules.views import AgentView, IssuePage, IssueView
from coordinator.runtime import Call, Cast

__all__ = [
    "AckOrder",
    "Acked",
    "DescribeAgent",
    "ExplainIssue",
    "ListIssues",
    "ParseDone",
    "PollNow",
    "Reconsider",
    "Recorded",
    "ReportUsage",
    "Wake",
]


@dataclass(frozen=True, slots=True)
class Wake(Cast):
    """The journal has grown: a hint, never the truth. Equal ones coalesce in the mailbox."""


@dataclass(frozen=True, slots=True)
class Reconsider(Cast):
    """To a follower: take up the event `seq` again, a dead letter that somebody replayed."""

    seq: int


@dataclass(frozen=True, slots=True)
class PollNow(Cast):
    """A monitor's own timer: look at the agent."""


# to the parser ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParseDone(Cast):
    """A parse job's result, to be committed by the parser itself."""

    order_id: int
    parsed: IssueParsed = field(repr=False)


# to the dispatcher ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExplainIssue(Call[IssueView | None]):
    """Why the issue is where it is, by the function that decides dispatch. None: never heard of it."""

    issue: IssueRef


@dataclass(frozen=True, slots=True)
class ListIssues(Call[IssuePage]):
    """Issues that concern us (all known ones with `every`), by ref, after `after`, at most `limit`."""

    after: IssueRef | None = None
    limit: int = 100
    state: str | None = None
    every: bool = False


# to a monitor -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """The report is on disk; `action` is what the monitor decided: continue, compact or rotate."""

    action: str
    fill: float | None


@dataclass(frozen=True, slots=True)
class ReportUsage(Call[Recorded]):
    """An agent's own reading. Unknown or fenced runs are answered with SenderError."""

    agent: AgentName
    run: RunId | None
    session: int | None
    usage: ContextUsage
    at_turn_boundary: bool


@dataclass(frozen=True, slots=True)
class Acked:
    """The acknowledgement is on disk; `known` is False when the order was closed before."""

    known: bool


@dataclass(frozen=True, slots=True)
class AckOrder(Call[Acked]):
    """An agent's answer to an order, or the end of its run.

    `status` is one of "accepted" (StartRun taken up), "done" (compaction, rotation or cancellation
    carried out; for StartRun: the work is complete), "failed". `handoff` belongs to RotateSession,
    `after_tokens` to CompactContext.
    """

    agent: AgentName
    order_id: int
    status: AckStatus
    detail: str = field(default="", repr=False)
    handoff: str | None = field(default=None, repr=False)
    after_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class DescribeAgent(Call[AgentView]):
    """What the monitor knows of its agent now."""
