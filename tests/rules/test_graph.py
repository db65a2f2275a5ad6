"""The dependency graph: order does not matter, edges belong to texts, changes stay cheap."""

import json
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.rules.events import IssueFacts
from coordinator.rules.graph import DependencyGraph, Verdict
from coordinator.rules.ids import IssueRef
from tests.rules.builders import ref, refs

AT = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)


def seen(
    number: int,
    *,
    by: Iterable[int] = (),
    blocks: Iterable[int] = (),
    state: Literal["open", "closed"] = "open",
    at: int = 0,
    text: str = "k",
) -> IssueFacts:
    return IssueFacts(
        ref=ref(number),
        repo_id=41,
        issue_id=number,
        title="t",
        text_key=text,
        state=state,
        assignees=(),
        labels=(),
        milestone=None,
        html_url="",
        created_at=AT,
        updated_at=AT + timedelta(seconds=at),
        blocked_by=refs(*by),
        blocks=refs(*blocks),
    )


def known(graph: DependencyGraph) -> dict[str, Any]:
    """What a graph knows, without the ranks that only make it quick."""
    return {key: value for key, value in graph.dump().items() if key != "ranks"}


def graph_of(*facts: IssueFacts) -> DependencyGraph:
    graph = DependencyGraph()
    for each in facts:
        graph.observe(each)
    return graph


# verdicts ---------------------------------------------------------------------------------------


def test_only_closed_satisfies() -> None:
    """Open and unknown blockers block, closed ones are satisfied, deleted ones are gone."""
    graph = graph_of(seen(1, by=[2, 3, 4, 5]), seen(2), seen(3, state="closed"))
    graph.delete(ref(5))
    verdict = graph.verdict(ref(1))
    assert verdict == Verdict(ref(1), "open", "k", False, refs(2), refs(4), refs(3))
    assert verdict.is_blocked
    assert not graph.verdict(ref(2)).is_blocked
    assert graph.verdict(ref(5)).state == "deleted"


def test_an_unknown_blocker_alone_blocks() -> None:
    """An issue nobody has seen may be open, so it blocks until it is seen closed."""
    graph = graph_of(seen(1, by=[2]))
    assert graph.verdict(ref(1)).is_blocked
    assert graph.observe(seen(2, state="closed")) == {ref(1), ref(2)}
    assert not graph.verdict(ref(1)).is_blocked


def test_of_an_issue_never_named_nothing_is_said() -> None:
    """A question about a stranger is answered and leaves no trace."""
    graph = DependencyGraph()
    assert graph.verdict(ref(1)) == Verdict(ref(1), "unknown")
    assert graph.cycle(ref(1)) == ()
    assert len(graph) == 0


def test_both_ends_may_declare_an_edge() -> None:
    """An edge stands as long as one of its ends declares it."""
    graph = graph_of(seen(1, by=[2]), seen(2, blocks=[1]))
    assert graph.verdict(ref(1)).open_blockers == refs(2)
    graph.observe(seen(1, at=1))
    assert graph.verdict(ref(1)).open_blockers == refs(2)
    assert graph.observe(seen(2, at=1)) == {ref(1), ref(2)}
    assert graph.verdict(ref(1)).open_blockers == ()


def test_an_edit_removes_only_its_own_edges() -> None:
    """What another issue's text declares survives the edit of this one."""
    graph = graph_of(seen(1, by=[2, 3]), seen(2), seen(3), seen(4, blocks=[1]))
    graph.observe(seen(1, by=[3], at=1))
    assert graph.verdict(ref(1)).open_blockers == refs(3, 4)


def test_repositories_are_told_apart() -> None:
    """The same number in another repository is another issue."""
    other = IssueRef("acme/api", 1)
    graph = graph_of(replace(seen(1), blocked_by=(other,)), replace(seen(1), ref=other, state="closed"))
    assert graph.verdict(ref(1)).satisfied == (other,)
    assert graph.verdict(other).satisfied == ()


