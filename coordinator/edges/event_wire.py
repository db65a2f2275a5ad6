"""Events and orders as the journal keeps them: a kind (the class name) and a JSON object.

Pure. Fields may be added to an event with a default, so a reader takes rows that lack a field it
has and rows that have a field it lacks. A kind it has never heard of was written by a newer program.
"""

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from coordinator.errors import JournalCorrupt, JournalError, JournalTooNew
from coordinator.rules.events import (
    EVENT_TYPES,
    AgentObserved,
    AssigneeWritten,
    CommandGiven,
    CommandRefused,
    CommentWritten,
    CycleBroken,
    CycleFound,
    Event,
    IssueAssessed,
    IssueBlocked,
    IssueDeleted,
    IssueObserved,
    IssueParsed,
    IssueUnblocked,
    LabelsWritten,
    RepositoryMoved,
)
from coordinator.rules.ids import IssueRef
from coordinator.rules.orders import ORDER_TYPES, Order

__all__ = ["decode_event", "decode_order", "encode_event", "encode_order", "issues_of"]

_T = TypeVar("_T")

_EVENTS: dict[str, TypeAdapter[Event]] = {name: TypeAdapter(kind) for name, kind in EVENT_TYPES.items()}
_ORDERS: dict[str, TypeAdapter[Order]] = {name: TypeAdapter(kind) for name, kind in ORDER_TYPES.items()}


def encode_event(event: Event) -> tuple[str, str]:
    """The event as (kind, JSON); what could not be read back is a JournalError."""
    return _encode(_EVENTS, event, "event")


def encode_order(order: Order) -> tuple[str, str]:
    """The order as (kind, JSON); what could not be read back is a JournalError."""
    return _encode(_ORDERS, order, "order")


def decode_event(kind: str, body: str) -> Event:
    """The event written so. JournalTooNew for an unknown kind, JournalCorrupt for an unusable body."""
    return _decode(_EVENTS, kind, body, "event")


def decode_order(kind: str, body: str) -> Order:
    """The order written so. JournalTooNew for an unknown kind, JournalCorrupt for an unusable body."""
    return _decode(_ORDERS, kind, body, "order")


def issues_of(event: Event) -> tuple[IssueRef, ...]:
    """The issues whose timeline the event belongs to: none for an agent's or a
    repository's own, several for a cycle."""
    match event:
        case IssueObserved():
            return (event.facts.ref,)
        case IssueDeleted() | IssueParsed() | IssueBlocked() | IssueUnblocked() | IssueAssessed():
            return (event.ref,)
        case CycleFound() | CycleBroken():
            return tuple(dict.fromkeys(event.issues))
        case CommandGiven() | CommandRefused() | CommentWritten() | LabelsWritten() | AssigneeWritten():
            return (event.ref,)
        case AgentObserved() | RepositoryMoved():
            return ()
        case _:
            return (event.run.issue,)


def _encode(adapters: dict[str, TypeAdapter[_T]], value: _T, noun: str) -> tuple[str, str]:
    kind = type(value).__name__
    adapter = adapters.get(kind)
    if adapter is None:
        raise JournalError(f"{kind} is not a known {noun}")
    try:
        body = adapter.dump_json(value, warnings="error")
        adapter.validate_json(
            body
        )  # a row nobody can read (a NaN, say) would stop every reader for ever
    except ValueError as error:  # the root of pydantic's errors, both ways
        raise JournalError(f"{noun} {kind} cannot be written: {error}") from error
    return kind, body.decode()


def _decode(adapters: dict[str, TypeAdapter[_T]], kind: str, body: str, noun: str) -> _T:
    adapter: TypeAdapter[Any] | None = adapters.get(kind)
    if adapter is None:
        raise JournalTooNew(
            f"{noun} kind {kind[:80]!r} is unknown: a newer version of this program wrote it"
        )
    try:
        decoded: _T = adapter.validate_json(body)
    except ValidationError as error:
        raise JournalCorrupt(
            f"{noun} {kind} cannot be read back: {error.errors(include_url=False, include_input=False)}"
        ) from error
    return decoded
