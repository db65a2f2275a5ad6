"""What was read or listed becomes events, and asks for what it leaves open."""

from itertools import count

import pytest

from coordinator.actors.messages import Sighted, SightedReply, Sighting
from coordinator.actors.router.findings import Findings
from coordinator.actors.router.read_desk import TARGET, ReadDesk
from coordinator.actors.router.reading import Found
from coordinator.actors.router.sheet import Sheet
from coordinator.edges.gitea_remote_wire import Blockers, RemoteIssue, RemoteRef
from coordinator.edges.journal import StoredOrder
from coordinator.rules.events import IssueObserved, RepositoryMoved
from coordinator.rules.ids import DeliveryId, IssueRef, Login
from coordinator.rules.orders import ReadIssue, ReadWhy
from coordinator.rules.reads import Read
from coordinator.rules.routing import KnownIssues
from tests.rules.builders import POOL, at, facts, ref

REPO = "Acme/Widgets"
CAUSE = DeliveryId("delivery-1")


class Desk:
    """Findings over nothing known, with numbered nonces, and a read under way."""

    def __init__(self) -> None:
        numbers = count(1)
        self.known = KnownIssues(frozenset({POOL}))
        self.desk = ReadDesk()
        self.findings = Findings(self.known, self.desk, lambda: f"n{next(numbers)}")
        self.sheet = Sheet()

    def asked(self, number: int, why: ReadWhy = "delivery", action: str = "edited") -> Read:
        order = ReadIssue(ref(number), 41, REPO, why, "5", action, Login("maria"))
        self.desk.ask([StoredOrder(number, TARGET, order, at(0), CAUSE)], 0)
        [read] = self.desk.due(1)
        return read

    def opened(self) -> list[tuple[IssueRef, str]]:
        orders = [draft.order for draft in self.sheet.opened]
        assert all(isinstance(order, ReadIssue) for order in orders)
        return [(order.ref, order.why) for order in orders if isinstance(order, ReadIssue)]


def remote(number: int, *, body: str = "", updated: int = 5, **fields: object) -> RemoteIssue:
    base: dict[str, object] = {
        "id": 9000 + number, "number": number, "title": f"Issue {number}", "body": body,
        "state": "open", "assignees": (POOL,), "labels": (), "milestone": None, "html_url": "",
        "created_at": at(0), "updated_at": at(updated), "closed_at": None, "repo_id": 41,
        "repo_full_name": REPO,
    }  # fmt: skip
    return RemoteIssue(**{**base, **fields})  # type: ignore[arg-type]


def end(number: int, repo_id: int = 41, repo: str = REPO, *, is_closed: bool = False) -> RemoteRef:
    return RemoteRef(repo_id, repo, number, "closed" if is_closed else "open")


def test_what_was_found_is_news_under_its_delivery() -> None:
    """The event has the action and the person of the delivery, and the dependencies as read."""
    on = Desk()
    found = Found(remote(1, body="Text"), at(6), Blockers((end(2),), hidden=1))
    routed = on.findings.found(on.asked(1), found, on.sheet)
    assert routed.outcome == "observed"
    [draft] = on.sheet.events
    assert draft.delivery == CAUSE
    assert isinstance(draft.event, IssueObserved)
    assert (draft.event.action, draft.event.by, draft.event.source) == ("edited", "maria", "webhook")
    seen = draft.event.facts
    assert (seen.native_blockers, seen.hidden_blockers, seen.read_at) == ((ref(2),), 1, at(6))
    assert on.sheet.texts == {seen.text_key: "Issue 1\n\nText"}
    assert on.opened() == [(ref(2), "blocker")]


def test_nothing_is_asked_for_twice() -> None:
    """A blocker that is to be read anyway is not asked for again."""
    on = Desk()
    read = on.asked(1)
    order = ReadIssue(ref(2), 41, REPO, "delivery", "6")
    on.desk.ask([StoredOrder(2, TARGET, order, at(0), None)], 0)
    on.findings.found(read, Found(remote(1), at(6), Blockers((end(2), end(3)))), on.sheet)
    assert on.opened() == [(ref(3), "blocker")]
    assert on.findings.read_further([IssueRef("no/such~7", 1)], "blocker", on.sheet) == 0


def test_a_blocker_shown_in_another_state_is_read() -> None:
    """What the list of dependencies says of it is news, and nobody may have told; but a blocker that is
    read for what waits for it asks for no further ones."""
    on = Desk()
    for number in (2, 3):
        on.known.route(facts(number), "opened", None)
    blockers = Blockers((end(2, is_closed=True), end(3)))
    on.findings.found(on.asked(1), Found(remote(1), at(6), blockers), on.sheet)
    assert on.opened() == [(ref(2), "blocker")]
    on.findings.found(on.asked(4, "blocker"), Found(remote(4), at(6), blockers), on.sheet)
    assert on.opened() == [(ref(2), "blocker")]


def test_names_at_the_other_end_are_learnt_first() -> None:
    """A dependency in a repository that took an old name is filed under the right one."""
    on = Desk()
    on.known.route(facts(1), "opened", None)
    on.known.repositories.learn(41, "acme/gadgets", at(2), is_read=True)
    blockers = Blockers((end(9, 77, "acme/widgets"),))
    issue = remote(1, repo_full_name="acme/gadgets")
    on.findings.found(on.asked(1), Found(issue, at(6), blockers), on.sheet)
    taken = IssueRef("acme/widgets~77", 9)
    assert on.known.facts[ref(1)].native_blockers == (taken,)
    assert on.sheet.events[0].event == RepositoryMoved(77, taken.repo, "acme/widgets", at(6), True)
    assert on.opened() == [(taken, "blocker")]


