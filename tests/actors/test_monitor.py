"""A monitor drives its agent: takes up, compacts, rotates, recovers, and keeps every report."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
import trio

from coordinator.actors.clocks import SteadyClock, utc_now
from coordinator.actors.messages import AckOrder, DescribeAgent, PollNow, ReportUsage
from coordinator.actors.monitor import Monitor
from coordinator.edges.driver_external import ExternalDriver
from coordinator.edges.driver_rehearsal import RehearsalDriver
from coordinator.edges.drivers import Driver, Report
from coordinator.edges.journal import Commit, OrderDraft, StoredOrder
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.errors import SenderError
from coordinator.rules.context import ContextPolicy, ContextUsage
from coordinator.rules.events import (
    AgentObserved,
    CompactionEnded,
    CompactionStarted,
    RunEnded,
    RunStarted,
    SessionRotated,
)
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import AgentName, Login, RunId
from coordinator.rules.orders import CancelRun, CompactContext, Order, StartRun
from coordinator.runtime import ChildSpec, child
from tests.actors.stage import Stage, stage
from tests.rules.builders import ref

NAME = AgentName("sonnet-1")
RUN = RunId(ref(1), 1)
QUICK = ContextPolicy(window_tokens=200_000, poll_s=0.05, cooldown_s=0.0)
WindowOf = Callable[[str], Awaitable[int | None]]


async def no_window(model: str) -> None:
    return None


async def record_of(model: str) -> int:
    return 1_000_000


def watched(
    driver: Callable[[AgentSpec], Driver],
    policy: ContextPolicy = QUICK,
    window_of: WindowOf = no_window,
) -> Callable[[SqliteJournal], Sequence[ChildSpec]]:
    spec = AgentSpec(NAME, Login("claude-sonnet"), context=policy)
    made = driver(spec)
    return lambda journal: [
        child(Monitor, spec, journal, made, window_of, SteadyClock(), id="monitor:sonnet-1")
    ]


def external(spec: AgentSpec) -> Driver:
    return ExternalDriver()


def rehearsal(spec: AgentSpec) -> Driver:
    return RehearsalDriver(
        spec, now_s=trio.current_time, started_at=utc_now(), speed=400.0, longest_s=0.1
    )


def usage(tokens: int, after_s: float = 0.0, window: int | None = None) -> ContextUsage:
    return ContextUsage(tokens, 0, 0, 0, window, utc_now() + timedelta(seconds=after_s))


def report(tokens: int, *, boundary: bool = True, run: RunId | None = None) -> ReportUsage:
    return ReportUsage(NAME, run, None, usage(tokens), boundary)


async def order(on: Stage, *orders: Order) -> list[int]:
    drafts = tuple(OrderDraft(each, "agent:sonnet-1") for each in orders)
    done = await on.journal.commit(Commit(actor="dispatcher", at=utc_now(), opened=drafts))
    on.tree.ref("monitor:sonnet-1").cast_nowait(PollNow())
    return [each.id for each in done.opened]


def start(estimate: int = 20_000, generation: int = 1) -> StartRun:
    run = RunId(ref(1), generation)
    return StartRun(run, NAME, "T", "https://forge.example.org/1", "s", estimate)


async def begun(on: Stage) -> int:
    [order_id] = await order(on, start())
    monitor = on.tree.ref("monitor:sonnet-1")
    assert (await monitor.call(AckOrder(NAME, order_id, "accepted"))).known
    return order_id


async def no_open_orders(on: Stage) -> None:
    with trio.fail_after(60):
        while on.journal.open_orders("agent:sonnet-1"):  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_an_agent_is_announced_with_its_window(tmp_path: Path) -> None:
    """The first look tells the dispatcher that the agent is up and how large it is."""
    async with stage(tmp_path, extra=watched(external)) as on:
        seen = await on.wait_for(AgentObserved)
        assert (seen.status, seen.usable_tokens) == ("idle", 200_000)


async def test_the_models_own_record_gives_the_window(tmp_path: Path) -> None:
    """Without a configured window the record of the model is asked for, never guessed."""
    async with stage(tmp_path, extra=watched(external, ContextPolicy(), record_of)) as on:
        assert (await on.wait_for(AgentObserved)).window_tokens == 1_000_000


async def test_a_rehearsed_run_is_compacted_rotated_and_finished(tmp_path: Path) -> None:
    """A run larger than its window goes through compactions and a rotation to its end."""
    async with stage(tmp_path, extra=watched(rehearsal)) as on:
        await order(on, start(estimate=90_000))
        await on.wait_for(RunStarted)
        compacted = await on.wait_for(CompactionEnded)
        rotated = await on.wait_for(SessionRotated)
        ended = await on.wait_for(RunEnded)
        assert compacted.ok
        assert rotated.handoff
        assert (ended.outcome, ended.rotations >= 1, ended.compactions >= 1) == (
            "completed",
            True,
            True,
        )
        assert ended.peak_tokens >= 160_000
        assert on.journal.open_orders("agent:sonnet-1") == ()
        samples = await on.journal.samples(NAME, utc_now() - timedelta(hours=9), 1_000)
        assert len(samples) > 5


async def test_an_external_agent_is_compacted_at_eighty_percent(tmp_path: Path) -> None:
    """A report at the threshold opens CompactContext; its acknowledgement closes it."""
    async with stage(tmp_path, extra=watched(external)) as on:
        await begun(on)
        monitor = on.tree.ref("monitor:sonnet-1")
        below = await monitor.call(report(159_999))
        reached = await monitor.call(report(160_000))
        assert (below.action, reached.action) == ("continue", "compact")
        [compact] = [
            o for o in on.journal.open_orders("agent:sonnet-1") if isinstance(o.order, CompactContext)
        ]
        acked = await monitor.call(AckOrder(NAME, compact.id, "done", after_tokens=40_000))
        assert acked.known
        assert (await on.wait_for(CompactionEnded)).after_tokens == 40_000


async def test_a_finished_run_closes_everything(tmp_path: Path) -> None:
    """`done` on the start order ends the run; later answers to it are not known any more."""
    async with stage(tmp_path, extra=watched(external)) as on:
        order_id = await begun(on)
        monitor = on.tree.ref("monitor:sonnet-1")
        await monitor.call(AckOrder(NAME, order_id, "done", detail="merged"))
        ended = await on.wait_for(RunEnded)
        assert (ended.outcome, on.journal.open_orders("agent:sonnet-1")) == ("completed", ())
        assert not (await monitor.call(AckOrder(NAME, order_id, "done"))).known


async def test_reports_about_no_current_run_are_refused(tmp_path: Path) -> None:
    """A fenced or unknown run, or none where one must be named, is the sender's error."""
    async with stage(tmp_path, extra=watched(external)) as on:
        monitor = on.tree.ref("monitor:sonnet-1")
        with pytest.raises(SenderError, match="has 0 runs"):
            await monitor.call(report(1))
        await begun(on)
        with pytest.raises(SenderError, match="is not a current run"):
            await monitor.call(report(1, run=RunId(ref(1), 9)))
        assert (await monitor.call(report(1_000, run=RUN))).fill == 0.005


