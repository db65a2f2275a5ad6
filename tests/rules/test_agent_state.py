"""An agent's state: whether it can be reached, how large it is, and what survives a restart."""

from coordinator.rules.agent_state import AgentState, view_of
from coordinator.rules.context import ContextPolicy, ContextUsage
from coordinator.rules.ids import AgentName, DeliveryId, RunId
from coordinator.rules.orders import StartRun
from coordinator.rules.run_state import begin
from tests.rules.builders import agent, at, ref

RUN = RunId(ref(1), 1)


def usage(window_tokens: int | None = None) -> ContextUsage:
    return ContextUsage(1_000, 0, 0, 10, window_tokens, at(0))


def state(**policy: int) -> AgentState:
    return AgentState(agent("sonnet-1", context=ContextPolicy(**policy)))


def working() -> AgentState:
    made = state(window_tokens=200_000)
    start = StartRun(RUN, AgentName("sonnet-1"), "T", "u", "s", 20_000)
    made.runs[RUN] = begin(start, at(0))
    made.causes[RUN] = DeliveryId("d1")
    return made


def test_an_agent_is_starting_until_it_was_looked_at() -> None:
    """Before the first look nothing is claimed; then idle, working or unknown."""
    assert state().status == "starting"
    fresh = state()
    fresh.reached()
    assert fresh.status == "idle"
    busy = working()
    busy.reached()
    assert busy.status == "working"


def test_three_failures_in_a_row_make_an_agent_unknown_not_dead() -> None:
    """Two failures change nothing, the third does, and one success ends it."""
    seen = state()
    for _ in range(2):
        seen.failed("no answer")
    assert (seen.status, seen.detail) == ("idle", "no answer")
    seen.failed("no answer")
    assert seen.status == "unknown"
    seen.reached()
    assert (seen.status, seen.poll_failures, seen.detail) == ("idle", 0, "")


def test_the_operators_window_stands_above_what_is_heard() -> None:
    """A configured window is never overwritten; otherwise the newest word counts, None is no word."""
    told, free = state(window_tokens=100_000), state()
    for each in (told, free):
        each.heard(at(1), 200_000)
        each.heard_window(None)
    assert (told.window_tokens, free.window_tokens) == (100_000, 200_000)
    assert free.last_report_at == at(1)


def test_a_reading_gets_the_window_it_lacks() -> None:
    """The reading's own window counts unless the operator set one."""
    told, free = state(window_tokens=100_000), state()
    assert free.sized(usage()) == usage()
    assert free.sized(usage(5)).window_tokens == 5
    assert told.sized(usage(5)).window_tokens == 100_000
    free.heard_window(7)
    assert free.sized(usage()).window_tokens == 7


def test_only_news_for_a_dispatcher_is_told() -> None:
    """Idle to working is no news; a new window, or unknown, is, once it has been written."""
    made = working()
    made.reached()
    first = made.observed()
    assert first is not None
    assert made.observed() == first
    made.settle()
    made.settle()
    assert made.observed() is None
    made.runs.clear()
    assert made.observed() is None
    for _ in range(3):
        made.failed("gone")
    unknown = made.observed()
    assert unknown is not None
    assert (unknown.status, unknown.detail) == ("unknown", "gone")


def test_runs_and_their_causes_survive_a_restart() -> None:
    """What was dumped is loaded equal."""
    before, after = working(), state()
    after.load(before.dump())
    assert (after.runs, after.causes, after.window_tokens) == (before.runs, before.causes, 200_000)


def test_the_view_shows_limits_and_runs() -> None:
    """The faces see thresholds in tokens and each run's fill, unknown as None."""
    view = view_of(working(), 2)
    assert (view.compact_at_tokens, view.rotate_at_tokens, view.open_orders) == (160_000, 190_000, 2)
    assert [(run.run, run.fill, run.phase) for run in view.runs] == [(RUN, None, "starting")]


def test_runs_that_nobody_ordered_any_more_are_forgotten() -> None:
    """What was ended elsewhere while the agent was not configured leaves no trace of its run."""
    made = working()
    made.keep({RUN})
    assert (set(made.runs), made.causes) == ({RUN}, {RUN: "d1"})
    made.keep(set())
    assert (made.runs, made.causes) == ({}, {})
