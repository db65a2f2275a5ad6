"""What stands at the forge is remembered from events, and only what differs is written."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.rules.comment import render
from coordinator.rules.events import (
    AssigneeWritten,
    CommandRefused,
    CommentWritten,
    CycleFound,
    IssueAssessed,
    IssueDeleted,
    IssueDispatched,
    LabelsWritten,
    RepositoryMoved,
    WithdrawalRequested,
)
from coordinator.rules.ids import AgentName, Login, RunId
from coordinator.rules.labels import MAX_SHOWN
from coordinator.rules.views import IssueView
from coordinator.rules.written import PARTS, Page, Pages, Wish, keys_of, wish_of
from tests.rules.builders import agent, at, ended, fleet, given, observed, ref, view

SONNET, LOGIN = AgentName("sonnet-1"), Login("bot-sonnet-1")


def pages(*events: Any, first: int = 1) -> Pages:
    built = Pages(fleet(agent("sonnet-1")))
    for seq, event in enumerate(events, start=first):
        built.fold(event, seq)
    return built


def dispatched(name: AgentName = SONNET) -> IssueDispatched:
    return IssueDispatched(RunId(ref(1), 1), name, "f", "", at(0), 1, 0.0, "t")


def wish(shown: IssueView, *events: Any, parts: Any = PARTS, **how: Any) -> Wish:
    return wish_of(shown, pages(observed(1), *events), parts, **how)


def test_only_issues_that_concern_us_have_a_page() -> None:
    """Others are passed over, but their repositories are remembered for the next one that does."""
    known = pages(observed(1), observed(2, assignees=(Login("maria"),)), CycleFound((ref(5),)))
    assert set(known.pages) == {ref(1)}
    assert known.repositories == {"acme/widgets": 41}
    for event in (
        IssueAssessed(ref(2), "ignored", "not_ours", ""),
        given(2, 7, "explain"),
        CommandRefused(ref(2), 7, Login("maria"), "no"),
    ):
        assert set(pages(event).pages) == {ref(2)}
    assert pages(observed(1), IssueDeleted(ref(1))).pages == {}


def test_what_was_written_is_remembered() -> None:
    """Comment, labels, assignment, and where a repository is."""
    known = pages(
        CommentWritten(ref(1), 5, "m1"),
        CommentWritten(ref(1), 5, "m2"),
        LabelsWritten(ref(1), ("coordinator/ready",)),
        AssigneeWritten(ref(1), LOGIN),
        RepositoryMoved(42, "acme/api", "acme/gadgets"),
        observed(1),
    )
    assert known.pages[ref(1)] == Page(
        5, "m2", ("coordinator/ready",), ours=(Login("coder-bot"),), assigned_seq=4, lent=LOGIN
    )
    assert known.repositories["acme/api"] == 42


def test_what_stands_there_is_held() -> None:
    """The same comment with the same meaning, the same labels; an assignment is told each time."""
    known = pages(CommentWritten(ref(1), 5, "m"), LabelsWritten(ref(1), ("a",)))
    assert known.holds(CommentWritten(ref(1), 5, "m"))
    assert known.holds(LabelsWritten(ref(1), ("a",)))
    for other in (
        CommentWritten(ref(1), 6, "m"),
        CommentWritten(ref(1), 5, "n"),
        LabelsWritten(ref(1), ()),
        AssigneeWritten(ref(1), LOGIN),
    ):
        assert not known.holds(other)


def test_an_agent_is_owed_its_assignment_until_it_has_it_or_ends() -> None:
    """Somebody else's assignment, ours, the end and the withdrawal of the run each settle it."""
    assert pages(observed(1), dispatched()).pages[ref(1)].owed == LOGIN
    both = (Login("coder-bot"), LOGIN)
    assert pages(observed(1, assignees=both), dispatched()).pages[ref(1)].owed is None
    assert pages(dispatched(AgentName("gone-1"))).pages[ref(1)].owed is None
    run = RunId(ref(1), 1)
    for event in (
        AssigneeWritten(ref(1), LOGIN),
        ended(1, 1, "sonnet-1"),
        WithdrawalRequested(run, SONNET, "closed"),
    ):
        assert pages(observed(1), dispatched(), event).pages[ref(1)].owed is None


