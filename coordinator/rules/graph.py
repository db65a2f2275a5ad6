"""The dependency graph across repositories: who waits for whom, and who waits in a circle.

One actor owns it. What goes in is a set of facts, not a sequence: each issue's newest observation
(by `freshness`), the parses of its texts and its deletion make the same graph in whatever order and
however often they come. An edge belongs to the issue that declares it, "A blocked by B" to A and "A
blocks B" to A as well, so editing a text removes only what that text said. The forge's own
dependencies belong to the issue that waits.

States: *open* and *closed* as observed; *unknown* until seen, and blocking, since nobody can tell;
*deleted*. Only closed satisfies. A deleted issue leaves the graph: it cannot be closed any more, so it
blocks nobody, and what it declared is void. Of it late payloads change nothing; only a read that found
it after all brings it back, and those two come in the order of the journal.

Cost. A change looks at the issue's own neighbours. Circles are remembered as tangles (see `tangle`).
Every open issue has a rank, above the ranks of the open issues it waits for; the members of a tangle
share one. As long as an issue has, or can be given, a rank between those of its neighbours, no circle
runs through it and there is nothing to search. Only when an edge goes against the ranks does one
search run from the issue both ways in lock-step; it ends when the smaller side is exhausted, and
that side is then moved to where it fits. Ranks are a matter of history and no part of what is known.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from sys import intern
from typing import Any, cast

from coordinator.rules.events import IssueFacts
from coordinator.rules.freshness import Freshness, freshness
from coordinator.rules.ids import IssueRef
from coordinator.rules.tangle import (
    Edges,
    Found,
    IssueState,
    Node,
    Tangle,
    find_tangle,
    name_cycles,
)

__all__ = ["DependencyGraph", "Verdict"]

# Parses of texts that are not current are kept in case the text comes, or comes back. Nobody edits
# an issue this often between two looks; beyond it, an old text that returns counts as unparsed.
_MAX_OTHER_TEXTS = 16

# The room left between neighbouring ranks, so that issues fit in between without moving others.
_RANK_STEP = 1 << 32

_Refs = tuple[IssueRef, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stands before an issue, judged on text `text_key` ("" before the first observation).

    Lists are sorted. `parsed` says whether that text's metadata is in. `cycle` is a circle the issue
    is part of, each blocked by the next, the smallest ref first; empty when it is in none.
    `hidden_blockers` counts what the forge says it waits for but does not show us.
    """

    ref: IssueRef
    state: IssueState
    text_key: str = ""
    parsed: bool = False
    open_blockers: _Refs = ()
    unknown_blockers: _Refs = ()
    satisfied: _Refs = ()
    cycle: _Refs = ()
    hidden_blockers: int = 0

    @property
    def is_blocked(self) -> bool:
        return bool(self.open_blockers or self.unknown_blockers or self.hidden_blockers)


