"""The dependency-tracker's decisions: what to say, and when, about issues that concern us.

An issue concerns us while it is open and assigned to one of our logins. Each such issue gets a
verdict, `IssueBlocked` or `IssueUnblocked`, when it first concerns us and whenever the verdict differs
from the last one said of it, be it only in the text it was judged on. Circles are named once when
one of ours is part of them, and once when they are none any more.

Facts come with their references resolved to the canonical names of repositories; a reader of texts
knows nothing of names, so what it found is resolved here, by the moves told of.

What was said is part of the state, restored from the tracker's own events. So an actor starts with
`load` (or empty), calls `restore` for the events behind its snapshot (input events up to its cursor,
its own up to the head), then `catch_up`, and lives on `step`. Saying a thing twice is harmless; after
a change of logins `catch_up` says what is new.
"""

from collections.abc import Iterable
from typing import Any

from coordinator.rules.events import (
    CycleBroken,
    CycleFound,
    Event,
    IssueBlocked,
    IssueDeleted,
    IssueFacts,
    IssueObserved,
    IssueParsed,
    IssueUnblocked,
    RepositoryMoved,
)
from coordinator.rules.graph import DependencyGraph
from coordinator.rules.ids import IssueRef, Login

__all__ = ["DependencyTracker"]

_Cycle = tuple[IssueRef, ...]
_Said = IssueBlocked | IssueUnblocked


