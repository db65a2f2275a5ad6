"""Events and orders survive the way to JSON and back, also between versions of the program."""

import json
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.edges.event_wire import (
    decode_event,
    decode_order,
    encode_event,
    encode_order,
    issues_of,
)
from coordinator.errors import JournalCorrupt, JournalError, JournalTooNew
from coordinator.rules.events import (
    EVENT_TYPES,
    AgentObserved,
    CycleBroken,
    CycleFound,
    Event,
    IssueAssessed,
    IssueDeleted,
    IssueDispatched,
    IssueObserved,
    IssueParsed,
    Metadata,
    RepositoryMoved,
    RunStarted,
)
from coordinator.rules.ids import AgentName, IssueRef, RunId
from coordinator.rules.orders import ORDER_TYPES, Order
from tests.rules.builders import at, observed, ref

_events = st.one_of([st.from_type(kind) for kind in get_args(Event)])
_orders = st.one_of([st.from_type(kind) for kind in get_args(Order)])


@given(_events)
def test_every_event_comes_back_equal(event: Event) -> None:
    """What is read is what was written, for every kind of event and any field values JSON can say."""
    if any(word in repr(event) for word in ("=nan", "=inf", "=-inf")):
        with pytest.raises(JournalError, match="cannot be written"):
            encode_event(event)
        return
    kind, body = encode_event(event)
    assert kind == type(event).__name__
    assert decode_event(kind, body) == event


@given(_orders)
def test_every_order_comes_back_equal(order: Order) -> None:
    """What is read is what was written, for every kind of order and any field values."""
    kind, body = encode_order(order)
    decoded = decode_order(kind, body)
    assert decoded == order
    assert decoded.key == order.key


def test_every_kind_is_covered() -> None:
    """The unions and the tables of kinds name the same types."""
    assert set(EVENT_TYPES.values()) == set(get_args(Event))
    assert set(ORDER_TYPES.values()) == set(get_args(Order))


def test_a_field_this_version_lacks_is_ignored() -> None:
    """A row written by a slightly newer program is read without its unknown field."""
    kind, body = encode_event(IssueDeleted(IssueRef("a/b", 1)))
    newer = json.dumps({**json.loads(body), "because": "unknown"})
    assert decode_event(kind, newer) == IssueDeleted(IssueRef("a/b", 1))


def test_a_missing_field_takes_its_default() -> None:
    """A row written before a field existed is read with the field's default."""
    kind, body = encode_event(AgentObserved(AgentName("x"), "idle", window_tokens=5, detail="now"))
    older: dict[str, Any] = json.loads(body)
    del older["window_tokens"], older["detail"]
    assert decode_event(kind, json.dumps(older)) == AgentObserved(AgentName("x"), "idle")


def test_a_journal_from_before_the_forge_was_read_stays_readable() -> None:
    """Facts, observations and dispatches written without the newer fields take their defaults."""
    seen = observed(1)
    kind, body = encode_event(seen)
    older = json.loads(body)
    del older["missed"]
    for name in ("repo_name", "native_blockers", "hidden_blockers", "read_at"):
        del older["facts"][name]
    assert decode_event(kind, json.dumps(older)) == seen
    run = IssueDispatched(RunId(ref(1), 1), AgentName("x"), "p", "", at(0), 1, 0.5, "t", wish_id=0)
    kind, body = encode_event(run)
    before = json.loads(body)
    del before["wish_id"]
    assert decode_event(kind, json.dumps(before)) == run


def test_a_kind_of_the_future_is_named() -> None:
    """An unknown kind says which and that a newer version wrote it."""
    with pytest.raises(JournalTooNew, match=r"event kind 'IssueTeleported'.*newer version"):
        decode_event("IssueTeleported", "{}")
    with pytest.raises(JournalTooNew, match="order kind 'Teleport'"):
        decode_order("Teleport", "{}")


@pytest.mark.parametrize("body", ["{}", "not json", '{"ref": {"repo": "a/b", "number": "many"}}'])
def test_an_unusable_body_is_corruption(body: str) -> None:
    """A body without a needed field, or no JSON at all, is a JournalCorrupt that names the kind."""
    with pytest.raises(JournalCorrupt, match="IssueDeleted"):
        decode_event("IssueDeleted", body)


def test_what_is_no_event_is_not_written() -> None:
    """A value of a foreign type is refused by name before anything is written."""

    @dataclass(frozen=True)
    class Rumour:
        ref: IssueRef

    with pytest.raises(JournalError, match="Rumour is not a known event"):
        encode_event(Rumour(IssueRef("a/b", 1)))  # type: ignore[arg-type]


def test_text_that_is_no_unicode_is_not_written() -> None:
    """A lone surrogate in an event is a clear refusal, not a row nobody can read."""
    with pytest.raises(JournalError, match="IssueAssessed cannot be written"):
        encode_event(IssueAssessed(IssueRef("a/b", 1), "ready", "fits", "\ud83d"))


def test_a_number_json_cannot_say_is_not_written() -> None:
    """NaN would come back as null and stop every reader of the journal for ever."""
    metadata = Metadata(1, "easy", None, (), (), "", float("nan"))
    with pytest.raises(JournalError, match="IssueParsed cannot be written"):
        encode_event(IssueParsed(IssueRef("a/b", 1), "k", metadata, "rules"))


def test_a_field_of_a_wrong_type_is_not_written() -> None:
    """A value that would not be read back is refused when it is written."""
    with pytest.raises(JournalError, match="IssueDeleted cannot be written"):
        encode_event(IssueDeleted("a/b#1"))  # type: ignore[arg-type]


def test_an_event_is_about_its_issues() -> None:
    """Each event is filed under its issue, a cycle under each member once, an agent's under none."""
    one, two = IssueRef("a/b", 1), IssueRef("a/b", 2)
    assert issues_of(IssueDeleted(one)) == (one,)
    assert issues_of(RunStarted(RunId(two, 3), AgentName("x"), 1)) == (two,)
    assert issues_of(CycleFound((one, two, one))) == (one, two)
    assert issues_of(CycleBroken((two,))) == (two,)
    assert issues_of(AgentObserved(AgentName("x"), "idle")) == ()


@given(_events)
def test_every_event_can_be_filed(event: Event) -> None:
    """No kind of event is forgotten: only an agent's own is about no issue."""
    issues = issues_of(event)
    match event:
        case AgentObserved() | RepositoryMoved():
            assert issues == ()
        case IssueObserved():
            assert issues == (event.facts.ref,)
        case CycleFound() | CycleBroken():
            assert set(issues) == set(event.issues)
        case _:
            assert len(issues) == 1
