"""The gate: dispatches once per fingerprint, in queue order, never into a taken slot."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.dispatch import Decision, Gate
from coordinator.rules.events import (
    AgentObserved,
    Event,
    IssueAssessed,
    IssueDeleted,
    IssueDispatched,
    RunParked,
    WithdrawalRequested,
)
from coordinator.rules.fleet import Fleet
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId
from coordinator.rules.orders import CancelRun, StartRun
from tests.rules.builders import (
    POOL,
    agent,
    at,
    blocked,
    ended,
    fleet,
    observed,
    parsed,
    ref,
    unblocked,
    up,
)


def gate_with(*events: Event, of: Fleet | None = None) -> tuple[Gate, list[Decision]]:
    gate = Gate(of or fleet())
    for event in (up("sonnet-1"), *events):
        gate.fold(event)
    return gate, gate.decide()


def dispatched(decisions: list[Decision]) -> list[IssueDispatched]:
    return [e for d in decisions for e in d.events if isinstance(e, IssueDispatched)]


def reasons(decisions: list[Decision]) -> dict[int, str]:
    return {e.ref.number: e.reason for d in decisions for e in d.events if isinstance(e, IssueAssessed)}


READY = (observed(1), parsed(1), unblocked(1))


def test_a_ready_issue_is_dispatched_with_its_start_order() -> None:
    """A parsed, unblocked issue of ours goes to the fitting agent, and a StartRun order is opened."""
    _, decisions = gate_with(*READY)
    [event] = dispatched(decisions)
    assert event.run.generation == 1
    assert event.agent == "sonnet-1"
    [order] = decisions[0].orders
    assert isinstance(order, StartRun)
    assert order.run == event.run
    assert reasons(decisions) == {1: "dispatched"}


def test_nothing_new_dispatches_nothing() -> None:
    """Folding the same facts again, in any number, never dispatches a second time."""
    gate, _ = gate_with(*READY)
    for event in READY * 3:
        gate.fold(event)
    assert gate.decide() == []


def test_two_issues_never_share_one_slot() -> None:
    """Of two ready issues the more urgent takes the slot and the other says why it waits."""
    low, high = observed(1, labels=("priority/4",)), observed(2, labels=("priority/1",))
    _, decisions = gate_with(low, high, parsed(1), parsed(2), unblocked(1), unblocked(2))
    assert [event.run.issue.number for event in dispatched(decisions)] == [2]
    assert reasons(decisions) == {2: "dispatched", 1: "no_free_slot"}


def test_age_breaks_a_tie_of_priority() -> None:
    """Among equals the older issue goes first."""
    events = [e for n in (2, 1) for e in (observed(n), parsed(n), unblocked(n))]
    _, decisions = gate_with(*events)
    assert [event.run.issue.number for event in dispatched(decisions)] == [1]


def test_a_freed_slot_goes_to_the_queue() -> None:
    """The end of a run dispatches the next in the queue and explains the finished one."""
    gate, _ = gate_with(*READY, observed(2), parsed(2), unblocked(2))
    gate.fold(ended(1, 1, "sonnet-1"))
    decisions = gate.decide()
    assert [event.run.issue.number for event in dispatched(decisions)] == [2]
    assert reasons(decisions)[1] == "completed"


def test_the_queue_is_not_walked_behind_one_of_its_kind_that_waits() -> None:
    """With no slot free, a second queued issue of the same kind is not even looked at."""
    gate, _ = gate_with(*READY, *(e for n in (2, 3) for e in (observed(n), parsed(n), unblocked(n))))
    asked: list[int] = []
    gate.fold(up("sonnet-1", usable_tokens=190_000))

    def admit(issue: object) -> bool:
        asked.append(getattr(issue, "number"))  # noqa: B009
        return True

    assert gate.decide(admit) == []
    assert asked == [2]
    gate.fold(up("sonnet-1", usable_tokens=190_000, status="working"))
    assert gate.decide(admit) == []
    assert asked == [2]


def test_a_freed_slot_is_offered_to_those_who_may_have_it() -> None:
    """The end of a run looks at waiting issues only while somebody they ask for has room."""
    both = fleet(agent("sonnet-1"), agent("zed", login="zed"))
    named = Login("zed")
    gate, _ = gate_with(
        up("zed"),
        *READY,
        *(e for n in (2, 3, 4) for e in (parsed(n, estimated_context_tokens=n), unblocked(n))),
        observed(2, assignees=(named,)),
        observed(3, assignees=(named,)),
        observed(4),
        of=both,
    )
    asked: list[int] = []

    def admit(issue: IssueRef) -> bool:
        asked.append(issue.number)
        return True

    gate.fold(ended(1, 1, "sonnet-1"))
    assert [each.run.issue.number for each in dispatched(gate.decide(admit))] == [4]
    assert asked == [1, 4]


def test_closed_issues_that_never_concerned_us_are_not_told_of() -> None:
    """A close of somebody else's issue is no line in our timeline, before or after its opening."""
    _, decisions = gate_with(observed(1, state="closed", assignees=()), IssueDeleted(ref(2)))
    assert decisions == []


