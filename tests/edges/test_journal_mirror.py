"""What the journal remembers beside the file."""

import trio
import trio.testing

from coordinator.edges.journal import StoredOrder
from coordinator.edges.journal_mirror import Mirror, Tail
from coordinator.edges.journal_reads import Loaded
from coordinator.edges.journal_rows import Written
from coordinator.rules.orders import ParseIssue
from tests.edges.journal_contract import AT, ISSUE


def _tail(*, items: int = 3, size_bytes: int = 100) -> Tail[str]:
    tail: Tail[str] = Tail(items=items, size_bytes=size_bytes)
    for seq in range(1, 6):
        tail.append(seq, f"item {seq}", 10)
    return tail


def test_a_tail_keeps_the_newest_items() -> None:
    """Beyond its number the oldest go, and a reader who needs them is told to go to the disk."""
    tail = _tail()
    assert tail.read(2, 99, head=5) == ["item 3", "item 4", "item 5"]
    assert tail.read(3, 1, head=5) == ["item 4"]
    assert tail.read(1, 99, head=5) is None


def test_a_tail_is_bounded_in_bytes() -> None:
    """Few large items push the older ones out; one too large leaves none."""
    tail = _tail(items=99, size_bytes=25)
    assert tail.read(3, 99, head=5) == ["item 4", "item 5"]
    tail.append(6, "huge", 26)
    assert tail.read(5, 99, head=6) is None


def test_a_tail_has_nothing_past_the_head() -> None:
    """At the head there is nothing to read, and nothing to ask the disk for."""
    assert _tail().read(5, 99, head=5) == []
    assert _tail().read(0, 0, head=5) == []


def test_an_item_is_changed_while_it_is_here() -> None:
    """A change of an item that has gone is left to the disk."""
    tail = _tail()
    tail.update(3, str.upper)
    tail.update(1, str.upper)
    assert tail.read(2, 1, head=5) == ["ITEM 3"]


def _order(number: int, target: str) -> StoredOrder:
    return StoredOrder(number, target, ParseIssue(ISSUE, str(number)), AT, None)


def test_loading_starts_over() -> None:
    """What another life has left in memory is replaced by what the file holds."""
    mirror = Mirror()
    mirror.committed(Written((), (_order(1, "parser"),), (), (), 1))
    mirror.load(Loaded(7, 3, 2, 4, AT, (_order(2, "agent:x"),)))
    assert (mirror.head("events"), mirror.head("deliveries")) == (7, 3)
    assert (mirror.collisions, mirror.dead_letters, mirror.last_accepted_at) == (2, 4, AT)
    assert mirror.open_orders("parser") == ()
    assert mirror.open_orders("agent:x") == (_order(2, "agent:x"),)
    assert mirror.open_order_count() == 1


def test_closing_an_order_of_an_earlier_life_is_harmless() -> None:
    """An order the mirror does not hold is simply not there to close."""
    mirror = Mirror()
    mirror.committed(Written((), (), (99,), (), 0))
    assert mirror.open_order_count() == 0


async def test_every_waiter_of_a_target_is_woken() -> None:
    """Two long polls on the same agent both return."""
    mirror = Mirror()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mirror.wait_orders, "agent:x")
        nursery.start_soon(mirror.wait_orders, "agent:x")
        await trio.testing.wait_all_tasks_blocked()
        mirror.committed(Written((), (_order(1, "agent:x"),), (), (), 0))


async def test_a_cancelled_waiter_leaves_the_others_waiting() -> None:
    """Going away while waiting disturbs nobody."""
    mirror = Mirror()
    with trio.move_on_after(0):
        await mirror.wait_orders("agent:x")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mirror.wait_orders, "agent:x")
        await trio.testing.wait_all_tasks_blocked()
        mirror.committed(Written((), (_order(1, "agent:x"),), (), (), 0))
