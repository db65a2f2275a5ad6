"""The desk knows which reads are open, which fail and why, and forgets both once they are answered."""

from datetime import timedelta

from coordinator.actors.messages import FailingRepository, ReadsView
from coordinator.actors.router.read_desk import MAX_UNREADABLE, TARGET, ReadDesk
from coordinator.actors.router.reading import Gone
from coordinator.edges.journal import StoredOrder
from coordinator.rules.ids import DeliveryId
from coordinator.rules.orders import ParseIssue, ReadIssue, ReadWhy
from tests.rules.builders import at, ref


def order(
    number: int, order_id: int, *, why: ReadWhy = "delivery", delivery: str | None = None
) -> StoredOrder:
    asked = ReadIssue(ref(number), 41, "acme/widgets", why, str(order_id))
    cause = None if delivery is None else DeliveryId(delivery)
    return StoredOrder(order_id, TARGET, asked, at(order_id), cause)


def test_answers_are_kept_until_they_are_taken() -> None:
    """Orders that are reads come in, a read goes out, its answer is taken once; then all is quiet."""
    desk = ReadDesk()
    other = StoredOrder(9, TARGET, ParseIssue(ref(1), "text"), at(0), None)
    desk.ask([order(1, 1, delivery="a"), order(1, 2, delivery="b"), order(1, 3, why="sweep"), other], 0)
    assert (len(desk), desk.awaits(ref(1)), desk.pending("acme/widgets")) == (3, True, 1)
    assert desk.next_s() is not None
    [read] = desk.due(1)
    assert (desk.cause_of(read), desk.asked_at(read)) == ("b", at(1))
    desk.hand_in(read, Gone())
    assert desk.take() == [(read, Gone())]
    assert desk.take() == []
    assert desk.view(at(0)) == ReadsView(3, 1, 0.0, ())
    desk.done(read)
    assert desk.view(at(0)) == ReadsView(0, 0, None, ())


def test_a_read_nobody_told_of_has_no_cause() -> None:
    """Sweeps and dependencies go back to no delivery."""
    desk = ReadDesk()
    desk.ask([order(1, 1, why="sweep")], 0)
    [read] = desk.due(1)
    assert desk.cause_of(read) is None


def test_failures_are_shown_until_the_repository_answers() -> None:
    """Each failing repository is named with its last error; an answer clears it."""
    desk = ReadDesk()
    desk.ask([order(1, 1)], 0)
    [read] = desk.due(1)
    desk.failed(read, "503", 1.0, alone=False)
    shown = desk.view(at(1) + timedelta(seconds=5))
    assert shown == ReadsView(1, 0, 5.0, (FailingRepository("acme/widgets", 1, "503"),))
    [read] = desk.due(10)
    desk.failed(read, "no issue", 10.0, alone=True)
    assert desk.view(at(1)).failing == (FailingRepository("acme/widgets", 1, "no issue"),)
    [read] = desk.due(20)
    desk.done(read)
    assert desk.view(at(1)).failing == ()


def test_a_hidden_repository_is_given_up_and_stays_named() -> None:
    """After a few tries a read is given up, later ones at once; an answer ends that."""
    desk = ReadDesk()
    desk.ask([order(1, 1)], 0)
    tries, now = 0, 1.0
    while True:
        [read] = desk.due(now)
        tries += 1
        if desk.hidden(read, "404", now):
            break
        now += 100
    assert tries == MAX_UNREADABLE
    desk.done(read, is_readable=False)
    assert desk.view(at(1)).failing == (FailingRepository("acme/widgets", MAX_UNREADABLE, "404"),)
    desk.ask([order(1, 2)], now)
    [read] = desk.due(now + 1)
    assert desk.hidden(read, "404", now)
    desk.done(read)
    assert desk.view(at(1)).failing == ()


def test_reads_that_were_hidden_together_are_one_try() -> None:
    """A burst that meets a moment's 404 does not use up all tries at once."""
    desk = ReadDesk()
    desk.ask([order(number, number) for number in range(1, 5)], 0)
    reads = desk.due(1)
    assert len(reads) == 4
    assert not any(desk.hidden(read, "404", 1.5) for read in reads)
    assert desk.view(at(1)).failing == (FailingRepository("acme/widgets", 1, "404"),)
