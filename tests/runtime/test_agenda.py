"""Who is looked at next: what has changed, whose time has come, whose turn it is."""

import math
from collections.abc import AsyncIterator

import pytest
from trio.testing import MockClock

from coordinator.runtime import Backoff, child, dynamic, open_tree, supervisor
from coordinator.runtime.agenda import SWEPT_FROM, Agenda, Turns
from coordinator.runtime.child import Child
from coordinator.runtime.supervisor import Supervisor
from tests.runtime.stage import Boom, Chronicle, Player, player, settle


@pytest.fixture
async def children() -> AsyncIterator[list[Child]]:
    """Five places of a tree, in order of their start."""
    story = Chronicle()
    async with open_tree(supervisor("root", *(player(story, name) for name in "abcde"))) as tree:
        root = tree.root.body
        assert isinstance(root, Supervisor)
        yield list(root.children.values())


async def test_what_changed_is_taken_once(children: list[Child]) -> None:
    """Noting twice is noting once; taken is off the agenda."""
    a, b, *_ = children
    agenda = Agenda()
    for changed in (a, b, a):
        agenda.note(changed)
    assert agenda.has_news
    assert agenda.take(0) == [a, b]
    assert (agenda.has_news, agenda.take(0)) == (False, [])


async def test_times_come_in_order_and_can_be_changed(children: list[Child]) -> None:
    """A child has one time at most: a new one replaces it, an infinite one takes it back."""
    a, b, c, *_ = children
    agenda = Agenda()
    agenda.look_at(a, 5)
    agenda.look_at(b, 2)
    agenda.look_at(c, 3)
    agenda.look_at(a, 1)
    agenda.look_at(c, math.inf)
    assert agenda.next_time() == 1
    assert agenda.take(1.5) == [a]
    assert agenda.next_time() == 2
    assert agenda.take(10) == [b]
    assert (agenda.next_time(), agenda.take(math.inf)) == (math.inf, [])


async def test_forgotten_children_are_not_looked_at(children: list[Child]) -> None:
    """Neither for a change nor for a time."""
    a, b, *_ = children
    agenda = Agenda()
    agenda.note(a)
    agenda.look_at(a, 1)
    agenda.look_at(b, 1)
    agenda.forget(a)
    assert agenda.take(1) == [b]
    agenda.note(a)
    agenda.look_at(b, 1)
    agenda.clear()
    assert (agenda.take(1), agenda.next_time(), len(agenda)) == ([], math.inf, 0)


async def test_times_that_were_changed_leave_nothing_behind(children: list[Child]) -> None:
    """However often a time is moved, the agenda stays as small as what is on it."""
    agenda = Agenda()
    for number in range(10_000):
        for place in children:
            agenda.look_at(place, 10 + number)
    assert len(agenda._heap) <= 2 * len(children) + SWEPT_FROM + 1
    assert agenda.next_time() == 10 + 9_999
    assert agenda.take(math.inf) == children


@pytest.mark.parametrize(("is_reversed", "expected"), [(False, "abcde"), (True, "edcba")])
async def test_turns_go_in_order(children: list[Child], is_reversed: bool, expected: str) -> None:
    """The first that still waits has its turn, whatever the order they came in."""
    turns = Turns(is_reversed=is_reversed)
    for place in [*children[2:], *children[:2], children[0]]:
        turns.add(place)
    gone: set[Child] = set()
    order = []
    while (first := turns.first(lambda place: place not in gone)) is not None:
        order.append(first.id)
        gone.add(first)
    assert "".join(order) == expected
    assert list(turns) == []


async def test_the_steps_of_a_crowd_cost_what_changed(autojump_clock: MockClock) -> None:
    """A hundred children that wait for their restarts are not looked at because of others."""
    story = Chronicle()
    slow = Backoff(min_s=1000, max_s=1000, jitter=0)
    crowd = [player(story, f"p{n}", backoff=slow) for n in range(100)]
    looks: list[int] = []

    class Counting(Agenda):
        """Counts whom it hands out."""

        __slots__ = ()

        def take(self, now: float) -> list[Child]:
            taken = super().take(now)
            looks.append(len(taken))
            return taken

    async with open_tree(supervisor("root", dynamic("pool", initial=crowd, intensity=100))) as tree:
        pool = tree.root.body
        assert isinstance(pool, Supervisor)
        body = pool.children["pool"].body
        assert isinstance(body, Supervisor)
        for _ in range(2):  # the first restart is at once, the second one waits
            for n in range(100):
                tree.ref(f"p{n}").cast_nowait(Boom(once=True))
            await settle()
        assert list(tree.healthy().values()).count("restarting") == 100
        body._agenda = Counting()
        for place in body.children.values():
            body._agenda.look_at(place, place.next_time)
        for n in range(50):
            await tree.start_child("pool", child(Player, story, id=f"guest{n}"))
            await tree.terminate_child("pool", f"guest{n}")
        assert sum(looks) < 50 * 12
