"""What is known of one run: plain immutable data, and its way into and out of a snapshot.

The transitions are in `lifecycle`; here is what they move.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from coordinator.rules.context import ContextPolicy, ContextUsage
from coordinator.rules.events import AgentStatus
from coordinator.rules.ids import AgentName, RunId
from coordinator.rules.orders import CancelRun, StartRun

__all__ = [
    "ASKING",
    "Phase",
    "RunState",
    "agent_status",
    "begin",
    "cancel_key",
    "dump",
    "enter",
    "is_over",
    "load",
    "start_key",
]

Phase = Literal["starting", "normal", "compacting", "rotating", "cancelling", "parked", "ended"]

# The phases in which an order of ours waits for the agent's answer (StartRun is the dispatcher's).
ASKING: frozenset[Phase] = frozenset({"compacting", "rotating", "cancelling"})


@dataclass(frozen=True, slots=True)
class RunState:
    """One run as its monitor knows it.

    `session` counts from 1. `usage` is None while the fill is unknown: before the first reading,
    after a compaction or rotation until the next one, and once readings are too old. `read_at` is
    the instant of the newest reading ever taken, by the agent's clock. `since` is the start of the
    phase. `pending_key` names the one open order of this machine, `attempt` its number within the
    session. `before_tokens` is set from a compaction's request until its gain has been judged.
    `rotate_because` is why the next action must be a new session, "" if it need not. `brief` says
    what the run is about, for the handoff.
    """

    run: RunId
    agent: AgentName
    since: datetime
    last_report_at: datetime
    estimated_context_tokens: int
    brief: str
    phase: Phase = "starting"
    session: int = 1
    usage: ContextUsage | None = None
    read_at: datetime | None = None
    at_boundary: bool = False
    peak_tokens: int = 0
    compactions: int = 0
    compactions_total: int = 0
    rotations: int = 0
    armed: bool = True
    pending_key: str | None = None
    attempt: int = 0
    before_tokens: int | None = None
    rotate_because: str = ""
    facts: str = ""
    last_action: Literal["compact", "rotate"] | None = None
    last_action_at: datetime | None = None
    poll_failures: int = 0
    stalled: bool = False
    detail: str = ""


def begin(order: StartRun, now: datetime) -> RunState:
    """The state of a run just given to its agent, which has not answered yet."""
    brief = "\n".join(part for part in (order.title, order.html_url, order.summary) if part)
    return RunState(
        run=order.run,
        agent=order.agent,
        since=now,
        last_report_at=now,
        estimated_context_tokens=order.estimated_context_tokens,
        brief=brief,
    )


def is_over(state: RunState) -> bool:
    """Whether the run has ended and nothing can change it any more."""
    return state.phase == "ended"


def agent_status(
    runs: Iterable[RunState], poll_failures: int, policy: ContextPolicy
) -> tuple[AgentStatus, str]:
    """How an agent with these runs is doing, once it has been seen, and why.

    Unknown is neither dead nor free: nothing is taken from it and nothing more is given to it.
    """
    live = [state for state in runs if not is_over(state)]
    if poll_failures >= policy.unknown_after_failures:
        return "unknown", f"{poll_failures} polls in a row failed"
    silent = [f"{state.run}: {state.detail}" for state in live if state.stalled]
    if silent:
        return "unknown", "; ".join(silent)
    return ("working" if live else "idle"), ""


def enter(state: RunState, phase: Phase, now: datetime, *, detail: str = "") -> RunState:
    """The state at the start of another phase, with no order pending."""
    return replace(state, phase=phase, since=now, pending_key=None, detail=detail)


def start_key(state: RunState) -> str:
    """The key of the order that began the run; it stays open until the run ends."""
    return StartRun(state.run, state.agent, "", "", "", 0).key


def cancel_key(state: RunState) -> str:
    """The key of the order that stops the run, opened by whoever asked for the withdrawal."""
    return CancelRun(state.run, state.agent, "").key


def dump(state: RunState) -> dict[str, Any]:
    """The state as JSON-able values, for a snapshot; `load` reads it back equal."""
    plain = {item.name: getattr(state, item.name) for item in fields(state)}
    plain["run"] = str(state.run)
    for name in _INSTANTS:
        plain[name] = None if plain[name] is None else plain[name].isoformat()
    plain["usage"] = None if state.usage is None else _dump_usage(state.usage)
    return plain


def load(plain: Mapping[str, Any]) -> RunState:
    """The state `dump` wrote; fields it does not know yet take their defaults.

    A snapshot of another layout raises KeyError, TypeError or ValueError: replay the events then.
    """
    values = dict(plain)
    values["run"] = RunId.parse(values["run"])
    for name in _INSTANTS:
        at = values.get(name)
        values[name] = None if at is None else datetime.fromisoformat(at)
    usage = values.get("usage")
    values["usage"] = None if usage is None else _load_usage(usage)
    return RunState(**values)


_INSTANTS = ("since", "last_report_at", "read_at", "last_action_at")


def _dump_usage(usage: ContextUsage) -> dict[str, Any]:
    plain = {item.name: getattr(usage, item.name) for item in fields(usage)}
    plain["sampled_at"] = usage.sampled_at.isoformat()
    return plain


def _load_usage(plain: Mapping[str, Any]) -> ContextUsage:
    return ContextUsage(**{**plain, "sampled_at": datetime.fromisoformat(plain["sampled_at"])})
