"""The dependency-tracker: what it says, when, and that it says nothing twice."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.rules.events import (
    CycleBroken,
    CycleFound,
    Event,
    IssueBlocked,
    IssueDeleted,
    IssueDispatched,
    IssueFacts,
    IssueObserved,
    IssueParsed,
    IssueUnblocked,
    Metadata,
    RepositoryMoved,
)
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId
from coordinator.rules.tracker import DependencyTracker
from tests.rules.builders import POOL, metadata, observed, ref, refs

AT = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
BOT, MARIA = Login("coder-bot"), Login("maria")
OURS = frozenset({BOT})


def seen(
    number: int,
    *,
    by: Iterable[int] = (),
    who: Iterable[Login] = (BOT,),
    state: Literal["open", "closed"] = "open",
    at: int = 0,
    text: str = "k",
) -> IssueObserved:
    facts = IssueFacts(
        ref=ref(number),
        repo_id=41,
        issue_id=number,
        title="t",
        text_key=text,
        state=state,
        assignees=tuple(who),
        labels=(),
        milestone=None,
        html_url="",
        created_at=AT,
        updated_at=AT + timedelta(seconds=at),
        blocked_by=refs(*by),
    )
    return IssueObserved(facts, "opened")


def parsed(number: int, *, by: Iterable[int] = (), text: str = "k") -> IssueParsed:
    metadata = Metadata(30_000, "easy", None, (), refs(*by), "s", 0.5)
    return IssueParsed(ref(number), text, metadata, "rules")


def known(tracker: DependencyTracker) -> dict[str, Any]:
    """What a tracker knows, without the graph's ranks that only make it quick."""
    plain = tracker.dump()
    del plain["graph"]["ranks"]
    return plain


def blocked(number: int, *by: int, unknown: Iterable[int] = (), parsed: bool = False) -> IssueBlocked:
    return IssueBlocked(ref(number), "k", parsed, refs(*by), refs(*unknown))


def free(number: int, *satisfied: int, parsed: bool = False, text: str = "k") -> IssueUnblocked:
    return IssueUnblocked(ref(number), text, parsed, refs(*satisfied))


def test_a_first_concern_gets_a_verdict() -> None:
    """An issue gets its verdict when it first concerns us, and none while it is nobody's of ours."""
    tracker = DependencyTracker(OURS)
    assert tracker.step(seen(1, who=[MARIA])) == ()
    assert tracker.step(seen(1, who=[BOT, MARIA], at=1)) == (free(1),)
    assert tracker.concerned() == refs(1)
    assert tracker.step(seen(2, who=[], by=[1])) == ()
    assert tracker.concerned() == refs(1)


def test_a_verdict_is_said_once() -> None:
    """Observations that change nothing in the verdict say nothing, and so does a stale one."""
    tracker = DependencyTracker(OURS)
    assert tracker.step(seen(1, by=[2], at=3)) == (blocked(1, unknown=[2]),)
    assert tracker.step(seen(1, by=[2], at=4)) == ()
    assert tracker.step(seen(1, at=1)) == ()


def test_a_parse_gets_a_verdict() -> None:
    """A parse of the current text is answered by a verdict that says so; one of another text is not."""
    tracker = DependencyTracker(OURS)
    tracker.step(seen(1))
    assert tracker.step(parsed(1, text="other")) == ()
    assert tracker.step(parsed(1)) == (free(1, parsed=True),)
    assert tracker.step(parsed(1)) == ()
    assert tracker.step(parsed(1, by=[2])) == (blocked(1, unknown=[2], parsed=True),)


def test_an_edit_is_judged_anew() -> None:
    """After an edit the verdict is repeated for the new text, not yet parsed."""
    tracker = DependencyTracker(OURS)
    tracker.step(seen(1))
    tracker.step(parsed(1))
    assert tracker.step(seen(1, text="new", at=1)) == (free(1, text="new"),)


