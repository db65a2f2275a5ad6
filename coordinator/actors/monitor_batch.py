"""Everything one poll or one report of an agent leads to, gathered for a single commit."""

from collections.abc import Mapping
from datetime import datetime

from coordinator.edges.journal import (
    Commit,
    Draft,
    OrderClosed,
    OrderDraft,
    Sample,
    Snapshot,
    StoredOrder,
)
from coordinator.rules.agent_state import AgentState
from coordinator.rules.context import ContextAction
from coordinator.rules.ids import DeliveryId, RunId
from coordinator.rules.lifecycle import step
from coordinator.rules.run_inputs import Close, Input, Sampled
from coordinator.rules.run_state import RunState, is_over

__all__ = ["Batch"]


class Batch:
    """Steps runs of one agent and remembers what has to be written."""

    def __init__(self, name: str, state: AgentState, now: datetime) -> None:
        self.name = name
        self.state = state
        self.now = now
        self._before = state.kept()
        self._drafts: list[Draft] = []
        self._opened: list[OrderDraft] = []
        self._closes: list[Close] = []
        self._closed: list[OrderClosed] = []
        self._samples: list[Sample] = []
        self._failed = False

    def adopt(self, run: RunState, delivery: DeliveryId | None) -> None:
        """Take up a run that was given to the agent."""
        self.state.runs[run.run] = run
        if delivery is not None:
            self.state.causes[run.run] = delivery

    def failed(self, detail: str) -> None:
        """The agent could not be looked at."""
        self._failed = True
        self.state.failed(detail)

    def step(self, run: RunId, given: Input) -> ContextAction:
        """Move one run on; an ended one leaves the state. What the step asked the agent for."""
        old = self.state.runs.get(run)
        if old is None:
            return ContextAction.CONTINUE
        done = step(old, given, self.state.spec.context, self.now)
        cause = self.state.causes.get(run)
        if isinstance(given, Sampled) and done.state.read_at != old.read_at:
            self._samples.append(Sample(old.agent, run, old.session, given.usage))
        self._drafts += [Draft(event, cause) for event in done.events]
        target = f"agent:{old.agent}"
        self._opened += [OrderDraft(order, target, cause) for order in done.orders]
        self._closes += done.closed
        self.state.runs[run] = done.state
        if is_over(done.state):
            del self.state.runs[run]
            self.state.causes.pop(run, None)
        return done.action

    def close(self, order: StoredOrder, result: str, detail: str) -> None:
        """Close an order that no run answers for any more."""
        self._closed.append(OrderClosed(order.id, result, detail))

    def commit(self, open_by_key: Mapping[str, StoredOrder]) -> Commit | None:
        """The commit for all of it; None when nothing has changed."""
        if not self._failed:
            self.state.reached()
        observed = self.state.observed()
        if observed is not None:
            self._drafts.append(Draft(observed))
        changed = self.state.kept() != self._before
        if not (changed or self._drafts or self._closed or self._samples):
            return None
        over = {close.key for close in self._closes}
        closed = [
            OrderClosed(open_by_key[close.key].id, close.result, close.detail)
            for close in self._closes
            if close.key in open_by_key
        ]
        return Commit(
            actor=self.name,
            at=self.now,
            events=tuple(self._drafts),
            opened=tuple(each for each in self._opened if each.order.key not in over),
            closed=(*self._closed, *closed),
            samples=tuple(self._samples),
            snapshot=Snapshot(0, AgentState.VERSION, self.state.dump()),
        )
