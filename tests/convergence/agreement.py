"""In what the coordinator's journal and the forge differ, said issue by issue; nothing when they agree.

The forge's side is read from its tables. The coordinator's side is folded from its events, as its
actors do; what it has written on the forge is held against what it would explain.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from coordinator.demo.forge import Comment, Forge, Issue
from coordinator.edges.journal import Stored
from coordinator.rules.commands import is_command
from coordinator.rules.comment import is_sticky, render
from coordinator.rules.events import (
    CommandGiven,
    CommandRefused,
    IssueDeleted,
    IssueDispatched,
    IssueFacts,
    IssueObserved,
)
from coordinator.rules.fleet import Fleet
from coordinator.rules.grammar import issue_text, text_key_of
from coordinator.rules.ids import IssueRef
from coordinator.rules.issue_view import view_of
from coordinator.rules.labels import is_ours, wanted
from coordinator.rules.routing import KnownIssues
from coordinator.rules.views import IssueView
from coordinator.rules.world import World
from tests.convergence.people import BOT, People

__all__ = ["Agreement", "missed_of", "twice_dispatched"]

_TIME = re.compile(r"looked at again at .*? UTC")


@dataclass(slots=True)
class Agreement:
    """Both sides. `take` reads on in the journal; `differences` compares what is known by then."""

    forge: Forge
    people: People
    fleet: Fleet
    known: KnownIssues = field(init=False)
    world: World = field(init=False)
    commands: Counter[int] = field(default_factory=Counter)
    _taken: int = 0

    def __post_init__(self) -> None:
        self.known = KnownIssues(self.fleet.logins)
        self.world = World(self.fleet)

    def take(self, events: list[Stored]) -> None:
        for stored in events[self._taken :]:
            self.known.fold(stored.event)
            self.world.apply(stored.event)
            if isinstance(stored.event, CommandGiven | CommandRefused):
                self.commands[stored.event.comment_id] += 1
        self._taken = len(events)

    def differences(self) -> list[str]:
        """One line for each; sorted by issue."""
        return [*self._of_issues(), *self._of_commands(), *self._of_strangers()]

    # the world ----------------------------------------------------------------------------------

    def ref(self, repo_id: int, number: int) -> IssueRef:
        place = self.known.repositories.get(repo_id)
        name = f"unknown/{repo_id}" if place is None else place.canonical
        return IssueRef(name, number)

    def _of_issues(self) -> Iterator[str]:
        there = [issue for issue in self.people.issues if not issue.is_pull]
        for issue in there:
            ref = self.ref(issue.repo_id, issue.number)
            facts = self.known.facts.get(ref)
            if facts is None:
                yield f"{ref} is not known"
                continue
            yield from (f"{ref}: {line}" for line in self._of_facts(issue, facts))
            yield from (f"{ref}: {line}" for line in self._of_writing(issue, view_of(ref, self.world)))
        refs = {self.ref(issue.repo_id, issue.number) for issue in there}
        for ref, facts in self.known.facts.items():
            if ref not in refs and not facts.is_pull:
                yield f"{ref} is known but gone"

    def _of_facts(self, issue: Issue, facts: IssueFacts) -> Iterator[str]:
        data, resolve = self.forge.data, self.known.repositories.resolve
        milestone = data.milestone_of(issue)
        pairs = {
            "title": (facts.title, issue.title),
            "text": (facts.text_key, text_key_of(issue_text(issue.title, issue.body))),
            "state": (facts.state, "open" if issue.is_open else "closed"),
            "assignees": (sorted(facts.assignees), sorted(issue.assignees)),
            "labels": (sorted(facts.labels), sorted(self._labels(issue, ours=False))),
            "milestone": (facts.milestone, None if milestone is None else milestone.title),
            "repository": (facts.repo_name and self._name(issue), data.repo_of(issue).full_name),
            "stated": ([*map(resolve, facts.blocked_by)], self._stated(issue)),
        }
        if issue.is_open:  # a closed one waits for nothing, so nobody asks
            pairs["native"] = (self._native(facts), self._edges(issue))
        for name, (ours, theirs) in pairs.items():
            if ours != theirs:
                yield f"{name} is {theirs!r} at the forge, known as {ours!r}"

    def _name(self, issue: Issue) -> str:
        place = self.known.repositories.get(issue.repo_id)
        return "" if place is None else place.current

    def _labels(self, issue: Issue, *, ours: bool) -> list[str]:
        names = [label.name for label in self.forge.data.labels_of(issue)]
        return [name for name in names if is_ours(name) == ours]

    def _stated(self, issue: Issue) -> list[IssueRef]:
        found = self.people.stated.get(issue.id)
        return [] if found is None else [self.ref(*found)]

    def _native(self, facts: IssueFacts) -> list[IssueRef] | None:
        """What is deleted blocks nobody, though nothing tells us that the edge is gone."""
        if facts.native_blockers is None:
            return None
        return [ref for ref in facts.native_blockers if ref not in self.known.deleted]

    def _edges(self, issue: Issue) -> list[IssueRef]:
        blockers = self.forge.data.blockers_of(issue)
        return sorted(self.ref(each.repo_id, each.number) for each in blockers)

    # what is written at the forge -----------------------------------------------------------------

    def _of_writing(self, issue: Issue, view: IssueView | None) -> Iterator[str]:
        sticky = self._sticky(issue)
        if view is None:
            yield "cannot be explained"
            return
        ours = sorted(self._labels(issue, ours=True))
        if ours != sorted(wanted(view)):
            yield f"carries {ours} of our labels, not {sorted(wanted(view))} ({view.state})"
        if len(sticky) > 1:
            yield f"has {len(sticky)} sticky comments"
        elif sticky and _timeless(sticky[0].body) != _timeless(render(view).body):
            yield f"says {sticky[0].body!r}, not {render(view).body!r}"
        elif not sticky and view.state not in ("ignored", "closed"):
            yield f"is {view.state} and has no sticky comment"

    def _sticky(self, issue: Issue) -> list[Comment]:
        comments = self.forge.data.comments_of(issue)
        return [each for each in comments if each.author == BOT and is_sticky(each.body)]

    def _of_commands(self) -> Iterator[str]:
        """Every command of a person who may write was answered once, whatever happened to its hook;
        those of readers and of the agents' own accounts never."""
        there = {issue.id for issue in self.people.issues if not issue.is_pull}
        for issue_id, comment_id, author, text in self.people.said:
            due = int(author == "maria" and is_command(text))
            found = self.commands[comment_id]
            if found > due or (found < due and issue_id in there):
                yield f"comment {comment_id} of {author}, {text!r}, was answered {found} times"

    def _of_strangers(self) -> Iterator[str]:
        for issue in self.people.issues:
            if issue.is_pull and self._sticky(issue):
                yield f"pull request #{issue.number} has a sticky comment"


def _timeless(body: str) -> str:
    return _TIME.sub("later", body)


def missed_of(events: list[Stored]) -> Counter[str]:
    """What sweeps found that no delivery had told, by cause, as the journal has it."""
    found: Counter[str] = Counter()
    for stored in events:
        match stored.event:
            case IssueObserved(missed=missed):
                found.update(missed)
            case IssueDeleted(source="sweep"):
                found["deleted"] += 1
            case _:
                pass
    return found


def twice_dispatched(events: list[Stored]) -> list[str]:
    """Issues given out more than once for the same fingerprint."""
    dispatched = (stored.event for stored in events if isinstance(stored.event, IssueDispatched))
    prints = Counter((event.run.issue, event.fingerprint) for event in dispatched)
    return [f"{ref} {print_}" for (ref, print_), times in prints.items() if times > 1]