def test_our_own_events_may_come_before_older_ones() -> None:
    """After a restart: an assignment that was written is not owed again."""
    known = pages(AssigneeWritten(ref(1), LOGIN), first=9)
    known.fold(observed(1), 3)
    known.fold(dispatched(), 4)
    assert known.pages[ref(1)].owed is None


def test_a_first_comment_with_its_labels() -> None:
    """Everything is written where nothing stands."""
    wanted = wish(view(names=()))
    assert wanted
    assert wanted.comment == render(view())
    assert (wanted.repo_id, wanted.repo_name) == (41, "Acme/Widgets")
    assert (wanted.labels, wanted.comment_id) == (("coordinator/ready",), None)
    assert not wish(view(), parts=())


def test_what_stands_there_is_not_written_again() -> None:
    """Unless somebody asks for it, or it is doubtful."""
    stands = (
        CommentWritten(ref(1), 5, render(view()).meaning),
        LabelsWritten(ref(1), ("coordinator/ready",)),
    )
    assert not wish(view(), *stands)
    full = wish(view(), *stands, in_full=True)
    assert full.comment == render(view(), in_full=True)
    assert full.comment_id == 5
    doubtful = wish(view(), *stands, must_look=PARTS)
    assert doubtful.must_look
    assert doubtful.comment is not None
    assert doubtful.labels == ("coordinator/ready",)


@pytest.mark.parametrize("state", ["ignored", "closed"])
def test_where_we_have_nothing_to_say_we_begin_no_comment(state: str) -> None:
    """But one of ours says so, and a person who asked is answered."""
    shown = view(state=state, reason="not_ours")
    assert not wish(shown)
    assert wish(shown, CommentWritten(ref(1), 5, "m")).comment is not None
    assert wish(shown, given(1, 7, "explain")).comment is not None


@pytest.mark.parametrize("state", ["ignored", "closed"])
def test_what_may_stand_where_we_have_nothing_to_say_is_put_right(state: str) -> None:
    """A doubtful one is looked at, comment and labels, and none is begun; where we have something to
    say, or had, one is."""
    shown = view(state=state, reason="not_ours")
    doubtful = wish(shown, must_look=PARTS)
    assert doubtful.comment == render(shown)
    assert (doubtful.labels, doubtful.may_begin) == ((), False)
    assert wish(shown, CommentWritten(ref(1), 5, "m"), must_look=PARTS).may_begin
    assert wish(shown, given(1, 7, "explain"), must_look=PARTS).may_begin
    assert wish(view(), must_look=PARTS).may_begin


def test_a_deleted_issue_or_an_unknown_repository_gets_nothing() -> None:
    """There is nothing to write to."""
    assert not wish(view(state="closed", reason="deleted"), CommentWritten(ref(1), 5, "m"))
    assert not wish_of(view(), pages(), PARTS)


def test_labels_are_taken_off_what_carried_some() -> None:
    """Also where their writing was never recorded; what never had any, or waits, is left alone."""
    done = view(state="done", reason="completed")
    assert wish(done, parts=("labels",)).labels is None
    assert wish(done, LabelsWritten(ref(1), ("coordinator/running",)), parts=("labels",)).labels == ()
    assert wish(done, CommentWritten(ref(1), 5, "m"), parts=("labels",)).labels == ()
    waiting = view(state="waiting", reason="parsing")
    assert wish(waiting, CommentWritten(ref(1), 5, "m"), parts=("labels",)).labels is None
    assert wish(waiting, LabelsWritten(ref(1), ("x",)), parts=("labels",)).labels == ()


def test_only_labels_of_our_agents_are_ours_to_remove() -> None:
    """Those configured now, and those we put there."""
    shown = view(agents=(SONNET,))
    found = wish(shown, LabelsWritten(ref(1), ("agent/gone-1",)))
    assert found.removable == {"agent/sonnet-1", "agent/gone-1"}


