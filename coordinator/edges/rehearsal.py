"""A simulated agent: deterministic, in-process, as a function of time handed in.

Its context grows turn by turn until somebody has it compacted or rotated; it is finished when its
work is done. What varies from turn to turn is drawn from the run's name, so a rehearsal repeats
itself exactly.
"""

from dataclasses import dataclass
from math import floor
from typing import assert_never
from zlib import crc32

from coordinator.edges.drivers import OrderAcked
from coordinator.edges.journal import StoredOrder
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import RunId
from coordinator.rules.orders import CancelRun, CompactContext, RotateSession, StartRun

__all__ = ["Rehearsal", "SimulatedRun", "rehearse"]

# The window rehearsed when the operator names none.
WINDOW_TOKENS = 200_000

# Work per token of the estimate. With the default sizes an estimate of 25 % of the window is compacted
# once, one of 45 % is compacted twice and rotated once, one of 10 % needs neither.
WORK_PER_ESTIMATED_TOKEN = 5

# A turn's growth varies by this share in either direction.
TURN_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The script of one run. `work_tokens` is what it has to go through over all its sessions.

    `compact_to` is the share of the context that a compaction leaves. The rest rehearses faults: an
    agent that never answers orders of a kind, or writes no handoff.
    """

    work_tokens: int
    window_tokens: int = WINDOW_TOKENS
    baseline_tokens: int = WINDOW_TOKENS // 10
    turn_tokens: int = WINDOW_TOKENS // 25
    turn_s: float = 10.0
    compact_to: float = 0.25
    ignores: tuple[type[CompactContext | RotateSession | CancelRun], ...] = ()
    writes_handoff: bool = True


def rehearse(start: StartRun, spec: AgentSpec) -> Rehearsal:
    """The script that follows from the agent's window and the issue's estimate."""
    window_tokens = spec.context.window_tokens or WINDOW_TOKENS
    return Rehearsal(
        work_tokens=start.estimated_context_tokens * WORK_PER_ESTIMATED_TOKEN,
        window_tokens=window_tokens,
        baseline_tokens=window_tokens // 10,
        turn_tokens=max(1, window_tokens // 25),
    )


class SimulatedRun:
    """One run under way. Orders are applied at the next end of a turn, oldest first."""

    def __init__(self, start: StoredOrder, run: RunId, script: Rehearsal, now_s: float) -> None:
        self.run = run
        self.finished = False
        self.session: int | None = None  # unknown after a restart, until a rotation names it
        self.tokens = script.baseline_tokens
        self.done_tokens = 0
        self.turns = 0
        self.measured_s: float | None = None  # None: no request since the context changed shape
        self._start = start
        self.script = script
        self._turn_ends_s = now_s + script.turn_s
        self._orders: dict[int, CompactContext | RotateSession | CancelRun] = {}

    def give(self, order_id: int, order: CompactContext | RotateSession | CancelRun) -> None:
        if not isinstance(order, self.script.ignores):
            self._orders.setdefault(order_id, order)

    def advance(self, now_s: float) -> list[OrderAcked]:
        """Live through every turn that has ended by now; the answers given meanwhile, in order."""
        acks: list[OrderAcked] = []
        while not self.finished and self._turn_ends_s <= now_s:
            self._turn()
            if self.done_tokens >= self.script.work_tokens:
                self.finished = True
                acks.append(OrderAcked(self._start.id, "done", f"done after {self.turns} turns"))
                break
            acks += [self._apply(order_id, order) for order_id, order in self._orders.items()]
            self._orders.clear()
            self._turn_ends_s += self.script.turn_s
        return acks

    def _turn(self) -> None:
        self.turns += 1
        draw = crc32(f"{self.run}:{self.turns}".encode()) / 2**32
        grown = max(1, floor(self.script.turn_tokens * (1 + TURN_SPREAD * (2 * draw - 1))))
        grown = min(grown, max(self.script.work_tokens - self.done_tokens, 0))
        self.done_tokens += grown
        self.tokens = min(self.tokens + grown, self.script.window_tokens)
        self.measured_s = self._turn_ends_s

    def _apply(self, order_id: int, order: CompactContext | RotateSession | CancelRun) -> OrderAcked:
        match order:
            case CompactContext():
                self.tokens = max(floor(self.tokens * self.script.compact_to), 1)
                self.measured_s = None
                return OrderAcked(order_id, "done", after_tokens=self.tokens)
            case RotateSession():
                handoff = self._handoff(order) if self.script.writes_handoff else None
                self.tokens, self.session = self.script.baseline_tokens, order.to_session
                self.measured_s = None
                return OrderAcked(order_id, "done", handoff=handoff)
            case CancelRun():
                self.finished = True
                return OrderAcked(order_id, "done", f"stopped after {self.turns} turns")
            case unknown:
                assert_never(unknown)

    def _handoff(self, order: RotateSession) -> str:
        left = self.script.work_tokens - self.done_tokens
        return (
            f"Done: {self.done_tokens} of {self.script.work_tokens} tokens of work,"
            f" {self.turns} turns.\nNext: the remaining {left} tokens.\n\n{order.facts}"
        )
