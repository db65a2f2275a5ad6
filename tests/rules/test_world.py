"""The world is a fold: repeated and late events change nothing."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.assess import assess
from coordinator.rules.context import ContextUsage
from coordinator.rules.events import (
    AgentObserved,
    CompactionEnded,
    CompactionStarted,
    CycleFound,
    Event,
    IssueAssessed,
    IssueDeleted,
    IssueDispatched,
    RotationStarted,
    RunStarted,
    SessionRotated,
    WithdrawalRequested,
)
from coordinator.rules.ids import AgentName, RunId
from coordinator.rules.world import MAX_PARSES, World
from tests.rules.builders import (
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

NAME = AgentName("sonnet-1")
RUN = RunId(ref(1), 1)
DISPATCH = IssueDispatched(RUN, NAME, "print", "", at(0), 20_000, 0.1, "text-1")
USAGE = ContextUsage(1, 2, 3, 4, 100, at(0))


def world_of(*events: Event) -> World:
    world = World(fleet())
    for event in events:
        world.apply(event)
    return world


FACTS: list[Event] = [
    observed(1),
    observed(1, updated=4, assignees=()),
    observed(1, updated=9, text_key="new"),
    observed(2, state="closed", updated=3),
    parsed(1),
    parsed(1, text_key="new", difficulty="easy"),
]


@given(st.permutations(FACTS + FACTS[:3]))
def test_any_order_and_duplication_of_facts_gives_the_same_assessments(events: list[Event]) -> None:
    """Observations and parses fold to one world whatever their order."""
    verdicts = (unblocked(1, text_key="new"), up("sonnet-1"))
    straight, shuffled = world_of(*FACTS, *verdicts), world_of(*events, *verdicts)
    for number in (1, 2):
        assert assess(ref(number), shuffled) == assess(ref(number), straight)
        left, right = shuffled.issue(ref(number)), straight.issue(ref(number))
        assert (left.facts, left.away_at, left.closed_at) == (
            right.facts,
            right.away_at,
            right.closed_at,
        )


def test_progress_of_a_run_is_kept_and_repeats_change_nothing() -> None:
    """Compactions and rotations are absolute counts, so telling them twice is harmless."""
    compacted = CompactionEnded(RUN, NAME, 1, 90_000, None, True, compactions=2)
    rotated = SessionRotated(RUN, NAME, 1, 2, "handoff")
    world = world_of(DISPATCH, RunStarted(RUN, NAME, 1), *(compacted, rotated) * 2)
    run = world.issue(ref(1)).run
    assert run is not None
    assert (run.compactions, run.sessions, run.peak_tokens) == (2, 2, 90_000)
    assert world.agents[DISPATCH.agent].running == {DISPATCH.run}


def test_the_end_of_an_older_generation_changes_nothing() -> None:
    """A late result of a fenced run leaves the newer run as it is."""
    newer = IssueDispatched(RunId(ref(1), 2), NAME, "p2", "", at(1), 20_000, 0.1, "text-1")
    world = world_of(DISPATCH, newer, DISPATCH, ended(1, 1, "sonnet-1"), RunStarted(RUN, NAME, 1))
    world.apply(SessionRotated(RUN, NAME, 1, 9, "late"))
    run = world.issue(ref(1)).run
    assert run is not None
    assert (run.dispatched, run.is_open, run.phase, run.sessions) == (newer, True, "assigned", 1)


def test_a_withdrawn_run_does_not_go_back_to_work() -> None:
    """The acknowledgement of a start that arrives after the withdrawal changes nothing."""
    world = world_of(DISPATCH, WithdrawalRequested(RUN, NAME, "closed"), RunStarted(RUN, NAME, 1))
    run = world.issue(ref(1)).run
    assert run is not None
    assert run.phase == "withdrawing"


def test_parses_are_bounded_but_the_current_one_stays() -> None:
    """However many texts were read, the metadata of the current one is kept."""
    world = world_of(observed(1), *(parsed(1, text_key=f"v{n}") for n in range(9)), parsed(1))
    for n in range(9, 20):
        world.apply(parsed(1, text_key=f"v{n}"))
    record = world.issue(ref(1))
    assert record.parsed is not None
    assert len(record.parses) == MAX_PARSES


def test_a_deleted_issue_is_back_only_when_it_was_read() -> None:
    """A late payload leaves it deleted; a read brings it back as it was read, however old its stamp."""
    world = world_of(observed(1, updated=9), IssueDeleted(ref(1)), observed(1, updated=10))
    assert assess(ref(1), world).reason == "deleted"
    world.apply(observed(1, updated=3, read_at=at(50), text_key="restored"))
    record = world.issue(ref(1))
    assert record.facts is not None
    assert (record.deleted, record.facts.text_key) == (False, "restored")
    assert assess(ref(1), world).reason == "parsing"


def test_events_about_unknown_agents_and_the_rest_touch_nothing() -> None:
    """What the dispatcher does not need changes nothing and names no issue."""
    world = world_of(DISPATCH)
    other = AgentName("nobody")
    stranger = IssueDispatched(RunId(ref(2), 1), other, "p", "", at(0), 1, 0.0, "t")
    for event in (
        AgentObserved(other, "idle"),
        CompactionStarted(RUN, NAME, 1, USAGE),
        RotationStarted(RUN, NAME, 1, "full", USAGE),
        CycleFound((ref(1), ref(2))),
        IssueAssessed(ref(1), "running", "working", "x"),
    ):
        assert world.apply(event) == ()
    assert world.apply(stranger) == (ref(2),)
    assert world.apply(ended(2, 1, "nobody")) == (ref(2),)
    assert world.apply(ended(9, 1, "nobody")) == ()
    assert world.apply(blocked(1, 2)) == (ref(1),)
    assert world.issue(ref(9)).ours(world.logins) == ()
