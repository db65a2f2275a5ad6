"""The API's JSON is written plainly."""

from datetime import UTC, datetime

from coordinator.rules.ids import AgentName, IssueRef, RunId
from coordinator.rules.orders import CancelRun
from coordinator.web.shapes import plain

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
