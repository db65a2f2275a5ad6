"""The JSON of the API's answers, as pydantic models made of our own values, published as OpenAPI.

Refs and runs are written as text ("owner/name#12", "owner/name#12@3"), instants as ISO 8601 in UTC.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

__all__ = [
    "AckedBody",
    "AgentBody",
    "AgentsBody",
    "BackupBody",
    "DeadLetterBody",
    "DeadLettersBody",
    "ErrorBody",
    "ErrorDetail",
    "EventBody",
    "ForgeBody",
    "HealthBody",
    "IndexBody",
    "IssueBody",
    "IssueSummary",
    "IssuesBody",
    "MetadataBody",
    "OrderBody",
    "OrdersBody",
    "RecordedBody",
    "RefreshBody",
    "RunBody",
    "SampleBody",
    "SamplesBody",
    "SweepBody",
    "UsageBody",
    "WebhookBody",
    "plain",
]

_AsText = Annotated[str, BeforeValidator(str)]


class _Shape(BaseModel):
    model_config = ConfigDict(from_attributes=True)


# answers ----------------------------------------------------------------------------------------


class ErrorDetail(_Shape):
    code: str
    message: str
    field: str | None = None


class ErrorBody(_Shape):
    error: ErrorDetail


class IndexBody(_Shape):
    name: str
    version: str
    urls: dict[str, str]


class WebhookBody(_Shape):
    status: Literal["accepted", "duplicate", "ignored"]
    delivery: str
    reason: str | None = None


class ForgeBody(_Shape):
    """How the forge fares: `state` is that of the circuit breaker, "closed" when all is well. `version`
    and `product` are null until it was reached; `reads_pending` issues are still to be read there.
    `reads_failing` repositories cannot be read, and on `writes_refused` issues the forge will not take
    what is to be said; /state names them with the reason."""

    state: Literal["closed", "open", "half-open"]
    product: str | None
    version: str | None
    last_error: str | None
    retry_in_s: float | None
    requests: int
    reads_pending: int
    reads_failing: int
    writes_refused: int


class SweepBody(_Shape):
    """The search for what the webhooks missed: so far `missed`, by cause. `failing` repositories are
    named in the sweeper's state, `stuck` ones failed several times in a row; `problem` is why there is
    no sweep at all. `too_long` issues and comments were longer than can be read, as far as was seen
    since the start."""

    last_at: datetime | None
    took_s: float | None
    next_in_s: float | None
    repositories: int
    failing: int
    stuck: int
    too_long: int
    problem: str | None
    missed: dict[str, int]


class RefreshBody(_Shape):
    """How many repositories are swept now."""

    repositories: int


class HealthBody(_Shape):
    """`components` are all but the agents' monitors, of which `agents` counts the statuses. Without a
    forge token there is neither `forge` nor `sweep`."""

    status: Literal["ok", "starting", "failing"]
    version: str
    uptime_s: float
    components: dict[str, str]
    agents: dict[str, int]
    degraded: list[str]
    journal_error: str | None
    last_delivery_age_s: float | None
    queues: dict[str, int]
    dead_letters: int
    signature_failures: int
    rejected: int
    deliveries: dict[str, int]
    connections: dict[str, int]
    forge: ForgeBody | None = None
    sweep: SweepBody | None = None


class UsageBody(_Shape):
    input_tokens: int
    cache_read_tokens: int
    cache_creation_tokens: int
    output_tokens: int
    used_tokens: int
    window_tokens: int | None
    sampled_at: datetime


class RunBody(_Shape):
    run: _AsText
    agent: str
    phase: str
    session: int
    usage: UsageBody | None
    fill: float | None
    peak_tokens: int
    compactions: int
    rotations: int
    detail: str


class AgentBody(_Shape):
    agent: str
    login: str
    driver: str
    model: str
    difficulty: str
    slots: int
    status: str
    detail: str
    window_tokens: int | None
    usable_tokens: int | None
    compact_at_tokens: int | None
    rotate_at_tokens: int | None
    runs: list[RunBody]
    open_orders: int
    last_report_at: datetime | None
    poll_failures: int


class AgentsBody(_Shape):
    """`unreachable` names agents whose monitor did not answer just now."""

    agents: list[AgentBody]
    unreachable: list[str]


class MetadataBody(_Shape):
    estimated_context_tokens: int
    difficulty: str
    suggested_agent: str | None
    blocks: list[_AsText]
    blocked_by: list[_AsText]
    summary: str
    confidence: float


class IssueSummary(_Shape):
    """`repo_name` is what the repository is called now. `pinned` is the agent and `estimated_by` the
    person behind the estimate that commands in comments have set. `fill_percent` is rounded to ten."""

    issue: _AsText
    title: str
    html_url: str
    state: str
    reason: str
    evidence: str
    next_check_at: datetime | None
    assignees: list[str]
    priority: int
    metadata: MetadataBody | None
    parsed_by: str | None
    open_blockers: list[_AsText]
    unknown_blockers: list[_AsText]
    cycle: list[_AsText]
    agent: str | None
    run: Annotated[str | None, BeforeValidator(lambda run: None if run is None else str(run))]
    dispatches: int
    compactions: int
    rotations: int
    peak_tokens: int
    updated_at: datetime
    repo_name: str = ""
    hidden_blockers: int = 0
    pinned: str | None = None
    estimated_by: str | None = None
    run_phase: str | None = None
    session: int | None = None
    fill_percent: int | None = None


class IssuesBody(_Shape):
    """`next_after` is the `after` of the next page, null on the last."""

    issues: list[IssueSummary]
    next_after: str | None


class EventBody(_Shape):
    seq: int
    at: datetime
    actor: str
    delivery: str | None
    type: str
    event: dict[str, object]


class IssueBody(IssueSummary):
    """One issue with its newest events, oldest first."""

    timeline: list[EventBody]


class SampleBody(_Shape):
    run: _AsText
    session: int
    usage: UsageBody


class SamplesBody(_Shape):
    samples: list[SampleBody]


class OrderBody(_Shape):
    id: int
    type: Literal["ParseIssue", "StartRun", "CompactContext", "RotateSession", "CancelRun"]
    opened_at: datetime
    delivery: str | None
    order: dict[str, object]


class OrdersBody(_Shape):
    orders: list[OrderBody]


class RecordedBody(_Shape):
    """What the monitor decided on the reading: continue, compact or rotate."""

    action: str
    fill: float | None


class AckedBody(_Shape):
    """`known` is false when the order had been closed before."""

    known: bool


class DeadLetterBody(_Shape):
    id: int
    at: datetime
    actor: str
    item: int | None
    message: str
    first_error: str
    second_error: str
    replayed_at: datetime | None


class DeadLettersBody(_Shape):
    dead_letters: list[DeadLetterBody]


class BackupBody(_Shape):
    path: str
    size_bytes: int


# writing ----------------------------------------------------------------------------------------


def plain(value: object) -> object:
    """An event's or order's value as JSON: names of things as text, dataclasses as objects."""
    match value:
        case datetime():
            return value.isoformat()
        case tuple() | list() | set() | frozenset():
            return [plain(item) for item in value]
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case _ if is_dataclass(value) and type(value).__str__ is object.__str__:
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
