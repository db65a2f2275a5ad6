"""A batch gathers what one look at an agent leads to into one commit, or none."""

from coordinator.actors.monitor_batch import Batch
from coordinator.edges.journal import StoredOrder
from coordinator.rules.agent_state import AgentState
from coordinator.rules.context import ContextPolicy, ContextUsage
from coordinator.rules.events import AgentObserved, RunEnded, RunStarted
from coordinator.rules.ids import AgentName, DeliveryId, RunId
from coordinator.rules.orders import CancelRun, StartRun
from coordinator.rules.run_inputs import Acked, Sampled, Tick
from coordinator.rules.run_state import begin
from tests.rules.builders import agent, at, ref

NAME = AgentName("sonnet-1")
RUN = RunId(ref(1), 1)
START = StartRun(RUN, NAME, "T", "u", "s", 20_000)


def state() -> AgentState:
    return AgentState(agent("sonnet-1", context=ContextPolicy(window_tokens=200_000)))


def batch(of: AgentState, seconds: int = 0) -> Batch:
    return Batch("monitor:sonnet-1", of, at(seconds))


def stored(order: StartRun | CancelRun, number: int = 1) -> StoredOrder:
    return StoredOrder(number, "agent:sonnet-1", order, at(0), None)


def test_the_first_look_is_told_and_a_second_without_news_is_not() -> None:
    """The agent is announced once; a look that changes nothing writes nothing."""
    seen = state()
    first = batch(seen).commit({})
    assert first is not None
    assert isinstance(first.events[0].event, AgentObserved)
    seen.settle()
    assert batch(seen, 1).commit({}) is None


def test_a_run_is_adopted_with_its_cause_and_ended_with_its_orders() -> None:
    """Events of a run carry the delivery that began it; its end closes the orders it still has."""
    seen = state()
    one = batch(seen)
    one.adopt(begin(START, at(0)), DeliveryId("d1"))
    one.step(RUN, Acked(START.key, "accepted"))
    begun = one.commit({START.key: stored(START)})
    assert begun is not None
    assert (RunStarted, "d1") in [(type(each.event), each.delivery) for each in begun.events]
    two = batch(seen, 1)
    two.step(RUN, Acked(START.key, "done"))
    ended = two.commit({START.key: stored(START, 7)})
    assert ended is not None
    assert RunEnded in [type(each.event) for each in ended.events]
    assert [(each.id, each.result) for each in ended.closed] == [(7, "completed")]
    assert seen.runs == {}
    assert seen.causes == {}


def test_a_reading_is_kept_once() -> None:
    """The same reading reported twice is one sample."""
    seen = state()
    one = batch(seen)
    one.adopt(begin(START, at(0)), None)
    reading = Sampled(ContextUsage(1_000, 0, 0, 0, 200_000, at(0)), None, True)
    one.step(RUN, reading)
    one.step(RUN, reading)
    one.step(RUN, Tick())
    commit = one.commit({})
    assert commit is not None
    assert len(commit.samples) == 1


def test_steps_of_unknown_runs_change_nothing() -> None:
    """A fenced run's input meets no state."""
    seen = state()
    seen.reached()
    seen.observed()
    seen.settle()
    one = batch(seen)
    one.step(RUN, Tick())
    assert one.commit({}) is None


def test_orders_without_a_run_are_closed() -> None:
    """An order nobody answers for any more is closed with the reason."""
    one = batch(state())
    one.close(stored(CancelRun(RUN, NAME, "x"), 9), "gone", "the run had ended")
    commit = one.commit({})
    assert commit is not None
    assert [(each.id, each.result) for each in commit.closed] == [(9, "gone")]


def test_failures_are_counted_not_hidden() -> None:
    """A failed look is neither a success nor news until the third in a row."""
    seen = state()
    for n in range(3):
        one = batch(seen, n)
        one.failed("no answer")
        commit = one.commit({})
        seen.settle()
    assert commit is not None
    assert [getattr(each.event, "status", "") for each in commit.events] == ["unknown"]
