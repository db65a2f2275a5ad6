"""What people change of ours is looked at once in a while, and never fought for."""

from coordinator.rules.looks import EVERY_S, MAX_REMEMBERED, Looks
from tests.rules.builders import ref


def test_each_part_is_looked_at_in_its_time() -> None:
    """Asked for twice it is looked at once, at the earlier instant; another part comes at its own."""
    looks = Looks()
    assert (looks.next_in_s(0.0), looks.due(0.0), looks.take(ref(1), 0.0)) == (None, [], frozenset())
    looks.ask(ref(1), ("labels", "comment"), 9.0)
    looks.ask(ref(1), ("comment",), 4.0)
    looks.ask(ref(1), ("comment",), 6.0)
    assert (looks.next_in_s(1.0), looks.due(3.9)) == (3.0, [])
    assert looks.due(4.0) == [ref(1)]
    assert looks.take(ref(1), 4.0) == {"comment"}
    assert looks.take(ref(1), 4.0) == frozenset()
    assert (looks.next_in_s(4.0), looks.due(8.9)) == (5.0, [])
    assert looks.due(9.0) == [ref(1)]
    assert looks.take(ref(1), 9.0) == {"labels"}
    assert (looks.due(99.0), looks.next_in_s(99.0)) == ([], None)


def test_an_earlier_look_leaves_the_later_one_where_it_is() -> None:
    """A reminder of what was refused, and the look for a twin, come though something else did first."""
    looks = Looks()
    looks.ask(ref(1), (), 300.0)
    looks.ask(ref(1), ("comment",), 15.0)
    looks.ask(ref(1), ("labels",), 10.0)
    assert looks.due(10.0) == [ref(1)]
    assert looks.take(ref(1), 10.0) == {"labels"}
    assert looks.due(15.0) == [ref(1)]
    assert looks.take(ref(1), 15.0) == {"comment"}
    assert (looks.due(299.0), looks.due(300.0)) == ([], [ref(1)])


def test_an_issue_is_looked_at_once_a_minute() -> None:
    """Whoever deletes our comment each time it appears sees it once a minute; other issues wait for
    nobody."""
    looks = Looks()
    looks.ask(ref(1), ("comment",), 0.0)
    assert looks.due(0.0) == [ref(1)]
    looks.take(ref(1), 1.0)
    for at in (2.0, 3.0):
        looks.ask(ref(1), ("comment",), at)
    looks.ask(ref(2), ("comment",), 3.0)
    assert looks.due(3.0) == [ref(2)]
    assert looks.next_in_s(3.0) == 1.0 + EVERY_S - 3.0
    assert looks.due(1.0 + EVERY_S) == [ref(1)]


def test_a_mere_reminder_is_no_look() -> None:
    """The issue comes up at its time; nothing of it is doubtful."""
    looks = Looks()
    looks.ask(ref(1), (), 5.0)
    assert looks.due(5.0) == [ref(1)]
    assert looks.take(ref(1), 5.0) == frozenset()
    looks.ask(ref(1), ("labels",), 6.0)
    assert looks.due(6.0) == [ref(1)]


def test_a_look_that_failed_is_made_by_whoever_comes_next() -> None:
    """With what was asked for meanwhile."""
    looks = Looks(every_s=0.0)
    looks.ask(ref(1), ("comment",), 0.0)
    looks.due(0.0)
    failed = looks.take(ref(1), 0.0)
    looks.ask(ref(1), ("labels",), 1.0)
    looks.due(1.0)
    looks.again(ref(1), failed)
    assert looks.take(ref(1), 2.0) == {"comment", "labels"}


def test_a_deleted_issue_is_not_looked_at() -> None:
    """Neither what was asked for nor what was due is left of it."""
    looks = Looks()
    looks.ask(ref(1), ("comment",), 0.0)
    looks.ask(ref(2), ("comment",), 5.0)
    looks.due(0.0)
    for number in (1, 2):
        looks.forget(ref(number))
    assert (looks.take(ref(1), 0.0), looks.next_in_s(0.0), looks.due(9.0)) == (frozenset(), None, [])


def test_looks_that_are_long_over_are_forgotten() -> None:
    """Ten thousand issues once looked at are not remembered for ever."""
    looks = Looks()
    for number in range(1, MAX_REMEMBERED + 2):
        looks.ask(ref(number), ("comment",), 0.0)
    for each in looks.due(0.0):
        looks.take(each, 0.0)
    assert len(looks._last) == MAX_REMEMBERED + 1
    looks.ask(ref(1), ("comment",), 100.0)
    looks.due(100.0)
    looks.take(ref(1), 100.0)
    assert len(looks._last) == 1
