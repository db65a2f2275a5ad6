"""What a fill means: the measure, the limits, the exact edges, and the unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules import fleet
from coordinator.rules.context import (
    COMPACT_THRESHOLD,
    ROTATE_THRESHOLD,
    ContextAction,
    ContextPolicy,
    ContextUsage,
    Limits,
    decide,
    fill,
    fill_in_percent,
    limits,
    rearm_at_tokens,
    refilled_above_tokens,
    usable_of,
    usable_tokens,
)
from tests.rules.runs import EPOCH, usage

CONTINUE, COMPACT, ROTATE = ContextAction.CONTINUE, ContextAction.COMPACT, ContextAction.ROTATE
DEFAULT = ContextPolicy()
CAPPED = ContextPolicy(compact_cap_tokens=160_000, rotate_cap_tokens=220_000)


def test_used_counts_all_input_and_predicted_adds_the_answer() -> None:
    """Cached input fills the window too, and the next request starts behind the answer."""
    reading = ContextUsage(1, 20, 300, 4_000, None, EPOCH)
    assert (reading.used_tokens, reading.predicted_tokens) == (321, 4_321)


def test_the_thresholds_are_importable_from_both_homes() -> None:
    """The policy and its two numbers are the same objects in fleet and context."""
    assert (fleet.COMPACT_THRESHOLD, fleet.ROTATE_THRESHOLD) == (COMPACT_THRESHOLD, ROTATE_THRESHOLD)
    assert (COMPACT_THRESHOLD, ROTATE_THRESHOLD) == (0.80, 0.95)
    assert fleet.ContextPolicy is ContextPolicy


@pytest.mark.parametrize(
    ("window", "policy", "expected"),
    [
        (200_000, DEFAULT, 200_000),
        (200_000, ContextPolicy(auto_compact_tokens=167_000), 167_000),
        (200_000, ContextPolicy(auto_compact_tokens=967_000), 200_000),
        (None, DEFAULT, None),
        (None, ContextPolicy(auto_compact_tokens=167_000), None),
        (None, ContextPolicy(window_tokens=100_000), 100_000),
        (200_000, ContextPolicy(window_tokens=100_000), 200_000),
        (0, DEFAULT, None),
        (-5, ContextPolicy(window_tokens=100_000), 100_000),
    ],
)
def test_usable_is_the_smaller_of_window_and_trigger(
    window: int | None, policy: ContextPolicy, expected: int | None
) -> None:
    """A measured window wins over the operator's word, and an unknown one is never guessed."""
    assert usable_tokens(window, policy) == expected


@pytest.mark.parametrize(
    ("policy", "usable", "expected"),
    [
        (DEFAULT, 200_000, Limits(160_000, 190_000)),
        (DEFAULT, 167_000, Limits(133_600, 158_650)),
        (DEFAULT, 7, Limits(6, 7)),
        (ContextPolicy(compact_at=0.55), 100, Limits(55, 95)),
        (DEFAULT, None, Limits(None, None)),
        (CAPPED, 1_000_000, Limits(160_000, 220_000)),
        (CAPPED, 100_000, Limits(80_000, 95_000)),
        (CAPPED, None, Limits(160_000, 220_000)),
        (ContextPolicy(rotate_cap_tokens=500), None, Limits(None, 500)),
    ],
)
def test_limits_are_the_fraction_or_the_cap(
    policy: ContextPolicy, usable: int | None, expected: Limits
) -> None:
    """The smaller of the two holds; with an unknown window only caps are left."""
    assert limits(policy, usable) == expected


@pytest.mark.parametrize(
    ("policy", "usable", "rearm", "refilled"),
    [
        (DEFAULT, 200_000, 130_000, 100_000),
        (CAPPED, 1_000_000, 130_000, 100_000),
        (CAPPED, None, 130_000, 100_000),
        (DEFAULT, None, None, None),
        (ContextPolicy(rearm_points=0.9), 1_000, 0, 500),
    ],
)
def test_rearm_and_refill_marks_scale_with_the_limit_in_force(
    policy: ContextPolicy, usable: int | None, rearm: int | None, refilled: int | None
) -> None:
    """Fifteen points and one half of the window, in proportion where a cap decides."""
    assert rearm_at_tokens(policy, usable) == rearm
    assert refilled_above_tokens(policy, usable) == refilled


@pytest.mark.parametrize("window", [100, 1_000, 200_000, 1_000_000, 999_983])
@pytest.mark.parametrize(
    ("percent", "below", "reached"),
    [(79, CONTINUE, CONTINUE), (80, CONTINUE, COMPACT), (94, COMPACT, COMPACT), (95, COMPACT, ROTATE)],
)
def test_the_edges_are_exact(
    window: int, percent: int, below: ContextAction, reached: ContextAction
) -> None:
    """79 % goes on, 80 % compacts, 94 % compacts, 95 % rotates: to the token, in any window."""
    first = -(-percent * window // 100)
    assert decide(usage(first, window=window), DEFAULT) is reached
    assert decide(usage(first - 1, window=window), DEFAULT) is below


@pytest.mark.parametrize(("tokens", "expected"), [(940, CONTINUE), (950, ROTATE)])
def test_a_disarmed_policy_still_rotates(tokens: int, expected: ContextAction) -> None:
    """Waiting to be re-armed holds back compactions only."""
    assert decide(usage(tokens), DEFAULT, armed=False) is expected


@pytest.mark.parametrize(
    ("tokens", "policy", "expected"),
    [
        (10_000_000, DEFAULT, CONTINUE),
        (159_999, CAPPED, CONTINUE),
        (160_000, CAPPED, COMPACT),
        (220_000, CAPPED, ROTATE),
        (500, ContextPolicy(rotate_cap_tokens=500), ROTATE),
    ],
)
def test_with_an_unknown_window_only_caps_decide(
    tokens: int, policy: ContextPolicy, expected: ContextAction
) -> None:
    """However many tokens: without a window and a cap nothing is done."""
    assert decide(usage(tokens, window=None), policy) is expected


def test_no_reading_is_no_reason_to_act() -> None:
    """Unknown goes on, and says that it is unknown."""
    assert decide(None, CAPPED) is CONTINUE
    assert fill(None, CAPPED) is None
    assert fill_in_percent(None, CAPPED) == "unknown"


def test_fill_is_of_the_usable_window() -> None:
    """The auto-compact trigger counts as full, and an unknown window has no fill."""
    policy = ContextPolicy(auto_compact_tokens=500)
    assert usable_of(usage(400), policy) == 500
    assert fill(usage(400), policy) == 0.8
    assert fill(usage(600), policy) == 1.2
    assert fill(usage(400, window=None), policy) is None
    assert fill_in_percent(usage(400), policy) == "80.0 % of 500 tokens"
    assert fill_in_percent(usage(400, window=None), policy) == "400 tokens of an unknown window"


@given(
    tokens=st.integers(0, 2_000_000),
    more=st.integers(0, 100_000),
    window=st.none() | st.integers(1, 1_500_000),
    cap=st.none() | st.integers(1, 1_500_000),
)
def test_more_tokens_never_ask_for_less(
    tokens: int, more: int, window: int | None, cap: int | None
) -> None:
    """The action only sharpens as the context grows."""
    policy = ContextPolicy(compact_cap_tokens=cap)
    order = [CONTINUE, COMPACT, ROTATE]
    low, high = (decide(usage(t, window=window), policy) for t in (tokens, tokens + more))
    assert order.index(low) <= order.index(high)
