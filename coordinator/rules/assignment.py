"""Which agent gets an issue: fit first, then who was named, then what it is expected to cost.

Knows nothing of graphs or queues: the world is handed in as candidates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coordinator.rules.events import AgentStatus, Difficulty
from coordinator.rules.fleet import AgentSpec, Fleet
from coordinator.rules.ids import AgentName, IssueRef, Login
from coordinator.rules.prices import expected_cost_usd, most_expensive

__all__ = ["AssignmentRequest", "Candidate", "Choice", "NoFit", "Wait", "choose"]

_RANK: dict[Difficulty, int] = {"easy": 1, "medium": 2, "hard": 3}

# A task should not fill the context it starts in: an estimate may take half of the usable window.
MAX_ESTIMATE_SHARE = 0.5

# Agents named in an explanation; who has more looks at the agents themselves.
MAX_LISTED = 10


@dataclass(frozen=True, slots=True)
class AssignmentRequest:
    """What an issue asks for. `assignees` may hold any logins; only ours count. `estimate` is the
    context the work will fill, in tokens. `suggested_agent` is a hint out of the issue's text.
    `pinned_agent` is a person's word, which leaves no choice."""

    ref: IssueRef
    assignees: tuple[Login, ...]
    difficulty: Difficulty
    estimate: int
    suggested_agent: str | None = None
    pinned_agent: AgentName | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One agent at this moment: `running` runs hold its slots, `queued` more are meant for it."""

    spec: AgentSpec
    usable_tokens: int | None
    running: int
    queued: int
    status: AgentStatus


@dataclass(frozen=True, slots=True)
class Choice:
    """This agent, now."""

    agent: AgentName
    expected_cost_usd: float
    evidence: str


@dataclass(frozen=True, slots=True)
class NoFit:
    """Nobody asked for can do it, and time will not change that.

    `reason` is not_ours, too_hard, too_large, or no_agent_fits when the reasons differ; with the
    prefix named_agent_ when only agents named by their own login were asked for. With the prefix
    pinned_agent_ for the one a person pinned: pinned_agent_too_large, or pinned_agent_gone.
    """

    reason: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody fits, but not now: `reason` is no_free_slot, agent_starting or agent_unknown."""

    reason: str
    evidence: str


@dataclass(frozen=True, slots=True)
class _Misfit:
    reason: str
    evidence: str


def choose(
    request: AssignmentRequest, candidates: Sequence[Candidate], fleet: Fleet
) -> Choice | NoFit | Wait:
    """The agent for the issue, or why there is none (now, or at all).

    A personal login asks for that agent alone; a pool login asks for any, and then an agent also
    named by its own login comes first. Among those that fit, are up and have a free slot: named
    first, lowest expected cost (an unlisted model counts as the dearest listed one), the suggested
    one, shortest queue, name. The order of `candidates` does not matter.

    A pinned agent alone is asked for whoever is assigned, and whatever the difficulty: the person who
    pinned it has judged that. But no person's word makes a window larger.
    """
    if request.pinned_agent is not None:
        return _pinned(request, request.pinned_agent, candidates)
    pooled = _any_of(request.assignees, fleet.pool_logins)
    asked = [c for c in candidates if pooled or _is_named(c, request)]
    if not asked:
        return _nobody_asked(request, pooled)
    misfits = {c.spec.name: _misfit(request, c) for c in asked}
    fitting = [c for c in asked if misfits[c.spec.name] is None]
    if not fitting:
        return _no_fit([m for m in misfits.values() if m is not None], pooled)
    return _among(request, fitting)


def _pinned(
    request: AssignmentRequest, agent: AgentName, candidates: Sequence[Candidate]
) -> Choice | NoFit | Wait:
    pinned = [c for c in candidates if c.spec.name == agent]
    if not pinned:
        return NoFit("pinned_agent_gone", f"{agent}, to whom a person gave it, is configured no more")
    if misfit := _too_large(request, pinned[0]):
        return NoFit(f"pinned_agent_{misfit.reason}", misfit.evidence)
    return _among(request, pinned)


def _among(request: AssignmentRequest, fitting: Sequence[Candidate]) -> Choice | Wait:
    free = [c for c in fitting if _is_up(c) and c.running < c.spec.slots]
    if not free:
        return _wait(fitting)
    return _choice(request, min(free, key=lambda candidate: _preference(request, candidate)))