def test_a_close_unblocks_who_waited() -> None:
    """Closing a blocker, ours or not, frees those of ours that waited; reopening blocks them again."""
    tracker = DependencyTracker(OURS)
    tracker.step(seen(1, who=[MARIA]))
    assert tracker.step(seen(2, by=[1])) == (blocked(2, 1),)
    assert tracker.step(seen(1, who=[MARIA], state="closed", at=1)) == (free(2, 1),)
    assert tracker.step(seen(1, who=[MARIA], at=2)) == (blocked(2, 1),)
    assert tracker.step(IssueDeleted(ref(1))) == (free(2),)


def test_what_left_our_concern_is_not_judged() -> None:
    """An issue that was closed, unassigned or deleted gets no verdicts; coming back, only a new one."""
    tracker = DependencyTracker(OURS)
    tracker.step(seen(1, by=[2]))
    tracker.step(seen(2))
    assert tracker.step(seen(1, by=[2], who=[MARIA], at=1)) == ()
    assert tracker.step(seen(2, state="closed", at=1)) == ()
    assert tracker.step(seen(1, by=[2], at=2)) == (free(1, 2),)
    assert tracker.step(seen(1, by=[2], at=3, state="closed")) == ()
    assert tracker.step(seen(1, by=[2], at=4)) == ()
    assert tracker.step(IssueDeleted(ref(1))) == ()
    assert tracker.concerned() == ()
    late = seen(1, by=[2], at=5)
    assert tracker.step(late) == ()
    read = replace(late.facts, read_at=late.facts.updated_at)
    assert tracker.step(replace(late, facts=read)) == (free(1, 2),)


def test_a_circle_is_named_and_its_end_too() -> None:
    """A circle with one of ours in it is named once, and once more when it is broken."""
    tracker = DependencyTracker(OURS)
    tracker.step(seen(1, by=[2]))
    cycle = CycleFound(refs(1, 2))
    verdict = IssueBlocked(ref(1), "k", False, refs(2), (), refs(1, 2))
    assert tracker.step(seen(2, by=[1], who=[])) == (cycle, verdict)
    assert tracker.step(seen(2, by=[1], who=[], at=1)) == ()
    gone = tracker.step(seen(2, who=[], at=2))
    assert gone == (CycleBroken(refs(1, 2)), blocked(1, 2))


def test_a_circle_of_several_of_ours_is_named_once() -> None:
    """Each of ours in a circle gets its verdict, the circle itself is named and ended once."""
    tracker = DependencyTracker(OURS)
    tracker.step(seen(1, by=[2]))
    said = tracker.step(seen(2, by=[1]))
    assert [type(event) for event in said] == [CycleFound, IssueBlocked, IssueBlocked]
    said = tracker.step(IssueDeleted(ref(2)))
    assert said == (CycleBroken(refs(1, 2)), free(1))
    assert tracker.dump()["cycles"] == []


def test_a_circle_is_remembered_over_a_restart() -> None:
    """A circle that was named before a snapshot is not named after it, but its end is."""
    tracker = DependencyTracker(OURS)
    tracker.step(seen(1, by=[2]))
    tracker.step(seen(2, by=[1]))
    tracker = DependencyTracker.load(json.loads(json.dumps(tracker.dump())), OURS)
    assert tracker.catch_up() == ()
    assert CycleBroken(refs(1, 2)) in tracker.step(seen(2, at=1))


def test_own_events_restore_what_was_said() -> None:
    """Events read again, the tracker's own among them, bring back the circles and verdicts said."""
    tracker, again = DependencyTracker(OURS), DependencyTracker(OURS)
    for event in (seen(1, by=[2]), seen(2, by=[1]), seen(2, at=1)):
        for each in (event, *tracker.step(event)):
            again.restore(each)
        assert known(again) == known(tracker)
    assert again.catch_up() == ()


def test_an_issue_may_leave_one_circle_for_another() -> None:
    """The circle an issue is named in may change: the old one ends, the new one is named."""
    tracker = DependencyTracker(OURS)
    for event in (seen(1, by=[2]), seen(2, by=[3]), seen(3, by=[1])):
        tracker.step(event)
    said = tracker.step(seen(2, by=[1, 3], at=1))
    assert [event for event in said if isinstance(event, CycleFound)] == [CycleFound(refs(1, 2))]
    said = tracker.step(seen(1, at=1))
    assert {event.issues for event in said if isinstance(event, CycleBroken)} == {
        refs(1, 2),
        refs(1, 2, 3),
    }


