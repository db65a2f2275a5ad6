"""Tangles: strongly connected sets of open issues, and the names of their circles."""

from coordinator.rules.ids import IssueRef
from coordinator.rules.tangle import Node, find_tangle, name_cycles


def ring(*numbers: int) -> list[Node]:
    """Open issues of which each waits for the next, the last for the first."""
    nodes = [Node(IssueRef("a/b", number)) for number in numbers]
    for node, blocker in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        node.state = "open"
        wait(node, blocker)
    return nodes


def wait(node: Node, blocker: Node) -> None:
    node.own_blockers = (*node.own_blockers, blocker)
    blocker.told_dependents = {**blocker.told_dependents, node: None}


def numbers(refs: tuple[IssueRef, ...]) -> list[int]:
    return [ref.number for ref in refs]


def test_a_ring_is_a_tangle() -> None:
    """Every member of a ring finds all of it."""
    nodes = ring(1, 2, 3)
    for node in nodes:
        assert find_tangle(node).members == set(nodes)


def test_what_hangs_on_a_ring_is_not_in_it() -> None:
    """Issues that wait for the ring, and those it waits for, are no part of it."""
    nodes = ring(1, 2)
    below, above = Node(IssueRef("a/b", 8)), Node(IssueRef("a/b", 9))
    below.state = above.state = "open"
    wait(nodes[0], below)
    wait(above, nodes[1])
    assert find_tangle(nodes[0]).members == set(nodes)
    assert find_tangle(below).members == find_tangle(above).members == frozenset()


def test_an_issue_alone_is_no_tangle_unless_it_waits_for_itself() -> None:
    """One issue is a tangle only with an edge to itself."""
    (node,) = ring(1)
    assert find_tangle(node).members == {node}
    node.own_blockers, node.told_dependents = (), {}
    assert find_tangle(node).members == frozenset()


def test_shared_circles_are_named_shortest_first() -> None:
    """The smallest issue's shortest circle comes first; the rest are named until all are covered."""
    nodes = ring(3, 1, 2, 5)
    shortcut = Node(IssueRef("a/b", 4))
    shortcut.state = "open"
    wait(nodes[1], shortcut)
    wait(shortcut, nodes[1])
    names = name_cycles([*nodes, shortcut])
    assert {ref.number: numbers(cycle) for ref, cycle in names.items()} == {
        1: [1, 4],
        4: [1, 4],
        2: [1, 2, 5, 3],
        5: [1, 2, 5, 3],
        3: [1, 2, 5, 3],
    }


def test_the_smaller_side_is_exhausted() -> None:
    """Of a long chain above and a short one below, the search comes back with all of the short one."""
    chain = [Node(IssueRef("a/b", number)) for number in range(1, 101)]
    for node, blocker in zip(chain[1:], chain, strict=False):
        wait(node, blocker)
    for node in chain:
        node.state = "open"
    low = find_tangle(chain[4])
    assert low.is_downward
    assert low.closed == set(chain[:5])
    high = find_tangle(chain[-3])
    assert not high.is_downward
    assert high.closed == set(chain[-3:])
    assert max(low.visited, high.visited) < 20
