"""The driver of simulated agents, alone and under the real lifecycle."""

from datetime import datetime, timedelta

import pytest

from coordinator.edges.driver_rehearsal import MAX_ANSWERS, RehearsalDriver
from coordinator.edges.drivers import OrderAcked, Report, UsageReported
from coordinator.edges.journal import StoredOrder
from coordinator.edges.rehearsal import Rehearsal
from coordinator.errors import VendorUnavailable
from coordinator.rules.context import ContextPolicy
from coordinator.rules.events import CompactionStarted, Event, RunEnded, RunStarted, SessionRotated
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import Login
from coordinator.rules.lifecycle import step
from coordinator.rules.orders import ParseIssue, StartRun
from coordinator.rules.run_inputs import Acked, Input, Sampled, Tick
from coordinator.rules.run_state import RunState, begin, is_over
from tests.edges.orders import AGENT, cancel, compact, rotate, run, start, stored
from tests.rules.runs import EPOCH

SPEC = AgentSpec(AGENT, Login("bot"))


class Clock:
    """Seconds that pass when told to; starts anywhere."""

    def __init__(self) -> None:
        self.seconds = 4_711.0

    def __call__(self) -> float:
        return self.seconds


def script(start_: StartRun, spec: AgentSpec) -> Rehearsal:
    return Rehearsal(work_tokens=400, window_tokens=500, baseline_tokens=50, turn_tokens=40, turn_s=10)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def driver(clock: Clock) -> RehearsalDriver:
    return RehearsalDriver(SPEC, now_s=clock, started_at=EPOCH, script=script)


async def test_a_run_is_accepted_reported_and_done(driver: RehearsalDriver, clock: Clock) -> None:
    """Accepted at once; a reading per turn, at its end; done behind the last reading."""
    await driver.carry_out(start(1))
    assert await driver.poll() == (OrderAcked(1, "accepted"),)
    assert await driver.poll() == ()
    clock.seconds += 15
    (reading,) = await driver.poll()
    assert isinstance(reading, UsageReported)
    assert (reading.run, reading.session, reading.at_turn_boundary) == (run(), None, True)
    assert reading.usage.sampled_at == EPOCH + timedelta(seconds=10)
    assert 80 <= reading.usage.predicted_tokens <= 100
    assert await driver.poll() == (reading,)
    clock.seconds += 1_000
    last, done = await driver.poll()
    assert isinstance(last, UsageReported)
    assert last.at_turn_boundary is False
    assert last.usage.predicted_tokens == 450
    assert isinstance(done, OrderAcked)
    assert (done.order_id, done.status) == (1, "done")
    assert await driver.poll() == ()


async def test_speed_is_the_agents_alone(clock: Clock) -> None:
    """Ten times as fast, it lives a turn of 10 s in one; its readings carry real instants."""
    driver = RehearsalDriver(SPEC, now_s=clock, started_at=EPOCH, script=script, speed=10)
    await driver.carry_out(start(1))
    clock.seconds += 1
    _, reading = await driver.poll()
    assert isinstance(reading, UsageReported)
    assert reading.usage.sampled_at == EPOCH + timedelta(seconds=1)


async def test_a_run_out_of_sight_stands_still(clock: Clock) -> None:
    """A machine that pauses between two looks costs the agent the longest step at most."""
    driver = RehearsalDriver(SPEC, now_s=clock, started_at=EPOCH, script=script, speed=10, longest_s=1)
    clock.seconds += 60  # nothing runs yet: there is nothing to miss
    await driver.carry_out(start(1))
    clock.seconds += 3_600
    _, reading = await driver.poll()
    assert isinstance(reading, UsageReported)
    assert reading.usage.sampled_at == EPOCH + timedelta(seconds=61)
    clock.seconds += 0.5
    assert await driver.poll() == (reading,)
    clock.seconds += 0.5
    (later,) = await driver.poll()
    assert isinstance(later, UsageReported)
    assert later.usage.sampled_at == EPOCH + timedelta(seconds=62)


async def test_orders_are_answered_at_the_next_boundary(driver: RehearsalDriver, clock: Clock) -> None:
    """After a compaction there is no reading until a turn has passed; a rotation names the session."""
    await driver.carry_out(start(1))
    await driver.carry_out(compact(2))
    await driver.poll()
    clock.seconds += 10
    (ack,) = await driver.poll()
    assert isinstance(ack, OrderAcked)
    assert (ack.order_id, ack.status) == (2, "done")
    await driver.carry_out(rotate(3))
    clock.seconds += 20
    ack, reading = await driver.poll()
    assert isinstance(ack, OrderAcked)
    assert ack.handoff is not None
    assert isinstance(reading, UsageReported)
    assert reading.session == 2
    await driver.carry_out(cancel(4))
    clock.seconds += 10
    assert [type(report) for report in await driver.poll()] == [UsageReported, OrderAcked]
    assert await driver.poll() == ()


