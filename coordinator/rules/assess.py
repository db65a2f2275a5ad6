"""Why each issue is where it is: the one function behind every dispatch and every explanation.

`assess` looks at the world and says where an issue stands. The dispatcher acts on its answer and
`explain` shows the same answer, so an explanation cannot differ from what decided.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, assert_never

from coordinator.rules.assignment import AssignmentRequest, Candidate, Choice, NoFit, Wait, choose
from coordinator.rules.events import CommandGiven, IssueBlocked, IssueFacts, IssueUnblocked
from coordinator.rules.ids import IssueRef
from coordinator.rules.world import IssueRecord, RunRecord, World

__all__ = [
    "MAX_DISPATCHES",
    "Assessment",
    "State",
    "asks_again",
    "assess",
    "candidates",
    "fingerprint",
    "priority",
]

State = Literal["ignored", "waiting", "blocked", "ready", "running", "parked", "done", "closed"]

# Twenty fresh signals on one issue look like a loop; from then on only a person's clear word counts:
# a command to retry, a close and a reopening, or taking it away and giving it back.
MAX_DISPATCHES = 20

# Issues without a priority/1..4 label queue with the third rank: a label can raise or lower them.
DEFAULT_PRIORITY = 3


@dataclass(frozen=True, slots=True)
class Assessment:
    """Where an issue stands. `choice` is set only in state ready with reason ready.

    `next_check_at` is None: every reason here ends with an event, none with the clock alone.
    `withdraw` says why a running run must stop, if it must.
    """

    state: State
    reason: str
    evidence: str
    choice: Choice | None = None
    withdraw: str | None = None
    next_check_at: datetime | None = None


def assess(ref: IssueRef, world: World) -> Assessment:
    """Where the issue stands in this world; an issue never heard of is ignored, reason unknown."""
    record = world.issues.get(ref)
    if record is None or (record.facts is None and not record.deleted):
        return Assessment("ignored", "unknown", f"no delivery about {ref} has been seen")
    if record.run is not None and record.run.is_open:
        return _assess_running(record, record.run, world)
    if record.deleted:
        return Assessment("closed", "deleted", "the issue was deleted at the forge")
    assert record.facts is not None
    if record.facts.state == "closed":
        return Assessment("closed", "closed", "the issue is closed")
    if not record.ours(world.logins):
        return Assessment("ignored", "not_ours", "none of our logins is assigned")
    return _assess_open(record, record.facts, world)


def fingerprint(record: IssueRecord, world: World) -> tuple[str, str]:
    """The state of durable work product this issue would be dispatched with, and its episode.

    Equal fingerprints mean nothing new to work on. It covers the text (edits by our own agents
    excepted: they would feed a loop), the logins asked for, the closed blockers, what people have
    told us, and the episode: the last time the issue was taken from us or closed after its newest
    dispatch.
    """
    return _fingerprint(record, world, record.told.newest_id)


def asks_again(record: IssueRecord) -> bool:
    """Whether a person has asked for another run since the last dispatch; there was one.

    To retry is to ask for one. So is to resume what was stopped, and to give the issue to an agent
    that did not have it, or failed.
    """
    last, told = record.run, record.told
    assert last is not None
    asked = [told.retry]
    outcome = last.ended.outcome if last.ended is not None else None
    if outcome == "withdrawn" and told.parked is None:
        asked.append(told.holding)
    if told.assign is not None:
        is_other = told.assign.agent != last.dispatched.agent
        asked += [told.assign] if is_other or outcome != "completed" else []
    return any(each is not None and each.comment_id > last.dispatched.wish_id for each in asked)


def priority(facts: IssueFacts) -> int:
    """1 (first) to 4 (last), from the label priority/1..4; the most urgent label wins."""
    ranks = [int(label[-1]) for label in facts.labels if label in _PRIORITY_LABELS]
    return min(ranks, default=DEFAULT_PRIORITY)


def candidates(world: World) -> list[Candidate]:
    """Every configured agent as `choose` wants to see it."""
    return [
        Candidate(spec, agent.usable_tokens, len(agent.running), 0, agent.status)
        for spec in world.fleet.agents
        for agent in (world.agents[spec.name],)
    ]


_PRIORITY_LABELS = frozenset(f"priority/{rank}" for rank in range(1, 5))


def _fingerprint(record: IssueRecord, world: World, wish_id: int) -> tuple[str, str]:
    verdict = record.verdict
    assert record.facts is not None
    satisfied = verdict.satisfied if isinstance(verdict, IssueUnblocked) else ()
    episode = _episode(record, record.run)
    parts = [record.signal_text_key, episode, *record.ours(world.logins), "", *map(str, satisfied)]
    # Only where people told us something: all other fingerprints stay what they ever were.
    parts += [f"wish {wish_id}"] if wish_id else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest(), episode


def _episode(record: IssueRecord, last: RunRecord | None) -> str:
    ends = [at for at in (record.away_at, record.closed_at) if at is not None]
    if last is None:
        return ""
    newer = [at for at in ends if at > last.dispatched.basis_at]
    return max(newer).isoformat() if newer else last.dispatched.episode


def _assess_running(record: IssueRecord, run: RunRecord, world: World) -> Assessment:
    agent = run.dispatched.agent
    if run.phase == "withdrawing":
        return Assessment("running", "withdrawing", f"{agent} was asked to stop: {run.detail}")
    if why := _withdrawal(record, run, world):
        return Assessment("running", "withdrawing", f"{agent} must stop: {why}", withdraw=why)
    if run.phase == "parked":
        return Assessment("parked", "run_parked", f"{agent} holds the run: {run.detail}")
    late = _late_blockers(record)
    if run.phase == "assigned":
        return Assessment("running", "dispatched", f"given to {agent}, not yet taken up{late}")
    return Assessment("running", "working", f"{agent} works on it{late}")


def _withdrawal(record: IssueRecord, run: RunRecord, world: World) -> str | None:
    if record.deleted:
        return "the issue was deleted"
    assert record.facts is not None
    if record.facts.state == "closed":
        return "the issue was closed"
    ours = record.ours(world.logins)
    if not ours:
        return "the issue is no longer assigned to one of our logins"
    if parked := record.told.parked:
        return _parked_by(parked)
    retry = record.told.retry
    # One that is at work is left to its work; the wish counts when it has ended.
    if run.phase == "parked" and retry is not None and retry.comment_id > run.dispatched.wish_id:
        return f"{retry.by} asked for another try"
    if assign := record.told.assign:
        return (
            None if assign.agent == run.dispatched.agent else f"{assign.by} gave it to {assign.agent}"
        )
    spec = world.fleet.agent(run.dispatched.agent)
    pool = not set(ours).isdisjoint(world.fleet.pool_logins)
    if spec is not None and not pool and spec.login not in ours:
        return f"the issue is now assigned to {', '.join(ours)}"
    return None


def _late_blockers(record: IssueRecord) -> str:
    verdict = record.verdict
    if not isinstance(verdict, IssueBlocked):
        return ""
    names = ", ".join(map(str, (*verdict.open_blockers, *verdict.unknown_blockers)[:5]))
    names = names or "an issue we may not see"
    return f"; became blocked by {names} while running (shown, not enforced)"


def _assess_open(record: IssueRecord, facts: IssueFacts, world: World) -> Assessment:
    meta, verdict = record.metadata, record.verdict
    if parked := record.told.parked:
        return Assessment("parked", "parked_by_person", _parked_by(parked))
    if meta is None:
        return Assessment("waiting", "parsing", "its text has not been read into metadata yet")
    if verdict is None or verdict.text_key != facts.text_key or not verdict.parsed:
        return Assessment("waiting", "judging", "its dependencies have not been judged yet")
    if isinstance(verdict, IssueBlocked):
        return _blocked(verdict)
    if spent := _spent(record, world):
        return spent
    request = AssignmentRequest(
        ref=facts.ref,
        assignees=record.ours(world.logins),
        difficulty=meta.difficulty,
        estimate=meta.estimated_context_tokens,
        suggested_agent=meta.suggested_agent,
        pinned_agent=None if record.told.assign is None else record.told.assign.agent,
    )
    answer = choose(request, candidates(world), world.fleet)
    match answer:
        case Choice() as choice:
            return Assessment("ready", "ready", choice.evidence, choice)
        case Wait(reason=reason, evidence=evidence):
            return Assessment("ready", reason, evidence)
        case NoFit(reason=reason, evidence=evidence):
            return Assessment("parked", reason, evidence)
        case _:
            assert_never(answer)


def _blocked(verdict: IssueBlocked) -> Assessment:
    if len(verdict.cycle) == 1:
        return Assessment("blocked", "cycle", "it waits for itself; remove that dependency")
    if verdict.cycle:
        path = " → ".join(map(str, (*verdict.cycle, verdict.cycle[0])))
        told = f"in a dependency cycle: {path}; remove one of these dependencies"
        return Assessment("blocked", "cycle", told)
    if verdict.open_blockers:
        names = ", ".join(map(str, verdict.open_blockers))
        return Assessment("blocked", "open_blocker", f"waits for {names} to be closed")
    if verdict.unknown_blockers:
        names = ", ".join(map(str, verdict.unknown_blockers))
        return Assessment(
            "blocked", "unknown_blocker", f"nothing is known of {names}; unknown counts as open"
        )
    return Assessment(
        "blocked",
        "hidden_blocker",
        f"waits for {verdict.hidden_blockers} that we may not see; what is hidden counts as open",
    )


def _parked_by(command: CommandGiven) -> str:
    return f"parked by {command.by}" + (f": {command.reason}" if command.reason else "")


def _spent(record: IssueRecord, world: World) -> Assessment | None:
    """What stands when the issue was worked on and nothing new has come since."""
    last = record.run
    if last is None or last.ended is None:
        return None
    if asks_again(record):
        return None
    found, episode = _fingerprint(record, world, last.dispatched.wish_id)
    if found != last.dispatched.fingerprint:
        is_new_episode = episode != last.dispatched.episode
        if is_new_episode or last.dispatched.run.generation < MAX_DISPATCHES:
            return None
        runs = last.dispatched.run.generation
        return Assessment(
            "parked",
            "too_many_dispatches",
            f"{runs} runs look like a loop; comment /coordinator retry, or close and reopen it, or"
            " re-assign it, for another",
        )
    agent, ended = last.dispatched.agent, last.ended
    if ended.outcome == "completed":
        return Assessment("done", "completed", f"{agent} finished; waits to be closed")
    return Assessment(
        "parked",
        f"run_{ended.outcome}",
        f"the run by {agent} ended {ended.outcome}: {ended.detail}; to try again, comment"
        " /coordinator retry, edit it, or re-assign it",
    )
