"""The API's JSON: read strictly, written plainly."""

from datetime import UTC, datetime

import pytest

from coordinator.rules.ids import AgentName, IssueRef, RunId
from coordinator.rules.orders import CancelRun
from coordinator.web.envelope import Refused
from coordinator.web.shapes import AckBody, IssueQuery, parse_json, parse_query, plain

REF = IssueRef("acme/widgets", 1)


def test_orders_are_written_with_names_as_text() -> None:
    """Refs, runs and instants become text, dataclasses objects, sequences lists."""
    order = CancelRun(RunId(REF, 2), AgentName("a"), "closed")
    assert plain(order) == {"run": "acme/widgets#1@2", "agent": "a", "reason": "closed"}
    assert plain({"at": datetime(2026, 1, 1, tzinfo=UTC), "refs": (REF,), "n": frozenset({1})}) == {
        "at": "2026-01-01T00:00:00+00:00",
        "refs": ["acme/widgets#1"],
        "n": [1],
    }
    assert plain([None, True, 1.5, b"x"]) == [None, True, 1.5, "b'x'"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"\xff", 400, None),
        (b"[]", 422, "body"),
        (b'{"status": 1}', 422, "status"),
        (b'{"status": "done", "x": 1}', 422, "x"),
    ],
)
def test_bodies_that_do_not_fit_are_refused(body: bytes, status: int, field: str | None) -> None:
    """No JSON is 400; JSON of another shape is 422 with the field."""
    with pytest.raises(Refused) as caught:
        parse_json(AckBody, body)
    assert (caught.value.status, caught.value.field) == (status, field)


def test_a_body_that_fits_is_read() -> None:
    """Fields left out have their defaults."""
    assert parse_json(AckBody, b'{"status": "done"}') == AckBody(status="done")


def test_queries_are_read_from_text() -> None:
    """Numbers and switches are text in a query; unknown parameters are passed over."""
    query = parse_query(IssueQuery, {"limit": "7", "every": "true", "unknown": "x"})
    assert (query.limit, query.every, query.after) == (7, True, None)
    with pytest.raises(Refused, match="limit"):
        parse_query(IssueQuery, {"limit": "many"})
