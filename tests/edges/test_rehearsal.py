"""A simulated agent as a function of time."""

from dataclasses import replace

import pytest

from coordinator.edges.drivers import OrderAcked
from coordinator.edges.rehearsal import Rehearsal, SimulatedRun, rehearse
from coordinator.rules.context import ContextPolicy
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import Login
from coordinator.rules.orders import CancelRun, CompactContext, RotateSession, StartRun
from tests.edges.orders import AGENT, run, start

SCRIPT = Rehearsal(work_tokens=1_000, window_tokens=500, baseline_tokens=50, turn_tokens=40, turn_s=10)
COMPACT = CompactContext(run(), AGENT, 1, 1)
ROTATE = RotateSession(run(), AGENT, 1, 2, "full", "the facts")
CANCEL = CancelRun(run(), AGENT, "closed")


def simulated(script: Rehearsal = SCRIPT) -> SimulatedRun:
    return SimulatedRun(start(1), run(), script, 0.0)


def test_the_context_grows_turn_by_turn() -> None:
    """Nothing within a turn, a quarter more or less than the turn's size at its end."""
    sim = simulated()
    assert sim.advance(9.9) == []
    assert (sim.tokens, sim.turns, sim.measured_s) == (50, 0, None)
    sim.advance(10)
    assert 80 <= sim.tokens <= 100
    assert (sim.turns, sim.measured_s) == (1, 10)


def test_time_may_pass_in_any_steps() -> None:
    """One long look sees the same as many short ones, and so does a second rehearsal."""
    once, often = simulated(), simulated()
    once.advance(200)
    for tenth in range(2_001):
        often.advance(tenth / 10)
    assert (once.tokens, once.done_tokens, once.turns) == (often.tokens, often.done_tokens, often.turns)
    assert once.turns == 20


def test_the_work_ends_the_run() -> None:
    """All of it, to the token; the start order is done, once, and time stops."""
    sim = simulated()
    assert sim.advance(10_000) == [OrderAcked(1, "done", f"done after {sim.turns} turns")]
    assert (sim.done_tokens, sim.finished) == (1_000, True)
    assert sim.advance(20_000) == []


def test_a_context_never_exceeds_its_window() -> None:
    """Left alone it stays full."""
    sim = simulated()
    sim.advance(180)
    assert sim.tokens == 500


@pytest.mark.parametrize("work", [0, -1])
def test_no_work_is_done_after_one_turn(work: int) -> None:
    """An empty estimate still takes a turn."""
    sim = simulated(replace(SCRIPT, work_tokens=work))
    assert [ack.status for ack in sim.advance(10)] == ["done"]
    assert sim.tokens == 50


def test_a_compaction_happens_at_the_end_of_the_turn() -> None:
    """It leaves a quarter, and the fill is unknown until another turn has ended."""
    sim = simulated()
    sim.advance(100)
    before = sim.tokens
    sim.give(5, COMPACT)
    sim.give(5, COMPACT)
    assert sim.advance(109) == []
    (ack,) = sim.advance(110)
    assert (ack.order_id, ack.status, ack.after_tokens) == (5, "done", sim.tokens)
    assert sim.tokens < before / 3
    assert sim.measured_s is None
    sim.advance(120)
    assert sim.measured_s == 120


def test_a_rotation_begins_again_at_the_baseline() -> None:
    """With a handoff that carries the facts, and the work so far kept."""
    sim = simulated()
    sim.advance(100)
    done = sim.done_tokens
    sim.give(6, ROTATE)
    (ack,) = sim.advance(110)
    assert ack.handoff is not None
    assert "the facts" in ack.handoff
    assert (sim.tokens, sim.session, sim.measured_s) == (50, 2, None)
    assert sim.done_tokens > done


def test_a_cancelled_run_stops_at_its_boundary() -> None:
    """Orders given with it are answered first, later turns do not happen."""
    sim = simulated()
    sim.give(5, COMPACT)
    sim.give(7, CANCEL)
    assert [ack.order_id for ack in sim.advance(500)] == [5, 7]
    assert (sim.finished, sim.turns) == (True, 1)


def test_faults_can_be_rehearsed() -> None:
    """Orders of a kind ignored, a handoff not written, a compaction that gains nothing."""
    deaf = simulated(replace(SCRIPT, ignores=(CompactContext, CancelRun)))
    deaf.give(5, COMPACT)
    deaf.give(7, CANCEL)
    assert deaf.advance(100) == []
    silent = simulated(replace(SCRIPT, writes_handoff=False, compact_to=1.0))
    silent.give(6, ROTATE)
    assert [ack.handoff for ack in silent.advance(10)] == [None]
    silent.give(5, COMPACT)
    silent.advance(20)
    assert silent.tokens > 50


@pytest.mark.parametrize(("window", "expected_window"), [(None, 200_000), (100_000, 100_000), (10, 10)])
def test_a_script_follows_from_the_agent_and_the_estimate(
    window: int | None, expected_window: int
) -> None:
    """Five tokens of work for each estimated one, sizes in proportion to the window."""
    spec = AgentSpec(AGENT, Login("bot"), context=ContextPolicy(window_tokens=window))
    order = start(1, estimate=8_000).order
    assert isinstance(order, StartRun)
    script = rehearse(order, spec)
    assert (script.work_tokens, script.window_tokens) == (40_000, expected_window)
    assert script.baseline_tokens == expected_window // 10
    assert script.turn_tokens == max(1, expected_window // 25)
