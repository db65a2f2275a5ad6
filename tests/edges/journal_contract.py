"""What every engine of the journal must do, one test per sentence of `coordinator/edges/journal.py`.

An engine runs the suite by subclassing `JournalContract` and giving it a `store` fixture: where its
data lies, and how to make a journal over it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
import trio
import trio.testing

from coordinator.edges.journal import (
    Commit,
    DeadLetter,
    Delivery,
    DeliveryOutcome,
    Draft,
    Journal,
    OrderClosed,
    OrderDraft,
    Sample,
    Snapshot,
    StoredOrder,
)
from coordinator.errors import JournalError, JournalInUse, JournalUnavailable
from coordinator.rules.context import ContextUsage
from coordinator.rules.events import AgentObserved, CycleFound, IssueDeleted, RunParked
from coordinator.rules.ids import AgentName, DeliveryId, IssueRef, RunId
from coordinator.rules.orders import ParseIssue

__all__ = [
    "AGENT",
    "AT",
    "ISSUE",
    "JournalContract",
    "JournalStore",
    "an_event",
    "an_order",
    "delivery",
    "serving",
]

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ISSUE = IssueRef("org/repo", 1)
AGENT = AgentName("sonnet-1")


class JournalStore(Protocol):
    """One store of an engine, empty at first; each call makes a journal over the same data.

    Its clock stands at AT, so that retention finds nothing old.
    """

    folder: Path

    def journal(self) -> Journal: ...


_J = TypeVar("_J", bound=Journal)


@asynccontextmanager
async def serving(journal: _J) -> AsyncIterator[_J]:
    """The journal, ready; closed at the end."""
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.serve)
        yield journal
        nursery.cancel_scope.cancel()


def delivery(
    name: str = "d1", body: bytes = b'{"n": 1}', *, event: str = "issues", received_at: datetime = AT
) -> Delivery:
    return Delivery(DeliveryId(name), event, event, (("X-Gitea-Event", event),), body, received_at)


def an_event(number: int = 1) -> Draft:
    return Draft(IssueDeleted(IssueRef("org/repo", number)), DeliveryId("d1"))


def an_order(text_key: str = "k1", target: str = "parser") -> OrderDraft:
    return OrderDraft(ParseIssue(ISSUE, text_key), target, DeliveryId("d1"))


def a_letter(actor: str = "parser", item: int | None = 1) -> DeadLetter:
    return DeadLetter(actor, item, "Wake()", "ValueError: first", "ValueError: second")


def a_sample(minute: int) -> Sample:
    usage = ContextUsage(minute, 20, 30, 40, None, AT + timedelta(minutes=minute))
    return Sample(AGENT, RunId(ISSUE, 1), 1, usage)


class InboxContract:
    """Deliveries."""

    async def test_an_accepted_delivery_is_read_back_as_it_came(self, store: JournalStore) -> None:
        """Every field and every byte of an accepted delivery is there after a restart."""
        body = bytes(range(256))
        async with serving(store.journal()) as journal:
            receipt = await journal.accept(delivery(body=body))
        assert (receipt.seq, receipt.duplicate_of) == (1, None)
        async with serving(store.journal()) as journal:
            [stored] = await journal.read_deliveries(0, 10)
        assert (stored.seq, stored.id, stored.event, stored.event_type) == (1, "d1", "issues", "issues")
        assert (stored.received_at, stored.body, stored.outcome) == (AT, body, None)

    async def test_deliveries_are_numbered_from_one_without_gaps(self, store: JournalStore) -> None:
        """Sequence numbers follow the order of acceptance; duplicates and refusals take none."""
        async with serving(store.journal()) as journal:
            seqs = [(await journal.accept(delivery(f"d{n}", b"%d" % n))).seq for n in (1, 2)]
            await journal.accept(delivery("d1", b"1"))
            await journal.reject(delivery("bad", b"?"), "no")
            seqs.append((await journal.accept(delivery("d3", b"3"))).seq)
            assert seqs == [1, 2, 3]
            assert journal.head("deliveries") == 3

    async def test_the_same_id_again_is_a_duplicate(self, store: JournalStore) -> None:
        """A delivery sent twice is stored once and names the first copy."""
        async with serving(store.journal()) as journal:
            first = await journal.accept(delivery())
            again = await journal.accept(delivery())
            assert (again.seq, again.duplicate_of) == (first.seq, first.seq)
            assert len(await journal.read_deliveries(0, 10)) == 1

    async def test_the_same_content_under_another_id_is_a_duplicate(self, store: JournalStore) -> None:
        """The forge's own redelivery has a new id and the same body: it is recognised."""
        async with serving(store.journal()) as journal:
            await journal.accept(delivery("d1"))
            assert (await journal.accept(delivery("d2"))).duplicate_of == 1

    async def test_a_duplicate_is_recognised_after_a_restart(self, store: JournalStore) -> None:
        """Both dedupe keys are on disk, not in memory."""
        async with serving(store.journal()) as journal:
            await journal.accept(delivery("d1"))
        async with serving(store.journal()) as journal:
            assert (await journal.accept(delivery("d1"))).duplicate_of == 1
            assert (await journal.accept(delivery("d2"))).duplicate_of == 1

    async def test_the_same_body_of_another_event_is_another_delivery(
        self, store: JournalStore
    ) -> None:
        """The content key covers the event's name as well as the body."""
        async with serving(store.journal()) as journal:
            await journal.accept(delivery("d1"))
            assert (await journal.accept(delivery("d2", event="push"))).duplicate_of is None

    async def test_a_taken_id_with_another_body_is_kept_and_counted(self, store: JournalStore) -> None:
        """An id collision loses neither body and shows in the health, also after a restart."""
        async with serving(store.journal()) as journal:
            for body in (b"1", b"2", b"3"):
                assert (await journal.accept(delivery("d1", body))).duplicate_of is None
            assert (await journal.accept(delivery("d1", b"2"))).duplicate_of == 2
            assert journal.health().collisions == 2
        async with serving(store.journal()) as journal:
            stored = await journal.read_deliveries(0, 10)
            assert [one.body for one in stored] == [b"1", b"2", b"3"]
            assert len({one.id for one in stored}) == 3
            assert stored[0].id == "d1"
            assert journal.health().collisions == 2

    async def test_concurrent_copies_are_stored_once(self, store: JournalStore) -> None:
        """Of many simultaneous copies one is the first and all the others name it."""
        receipts = []

        async def accept(number: int) -> None:
            receipts.append(await journal.accept(delivery(f"d{number % 2}")))

        async with serving(store.journal()) as journal:
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(accept, number)
            assert {receipt.seq for receipt in receipts} == {1}
            assert sum(receipt.duplicate_of is None for receipt in receipts) == 1

    async def test_a_rejected_delivery_does_not_enter_the_inbox(self, store: JournalStore) -> None:
        """What was rejected is not read as a delivery and does not make a later one a duplicate."""
        async with serving(store.journal()) as journal:
            await journal.reject(delivery(), "issue.number: missing")
            assert await journal.read_deliveries(0, 10) == []
            assert (await journal.accept(delivery())).duplicate_of is None

    async def test_an_outcome_is_read_back(self, store: JournalStore) -> None:
        """What the router made of a delivery shows at once and after a restart."""
        async with serving(store.journal()) as journal:
            await journal.accept(delivery())
            await journal.commit(Commit("router", AT, outcomes=(DeliveryOutcome(1, "ignored", "why"),)))
            assert (await journal.read_deliveries(0, 1))[0].outcome == "ignored"
        async with serving(store.journal()) as journal:
            assert (await journal.read_deliveries(0, 1))[0].outcome == "ignored"

    async def test_deliveries_are_read_in_order_behind_a_position(self, store: JournalStore) -> None:
        """`after` is exclusive and `limit` cuts the end, from memory and from disk alike."""
        async with serving(store.journal()) as journal:
            for number in range(5):
                await journal.accept(delivery(f"d{number}", b"%d" % number))
            assert [one.seq for one in await journal.read_deliveries(1, 2)] == [2, 3]
        async with serving(store.journal()) as journal:
            assert [one.seq for one in await journal.read_deliveries(1, 2)] == [2, 3]
            assert await journal.read_deliveries(5, 2) == []
            assert await journal.read_deliveries(0, 0) == []


