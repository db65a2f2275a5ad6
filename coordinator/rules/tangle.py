"""One issue as the graph holds it, and the search for circles among open issues.

A tangle is a strongly connected set of open issues: each waits, in the end, for every other. Two
circles that share an issue are one tangle, so tangles never overlap and a circle has exactly one.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from coordinator.rules.freshness import Freshness
from coordinator.rules.ids import IssueRef

__all__ = ["Edges", "Found", "IssueState", "Node", "Tangle", "find_tangle", "name_cycles"]

IssueState = Literal["open", "closed", "unknown", "deleted"]
# What one text states: the issues it waits for, and those that wait for it; both sorted.
Edges = tuple[tuple[IssueRef, ...], tuple[IssueRef, ...]]

_NO_EDGES: Edges = ((), ())


# Shared while empty: dictionaries keep their order and, unlike sets, stay small. Never added to.
_NOBODY: dict["Node", None] = {}
_Direction = Callable[["Node"], Iterator["Node"]]


class Tangle:
    """The open issues that wait for one another; `names` is filled when somebody asks."""

    __slots__ = ("members", "names")

    def __init__(self, members: frozenset["Node"]) -> None:
        self.members = members
        self.names: dict[IssueRef, tuple[IssueRef, ...]] = {}


class Node:
    """One issue: what is known of it, the edges its own text declares, and those others declare.

    An edge lies at both ends, "own" at the issue whose text declares it and "told" at the other one.
    Compared by identity. Slots, tuples and dictionaries made on demand, since there are many.
    """

    __slots__ = (
        "fresh",
        "hidden",
        "native",
        "own_blockers",
        "own_dependents",
        "parsed",
        "rank",
        "ref",
        "state",
        "stated",
        "tangle",
        "text_key",
        "told_blockers",
        "told_dependents",
    )

    def __init__(self, ref: IssueRef) -> None:
        self.ref = ref
        self.state: IssueState = "unknown"
        self.fresh: Freshness | None = None
        self.text_key = ""
        self.stated: Edges = _NO_EDGES
        # What the forge itself keeps as dependencies: those we see, and how many we do not.
        self.native: tuple[IssueRef, ...] = ()
        self.hidden = 0
        self.parsed: dict[str, Edges] | None = None
        self.own_blockers: tuple[Node, ...] = ()
        self.own_dependents: tuple[Node, ...] = ()
        self.told_blockers: dict[Node, None] = _NOBODY
        self.told_dependents: dict[Node, None] = _NOBODY
        self.tangle: Tangle | None = None
        # Above that of every open issue it waits for, except inside its tangle: see `graph`.
        self.rank = 0

    @property
    def is_hearsay(self) -> bool:
        """Whether all that is known of it is that others name it."""
        return self.state == "unknown" and not self.parsed

    @property
    def is_idle(self) -> bool:
        """Whether nothing at all would be lost with it."""
        return self.is_hearsay and not self.told_blockers and not self.told_dependents

    @property
    def is_parsed(self) -> bool:
        return self.parsed is not None and self.text_key in self.parsed

    @property
    def edges(self) -> Edges:
        """What the forge keeps, and what the current text declares, outright and to a parser."""
        read = (self.parsed or {}).get(self.text_key, _NO_EDGES)
        return self.native + self.stated[0] + read[0], self.stated[1] + read[1]

    def blockers(self) -> Iterator["Node"]:
        """What it waits for; twice where both ends declare the edge."""
        return chain(self.own_blockers, self.told_blockers)

    def dependents(self) -> Iterator["Node"]:
        """What waits for it; twice where both ends declare the edge."""
        return chain(self.own_dependents, self.told_dependents)

    def keep_text(self, text_key: str, edges: Edges, most_others: int) -> None:
        """Remember a parse, and of the texts that are not current only `most_others`.

        Which ones does not depend on the order they came in: those with the greatest keys.
        """
        self.parsed = {} if self.parsed is None else self.parsed
        self.parsed[text_key] = edges
        others = sorted(self.parsed.keys() - {self.text_key})
        for key in others[: max(len(others) - most_others, 0)]:
            del self.parsed[key]

    def substitute(self, name: str, canonical: str) -> bool:
        """Take every reference to repository `name` for one to `canonical`; whether there was any."""
        before = self.native, self.stated, self.parsed
        self.native = _moved(self.native, name, canonical)
        self.stated = _moved(self.stated[0], name, canonical), _moved(self.stated[1], name, canonical)
        if self.parsed is not None:
            self.parsed = {
                key: (_moved(edges[0], name, canonical), _moved(edges[1], name, canonical))
                for key, edges in self.parsed.items()
            }
        return before != (self.native, self.stated, self.parsed)

    def dump(self) -> list[Any]:
        """Everything that is not derived from other issues, as plain JSON values."""
        parsed = sorted((self.parsed or {}).items())
        return [
            str(self.ref),
            self.state,
            None if self.fresh is None else list(self.fresh),
            self.text_key,
            _plain(self.stated),
            [[key, *_plain(edges)] for key, edges in parsed],
            [str(ref) for ref in self.native],
            self.hidden,
        ]


def _moved(refs: tuple[IssueRef, ...], name: str, canonical: str) -> tuple[IssueRef, ...]:
    if all(ref.repo != name for ref in refs):
        return refs
    return tuple(sorted({IssueRef(canonical, r.number) if r.repo == name else r for r in refs}))


def _plain(edges: Edges) -> list[list[str]]:
    return [[str(ref) for ref in side] for side in edges]


@dataclass(frozen=True, slots=True)
class Found:
    """The tangle an issue is part of (no members: none), and what the search came by.

    `closed` holds the issue and everything reachable from it in one direction: what it waits for when
    `is_downward`, else what waits for it. `visited` counts the nodes looked at.
    """

    members: frozenset[Node]
    closed: frozenset[Node]
    is_downward: bool
    visited: int


def find_tangle(start: Node) -> Found:
    """The tangle an open issue is part of.

    Searches what the issue waits for and what waits for it in lock-step; the side that is exhausted
    first holds the whole tangle, and the other direction is then followed inside it only.
    """
    waits, awaited = _Search(start, Node.blockers), _Search(start, Node.dependents)
    while waits.queue and awaited.queue:
        waits.step()
        awaited.step()
    is_downward = not waits.queue
    smaller, opposite = (waits, Node.dependents) if is_downward else (awaited, Node.blockers)
    back = _Search(start, opposite, within=smaller.seen)
    while back.queue:
        back.step()
    is_circle = len(back.seen) > 1 or any(each is start for each in start.blockers())
    return Found(
        members=frozenset(back.seen) if is_circle else frozenset(),
        closed=frozenset(smaller.seen),
        is_downward=is_downward,
        visited=waits.visited + awaited.visited + back.visited,
    )


class _Search:
    """Open nodes reachable in one direction, found one step at a time."""

    def __init__(
        self, start: Node, direction: _Direction, within: Container[Node] | None = None
    ) -> None:
        self.queue = [start]
        self.seen = {start}
        self.visited = 0
        self._within = within
        self._direction = direction

    def step(self) -> None:
        self.visited += 1
        for other in self._direction(self.queue.pop()):
            is_new = other.state == "open" and other not in self.seen
            if is_new and (self._within is None or other in self._within):
                self.seen.add(other)
                self.queue.append(other)


def name_cycles(members: Iterable[Node]) -> dict[IssueRef, tuple[IssueRef, ...]]:
    """For each member of a tangle a circle it is part of; few circles, each named one way only.

    The shortest circle through the smallest issue, then the shortest through the smallest issue
    that no circle has covered yet, and so on.
    """
    names: dict[IssueRef, tuple[IssueRef, ...]] = {}
    inside = frozenset(members)
    for start in sorted(inside, key=_by_ref):
        if start.ref not in names:
            circle = _shortest_circle(start, inside)
            first = circle.index(min(circle))
            for ref in circle:
                names.setdefault(ref, circle[first:] + circle[:first])
    return names


def _by_ref(node: Node) -> IssueRef:
    return node.ref


def _shortest_circle(start: Node, inside: frozenset[Node]) -> tuple[IssueRef, ...]:
    """Breadth first, neighbours in order of their refs, so that ties fall the same way always."""
    reached_from: dict[Node, Node] = {}
    ring = [start]
    while start not in reached_from:
        following: list[Node] = []
        for node in ring:
            for other in sorted(inside.intersection(node.blockers()), key=_by_ref):
                if other not in reached_from:
                    reached_from[other] = node
                    following.append(other)
        ring = following
    path = [reached_from[start]]
    while path[-1] is not start:
        path.append(reached_from[path[-1]])
    return tuple(node.ref for node in reversed(path))
