"""What people tell us moves issues through the gate; what we write ourselves does not."""

from typing import Any

import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from coordinator.rules.assess import MAX_DISPATCHES, asks_again, assess
from coordinator.rules.dispatch import Decision, Gate
from coordinator.rules.events import (
    AssigneeWritten,
    CommandRefused,
    CommentWritten,
    Event,
    IssueAssessed,
    IssueDispatched,
    LabelsWritten,
    RunEnded,
    RunParked,
    RunStarted,
    Verb,
    WithdrawalRequested,
)
from coordinator.rules.fleet import Fleet
from coordinator.rules.ids import AgentName, Login, RunId
from tests.rules.builders import (
    POOL,
    agent,
    blocked,
    ended,
    fleet,
    given,
    observed,
    parsed,
    ref,
    unblocked,
    up,
)

SONNET, OPUS = AgentName("sonnet-1"), AgentName("opus-1")
READY = (observed(1), parsed(1), unblocked(1))
BOTH = fleet(agent("sonnet-1"), agent("opus-1", model="claude-opus-5"))


class Table:
    """A gate, and everything it decided so far."""

    def __init__(self, *events: Event, of: Fleet | None = None) -> None:
        self.gate = Gate(of or fleet())
        self.decisions: list[Decision] = []
        self.tell(up("sonnet-1"), *events)

    def tell(self, *events: Event) -> list[Event]:
        """Fold the events one by one; everything that was decided because of them."""
        decided: list[Event] = []
        for event in events:
            self.gate.fold(event)
            decisions = self.gate.decide()
            self.decisions += decisions
            decided += [each for decision in decisions for each in decision.events]
        return decided

    @property
    def runs(self) -> list[IssueDispatched]:
        told = [event for decision in self.decisions for event in decision.events]
        return [event for event in told if isinstance(event, IssueDispatched)]

    @property
    def stands(self) -> tuple[str, str]:
        found = assess(ref(1), self.gate.world)
        return found.state, found.reason


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


def done(outcome: Any = "completed", generation: int = 1, name: str = "sonnet-1") -> RunEnded:
    return ended(1, generation, name, outcome)


# retry ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["completed", "failed", "parked", "withdrawn"])
def test_a_retry_is_a_fresh_wish(outcome: str) -> None:
    """Nothing else has changed, and yet another run starts, once for each retry."""
    table = Table(*READY, done(outcome))
    assert len(table.runs) == 1
    table.tell(given(1, 7, "retry"), given(1, 7, "retry"))
    assert [run.run.generation for run in table.runs] == [1, 2]
    assert len({run.fingerprint for run in table.runs}) == 2
    table.tell(done(outcome, 2), given(1, 7, "retry"), given(1, 5, "retry"))
    assert len(table.runs) == 2
    table.tell(given(1, 8, "retry"))
    assert len(table.runs) == 3


def test_a_retry_ends_a_run_that_waits_for_a_person() -> None:
    """A parked run is withdrawn, and when it has ended the issue is dispatched anew."""
    table = Table(*READY, RunParked(RunId(ref(1), 1), SONNET, "asks"))
    decided = table.tell(given(1, 7, "retry"))
    assert kinds(decided) == [WithdrawalRequested, IssueAssessed]
    assert isinstance(decided[0], WithdrawalRequested)
    assert decided[0].reason == "maria asked for another try"
    table.tell(done("withdrawn"))
    assert len(table.runs) == 2
    table.tell(RunParked(RunId(ref(1), 2), SONNET, "asks again"))
    assert table.stands == ("parked", "run_parked")


def test_a_retry_of_a_run_at_work_leaves_it_to_its_work() -> None:
    """The run goes on; the person's wish counts when it has ended."""
    table = Table(*READY, RunStarted(RunId(ref(1), 1), SONNET, 1))
    assert table.tell(given(1, 7, "retry")) == []
    table.tell(done())
    assert len(table.runs) == 2


def test_a_retry_given_before_the_first_run_is_used_up_by_it() -> None:
    """Asking for what happens anyway does not make it happen twice."""
    table = Table(observed(1), given(1, 7, "retry"), parsed(1), unblocked(1), done("failed"))
    assert len(table.runs) == 1
    assert not asks_again(table.gate.world.issues[ref(1)])
    assert table.stands == ("parked", "run_failed")


def test_a_person_lifts_the_guard_against_loops() -> None:
    """After too many runs a retry still starts another one, an edit does not."""
    table = Table(*READY)
    for generation in range(1, MAX_DISPATCHES):
        table.tell(done("failed", generation), given(1, generation, "retry"))
    table.tell(done("failed", MAX_DISPATCHES))
    table.tell(unblocked(1, 4))
    assert (len(table.runs), table.stands) == (MAX_DISPATCHES, ("parked", "too_many_dispatches"))
    table.tell(given(1, 99, "retry"))
    assert len(table.runs) == MAX_DISPATCHES + 1


# park and resume --------------------------------------------------------------------------------


