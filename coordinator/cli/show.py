"""What the commands print: trees and tables of answers that came over HTTP.

Titles and errors hold other people's text, so nothing is read as console markup and control
characters, which could drive the terminal, are dropped.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from coordinator.web.shapes import DeadLetterBody, EventBody, IssueBody

__all__ = ["printable", "show_dead_letters", "show_issue", "show_state"]

_STATUS_STYLES = {
    "running": "green", "ok": "green", "idle": "green", "done": "green", "ready": "cyan",
    "starting": "yellow", "restarting": "yellow", "waiting": "yellow", "blocked": "yellow",
    "stopping": "yellow", "suspended": "yellow", "parked": "magenta", "crashed": "red",
    "failed": "red", "stopped": "red",
}  # fmt: skip
_TIMELINE_ROWS = 15
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def printable(text: str) -> str:
    """The text on one line, without control characters."""
    return _CONTROL.sub(" ", text)


# state ------------------------------------------------------------------------------------------


class _StateBody(BaseModel):
    tree: dict[str, Any]


def show_state(body: bytes, console: Console, *, whole: bool) -> None:
    """The supervision tree with one line per child; with `whole`, everything known of each."""
    root = _StateBody.model_validate_json(body).tree
    shown = Tree(_child_line(root))
    _grow(shown, root, whole)
    console.print(shown)


def _grow(branch: Tree, node: Mapping[str, object], whole: bool) -> None:
    if whole:
        details = {key: value for key, value in node.items() if key != "children"}
        branch.add(Text(json.dumps(details, indent=2)))
    for child in _children(node):
        _grow(branch.add(_child_line(child)), child, whole)


def _children(node: Mapping[str, object]) -> list[Mapping[str, object]]:
    children = node.get("children")
    return (
        [child for child in children if isinstance(child, dict)] if isinstance(children, list) else []
    )


def _child_line(node: Mapping[str, object]) -> Text:
    status = str(node.get("status", ""))
    line = Text.assemble((str(node.get("id", "?")), "bold"), " ", _styled(status))
    for words in filter(None, (_restarts(node), _mailbox(node), _handled(node))):
        line.append(f"  {words}", style="dim")
    error = node.get("last_error")
    if isinstance(error, dict):
        line.append(printable(f"  {error.get('type')}: {error.get('message')}"), style="red")
    return line


def _restarts(node: Mapping[str, object]) -> str:
    restarts = node.get("restarts")
    return f"{restarts} restarts" if isinstance(restarts, int) and restarts else ""


def _mailbox(node: Mapping[str, object]) -> str:
    mailbox = node.get("mailbox")
    if not isinstance(mailbox, dict) or not mailbox.get("depth"):
        return ""
    return f"{mailbox['depth']}/{mailbox.get('capacity')} queued"


def _handled(node: Mapping[str, object]) -> str:
    handled = node.get("handled")
    return f"{handled} handled" if isinstance(handled, int) and handled else ""


# issues -----------------------------------------------------------------------------------------


def show_issue(issue: IssueBody, console: Console) -> None:
    """State, reason and evidence first; then what is known of the issue and what happened to it."""
    console.print(Text.assemble((issue.issue, "bold"), "  ", printable(issue.title)))
    console.print(
        Text.assemble(_styled(issue.state), printable(f" ({issue.reason}): {issue.evidence}"))
    )
    facts = Table.grid(padding=(0, 2))
    for name, value in _issue_facts(issue):
        facts.add_row(Text(name, style="dim"), Text(printable(value)))
    console.print(facts)
    if issue.timeline:
        console.print(_timeline(issue.timeline))


def _issue_facts(issue: IssueBody) -> Iterable[tuple[str, str]]:
    if issue.html_url:
        yield "where", issue.html_url
    yield "assigned to", ", ".join(issue.assignees) or "nobody"
    if issue.run is not None:
        yield "run", f"{issue.run} by {issue.agent}"
    if issue.dispatches:
        counts = f"{issue.peak_tokens:,} tokens at most, {issue.compactions} compactions"
        yield "context", f"{counts}, {issue.rotations} rotations"
    if issue.metadata is not None:
        known = issue.metadata
        estimate = f"{known.difficulty}, about {known.estimated_context_tokens:,} tokens"
        yield "estimate", f"{estimate} (by {issue.parsed_by})"
    for name, refs in (("waits for", issue.open_blockers), ("unknown", issue.unknown_blockers)):
        if refs:
            yield name, ", ".join(refs)
    if len(issue.cycle) == 1:
        yield "cycle", "it waits for itself"
    elif issue.cycle:
        yield "cycle", " → ".join([*issue.cycle, issue.cycle[0]])
    if issue.next_check_at is not None:
        yield "next look", _clock(issue.next_check_at)


def _timeline(events: list[EventBody]) -> Table:
    table = Table(
        "at (UTC)", "event", "by", "delivery", box=None, header_style="dim", padding=(0, 2, 0, 0)
    )
    for event in events[-_TIMELINE_ROWS:]:
        table.add_row(_clock(event.at), event.type, event.actor, event.delivery or "")
    return table


# dead letters -----------------------------------------------------------------------------------


def show_dead_letters(letters: list[DeadLetterBody], console: Console) -> None:
    """Newest first; or the good news that there are none."""
    if not letters:
        console.print("no dead letters")
        return
    table = Table("id", "at (UTC)", "actor", "error", "replayed", box=None, header_style="dim")
    for letter in letters:
        replayed = _clock(letter.replayed_at) if letter.replayed_at else ""
        table.add_row(
            str(letter.id), _clock(letter.at), letter.actor, printable(letter.second_error), replayed
        )
    console.print(table)


def _styled(status: str) -> tuple[str, str]:
    return status, _STATUS_STYLES.get(status, "")


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
