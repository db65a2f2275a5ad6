"""Commands are judged oldest first, few at once, one per issue, and tried again with patience."""

from coordinator.actors.scribe.command_desk import CommandDesk
from coordinator.edges.journal import StoredOrder
from coordinator.rules.orders import ParseIssue, RunCommand
from tests.rules.builders import at, ref


def order(id_: int, number: int) -> StoredOrder:
    command = RunCommand(ref(number), 41, "acme/widgets", 1000 + id_)
    return StoredOrder(id_, "scribe", command, at(0), None)


def taken(desk: CommandDesk, *orders: StoredOrder, now: float = 0.0) -> list[int]:
    return [stored.id for stored, _ in desk.take(orders, now)]


def test_two_at_once_and_one_of_an_issue() -> None:
    """The second command of an issue waits for the first, the third issue for a free hand."""
    desk = CommandDesk()
    orders = [order(1, 1), order(2, 1), order(3, 2), order(4, 3)]
    assert taken(desk, *orders) == [1, 3]
    assert desk.shown(orders) == {
        "commands": {},
        "commands_open": 4,
        "commands_in_flight": 2,
        "commands_last_error": "",
    }
    assert taken(desk, *orders) == []
    desk.done(1, "accepted")
    assert taken(desk, *orders[1:]) == [2]
    desk.gone(3)
    assert taken(desk, *orders[1:]) == [3]
    assert desk.results == {"accepted": 1}


def test_what_failed_is_tried_later_and_holds_its_issue() -> None:
    """With growing pauses, or as long as the forge asked for."""
    desk = CommandDesk()
    orders = [order(1, 1), order(2, 1)]
    assert desk.next_in_s(0.0) is None
    assert taken(desk, *orders) == [1]
    desk.failed(1, "away", 0.0, 0.0)
    assert (desk.last_error, desk.next_in_s(0.25)) == ("away", 0.75)
    assert taken(desk, *orders, now=0.5) == []
    assert taken(desk, *orders, now=1.0) == [1]
    assert desk.next_in_s(1.0) is None
    desk.failed(1, "away", 1.0, 30.0)
    assert desk.next_in_s(1.0) == 30.0
    assert taken(desk, *orders, now=31.0) == [1]
    desk.done(1, "gone")
    assert desk.next_in_s(31.0) is None


def test_other_orders_are_none_of_its_business() -> None:
    """Only commands are taken; with both hands full there is nothing to wait for."""
    desk = CommandDesk()
    other = StoredOrder(9, "scribe", ParseIssue(ref(9), "t"), at(0), None)
    assert taken(desk, other) == []
    assert desk.shown([other])["commands_open"] == 0
    assert taken(desk, order(1, 1)) == [1]
    desk.failed(1, "away", 0.0, 0.0)
    assert taken(desk, order(2, 2), order(3, 3), order(4, 4)) == [2, 3]
    assert desk.next_in_s(0.0) is None


def test_what_somebody_else_closed_wakes_nobody() -> None:
    """An order that failed before and was closed elsewhere leaves no instant to look around at."""
    desk = CommandDesk()
    assert taken(desk, order(1, 1)) == [1]
    desk.failed(1, "away", 0.0, 0.0)
    assert taken(desk, order(1, 1), now=5.0) == [1]
    desk.gone(1)
    assert desk.next_in_s(10.0) is None