def test_changes_return_who_may_have_changed() -> None:
    """News returns the issue and whoever's verdict it touches; what is no news returns nothing."""
    graph = graph_of(seen(1, by=[2]), seen(2))
    assert graph.observe(seen(2)) == frozenset()
    assert graph.observe(seen(2, at=-1)) == frozenset()
    assert graph.observe(seen(2, at=1)) == {ref(2)}
    assert graph.observe(seen(2, at=2, state="closed")) == {ref(1), ref(2)}
    assert graph.observe(seen(3, blocks=[1])) == {ref(1), ref(3)}
    assert graph.parse(ref(1), "k", refs(2), ()) == {ref(1)}
    assert graph.parse(ref(1), "k", refs(2), ()) == frozenset()
    assert graph.delete(ref(3)) == {ref(1), ref(3)}
    assert graph.delete(ref(3)) == frozenset()


def test_the_forges_own_dependencies_block() -> None:
    """What the forge keeps counts beside what texts state, and goes when a newer read lacks it."""
    graph = graph_of(replace(seen(1, by=[2]), native_blockers=refs(2, 3)), seen(2), seen(3))
    assert graph.verdict(ref(1)).open_blockers == refs(2, 3)
    assert graph.observe(replace(seen(1, at=1), native_blockers=())) == {ref(1)}
    assert graph.verdict(ref(1)).open_blockers == ()


def test_the_forge_may_keep_an_issue_as_its_own_blocker() -> None:
    """It accepts a dependency of an issue on itself: the smallest of circles."""
    graph = graph_of(replace(seen(1), native_blockers=refs(1)))
    assert graph.verdict(ref(1)).open_blockers == refs(1)
    assert graph.cycle(ref(1)) == refs(1)


def test_what_is_hidden_blocks() -> None:
    """A blocker we may not see counts as open until the forge shows none."""
    graph = graph_of(replace(seen(1), hidden_blockers=2))
    assert graph.verdict(ref(1)).is_blocked
    assert graph.verdict(ref(1)).hidden_blockers == 2
    again = DependencyGraph.load(json.loads(json.dumps(graph.dump())))
    assert again.verdict(ref(1)) == graph.verdict(ref(1))
    graph.observe(seen(1, at=1))
    assert not graph.verdict(ref(1)).is_blocked
    graph.observe(replace(seen(1, at=2), hidden_blockers=1))
    graph.delete(ref(1))
    assert not graph.verdict(ref(1)).is_blocked


def test_a_moved_repository_is_meant_by_its_new_name() -> None:
    """References made before the move was told of turn to the issues that are known, all kinds."""
    new = tuple(IssueRef("acme/gadgets", number) for number in (5, 6, 7, 8))
    waiting = replace(seen(1), blocked_by=(new[0],), blocks=(new[1],), native_blockers=(new[2],))
    graph = graph_of(seen(5), seen(7, state="closed"), waiting, seen(9, by=[5]))
    graph.parse(ref(1), "k", (new[3],), ())
    assert graph.move("acme/gadgets", "acme/widgets") == {ref(1), ref(6), new[1]}
    verdict = graph.verdict(ref(1))
    assert (verdict.open_blockers, verdict.unknown_blockers, verdict.satisfied) == (
        refs(5),
        refs(8),
        refs(7),
    )
    assert graph.verdict(ref(6)).open_blockers == refs(1)
    assert graph.move("acme/gadgets", "acme/widgets") == frozenset()


def test_references_to_a_repository_that_was_seen_stay() -> None:
    """A name under which issues are filed means those, whoever is called so later."""
    other = replace(seen(5), ref=IssueRef("acme/gadgets", 5))
    graph = graph_of(other, replace(seen(1), blocked_by=(other.ref,)))
    assert graph.move("acme/gadgets", "acme/widgets") == frozenset()
    assert graph.verdict(ref(1)).open_blockers == (other.ref,)