async def test_a_cancel_ends_a_run_that_never_started(tmp_path: Path) -> None:
    """A withdrawal before the agent answered ends the run at once and closes both orders."""
    async with stage(tmp_path, extra=watched(external)) as on:
        await order(on, start())
        await order(on, CancelRun(RUN, NAME, "closed"))
        assert (await on.wait_for(RunEnded)).outcome == "withdrawn"
        await no_open_orders(on)


async def test_a_cancel_for_a_run_long_over_is_closed(tmp_path: Path) -> None:
    """An order no run answers for any more does not stay open for ever."""
    async with stage(tmp_path, extra=watched(external)) as on:
        await order(on, CancelRun(RUN, NAME, "closed"))
        await no_open_orders(on)


async def test_runs_survive_a_restart_of_the_process(tmp_path: Path) -> None:
    """A run taken up before the restart is known after it, with its session and its cause."""
    async with stage(tmp_path, extra=watched(external)) as on:
        order_id = await begun(on)
    async with stage(tmp_path, extra=watched(external)) as on:
        monitor = on.tree.ref("monitor:sonnet-1")
        view = await monitor.call(DescribeAgent())
        assert [(run.run, run.phase) for run in view.runs] == [(RUN, "normal")]
        await monitor.call(report(170_000))
        await on.wait_for(CompactionStarted)
        await monitor.call(AckOrder(NAME, order_id, "failed", detail="tests do not pass"))
        assert (await on.wait_for(RunEnded)).outcome == "failed"


