"""What an observation means: news, stale, unchanged or the end."""

from coordinator.rules.events import IssueDeleted, IssueObserved
from coordinator.rules.ids import Login
from coordinator.rules.routing import KnownIssues
from tests.rules.builders import POOL, facts, ref, up


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
    assert issues.facts[ref(1)] == facts(1, updated=9)
    assert issues.route(facts(1, updated=6), "edited", None).outcome == "stale"


def test_deletion_is_final() -> None:
    """A deleted issue never comes back, also after a restart from snapshot or events."""
    issues = known()
    issues.route(facts(1), "opened", None)
    gone = issues.route(facts(1, updated=1), "deleted", None, deleted=True)
    assert gone.event == IssueDeleted(ref(1))
    assert issues.route(facts(1, updated=2), "edited", None).outcome == "stale"
    later = known()
    later.load({}, {ref(1)})
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
