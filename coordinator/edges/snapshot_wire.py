"""Actor states as bytes and back: one layout per actor, validated on the way in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
from coordinator.rules.ids import DeliveryId, IssueRef, Login
from coordinator.rules.repositories import Repository
from coordinator.rules.routing import SavedIssues
from coordinator.rules.sweep_plan import SavedSweep
from coordinator.rules.told import Told
from coordinator.rules.world import AgentRecord, IssueRecord, RunRecord, World
from coordinator.rules.written import Page, Pages

__all__ = [
    "dump_known",
    "dump_pages",
    "dump_parses",
    "dump_sweeps",
    "dump_world",
    "load_known",
    "load_pages",
    "load_parses",
    "load_sweeps",
    "load_world",
]


@dataclass(slots=True)
class _Known:
    facts: list[IssueFacts]
    deleted: list[IssueRef]
    repositories: list[Repository]
    missed: dict[str, int]
    heard: list[int]


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
    written: dict[Login, bool] = field(default_factory=dict)
    told: Told = field(default_factory=Told)


@dataclass(slots=True)
class _World:
    issues: list[_Issue]
    agents: list[AgentRecord]
    names: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Sweeps:
    sweeps: list[SavedSweep]
    named: dict[str, int]


@dataclass(slots=True)
class _Pages:
    pages: list[tuple[IssueRef, Page]]
    repositories: dict[str, int]


T = TypeVar("T")

# A dump runs in a thread, but pydantic keeps the interpreter to itself until it has written a value:
# so many rows take some 4 ms, and between them the event loop gets its turn.
_SLICE = 500

_FACTS = TypeAdapter(list[IssueFacts])
_ISSUES = TypeAdapter(list[_Issue])
_KNOWN = TypeAdapter(_Known)
_PAGES = TypeAdapter(_Pages)
_PARSES = TypeAdapter(list[IssueParsed])
_WORLD = TypeAdapter(_World)
_SWEEPS = TypeAdapter(_Sweeps)


def dump_known(known: SavedIssues) -> bytes:
    """The router's state."""
    facts, deleted = list(known.facts.values()), sorted(known.deleted)
    repositories, heard = list(known.repositories), sorted(known.heard)
    rest = _KNOWN.dump_json(_Known([], deleted, repositories, known.missed, heard))
    return _with_rows(b'{"facts":', _sliced(_FACTS, facts), rest)


def _sliced(adapter: TypeAdapter[list[T]], rows: list[T]) -> bytes:
    """The rows as one JSON list, written a slice at a time."""
    slices = (rows[at : at + _SLICE] for at in range(0, len(rows), _SLICE))
    return b"[" + b",".join(adapter.dump_json(part)[1:-1] for part in slices) + b"]"


def _with_rows(start: bytes, rows: bytes, rest: bytes) -> bytes:
    """`rest`, whose first field is an empty list, with the rows in that list."""
    assert rest.startswith(start + b"[]")
    return start + rows + rest[len(start) + 2 :]


def load_known(state: bytes) -> SavedIssues:
    """The router's state back."""
    loaded = _read(_KNOWN, state)
    facts = {each.ref: each for each in loaded.facts}
    return SavedIssues(
        facts,
        frozenset(loaded.deleted),
        tuple(loaded.repositories),
        loaded.missed,
        frozenset(loaded.heard),
    )


def dump_pages(pages: Pages) -> bytes:
    """The scribe's state."""
    return _PAGES.dump_json(_Pages(list(pages.pages.items()), pages.repositories))


def load_pages(state: bytes, fleet: Fleet) -> Pages:
    """The scribe's state back."""
    loaded = _read(_PAGES, state)
    return Pages(fleet, dict(loaded.pages), loaded.repositories)


def dump_parses(parses: Iterable[IssueParsed]) -> bytes:
    """The parser's cache, oldest first."""
    return _PARSES.dump_json(list(parses))


def load_parses(state: bytes) -> list[IssueParsed]:
    """The parser's cache back."""
    return _read(_PARSES, state)


def dump_sweeps(sweeps: Iterable[SavedSweep], named: Mapping[str, int]) -> bytes:
    """The sweeper's state: how far it has looked, and which repositories its settings' names meant."""
    return _SWEEPS.dump_json(_Sweeps(list(sweeps), dict(named)))


def load_sweeps(state: bytes) -> tuple[list[SavedSweep], dict[str, int]]:
    """The sweeper's state back."""
    loaded = _read(_SWEEPS, state)
    return loaded.sweeps, loaded.named


def dump_world(world: World) -> bytes:
    """The dispatcher's world."""
    issues = [_issue_row(record) for record in world.issues.values()]
    rest = _WORLD.dump_json(_World([], list(world.agents.values()), world.names))
    return _with_rows(b'{"issues":', _sliced(_ISSUES, issues), rest)


def load_world(state: bytes, fleet: Fleet) -> World:
    """The dispatcher's world back; agents that are configured no more are left out."""
    loaded = _read(_WORLD, state)
    world = World(fleet)
    world.issues = {row.ref: _issue_record(row) for row in loaded.issues}
    world.names = loaded.names
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
        written=record.written,
        told=record.told,
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
        written=row.written,
        told=row.told,
    )