# parses -----------------------------------------------------------------------------------------


def test_a_parse_counts_for_its_text_only() -> None:
    """Edges a reader found hold while the text they were found in is the current one."""
    graph = graph_of(seen(1, text="old"), seen(2), seen(3))
    assert not graph.verdict(ref(1)).parsed
    graph.parse(ref(1), "old", refs(2), refs(3))
    assert graph.verdict(ref(1)).parsed
    assert graph.verdict(ref(1)).open_blockers == refs(2)
    assert graph.verdict(ref(3)).open_blockers == refs(1)
    graph.observe(seen(1, text="new", at=1))
    assert not graph.verdict(ref(1)).parsed
    assert graph.verdict(ref(1)).open_blockers == ()
    graph.observe(seen(1, text="old", at=2))
    assert graph.verdict(ref(1)).open_blockers == refs(2)


def test_a_parse_may_come_before_its_text() -> None:
    """A parse of a text not seen yet is kept until it is, also of an issue not seen at all."""
    graph = DependencyGraph()
    assert graph.parse(ref(1), "k", refs(2), ()) == {ref(1)}
    assert graph.verdict(ref(1)) == Verdict(ref(1), "unknown")
    graph.observe(seen(1))
    assert graph.verdict(ref(1)).unknown_blockers == refs(2)
    assert graph.verdict(ref(1)).parsed


def test_two_readings_of_a_text_count_together() -> None:
    """Of two readings of one text all edges count, whichever came first."""
    one, other = graph_of(seen(1)), graph_of(seen(1))
    one.parse(ref(1), "k", refs(2), ())
    one.parse(ref(1), "k", refs(3), ())
    other.parse(ref(1), "k", refs(3), ())
    other.parse(ref(1), "k", refs(2), ())
    assert known(one) == known(other)
    assert one.verdict(ref(1)).unknown_blockers == refs(2, 3)


def test_old_texts_are_forgotten_in_the_end() -> None:
    """However often a text changes, only so many of its parses are kept, the current one among them."""
    graph = graph_of(seen(1, text="a-current"))
    graph.parse(ref(1), "a-current", refs(2), ())
    for number in range(100):
        graph.parse(ref(1), f"text-{number:03}", (), ())
    assert graph.verdict(ref(1)).open_blockers + graph.verdict(ref(1)).unknown_blockers == refs(2)
    assert len(graph.dump()["issues"][0][5]) == 17


# deletion ---------------------------------------------------------------------------------------


def test_the_deleted_do_not_come_back_by_payloads() -> None:
    """After a deletion a late payload or parse changes nothing, and its edges are gone."""
    graph = graph_of(seen(1), seen(2, by=[3], blocks=[1]), seen(3))
    graph.parse(ref(2), "k", refs(4), ())
    graph.delete(ref(2))
    assert graph.observe(seen(2, blocks=[1], at=9)) == frozenset()
    assert graph.parse(ref(2), "k", (), refs(1)) == frozenset()
    assert not graph.verdict(ref(1)).is_blocked
    assert graph.verdict(ref(2)) == Verdict(ref(2), "deleted")


def test_a_deleted_issue_that_was_read_is_back_with_its_parse() -> None:
    """A read brings the issue back, older stamp or not, and a text parsed meanwhile counts."""
    graph = graph_of(seen(1, by=[2]), seen(2, at=9, text="old"))
    graph.delete(ref(2))
    graph.parse(ref(2), "k", refs(4), ())
    found = replace(seen(2, at=3), read_at=AT)
    assert graph.observe(found) == set(refs(1, 2))
    assert graph.verdict(ref(1)).open_blockers == refs(2)
    assert graph.verdict(ref(2)) == Verdict(ref(2), "open", "k", parsed=True, unknown_blockers=refs(4))


