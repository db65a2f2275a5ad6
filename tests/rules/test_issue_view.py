"""Issues as the faces show them: the words of `assess`, in pages."""

from coordinator.rules.events import IssueAssessed, IssueDispatched
from coordinator.rules.ids import AgentName, RunId
from coordinator.rules.issue_view import page_of, view_of
from coordinator.rules.world import World
from tests.rules.builders import at, blocked, fleet, observed, parsed, ref, unblocked, up


def world() -> World:
    made = World(fleet())
    for n in range(1, 6):
        made.apply(observed(n))
        made.apply(parsed(n))
        made.apply(blocked(n, 9) if n == 5 else unblocked(n))
        made.apply(IssueAssessed(ref(n), "ready", "ready", "x"))
    made.apply(observed(6, assignees=()))
    made.apply(parsed(7))
    made.apply(up("sonnet-1"))
    made.apply(
        IssueDispatched(RunId(ref(1), 3), AgentName("sonnet-1"), "p", "", at(0), 1, 0.0, "text-1")
    )
    return made


def test_a_view_says_what_assess_says() -> None:
    """State, reason, blockers, run and dispatch count come from the world the gate decides on."""
    running, waiting = view_of(ref(1), world()), view_of(ref(5), world())
    assert running is not None
    assert waiting is not None
    assert (running.state, running.agent, running.dispatches) == ("running", "sonnet-1", 3)
    assert (waiting.reason, waiting.open_blockers) == ("open_blocker", (ref(9),))


def test_what_was_never_observed_has_no_view() -> None:
    """Neither an unknown issue nor one known by its parse alone can be shown."""
    assert view_of(ref(99), world()) is None
    assert view_of(ref(7), world()) is None


def test_pages_go_on_where_the_last_one_ended() -> None:
    """Following `next_after` visits every issue that concerned us once, in ref order."""
    seen, after = [], None
    while True:
        page = page_of(world(), after=after, limit=2, state=None, every=False)
        seen += [view.issue.number for view in page.issues]
        after = page.next_after
        if after is None:
            break
    assert seen == [1, 2, 3, 4, 5]


def test_pages_can_be_filtered_and_widened() -> None:
    """`state` narrows to one state, `every` adds issues that never concerned us."""
    blocked_ones = page_of(world(), after=None, limit=9, state="blocked", every=False)
    everything = page_of(world(), after=None, limit=9, state=None, every=True)
    assert [view.issue.number for view in blocked_ones.issues] == [5]
    assert [view.issue.number for view in everything.issues] == [1, 2, 3, 4, 5, 6]
