"""The driver of simulated agents, for the demo, tests and benchmarks: no process, no network."""

import math
from collections import OrderedDict
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import assert_never

from coordinator.edges.drivers import OrderAcked, Report, UsageReported
from coordinator.edges.journal import StoredOrder
from coordinator.edges.rehearsal import Rehearsal, SimulatedRun, rehearse
from coordinator.errors import VendorUnavailable
from coordinator.rules.context import ContextUsage
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import RunId
from coordinator.rules.orders import (
    CancelRun,
    CompactContext,
    LookAgain,
    ParseIssue,
    ReadIssue,
    RotateSession,
    RunCommand,
    StartRun,
)

__all__ = ["RehearsalDriver"]

# Answers kept for orders handed over again: far more than one agent can have open.
MAX_ANSWERS = 1_000

# The share of a turn's growth that the agent wrote itself, for readings that look like real ones.
OUTPUT_SHARE = 0.2


class RehearsalDriver:
    """All simulated runs of one agent.

    `now_s` is any clock that only goes forward; `started_at` is the instant it shows now, so that
    readings carry real instants. `speed` makes the agent live that much faster than the clock. A run
    that nobody looks at for longer than `longest_s` stands still until somebody does: otherwise a fast
    agent on a machine that pauses would be at its end before anybody could see it work.
    `script` says how each run goes. `failing_polls` are the numbers, from 1, of polls that raise.
    A run whose StartRun is handed over again after a restart begins afresh: what a simulation knew
    dies with its process.
    """

    def __init__(
        self,
        spec: AgentSpec,
        *,
        now_s: Callable[[], float],
        started_at: datetime,
        speed: float = 1.0,
        longest_s: float = math.inf,
        script: Callable[[StartRun, AgentSpec], Rehearsal] = rehearse,
        failing_polls: Collection[int] = (),
    ) -> None:
        self._spec = spec
        self._now_s = now_s
        self._origin_s = now_s()
        self._started_at = started_at
        self._speed = speed
        self._longest_s = longest_s
        self._looked_at_s = self._origin_s
        self._stood_s = 0.0
        self._script = script
        self._failing_polls = failing_polls
        self._polls = 0
        self._runs: dict[RunId, SimulatedRun] = {}
        self._answers: OrderedDict[int, OrderAcked] = OrderedDict()
        self._unsaid: list[OrderAcked] = []

    async def carry_out(self, order: StoredOrder) -> None:
        if order.id in self._answers:
            self._unsaid.append(self._answers[order.id])
            return
        match order.order:
            case StartRun() as start:
                self._start(order, start)
            case CompactContext() | RotateSession() | CancelRun() as asked:
                self._ask(order.id, asked)
            case ParseIssue() | ReadIssue() | RunCommand() | LookAgain():
                self._say(OrderAcked(order.id, "failed", "not an order for an agent"))
            case unknown:
                assert_never(unknown)

    async def poll(self) -> tuple[Report, ...]:
        self._polls += 1
        if self._polls in self._failing_polls:
            raise VendorUnavailable(f"rehearsed failure of poll {self._polls}")
        reports: list[Report] = [*self._unsaid]
        self._unsaid.clear()
        for run in list(self._runs.values()):
            reports += self._live(run)
            if run.finished:
                del self._runs[run.run]
        return tuple(reports)

    def _live(self, run: SimulatedRun) -> list[Report]:
        """What the run says since the last poll; its end comes last, behind its last reading."""
        acks = run.advance(self._elapsed_s())
        for ack in acks:
            self._remember(ack)
        reading = self._reading(run)
        reports: list[Report] = [*acks]
        if reading is not None:
            reports.insert(len(acks) - 1 if run.finished else len(acks), reading)
        return reports

    def _elapsed_s(self) -> float:
        """Seconds in the agent's own time."""
        now_s = self._now_s()
        if self._runs:
            self._stood_s += max(now_s - self._looked_at_s - self._longest_s, 0.0)
        self._looked_at_s = now_s
        return (now_s - self._origin_s - self._stood_s) * self._speed

    def _start(self, order: StoredOrder, start: StartRun) -> None:
        if start.run in self._runs:
            return
        script = self._script(start, self._spec)
        self._runs[start.run] = SimulatedRun(order, start.run, script, self._elapsed_s())
        self._unsaid.append(OrderAcked(order.id, "accepted"))

    def _ask(self, order_id: int, asked: CompactContext | RotateSession | CancelRun) -> None:
        run = self._runs.get(asked.run)
        if run is not None:
            run.give(order_id, asked)
        elif isinstance(asked, CancelRun):
            self._say(OrderAcked(order_id, "done", "nothing was running"))
        else:
            self._say(OrderAcked(order_id, "failed", f"{asked.run} is not running here"))

    def _say(self, ack: OrderAcked) -> None:
        self._unsaid.append(ack)
        self._remember(ack)

    def _remember(self, ack: OrderAcked) -> None:
        """Keep a final answer, to give it again whenever the order is handed over again."""
        self._answers[ack.order_id] = ack
        if len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)

    def _reading(self, run: SimulatedRun) -> UsageReported | None:
        """The context at the end of the last turn: a turn boundary, unless it was the run's end."""
        if run.measured_s is None:
            return None
        sampled_at = self._started_at + timedelta(seconds=run.measured_s / self._speed)
        fresh = min(run.tokens, run.script.turn_tokens)
        output = int(fresh * OUTPUT_SHARE)
        usage = ContextUsage(
            input_tokens=0,
            cache_read_tokens=run.tokens - fresh,
            cache_creation_tokens=fresh - output,
            output_tokens=output,
            window_tokens=run.script.window_tokens,
            sampled_at=sampled_at,
        )
        return UsageReported(run.run, run.session, usage, at_turn_boundary=not run.finished)
