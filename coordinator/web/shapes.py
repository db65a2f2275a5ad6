"""The JSON of the API, as pydantic models: read from our own values, and published as OpenAPI.

Refs and runs are written as text ("owner/name#12", "owner/name#12@3"), instants as ISO 8601 in UTC.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from coordinator.web.envelope import Refused

__all__ = [
    "AckBody",
    "AckedBody",
    "AgentBody",
    "AgentsBody",
    "BackupAsked",
    "BackupBody",
    "DeadLetterBody",
    "DeadLettersBody",
    "ErrorBody",
    "ErrorDetail",
    "EventBody",
    "HealthBody",
    "HistoryQuery",
    "IndexBody",
    "IssueBody",
    "IssueQuery",
    "IssueSummary",
    "IssuesBody",
    "LettersQuery",
    "MetadataBody",
    "OrderBody",
    "OrdersBody",
    "PollQuery",
    "RecordedBody",
    "RunBody",
    "SampleBody",
    "SamplesBody",
    "StateQuery",
    "UsageBody",
    "UsageReport",
    "WebhookBody",
    "parse_json",
    "parse_query",
    "plain",
]

_AsText = Annotated[str, BeforeValidator(str)]
# No model has a window of a billion tokens; larger numbers are somebody's mistake.
_Tokens = Annotated[int, Field(ge=0, le=1_000_000_000)]
_MAX_TEXT_CHARS = 2_000
# A handoff is written by a model with some thousand tokens of output.
_MAX_HANDOFF_CHARS = 100_000
_MAX_ID = 2**63 - 1

Asked = TypeVar("Asked", bound=BaseModel)


class _Shape(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Asked(BaseModel):
    """What a client sends: unknown fields are its mistake, numbers are not guessed from text."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Query(BaseModel):
    """Query parameters: text by nature, so numbers are read from it."""

    model_config = ConfigDict(extra="ignore")


# requests ---------------------------------------------------------------------------------------


class IssueQuery(_Query):
    after: Annotated[str | None, Field(description="the last issue of the page before")] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    state: Annotated[str | None, Field(max_length=20)] = None
    every: Annotated[bool, Field(description="also issues that do not concern us")] = False


class HistoryQuery(_Query):
    since: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=5000)] = 500


class LettersQuery(_Query):
    actor: Annotated[str | None, Field(max_length=200)] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class StateQuery(_Query):
    actor: Annotated[str | None, Field(description="the id of one actor")] = None


class PollQuery(_Query):
    wait_s: Annotated[float, Field(ge=0, le=60, description="how long to wait for an order")] = 0
    after: Annotated[
        int, Field(ge=0, le=2**63 - 1, description="only orders with an id above this one")
    ] = 0


class UsageReport(_Asked):
    """One reading of the agent's context window: the last single main-thread model request."""

    run: Annotated[str | None, Field(max_length=300)] = None
    session: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    input_tokens: _Tokens
    cache_read_tokens: _Tokens = 0
    cache_creation_tokens: _Tokens = 0
    output_tokens: _Tokens = 0
    window_tokens: _Tokens | None = None
    at_turn_boundary: bool = False


class AckBody(_Asked):
    """An answer to an order."""

    status: Literal["accepted", "done", "failed"]
    detail: Annotated[str, Field(max_length=_MAX_TEXT_CHARS)] = ""
    handoff: Annotated[str | None, Field(max_length=_MAX_HANDOFF_CHARS)] = None
    after_tokens: _Tokens | None = None


class BackupAsked(_Asked):
    """`path` is a plain file name inside DATA_DIR/backups; a name with the time is made without one."""

    path: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = None


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


class HealthBody(_Shape):
    """`components` are all but the agents' monitors, of which `agents` counts the statuses."""

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


# reading ----------------------------------------------------------------------------------------


def parse_json(model: type[Asked], body: bytes) -> Asked:
    """The request body, or Refused: 400 for what is no JSON, 422 with the field that is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as invalid:
        raise _refusal(invalid) from None


def parse_query(model: type[Asked], query: Mapping[str, str]) -> Asked:
    """The query parameters, or Refused (422) with the one that is wrong."""
    try:
        return model.model_validate(query)
    except ValidationError as invalid:
        raise _refusal(invalid) from None


def _refusal(invalid: ValidationError) -> Refused:
    first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Refused(400, "malformed_json", "the body is not valid JSON")
    field = ".".join(map(str, first["loc"])) or "body"
    return Refused(422, "invalid_request", f"{field}: {first['msg']}", field=field)


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