class DependencyGraph:
    """All issues ever named, and their edges. Changes return the issues whose verdict may differ.

    What they return holds the issue itself if and only if the change was news.
    """

    def __init__(self) -> None:
        self._nodes: dict[IssueRef, Node] = {}
        # How many nodes the searches for circles have looked at: what changes cost, without a clock.
        self.visited = 0

    def __len__(self) -> int:
        return len(self._nodes)

    # changes ----------------------------------------------------------------------------------

    def observe(self, facts: IssueFacts) -> frozenset[IssueRef]:
        """Take an observation in, unless a newer one is known or the issue was deleted; but what was
        read of a deleted one counts, however old its stamp."""
        node = self._node(facts.ref)
        fresh = freshness(facts)
        is_late = node.state == "deleted" and facts.read_at is None
        if is_late or (node.fresh is not None and node.fresh >= fresh):
            return frozenset()
        node.fresh = fresh
        node.text_key = facts.text_key
        node.stated = (self._shared(facts.blocked_by), self._shared(facts.blocks))
        node.native = self._shared(facts.native_blockers or ())
        node.hidden = facts.hidden_blockers
        return self._settle(node, facts.state)

    def parse(
        self, ref: IssueRef, text_key: str, blocked_by: Iterable[IssueRef], blocks: Iterable[IssueRef]
    ) -> frozenset[IssueRef]:
        """Take in what a reader found in one text of the issue; it counts while that text is current.

        Of two readings of one text all edges count, so that their order does not matter. A deleted
        issue's are only kept: a text is read once, and the issue may come back.
        """
        node = self._node(ref)
        known = (node.parsed or {}).get(text_key)
        before: Edges = known or ((), ())
        edges = (self._shared((*before[0], *blocked_by)), self._shared((*before[1], *blocks)))
        if edges == known:
            return frozenset()
        node.keep_text(text_key, edges, _MAX_OTHER_TEXTS)
        return frozenset() if node.state == "deleted" else self._settle(node, node.state)

    def delete(self, ref: IssueRef) -> frozenset[IssueRef]:
        """Take the issue out; what payloads say of it later changes nothing."""
        node = self._node(ref)
        if node.state == "deleted":
            return frozenset()
        node.fresh, node.text_key, node.stated = None, "", ((), ())
        node.native, node.hidden = (), 0
        return self._settle(node, "deleted")

    def move(self, name: str, canonical: str) -> frozenset[IssueRef]:
        """Repository `name` turns out to be the one known as `canonical`: references to it mean that.

        Unless issues of a repository filed under `name` have been seen: those references mean them.
        """
        name, canonical = intern(name), intern(canonical)
        nodes = list(self._nodes.values())
        if any(node.ref.repo == name and node.state != "unknown" for node in nodes):
            return frozenset()
        touched: set[IssueRef] = set()
        for node in nodes:
            if node.substitute(name, canonical):
                touched |= self._settle(node, node.state)
        return frozenset(touched)

    # questions --------------------------------------------------------------------------------

    def verdict(self, ref: IssueRef) -> Verdict:
        """What stands before the issue now; of one never named, only that it is unknown."""
        node = self._nodes.get(ref)
        if node is None:
            return Verdict(ref, "unknown")
        by_state: dict[IssueState, set[IssueRef]] = {}
        for blocker in node.blockers():
            by_state.setdefault(blocker.state, set()).add(blocker.ref)
        return Verdict(
            ref=node.ref,
            state=node.state,
            text_key=node.text_key,
            parsed=node.is_parsed,
            open_blockers=tuple(sorted(by_state.get("open", ()))),
            unknown_blockers=tuple(sorted(by_state.get("unknown", ()))),
            satisfied=tuple(sorted(by_state.get("closed", ()))),
            cycle=self.cycle(ref),
            hidden_blockers=node.hidden,
        )

    def cycle(self, ref: IssueRef) -> _Refs:
        """A circle of open issues the issue is part of; empty when it is in none."""
        node = self._nodes.get(ref)
        if node is None or node.tangle is None:
            return ()
        if not node.tangle.names:
            node.tangle.names = name_cycles(node.tangle.members)
        return node.tangle.names[ref]

    # the work ---------------------------------------------------------------------------------

    def _settle(self, node: Node, state: IssueState) -> frozenset[IssueRef]:
        """Bring edges, state and tangles in line with what is now known of one issue."""
        was, node.state = node.state, state
        had_dependents = set(node.own_dependents)
        gained, lost = self._relink(node)
        touched = {node} | (had_dependents ^ set(node.own_dependents))
        if state != was:
            touched.update(node.dependents())
        if state != was or gained or lost:
            touched |= self._retangle(node, grown=state != was or bool(gained))
        for other in lost:
            self._forget_if_idle(other)
        return frozenset(each.ref for each in touched)

    def _relink(self, node: Node) -> tuple[set[Node], set[Node]]:
        """Replace the edges this issue declares by those of its current text: other ends won, lost."""
        blocked_by, blocks = node.edges
        old_blockers, old_dependents = set(node.own_blockers), set(node.own_dependents)
        blockers, dependents = set(map(self._node, blocked_by)), set(map(self._node, blocks))
        node.own_blockers, node.own_dependents = tuple(blockers), tuple(dependents)
        for gone in old_blockers - blockers:
            del gone.told_dependents[node]
        for gone in old_dependents - dependents:
            del gone.told_blockers[node]
        for new in blockers - old_blockers:
            new.told_dependents = new.told_dependents or {}
            new.told_dependents[node] = None
        for new in dependents - old_dependents:
            new.told_blockers = new.told_blockers or {}
            new.told_blockers[node] = None
        gained = (blockers - old_blockers) | (dependents - old_dependents)
        return gained, (old_blockers - blockers) | (old_dependents - dependents)

    def _retangle(self, node: Node, *, grown: bool) -> set[Node]:
        """Find the tangles again that a change at one issue can have made or undone; all members.

        Every circle made or undone runs through the issue itself. So what was lost can only have split
        the tangle it was in, and what was gained only concerns the tangle it is in now.
        """
        self.visited += 1
        left = {node, *(node.tangle.members if node.tangle else ())}
        touched = set(left) if node.tangle else set()
        if not touched and not grown:
            return touched
        for member in left:
            member.tangle = None
        # The changed issue first: once it is in its place, no edge goes against the ranks any more.
        queue = [node, *sorted(left - {node}, key=lambda each: each.ref)]
        for member in queue:
            if member.tangle is None and member.state == "open" and not _fits(member):
                touched |= self._tangle(member)
        return touched

    def _tangle(self, start: Node) -> frozenset[Node]:
        """Find the tangle of one issue and put it, or the issue alone, where it fits."""
        found = find_tangle(start)
        self.visited += found.visited
        _place(found.members or frozenset((start,)), found)
        tangle = Tangle(found.members)
        for member in found.members:
            member.tangle = tangle
        return found.members

    def _node(self, ref: IssueRef) -> Node:
        node = self._nodes.get(ref)
        if node is None:
            own = _interned(ref)
            node = self._nodes[own] = Node(own)
        return node

    def _shared(self, refs: Iterable[IssueRef]) -> _Refs:
        """The refs sorted, each once, as the object its node already has."""
        nodes = self._nodes
        return tuple(nodes[ref].ref if ref in nodes else _interned(ref) for ref in sorted(set(refs)))

    def _forget_if_idle(self, node: Node) -> None:
        if node.is_idle:
            self._nodes.pop(node.ref, None)

    # snapshots --------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything known as plain JSON values; equal knowledge gives equal dumps, ranks aside."""
        nodes = [self._nodes[ref] for ref in sorted(self._nodes) if not self._nodes[ref].is_hearsay]
        tangles = {id(node.tangle): node.tangle for node in nodes if node.tangle is not None}
        return {
            "issues": [node.dump() for node in nodes],
            "ranks": [node.rank for node in nodes],
            "tangles": sorted(
                sorted(str(node.ref) for node in tangle.members) for tangle in tangles.values()
            ),
        }

    @classmethod
    def load(cls, plain: dict[str, Any]) -> "DependencyGraph":
        """The graph that gave this dump, at one look for every issue and edge."""
        graph = cls()
        for row, rank in zip(plain["issues"], plain["ranks"], strict=True):
            ref, state, fresh, text_key, stated, parsed, native, hidden = row
            node = graph._node(IssueRef.parse(ref))
            node.state, node.rank = state, rank
            node.fresh = None if fresh is None else cast(Freshness, tuple(fresh))
            node.text_key = text_key
            node.stated = graph._edges(*stated)
            node.native, node.hidden = graph._shared(map(IssueRef.parse, native)), hidden
            if parsed:
                # The same string object for the key and the current text, where they are equal.
                node.parsed = {
                    text_key if key == text_key else key: graph._edges(*edges) for key, *edges in parsed
                }
            graph._relink(node)
        for refs in plain["tangles"]:
            tangle = Tangle(frozenset(graph._nodes[IssueRef.parse(ref)] for ref in refs))
            for member in tangle.members:
                member.tangle = tangle
        return graph

    def _edges(self, blocked_by: list[str], blocks: list[str]) -> Edges:
        return self._shared(map(IssueRef.parse, blocked_by)), self._shared(map(IssueRef.parse, blocks))


