"""One structured log line per event: what changed, for which issue and agent, from which delivery.

Only ids, codes and numbers are named here; titles, bodies, summaries and handoffs never are.
"""

import re
from typing import Any

from coordinator.edges.journal import Stored
from coordinator.rules.events import (
    AgentObserved,
    CommandGiven,
    CommandRefused,
    CommentWritten,
    CompactionEnded,
    CycleBroken,
    CycleFound,
    Event,
    IssueAssessed,
    IssueBlocked,
    IssueDispatched,
    IssueObserved,
    IssueParsed,
    LabelsWritten,
    RepositoryMoved,
    RunEnded,
    SessionRotated,
)

__all__ = ["log_event"]

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def log_event(log: Any, stored: Stored) -> None:
    """Write the line for one stored event through a structlog logger."""
    event = stored.event
    kind = _WORD.sub("_", type(event).__name__).lower()
    log.info(kind, seq=stored.seq, delivery=stored.delivery, **_who(event), **_what(event))


def _who(event: Event) -> dict[str, str]:
    fields: dict[str, str] = {}
    run, ref, agent = (getattr(event, name, None) for name in ("run", "ref", "agent"))
    if isinstance(event, IssueObserved):
        ref = event.facts.ref
    if run is not None:
        fields |= {"run": str(run), "issue": str(run.issue)}
    if ref is not None:
        fields["issue"] = str(ref)
    if agent is not None:
        fields["agent"] = agent
    return fields


def _what(event: Event) -> dict[str, object]:
    match event:
        case IssueObserved(facts=facts, action=action, source=source):
            told: dict[str, object] = {"action": action, "state": facts.state, "source": source}
            return told | ({"missed": list(event.missed)} if event.missed else {})
        case RepositoryMoved(repo_id=repo_id, canonical=canonical, current=current):
            return {"repo_id": repo_id, "canonical": canonical, "current": current}
        case (
            CommandGiven(comment_id=comment, verb=verb) | CommandRefused(comment_id=comment, verb=verb)
        ):
            return {"comment": comment, "verb": verb}
        case CommentWritten(comment_id=comment):
            return {"comment": comment}
        case LabelsWritten(labels=labels):
            return {"labels": list(labels)}
        case IssueParsed(by=by, cost=cost, degraded=degraded):
            ms = round(cost.seconds * 1000)
            return {"by": by, "cost_usd": cost.cost_usd, "ms": ms, "degraded": degraded}
        case IssueBlocked():
            return {"open": len(event.open_blockers), "unknown": len(event.unknown_blockers)}
        case IssueAssessed(state=state, reason=reason):
            return {"state": state, "reason": reason}
        case IssueDispatched():
            return {"estimate": event.estimated_context_tokens, "usd": event.expected_cost_usd}
        case CycleFound(issues=issues) | CycleBroken(issues=issues):
            return {"cycle": [str(issue) for issue in issues]}
        case AgentObserved(status=status, usable_tokens=usable):
            return {"status": status, "usable_tokens": usable}
        case CompactionEnded(ok=ok, before_tokens=before, after_tokens=after):
            return {"ok": ok, "before_tokens": before, "after_tokens": after}
        case SessionRotated(from_session=old, to_session=new):
            return {"from_session": old, "to_session": new}
        case RunEnded(outcome=outcome, peak_tokens=peak):
            return {"outcome": outcome, "peak_tokens": peak}
        case _:
            return {}
