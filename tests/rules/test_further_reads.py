"""What is read next follows from what was read, and stays bounded."""

from coordinator.rules.further_reads import (
    MAX_DEPENDENTS,
    Missing,
    contradicted,
    dependents,
    in_turn,
    read_order,
    undescribed,
    unknown_blockers,
    unswept_blockers,
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
    assert unswept_blockers(issues, {41}) == (IssueRef("b/b", 1), FAR)
    assert unswept_blockers(issues, {41, 7}) == (FAR,)
    issues.gone(IssueRef("b/b", 1), "blocker")
    assert unswept_blockers(issues, {41}) == (IssueRef("b/b", 1), FAR)


def test_pull_requests_are_blockers_no_sweep_looks_at() -> None:
    """In a swept repository, too: pull requests, open or closed, and what was never seen, but not what
    was deleted nor issues."""
    issues = known(3, 4)
    issues.read(facts(5, read_at=at(1), is_pull=True), None, "blocker")
    issues.read(facts(6, read_at=at(1), is_pull=True, state="closed"), None, "blocker")
    issues.gone(ref(4), "delivery")
    blockers = tuple(ref(number) for number in range(3, 8))
    issues.read(facts(1, read_at=at(1), native_blockers=blockers), None, "delivery")
    assert unswept_blockers(issues, {41}) == (ref(5), ref(6), ref(7))


def test_blockers_seen_in_another_state_are_found() -> None:
    """What stands in another state beside one of our open issues than we know is news; what we know so,
    or not at all, is none, nor does anybody ask for an issue that is not ours."""
    issues = known(2, 3)
    seen = {ref(3): "closed", ref(2): "open", ref(9): "closed"}
    assert contradicted(issues, facts(1), seen) == (ref(3),)
    assert contradicted(issues, facts(1, assignees=()), seen) == ()


def test_many_blockers_take_turns() -> None:
    """However many there are, each has its turn, and none has a second one before."""
    refs = tuple(ref(number) for number in range(1, 6))
    assert in_turn(refs, None, 2) == refs[:2]
    assert in_turn(refs, ref(2), 2) == refs[2:4]
    assert in_turn(refs, ref(4), 2) == (ref(5), ref(1))
    assert in_turn(refs, ref(9), 9) == refs
    assert in_turn((), ref(9)) == ()


def test_issues_without_a_full_read_are_found() -> None:
    """Only open ones of ours whose dependencies nobody has read."""
    issues = known(2, 1)
    issues.route(facts(3, assignees=()), "opened", None)
    issues.read(facts(4, read_at=at(1), native_blockers=()), None, "delivery")
    assert undescribed(issues) == (ref(1), ref(2))


def test_what_nobody_shows_is_asked_for_less_and_less() -> None:
    """A minute is waited after the first time, then twice as long each time, up to an hour; once seen,
    or not wanted any more, it begins anew, and others wait for nothing."""
    missing = Missing()
    refs = (ref(1), ref(2))
    assert missing.to_ask(refs, 0) == refs
    pauses = []
    now_s = 0.0
    for _ in range(8):
        missing.missed(ref(1), now_s)
        due_s = next(s for s in range(int(now_s), 20_000, 10) if missing.to_ask(refs, s) == refs)
        assert missing.to_ask(refs, due_s - 1) == (ref(2),)
        pauses.append(due_s - now_s)
        now_s = due_s
    assert pauses == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
    missing.seen(ref(1))
    missing.seen(ref(2))
    missing.missed(ref(1), now_s)
    assert missing.to_ask(refs, now_s + 60) == refs
    assert missing.to_ask(refs[1:], now_s) == refs[1:]
    assert missing.to_ask(refs, now_s) == refs