def test_a_withdrawal_outlives_whatever_the_monitor_says_meanwhile() -> None:
    """A run that is parked while its withdrawal is on the way is not withdrawn a second time."""
    gate, _ = gate_with(*READY)
    gate.fold(observed(1, state="closed", updated=5))
    [decision] = gate.decide()
    run = RunId(ref(1), 1)
    gate.fold(RunParked(run, AgentName("sonnet-1"), "all sessions are used up"))
    assert len(decision.orders) == 1
    assert gate.decide() == []


def test_an_issue_refused_by_the_caller_is_passed_over() -> None:
    """`admit` answering False leaves the issue undecided."""
    gate = Gate(fleet())
    for event in (up("sonnet-1"), *READY):
        gate.fold(event)
    assert gate.decide(lambda issue: False) == []


def test_closing_a_running_issue_withdraws_its_run_once() -> None:
    """A close while an agent works opens one CancelRun, however often it is told."""
    gate, _ = gate_with(*READY)
    gate.fold(observed(1, state="closed", updated=5, closed_at=at(5)))
    [decision] = gate.decide()
    assert isinstance(decision.events[0], WithdrawalRequested)
    assert isinstance(decision.orders[0], CancelRun)
    gate.fold(observed(1, state="closed", updated=6, closed_at=at(5)))
    assert gate.decide() == []


def test_a_deleted_running_issue_is_withdrawn_then_closed() -> None:
    """Deletion withdraws the run; after its end the issue is closed as deleted."""
    gate, _ = gate_with(*READY)
    gate.fold(IssueDeleted(ref(1)))
    assert reasons(gate.decide()) == {1: "withdrawing"}
    gate.fold(ended(1, 1, "sonnet-1", "withdrawn"))
    assert reasons(gate.decide()) == {1: "deleted"}


def test_reassignment_moves_the_run_to_the_named_agent() -> None:
    """Assigning another agent's login withdraws the run, and its end dispatches the next generation."""
    both = fleet(agent("sonnet-1"), agent("opus-1", model="claude-opus-5-5"))
    gate, _ = gate_with(up("opus-1"), *READY, of=both)
    gate.fold(observed(1, updated=5, assignees=(Login("bot-opus-1"),)))
    assert reasons(gate.decide()) == {1: "withdrawing"}
    gate.fold(ended(1, 1, "sonnet-1", "withdrawn"))
    [event] = dispatched(gate.decide())
    assert (event.agent, event.run.generation) == ("opus-1", 2)


def test_assigning_again_after_an_unassignment_is_a_new_wish() -> None:
    """Taken away and given back, the same text is dispatched again; told twice, not a third time."""
    gate, _ = gate_with(*READY)
    gate.fold(observed(1, updated=5, assignees=()))
    gate.decide()
    gate.fold(ended(1, 1, "sonnet-1", "withdrawn"))
    assert reasons(gate.decide()) == {1: "not_ours"}
    gate.fold(observed(1, updated=9))
    [event] = dispatched(gate.decide())
    assert event.run.generation == 2
    gate.fold(ended(1, 2, "sonnet-1", "failed"))
    assert reasons(gate.decide()) == {1: "run_failed"}
    gate.fold(observed(1, updated=9))
    assert dispatched(gate.decide()) == []


def test_a_stale_unassignment_is_no_new_wish() -> None:
    """An old view that arrives late, from before the dispatch, never causes a second one."""
    gate, _ = gate_with(observed(1, updated=5), parsed(1), unblocked(1))
    gate.fold(observed(1, updated=1, assignees=()))
    gate.fold(ended(1, 1, "sonnet-1"))
    assert dispatched(gate.decide()) == []


