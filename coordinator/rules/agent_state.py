"""What a monitor knows of its agent: its runs, its window, and whether it can be reached."""

import json
from collections.abc import Set
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from coordinator.rules.context import ContextUsage, fill, limits, usable_tokens
from coordinator.rules.events import AgentObserved, AgentStatus
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import DeliveryId, RunId
from coordinator.rules.run_state import RunState, agent_status, dump, load
from coordinator.rules.views import AgentView, RunView

__all__ = ["AgentState", "view_of"]


class AgentState:
    """Mutable, owned by one monitor. `causes` are the deliveries the runs go back to."""

    VERSION: ClassVar[int] = 1

    def __init__(self, spec: AgentSpec) -> None:
        self.spec = spec
        self.runs: dict[RunId, RunState] = {}
        self.causes: dict[RunId, DeliveryId] = {}
        self.window_tokens: int | None = spec.context.window_tokens
        self.poll_failures = 0
        self.detail = ""
        self.last_report_at: datetime | None = None
        self.looked = False
        self._told: AgentObserved | None = None
        self._telling: AgentObserved | None = None

    @property
    def status(self) -> AgentStatus:
        if not self.looked:
            return "starting"
        return agent_status(self.runs.values(), self.poll_failures, self.spec.context)[0]

    @property
    def usable_tokens(self) -> int | None:
        return usable_tokens(self.window_tokens, self.spec.context)

    def heard(self, now: datetime, window_tokens: int | None) -> None:
        """The agent reported something; its own word on the window counts unless configured."""
        self.last_report_at = now
        self.heard_window(window_tokens)

    def heard_window(self, window_tokens: int | None) -> None:
        """A window became known; the operator's word stands above it."""
        if self.spec.context.window_tokens is None and window_tokens is not None:
            self.window_tokens = window_tokens

    def sized(self, usage: ContextUsage) -> ContextUsage:
        """The reading with the window as we know it, when it does not bring its own."""
        configured = self.spec.context.window_tokens
        window = configured or usage.window_tokens or self.window_tokens
        return usage if window == usage.window_tokens else replace(usage, window_tokens=window)

    def failed(self, detail: str) -> None:
        """The agent could not be looked at."""
        self.looked = True
        self.poll_failures += 1
        self.detail = detail

    def reached(self) -> None:
        """The agent was looked at."""
        self.looked = True
        self.poll_failures = 0
        self.detail = ""

    def observed(self) -> AgentObserved | None:
        """The event to tell when the agent's availability or window has changed, else None."""
        _, why = agent_status(self.runs.values(), self.poll_failures, self.spec.context)
        detail = self.detail or why
        now = AgentObserved(self.spec.name, self.status, self.window_tokens, self.usable_tokens, detail)
        if self._told is not None and _same_to_a_dispatcher(self._told, now):
            return None
        self._telling = now
        return now

    def settle(self) -> None:
        """What was to be told is in the journal."""
        if self._telling is not None:
            self._told, self._telling = self._telling, None

    def kept(self) -> object:
        """What `dump` would write, to compare: a thousand idle agents are looked at all the time."""
        return dict(self.runs), dict(self.causes), self.window_tokens

    def dump(self) -> bytes:
        """The part that must survive a restart."""
        plain = {
            "runs": [dump(run) for run in self.runs.values()],
            "causes": {str(run): cause for run, cause in self.causes.items()},
            "window_tokens": self.window_tokens,
        }
        return json.dumps(plain).encode()

    def load(self, state: bytes) -> None:
        """The state back from `dump`."""
        plain = json.loads(state)
        runs = [load(run) for run in plain["runs"]]
        self.runs = {run.run: run for run in runs}
        self.causes = {RunId.parse(run): cause for run, cause in plain["causes"].items()}
        self.heard_window(plain["window_tokens"])

    def keep(self, runs: Set[RunId]) -> None:
        """Forget every other run: it was ended by somebody else while this agent was not configured."""
        for run in self.runs.keys() - runs:
            del self.runs[run]
            self.causes.pop(run, None)


def view_of(state: AgentState, open_orders: int) -> AgentView:
    """The agent as the faces show it."""
    spec, usable = state.spec, state.usable_tokens
    at = limits(spec.context, usable)
    return AgentView(
        agent=spec.name,
        login=spec.login,
        driver=spec.driver,
        model=spec.model,
        difficulty=spec.difficulty,
        slots=spec.slots,
        status=state.status,
        detail=state.detail,
        window_tokens=state.window_tokens,
        usable_tokens=usable,
        compact_at_tokens=at.compact_at_tokens,
        rotate_at_tokens=at.rotate_at_tokens,
        runs=tuple(_run_view(run, state) for run in state.runs.values()),
        open_orders=open_orders,
        last_report_at=state.last_report_at,
        poll_failures=state.poll_failures,
    )


def _run_view(run: RunState, state: AgentState) -> RunView:
    return RunView(
        run=run.run,
        agent=run.agent,
        phase=run.phase,
        session=run.session,
        usage=run.usage,
        fill=fill(run.usage, state.spec.context),
        peak_tokens=run.peak_tokens,
        compactions=run.compactions_total,
        rotations=run.rotations,
        detail=run.detail,
    )


def _same_to_a_dispatcher(old: AgentObserved, new: AgentObserved) -> bool:
    """Idle or working is the dispatcher's own knowledge; reachable, and how large, is news."""
    up = {"idle", "working"}
    same_status = old.status == new.status or {old.status, new.status} <= up
    return same_status and old.usable_tokens == new.usable_tokens