class DependencyTracker:
    """The graph, who of it concerns us, and what was last said. Mutable, owned by one actor."""

    def __init__(self, logins: frozenset[Login]) -> None:
        self.logins = logins
        self.graph = DependencyGraph()
        # Of every open issue somebody is assigned to, so that new logins find theirs.
        self._assignees: dict[IssueRef, tuple[Login, ...]] = {}
        self._said: dict[IssueRef, _Said] = {}
        self._cycles: dict[IssueRef, set[_Cycle]] = {}
        # The canonical names of repositories, by the names they were given later.
        self._aliases: dict[str, str] = {}

    # what an actor calls ----------------------------------------------------------------------

    def step(self, event: Event) -> tuple[Event, ...]:
        """Fold one event in and say what is new because of it; own events say nothing."""
        return self._say(self._fold(event))

    def restore(self, event: Event) -> None:
        """Fold one event of the past in, also one of the tracker's own, and say nothing."""
        match event:
            case IssueBlocked() | IssueUnblocked():
                self._said[event.ref] = event
            case CycleFound(issues=issues):
                self._remember(issues)
            case CycleBroken(issues=issues):
                self._forget(issues)
            case _:
                self._fold(event)

    def catch_up(self) -> tuple[Event, ...]:
        """Say whatever differs from what was said before, of all issues."""
        return self._say({*self._assignees, *self._said, *self._cycles})

    def concerned(self) -> tuple[IssueRef, ...]:
        """The issues that concern us now, sorted."""
        return tuple(sorted(filter(self.concerns, self._assignees)))

    def concerns(self, ref: IssueRef) -> bool:
        return not self.logins.isdisjoint(self._assignees.get(ref, ()))

    # folding ----------------------------------------------------------------------------------

    def _fold(self, event: Event) -> frozenset[IssueRef]:
        """Take an input event in; the issues there may be something new to say about."""
        match event:
            case IssueObserved(facts=facts):
                touched = self.graph.observe(facts)
                if facts.ref in touched:
                    self._note_assignees(facts)
                return touched
            case IssueParsed(ref=ref, text_key=text_key, metadata=metadata):
                blocked_by = self._meant(ref, metadata.blocked_by)
                return self.graph.parse(ref, text_key, blocked_by, self._meant(ref, metadata.blocks))
            case IssueDeleted(ref=ref):
                self._assignees.pop(ref, None)
                self._said.pop(ref, None)
                return self.graph.delete(ref)
            case RepositoryMoved(canonical=canonical, current=current):
                return self._move(current.lower(), canonical)
            case _:
                return frozenset()

    def _move(self, name: str, canonical: str) -> frozenset[IssueRef]:
        if name == canonical:
            self._aliases.pop(name, None)
            return frozenset()
        self._aliases[name] = canonical
        return self.graph.move(name, canonical)

    def _meant(self, own: IssueRef, refs: Iterable[IssueRef]) -> tuple[IssueRef, ...]:
        """The issues a text means; one that names its own repository was read under that very name."""
        return tuple(
            ref
            if ref.repo == own.repo or ref.repo not in self._aliases
            else IssueRef(self._aliases[ref.repo], ref.number)
            for ref in refs
        )

    def _note_assignees(self, facts: IssueFacts) -> None:
        if facts.state == "open" and facts.assignees:
            self._assignees[facts.ref] = facts.assignees
        else:
            self._assignees.pop(facts.ref, None)

    # saying -----------------------------------------------------------------------------------

    def _say(self, touched: Iterable[IssueRef]) -> tuple[Event, ...]:
        """Circles that are gone, circles that are new, then verdicts, each in order of their refs."""
        refs = sorted(touched)
        ours = [ref for ref in refs if self.concerns(ref)]
        return (*self._broken(refs), *self._found(ours), *self._verdicts(ours))

    def _broken(self, refs: list[IssueRef]) -> list[Event]:
        gone = {
            cycle
            for ref in refs
            for cycle in self._cycles.get(ref, ())
            if all(self.graph.cycle(member) != cycle for member in cycle)
        }
        for cycle in gone:
            self._forget(cycle)
        return [CycleBroken(cycle) for cycle in sorted(gone)]

    def _found(self, ours: list[IssueRef]) -> list[Event]:
        found: list[Event] = []
        for ref in ours:
            cycle = self.graph.cycle(ref)
            if cycle and cycle not in self._cycles.get(ref, ()):
                self._remember(cycle)
                found.append(CycleFound(cycle))
        return found

    def _verdicts(self, ours: list[IssueRef]) -> list[Event]:
        verdicts: list[Event] = []
        for ref in ours:
            verdict = self._judge(ref)
            if self._said.get(ref) != verdict:
                self._said[ref] = verdict
                verdicts.append(verdict)
        return verdicts

    def _judge(self, ref: IssueRef) -> _Said:
        verdict = self.graph.verdict(ref)
        if not verdict.is_blocked:
            return IssueUnblocked(ref, verdict.text_key, verdict.parsed, verdict.satisfied)
        return IssueBlocked(
            ref,
            verdict.text_key,
            verdict.parsed,
            verdict.open_blockers,
            verdict.unknown_blockers,
            verdict.cycle,
            verdict.hidden_blockers,
        )

    def _remember(self, cycle: _Cycle) -> None:
        for member in cycle:
            self._cycles.setdefault(member, set()).add(cycle)

    def _forget(self, cycle: _Cycle) -> None:
        for member in cycle:
            known = self._cycles.get(member, set())
            known.discard(cycle)
            if not known:
                self._cycles.pop(member, None)

    # snapshots --------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything as plain JSON values, but for the logins, which are configuration."""
        return {
            "graph": self.graph.dump(),
            "assignees": {str(ref): list(who) for ref, who in sorted(self._assignees.items())},
            "said": [_plain(self._said[ref]) for ref in sorted(self._said)],
            "cycles": [
                [str(ref) for ref in cycle] for cycle in sorted(set().union(*self._cycles.values()))
            ],
            "aliases": dict(sorted(self._aliases.items())),
        }

    @classmethod
    def load(cls, plain: dict[str, Any], logins: frozenset[Login]) -> "DependencyTracker":
        """The tracker that gave this dump, perhaps under other logins."""
        tracker = cls(logins)
        tracker.graph = DependencyGraph.load(plain["graph"])
        for ref, who in plain["assignees"].items():
            tracker._assignees[IssueRef.parse(ref)] = tuple(map(Login, who))
        for row in plain["said"]:
            tracker.restore(_said(*row))
        for refs in plain["cycles"]:
            tracker._remember(_refs(refs))
        tracker._aliases = dict(plain["aliases"])
        return tracker


def _plain(said: _Said) -> list[Any]:
    if isinstance(said, IssueUnblocked):
        hidden, lists = None, [said.satisfied]
    else:
        hidden, lists = said.hidden_blockers, [said.open_blockers, said.unknown_blockers, said.cycle]
    plain = [[str(ref) for ref in refs] for refs in lists]
    return [str(said.ref), said.text_key, said.parsed, hidden, *plain]


def _said(ref: str, text_key: str, parsed: bool, hidden: int | None, *lists: list[str]) -> _Said:
    own, refs = IssueRef.parse(ref), [_refs(each) for each in lists]
    if hidden is None:
        return IssueUnblocked(own, text_key, parsed, refs[0])
    return IssueBlocked(own, text_key, parsed, refs[0], refs[1], refs[2], hidden)


def _refs(plain: list[str]) -> tuple[IssueRef, ...]:
    return tuple(map(IssueRef.parse, plain))