def _interned(ref: IssueRef) -> IssueRef:
    """The same ref on a shared string: a hundred thousand issues have a few repositories."""
    return IssueRef(intern(ref.repo), ref.number)


def _neighbour_ranks(group: frozenset[Node] | tuple[Node]) -> tuple[int | None, int | None]:
    """The highest rank the group waits for and the lowest that waits for it, among open issues."""
    inside = group if len(group) > 1 else ()
    below = [b.rank for each in group for b in each.blockers() if b.state == "open" and b not in inside]
    above = [
        d.rank for each in group for d in each.dependents() if d.state == "open" and d not in inside
    ]
    return max(below, default=None), min(above, default=None)


def _fits(node: Node) -> bool:
    """Whether the issue has a rank between those of its neighbours; gives it one if there is room."""
    floor, ceiling = _neighbour_ranks((node,))
    if (floor is None or floor < node.rank) and (ceiling is None or node.rank < ceiling):
        return True
    if floor is None or ceiling is None:
        node.rank = (floor or 0) + _RANK_STEP if ceiling is None else ceiling - _RANK_STEP
        return True
    if ceiling - floor < 2:
        return False
    node.rank = (floor + ceiling) // 2
    return True


def _place(group: frozenset[Node], found: Found) -> None:
    """Give the group one rank next to its neighbours on the exhausted side, and move that side along
    until the rank fits the other neighbours too. Nothing outside hangs on a closed side's far end."""
    floor, ceiling = _neighbour_ranks(group)
    rank = next(iter(group)).rank
    if found.is_downward:
        rank = rank if floor is None else floor + _RANK_STEP
        shift = 0 if ceiling is None else min(0, ceiling - rank - _RANK_STEP)
    else:
        rank = rank if ceiling is None else ceiling - _RANK_STEP
        shift = 0 if floor is None else max(0, floor - rank + _RANK_STEP)
    for each in group:
        each.rank = rank
    for each in found.closed if shift else ():
        each.rank += shift
