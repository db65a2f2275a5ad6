"""Actor states as bytes and back: one layout per actor, validated on the way in."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from coordinator.errors import JournalCorrupt
from coordinator.rules.events import (
    IssueAssessed,
    IssueBlocked,
    IssueFacts,
    IssueParsed,
    IssueUnblocked,
)
from coordinator.rules.fleet import Fleet
from coordinator.rules.ids import DeliveryId, IssueRef
from coordinator.rules.world import AgentRecord, IssueRecord, RunRecord, World

__all__ = ["dump_facts", "dump_parses", "dump_world", "load_facts", "load_parses", "load_world"]


@dataclass(slots=True)
class _Facts:
    facts: list[IssueFacts]
    deleted: list[IssueRef]


@dataclass(slots=True)
class _Issue:
    ref: IssueRef
    facts: IssueFacts | None
    deleted: bool
    signal_text_key: str
    away_at: datetime | None
    closed_at: datetime | None
    parses: list[IssueParsed]
    blocked: IssueBlocked | None
    unblocked: IssueUnblocked | None
    run: RunRecord | None
    assessed: IssueAssessed | None
    cause: DeliveryId | None = None


@dataclass(slots=True)
class _World:
    issues: list[_Issue]
    agents: list[AgentRecord]


T = TypeVar("T")

_FACTS = TypeAdapter(_Facts)
_PARSES = TypeAdapter(list[IssueParsed])
_WORLD = TypeAdapter(_World)


def dump_facts(facts: Mapping[IssueRef, IssueFacts], deleted: Set[IssueRef]) -> bytes:
    """The router's state."""
    return _FACTS.dump_json(_Facts(list(facts.values()), sorted(deleted)))


def load_facts(state: bytes) -> tuple[dict[IssueRef, IssueFacts], set[IssueRef]]:
    """The router's state back."""
    loaded = _read(_FACTS, state)
    return {facts.ref: facts for facts in loaded.facts}, set(loaded.deleted)


def dump_parses(parses: Iterable[IssueParsed]) -> bytes:
    """The parser's cache, oldest first."""
    return _PARSES.dump_json(list(parses))


def load_parses(state: bytes) -> list[IssueParsed]:
    """The parser's cache back."""
    return _read(_PARSES, state)


def dump_world(world: World) -> bytes:
    """The dispatcher's world."""
    issues = [_issue_row(record) for record in world.issues.values()]
    return _WORLD.dump_json(_World(issues, list(world.agents.values())))


def load_world(state: bytes, fleet: Fleet) -> World:
    """The dispatcher's world back; agents that are configured no more are left out."""
    loaded = _read(_WORLD, state)
    world = World(fleet)
    world.issues = {row.ref: _issue_record(row) for row in loaded.issues}
    world.agents |= {agent.name: agent for agent in loaded.agents if agent.name in world.agents}
    return world


def _read(adapter: TypeAdapter[T], state: bytes) -> T:
    try:
        return adapter.validate_json(state)
    except ValidationError as error:
        # Without the values seen: they hold titles and summaries, and crash reports reach the log.
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise JournalCorrupt(f"a snapshot cannot be read back: {problems[:3]}") from None


def _issue_row(record: IssueRecord) -> _Issue:
    verdict = record.verdict
    return _Issue(
        ref=record.ref,
        facts=record.facts,
        deleted=record.deleted,
        signal_text_key=record.signal_text_key,
        away_at=record.away_at,
        closed_at=record.closed_at,
        parses=list(record.parses.values()),
        blocked=verdict if isinstance(verdict, IssueBlocked) else None,
        unblocked=verdict if isinstance(verdict, IssueUnblocked) else None,
        run=record.run,
        assessed=record.assessed,
        cause=record.cause,
    )


def _issue_record(row: _Issue) -> IssueRecord:
    return IssueRecord(
        ref=row.ref,
        facts=row.facts,
        deleted=row.deleted,
        signal_text_key=row.signal_text_key,
        away_at=row.away_at,
        closed_at=row.closed_at,
        parses={parsed.text_key: parsed for parsed in row.parses},
        verdict=row.blocked or row.unblocked,
        run=row.run,
        assessed=row.assessed,
        cause=row.cause,
    )