def test_each_part_is_looked_at_for_itself() -> None:
    """Labels that a read shows otherwise are no doubt about the comment."""
    stands = (
        CommentWritten(ref(1), 5, render(view()).meaning),
        LabelsWritten(ref(1), ("coordinator/ready",)),
    )
    for part in ("comment", "labels"):
        found = wish(view(), *stands, must_look=(part,))
        assert [each for each, _ in keys_of(found)] == [part]
        assert found.must_look
    assert keys_of(None) == keys_of(wish(view(), *stands)) == ()


def test_a_read_that_shows_other_labels_than_ours_is_a_contradiction() -> None:
    """What a payload says and what was never written are none, nor is any other event."""
    read = observed(1, read_at=at(9))
    known = pages(read, LabelsWritten(ref(1), ("coordinator/ready",)))
    assert known.contradicts(read)
    stands = ("agent/browser", "coordinator/ready")
    assert not known.contradicts(replace(read, our_labels=stands))
    assert known.contradicts(replace(read, our_labels=("coordinator/parked", *stands)))
    jokes = tuple(f"agent/{number}" for number in range(MAX_SHOWN))
    assert known.contradicts(replace(read, our_labels=jokes))
    crowded = pages(read, LabelsWritten(ref(1), ("agent/sonnet-1", "coordinator/ready")))
    assert crowded.contradicts(replace(read, our_labels=stands))
    assert not crowded.contradicts(replace(read, our_labels=("coordinator/ready", *jokes[1:])))
    assert not known.contradicts(observed(1))
    assert not known.contradicts(CycleFound((ref(1),)))
    assert not pages(read).contradicts(read)
    assert not pages().contradicts(read)


def test_our_comment_is_known_by_its_id() -> None:
    """Another of the issue, or on another issue, is somebody else's."""
    known = pages(CommentWritten(ref(1), 5, "m"))
    assert known.holds_comment(ref(1), 5)
    assert not known.holds_comment(ref(1), 6)
    assert not known.holds_comment(ref(2), 5)


def test_whom_we_assigned_before_goes_with_the_next_assignment() -> None:
    """Unless it is the same one, or a person has taken it off since: who put it back means it."""
    working = view(state="running", reason="working", agent=SONNET)
    written = AssigneeWritten(ref(1), Login("bot-opus-1"))
    given_on = pages(observed(1), written)
    given_on.fold(dispatched(), 9)
    assert wish_of(working, given_on, PARTS).former == "bot-opus-1"
    again = pages(observed(1), AssigneeWritten(ref(1), LOGIN))
    again.fold(dispatched(), 9)
    assert wish_of(working, again, PARTS).former is None
    seen = observed(1, assignees=(LOGIN,))
    taken = pages(AssigneeWritten(ref(1), LOGIN), seen, seen)
    assert taken.pages[ref(1)].lent == LOGIN
    taken.fold(observed(1, assignees=()), 9)
    assert taken.pages[ref(1)].lent is None


def test_the_assignment_is_written_while_the_agent_works() -> None:
    """Not when it has stopped, and not when nobody asked for it."""
    working = view(state="running", reason="working", agent=SONNET)
    assert wish(working, dispatched(), parts=("assignee",)).assignee == LOGIN
    assert not wish(view(), dispatched(), parts=("assignee",))
    assert wish(working, dispatched(), parts=("comment",)).assignee is None


def test_a_part_is_known_by_what_it_says() -> None:
    """Equal keys mean equal writes; None means there is nothing to write."""
    found = wish(view(state="running", reason="working", agent=SONNET), dispatched())
    assert found.comment is not None
    assert found.key_of("comment") == found.comment.meaning
    assert found.key_of("labels") == "agent/sonnet-1 coordinator/running"
    assert found.key_of("assignee") == LOGIN
    assert [Wish(ref(1), 1, "r").key_of(part) for part in PARTS] == [None] * 3
    assert [dict(keys_of(found.without(part))).keys() for part in PARTS] == [
        set(PARTS) - {part} for part in PARTS
    ]
