"""What is read next follows from what was read, and stays bounded."""

from coordinator.rules.further_reads import (
    MAX_DEPENDENTS,
    blockers_outside,
    dependents,
    read_order,
    undescribed,
    unknown_blockers,
)
from coordinator.rules.ids import IssueRef
from coordinator.rules.orders import ReadIssue
from coordinator.rules.routing import KnownIssues
from tests.rules.builders import POOL, at, facts, ref

FAR = IssueRef("far/away", 5)


def known(*seen: int) -> KnownIssues:
    issues = KnownIssues(frozenset({POOL}))
    for number in seen:
        issues.route(facts(number), "opened", None)
    return issues


def test_a_read_goes_where_the_repository_is_now() -> None:
    """The order has the id and the present name of a repository seen before, and else only the name."""
    issues = known(1)
    issues.repositories.learn(41, "Acme/Renamed", at(9), is_read=True)
    assert read_order(issues, ref(7), "blocks", "n") == ReadIssue(
        ref(7), 41, "Acme/Renamed", "blocks", "n"
    )
    assert read_order(issues, FAR, "blocker", "n") == ReadIssue(FAR, 0, "far/away", "blocker", "n")
    assert read_order(issues, IssueRef("far/away~3", 5), "blocker", "n") is None


def test_unknown_blockers_of_ours_are_named_once() -> None:
    """Stated or native, never seen; of an open issue of ours, itself left out. What was deleted only
    when the forge itself names it."""
    issues = known(1, 2, 3)
    issues.gone(ref(3), "delivery")
    stated = (ref(2), ref(3), ref(9), FAR)
    ours = facts(1, blocked_by=stated, native_blockers=(ref(9), ref(8), ref(1)))
    assert unknown_blockers(issues, ours) == tuple(sorted((ref(8), ref(9), FAR)))
    found = unknown_blockers(issues, facts(1, native_blockers=(ref(3),)))
    assert found == (ref(3),)
    assert unknown_blockers(issues, facts(1, blocked_by=stated, assignees=())) == ()
    assert unknown_blockers(issues, facts(1, blocked_by=stated, state="closed")) == ()


def test_dependents_that_cannot_know_are_read() -> None:
    """Who is known to wait for the closed issue, and for nothing hidden, need not be asked; nor who is
    closed; the forge's word counts for one taken for deleted; and a list without end is cut."""
    issues = known(1, 6)
    issues.gone(ref(6), "delivery")
    seen = (
        facts(2, read_at=at(1), native_blockers=(ref(1),)),
        facts(3, read_at=at(1), native_blockers=(ref(1),), hidden_blockers=1),
        facts(4, read_at=at(1), native_blockers=()),
        facts(5, read_at=at(1), state="closed"),
        facts(7, read_at=at(1)),
    )
    for each in seen:
        issues.read(each, None, "delivery")
    listed = [ref(number) for number in (7, 6, 5, 4, 3, 2, 1, 9, 9)]
    assert dependents(issues, ref(1), listed) == (ref(3), ref(4), ref(6), ref(7), ref(9))
    many = [ref(number) for number in range(100, 500)]
    assert len(dependents(issues, ref(1), many)) == MAX_DEPENDENTS


def test_blockers_no_sweep_looks_at_are_found() -> None:
    """Those of our open issues in repositories that are not swept, seen or not, also deleted ones."""
    issues = known(1)
    issues.read(
        facts(2, read_at=at(1), blocked_by=(ref(1), FAR), native_blockers=(IssueRef("b/b", 1),)),
        None,
        "delivery",
    )
    issues.read(facts(1, ref=IssueRef("b/b", 1), repo_id=7, read_at=at(1)), None, "blocker")
    assert blockers_outside(issues, {41}) == (IssueRef("b/b", 1), FAR)
    assert blockers_outside(issues, {41, 7}) == (FAR,)
    issues.gone(IssueRef("b/b", 1), "blocker")
    assert blockers_outside(issues, {41}) == (IssueRef("b/b", 1), FAR)


def test_issues_without_a_full_read_are_found() -> None:
    """Only open ones of ours whose dependencies nobody has read."""
    issues = known(2, 1)
    issues.route(facts(3, assignees=()), "opened", None)
    issues.read(facts(4, read_at=at(1), native_blockers=()), None, "delivery")
    assert undescribed(issues) == (ref(1), ref(2))
