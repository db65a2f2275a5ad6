"""In which issues a coordinator and the forge differ, for `bench/convergence.py`: roughly by its API
while it runs, exactly by its journal afterwards."""

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

from coordinator.demo.forge import Forge
from coordinator.edges.event_wire import decode_event
from coordinator.rules.events import Event
from coordinator.rules.facts import IssueFacts
from coordinator.rules.ids import IssueRef
from coordinator.rules.labels import foreign_labels
from coordinator.rules.routing import KnownIssues

__all__ = ["differences", "read_events", "seems_behind"]

_TELLING = ("IssueObserved", "IssueDeleted", "RepositoryMoved")


def read_events(journal: Path) -> list[Event]:
    """What the router has told; nobody else may have the journal open."""
    holes = ", ".join("?" for _ in _TELLING)
    query = f"SELECT kind, body FROM event WHERE kind IN ({holes}) ORDER BY seq"
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10)
    try:
        return [decode_event(kind, body) for kind, body in connection.execute(query, _TELLING)]
    finally:
        connection.close()


def seems_behind(forge: Forge, shown: list[dict[str, Any]]) -> list[str]:
    """The issues that the API does not show as the forge does. Where the coordinator has commented it
    changes issues itself, so that their update times say nothing."""
    by_ref = {each["issue"]: each for each in shown}
    found: list[str] = []
    for issue in forge.data.issues.values():
        ref = f"{forge.data.repo_of(issue).full_name}#{issue.number}"
        seen = by_ref.get(ref)
        if seen is None or (seen["title"], seen["assignees"]) != (issue.title, sorted(issue.assignees)):
            found.append(ref)
            continue
        is_marked = any(each.body.startswith("<!--") for each in forge.data.comments_of(issue))
        if not is_marked and datetime.fromisoformat(seen["updated_at"]) != issue.updated_at:
            found.append(ref)
    return found


def differences(forge: Forge, events: list[Event]) -> list[str]:
    """One line for each issue of which the journal does not say what the forge does."""
    known = KnownIssues(frozenset())
    for event in events:
        known.fold(event)
    found: list[str] = []
    for issue in forge.data.issues.values():
        repo = forge.data.repo_of(issue)
        facts = known.facts.get(IssueRef(repo.full_name, issue.number))
        milestone = forge.data.milestone_of(issue)
        edges = [
            IssueRef(forge.data.repo_of(each).full_name, each.number)
            for each in forge.data.blockers_of(issue)
        ]
        there = (
            issue.title,
            issue.is_open,
            sorted(issue.assignees),
            sorted(foreign_labels(label.name for label in forge.data.labels_of(issue))),
            None if milestone is None else milestone.title,
            sorted(edges) if issue.is_open else None,
        )
        if facts is None or _told(facts, issue.is_open) != there:
            found.append(f"{repo.full_name}#{issue.number}: {there}")
    return found


def _told(facts: IssueFacts, is_open: bool) -> tuple[object, ...]:
    return (
        facts.title,
        facts.state == "open",
        sorted(facts.assignees),
        sorted(facts.labels),
        facts.milestone,
        list(facts.native_blockers or ()) if is_open else None,
    )