def test_a_close_asks_for_its_dependents() -> None:
    """Those the forge lists, but for the ones whose edge is known."""
    on = Desk()
    for number in (2, 3):
        native = (ref(1),) if number == 2 else ()
        on.known.read(facts(number, read_at=at(1), native_blockers=native), None, "delivery")
    closed = remote(1, state="closed", closed_at=at(5))
    found = Found(closed, at(6), blocked=Blockers((end(2), end(3), end(4))))
    on.findings.found(on.asked(1, action="closed"), found, on.sheet)
    assert on.opened() == [(ref(3), "blocks"), (ref(4), "blocks")]


def test_a_deleted_issue_that_is_found_after_all_is_back() -> None:
    """What was taken for deleted and is read all the same counts again, and so do its blockers."""
    on = Desk()
    on.known.route(facts(1), "opened", None)
    on.known.gone(ref(1), "delivery")
    routed = on.findings.found(on.asked(1), Found(remote(1), at(6), Blockers((end(2),))), on.sheet)
    assert (routed.outcome, on.opened()) == ("observed", [(ref(2), "blocker")])


def test_a_list_is_read_where_it_differs() -> None:
    """Open news is to be read, once; closed issues never seen are taken; the rest is passed over."""
    on = Desk()
    on.known.route(facts(1, updated=1), "opened", None)
    on.known.route(facts(2, updated=1), "opened", None)
    seen = (
        facts(1, updated=1, read_at=at(9)),
        facts(2, updated=4, read_at=at(9)),
        facts(3, updated=4, read_at=at(9)),
        facts(4, updated=4, read_at=at(9), state="closed"),
        facts(5, updated=100, read_at=at(9)),
    )
    call = Sighted(tuple(Sighting(each, f"text {each.ref}") for each in seen), settled_before=at(50))
    reply = on.findings.sighted(call, on.sheet)
    assert (reply, reply.changed) == (SightedReply(2, 1, 2), True)
    assert on.opened() == [(ref(2), "sweep"), (ref(3), "sweep")]
    [draft] = on.sheet.events
    assert isinstance(draft.event, IssueObserved)
    assert (draft.event.facts.ref, draft.event.source) == (ref(4), "sweep")
    assert draft.event.missed == ("assigned", "closed", "opened")
    assert on.sheet.texts == {"text-4": f"text {ref(4)}"}
    on.desk.ask([StoredOrder(7, TARGET, draft.order, at(0), None) for draft in on.sheet.opened[:1]], 0)
    again = on.findings.sighted(Sighted((Sighting(seen[1], ""),)), Sheet())
    assert again == SightedReply(1, 0, 0), "counted, though its read is on the way"
    assert len(on.sheet.opened) == 2


@pytest.mark.parametrize("state", ["open", "closed"])
def test_a_deleted_issue_in_a_list_is_read(state: str) -> None:
    """The list may be of before the deletion, so its word brings nothing back; a read does."""
    on = Desk()
    on.known.route(facts(1), "opened", None)
    on.known.gone(ref(1), "delivery")
    seen = Sighting(facts(1, updated=4, read_at=at(9), state=state), "")
    assert on.findings.sighted(Sighted((seen,)), on.sheet) == SightedReply(1, 0, 0)
    assert (on.opened(), on.known.deleted, on.sheet.events) == ([(ref(1), "sweep")], {ref(1)}, [])
    on.findings.found(on.asked(1), Found(remote(1, state=state), at(10)), on.sheet)
    assert (on.known.deleted, on.known.facts[ref(1)].state) == (set(), state)


def test_a_first_sweep_missed_nothing() -> None:
    """Nobody was expected to tell of what was there before; a rename is told all the same."""
    on = Desk()
    on.known.route(facts(1), "opened", None)
    moved = facts(4, ref=IssueRef("acme/gadgets", 4), repo_name="Acme/Gadgets", updated=4)
    call = Sighted(
        (Sighting(moved, ""), Sighting(facts(5, updated=3, state="closed"), "")), is_first=True
    )
    on.findings.sighted(call, on.sheet)
    assert on.opened() == [(ref(4), "first")]
    assert isinstance(on.sheet.events[0].event, RepositoryMoved)
    assert not on.known.missed
    assert SightedReply(0, 0, 9).changed is False


def test_what_is_told_of_an_issue_shows_our_labels_as_they_were_read() -> None:
    """They are no news by themselves, but the scribe sees what somebody has made of them."""
    desk = Desk()
    labels = ("coordinator/ready", "bug", "agent/sonnet-1")
    desk.findings.found(desk.asked(1), Found(remote(1, labels=labels), at(6)), desk.sheet)
    [observed] = [draft.event for draft in desk.sheet.events]
    assert isinstance(observed, IssueObserved)
    assert observed.our_labels == ("agent/sonnet-1", "coordinator/ready")
    assert observed.facts.labels == ("bug",)
    again = desk.findings.found(desk.asked(2), Found(remote(1), at(6)), desk.sheet)
    assert again.event is None
