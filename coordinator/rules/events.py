"""The facts in the journal: past tense, typed, immutable.

An event is never changed and never removed, so its fields may only grow, with defaults. The
journal stamps each with a sequence number, an instant, the actor that wrote it and the delivery
it goes back to (the correlation id); none of these is repeated here.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from coordinator.rules.context import ContextUsage
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId

__all__ = [
    "EVENT_TYPES",
    "AgentObserved",
    "AgentStatus",
    "CompactionEnded",
    "CompactionStarted",
    "CycleBroken",
    "CycleFound",
    "Difficulty",
    "Event",
    "IssueAssessed",
    "IssueBlocked",
    "IssueDeleted",
    "IssueDispatched",
    "IssueFacts",
    "IssueObserved",
    "IssueParsed",
    "IssueUnblocked",
    "Metadata",
    "ParseCost",
    "RotationStarted",
    "RunEnded",
    "RunOutcome",
    "RunParked",
    "RunStarted",
    "SessionRotated",
    "WithdrawalRequested",
]

Difficulty = Literal["easy", "medium", "hard"]
AgentStatus = Literal["starting", "idle", "working", "unknown"]
RunOutcome = Literal["completed", "failed", "withdrawn", "parked"]


@dataclass(frozen=True, slots=True)
class IssueFacts:
    """What the forge said of one issue at one moment.

    `assignees` and `labels` are sorted. `blocked_by` and `blocks` are the explicit lines of the
    body, sorted. `text_key` names the stored text (title and body) the facts were read with.
    """

    ref: IssueRef
    repo_id: int
    issue_id: int
    title: str
    text_key: str
    state: Literal["open", "closed"]
    assignees: tuple[Login, ...]
    labels: tuple[str, ...]
    milestone: str | None
    html_url: str
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    blocked_by: tuple[IssueRef, ...] = ()
    blocks: tuple[IssueRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an issue needs, as read from its text and clamped to sane bounds.

    `estimated_context_tokens` is the context the work will fill, in tokens. `blocked_by` and
    `blocks` are only edges that a line of the text states. `confidence` is 0..1.
    """

    estimated_context_tokens: int
    difficulty: Difficulty
    suggested_agent: str | None
    blocks: tuple[IssueRef, ...]
    blocked_by: tuple[IssueRef, ...]
    summary: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ParseCost:
    """What one parse took: tokens as billed, US dollars at list price, wall seconds."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    attempts: int = 0


# router ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssueObserved:
    """The forge's word on an issue, when it differs from what was known; `by` is who changed it."""

    facts: IssueFacts
    action: str
    source: Literal["webhook", "sweep"] = "webhook"
    by: Login | None = None


@dataclass(frozen=True, slots=True)
class IssueDeleted:
    """The issue is gone for good; forges never use a number twice."""

    ref: IssueRef


# parser ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssueParsed:
    """Metadata for the text `text_key`; `degraded` says why the rules had to stand in, if they did."""

    ref: IssueRef
    text_key: str
    metadata: Metadata
    by: Literal["claude", "rules", "cache"]
    model: str | None = None
    cost: ParseCost = ParseCost()
    degraded: str | None = None


# dependency-tracker ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssueBlocked:
    """Open or unknown blockers, each list sorted; judged on text `text_key`, parsed or not."""

    ref: IssueRef
    text_key: str
    parsed: bool
    open_blockers: tuple[IssueRef, ...]
    unknown_blockers: tuple[IssueRef, ...] = ()
    cycle: tuple[IssueRef, ...] = ()


@dataclass(frozen=True, slots=True)
class IssueUnblocked:
    """Nothing open stands before the issue; judged on text `text_key`, parsed or not.

    `satisfied` are its closed blockers, sorted: part of the dispatch fingerprint.
    """

    ref: IssueRef
    text_key: str
    parsed: bool
    satisfied: tuple[IssueRef, ...] = ()


@dataclass(frozen=True, slots=True)
class CycleFound:
    """These open issues wait for each other in this order: each is blocked by the next, the last by
    the first; the smallest ref comes first."""

    issues: tuple[IssueRef, ...]


@dataclass(frozen=True, slots=True)
class CycleBroken:
    """The cycle named so before is none any more."""

    issues: tuple[IssueRef, ...]


# dispatcher -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssueAssessed:
    """The reason an issue is where it is has changed; the words of `assess`, kept for the timeline."""

    ref: IssueRef
    state: str
    reason: str
    evidence: str


@dataclass(frozen=True, slots=True)
class IssueDispatched:
    """The issue was given to an agent; the generation in `run` fences late results of older runs."""

    run: RunId
    agent: AgentName
    fingerprint: str
    episode: str
    basis_at: datetime
    estimated_context_tokens: int
    expected_cost_usd: float
    text_key: str


@dataclass(frozen=True, slots=True)
class WithdrawalRequested:
    """The run must stop: the issue was closed, unassigned, deleted or given to another agent."""

    run: RunId
    agent: AgentName
    reason: str


# monitor --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentObserved:
    """What a monitor knows of its agent; `window_tokens` and `usable_tokens` are None while unknown."""

    agent: AgentName
    status: AgentStatus
    window_tokens: int | None = None
    usable_tokens: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The agent took the run up; sessions count from 1."""

    run: RunId
    agent: AgentName
    session: int


@dataclass(frozen=True, slots=True)
class CompactionStarted:
    """The monitor asked for a compaction at this fill."""

    run: RunId
    agent: AgentName
    session: int
    usage: ContextUsage


@dataclass(frozen=True, slots=True)
class CompactionEnded:
    """The compaction ended; `after_tokens` is None until the next reading or when it failed;
    `compactions` counts the run's so far, failed ones too."""

    run: RunId
    agent: AgentName
    session: int
    before_tokens: int
    after_tokens: int | None
    ok: bool
    detail: str = ""
    compactions: int = 0


@dataclass(frozen=True, slots=True)
class RotationStarted:
    """The monitor asked for a new session, and why."""

    run: RunId
    agent: AgentName
    session: int
    reason: str
    usage: ContextUsage | None


@dataclass(frozen=True, slots=True)
class SessionRotated:
    """The successor session acknowledged; `handoff` is the text it started from, bounded."""

    run: RunId
    agent: AgentName
    from_session: int
    to_session: int
    handoff: str


@dataclass(frozen=True, slots=True)
class RunParked:
    """A person must decide; the run keeps its slot until it is ended."""

    run: RunId
    agent: AgentName
    reason: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over and its slot is free; peaks and counts judge the estimate."""

    run: RunId
    agent: AgentName
    outcome: RunOutcome
    detail: str
    sessions: int
    compactions: int
    rotations: int
    peak_tokens: int
    estimated_context_tokens: int


Event = (
    IssueObserved
    | IssueDeleted
    | IssueParsed
    | IssueBlocked
    | IssueUnblocked
    | CycleFound
    | CycleBroken
    | IssueAssessed
    | IssueDispatched
    | WithdrawalRequested
    | AgentObserved
    | RunStarted
    | CompactionStarted
    | CompactionEnded
    | RotationStarted
    | SessionRotated
    | RunParked
    | RunEnded
)

EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__args__}
