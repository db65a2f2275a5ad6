"""Timers fire in order of their due times, each key once."""

import math

from hypothesis import given
from hypothesis import strategies as st

from coordinator.runtime.timers import Timers
from tests.runtime.stage import Say


def drain(timers: Timers, now: float) -> list[str]:
    fired = []
    mark = timers.mark()
    while (message := timers.pop_due(now, mark)) is not None:
        assert isinstance(message, Say)
        fired.append(message.word)
    return fired


def test_due_timers_come_in_order() -> None:
    """Earlier first; of two due at once, the one set first."""
    timers = Timers()
    for key, due in (("late", 3.0), ("early", 1.0), ("twin", 1.0), ("never", 9.0)):
        timers.set(key, due, Say(key))
    assert drain(timers, 5.0) == ["early", "twin", "late"]
    assert timers.pending() == [("never", 9.0)]


def test_the_same_key_replaces() -> None:
    """Setting a key again forgets what it stood for."""
    timers = Timers()
    timers.set("k", 1.0, Say("old"))
    timers.set("k", 2.0, Say("new"))
    assert timers.next_due() == 2.0
    assert drain(timers, 1.5) == []
    assert drain(timers, 2.0) == ["new"]


def test_a_cancelled_timer_is_silent() -> None:
    """Cancelling forgets a key; an unknown key is no error."""
    timers = Timers()
    timers.set("k", 1.0, Say("k"))
    timers.cancel("k")
    timers.cancel("unknown")
    assert timers.next_due() == math.inf
    assert len(timers) == 0


def test_a_timer_set_after_the_mark_waits() -> None:
    """One that is set again for now fires once per mark, so it cannot starve the mailbox."""
    timers = Timers()
    timers.set("k", 1.0, Say("first"))
    mark = timers.mark()
    assert timers.pop_due(1.0, mark) == Say("first")
    timers.set("k", 1.0, Say("again"))
    assert timers.pop_due(1.0, mark) is None
    assert timers.pop_due(1.0, timers.mark()) == Say("again")


def test_replacing_without_end_needs_no_memory() -> None:
    """A deadline pushed a thousand times leaves a handful of entries."""
    timers = Timers()
    timers.set("anchor", 0.5, Say("anchor"))
    for due in range(1000):
        timers.set("k", 1.0 + due, Say("k"))
    assert len(timers._heap) < 20


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.booleans())))
def test_timers_agree_with_a_dict(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever is set and cancelled, what is pending is what a dict would hold."""
    timers, model = Timers(), dict[str, float]()
    for key, due, is_set in steps:
        if is_set:
            timers.set(key, due, Say(key))
            model[key] = due
        else:
            timers.cancel(key)
            model.pop(key, None)
        assert dict(timers.pending()) == model
        assert timers.next_due() == min(model.values(), default=math.inf)
