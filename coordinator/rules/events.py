"""The facts in the journal: past tense, typed, immutable.

An event is never changed and never removed, so its fields may only grow, with defaults. The
journal stamps each with a sequence number, an instant, the actor that wrote it and the delivery
it goes back to (the correlation id); none of these is repeated here.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from coordinator.rules.context import ContextUsage
from coordinator.rules.facts import Difficulty, IssueFacts, Metadata, ParseCost
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId

__all__ = [
    "EVENT_TYPES",
    "AgentObserved",
    "AgentStatus",
    "AssigneeWritten",
    "CommandGiven",
    "CommandRefused",
    "CommentWritten",
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
    "LabelsWritten",
    "Metadata",
    "ParseCost",
    "RepositoryMoved",
    "RotationStarted",
    "RunEnded",
    "RunOutcome",
    "RunParked",
    "RunStarted",
    "SessionRotated",
    "Source",
    "Verb",
    "WithdrawalRequested",
]

AgentStatus = Literal["starting", "idle", "working", "unknown"]
RunOutcome = Literal["completed", "failed", "withdrawn", "parked"]
Source = Literal["webhook", "sweep"]
Verb = Literal["retry", "assign", "park", "resume", "explain", "estimate"]


# router ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssueObserved:
    """The forge's word on an issue, when it differs from what was known; `by` is who changed it.

    `missed` are the causes, sorted, that no delivery told of; only a sweep can say so. `our_labels` are
    those of ours that were on the issue when it was read, sorted: no news, but perhaps not what we put.
    """

    facts: IssueFacts
    action: str
    source: Source = "webhook"
    by: Login | None = None
    missed: tuple[str, ...] = ()
    our_labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IssueDeleted:
    """The forge has the issue no more. Only an `IssueObserved` of a later read takes that back."""

    ref: IssueRef
    source: Source = "webhook"


@dataclass(frozen=True, slots=True)
class RepositoryMoved:
    """The repository known as `canonical` is called `current`, as the forge spelled it at `at`: by our
    clock if that was read, else by the forge's."""

    repo_id: int
    canonical: str
    current: str
    at: datetime | None = None
    is_read: bool = False


# parser ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssueParsed:
    """Metadata for the text `text_key`; `degraded` says why the rules had to stand in, if they did."""

    ref: IssueRef
    text_key: str
    metadata: Metadata
    by: Literal["claude", "rules", "cache"]
    model: str | None = None
    cost: ParseCost = field(default_factory=ParseCost)
    degraded: str | None = None


# dependency-tracker ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IssueBlocked:
    """Open or unknown blockers, each list sorted; judged on text `text_key`, parsed or not.

    `hidden_blockers` counts those the forge does not show us.
    """

    ref: IssueRef
    text_key: str
    parsed: bool
    open_blockers: tuple[IssueRef, ...]
    unknown_blockers: tuple[IssueRef, ...] = ()
    cycle: tuple[IssueRef, ...] = ()
    hidden_blockers: int = 0


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
    """The issue was given to an agent; the generation in `run` fences late results of older runs.

    `wish_id` is the newest comment in which a person asked for another run, 0 without one.
    """

    run: RunId
    agent: AgentName
    fingerprint: str
    episode: str
    basis_at: datetime
    estimated_context_tokens: int
    expected_cost_usd: float
    text_key: str
    wish_id: int = 0


@dataclass(frozen=True, slots=True)
class WithdrawalRequested:
    """The run must stop: the issue was closed, unassigned, deleted or given to another agent."""

    run: RunId
    agent: AgentName
    reason: str


# scribe ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandGiven:
    """A person who may write to the repository told us something in a comment.

    Only the argument of its verb is set: `agent` for assign, `reason` for park, `tokens` and perhaps
    `difficulty` for estimate. Forges number comments upwards, so of two the higher id is the later.
    """

    ref: IssueRef
    comment_id: int
    by: Login
    verb: Verb
    at: datetime
    agent: AgentName | None = None
    reason: str = ""
    tokens: int | None = None
    difficulty: Difficulty | None = None


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """A command that was answered with no, and why; `verb` is "" when it was none we know."""

    ref: IssueRef
    comment_id: int
    by: Login
    why: str
    verb: Verb | Literal[""] = ""


@dataclass(frozen=True, slots=True)
class CommentWritten:
    """The sticky comment stands at the forge and says `meaning`, a digest."""

    ref: IssueRef
    comment_id: int
    meaning: str


@dataclass(frozen=True, slots=True)
class LabelsWritten:
    """The issue carries exactly these of our labels, sorted."""

    ref: IssueRef
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssigneeWritten:
    """We assigned this login ourselves; that it is assigned is nobody's wish."""

    ref: IssueRef
    login: Login


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
    | RepositoryMoved
    | CommandGiven
    | CommandRefused
    | CommentWritten
    | LabelsWritten
    | AssigneeWritten
)

EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__args__}