async def test_three_failed_polls_make_the_agent_unknown_and_one_good_poll_known(
    tmp_path: Path,
) -> None:
    """Poll failures back off, are told once, and end with the first poll that succeeds."""

    def flaky(spec: AgentSpec) -> Driver:
        return RehearsalDriver(
            spec, now_s=trio.current_time, started_at=utc_now(), failing_polls=(1, 2, 3)
        )

    policy = ContextPolicy(window_tokens=200_000, poll_s=0.02)
    async with stage(tmp_path, extra=watched(flaky, policy)) as on:
        unknown = await on.wait_for(AgentObserved, lambda each: each.status == "unknown")
        assert "rehearsed failure" in unknown.detail
        seen = len(await on.events())
        await on.wait_for(AgentObserved, lambda each: each.status == "idle" and seen >= 1)


class Silent:
    """A driver of an agent that never answers: a real hang, not an error."""

    async def carry_out(self, order: StoredOrder) -> None:
        await trio.sleep_forever()

    async def poll(self) -> tuple[Report, ...]:
        await trio.sleep_forever()
        return ()


async def test_a_hanging_agent_is_unknown_and_its_monitor_answers(tmp_path: Path) -> None:
    """Polls that hang are failed polls: the monitor is neither stuck nor restarted."""
    spec = AgentSpec(NAME, Login("claude-sonnet"), context=QUICK)

    def hanging(journal: SqliteJournal) -> Sequence[ChildSpec]:
        return [
            child(
                Monitor,
                spec,
                journal,
                Silent(),
                no_window,
                utc_now,
                id="monitor:sonnet-1",
                poll_deadline_s=0.02,
            )
        ]

    async with stage(tmp_path, extra=hanging) as on:
        unknown = await on.wait_for(AgentObserved, lambda each: each.status == "unknown")
        assert "no answer within" in unknown.detail
        view = await on.tree.ref("monitor:sonnet-1").call(DescribeAgent())
        assert view.poll_failures >= 3


async def test_the_view_and_the_dump_show_the_agent(tmp_path: Path) -> None:
    """What operators see: thresholds in tokens, runs, open orders, last report."""
    async with stage(tmp_path, extra=watched(external)) as on:
        await begun(on)
        await on.tree.ref("monitor:sonnet-1").call(report(1_000))
        view = await on.tree.ref("monitor:sonnet-1").call(DescribeAgent())
        assert (view.compact_at_tokens, view.rotate_at_tokens) == (160_000, 190_000)
        assert (view.status, view.open_orders) == ("working", 1)
        assert view.last_report_at is not None
        assert "acme/widgets#1@1" in str(on.tree.dump().as_dict())


async def test_a_report_that_overtakes_our_own_wake_up_counts(tmp_path: Path) -> None:
    """An agent that fetched its order before the monitor looked is heard, not refused."""
    never = ContextPolicy(window_tokens=200_000, poll_s=3_600.0)
    async with stage(tmp_path, extra=watched(external, never)) as on:
        await on.wait_for(AgentObserved)
        drafts = (OrderDraft(start(), "agent:sonnet-1"),)
        await on.journal.commit(Commit(actor="dispatcher", at=utc_now(), opened=drafts))
        assert (await on.tree.ref("monitor:sonnet-1").call(report(1_000))).fill == 0.005
        assert (await on.wait_for(RunStarted)).run == RUN


async def test_a_wall_clock_set_back_hides_no_reading(tmp_path: Path) -> None:
    """Reports count in their order of arrival, whatever the wall says of when they were made."""
    async with stage(tmp_path, extra=watched(external)) as on:
        await begun(on)
        monitor = on.tree.ref("monitor:sonnet-1")
        await monitor.call(report(1_000))
        late = ReportUsage(NAME, None, None, usage(170_000, after_s=-3_600), at_turn_boundary=True)
        assert (await monitor.call(late)).action == "compact"


async def test_usage_is_logged_over_time(tmp_path: Path) -> None:
    """Each reading that is news is one line: run, session, tokens and fill, no words of the issue."""
    async with stage(tmp_path, extra=watched(external)) as on:
        await begun(on)
        with structlog.testing.capture_logs() as lines:
            for tokens in (1_000, 2_000):
                await on.tree.ref("monitor:sonnet-1").call(report(tokens))
    told = [line for line in lines if line["event"] == "context_usage"]
    assert [(line["used_tokens"], line["fill"], line["session"]) for line in told] == [
        (1_000, 0.005, 1),
        (2_000, 0.01, 1),
    ]
