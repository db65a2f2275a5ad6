"""One monitor per agent: polls it, decides by the lifecycle of its runs, and keeps every report.

What to do is decided in `rules.lifecycle`; how the agent is reached is the driver's affair. The
monitor's state is small, so it goes into the journal with every commit and is simply read back.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial

import structlog
import trio

from coordinator.actors.clocks import Clock
from coordinator.actors.event_line import log_event
from coordinator.actors.follower import patiently
from coordinator.actors.messages import (
    Acked,
    AckOrder,
    DescribeAgent,
    PollNow,
    Recorded,
    ReportUsage,
    Wake,
)
from coordinator.actors.monitor_batch import Batch
from coordinator.edges.drivers import Driver, OrderAcked, PollFault, Report, UsageReported
from coordinator.edges.journal import Journal, StoredOrder
from coordinator.errors import SenderError, VendorError
from coordinator.rules import run_inputs
from coordinator.rules.agent_state import AgentState, view_of
from coordinator.rules.context import ContextAction, ContextUsage, fill
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import RunId
from coordinator.rules.lifecycle import next_poll_after_s
from coordinator.rules.orders import CancelRun, StartRun
from coordinator.rules.run_inputs import PollFailed, Sampled, Tick, Withdrawn
from coordinator.rules.run_state import begin
from coordinator.runtime import Actor, ReplyError

__all__ = ["Monitor"]

# A poll that takes longer than this is a failed poll: the default interval is ten seconds.
POLL_DEADLINE_S = 8.0


class Monitor(Actor):
    """Watches one agent. `window_of` asks for the model's own record of its window."""

    def __init__(
        self,
        spec: AgentSpec,
        journal: Journal,
        driver: Driver,
        window_of: Callable[[str], Awaitable[int | None]],
        clock: Clock,
        *,
        poll_deadline_s: float = POLL_DEADLINE_S,
    ) -> None:
        self.spec = spec
        self.name = f"monitor:{spec.name}"
        self.target = f"agent:{spec.name}"
        self.journal = journal
        self.driver = driver
        self.window_of = window_of
        self.clock = clock
        self.poll_deadline_s = poll_deadline_s
        self.log = structlog.get_logger().bind(actor=self.name, agent=spec.name)
        self.state = AgentState(spec)

    async def init(self) -> None:
        snapshot = await patiently(self, partial(self.journal.snapshot, self.name))
        if snapshot is not None and snapshot.version == AgentState.VERSION:
            self.state.load(snapshot.state)
        self.state.keep({o.order.run for o in self._orders() if isinstance(o.order, StartRun)})
        self._schedule(0.0)

    async def handle(self, message: object) -> object:
        match message:
            case PollNow():
                await self._poll()
                self._schedule(next_poll_after_s(self.state.poll_failures, self.spec.context))
                return None
            case Wake():
                await self._poll()
                return None
            case ReportUsage():
                return await self._reported(message)
            case AckOrder():
                return await self._acknowledged(message)
            case DescribeAgent():
                return view_of(self.state, len(self._orders()))
            case _:
                raise NotImplementedError(f"{self.name} does not know {type(message).__name__}")

    def inspect(self) -> object:
        return {
            "agent": self.spec.name,
            "driver": self.spec.driver,
            "status": self.state.status,
            "window_tokens": self.state.window_tokens,
            "poll_failures": self.state.poll_failures,
            "open_orders": len(self._orders()),
            "runs": [
                {
                    "run": str(run.run),
                    "phase": run.phase,
                    "session": run.session,
                    "fill": fill(run.usage, self.spec.context),
                    "peak_tokens": run.peak_tokens,
                    "stalled": run.stalled,
                }
                for run in self.state.runs.values()
            ],
        }

    # polling ------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        batch = self._batch()
        await self._learn_window()
        orders = self._orders()
        self._take_up(orders, batch)
        for report in await self._look(orders):
            self._apply(report, batch)
        for run in tuple(self.state.runs):
            batch.step(run, Tick())
        await self._commit(batch)

    async def _look(self, orders: Iterable[StoredOrder]) -> tuple[Report, ...]:
        try:
            with trio.fail_after(self.poll_deadline_s):
                for order in orders:
                    await self.driver.carry_out(order)
                return await self.driver.poll()
        except VendorError as failed:
            return (PollFault(str(failed)[:300]),)
        except trio.TooSlowError:
            return (PollFault(f"no answer within {self.poll_deadline_s:g} s"),)

    def _take_up(self, orders: Iterable[StoredOrder], batch: Batch) -> None:
        for stored in orders:
            match stored.order:
                case StartRun() as order if order.run not in self.state.runs:
                    batch.adopt(begin(order, self.clock()), stored.delivery)
                case CancelRun(run=run, reason=reason):
                    if run in self.state.runs:
                        batch.step(run, Withdrawn(reason))
                    else:
                        batch.close(stored, "gone", "the run had ended")
                case _:
                    pass

    def _apply(self, report: Report, batch: Batch) -> None:
        match report:
            case UsageReported(run=run, session=session, usage=usage, at_turn_boundary=boundary):
                found = self._run(run)
                if found is not None:
                    self._sample(found, Sampled(self._sized(usage), session, boundary), batch)
            case OrderAcked():
                self._answer_order(report, batch)
            case PollFault(detail=detail):
                batch.failed(detail)
                for found in tuple(self.state.runs):
                    batch.step(found, PollFailed(detail))

    def _sample(self, run: RunId, sampled: Sampled, batch: Batch) -> ContextAction:
        self.state.heard(self.clock(), sampled.usage.window_tokens)
        return batch.step(run, sampled)

    def _answer_order(self, acked: OrderAcked, batch: Batch) -> bool:
        stored = next((each for each in self._orders() if each.id == acked.order_id), None)
        if stored is None:
            return False
        self.state.heard(self.clock(), None)
        assert hasattr(stored.order, "run")
        given = run_inputs.Acked(
            stored.order.key, acked.status, acked.detail, acked.handoff, acked.after_tokens
        )
        if stored.order.run in self.state.runs:
            batch.step(stored.order.run, given)
        elif acked.status != "accepted":
            batch.close(stored, acked.status, "the run had ended")
        return True

    # questions ----------------------------------------------------------------------------------

    async def _reported(self, message: ReportUsage) -> Recorded:
        batch = self._batch()
        self._take_up(self._orders(), batch)  # the agent may have met its order before we did
        run = self._run(message.run)
        if run is None:
            await self._commit(batch)
            raise ReplyError(SenderError(self._no_run(message.run)))
        # In order of arrival by our steady clock: the wall may be set back between two reports.
        usage = replace(self._sized(message.usage), sampled_at=self.clock())
        sampled = Sampled(usage, message.session, message.at_turn_boundary)
        action = self._sample(run, sampled, batch)
        await self._commit(batch)
        return Recorded(action.value, fill(usage, self.spec.context))

    async def _acknowledged(self, message: AckOrder) -> Acked:
        batch = self._batch()
        self._take_up(self._orders(), batch)
        report = OrderAcked(
            message.order_id,
            message.status,
            message.detail[:2_000],
            message.handoff,
            message.after_tokens,
        )
        known = self._answer_order(report, batch)
        await self._commit(batch)
        return Acked(known)

    # the shell ----------------------------------------------------------------------------------

    def _batch(self) -> Batch:
        return Batch(self.name, self.state, self.clock())

    async def _commit(self, batch: Batch) -> None:
        commit = batch.commit({order.order.key: order for order in self._orders()})
        if commit is None:
            return
        committed = await patiently(self, partial(self.journal.commit, commit))
        self.state.settle()
        for sample in commit.samples:
            self.log.info(
                "context_usage",
                run=str(sample.run),
                issue=str(sample.run.issue),
                session=sample.session,
                used_tokens=sample.usage.used_tokens,
                window_tokens=sample.usage.window_tokens,
                fill=fill(sample.usage, self.spec.context),
            )
        for stored in committed.events:
            log_event(self.log, stored)
        for order in committed.opened:
            await self._hand_over(order)

    async def _hand_over(self, order: StoredOrder) -> None:
        """Not waiting for the next poll; what fails here is carried out again then."""
        with trio.move_on_after(self.poll_deadline_s):
            try:
                await self.driver.carry_out(order)
            except VendorError as failed:
                self.log.warning("order_not_delivered", order=order.order.key, error=str(failed))

    async def _learn_window(self) -> None:
        if self.state.window_tokens is None:
            self.state.heard_window(await self.window_of(self.spec.model))

    def _sized(self, usage: ContextUsage) -> ContextUsage:
        return self.state.sized(usage)

    def _orders(self) -> tuple[StoredOrder, ...]:
        return self.journal.open_orders(self.target)

    def _run(self, run: RunId | None) -> RunId | None:
        if run is None:
            return next(iter(self.state.runs)) if len(self.state.runs) == 1 else None
        return run if run in self.state.runs else None

    def _no_run(self, run: RunId | None) -> str:
        runs = ", ".join(map(str, self.state.runs)) or "none"
        if run is None:
            return f"{self.spec.name} has {len(self.state.runs)} runs ({runs}): name one in `run`"
        return f"{run} is not a current run of {self.spec.name} (current: {runs})"

    def _schedule(self, after_s: float) -> None:
        """The jitter keeps a thousand monitors from polling in one instant; 0: spread the first."""
        policy = self.spec.context
        spread = random.uniform(-policy.poll_jitter, policy.poll_jitter)  # noqa: S311
        first = random.uniform(0.0, min(policy.poll_s, 1.0))  # noqa: S311
        self.context.start_timer("poll", after_s * (1 + spread) if after_s else first, PollNow())