async def test_an_answered_order_is_answered_again(driver: RehearsalDriver, clock: Clock) -> None:
    """Handed over again after a crash, it is not carried out again; a run under way goes on."""
    await driver.carry_out(start(1))
    await driver.carry_out(start(1))
    await driver.carry_out(compact(2))
    assert len(await driver.poll()) == 1
    clock.seconds += 10
    (first,) = await driver.poll()
    await driver.carry_out(start(1))
    await driver.carry_out(compact(2))
    assert await driver.poll() == (first,)
    clock.seconds += 1_000
    done = (await driver.poll())[-1]
    await driver.carry_out(start(1))
    assert await driver.poll() == (done,)


async def test_orders_for_runs_not_here_are_answered(driver: RehearsalDriver) -> None:
    """Nothing to cancel is done; nothing to compact or rotate, or not an agent's order, has failed."""
    for order in (cancel(1), compact(2), rotate(3), stored(4, ParseIssue(run().issue, "k"))):
        await driver.carry_out(order)
    reports = await driver.poll()
    assert [r.status for r in reports if isinstance(r, OrderAcked)] == ["done", *["failed"] * 3]


async def test_polls_can_be_made_to_fail(clock: Clock) -> None:
    """The failure takes nothing with it: what was to be said is said by the next poll."""
    driver = RehearsalDriver(SPEC, now_s=clock, started_at=EPOCH, script=script, failing_polls={1, 2})
    await driver.carry_out(start(1))
    for poll in (1, 2):
        with pytest.raises(VendorUnavailable, match=f"poll {poll}"):
            await driver.poll()
    assert await driver.poll() == (OrderAcked(1, "accepted"),)


async def test_old_answers_are_forgotten(driver: RehearsalDriver) -> None:
    """Memory stays bounded: an order answered a thousand answers ago is new again."""
    for order_id in range(MAX_ANSWERS + 1):
        await driver.carry_out(cancel(order_id))
    assert len(driver._answers) == MAX_ANSWERS


class Watch:
    """A monitor in small: the real lifecycle over the real driver, without a journal."""

    def __init__(self, estimate: int, policy: ContextPolicy) -> None:
        self.clock = Clock()
        self.policy = policy
        spec = AgentSpec(AGENT, Login("bot"), context=policy)
        self.driver = RehearsalDriver(spec, now_s=self.clock, started_at=EPOCH)
        first = start(1, estimate=estimate)
        assert isinstance(first.order, StartRun)
        self.state: RunState = begin(first.order, EPOCH)
        self.open: dict[str, StoredOrder] = {first.order.key: first}
        self.events: list[Event] = []

    async def to_the_end(self) -> None:
        for _ in range(1_000):
            for order in tuple(self.open.values()):
                await self.driver.carry_out(order)
            for report in await self.driver.poll():
                self._give(self._input(report))
            self._give(Tick())
            if is_over(self.state):
                return
            self.clock.seconds += self.policy.poll_s

    def _give(self, given: Input) -> None:
        now: datetime = EPOCH + timedelta(seconds=self.clock.seconds - 4_711)
        done = step(self.state, given, self.policy, now)
        self.state = done.state
        self.events += done.events
        for order in done.orders:
            self.open[order.key] = stored(len(self.events) + 10, order)
        for close in done.closed:
            self.open.pop(close.key, None)

    def _input(self, report: Report) -> Input:
        if isinstance(report, UsageReported):
            return Sampled(report.usage, report.session, report.at_turn_boundary)
        assert isinstance(report, OrderAcked)
        key = next(key for key, order in self.open.items() if order.id == report.order_id)
        return Acked(key, report.status, report.detail, report.handoff, report.after_tokens)


@pytest.mark.parametrize(
    ("estimate", "compactions", "rotations"), [(20_000, 0, 0), (50_000, 1, 0), (90_000, 2, 1)]
)
async def test_an_estimate_decides_what_a_rehearsal_shows(
    estimate: int, compactions: int, rotations: int
) -> None:
    """From a run that needs nothing to one compacted twice and rotated, under the default policy."""
    watch = Watch(estimate, ContextPolicy())
    await watch.to_the_end()
    ended = watch.events[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.outcome, ended.compactions, ended.rotations) == (
        "completed",
        compactions,
        rotations,
    )
    assert isinstance(watch.events[0], RunStarted)
    assert sum(isinstance(event, CompactionStarted) for event in watch.events) == compactions
    assert sum(isinstance(event, SessionRotated) for event in watch.events) == rotations
    assert ended.peak_tokens < 190_000
    assert watch.open == {}