def test_a_circle_of_strangers_is_not_named() -> None:
    """A circle none of ours is part of is named only when one of its issues becomes ours."""
    tracker = DependencyTracker(OURS)
    assert tracker.step(seen(1, by=[2], who=[])) == ()
    assert tracker.step(seen(2, by=[1], who=[])) == ()
    assert tracker.step(seen(2, by=[1], at=1))[0] == CycleFound(refs(1, 2))
    assert tracker.step(seen(2, by=[1], who=[], at=2)) == ()
    assert tracker.step(seen(1, who=[], at=3)) == (CycleBroken(refs(1, 2)),)


def test_other_events_say_nothing() -> None:
    """Events of other actors, and the tracker's own when it meets them again, change nothing."""
    tracker = DependencyTracker(OURS)
    said = tracker.step(seen(1))
    run = RunId(ref(1), 1)
    dispatched = IssueDispatched(run, AgentName("a"), "f", "e", AT, 1, 0.0, "k")
    before = tracker.dump()
    for event in (*said, dispatched):
        assert tracker.step(event) == ()
        tracker.restore(event)
    assert tracker.dump() == before


def test_new_logins_find_their_issues() -> None:
    """After a change of logins the tracker catches up with what now concerns us, and only once."""
    tracker = DependencyTracker(OURS)
    tracker.step(seen(1, who=[MARIA]))
    tracker.step(seen(2))
    tracker = DependencyTracker.load(tracker.dump(), frozenset({MARIA}))
    assert tracker.catch_up() == (free(1),)
    assert tracker.catch_up() == ()
    assert tracker.concerned() == refs(1)


# properties -------------------------------------------------------------------------------------

NUMBERS = st.integers(1, 4)
SOME = st.lists(NUMBERS, max_size=2)
OBSERVED = st.builds(
    seen,
    NUMBERS,
    by=SOME,
    who=st.sampled_from([(), (BOT,), (MARIA,), (BOT, MARIA)]),
    state=st.sampled_from(["open", "open", "closed"]),
    at=st.integers(0, 3),
    text=st.sampled_from(["k", "m"]),
)
PARSED = st.builds(parsed, NUMBERS, by=SOME, text=st.sampled_from(["k", "m"]))
DELETED = st.builds(IssueDeleted, st.builds(ref, NUMBERS))
HISTORY = st.lists(st.one_of(OBSERVED, OBSERVED, PARSED, DELETED), max_size=14)


def last_said(events: Iterable[Event]) -> dict[IssueRef, Event]:
    return {each.ref: each for each in events if isinstance(each, IssueBlocked | IssueUnblocked)}


def circles(events: Iterable[Event]) -> set[tuple[IssueRef, ...]]:
    known: set[tuple[IssueRef, ...]] = set()
    for event in events:
        if isinstance(event, CycleFound):
            assert event.issues not in known
            known.add(event.issues)
        elif isinstance(event, CycleBroken):
            known.remove(event.issues)
    return known


