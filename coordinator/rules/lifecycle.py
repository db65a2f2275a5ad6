"""The life of one run as a state machine: inputs in, events and orders out.

    starting ──accepted, or a reading──▶ normal
    normal ──soft limit, at a boundary──▶ compacting ──done, failed, late──▶ normal
    normal ──hard limit, or a compaction was no help──▶ rotating ──done──▶ normal (next session)
    rotating ──failed, late──▶ parked              normal ──sessions used up──▶ parked
    any ──withdrawn──▶ cancelling ──done, late──▶ ended
    any ──the StartRun order is acknowledged done or failed──▶ ended

Two rules keep it safe. At most one of our orders is pending: a compaction under way is never
overtaken by a rotation, not even at the hard limit, because a successor started in the middle of a
compaction begins with nothing. And what is not known is not acted on: between a compaction and the
next reading the fill is unknown, and a reading counts once, by its `sampled_at`.

A silent agent is never killed: `stalled` says so and its reading is forgotten, until it reports.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from coordinator.rules.backoff import backoff_s
from coordinator.rules.context import (
    ContextAction,
    ContextPolicy,
    ContextUsage,
    decide,
    fill_in_percent,
    rearm_at_tokens,
    refilled_above_tokens,
    usable_of,
)
from coordinator.rules.events import (
    CompactionEnded,
    CompactionStarted,
    Event,
    RotationStarted,
    RunEnded,
    RunOutcome,
    RunParked,
    RunStarted,
    SessionRotated,
)
from coordinator.rules.handoff import degraded_handoff, handoff_problem, mechanical_facts
from coordinator.rules.orders import CompactContext, RotateSession
from coordinator.rules.run_inputs import (
    Acked,
    Close,
    Input,
    PollFailed,
    Sampled,
    Step,
    Tick,
    Withdrawn,
)
from coordinator.rules.run_state import RunState, cancel_key, enter, is_over, start_key

__all__ = [
    "Acked",
    "Close",
    "Input",
    "PollFailed",
    "Sampled",
    "Step",
    "Tick",
    "Withdrawn",
    "next_poll_after_s",
    "step",
]

# A failing poll doubles its interval up to this: an agent that comes back is seen within minutes.
MAX_POLL_BACKOFF_S = 300.0


def next_poll_after_s(failures: int, policy: ContextPolicy) -> float:
    """Seconds to the next poll after so many failures in a row; the caller adds the jitter."""
    return max(policy.poll_s, backoff_s(failures + 1, policy.poll_s, MAX_POLL_BACKOFF_S))


def step(state: RunState, given: Input, policy: ContextPolicy, now: datetime) -> Step:
    """What the input changes. Total: any input in any state has an answer, and one that is late,
    repeated, or meant for something else answers with the state as it was."""
    if is_over(state):
        return Step(state)
    match given:
        case Sampled():
            return _sampled(state, given, policy, now)
        case PollFailed():
            return Step(_remark(replace(state, poll_failures=state.poll_failures + 1), given.detail))
        case Acked():
            return _acked(state, given, policy, now)
        case Withdrawn():
            return _withdrawn(state, given.reason, now)
        case Tick():
            return _ticked(state, policy, now)
        case _:
            assert_never(given)


# readings ---------------------------------------------------------------------------------------


def _sampled(state: RunState, given: Sampled, policy: ContextPolicy, now: datetime) -> Step:
    if given.session is not None and given.session != state.session:
        return Step(state)
    if state.read_at is not None and given.usage.sampled_at < state.read_at <= now:
        return Step(state)  # a reading dated in our future (clocks get set) fences nothing
    if given.usage.sampled_at == state.read_at:
        return _act(replace(state, at_boundary=given.at_boundary), policy, now)
    begun = _taken_up(state, now)
    read = _read(begun.state, given, policy, now)
    return _then(replace(begun, state=_judge_compaction(read, policy)), policy, now)


def _read(state: RunState, given: Sampled, policy: ContextPolicy, now: datetime) -> RunState:
    usage = given.usage
    rearm_at = rearm_at_tokens(policy, usable_of(usage, policy))
    low = rearm_at is not None and usage.predicted_tokens <= rearm_at
    recovered = state.poll_failures > 0 or state.stalled
    return replace(
        _remark(state, "") if recovered else state,
        usage=usage,
        read_at=usage.sampled_at,
        at_boundary=given.at_boundary,
        peak_tokens=max(state.peak_tokens, usage.predicted_tokens),
        armed=state.armed or low,
        last_report_at=now,
        poll_failures=0,
        stalled=False,
    )


def _remark(state: RunState, detail: str) -> RunState:
    """Say how the agent is doing, unless the detail already says what a person must know."""
    return state if state.phase in ("parked", "cancelling") else replace(state, detail=detail)


def _judge_compaction(state: RunState, policy: ContextPolicy) -> RunState:
    """The first reading after a compaction tells whether it helped; if not, a new session must."""
    before, usage = state.before_tokens, state.usage
    if state.phase != "normal" or before is None or usage is None:
        return state
    after = usage.predicted_tokens
    refilled_above = refilled_above_tokens(policy, usable_of(usage, policy))
    because = ""
    if after > before * (1 - policy.min_gain):
        because = f"the compaction gained too little: {before} to {after} tokens"
    elif refilled_above is not None and after > refilled_above:
        because = f"the context was still too full after the compaction: {after} tokens"
    return replace(state, before_tokens=None, rotate_because=because)


# actions ----------------------------------------------------------------------------------------


def _then(done: Step, policy: ContextPolicy, now: datetime) -> Step:
    """The step so far, and whatever the state it led to calls for."""
    more = _act(done.state, policy, now)
    return Step(
        more.state, done.events + more.events, done.orders + more.orders, done.closed + more.closed
    )


def _act(state: RunState, policy: ContextPolicy, now: datetime) -> Step:
    """The one place that asks the agent for something."""
    if state.phase != "normal" or state.poll_failures >= policy.unknown_after_failures:
        return Step(state)
    action = decide(state.usage, policy, armed=state.armed)
    if action is ContextAction.ROTATE:
        # The agent rotates at its own next boundary; waiting for ours could cost a whole turn.
        cooled = state.last_action != "rotate" or _is_cool(state, policy, now)
        full = f"the context is at {fill_in_percent(state.usage, policy)}"
        return _rotate(state, state.rotate_because or full, policy, now) if cooled else Step(state)
    if not state.at_boundary or not _is_cool(state, policy, now):
        return Step(state)
    if state.rotate_because:
        return _rotate(state, state.rotate_because, policy, now)
    if action is ContextAction.CONTINUE or state.usage is None:
        return Step(state)
    if state.compactions >= policy.max_compactions:
        because = f"compacted {state.compactions} times in this session"
        return _rotate(state, because, policy, now)
    return _compact(state, state.usage, now)


def _is_cool(state: RunState, policy: ContextPolicy, now: datetime) -> bool:
    return state.last_action_at is None or now - state.last_action_at >= _s(policy.cooldown_s)


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _compact(state: RunState, usage: ContextUsage, now: datetime) -> Step:
    attempt = state.compactions + 1
    order = CompactContext(state.run, state.agent, state.session, attempt)
    asked = replace(
        enter(state, "compacting", now),
        armed=False,
        pending_key=order.key,
        attempt=attempt,
        compactions=attempt,
        compactions_total=state.compactions_total + 1,
        before_tokens=usage.predicted_tokens,
        last_action="compact",
        last_action_at=now,
    )
    event = CompactionStarted(state.run, state.agent, state.session, usage)
    return Step(asked, (event,), (order,))


def _rotate(state: RunState, reason: str, policy: ContextPolicy, now: datetime) -> Step:
    if state.session >= policy.max_sessions:
        return _park(state, f"{reason}; all {policy.max_sessions} sessions of the run are used up", now)
    facts = mechanical_facts(state, reason, now)
    order = RotateSession(state.run, state.agent, state.session, state.session + 1, reason, facts)
    asked = replace(
        enter(state, "rotating", now),
        pending_key=order.key,
        attempt=1,
        facts=facts,
        last_action="rotate",
        last_action_at=now,
    )
    event = RotationStarted(state.run, state.agent, state.session, reason, state.usage)
    return Step(asked, (event,), (order,))


def _park(state: RunState, reason: str, now: datetime) -> Step:
    parked = enter(state, "parked", now, detail=reason)
    return Step(parked, (RunParked(state.run, state.agent, reason),))


# answers ----------------------------------------------------------------------------------------


def _acked(state: RunState, given: Acked, policy: ContextPolicy, now: datetime) -> Step:
    if given.order_key == start_key(state):
        return _start_acked(state, given, now)
    if given.order_key == cancel_key(state) and given.status != "accepted":
        # Maybe before we were told of the withdrawal: the agent reads its orders by itself.
        return _end(state, "withdrawn", given.detail or state.detail, now)
    if given.order_key != state.pending_key or given.status == "accepted":
        return Step(state)
    heard = _heard(state, now)
    if state.phase == "compacting":
        return _then(_compacted(heard, given, now), policy, now)
    return _rotated(heard, given, now)


def _heard(state: RunState, now: datetime) -> RunState:
    return replace(state, last_report_at=now, stalled=False)


def _start_acked(state: RunState, given: Acked, now: datetime) -> Step:
    if given.status == "accepted":
        return _taken_up(state, now)
    if given.status == "done":
        return _end(state, "completed", given.detail, now)
    outcome: RunOutcome = "withdrawn" if state.phase == "cancelling" else "failed"
    return _end(state, outcome, given.detail, now)


def _taken_up(state: RunState, now: datetime) -> Step:
    """An agent that accepts or reports has evidently started; news only the first time."""
    if state.phase != "starting":
        return Step(state)
    started = enter(_heard(state, now), "normal", now)
    return Step(started, (RunStarted(state.run, state.agent, state.session),))


def _compacted(state: RunState, given: Acked, now: datetime) -> Step:
    """The reading from before is void once a compaction succeeded; a failed one changed nothing."""
    if given.status == "failed":
        return _compaction_failed(state, given.detail or "the agent could not compact", now)
    ended = replace(enter(state, "normal", now), usage=None, at_boundary=False)
    event = _compaction_ended(state, ok=True, after_tokens=given.after_tokens, detail=given.detail)
    return Step(ended, (event,), closed=(Close(given.order_key, "done", given.detail),))


def _compaction_failed(state: RunState, detail: str, now: datetime) -> Step:
    because = f"the compaction failed: {detail}"
    ended = replace(
        enter(state, "normal", now, detail=because), before_tokens=None, rotate_because=because
    )
    event = _compaction_ended(state, ok=False, after_tokens=None, detail=detail)
    return Step(ended, (event,), closed=_close_pending(state, "failed", detail))


def _compaction_ended(
    state: RunState, *, ok: bool, after_tokens: int | None, detail: str
) -> CompactionEnded:
    return CompactionEnded(
        run=state.run,
        agent=state.agent,
        session=state.session,
        before_tokens=state.before_tokens or 0,
        after_tokens=after_tokens,
        ok=ok,
        detail=detail,
        compactions=state.compactions_total,
    )


def _rotated(state: RunState, given: Acked, now: datetime) -> Step:
    closed = _close_pending(state, given.status, given.detail)
    if given.status == "failed":
        reason = f"the rotation failed: {given.detail or 'the agent gave no reason'}"
        return replace(_park(state, reason, now), closed=closed)
    problem = handoff_problem(given.handoff)
    handoff = degraded_handoff(problem, state.facts) if problem else str(given.handoff)
    successor = replace(
        enter(state, "normal", now, detail=problem and f"handoff degraded: {problem}"),
        session=state.session + 1,
        usage=None,
        at_boundary=False,
        compactions=0,
        rotations=state.rotations + 1,
        armed=True,
        before_tokens=None,
        rotate_because="",
        facts="",
    )
    event = SessionRotated(state.run, state.agent, state.session, successor.session, handoff)
    return Step(successor, (event,), closed=closed)


# the end ----------------------------------------------------------------------------------------


def _withdrawn(state: RunState, reason: str, now: datetime) -> Step:
    if state.phase == "cancelling":
        return Step(state)
    if state.phase == "starting":
        return _end(state, "withdrawn", f"{reason}; never started", now)
    asked = replace(enter(state, "cancelling", now, detail=reason), pending_key=cancel_key(state))
    return Step(asked, _abandoned(state), closed=_close_pending(state, "withdrawn", reason))


def _abandoned(state: RunState) -> tuple[Event, ...]:
    """The end of a compaction that the run's end, or its withdrawal, leaves behind."""
    if state.phase != "compacting":
        return ()
    return (_compaction_ended(state, ok=False, after_tokens=None, detail="left unfinished"),)


