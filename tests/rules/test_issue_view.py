"""Issues as the faces show them: the words of `assess`, in pages."""

from coordinator.rules.context import ContextUsage
from coordinator.rules.events import (
    AgentObserved,
    CommandRefused,
    CompactionEnded,
    CompactionStarted,
    Event,
    IssueAssessed,
    IssueDispatched,
    RepositoryMoved,
    RotationStarted,
    RunParked,
    RunStarted,
    SessionRotated,
)
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId
from coordinator.rules.issue_view import page_of, view_of
from coordinator.rules.world import World
from tests.rules.builders import (
    at,
    blocked,
    ended,
    fleet,
    given,
    observed,
    parsed,
    ref,
    unblocked,
    up,
)


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


def test_a_view_shows_the_run_and_its_context() -> None:
    """Phase and session follow what the monitor tells; the fill comes in steps of ten percent."""
    made, run = world(), RunId(ref(1), 3)
    name = AgentName("sonnet-1")

    def shown() -> tuple[str | None, int | None, int | None]:
        view = view_of(ref(1), made)
        assert view is not None
        return view.run_phase, view.session, view.fill_percent

    assert shown() == ("assigned", 1, None)
    usage = ContextUsage(100_000, 55_000, 0, 3_000, 200_000, at(1))
    steps: list[tuple[Event, tuple[str, int, int | None]]] = [
        (RunStarted(run, name, 1), ("working", 1, None)),
        (CompactionStarted(run, name, 1, usage), ("compacting", 1, 80)),
        (CompactionEnded(run, name, 1, 158_000, 41_000, True, compactions=1), ("working", 1, 20)),
        (RotationStarted(run, name, 1, "full", usage), ("rotating", 1, 80)),
        (RotationStarted(run, name, 1, "full", None), ("rotating", 1, None)),
        (SessionRotated(run, name, 1, 2, "h"), ("working", 2, None)),
        (CompactionStarted(run, name, 2, usage), ("compacting", 2, 80)),
        (RunParked(run, name, "asks"), ("parked", 2, 80)),
    ]
    for event, expected in steps:
        made.apply(event)
        assert shown() == expected
    made.apply(AgentObserved(name, "idle"))
    assert shown() == ("parked", 2, None), "of an unknown window no share can be told"
    made.apply(up("sonnet-1"))
    made.apply(ended(1, 3, "sonnet-1"))
    assert shown() == ("ended", 2, None)


def test_a_view_names_things_as_they_are_called_now() -> None:
    """The present names of the issue's own repository and of those that block it."""
    made = World(fleet())
    other = IssueRef("acme/api", 3)
    made.apply(observed(1, repo_name="Acme/Widgets"))
    made.apply(observed(3, ref=other, assignees=()))
    made.apply(blocked(1, open_blockers=(other,), cycle=(ref(1),), hidden_blockers=2))
    made.apply(RepositoryMoved(9, "acme/api", "New/API"))
    made.apply(observed(4, ref=IssueRef("acme/api", 4), assignees=()))
    view = view_of(ref(1), made)
    assert view is not None
    assert view.repo_name == "Acme/Widgets"
    assert view.names == (("acme/api", "New/API"), ("acme/widgets", "Acme/Widgets"))
    assert (view.hidden_blockers, view.run_phase, view.session) == (2, None, None)


def test_evidence_is_told_with_present_names() -> None:
    """What was decided names repositories as they were first known; who reads it knows them as they are
    called now."""
    made = World(fleet())
    other = IssueRef("acme/api", 3)
    made.apply(observed(1))
    made.apply(parsed(1))
    made.apply(observed(3, ref=other, assignees=()))
    made.apply(blocked(1, open_blockers=(other, ref(2))))
    made.apply(RepositoryMoved(9, "acme/api", "New/API"))
    view = view_of(ref(1), made)
    assert view is not None
    assert view.evidence == "waits for New/API#3, acme/widgets#2 to be closed"


def test_a_view_shows_what_people_said() -> None:
    """The agent they pinned, the estimate they gave, and the last thing that was answered."""
    made = world()
    made.apply(given(2, 5, "assign", agent=AgentName("sonnet-1")))
    made.apply(given(2, 6, "estimate", tokens=70_000, difficulty="hard"))
    made.apply(CommandRefused(ref(2), 7, Login("maria"), "no", "assign"))
    view = view_of(ref(2), made)
    assert view is not None
    assert view.metadata is not None
    assert (view.metadata.estimated_context_tokens, view.estimated_by) == (70_000, "maria")
    assert (view.pinned, view.agents) == ("sonnet-1", ("sonnet-1",))
    assert isinstance(view.last_command, CommandRefused)
