"""The one comment we keep on an issue: where it stands, why, and what happens next, in Markdown.

Written from the same view that every other face shows. Everything that people or agents wrote is
escaped (see `markdown`); the only references that become links are issues it waits for and that every
reader may see (see `discretion`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b

from coordinator.rules.commands import USAGE
from coordinator.rules.discretion import discreet, elsewhere, is_open_to_all, stated_name
from coordinator.rules.events import CommandGiven, CommandRefused
from coordinator.rules.ids import IssueRef
from coordinator.rules.markdown import linked, worded
from coordinator.rules.views import IssueView

__all__ = ["MARKER", "MAX_CHARS", "Comment", "is_sticky", "render"]

MARKER = "<!-- mosaic-coordinator:sticky -->"
# A screenful: people read the first line, and the table when they wonder.
MAX_CHARS = 4_000

# How much of a text and how many issues are shown; the first of these that fits is taken.
_SIZES = ((300, 10), (120, 5), (40, 2), (10, 1))

_NEXT = {
    "ignored": "when it is assigned to one of our accounts",
    "waiting": "as soon as its text and its dependencies have been read",
    "blocked": "when what it waits for is closed",
    "ready": "when an agent has room for it",
    "running": "when its agent reports",
    "parked": "when a person decides",
    "done": "when somebody closes it, or asks for more",
    "closed": "nothing, unless it is opened again",
}
# The evidence for these names the load of agents, which changes all the time and means nothing here.
_QUEUED = {
    "no_free_slot": "an agent fits, but none has a free slot",
    "agent_starting": "the agent that fits is just starting",
    "agent_unknown": "the agent that fits cannot be reached",
}
_READERS = {"claude": "read by Claude", "rules": "read by rules", "cache": "read before"}


@dataclass(frozen=True, slots=True)
class Comment:
    """The text to write, and a digest of what it says: equal meanings need no edit."""

    body: str
    meaning: str


def is_sticky(body: str) -> bool:
    """Whether a comment of our own account is the one we keep; its first line says so."""
    return body.partition("\n")[0].strip() == MARKER


def render(view: IssueView, *, in_full: bool = False) -> Comment:
    """The comment on the issue, at most `MAX_CHARS` long.

    Its meaning leaves the times out; the context's fill comes in steps large enough to mean something.
    `in_full` shows all of the evidence, the load of agents too, and means the same.
    """
    timeless = replace(view, next_check_at=None)
    digest = blake2b(_body(timeless).encode(), digest_size=16).hexdigest()
    return Comment(_body(view, in_full), digest)


def _body(view: IssueView, in_full: bool = False) -> str:
    bodies = (_sized(view, chars, refs, in_full) for chars, refs in _SIZES)
    return next((body for body in bodies if len(body) <= MAX_CHARS), _headline(view, 10))


def _sized(view: IssueView, chars: int, refs: int, in_full: bool) -> str:
    rows = {
        "Needs": _needs(view),
        "Waits for": _waits_for(view, refs),
        "Cycle": _cycle(view, refs),
        "Agent": _agent(view),
        "Next": _next(view),
        "Last command": _last_command(view, chars),
    }
    table = [f"| {name} | {cell} |" for name, cell in rows.items() if cell]
    lines = [_headline(view, chars, in_full), "", "| | |", "| --- | --- |", *table, "", _USAGE]
    return "\n".join(lines) + "\n"


def _headline(view: IssueView, chars: int, in_full: bool = False) -> str:
    evidence = view.evidence if in_full else _QUEUED.get(view.reason, view.evidence)
    return f"{MARKER}\n**{view.state.capitalize()}** · {worded(discreet(evidence, view), chars)}"


def _needs(view: IssueView) -> str:
    meta = view.metadata
    if meta is None:
        return ""
    reader = f"as {worded(view.estimated_by, 60)} said" if view.estimated_by else None
    reader = reader or _READERS.get(view.parsed_by or "", "")
    parts = [f"about {meta.estimated_context_tokens:,} tokens", meta.difficulty, reader]
    return " · ".join(filter(None, parts))


def _waits_for(view: IssueView, most: int) -> str:
    open_ = [_link(ref, view) for ref in view.open_blockers]
    unknown = [_unseen(ref, view) for ref in view.unknown_blockers]
    named = [name for name in (*open_, *unknown) if name is not None]
    unnamed = len(open_) + len(unknown) - len(named)
    rest = [elsewhere(unnamed)] if unnamed else []
    rest += [f"{view.hidden_blockers} we may not see"] if view.hidden_blockers else []
    return ", ".join([*_first(most, named), *rest])


def _cycle(view: IssueView, most: int) -> str:
    if not view.cycle:
        return ""
    if len(view.cycle) == 1:
        return "it waits for itself; remove that dependency"
    links = [_link(ref, view) or elsewhere(1) for ref in (*view.cycle, view.cycle[0])]
    return " → ".join(_first(most + 1, links)) + "; remove one of these dependencies"


def _agent(view: IssueView) -> str:
    if view.agent is None or view.run_phase is None:
        return f"{worded(view.pinned, 60)}, as a person asked" if view.pinned else ""
    fill = None if view.fill_percent is None else f"context about {view.fill_percent} % full"
    parts = [
        worded(view.agent, 60),
        view.run_phase,
        f"session {view.session}",
        fill,
        _counted(view.compactions, "compaction"),
        _counted(view.rotations, "rotation"),
    ]
    return " · ".join(filter(None, parts))


def _next(view: IssueView) -> str:
    if view.next_check_at is not None:
        return f"looked at again at {view.next_check_at:%F %T} UTC"
    if view.reason == "parked_by_person":
        return "when somebody writes <code>/coordinator resume</code>"
    if view.reason == "cycle":
        only = len(view.cycle) == 1
        return f"when a person removes {'that dependency' if only else 'one of these dependencies'}"
    return _NEXT.get(view.state, "on the next event")


def _last_command(view: IssueView, chars: int) -> str:
    match view.last_command:
        case CommandGiven(by=by) as told:
            return f"{worded(by, 60)}: {worded(_spelled(told), chars)} (accepted)"
        case CommandRefused(by=by, verb=verb, why=why):
            return f"{worded(by, 60)}: {verb or 'unknown'} (refused: {worded(why, chars)})"
        case _:
            return ""


def _spelled(told: CommandGiven) -> str:
    tokens = None if told.tokens is None else f"{told.tokens:,}"
    parts = (told.verb, told.agent, told.reason, tokens, told.difficulty)
    return " ".join(part for part in parts if part)


def _link(ref: IssueRef, view: IssueView) -> str | None:
    """None if the issue may not be named here."""
    if is_open_to_all(ref, view):
        name = dict(view.names).get(ref.repo, ref.repo)
        return linked(name, ref.number, own=view.repo_name or view.issue.repo)
    stated = stated_name(ref, view)
    return None if stated is None else worded(stated, 250)


def _unseen(ref: IssueRef, view: IssueView) -> str | None:
    """The same of an issue nobody has seen: a link to a foreign repository would leave a trace there,
    and a text must not make us leave traces wherever it likes."""
    if ref.repo == view.issue.repo:
        return f"#{ref.number} (unknown)"
    name = str(ref) if ref.repo in view.public else stated_name(ref, view)
    return None if name is None else f"{worded(name, 250)} (unknown)"


def _first(most: int, items: list[str]) -> Iterable[str]:
    more = len(items) - most
    return [*items[:most], f"and {more} more"] if more > 0 else items


def _counted(number: int, noun: str) -> str | None:
    return f"{number} {noun}{'' if number == 1 else 's'}" if number else None


def _usage() -> str:
    written = ", ".join(f"<code>{text}</code>" for text in USAGE.values())
    escaped = written.replace("<agent>", "&lt;agent&gt;").replace("<reason>", "&lt;reason&gt;")
    escaped = escaped.replace("<tokens>", "&lt;tokens&gt;")
    return (
        "<details><summary>Tell the coordinator</summary>Whoever may write here comments"
        f" <code>/coordinator …</code> with one of: {escaped}</details>"
    )


_USAGE = _usage()
