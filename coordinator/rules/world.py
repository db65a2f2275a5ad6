"""What the dispatcher knows: a fold over events, owned by one actor.

`World.apply` changes the world in place (a copy of ten thousand issues per event would be waste) but
is otherwise pure: no clock, no I/O. Observations, parses and runs may come again, or late, and change
nothing; of verdicts, assessments and agents the last one told counts.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, assert_never

from coordinator.rules.events import (
    AgentObserved,
    AgentStatus,
    AssigneeWritten,
    CommandGiven,
    CommandRefused,
    CommentWritten,
    CompactionEnded,
    CompactionStarted,
    CycleBroken,
    CycleFound,
    Event,
    IssueAssessed,
    IssueBlocked,
    IssueDeleted,
    IssueDispatched,
    IssueFacts,
    IssueObserved,
    IssueParsed,
    IssueUnblocked,
    LabelsWritten,
    Metadata,
    RepositoryMoved,
    RotationStarted,
    RunEnded,
    RunParked,
    RunStarted,
    SessionRotated,
    WithdrawalRequested,
)
from coordinator.rules.fleet import Fleet
from coordinator.rules.freshness import merge
from coordinator.rules.ids import AgentName, DeliveryId, IssueRef, Login, RunId
from coordinator.rules.told import Told

__all__ = ["AgentRecord", "IssueRecord", "RunRecord", "World"]

# Parses of texts that are not (or not yet) the current one; an edit and its revert need two.
MAX_PARSES = 4

RunPhase = Literal["assigned", "working", "parked", "withdrawing", "ended"]


@dataclass(slots=True)
class RunRecord:
    """The newest run of an issue. `ended` is None while it goes on.

    `doing` is what its agent is about beside the work, "" for nothing. `context_tokens` is the fill of
    its context when last told, None while nothing is known of the present session.
    """

    dispatched: IssueDispatched
    phase: RunPhase = "assigned"
    detail: str = ""
    ended: RunEnded | None = None
    sessions: int = 1
    compactions: int = 0
    peak_tokens: int = 0
    doing: Literal["", "compacting", "rotating"] = ""
    context_tokens: int | None = None

    @property
    def is_open(self) -> bool:
        return self.ended is None


@dataclass(slots=True)
class IssueRecord:
    """One issue. `away_at` and `closed_at` are the newest instants at which the forge showed it with
    none of our logins assigned, and closed: what makes a later assignment or reopening a new wish.
    `cause` is the newest delivery that touched the issue. `written` are the logins we assigned
    ourselves, and whether the forge has shown them since. `told` is what people have told us."""

    ref: IssueRef
    facts: IssueFacts | None = None
    deleted: bool = False
    signal_text_key: str = ""
    away_at: datetime | None = None
    closed_at: datetime | None = None
    parses: dict[str, IssueParsed] = field(default_factory=dict)
    verdict: IssueBlocked | IssueUnblocked | None = None
    run: RunRecord | None = None
    assessed: IssueAssessed | None = None
    cause: DeliveryId | None = None
    written: dict[Login, bool] = field(default_factory=dict)
    told: Told = field(default_factory=Told)

    @property
    def parsed(self) -> IssueParsed | None:
        """The metadata of the current text, if it has been read."""
        return self.parses.get(self.facts.text_key) if self.facts is not None else None

    @property
    def metadata(self) -> Metadata | None:
        """What the issue needs: as read from its text, or as a person said."""
        return self.told.over(self.parsed.metadata) if self.parsed is not None else None

    def ours(self, logins: frozenset[Login]) -> tuple[Login, ...]:
        """Those of our logins somebody else assigned the issue to, sorted."""
        return self.wished(self.facts, logins) if self.facts is not None else ()

    def wished(self, facts: IssueFacts, logins: frozenset[Login]) -> tuple[Login, ...]:
        """The same of any view of the issue."""
        return tuple(
            login for login in facts.assignees if login in logins and login not in self.written
        )


@dataclass(slots=True)
class AgentRecord:
    """One configured agent as events tell of it; `running` are the runs that hold its slots."""

    name: AgentName
    status: AgentStatus = "starting"
    window_tokens: int | None = None
    usable_tokens: int | None = None
    detail: str = ""
    running: set[RunId] = field(default_factory=set)


class World:
    """All issues ever seen and all configured agents."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.logins = fleet.logins
        self.issues: dict[IssueRef, IssueRecord] = {}
        self.agents = {spec.name: AgentRecord(spec.name) for spec in fleet.agents}
        # What a repository is called now, by its canonical name, as the forge spells it.
        self.names: dict[str, str] = {}

    def issue(self, ref: IssueRef) -> IssueRecord:
        return self.issues.setdefault(ref, IssueRecord(ref))

    def apply(self, event: Event) -> tuple[IssueRef, ...]:
        """Fold one event in; the issues whose assessment it may change."""
        match event:
            case IssueObserved():
                return self._observed(event)
            case IssueDeleted(ref=ref):
                self.issue(ref).deleted = True
                return (ref,)
            case IssueParsed():
                return self._parsed(event)
            case IssueBlocked(ref=ref) | IssueUnblocked(ref=ref):
                self.issue(ref).verdict = event
                return (ref,)
            case IssueAssessed(ref=ref):
                self.issue(ref).assessed = event
                return ()
            case IssueDispatched():
                return self._dispatched(event)
            case AgentObserved():
                return self._agent(event)
            case RunStarted(run=run):
                return self._phase(run, "working")
            case RunParked(run=run, reason=reason):
                return self._phase(run, "parked", reason)
            case WithdrawalRequested(run=run, reason=reason):
                return self._phase(run, "withdrawing", reason)
            case RunEnded():
                return self._ended(event)
            case CompactionStarted() | CompactionEnded() | RotationStarted() | SessionRotated():
                self._progress(event)
                return ()
            case CommandGiven(ref=ref) | CommandRefused(ref=ref):
                record = self.issue(ref)
                record.told = record.told.hear(event)
                return (ref,)
            case AssigneeWritten():
                return self._assigned(event)
            case RepositoryMoved(canonical=canonical, current=current):
                self.names[canonical] = current
                return ()
            case CycleFound() | CycleBroken() | CommentWritten() | LabelsWritten():
                return ()
            case _:
                assert_never(event)

    def _observed(self, event: IssueObserved) -> tuple[IssueRef, ...]:
        record, seen = self.issue(event.facts.ref), event.facts
        old = record.facts
        # Found when it was read, after all: what was known of it before no longer counts.
        is_back = record.deleted and seen.read_at is not None
        record.deleted = record.deleted and not is_back
        record.facts = facts = seen if is_back else merge(old, seen)
        if old is None or (facts.text_key != old.text_key and event.by not in self.logins):
            record.signal_text_key = facts.text_key
        self.names[seen.ref.repo] = seen.repo_name or self.names.get(seen.ref.repo, seen.ref.repo)
        if facts is seen:
            self._look_for_written(record, seen)
        if not record.wished(seen, self.logins):
            record.away_at = _newest(record.away_at, seen.updated_at)
        if seen.state == "closed":
            record.closed_at = _newest(record.closed_at, seen.updated_at)
        return (facts.ref,)

    def _assigned(self, event: AssigneeWritten) -> tuple[IssueRef, ...]:
        record = self.issue(event.ref)
        facts = record.facts
        record.written[event.login] = facts is not None and event.login in facts.assignees
        if facts is not None and not record.ours(self.logins):
            record.away_at = _newest(record.away_at, facts.updated_at)
        return (event.ref,)

    @staticmethod
    def _look_for_written(record: IssueRecord, seen: IssueFacts) -> None:
        """A login we assigned that was there and is gone was taken off: who puts it back means it."""
        for login, was_seen in list(record.written.items()):
            if login in seen.assignees:
                record.written[login] = True
            elif was_seen:
                del record.written[login]

    def _parsed(self, event: IssueParsed) -> tuple[IssueRef, ...]:
        record = self.issue(event.ref)
        record.parses[event.text_key] = event
        current = record.facts.text_key if record.facts is not None else event.text_key
        while len(record.parses) > MAX_PARSES:
            del record.parses[next(key for key in record.parses if key != current)]
        return (event.ref,)

    def _dispatched(self, event: IssueDispatched) -> tuple[IssueRef, ...]:
        record = self.issue(event.run.issue)
        if record.run is not None and record.run.dispatched.run.generation >= event.run.generation:
            return ()
        record.run = RunRecord(event)
        if event.agent in self.agents:
            self.agents[event.agent].running.add(event.run)
        return (event.run.issue,)

    def _agent(self, event: AgentObserved) -> tuple[IssueRef, ...]:
        agent = self.agents.get(event.agent)
        if agent is not None:
            agent.status = event.status
            agent.window_tokens, agent.usable_tokens = event.window_tokens, event.usable_tokens
            agent.detail = event.detail
        return ()

    def _phase(self, run: RunId, phase: RunPhase, detail: str = "") -> tuple[IssueRef, ...]:
        record = self.issue(run.issue).run
        if record is None or not record.is_open or record.dispatched.run != run:
            return ()
        if record.phase == "withdrawing":
            return ()  # only its end comes after that, whatever the monitor said meanwhile
        record.phase, record.detail = phase, detail
        return (run.issue,)

    def _ended(self, event: RunEnded) -> tuple[IssueRef, ...]:
        if event.agent in self.agents:
            self.agents[event.agent].running.discard(event.run)
        record = self.issue(event.run.issue).run
        if record is None or record.dispatched.run != event.run:
            return ()
        record.phase, record.ended = "ended", event
        record.sessions, record.compactions = event.sessions, event.compactions
        record.peak_tokens = event.peak_tokens
        return (event.run.issue,)

    def _progress(
        self, event: CompactionStarted | CompactionEnded | RotationStarted | SessionRotated
    ) -> None:
        record = self.issue(event.run.issue).run
        if record is None or not record.is_open or record.dispatched.run != event.run:
            return
        match event:
            case CompactionStarted(usage=usage):
                record.doing, record.context_tokens = "compacting", usage.predicted_tokens
            case CompactionEnded():
                record.doing, record.context_tokens = "", event.after_tokens
                record.compactions = max(record.compactions, event.compactions)
                record.peak_tokens = max(record.peak_tokens, event.before_tokens)
            case RotationStarted(usage=usage):
                record.doing = "rotating"
                record.context_tokens = None if usage is None else usage.predicted_tokens
            case _:
                record.doing, record.context_tokens = "", None
                record.sessions = max(record.sessions, event.to_session)


def _newest(old: datetime | None, new: datetime) -> datetime:
    return new if old is None or new > old else old
