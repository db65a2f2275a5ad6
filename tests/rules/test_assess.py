"""`assess` names where each issue stands, in one table of worlds and reasons."""

import pytest

from coordinator.rules.assess import assess, candidates, priority
from coordinator.rules.events import (
    Event,
    IssueDeleted,
    IssueDispatched,
    RunParked,
    RunStarted,
    WithdrawalRequested,
)
from coordinator.rules.fleet import Fleet
from coordinator.rules.ids import AgentName, Login, RunId
from coordinator.rules.world import World
from tests.rules.builders import (
    POOL,
    agent,
    at,
    blocked,
    ended,
    facts,
    fleet,
    observed,
    parsed,
    ref,
    unblocked,
    up,
)

BASE = (up("sonnet-1"), observed(1), parsed(1), unblocked(1))
RUN = RunId(ref(1), 1)
NAME = AgentName("sonnet-1")
DISPATCH = IssueDispatched(RUN, NAME, "print", "", at(0), 20_000, 0.1, "text-1")


def world_of(*events: Event, of: Fleet | None = None) -> World:
    world = World(of or fleet())
    for event in events:
        world.apply(event)
    return world


@pytest.mark.parametrize(
    ("events", "state", "reason"),
    [
        ((), "ignored", "unknown"),
        ((parsed(1),), "ignored", "unknown"),
        ((IssueDeleted(ref(1)),), "closed", "deleted"),
        ((observed(1, state="closed", closed_at=at(0)),), "closed", "closed"),
        ((observed(1, assignees=()),), "ignored", "not_ours"),
        ((observed(1),), "waiting", "parsing"),
        ((observed(1), parsed(1)), "waiting", "judging"),
        ((observed(1), parsed(1), unblocked(1, text_key="older")), "waiting", "judging"),
        ((observed(1), parsed(1), blocked(1, 2, parsed=False)), "waiting", "judging"),
        ((observed(1), parsed(1), blocked(1, 2)), "blocked", "open_blocker"),
        (
            (observed(1), parsed(1), blocked(1, unknown_blockers=(ref(3),))),
            "blocked",
            "unknown_blocker",
        ),
        ((observed(1), parsed(1), blocked(1, 2, cycle=(ref(1), ref(2)))), "blocked", "cycle"),
        ((observed(1), parsed(1), unblocked(1)), "ready", "agent_starting"),
        ((*BASE, parsed(1, estimated_context_tokens=150_000)), "parked", "too_large"),
        (BASE, "ready", "ready"),
        ((*BASE, DISPATCH), "running", "dispatched"),
        ((*BASE, DISPATCH, RunStarted(RUN, NAME, 1)), "running", "working"),
        ((*BASE, DISPATCH, blocked(1, 2)), "running", "dispatched"),
        ((*BASE, DISPATCH, RunParked(RUN, NAME, "late")), "parked", "run_parked"),
        ((*BASE, DISPATCH, WithdrawalRequested(RUN, NAME, "closed")), "running", "withdrawing"),
        ((*BASE, DISPATCH, IssueDeleted(ref(1))), "running", "withdrawing"),
        ((*BASE, DISPATCH, observed(1, assignees=(), updated=1)), "running", "withdrawing"),
        ((*BASE, DISPATCH, observed(1, state="closed", updated=1)), "running", "withdrawing"),
        ((*BASE, DISPATCH, ended(1, 1, "sonnet-1")), "ready", "ready"),
    ],
)
def test_where_an_issue_stands(events: tuple[Event, ...], state: str, reason: str) -> None:
    """Each world has one state and one reason code."""
    found = assess(ref(1), world_of(*events))
    assert (found.state, found.reason) == (state, reason)
    assert found.evidence


@pytest.mark.parametrize(
    ("logins", "withdrawn"),
    [(("bot-sonnet-1",), False), (("bot-opus-1",), True), (("bot-opus-1", "coder-bot"), False)],
)
def test_only_a_named_other_agent_takes_a_run_away(logins: tuple[str, ...], withdrawn: bool) -> None:
    """The pool or the agent's own login keep the run; another agent's login alone ends it."""
    named = observed(1, updated=1, assignees=tuple(map(Login, logins)))
    both = fleet(agent("sonnet-1"), agent("opus-1"))
    found = assess(ref(1), world_of(*BASE, DISPATCH, named, of=both))
    assert (found.withdraw is not None) is withdrawn


def test_a_run_of_an_agent_configured_no_more_is_not_withdrawn_by_name() -> None:
    """Without the agent's login there is nothing to compare; the gate ends such runs itself."""
    found = assess(ref(1), world_of(*BASE, DISPATCH, of=fleet(agent("opus-1"))))
    assert found.withdraw is None


def test_an_issue_that_waits_for_itself_is_told_so() -> None:
    """A cycle of one is no way from issue to issue."""
    found = assess(ref(1), world_of(observed(1), parsed(1), blocked(1, 1, cycle=(ref(1),))))
    assert found.evidence == "it waits for itself; remove that dependency"


def test_the_cycle_is_named() -> None:
    """The evidence spells the cycle out, back to its start."""
    found = assess(ref(1), world_of(observed(1), parsed(1), blocked(1, 2, cycle=(ref(1), ref(2)))))
    assert "acme/widgets#1 → acme/widgets#2 → acme/widgets#1" in found.evidence


@pytest.mark.parametrize(
    ("labels", "rank"),
    [((), 3), (("priority/1",), 1), (("priority/4", "priority/2"), 2), (("priority/9", "kind/bug"), 3)],
)
def test_priority_labels(labels: tuple[str, ...], rank: int) -> None:
    """The most urgent priority label counts; without one the third rank."""
    assert priority(facts(1, labels=labels)) == rank


def test_candidates_count_the_slots_taken() -> None:
    """A dispatched run holds a slot until it ends."""
    assert [each.running for each in candidates(world_of(*BASE, DISPATCH))] == [1]
    assert [
        each.running for each in candidates(world_of(*BASE, DISPATCH, ended(1, 1, "sonnet-1")))
    ] == [0]
    assert POOL in fleet().logins
