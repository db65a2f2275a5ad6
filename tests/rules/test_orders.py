"""An order's key names the effect: equal effects share it, different ones never do."""

from typing import get_args

from coordinator.rules.ids import AgentName, RunId
from coordinator.rules.orders import (
    ORDER_TYPES,
    CancelRun,
    CompactContext,
    LookAgain,
    Order,
    ParseIssue,
    ReadIssue,
    RotateSession,
    RunCommand,
    StartRun,
)
from tests.rules.builders import ref

RUN, LATER = RunId(ref(1), 1), RunId(ref(1), 2)
NAME = AgentName("sonnet-1")


def test_keys_tell_effects_apart() -> None:
    """Kind, run, session and attempt are all part of what an order is."""
    orders: list[Order] = [
        ParseIssue(ref(1), "a"),
        ParseIssue(ref(1), "b"),
        ParseIssue(ref(2), "a"),
        StartRun(RUN, NAME, "T", "u", "s", 1),
        StartRun(LATER, NAME, "T", "u", "s", 1),
        CompactContext(RUN, NAME, 1, 1),
        CompactContext(RUN, NAME, 1, 2),
        CompactContext(RUN, NAME, 2, 1),
        RotateSession(RUN, NAME, 1, 2, "full", "facts"),
        RotateSession(RUN, NAME, 2, 3, "full", "facts"),
        CancelRun(RUN, NAME, "closed"),
        ReadIssue(ref(1), 41, "acme/widgets", "delivery", "1"),
        ReadIssue(ref(1), 41, "acme/widgets", "delivery", "2"),
        ReadIssue(ref(2), 41, "acme/widgets", "delivery", "1"),
        RunCommand(ref(1), 41, "acme/widgets", 7),
        RunCommand(ref(1), 41, "acme/widgets", 8),
        RunCommand(ref(1), 42, "acme/other", 7),
        LookAgain(ref(1), 7),
        LookAgain(ref(1), 8),
        LookAgain(ref(2), 7),
        LookAgain(ref(2), 7, nonce="1"),
        LookAgain(ref(2), 7, nonce="2"),
    ]
    assert len({order.key for order in orders}) == len(orders)


def test_the_same_effect_has_the_same_key_whatever_its_words() -> None:
    """Title, reason and facts do not make another effect."""
    assert StartRun(RUN, NAME, "T", "u", "s", 1).key == StartRun(RUN, NAME, "other", "v", "t", 2).key
    assert CancelRun(RUN, NAME, "closed").key == CancelRun(RUN, NAME, "deleted").key
    assert (
        RunCommand(ref(1), 41, "acme/widgets", 7).key == RunCommand(ref(1), 41, "acme/gadgets", 7).key
    )


def test_every_kind_is_listed_under_its_own_name() -> None:
    """The table the journal decodes by holds the whole union."""
    assert set(ORDER_TYPES.values()) == set(get_args(Order))