def test_parking_holds_an_issue_back_until_it_is_resumed() -> None:
    """With the person's reason as the evidence; once resumed it goes on."""
    table = Table(observed(1), given(1, 5, "park", reason="after the release"), parsed(1), unblocked(1))
    found = assess(ref(1), table.gate.world)
    assert (found.state, found.reason) == ("parked", "parked_by_person")
    assert found.evidence == "parked by maria: after the release"
    assert table.runs == []
    table.tell(given(1, 6, "resume"))
    assert len(table.runs) == 1


def test_parking_stops_a_run_and_resuming_starts_another() -> None:
    """The run is withdrawn; after resuming, the same work is a new wish, once."""
    table = Table(*READY)
    decided = table.tell(given(1, 5, "park"))
    assert isinstance(decided[0], WithdrawalRequested)
    assert decided[0].reason == "parked by maria"
    table.tell(done("withdrawn"))
    assert table.stands == ("parked", "parked_by_person")
    table.tell(given(1, 6, "resume"))
    assert len(table.runs) == 2
    table.tell(done("failed", 2), given(1, 6, "resume"))
    assert len(table.runs) == 2


def test_resuming_what_was_finished_starts_nothing() -> None:
    """Parked after its run was completed and resumed, it is as done as before."""
    table = Table(*READY, done(), given(1, 5, "park"), given(1, 6, "resume"))
    assert (len(table.runs), table.stands) == (1, ("done", "completed"))


# assign -----------------------------------------------------------------------------------------


def test_the_pinned_agent_gets_the_issue() -> None:
    """Not the cheaper one that fits as well."""
    table = Table(up("opus-1"), given(1, 5, "assign", agent=OPUS), *READY, of=BOTH)
    assert [run.agent for run in table.runs] == [OPUS]
    table.tell(done("failed", name="opus-1"))
    assert len(table.runs) == 1


def test_giving_it_to_another_agent_moves_it_there() -> None:
    """The run of the one is withdrawn, and the other starts anew."""
    table = Table(up("opus-1"), *READY, of=BOTH)
    decided = table.tell(given(1, 5, "assign", agent=OPUS))
    assert isinstance(decided[0], WithdrawalRequested)
    assert decided[0].reason == "maria gave it to opus-1"
    table.tell(done("withdrawn"))
    assert [run.agent for run in table.runs] == [SONNET, OPUS]
    table.tell(observed(1, updated=5, assignees=(Login("bot-sonnet-1"),)))
    assert len(table.runs) == 2, "the person's word stands above the assignee"
    table.tell(
        RunParked(RunId(ref(1), 2), OPUS, "asks"), given(1, 6, "retry"), done("withdrawn", 2, OPUS)
    )
    assert [run.agent for run in table.runs] == [SONNET, OPUS, OPUS]


def test_giving_it_to_the_agent_that_has_it_changes_nothing() -> None:
    """Neither while it works nor when it has finished; but after a failure it is a new wish."""
    table = Table(*READY, given(1, 5, "assign", agent=SONNET), done())
    assert (len(table.runs), table.stands) == (1, ("done", "completed"))
    other = Table(*READY, done("failed"), given(1, 5, "assign", agent=SONNET))
    assert len(other.runs) == 2


def test_a_pinned_agent_without_room_is_waited_for() -> None:
    """When its slot falls free the issue is next; other agents' slots do not matter."""
    second = (observed(2), parsed(2), unblocked(2))
    table = Table(up("opus-1"), given(2, 4, "assign", agent=OPUS), *second, of=BOTH)
    table.tell(given(1, 5, "assign", agent=OPUS), *READY)
    assert table.stands == ("ready", "no_free_slot")
    table.tell(ended(2, 1, "opus-1"))
    assert [run.agent for run in table.runs] == [OPUS, OPUS]


def test_an_agent_pinned_and_configured_no_more_parks_the_issue() -> None:
    """Also when slots of others fall free meanwhile."""
    table = Table(given(1, 5, "assign", agent=OPUS), *READY)
    assert table.stands == ("parked", "pinned_agent_gone")
    waiting = Table(
        up("opus-1", usable_tokens=1_000), given(1, 5, "assign", agent=OPUS), *READY, of=BOTH
    )
    assert waiting.stands == ("parked", "pinned_agent_too_large")
    waiting.tell(up("opus-1"))
    assert [run.agent for run in waiting.runs] == [OPUS]


# estimate, explain, and what changes nothing ----------------------------------------------------


def test_an_estimate_overrides_what_was_read() -> None:
    """Too large for every agent it is parked, made smaller it is dispatched with that estimate."""
    table = Table(given(1, 5, "estimate", tokens=500_000), *READY)
    assert table.stands == ("parked", "too_large")
    table.tell(given(1, 6, "estimate", tokens=50_000, difficulty="easy"))
    assert [run.estimated_context_tokens for run in table.runs] == [50_000]