def test_an_edit_by_our_own_agent_is_no_new_signal() -> None:
    """A body edited by a bot of ours does not feed its own loop, nor does a person's label on top of
    it; a person's edit does."""
    gate, _ = gate_with(*READY)
    gate.fold(observed(1, by="bot-sonnet-1", updated=3, text_key="theirs"))
    gate.fold(parsed(1, text_key="theirs"))
    gate.fold(unblocked(1, text_key="theirs"))
    gate.fold(ended(1, 1, "sonnet-1"))
    assert dispatched(gate.decide()) == []
    gate.fold(observed(1, by="maria", updated=4, text_key="theirs", labels=("seen",)))
    assert dispatched(gate.decide()) == []
    gate.fold(observed(1, by="maria", updated=5, text_key="hers"))
    gate.fold(parsed(1, text_key="hers"))
    gate.fold(unblocked(1, text_key="hers"))
    assert len(dispatched(gate.decide())) == 1


def test_a_loop_of_new_signals_is_stopped() -> None:
    """After twenty dispatches a person decides, and can: by closing and reopening, for one."""
    gate, _ = gate_with(*READY)
    for n in range(1, 20):
        gate.fold(ended(1, n, "sonnet-1"))
        gate.fold(observed(1, updated=10 * n, text_key=f"v{n}"))
        gate.fold(parsed(1, text_key=f"v{n}"))
        gate.fold(unblocked(1, text_key=f"v{n}"))
        assert len(dispatched(gate.decide())) == 1
    gate.fold(ended(1, 20, "sonnet-1"))
    gate.fold(observed(1, updated=999, text_key="last"))
    gate.fold(parsed(1, text_key="last"))
    gate.fold(unblocked(1, text_key="last"))
    assert reasons(gate.decide()) == {1: "too_many_dispatches"}
    gate.fold(observed(1, updated=1_000, text_key="last", state="closed"))
    gate.decide()
    gate.fold(observed(1, updated=1_001, text_key="last"))
    assert [each.run.generation for each in dispatched(gate.decide())] == [21]
    gate.fold(ended(1, 21, "sonnet-1"))
    assert reasons(gate.decide()) == {1: "completed"}


def test_orphaned_runs_end_and_are_given_to_another_on_a_new_wish() -> None:
    """A run whose agent is configured no more is ended once, with the reason."""
    _, decisions = gate_with(*READY)
    later = Gate(fleet(agent("opus-1")))
    for event in (*READY, *(e for d in decisions for e in d.events)):
        later.fold(event)
    [decision] = later.orphans("configured no more")
    assert decision.events[0] == later.world.issues[ref(1)].run.ended  # type: ignore[union-attr]
    assert later.orphans("configured no more") == []


def test_a_late_block_is_shown_not_enforced() -> None:
    """An edge added while the agent works changes the words, not the run."""
    gate, _ = gate_with(*READY)
    gate.fold(blocked(1, 7))
    [decision] = gate.decide()
    assert decision.orders == ()
    assert isinstance(decision.events[0], IssueAssessed)
    assert "acme/widgets#7" in decision.events[0].evidence


def test_parked_issues_are_looked_at_again_when_an_agent_changes() -> None:
    """An issue too large for the window is parked until a larger window becomes known."""
    _, _ = gate_with()
    gate, decisions = gate_with(observed(1), parsed(1, estimated_context_tokens=150_000), unblocked(1))
    assert reasons(decisions) == {1: "too_large"}
    gate.fold(AgentObserved(AgentName("sonnet-1"), "idle", 1_000_000, 1_000_000))
    assert len(dispatched(gate.decide())) == 1


def test_recheck_looks_at_everything_ever_assessed() -> None:
    """A new life re-explains under its own fleet."""
    gate, _ = gate_with(*READY)
    gate.world.logins = frozenset({Login("somebody-else")})
    gate.restored()
    assert gate.decide() == []
    gate.recheck()
    assert reasons(gate.decide()) == {1: "withdrawing"}


@given(st.permutations([observed(1), observed(1, updated=3), parsed(1), unblocked(1), observed(2)]))
def test_any_order_dispatches_exactly_once(events: list[Event]) -> None:
    """Whatever order facts arrive in, one by one, the issue is dispatched once."""
    gate = Gate(fleet())
    gate.fold(up("sonnet-1"))
    found = []
    for event in (*events, *events):
        gate.fold(event)
        found += dispatched(gate.decide())
    assert [each.run.issue.number for each in found] == [1]
    assert POOL in fleet().logins


def test_an_absence_told_late_is_a_new_wish_all_the_same() -> None:
    """Whatever order unassigned and assigned-again arrive in, the issue is dispatched once more."""
    away = observed(1, updated=5, assignees=())
    back = observed(1, updated=9)
    for order in ((away, back), (back, away)):
        gate, _ = gate_with(*READY)
        gate.fold(ended(1, 1, "sonnet-1"))
        gate.decide()
        for event in order:
            gate.fold(event)
        assert len(dispatched(gate.decide())) == 1
