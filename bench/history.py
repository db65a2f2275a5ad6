"""A long past, written quickly: the events real actors would have left, with their snapshots.

Every issue lives through chapters: assigned, read, judged, dispatched, compacted, rotated, done,
closed, reopened. The states behind the snapshots are folded by the program's own rules, event by event.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio

from coordinator.actors.dependency_tracker import DependencyTracker as Tracker
from coordinator.actors.dispatcher import Dispatcher
from coordinator.actors.parser import Parser
from coordinator.actors.router import Router
from coordinator.edges.journal import Commit, Draft, OrderClosed, OrderDraft, Snapshot
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.edges.snapshot_wire import dump_known, dump_parses, dump_world
from coordinator.rules.context import ContextUsage
from coordinator.rules.events import (
    CompactionEnded,
    CompactionStarted,
    Event,
    IssueAssessed,
    IssueDispatched,
    IssueFacts,
    IssueObserved,
    IssueParsed,
    IssueUnblocked,
    Metadata,
    RotationStarted,
    RunEnded,
    RunStarted,
    SessionRotated,
)
from coordinator.rules.fleet import AgentSpec, ContextPolicy, Fleet
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId
from coordinator.rules.orders import StartRun
from coordinator.rules.routing import KnownIssues
from coordinator.rules.tracker import DependencyTracker
from coordinator.rules.world import World

__all__ = ["AGENTS", "write_history"]

AGENTS = 20
_POOL = Login("coder-bot")
_START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
_TITLE = "Rows are lost when a key holds a dot"
_TEXT = "The importer drops rows whose key holds a dot, seen with the fixture of last week. " * 6
_SUMMARY = "The importer loses rows whose key holds a dot; the key splitter needs an escape."

# Events written behind the last snapshots: just under what makes the actors write new ones.
_TAIL_EVENTS = 4_500
_BLOCK_ISSUES = 500
# As many as the parser keeps.
_CACHED_PARSES = 20_000


@dataclass(frozen=True, slots=True)
class Step:
    """What one actor appended about a block of issues in one commit."""

    actor: str
    events: tuple[Event, ...]
    texts: tuple[tuple[str, str], ...] = ()
    opens: tuple[StartRun, ...] = ()
    closes: bool = False


class _States:
    """What each actor knows, folded as it would have."""

    def __init__(self, fleet: Fleet) -> None:
        self.known = KnownIssues(fleet.logins)
        self.parses: dict[tuple[str, str], IssueParsed] = {}
        self.tracker = DependencyTracker(fleet.logins)
        self.world = World(fleet)

    def fold(self, event: Event) -> None:
        self.known.fold(event)
        self.tracker.restore(event)
        self.world.apply(event)
        if isinstance(event, IssueParsed):
            self.parses[event.ref.repo, event.text_key] = event

    def snapshots(self) -> dict[str, bytes]:
        newest = list(self.parses.values())[-_CACHED_PARSES:]
        return {
            "router": dump_known(self.known.save()),
            "parser": dump_parses(newest),
            "dependency-tracker": json.dumps(self.tracker.dump()).encode(),
            "dispatcher": dump_world(self.world),
        }


async def write_history(path: Path, events: int, issues: int) -> None:
    """A journal at `path` with at least so many events about so many issues, snapshots and cursors."""
    fleet = _fleet()
    states = _States(fleet)
    journal = SqliteJournal(path)
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.serve)
        saved_at: int | None = None
        for step in _steps(issues, fleet):
            if saved_at is None and journal.head("events") >= events - _TAIL_EVENTS:
                saved_at = await _save(journal, states)
            if saved_at is None:
                for event in step.events:
                    states.fold(event)
            await _write(journal, step)
            if journal.head("events") >= events:
                break
        await _move_cursors(journal)
        nursery.cancel_scope.cancel()


def _fleet() -> Fleet:
    """The fleet of `fleet_toml(AGENTS)`."""
    policy = ContextPolicy(window_tokens=200_000)
    names = [f"agent-{number}" for number in range(AGENTS)]
    return Fleet(
        tuple(AgentSpec(AgentName(name), Login(name), context=policy) for name in names), (_POOL,)
    )


async def _write(journal: SqliteJournal, step: Step) -> None:
    closed: tuple[OrderClosed, ...] = ()
    if step.closes:
        orders = journal.open_orders(_target(step.actor))
        closed = tuple(OrderClosed(order.id, "done") for order in orders)
    await journal.commit(
        Commit(
            actor=step.actor,
            at=_START + timedelta(seconds=journal.head("events") * 5),
            events=tuple(Draft(event) for event in step.events),
            texts=dict(step.texts),
            opened=tuple(OrderDraft(order, f"agent:{order.agent}") for order in step.opens),
            closed=closed,
        )
    )


async def _save(journal: SqliteJournal, states: _States) -> int:
    head = journal.head("events")
    versions = {each.name: each.snapshot_version for each in (Router, Parser, Tracker, Dispatcher)}
    for actor, state in states.snapshots().items():
        snapshot = Snapshot(head, versions[actor], state)
        await journal.commit(Commit(actor=actor, at=_START, snapshot=snapshot))
    return head


async def _move_cursors(journal: SqliteJournal) -> None:
    head = journal.head("events")
    for actor in ("parser", "dependency-tracker", "dispatcher"):
        await journal.commit(Commit(actor=actor, at=_START, cursor=head, expected_cursor=0))


def _target(actor: str) -> str:
    return f"agent:{actor.removeprefix('monitor:')}"


# the story --------------------------------------------------------------------------------------


def _steps(issues: int, fleet: Fleet) -> Iterator[Step]:
    """Chapter after chapter without end; within one, block after block of issues."""
    refs = [IssueRef(f"acme/repo-{number % 50}", number // 50 + 1) for number in range(issues)]
    chapter = 0
    while True:
        chapter += 1
        for first in range(0, issues, _BLOCK_ISSUES):
            yield from _chapter(refs[first : first + _BLOCK_ISSUES], chapter, fleet)


def _chapter(refs: list[IssueRef], chapter: int, fleet: Fleet) -> Iterator[Step]:
    agent = fleet.agents[chapter % len(fleet.agents)].name
    at = _START + timedelta(hours=chapter)
    facts = [_facts(ref, chapter, at) for ref in refs]
    texts = tuple((each.text_key, f"{_TITLE}\n\n{chapter} {_TEXT}") for each in facts)
    yield Step("router", tuple(IssueObserved(each, "reopened") for each in facts), texts)
    yield Step("parser", tuple(_parsed(each) for each in facts))
    verdicts = tuple(IssueUnblocked(each.ref, each.text_key, True) for each in facts)
    yield Step("dependency-tracker", verdicts)
    yield _dispatch(facts, chapter, agent)
    yield _run(refs, chapter, agent, at)
    done = "its agent finished; waits to be closed"
    yield Step("dispatcher", tuple(IssueAssessed(ref, "done", "completed", done) for ref in refs))
    later = at + timedelta(minutes=30)
    closed = [replace(each, state="closed", updated_at=later, closed_at=later) for each in facts]
    yield Step("router", tuple(IssueObserved(each, "closed") for each in closed))
    shut = "the issue is closed"
    yield Step("dispatcher", tuple(IssueAssessed(ref, "closed", "closed", shut) for ref in refs))


def _facts(ref: IssueRef, chapter: int, at: datetime) -> IssueFacts:
    return IssueFacts(
        ref=ref,
        repo_id=1,
        issue_id=ref.number,
        title=_TITLE,
        text_key=f"{ref.number:032x}{chapter:032x}",
        state="open",
        assignees=(_POOL,),
        labels=("kind/bug", "priority/2"),
        milestone=None,
        html_url=f"https://forge.example.org/{ref.repo}/issues/{ref.number}",
        created_at=_START,
        updated_at=at,
    )


def _parsed(facts: IssueFacts) -> IssueParsed:
    metadata = Metadata(60_000, "medium", None, (), (), _SUMMARY, 0.9)
    return IssueParsed(facts.ref, facts.text_key, metadata, "rules")


def _dispatch(facts: list[IssueFacts], chapter: int, agent: AgentName) -> Step:
    events: list[Event] = []
    orders: list[StartRun] = []
    for each in facts:
        run = RunId(each.ref, chapter)
        orders.append(StartRun(run, agent, each.title, each.html_url, _SUMMARY, 60_000))
        events.append(
            IssueDispatched(
                run=run,
                agent=agent,
                fingerprint=f"{each.text_key}",
                episode="",
                basis_at=each.updated_at,
                estimated_context_tokens=60_000,
                expected_cost_usd=1.25,
                text_key=each.text_key,
            )
        )
        words = f"given to {agent}, not yet taken up"
        events.append(IssueAssessed(each.ref, "running", "dispatched", words))
    return Step("dispatcher", tuple(events), opens=tuple(orders))


def _run(refs: list[IssueRef], chapter: int, agent: AgentName, at: datetime) -> Step:
    usage = ContextUsage(2_000, 155_000, 4_000, 800, 200_000, at)
    events: list[Event] = []
    for ref in refs:
        run = RunId(ref, chapter)
        events += [
            RunStarted(run, agent, 1),
            CompactionStarted(run, agent, 1, usage),
            CompactionEnded(run, agent, 1, 161_800, 40_000, True, compactions=1),
            RotationStarted(run, agent, 1, "the context is full", usage),
            SessionRotated(run, agent, 1, 2, "Done: the key splitter.\nNext: its tests."),
            RunEnded(run, agent, "completed", "", 2, 1, 1, 190_500, 60_000),
        ]
    return Step(f"monitor:{agent}", tuple(events), closes=True)