def test_mere_hearsay_is_forgotten() -> None:
    """An issue known only because a text named it is forgotten with that text."""
    graph = graph_of(seen(1, by=[2], blocks=[3]))
    assert len(graph) == 3
    graph.observe(seen(1, at=1))
    assert len(graph) == 1


# circles ----------------------------------------------------------------------------------------


def test_a_circle_is_named_from_its_smallest_issue() -> None:
    """Each issue of the circle names it the same way: each blocked by the next, the smallest first."""
    graph = graph_of(seen(3, by=[1]), seen(1, by=[2]), seen(2, by=[3]), seen(4, by=[1]))
    assert graph.cycle(ref(1)) == graph.cycle(ref(2)) == graph.cycle(ref(3)) == refs(1, 2, 3)
    assert graph.verdict(ref(2)).cycle == refs(1, 2, 3)
    assert graph.cycle(ref(4)) == ()


def test_an_issue_may_wait_for_itself() -> None:
    """The forge's API accepts an issue as its own blocker: a circle of one."""
    graph = graph_of(seen(1, by=[1]))
    assert graph.verdict(ref(1)).cycle == refs(1)
    assert graph.verdict(ref(1)).open_blockers == refs(1)
    graph.observe(seen(1, at=1))
    assert graph.verdict(ref(1)).cycle == ()


@pytest.mark.parametrize("how", ["close", "edit", "delete"])
def test_a_circle_breaks(how: str) -> None:
    """Closing or deleting a member, or taking an edge away, breaks the circle for all its members."""
    graph = graph_of(seen(1, by=[2]), seen(2, by=[3]), seen(3, by=[1]))
    if how == "close":
        touched = graph.observe(seen(2, by=[3], state="closed", at=1))
    elif how == "edit":
        touched = graph.observe(seen(2, at=1))
    else:
        touched = graph.delete(ref(2))
    assert touched == set(refs(1, 2, 3))
    assert [graph.cycle(each) for each in refs(1, 2, 3)] == [(), (), ()]


def test_a_circle_closes_when_its_last_member_opens() -> None:
    """Closed and unknown issues are in no circle; opening or first seeing the last one makes it."""
    graph = graph_of(seen(1, by=[2]), seen(2, by=[1], state="closed"))
    assert graph.cycle(ref(1)) == ()
    assert graph.observe(seen(2, by=[1], at=1)) == set(refs(1, 2))
    assert graph.cycle(ref(1)) == refs(1, 2)
    graph = graph_of(seen(1, by=[2], blocks=[2]))
    assert graph.cycle(ref(1)) == ()
    graph.observe(seen(2))
    assert graph.cycle(ref(1)) == refs(1, 2)


def test_a_tangle_is_covered_by_short_circles() -> None:
    """Two circles that share an issue are each named; the shared issue tells the smaller's."""
    graph = graph_of(seen(1, by=[2, 3]), seen(2, by=[1]), seen(3, by=[4]), seen(4, by=[1]))
    assert graph.cycle(ref(1)) == graph.cycle(ref(2)) == refs(1, 2)
    assert graph.cycle(ref(3)) == graph.cycle(ref(4)) == refs(1, 3, 4)


def test_a_tangle_may_fall_apart_into_two() -> None:
    """When what joined two circles goes, each stays a circle of its own."""
    graph = graph_of(
        seen(1, by=[2]),
        seen(2, by=[1]),
        seen(3, by=[4]),
        seen(4, by=[3]),
        seen(5, by=[1, 3], blocks=[1, 3]),
    )
    assert len(graph.dump()["tangles"]) == 1
    assert graph.observe(seen(5, state="closed", at=1)) == set(refs(1, 2, 3, 4, 5))
    assert [graph.cycle(each) for each in refs(1, 3, 5)] == [refs(1, 2), refs(3, 4), ()]


# properties -------------------------------------------------------------------------------------