def _close_pending(state: RunState, result: str, detail: str) -> tuple[Close, ...]:
    return () if state.pending_key is None else (Close(state.pending_key, result, detail),)


def _end(state: RunState, outcome: RunOutcome, detail: str, now: datetime) -> Step:
    """The run is over: every order it could still have open is closed with it."""
    event = RunEnded(
        run=state.run,
        agent=state.agent,
        outcome=outcome,
        detail=detail,
        sessions=state.session,
        compactions=state.compactions_total,
        rotations=state.rotations,
        peak_tokens=state.peak_tokens,
        estimated_context_tokens=state.estimated_context_tokens,
    )
    keys = dict.fromkeys((start_key(state), cancel_key(state), state.pending_key))
    closed = tuple(Close(key, outcome, detail) for key in keys if key is not None)
    ended = replace(enter(state, "ended", now, detail=detail), usage=None, at_boundary=False)
    return Step(ended, (*_abandoned(state), event), closed=closed)


# deadlines --------------------------------------------------------------------------------------


def _ticked(state: RunState, policy: ContextPolicy, now: datetime) -> Step:
    waited = now - state.since
    if state.phase == "compacting" and waited >= _s(policy.compact_timeout_s):
        late = f"no record within {policy.compact_timeout_s:g} s"
        return _then(_compaction_failed(state, late, now), policy, now)
    if state.phase == "rotating" and waited >= _s(policy.rotate_timeout_s):
        late = f"no successor session within {policy.rotate_timeout_s:g} s"
        return replace(_park(state, late, now), closed=_close_pending(state, "expired", late))
    if state.phase == "cancelling" and waited >= _s(policy.rotate_timeout_s):
        late = f"{state.detail}; not acknowledged within {policy.rotate_timeout_s:g} s"
        return _end(state, "withdrawn", late, now)
    return _act(_stalled(state, policy, now), policy, now)


def _stalled(state: RunState, policy: ContextPolicy, now: datetime) -> RunState:
    """Silent for too long: the last reading is too old to act on. Parked runs may be silent."""
    if (
        state.stalled
        or state.phase == "parked"
        or now - state.last_report_at < _s(policy.stall_after_s)
    ):
        return state
    detail = f"no report for {policy.stall_after_s:g} s"
    return _remark(replace(state, stalled=True, usage=None, at_boundary=False), detail)