def test_what_changes_nothing_decides_nothing() -> None:
    """Explaining, refusing, and our own writing are no reasons for anything."""
    table = Table(*READY, done("failed"))
    events: list[Event] = [
        given(1, 5, "explain"),
        CommandRefused(ref(1), 6, Login("maria"), "no"),
        CommentWritten(ref(1), 7, "m"),
        LabelsWritten(ref(1), ("coordinator/running",)),
    ]
    assert table.tell(*events) == []


def test_hidden_blockers_are_a_reason_to_wait() -> None:
    """Of what we may not see only the number can be told, and while running it is only shown."""
    hidden = blocked(1, open_blockers=(), hidden_blockers=2)
    table = Table(observed(1), parsed(1), hidden)
    assert table.stands == ("blocked", "hidden_blocker")
    assert assess(ref(1), table.gate.world).evidence.startswith("waits for 2 that we may not see")
    running = Table(*READY, hidden)
    assert "by an issue we may not see" in assess(ref(1), running.gate.world).evidence


# our own assignments ----------------------------------------------------------------------------


def test_our_own_assignment_is_no_signal() -> None:
    """The chosen agent's login beside the pool's starts no second run, whichever is told first."""
    bot = Login("bot-sonnet-1")
    both = observed(1, updated=5, assignees=(bot, POOL))
    table = Table(*READY, AssigneeWritten(ref(1), bot), both, done("failed"))
    assert (len(table.runs), table.stands) == (1, ("parked", "run_failed"))
    other = Table(*READY, both, AssigneeWritten(ref(1), bot), done("failed"))
    assert (len(other.runs), other.stands) == (1, ("parked", "run_failed"))


def test_taking_the_pool_away_takes_the_issue_away() -> None:
    """Only our own assignment is left: nobody asks for it any more, and giving it back is a wish."""
    bot = Login("bot-sonnet-1")
    table = Table(*READY, AssigneeWritten(ref(1), bot))
    decided = table.tell(observed(1, updated=5, assignees=(bot,)))
    assert kinds(decided) == [WithdrawalRequested, IssueAssessed]
    table.tell(done("withdrawn"), observed(1, updated=9, assignees=(bot, POOL)))
    assert len(table.runs) == 2


def test_an_absence_seen_before_our_own_assignment_was_told_counts() -> None:
    """The forge showed our login alone before we knew that we had put it there."""
    bot = Login("bot-sonnet-1")
    table = Table(*READY, observed(1, updated=5, assignees=(bot,)))
    decided = table.tell(AssigneeWritten(ref(1), bot))
    assert kinds(decided) == [WithdrawalRequested, IssueAssessed]
    table.tell(done("withdrawn"), observed(1, updated=9, assignees=(bot, POOL)))
    assert len(table.runs) == 2


def test_a_login_taken_off_and_put_back_is_somebodys_wish() -> None:
    """Once our assignment was undone, the same login means what it always means."""
    bot = Login("bot-sonnet-1")
    record = Table(
        *READY,
        AssigneeWritten(ref(1), bot),
        observed(1, updated=3),
        observed(1, updated=5, assignees=(bot, POOL)),
        observed(1, updated=4, title="older"),
        observed(1, updated=7),
        observed(1, updated=9, assignees=(bot,)),
    ).gate.world.issues[ref(1)]
    assert record.ours(frozenset({POOL, bot})) == (bot,)


def test_an_issue_never_seen_can_be_written_to() -> None:
    """An assignment told before any facts waits for them."""
    bot = Login("bot-sonnet-1")
    table = Table(AssigneeWritten(ref(1), bot), observed(1, assignees=(bot,)))
    assert table.stands == ("ignored", "not_ours")


# the law ----------------------------------------------------------------------------------------

verbs: st.SearchStrategy[Verb] = st.sampled_from(
    ["retry", "assign", "park", "resume", "explain", "estimate"]
)


@over(st.lists(st.one_of(verbs, st.sampled_from(["failed", "completed", "parked"])), max_size=15))
def test_no_fingerprint_is_dispatched_twice(story: list[str]) -> None:
    """Whatever people say in whatever order, and however runs end, each run has its own reason."""
    table = Table(up("opus-1"), *READY, of=BOTH)
    arguments: dict[str, dict[str, Any]] = {"assign": {"agent": OPUS}, "estimate": {"tokens": 9_000}}
    for number, word in enumerate(story, start=1):
        run = table.gate.world.issues[ref(1)].run
        assert run is not None
        if word in ("failed", "completed", "parked"):
            if run.is_open:
                over_with = "withdrawn" if run.phase == "withdrawing" else word
                table.tell(done(over_with, run.dispatched.run.generation, run.dispatched.agent))
        else:
            verb: Any = word
            table.tell(given(1, number, verb, **arguments.get(word, {})))
    prints = [run.fingerprint for run in table.runs]
    assert len(prints) == len(set(prints))
    asked = sum(word in ("retry", "assign", "resume") for word in story)
    assert len(prints) <= 1 + asked
