"""What clients send, bodies and queries, as pydantic models: read strictly, published as OpenAPI."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from coordinator.web.envelope import Refused

__all__ = [
    "AckBody",
    "Asked",
    "BackupAsked",
    "HistoryQuery",
    "IssueQuery",
    "LettersQuery",
    "PollQuery",
    "RefreshAsked",
    "StateQuery",
    "UsageReport",
    "parse_json",
    "parse_query",
]

# No model has a window of a billion tokens; larger numbers are somebody's mistake.
_Tokens = Annotated[int, Field(ge=0, le=1_000_000_000)]
_MAX_TEXT_CHARS = 2_000
# A handoff is written by a model with some thousand tokens of output.
_MAX_HANDOFF_CHARS = 100_000

Asked = TypeVar("Asked", bound=BaseModel)


class _Asked(BaseModel):
    """What a client sends: unknown fields are its mistake, numbers are not guessed from text."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Query(BaseModel):
    """Query parameters: text by nature, so numbers are read from it."""

    model_config = ConfigDict(extra="ignore")


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


class RefreshAsked(_Asked):
    """`repository` is its full name, now or before; without one every watched repository is meant."""

    repository: Annotated[str | None, Field(pattern=r"^[^/\s#]+/[^/\s#]+$", max_length=300)] = None


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
