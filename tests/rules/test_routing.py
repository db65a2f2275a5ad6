"""What an observation means: news, stale, unchanged or the end."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.events import IssueDeleted, IssueFacts, IssueObserved, RepositoryMoved
from coordinator.rules.ids import IssueRef, Login
from coordinator.rules.routing import KnownIssues
from tests.rules.builders import POOL, at, facts, ref, up

OWN = Login("mosaic-bot")


def known() -> KnownIssues:
    return KnownIssues(frozenset({POOL, Login("claude-sonnet")}))


def test_first_sight_of_an_assigned_issue_is_news() -> None:
    """The event carries the facts and who did it; the detail says whose login came."""
    routed = known().route(facts(1), "assigned", Login("maria"))
    assert isinstance(routed.event, IssueObserved)
    assert (routed.outcome, routed.detail, routed.event.by) == (
        "observed",
        "assigned +coder-bot",
        "maria",
    )


def test_issues_that_are_not_ours_are_kept_as_facts() -> None:
    """An issue without our logins is observed all the same: it may block one of ours."""
    routed = known().route(facts(1, assignees=()), "opened", None)
    assert (routed.outcome, routed.detail) == ("observed", "not ours; kept as a possible blocker")


def test_the_difference_of_assignees_is_named() -> None:
    """No field of a payload says who was assigned; the difference to what was known does."""
    issues = known()
    issues.route(facts(1), "assigned", None)
    routed = issues.route(facts(1, updated=2, assignees=(Login("claude-sonnet"),)), "unassigned", None)
    assert routed.detail == "assigned +claude-sonnet -coder-bot"
    assert (
        issues.route(
            facts(1, updated=3, assignees=(Login("claude-sonnet"),), title="T"), "edited", None
        ).detail
        == "ours"
    )


def test_repeats_and_stale_views_are_no_news() -> None:
    """The same again and an older view of the same assignment yield no event, each with its reason."""
    issues = known()
    issues.route(facts(1, updated=5), "opened", None)
    again = issues.route(facts(1, updated=5), "opened", None)
    stale = issues.route(facts(1, updated=1, title="old"), "edited", None)
    assert [(r.outcome, r.event) for r in (again, stale)] == [("unchanged", None), ("stale", None)]


def test_a_mere_touch_is_kept_so_that_a_restart_knows_what_is_older() -> None:
    """A moved update time is an event: without it a late older view would look newest after a crash."""
    issues = known()
    issues.route(facts(1, updated=5), "opened", None)
    touched = issues.route(facts(1, updated=9), "comment_created", None)
    assert (touched.outcome, touched.issue) == ("touched", ref(1))
    later = known()
    for event in (IssueObserved(facts(1, updated=5), "opened"), touched.event):
        assert event is not None
        later.fold(event)
    assert later.route(facts(1, updated=7, assignees=()), "unassigned", None).outcome == "late"
    assert later.facts[ref(1)].assignees == (POOL,)


def test_an_absence_told_late_is_news_and_changes_no_facts() -> None:
    """Unassigned and assigned again, told in the wrong order: the absence still counts."""
    issues = known()
    issues.route(facts(1, updated=1), "assigned", None)
    issues.route(facts(1, updated=9), "assigned", None)
    absent = issues.route(facts(1, updated=5, assignees=()), "unassigned", None)
    closed = issues.route(facts(1, updated=6, state="closed"), "closed", None)
    assert [(r.outcome, r.event is not None) for r in (absent, closed)] == [("late", True)] * 2
    assert issues.facts[ref(1)] == facts(1, updated=9, repo_name="acme/widgets")
    assert issues.route(facts(1, updated=6), "edited", None).outcome == "stale"


def test_deletion_is_final_for_payloads() -> None:
    """No payload brings a deleted issue back, also after a restart from snapshot or events."""
    issues = known()
    issues.route(facts(1), "opened", None)
    gone = issues.route(facts(1, updated=1), "deleted", None, deleted=True)
    assert gone.event == IssueDeleted(ref(1))
    assert issues.route(facts(1, updated=2), "edited", None).outcome == "stale"
    later = known()
    later.load(issues.save())
    assert later.route(facts(1), "opened", None).outcome == "stale"


def test_folding_its_own_events_restores_what_was_known() -> None:
    """A restart folds observations and deletions and passes over everything else."""
    issues = known()
    for event in (
        IssueObserved(facts(1), "opened"),
        IssueObserved(facts(2), "opened"),
        IssueDeleted(ref(2)),
        up("x"),
    ):
        issues.fold(event)
    assert (list(issues.facts), issues.deleted) == ([ref(1)], {ref(2)})


def a_read(number: int, *, sent: int, updated: int = 0, **fields: Any) -> IssueFacts:
    given_fields = {"native_blockers": ()} | fields
    return facts(number, updated=updated, read_at=at(sent), **given_fields)


# reads ------------------------------------------------------------------------------------------


def test_what_a_sweep_finds_is_marked_and_counted_by_cause() -> None:
    """A difference that no delivery told of is an event with source sweep, its causes counted."""
    issues = known()
    issues.route(facts(1, assignees=()), "opened", None)
    routed = issues.read(a_read(1, sent=9, updated=5, labels=("bug",)), None, "sweep")
    assert isinstance(routed.event, IssueObserved)
    assert (routed.event.source, routed.event.missed) == ("sweep", ("assigned", "labels"))
    assert issues.missed == {"assigned": 1, "labels": 1}
    assert issues.read(a_read(1, sent=12, updated=5, labels=("bug",)), None, "sweep").event is None
    later = known()
    later.fold(routed.event)
    assert later.missed == issues.missed


@pytest.mark.parametrize(
    ("why", "source"), [("delivery", "webhook"), ("blocker", "webhook"), ("first", "sweep")]
)
def test_only_a_later_sweep_finds_what_was_missed(why: Any, source: str) -> None:
    """What a delivery told of was not missed, nor what was there before anybody listened."""
    issues = known()
    routed = issues.read(a_read(1, sent=1), Login("maria"), why, action="assigned")
    assert isinstance(routed.event, IssueObserved)
    assert (routed.event.source, routed.event.missed, routed.event.by) == (source, (), "maria")
    assert not issues.missed


def test_reading_the_same_again_is_no_news_but_counts_against_older_reads() -> None:
    """Of two reads that overtake each other the one sent last is right, even if it says nothing new."""
    issues = known()
    issues.read(a_read(1, sent=1), None, "delivery")
    again = issues.read(a_read(1, sent=9), None, "delivery")
    assert (again.outcome, again.event) == ("unchanged", None)
    overtaken = issues.read(a_read(1, sent=5, title="older"), None, "delivery")
    assert (overtaken.outcome, overtaken.event) == ("stale", None)


def test_a_sweep_that_was_overtaken_missed_nothing() -> None:
    """A list read before a newer observation came in is stale, and nothing is counted."""
    issues = known()
    issues.read(a_read(1, sent=9, updated=9), None, "delivery")
    late = issues.read(a_read(1, sent=5, updated=5, assignees=()), None, "sweep")
    assert (late.outcome, issues.missed) == ("late", {})
    assert isinstance(late.event, IssueObserved)
    assert late.event.missed == ()


def test_a_dependency_edit_is_found_by_a_sweep() -> None:
    """No delivery tells of dependencies; a read that shows others is news of that cause."""
    issues = known()
    issues.read(a_read(1, sent=1), None, "delivery")
    routed = issues.read(a_read(1, sent=9, updated=5, native_blockers=(ref(2),)), None, "sweep")
    assert issues.missed == {"dependencies": 1}
    assert issues.facts[ref(1)].native_blockers == (ref(2),)
    assert routed.outcome == "observed"


def test_a_payload_keeps_the_dependencies_that_were_read() -> None:
    """A payload cannot know them, and its silence takes none away."""
    issues = known()
    issues.read(a_read(1, sent=1, native_blockers=(ref(2),), hidden_blockers=1), None, "delivery")
    routed = issues.route(facts(1, updated=5, title="T"), "edited", None)
    assert isinstance(routed.event, IssueObserved)
    seen = routed.event.facts
    assert (seen.native_blockers, seen.hidden_blockers) == ((ref(2),), 1)


def test_a_list_keeps_the_dependencies_that_were_read() -> None:
    """Facts from a list, read but without dependencies, take none away either."""
    issues = known()
    issues.read(a_read(1, sent=1, native_blockers=(ref(2),)), None, "delivery")
    issues.read(a_read(1, sent=9, updated=5, native_blockers=None), None, "sweep")
    assert issues.facts[ref(1)].native_blockers == (ref(2),)
    assert not issues.missed


def test_an_issue_that_answers_no_more_is_deleted_once() -> None:
    """A known issue the forge has no more is gone, marked as missed when a sweep found out."""
    issues = known()
    issues.route(facts(1), "opened", None)
    gone = issues.gone(ref(1), "sweep")
    assert gone.event == IssueDeleted(ref(1), "sweep")
    assert issues.missed == {"deleted": 1}
    assert issues.gone(ref(1), "sweep").outcome == "stale"
    issues.route(facts(2), "opened", None)
    assert issues.gone(ref(2), "delivery").event == IssueDeleted(ref(2))


def test_a_deleted_issue_that_is_read_again_is_back() -> None:
    """What a read finds is there, however old its stamp, also for those who fold the events again."""
    issues, later = known(), known()
    events = [
        issues.route(facts(1, updated=9), "opened", None).event,
        issues.gone(ref(1), "sweep").event,
        issues.read(a_read(1, sent=20, updated=5), None, "sweep").event,
    ]
    assert (issues.deleted, issues.facts[ref(1)].updated_at) == (set(), at(5))
    for event in events:
        assert event is not None
        later.fold(event)
    assert (later.deleted, later.facts) == (issues.deleted, issues.facts)
    assert issues.gone(ref(1), "delivery").outcome == "deleted"


def test_a_forge_whose_clock_was_set_back_is_believed() -> None:
    """A later read with an older stamp is the truth, on replay too; an earlier one, and one against a
    payload, are late."""
    issues, later = known(), known()
    events = [
        issues.read(a_read(1, sent=10, updated=900), None, "delivery").event,
        issues.read(a_read(1, sent=20, updated=5, state="closed"), None, "sweep").event,
    ]
    now = issues.facts[ref(1)]
    assert (now.state, now.updated_at, now.read_at) == ("closed", at(900), at(20))
    assert issues.read(a_read(1, sent=15, updated=4), None, "delivery").outcome == "stale"
    assert issues.read(a_read(1, sent=30, updated=5, state="closed"), None, "sweep").event is None
    for event in events:
        assert event is not None
        later.fold(event)
    assert later.facts[ref(1)] == now
    issues.route(facts(2, updated=900), "opened", None)
    assert issues.read(a_read(2, sent=20, updated=5, title="T"), None, "sweep").outcome == "stale"


def test_an_issue_never_seen_may_still_be_opened() -> None:
    """A text may name a number that does not exist yet: nothing is said of it."""
    issues = known()
    assert (issues.gone(ref(7), "blocker").outcome, issues.deleted) == ("missing", set())
    assert issues.route(facts(7), "opened", None).outcome == "observed"


def test_issues_are_filed_by_repository() -> None:
    """What is known of one repository is told without deleted issues and pull requests, also by a
    snapshot; and which repositories deliveries told of survives, too."""
    issues, folded, loaded = known(), known(), known()
    observed = [
        issues.route(facts(2), "opened", None),
        issues.route(facts(1), "opened", None),
        issues.read(a_read(3, sent=1, is_pull=True), None, "blocker"),
        issues.read(a_read(4, sent=1, repo_id=77, ref=IssueRef("b/b", 4)), None, "blocker"),
        issues.gone(ref(2), "delivery"),
    ]
    issues.heard.add(41)
    for event in (event for routed in observed for event in routed.events):
        folded.fold(event)
    loaded.load(issues.save())
    for each in (issues, folded, loaded):
        assert each.of("acme/widgets") == (ref(1),)
        assert each.of("b/b") == (IssueRef("b/b", 4),)
        assert each.of("c/c") == ()
        assert each.heard == {41}


def test_a_pull_request_is_nobodys_work() -> None:
    """One that an issue waits for is never ours, whoever is assigned to it: it gets no agent and no
    comment. What an earlier version took for ours is taken back by the next read."""
    issues = known()
    routed = issues.read(a_read(3, sent=1, is_pull=True, assignees=(POOL,)), None, "blocker")
    assert routed.detail == "not ours; kept as a possible blocker"
    assert issues.facts[ref(3)].assignees == ()
    before = facts(4, is_pull=True, assignees=(POOL,))
    issues.fold(IssueObserved(before, "read"))
    routed = issues.read(replace(before, read_at=at(1)), None, "sweep")
    assert (routed.outcome, routed.detail) == ("observed", "assigned -coder-bot")


# what need not be read --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "by", "changed", "quiet"),
    [
        ("comment_edited", OWN, {}, True),
        ("label_updated", OWN, {"updated_at": at(9)}, True),
        ("label_updated", OWN, {"labels": ("coordinator/ready",), "html_url": "http://other"}, True),
        ("comment_created", Login("maria"), {}, False),
        ("closed", OWN, {}, False),
        ("assigned", OWN, {}, False),
        ("comment_edited", OWN, {"state": "closed"}, False),
        ("comment_edited", OWN, {"assignees": ()}, False),
    ],
)
def test_own_echoes_end_quietly(action: str, by: Login, changed: dict[str, Any], quiet: bool) -> None:
    """Our own comments and labels need no reading, unless the payload shows what we do not know."""
    issues = known()
    issues.read(a_read(1, sent=1, native_blockers=(ref(2),)), None, "delivery")
    placed, _ = issues.place(replace(facts(1), **changed))
    assert issues.is_quiet(placed, action, by, OWN) is quiet


def test_nothing_is_quiet_without_a_name_or_a_past() -> None:
    """Whose account we use must be known, and the issue too."""
    issues = known()
    placed, _ = issues.place(facts(1))
    assert not issues.is_quiet(placed, "comment_edited", OWN, None)
    assert not issues.is_quiet(placed, "comment_edited", OWN, OWN)


def test_labels_of_ours_are_never_part_of_the_facts() -> None:
    """What we put on an issue ourselves is no news about it."""
    issues = known()
    issues.route(facts(1, labels=("bug",)), "opened", None)
    labels = ("agent/sonnet-1", "bug", "coordinator/ready")
    assert issues.route(facts(1, updated=3, labels=labels), "label_updated", OWN).outcome == "touched"


# repositories -----------------------------------------------------------------------------------


def renamed(number: int, *, updated: int, **fields: Any) -> IssueFacts:
    new = IssueRef("acme/gadgets", number)
    return facts(number, updated=updated, ref=new, repo_name="Acme/Gadgets", **fields)


def test_a_renamed_repository_keeps_its_identity() -> None:
    """The issue stays the same one, references in either name mean it, and the move is told first."""
    issues = known()
    issues.route(facts(1), "opened", None)
    routed = issues.route(
        renamed(1, updated=5, blocked_by=(IssueRef("acme/gadgets", 2), IssueRef("acme/widgets", 3))),
        "edited",
        None,
    )
    assert routed.events == (
        RepositoryMoved(41, "acme/widgets", "Acme/Gadgets", at(5)),
        routed.event,
    )
    assert issues.facts[ref(1)].blocked_by == (ref(2), ref(3))
    assert issues.facts[ref(1)].repo_name == "Acme/Gadgets"
    stale = issues.route(facts(2, updated=3), "opened", None)
    assert (stale.moved, issues.facts[ref(2)].repo_name) == (None, "Acme/Gadgets")


def test_a_repository_that_takes_a_name_is_another_one() -> None:
    """The same name under another id never mixes with what is known under that name."""
    issues = known()
    issues.route(facts(1), "opened", None)
    issues.route(renamed(1, updated=5), "edited", None)
    other = issues.route(facts(1, updated=9, repo_id=77, blocked_by=(ref(2),)), "opened", None)
    own = IssueRef("acme/widgets~77", 1)
    assert other.issue == own
    assert other.moved == RepositoryMoved(77, "acme/widgets~77", "acme/widgets", at(9))
    assert issues.facts[own].blocked_by == (IssueRef("acme/widgets~77", 2),)
    assert issues.route(facts(1, updated=9, repo_id=77), "deleted", None, deleted=True).issue == own
    assert ref(1) in issues.facts


def test_folding_and_snapshots_restore_the_repositories() -> None:
    """After a restart, from events or from a snapshot, the same names mean the same repositories."""
    issues = known()
    told = [
        event
        for given_facts in (
            facts(1),
            renamed(1, updated=5),
            facts(1, updated=9, repo_id=77),
            facts(2, updated=9, repo_id=78, ref=IssueRef("acme/other", 2)),
        )
        for event in issues.route(given_facts, "edited", None).events
    ]
    folded, loaded = known(), known()
    for event in told:
        folded.fold(event)
    loaded.load(issues.save())
    folded.fold(RepositoryMoved(90, "acme/old", "acme/new"))
    assert folded.repositories.canonical("acme/new") == "acme/old"
    for each in (folded, loaded):
        assert each.facts == issues.facts
        assert [each.repositories.canonical(name) for name in ("acme/gadgets", "acme/widgets")] == [
            "acme/widgets",
            "acme/widgets~77",
        ]


def a_steady_read(number: int, *, updated: int, late: int, **fields: Any) -> IssueFacts:
    """A read at a forge whose clock never goes back: what was sent later shows no older stamp."""
    return a_read(number, sent=2 * updated + late, updated=updated, **fields)


observations = st.builds(
    a_steady_read,
    st.integers(1, 3),
    updated=st.integers(0, 2),
    late=st.integers(0, 1),
    title=st.sampled_from(["t", "u"]),
    assignees=st.sampled_from([(), (POOL,)]),
    native_blockers=st.sampled_from([(), (ref(2),)]),
)


# One truth at an instant: the reads of an issue are sent one after another.
@given(st.lists(observations, max_size=8, unique_by=lambda each: (each.ref, each.read_at)), st.data())
def test_reads_in_any_order_end_in_the_same_facts(seen: list[IssueFacts], data: st.DataObject) -> None:
    """Reads that overtake each other, or come twice, leave the same facts, and a restart too."""
    one, other, later = known(), known(), known()
    for given_facts in seen:
        for event in one.read(given_facts, None, "delivery").events:
            later.fold(event)
    for given_facts in data.draw(st.permutations([*seen, *seen[:3]])):
        other.read(given_facts, None, "sweep")
    assert one.facts == other.facts
    assert {r: replace(f, read_at=None) for r, f in later.facts.items()} == {
        r: replace(f, read_at=None) for r, f in one.facts.items()
    }


def test_what_is_to_be_worked_on_is_kept_at_hand() -> None:
    """Closed, given to somebody else or deleted, an issue is none of ours any more; restored, it is."""
    issues = known()
    for number in (1, 2, 3, 4):
        issues.route(facts(number), "assigned", None)
    issues.route(facts(2, updated=2, state="closed"), "closed", None)
    issues.route(facts(3, updated=2, assignees=(Login("maria"),)), "assigned", None)
    issues.gone(ref(4), "delivery")
    assert [each.ref for each in issues.open_ours()] == [ref(1)]
    issues.route(facts(2, updated=3), "reopened", None)
    restored = known()
    restored.load(issues.save())
    assert {each.ref for each in restored.open_ours()} == {ref(1), ref(2)}