NUMBERS = st.integers(1, 6)
SOME = st.lists(NUMBERS, max_size=3)
OBSERVATIONS = st.builds(
    seen,
    NUMBERS,
    by=SOME,
    blocks=SOME,
    state=st.sampled_from(["open", "open", "closed"]),
    at=st.integers(0, 3),
    text=st.sampled_from(["k", "m"]),
)
Parse = tuple[int, str, list[int], list[int]]
PARSES = st.tuples(NUMBERS, st.sampled_from(["k", "m"]), SOME, SOME)
CHANGES = st.lists(st.one_of(OBSERVATIONS, OBSERVATIONS, PARSES, NUMBERS), max_size=14)


def apply(graph: DependencyGraph, change: "IssueFacts | Parse | int") -> frozenset[IssueRef]:
    if isinstance(change, IssueFacts):
        return graph.observe(change)
    if isinstance(change, int):
        return graph.delete(ref(change))
    number, text, by, blocks = change
    return graph.parse(ref(number), text, refs(*by), refs(*blocks))


def all_verdicts(graph: DependencyGraph) -> dict[IssueRef, Verdict]:
    return {each: graph.verdict(each) for each in refs(1, 2, 3, 4, 5, 6)}


@settings(max_examples=300, deadline=None)
@given(CHANGES, st.data())
def test_order_and_repetition_do_not_matter(
    changes: "list[IssueFacts | Parse | int]", data: st.DataObject
) -> None:
    """Any order and any repetition of the same changes gives an equal graph and equal verdicts."""
    shuffled = data.draw(st.permutations([*changes, *changes[: len(changes) // 2]]))
    one, other = DependencyGraph(), DependencyGraph()
    for change in changes:
        apply(one, change)
    for change in shuffled:
        apply(other, change)
    assert known(one) == known(other)
    assert all_verdicts(one) == all_verdicts(other)


@settings(max_examples=300, deadline=None)
@given(CHANGES)
def test_whoever_changed_is_returned(changes: "list[IssueFacts | Parse | int]") -> None:
    """Every change returns at least the issues whose verdict differs after it."""
    graph = DependencyGraph()
    before = all_verdicts(graph)
    for change in changes:
        touched = apply(graph, change)
        after = all_verdicts(graph)
        assert {each for each in after if after[each] != before[each]} <= touched
        before = after


@settings(max_examples=300, deadline=None)
@given(CHANGES)
def test_circles_agree_with_brute_force(changes: "list[IssueFacts | Parse | int]") -> None:
    """An issue has a circle if and only if it reaches itself over open blockers; the circle is true."""
    graph = DependencyGraph()
    for change in changes:
        apply(graph, change)
        waits = {each: set(graph.verdict(each).open_blockers) for each in refs(1, 2, 3, 4, 5, 6)}
        waits = {each: after for each, after in waits.items() if graph.verdict(each).state == "open"}
        for start in refs(1, 2, 3, 4, 5, 6):
            reached: set[IssueRef] = set()
            queue = [start]
            while queue:
                new = waits.get(queue.pop(), set()) - reached
                reached |= new
                queue += new
            cycle = graph.cycle(start)
            assert bool(cycle) == (start in reached)
            if cycle:
                assert start in cycle
                assert cycle[0] == min(cycle)
                assert len(set(cycle)) == len(cycle)
                ring = zip(cycle, (*cycle[1:], cycle[0]), strict=True)
                assert all(blocker in waits[each] for each, blocker in ring)


@settings(max_examples=300, deadline=None)
@given(CHANGES)
def test_no_edge_goes_against_the_ranks(changes: "list[IssueFacts | Parse | int]") -> None:
    """An open issue ranks above the open issues it waits for; inside a tangle all are level."""
    graph = DependencyGraph()
    for change in changes:
        apply(graph, change)
        plain = graph.dump()
        ranks = dict(zip((row[0] for row in plain["issues"]), plain["ranks"], strict=True))
        tangle_of = {each: at for at, tangle in enumerate(plain["tangles"]) for each in tangle}
        for verdict in all_verdicts(graph).values():
            for blocker in verdict.open_blockers if verdict.state == "open" else ():
                one, other = str(verdict.ref), str(blocker)
                if one in tangle_of and tangle_of[one] == tangle_of.get(other):
                    assert ranks[one] == ranks[other]
                else:
                    assert ranks[one] > ranks[other]


def test_a_reopened_issue_in_the_middle_is_not_searched_for() -> None:
    """Closing and reopening an issue amid thousands that wait in a line looks at the issue alone."""
    graph = DependencyGraph()
    for number in range(1, 2_001):
        graph.observe(seen(number, by=[number - 1] if number > 1 else []))
    before = graph.visited
    graph.observe(seen(1_000, by=[999], state="closed", at=1))
    graph.observe(seen(1_000, by=[999], at=2))
    assert graph.visited - before <= 2


@settings(max_examples=100, deadline=None)
@given(CHANGES, CHANGES)
def test_a_snapshot_is_the_graph(
    before: "list[IssueFacts | Parse | int]", after: "list[IssueFacts | Parse | int]"
) -> None:
    """A graph loaded from JSON equals the dumped one, and stays equal under the same changes."""
    graph = DependencyGraph()
    for change in before:
        apply(graph, change)
    loaded = DependencyGraph.load(json.loads(json.dumps(graph.dump())))
    assert len(loaded) == len(graph)
    for change in after:
        assert apply(loaded, change) == apply(graph, change)
    assert known(loaded) == known(graph)
    assert all_verdicts(loaded) == all_verdicts(graph)


# size and cost ----------------------------------------------------------------------------------


def test_a_change_costs_its_neighbourhood() -> None:
    """In a long band of issues a label, a close and a new issue look at a handful of nodes."""
    graph = DependencyGraph()
    for number in range(1, 3_001):
        graph.observe(seen(number, by=range(max(1, number - 3), number)))
    assert graph.visited < 4 * 3_000
    costs = []
    for change in (
        seen(1_500, by=range(1_497, 1_500), at=1),
        seen(1_500, by=range(1_497, 1_500), at=2, state="closed"),
        seen(1_501, by=[1_499, 1_500], at=1),
        seen(3_001, by=[1_400, 3_000]),
        seen(3_002, blocks=[1_400]),
    ):
        before = graph.visited
        assert len(graph.observe(change)) <= 5
        costs.append(graph.visited - before)
    assert max(costs) <= 6


def test_a_search_costs_the_smaller_side() -> None:
    """A new edge between a long chain and a short one looks about as far as the short one goes."""
    graph = DependencyGraph()
    for number in range(1, 2_001):
        graph.observe(seen(number, by=[number - 1] if number > 1 else []))
    for number in range(3_001, 3_005):
        graph.observe(seen(number, by=[number - 1] if number > 3_001 else []))
    before = graph.visited
    graph.observe(seen(3_001, by=[2_000], at=1))
    assert graph.visited - before <= 4 * 4


def test_a_hundred_thousand_issues_fit() -> None:
    """Each of 5,000 issues with three edges, seen and parsed, takes less than 2,000 bytes, so that
    100,000 of them stay below 200 MB."""
    tracemalloc.start()
    try:
        graph = DependencyGraph()
        for number in range(1, 5_001):
            by = {max(1, number - step) for step in (1, 7, 1_000)} - {number}
            facts = seen(number, by=by, text=f"{number:064}")
            graph.observe(facts)
            graph.parse(facts.ref, f"{number:064}", facts.blocked_by, ())
            del facts
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(graph) == 5_000
    assert used_bytes / 5_000 < 2_000
    assert graph.verdict(ref(5_000)).open_blockers == refs(4_000, 4_993, 4_999)
