"""One log line per event: ids, codes and numbers, never a title, a summary or a handoff."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import structlog

from coordinator.actors.event_line import log_event
from coordinator.edges.journal import Stored
from coordinator.rules.context import ContextUsage
from coordinator.rules.events import (
    EVENT_TYPES,
    AgentObserved,
    AssigneeWritten,
    CommandGiven,
    CommandRefused,
    CommentWritten,
    CompactionEnded,
    CompactionStarted,
    CycleBroken,
    CycleFound,
    Event,
    IssueAssessed,
    IssueDeleted,
    IssueDispatched,
    LabelsWritten,
    RepositoryMoved,
    RotationStarted,
    RunParked,
    RunStarted,
    SessionRotated,
    WithdrawalRequested,
)
from coordinator.rules.ids import AgentName, DeliveryId, Login, RunId
from tests.rules.builders import at, blocked, ended, observed, parsed, ref, unblocked, up

SECRET = "s3cr3t words of the issue"
RUN = RunId(ref(1), 1)
NAME = AgentName("sonnet-1")
USAGE = ContextUsage(1, 2, 3, 4, 100, at(0))

EVENTS: list[Event] = [
    observed(1, title=SECRET),
    parsed(1, summary=SECRET),
    IssueDeleted(ref(1)),
    blocked(1, 2),
    unblocked(1),
    CycleFound((ref(1), ref(2))),
    CycleBroken((ref(1), ref(2))),
    IssueAssessed(ref(1), "parked", "run_failed", SECRET),
    IssueDispatched(RUN, NAME, "p", "", at(0), 1, 0.5, "t"),
    WithdrawalRequested(RUN, NAME, SECRET),
    up("sonnet-1"),
    AgentObserved(NAME, "unknown", detail=SECRET),
    RunStarted(RUN, NAME, 1),
    CompactionStarted(RUN, NAME, 1, USAGE),
    CompactionEnded(RUN, NAME, 1, 9, 2, True, SECRET),
    RotationStarted(RUN, NAME, 1, SECRET, USAGE),
    SessionRotated(RUN, NAME, 1, 2, SECRET),
    RunParked(RUN, NAME, SECRET),
    ended(1, 1, "sonnet-1"),
    replace(observed(1, title=SECRET), source="sweep", missed=("closed",)),
    RepositoryMoved(41, "acme/widgets", "acme/gadgets"),
    CommandGiven(ref(1), 7, Login("maria"), "park", at(0), reason=SECRET),
    CommandRefused(ref(1), 8, Login("maria"), SECRET),
    CommentWritten(ref(1), 9, "digest"),
    LabelsWritten(ref(1), ("coordinator/ready",)),
    AssigneeWritten(ref(1), Login("bot")),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_line_names_the_event_and_holds_no_text(event: Event) -> None:
    """Each kind gives one line with its sequence number and delivery, without words of people."""
    with structlog.testing.capture_logs() as lines:
        stored = Stored(7, datetime(2026, 1, 1, tzinfo=UTC), "router", DeliveryId("d1"), event)
        log_event(structlog.get_logger(), stored)
    [line] = lines
    assert (line["seq"], line["delivery"]) == (7, "d1")
    assert SECRET not in json.dumps(line)
    if not isinstance(event, AgentObserved | CycleFound | CycleBroken | RepositoryMoved):
        assert line["issue"] == "acme/widgets#1"


def test_every_kind_of_event_is_in_the_table() -> None:
    """A new event has to be added above, so that its line is looked at."""
    assert {type(event).__name__ for event in EVENTS} == set(EVENT_TYPES)