class CommitContract:
    """Events, orders, cursors: whole or not at all."""

    async def test_events_are_numbered_in_commit_order(self, store: JournalStore) -> None:
        """Each event comes back with its seq, instant, actor and delivery, over a restart too."""
        async with serving(store.journal()) as journal:
            first = await journal.commit(Commit("router", AT, events=(an_event(1), an_event(2))))
            second = await journal.commit(Commit("parser", AT, events=(an_event(3),)))
            assert [one.seq for one in (*first.events, *second.events)] == [1, 2, 3]
            assert journal.head("events") == 3
            live = await journal.read_events(0, 10)
        assert live == [*first.events, *second.events]
        assert (live[0].at, live[0].actor, live[0].delivery) == (AT, "router", "d1")
        async with serving(store.journal()) as journal:
            assert await journal.read_events(0, 10) == live
            assert await journal.read_events(1, 1) == live[1:2]

    async def test_a_commit_with_a_wrong_cursor_writes_nothing(self, store: JournalStore) -> None:
        """When the stored cursor is not the expected one, no part of the commit is written."""
        async with serving(store.journal()) as journal:
            await journal.commit(Commit("router", AT, cursor=3, expected_cursor=0))
            stale = Commit(
                "router",
                AT,
                events=(an_event(),),
                opened=(an_order(),),
                texts={"k": "text"},
                snapshot=Snapshot(1, 1, b"s"),
                samples=(a_sample(1),),
                dead_letters=(a_letter(),),
                cursor=4,
                expected_cursor=2,
            )
            with pytest.raises(JournalError, match=r"router.*2.*3"):
                await journal.commit(stale)
            assert await journal.cursor("router") == 3
            assert journal.head("events") == 0
            assert journal.open_orders("parser") == ()
            assert await journal.text("k") is None
            assert await journal.snapshot("router") is None
            assert await journal.samples(AGENT, AT, 10) == []
            assert await journal.dead_letters() == []
            assert journal.health().dead_letters == 0

    async def test_a_cursor_starts_at_zero_and_is_the_actors_own(self, store: JournalStore) -> None:
        """Cursors of different actors do not touch each other and survive a restart."""
        async with serving(store.journal()) as journal:
            assert await journal.cursor("router") == 0
            await journal.commit(Commit("router", AT, cursor=7, expected_cursor=0))
            await journal.commit(Commit("router", AT, cursor=9, expected_cursor=7))
        async with serving(store.journal()) as journal:
            assert await journal.cursor("router") == 9
            assert await journal.cursor("parser") == 0

    async def test_an_order_is_open_until_it_is_closed(self, store: JournalStore) -> None:
        """Open orders of a target come oldest first, at once and after a restart; closed ones go."""
        async with serving(store.journal()) as journal:
            done = await journal.commit(
                Commit("router", AT, opened=(an_order("a"), an_order("b"), an_order("c", "agent:x")))
            )
            assert journal.open_orders("parser") == done.opened[:2]
            assert journal.open_orders("agent:x") == done.opened[2:]
            assert done.opened[0] == StoredOrder(
                done.opened[0].id, "parser", ParseIssue(ISSUE, "a"), AT, DeliveryId("d1")
            )
            await journal.commit(Commit("parser", AT, closed=(OrderClosed(done.opened[0].id, "done"),)))
            assert journal.open_orders("parser") == done.opened[1:2]
            assert journal.health().open_orders == 2
        async with serving(store.journal()) as journal:
            assert journal.open_orders("parser") == done.opened[1:2]
            assert journal.open_orders("nobody") == ()

    async def test_an_order_known_by_its_key_is_not_opened_again(self, store: JournalStore) -> None:
        """Opening a key that is open, or that was ever closed, changes nothing and is not repeated."""
        async with serving(store.journal()) as journal:
            [order] = (await journal.commit(Commit("router", AT, opened=(an_order(),)))).opened
            assert (await journal.commit(Commit("router", AT, opened=(an_order(),)))).opened == ()
            await journal.commit(Commit("parser", AT, closed=(OrderClosed(order.id, "done"),)))
            assert (await journal.commit(Commit("router", AT, opened=(an_order(),)))).opened == ()
            assert journal.open_orders("parser") == ()

    async def test_closing_a_closed_or_unknown_order_changes_nothing(self, store: JournalStore) -> None:
        """A repeated or mistaken close is harmless."""
        async with serving(store.journal()) as journal:
            [order] = (await journal.commit(Commit("router", AT, opened=(an_order(),)))).opened
            for _ in range(2):
                close = (OrderClosed(order.id, "done"), OrderClosed(999, "done"))
                await journal.commit(Commit("parser", AT, closed=close))
            assert journal.open_orders("parser") == ()
            assert journal.health().open_orders == 0

    async def test_a_known_text_is_left_as_it_is(self, store: JournalStore) -> None:
        """The first text under a key stays; an unknown key has none."""
        async with serving(store.journal()) as journal:
            await journal.commit(Commit("router", AT, texts={"k": "first\n\nbody \U0001f600\0"}))
            await journal.commit(Commit("router", AT, texts={"k": "second"}))
            assert await journal.text("k") == "first\n\nbody \U0001f600\0"
            assert await journal.text("other") is None

    async def test_the_newest_snapshot_replaces_the_older(self, store: JournalStore) -> None:
        """An actor has one snapshot, read back byte for byte."""
        async with serving(store.journal()) as journal:
            assert await journal.snapshot("tracker") is None
            await journal.commit(Commit("tracker", AT, snapshot=Snapshot(5, 1, b"old")))
            await journal.commit(Commit("tracker", AT, snapshot=Snapshot(9, 2, b"\0new")))
            assert await journal.snapshot("tracker") == Snapshot(9, 2, b"\0new")

    async def test_one_bad_commit_does_not_harm_its_neighbours(self, store: JournalStore) -> None:
        """Commits that share a transaction fail or succeed each on its own."""
        failed: list[int] = []

        async def commit(number: int) -> None:
            try:
                await journal.commit(
                    Commit(f"a{number}", AT, events=(an_event(),), cursor=1, expected_cursor=number % 2)
                )
            except JournalError:
                failed.append(number)

        async with serving(store.journal()) as journal:
            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(commit, number)
            assert sorted(failed) == [1, 3, 5, 7, 9]
            assert [one.seq for one in await journal.read_events(0, 99)] == [1, 2, 3, 4, 5]

    async def test_a_naive_instant_is_refused(self, store: JournalStore) -> None:
        """An instant without a zone would mean something else after a move of the machine."""
        async with serving(store.journal()) as journal:
            with pytest.raises(JournalError, match="time zone"):
                await journal.commit(Commit("router", AT.replace(tzinfo=None)))