@settings(max_examples=200, deadline=None)
@given(HISTORY, st.data())
def test_what_stands_in_the_end_does_not_depend_on_order(
    history: list[Event], data: st.DataObject
) -> None:
    """In any order and with any repetition, the last verdict of each concerned issue is the same, and
    what a fresh look at the whole graph says; every circle of ours is named at that moment."""
    shuffled = data.draw(st.permutations([*history, *history[: len(history) // 2]]))
    one, other = DependencyTracker(OURS), DependencyTracker(OURS)
    said_one = [event for each in history for event in one.step(each)]
    said_other = [event for each in shuffled for event in other.step(each)]
    assert one.concerned() == other.concerned()
    afresh = DependencyTracker(OURS)
    for each in history:
        afresh.restore(each)
    verdicts = last_said(afresh.catch_up())
    for issue in one.concerned():
        assert last_said(said_one)[issue] == last_said(said_other)[issue] == verdicts[issue]
    wanted = {one.graph.cycle(issue) for issue in one.concerned()} - {()}
    assert wanted <= circles(said_one)
    assert wanted <= circles(said_other)
    for cycle in circles(said_one):
        assert any(one.graph.cycle(member) == cycle for member in cycle)


@settings(max_examples=200, deadline=None)
@given(HISTORY, st.integers(0, 14), st.integers(0, 14))
def test_a_restart_anywhere_says_nothing_twice(history: list[Event], snapshot: int, crash: int) -> None:
    """From a snapshot and the events behind it, its own ones included, the tracker goes on as if
    nothing had happened."""
    crash = min(crash, len(history))
    snapshot = min(snapshot, crash)
    steady = DependencyTracker(OURS)
    journal: list[Event] = []
    plain = json.dumps(steady.dump())
    behind: list[Event] = []
    for at, event in enumerate(history[:crash]):
        if at == snapshot:
            plain, behind = json.dumps(steady.dump()), []
        said = steady.step(event)
        journal += [event, *said]
        behind += [event, *said]
    restarted = DependencyTracker.load(json.loads(plain), OURS)
    for event in behind:
        restarted.restore(event)
    assert restarted.catch_up() == ()
    assert known(restarted) == known(steady)
    for event in history[crash:]:
        assert restarted.step(event) == steady.step(event)


# repositories and what the forge keeps -----------------------------------------------------------


def test_what_a_reader_found_follows_a_move() -> None:
    """A parse that names a repository by its new name means the issues known by the old one."""
    tracker = DependencyTracker(frozenset({POOL}))
    moved = RepositoryMoved(41, "acme/widgets", "Acme/Gadgets")
    new = IssueRef("acme/gadgets", 2)
    own = IssueRef("acme/api", 1)
    for event in (observed(2, assignees=()), observed(1, ref=own, text_key="k"), moved):
        tracker.step(event)
    read = IssueParsed(
        own, "k", metadata(blocked_by=(new,), blocks=(IssueRef("acme/api", 7),)), "rules"
    )
    [said] = tracker.step(read)
    assert isinstance(said, IssueBlocked)
    assert said.open_blockers == (ref(2),)
    again = DependencyTracker.load(json.loads(json.dumps(tracker.dump())), tracker.logins)
    assert again.dump() == tracker.dump()


def test_a_move_told_late_changes_the_verdict() -> None:
    """An edge to a name nobody knew blocks as unknown, until it turns out whose name that is."""
    tracker = DependencyTracker(frozenset({POOL}))
    new = IssueRef("acme/gadgets", 2)
    tracker.step(observed(2, assignees=(), state="closed"))
    [before] = tracker.step(observed(1, blocked_by=(new,)))
    assert isinstance(before, IssueBlocked)
    assert before.unknown_blockers == (new,)
    [after] = tracker.step(RepositoryMoved(41, "acme/widgets", "Acme/Gadgets"))
    assert after == IssueUnblocked(ref(1), "text-1", False, (ref(2),))


def test_a_name_that_means_itself_again_is_no_alias() -> None:
    """A repository that came back, or another that took the name, is meant by its own name."""
    tracker = DependencyTracker(frozenset({POOL}))
    for current in ("acme/gadgets", "acme/widgets"):
        tracker.step(RepositoryMoved(41, "acme/widgets", current))
    tracker.step(RepositoryMoved(42, "acme/gadgets", "acme/gadgets"))
    assert tracker.dump()["aliases"] == {}


def test_hidden_blockers_are_said_and_remembered() -> None:
    """The verdict counts them, and a restart from a snapshot says nothing twice."""
    tracker = DependencyTracker(frozenset({POOL}))
    [said] = tracker.step(observed(1, hidden_blockers=2))
    assert isinstance(said, IssueBlocked)
    assert said.hidden_blockers == 2
    again = DependencyTracker.load(json.loads(json.dumps(tracker.dump())), tracker.logins)
    assert again.catch_up() == ()