def _misfit(request: AssignmentRequest, candidate: Candidate) -> _Misfit | None:
    """Why this agent cannot take the issue, whatever its load; None when it fits.

    With an unknown window only the difficulty decides.
    """
    spec = candidate.spec
    if _RANK[spec.difficulty] < _RANK[request.difficulty]:
        return _Misfit(
            "too_hard", f"{spec.name} takes up to {spec.difficulty}, not {request.difficulty}"
        )
    return _too_large(request, candidate)


def _too_large(request: AssignmentRequest, candidate: Candidate) -> _Misfit | None:
    spec, usable = candidate.spec, candidate.usable_tokens
    if usable is not None and request.estimate > usable * MAX_ESTIMATE_SHARE:
        return _Misfit(
            "too_large",
            f"{spec.name}: the estimate of {request.estimate} tokens is more than half of its"
            f" {usable} usable tokens",
        )
    return None


def _any_of(assignees: Sequence[Login], logins: Sequence[Login]) -> bool:
    """Whether they share a login; forges compare logins without regard to case."""
    return not {login.lower() for login in assignees}.isdisjoint(login.lower() for login in logins)


def _is_named(candidate: Candidate, request: AssignmentRequest) -> bool:
    return _any_of(request.assignees, (candidate.spec.login,))


def _is_up(candidate: Candidate) -> bool:
    return candidate.status in ("idle", "working")


def _nobody_asked(request: AssignmentRequest, pooled: bool) -> NoFit:
    if pooled:
        return NoFit("no_agent_fits", "no agent is configured")
    logins = ", ".join(request.assignees) or "nobody"
    return NoFit("not_ours", f"assigned to {logins}: neither the pool nor an agent")


def _no_fit(misfits: Sequence[_Misfit], pooled: bool) -> NoFit:
    reasons = {misfit.reason for misfit in misfits}
    reason = reasons.pop() if len(reasons) == 1 else "no_agent_fits"
    evidence = _listed(misfit.evidence for misfit in misfits)
    return NoFit(reason, evidence) if pooled else NoFit(f"named_agent_{reason}", evidence)


def _wait(fitting: Sequence[Candidate]) -> Wait:
    up = [c for c in fitting if _is_up(c)]
    evidence = _listed(map(_situation, fitting))
    if up:
        return Wait("no_free_slot", evidence)
    starting = any(c.status == "starting" for c in fitting)
    return Wait("agent_starting" if starting else "agent_unknown", evidence)


def _listed(evidence: Iterable[str]) -> str:
    """The evidence in one line that stays one: it goes into the journal whenever it changes."""
    lines = sorted(evidence)
    more = len(lines) - MAX_LISTED
    return "; ".join(lines[:MAX_LISTED] + ([f"and {more} more"] if more > 0 else []))


def _situation(candidate: Candidate) -> str:
    name, slots = candidate.spec.name, candidate.spec.slots
    if not _is_up(candidate):
        return f"{name} is {candidate.status}"
    return f"{name} has {candidate.running} of {slots} slots taken"


def _preference(request: AssignmentRequest, candidate: Candidate) -> tuple[bool, float, bool, int, str]:
    return (
        not _is_named(candidate, request),
        _cost(request, candidate),
        candidate.spec.name != request.suggested_agent,
        candidate.running + candidate.queued,
        candidate.spec.name,
    )


def _cost(request: AssignmentRequest, candidate: Candidate) -> float:
    known = expected_cost_usd(request.estimate, candidate.spec.model)
    return most_expensive(request.estimate) if known is None else known


def _choice(request: AssignmentRequest, candidate: Candidate) -> Choice:
    spec, usable = candidate.spec, candidate.usable_tokens
    usd = _cost(request, candidate)
    window = (
        f"{request.estimate} of {usable} usable tokens"
        if usable is not None
        else "window unknown, so only its difficulty was compared"
    )
    priced = expected_cost_usd(request.estimate, spec.model) is not None
    price = f"about ${usd:.2f}" if priced else f"{spec.model} has no listed price, taken as ${usd:.2f}"
    named = ", named by its login" if _is_named(candidate, request) else ""
    named = ", as a person asked" if spec.name == request.pinned_agent else named
    evidence = f"{spec.name}{named}: takes up to {spec.difficulty}, {window}, {price}"
    return Choice(spec.name, usd, evidence)