class ReadingContract:
    """Timelines, dead letters, samples, waits, health, backups, opening and closing."""

    async def test_a_timeline_holds_the_events_of_one_issue(self, store: JournalStore) -> None:
        """Only events about the issue, oldest first, a cycle under each of its members."""
        other = IssueRef("org/repo", 2)
        events = (
            an_event(1),
            an_event(2),
            Draft(CycleFound((ISSUE, other))),
            Draft(AgentObserved(AGENT, "idle")),
            Draft(RunParked(RunId(ISSUE, 2), AGENT, "why")),
        )
        async with serving(store.journal()) as journal:
            await journal.commit(Commit("router", AT, events=events))
            assert [one.seq for one in await journal.timeline(ISSUE, 10)] == [1, 3, 5]
            assert [one.seq for one in await journal.timeline(other, 10)] == [2, 3]

    async def test_a_timeline_keeps_the_newest(self, store: JournalStore) -> None:
        """The limit drops the oldest events; an unknown issue has none."""
        async with serving(store.journal()) as journal:
            await journal.commit(Commit("router", AT, events=tuple(an_event() for _ in range(5))))
            assert [one.seq for one in await journal.timeline(ISSUE, 2)] == [4, 5]
            assert await journal.timeline(IssueRef("no/such", 1), 2) == []

    async def test_dead_letters_come_newest_first(self, store: JournalStore) -> None:
        """They are listed whole, of all actors or of one, up to the limit."""
        async with serving(store.journal()) as journal:
            await journal.commit(Commit("parser", AT, dead_letters=(a_letter("parser", None),)))
            await journal.commit(Commit("router", AT, dead_letters=(a_letter("router", 5),)))
            listed = await journal.dead_letters()
            assert [one.letter.actor for one in listed] == ["router", "parser"]
            assert (listed[0].at, listed[0].letter, listed[0].replayed_at) == (
                AT,
                a_letter("router", 5),
                None,
            )
            assert [one.id for one in await journal.dead_letters(actor="parser")] == [listed[1].id]
            assert await journal.dead_letters(limit=1) == listed[:1]
            assert journal.health().dead_letters == 2

    async def test_a_replayed_delivery_is_met_again(self, store: JournalStore) -> None:
        """Replaying marks the letter and appends a copy under a new id, despite the dedupe."""
        async with serving(store.journal()) as journal:
            await journal.accept(delivery())
            await journal.commit(Commit("router", AT, dead_letters=(a_letter("router", 1),)))
            [letter] = await journal.dead_letters()
            replayed = await journal.replay_dead_letter(letter.id, AT)
            assert replayed == replace(letter, replayed_at=AT)
            assert await journal.dead_letters() == [replayed]
            first, copy = await journal.read_deliveries(0, 10)
            assert (copy.seq, copy.body, copy.event) == (2, first.body, first.event)
            assert copy.id != first.id
            assert journal.health().dead_letters == 0
            assert (await journal.accept(delivery("again"))).duplicate_of == 1

    async def test_a_letter_is_replayed_once(self, store: JournalStore) -> None:
        """Asking again, perhaps after an unknown outcome, adds no second copy."""
        async with serving(store.journal()) as journal:
            await journal.accept(delivery())
            await journal.commit(Commit("router", AT, dead_letters=(a_letter("router", 1),)))
            first = await journal.replay_dead_letter(1, AT)
            assert await journal.replay_dead_letter(1, AT + timedelta(hours=1)) == first
            assert journal.head("deliveries") == 2

    async def test_two_letters_of_one_delivery_make_two_copies(self, store: JournalStore) -> None:
        """Each copy has an id of its own."""
        async with serving(store.journal()) as journal:
            await journal.accept(delivery())
            letters = (a_letter("router", 1), a_letter("router", 1))
            await journal.commit(Commit("router", AT, dead_letters=letters))
            await journal.replay_dead_letter(1, AT)
            await journal.replay_dead_letter(2, AT)
            assert len({one.id for one in await journal.read_deliveries(0, 10)}) == 3

    async def test_a_replayed_event_letter_is_only_marked(self, store: JournalStore) -> None:
        """Other actors read events: their letters put nothing into the inbox."""
        async with serving(store.journal()) as journal:
            await journal.accept(delivery())
            letters = (a_letter("parser", 1), a_letter("router", None))
            await journal.commit(Commit("parser", AT, dead_letters=letters))
            for letter in await journal.dead_letters():
                replayed = await journal.replay_dead_letter(letter.id, AT)
                assert replayed is not None
                assert replayed.replayed_at == AT
            assert journal.head("deliveries") == 1

    async def test_replaying_no_such_letter_is_none(self, store: JournalStore) -> None:
        """An unknown letter id is not an error."""
        async with serving(store.journal()) as journal:
            assert await journal.replay_dead_letter(42, AT) is None

    async def test_samples_are_the_newest_oldest_first(self, store: JournalStore) -> None:
        """The history of one agent since an instant, cut at its old end."""
        async with serving(store.journal()) as journal:
            await journal.commit(Commit("m", AT, samples=tuple(a_sample(n) for n in range(5))))
            since = AT + timedelta(minutes=1)
            assert await journal.samples(AGENT, since, 99) == [a_sample(n) for n in (1, 2, 3, 4)]
            assert await journal.samples(AGENT, since, 2) == [a_sample(3), a_sample(4)]
            assert await journal.samples(AgentName("other"), since, 99) == []

    async def test_waiting_past_a_position_ends_with_the_next_write(self, store: JournalStore) -> None:
        """A waiter sleeps while there is nothing new, and a past position does not wait at all."""
        async with serving(store.journal()) as journal, trio.open_nursery() as nursery:
            nursery.start_soon(journal.wait_past, "deliveries", 0)
            nursery.start_soon(journal.wait_past, "events", 0)
            await trio.testing.wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 2
            await journal.accept(delivery())
            await trio.testing.wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 1
            await journal.commit(Commit("router", AT, events=(an_event(),)))
            await journal.wait_past("events", 0)

    async def test_waiting_for_orders_ends_with_an_open_one(self, store: JournalStore) -> None:
        """A waiter wakes for its own target only."""
        async with serving(store.journal()) as journal, trio.open_nursery() as nursery:
            nursery.start_soon(journal.wait_orders, "agent:x")
            await journal.commit(Commit("router", AT, opened=(an_order("a", "parser"),)))
            await journal.wait_orders("parser")
            await trio.testing.wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 1
            await journal.commit(Commit("router", AT, opened=(an_order("b", "agent:x"),)))

    async def test_waiting_for_newer_orders_passes_over_the_older(self, store: JournalStore) -> None:
        """With `after`, an order that is known already does not end the wait; a newer one does."""
        async with serving(store.journal()) as journal, trio.open_nursery() as nursery:
            first = await journal.commit(Commit("router", AT, opened=(an_order("a", "agent:x"),)))
            nursery.start_soon(journal.wait_orders, "agent:x", first.opened[0].id)
            await trio.testing.wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 1
            await journal.commit(Commit("router", AT, opened=(an_order("b", "agent:x"),)))

    async def test_waiters_outlive_a_restart(self, store: JournalStore) -> None:
        """A reader that waits while the journal is served anew is woken by the next write."""
        journal = store.journal()
        async with trio.open_nursery() as nursery:
            async with serving(journal):
                nursery.start_soon(journal.wait_past, "deliveries", 0)
            async with serving(journal):
                await journal.accept(delivery())

    async def test_health_counts_what_the_file_holds(self, store: JournalStore) -> None:
        """Heads, counts, size and the last accept are right at once and after a restart."""
        journal = store.journal()
        async with serving(journal):
            await journal.accept(delivery())
            await journal.commit(
                Commit("r", AT, events=(an_event(),), opened=(an_order(),), dead_letters=(a_letter(),))
            )
            before = journal.health()
            assert (before.commits, before.error, before.queued) == (True, None, 0)
            assert (before.head, before.deliveries, before.last_accepted_at) == (1, 1, AT)
            assert (before.dead_letters, before.open_orders) == (1, 1)
            assert before.size_bytes > 0
        assert not journal.health().commits
        async with serving(journal):
            after = journal.health()
            assert replace(after, size_bytes=before.size_bytes) == before

    async def test_a_closed_journal_is_unavailable(self, store: JournalStore) -> None:
        """Before serving and after it, reads and writes are refused at once."""
        journal = store.journal()
        for _ in range(2):
            with pytest.raises(JournalUnavailable):
                await journal.accept(delivery())
            with pytest.raises(JournalUnavailable):
                await journal.cursor("router")
            async with serving(journal):
                pass

    async def test_a_store_is_served_once_at_a_time(self, store: JournalStore) -> None:
        """A second journal over the same data is refused while the first goes on."""
        async with serving(store.journal()) as journal:
            with pytest.raises(JournalInUse):
                await store.journal().serve()
            with pytest.raises(JournalInUse):
                await journal.serve()
            await journal.accept(delivery())

    async def test_a_backup_is_a_whole_journal(self, store: JournalStore) -> None:
        """The copy holds what was committed before it began and never replaces a file."""
        target = store.folder / "copy"
        async with serving(store.journal()) as journal:
            await journal.accept(delivery())
            await journal.backup(target)
            assert target.stat().st_size > 0
            with pytest.raises(JournalError, match="exists"):
                await journal.backup(target)
            await journal.accept(delivery("d2", b"later"))
        assert [path.name for path in store.folder.iterdir() if "partial" in path.name] == []


class JournalContract(InboxContract, CommitContract, ReadingContract):
    """The whole contract."""
