"""Runs and readings for the tests of the rules."""

from datetime import UTC, datetime, timedelta

from coordinator.rules.context import ContextPolicy, ContextUsage
from coordinator.rules.ids import AgentName, IssueRef, RunId
from coordinator.rules.lifecycle import Acked, Sampled, step
from coordinator.rules.orders import CompactContext, RotateSession, StartRun
from coordinator.rules.run_inputs import Input, Step
from coordinator.rules.run_state import RunState, begin

RUN = RunId(IssueRef("acme/tool", 12), 3)
AGENT = AgentName("sonnet-1")
START = StartRun(
    RUN, AGENT, "Mend the gate", "https://forge/acme/tool/issues/12", "It squeaks.", 40_000
)
EPOCH = datetime(2026, 11, 21, tzinfo=UTC)
POLICY = ContextPolicy()
WINDOW = 1_000


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def usage(tokens: int, seconds: float = 0, *, window: int | None = WINDOW) -> ContextUsage:
    """A reading of `tokens` in all, an eighth of them written by the model itself."""
    return ContextUsage(0, tokens - tokens // 8, 0, tokens // 8, window, at(seconds))


class Walk:
    """A run walked through inputs by a clock of its own, with everything it led to."""

    def __init__(self, policy: ContextPolicy = POLICY, state: RunState | None = None) -> None:
        self.policy = policy
        self.seconds = 0.0
        self.state = state if state is not None else begin(START, EPOCH)
        self.steps: list[Step] = []

    def give(self, given: Input, after_s: float = 0) -> Step:
        self.seconds += after_s
        done = step(self.state, given, self.policy, at(self.seconds))
        self.state = done.state
        self.steps.append(done)
        return done

    def read(self, tokens: int, after_s: float = 10, *, boundary: bool = True) -> Step:
        self.seconds += after_s
        return self.give(Sampled(usage(tokens, self.seconds), self.state.session, boundary))

    def accept(self) -> Step:
        return self.give(Acked(START.key, "accepted"))

    def compact(self, tokens: int = 800) -> Step:
        """Bring the run to the soft limit, so that a compaction is asked for."""
        done = self.read(tokens)
        assert [type(order) for order in done.orders] == [CompactContext]
        return done

    def answer(self, status: str = "done", *, after_s: float = 5, **more: str | int | None) -> Step:
        """Acknowledge the pending order."""
        assert self.state.pending_key is not None
        return self.give(Acked(self.state.pending_key, status, **more), after_s)  # type: ignore[arg-type]

    def rotate(self, tokens: int = 950) -> Step:
        """Bring the run to the hard limit, so that a rotation is asked for."""
        done = self.read(tokens, after_s=130)
        assert [type(order) for order in done.orders] == [RotateSession]
        return done
