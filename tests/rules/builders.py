"""Small builders of rule values, so that a test names only what it is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from coordinator.rules.events import (
    AgentObserved,
    CommandGiven,
    IssueBlocked,
    IssueFacts,
    IssueObserved,
    IssueParsed,
    IssueUnblocked,
    Metadata,
    RunEnded,
    RunOutcome,
    Verb,
)
from coordinator.rules.fleet import AgentSpec, Fleet
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId
from coordinator.rules.views import IssueView

T0 = datetime(2026, 7, 14, 10, 0, 0, tzinfo=UTC)
POOL = Login("coder-bot")


def at(seconds: int) -> datetime:
    return T0 + timedelta(seconds=seconds)


def ref(number: int, repo: str = "acme/widgets") -> IssueRef:
    return IssueRef(repo, number)


def refs(*numbers: int) -> tuple[IssueRef, ...]:
    return tuple(map(ref, numbers))


def fleet(*agents: AgentSpec) -> Fleet:
    return Fleet(agents or (agent("sonnet-1"),), (POOL,))


def agent(name: str, **fields: Any) -> AgentSpec:
    return AgentSpec(AgentName(name), fields.pop("login", Login(f"bot-{name}")), **fields)


def facts(number: int, *, updated: int = 0, **fields: Any) -> IssueFacts:
    base = IssueFacts(
        ref=ref(number),
        repo_id=41,
        issue_id=9000 + number,
        title=f"Issue {number}",
        text_key=f"text-{number}",
        state="open",
        assignees=(POOL,),
        labels=(),
        milestone=None,
        html_url=f"https://forge.example.org/acme/widgets/issues/{number}",
        created_at=at(-1000 + number),
        updated_at=at(updated),
    )
    return replace(base, **fields)


def observed(number: int, *, by: str | None = None, updated: int = 0, **fields: Any) -> IssueObserved:
    given = facts(number, updated=updated, **fields)
    return IssueObserved(given, "edited", by=Login(by) if by is not None else None)


def metadata(**fields: Any) -> Metadata:
    base = Metadata(20_000, "medium", None, (), (), "A summary", 0.5)
    return replace(base, **fields)


def parsed(number: int, *, text_key: str | None = None, **fields: Any) -> IssueParsed:
    return IssueParsed(ref(number), text_key or f"text-{number}", metadata(**fields), "rules")


def unblocked(number: int, *satisfied: int, text_key: str | None = None) -> IssueUnblocked:
    key = text_key or f"text-{number}"
    return IssueUnblocked(ref(number), key, True, tuple(ref(each) for each in satisfied))


def blocked(number: int, *by: int, **fields: Any) -> IssueBlocked:
    base = IssueBlocked(ref(number), f"text-{number}", True, tuple(ref(each) for each in by))
    return replace(base, **fields)


def up(name: str, **fields: Any) -> AgentObserved:
    base = AgentObserved(AgentName(name), "idle", 200_000, 200_000)
    return replace(base, **fields)


def given(number: int, comment_id: int, verb: Verb, **fields: Any) -> CommandGiven:
    by = Login(fields.pop("by", "maria"))
    return CommandGiven(ref(number), comment_id, by, verb, fields.pop("at", at(0)), **fields)


def view(number: int = 1, **fields: Any) -> IssueView:
    base = IssueView(
        issue=ref(number),
        title="A title",
        html_url="",
        state="ready",
        reason="ready",
        evidence="it fits",
        next_check_at=None,
        assignees=(POOL,),
        priority=3,
        metadata=metadata(),
        parsed_by="rules",
        open_blockers=(),
        unknown_blockers=(),
        cycle=(),
        agent=None,
        run=None,
        dispatches=0,
        compactions=0,
        rotations=0,
        peak_tokens=0,
        updated_at=at(0),
        repo_name="Acme/Widgets",
    )
    return replace(base, **fields)


def ended(number: int, generation: int, name: str, outcome: RunOutcome = "completed") -> RunEnded:
    return RunEnded(
        run=RunId(ref(number), generation),
        agent=AgentName(name),
        outcome=outcome,
        detail="because",
        sessions=2,
        compactions=3,
        rotations=1,
        peak_tokens=150_000,
        estimated_context_tokens=20_000,
    )
