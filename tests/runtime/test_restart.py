"""The arithmetic of restarting, as tables and properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.runtime.restart import (
    Restart,
    Strategy,
    Window,
    backoff_delay_s,
    is_restarted,
    quiet_s,
    sharing_fate,
)


@pytest.mark.parametrize(
    ("restart", "abnormal", "expected"),
    [
        ("permanent", True, True),
        ("permanent", False, True),
        ("transient", True, True),
        ("transient", False, False),
        ("temporary", True, False),
        ("temporary", False, False),
    ],
)
def test_exit_table(restart: Restart, abnormal: bool, expected: bool) -> None:
    """Who is restarted follows OTP's table."""
    assert is_restarted(restart, abnormal=abnormal) is expected


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("one_for_one", []), ("one_for_all", [1, 3, 4]), ("rest_for_one", [3, 4])],
)
def test_strategies(strategy: Strategy, expected: list[int]) -> None:
    """A strategy says which siblings go down with number 2."""
    assert sharing_fate(strategy, 2, [1, 2, 3, 4]) == expected


def test_window_counts_up_to_the_limit() -> None:
    """Intensity 2 allows two restarts in the window and refuses the third."""
    window = Window(2, 5.0)
    assert [window.charge(t) for t in (0.0, 1.0, 2.0)] == [True, True, False]


def test_window_edge_is_inclusive() -> None:
    """A restart exactly one period old still counts; a moment later it does not."""
    window = Window(1, 5.0)
    window.charge(0.0)
    assert window.left(5.0) == 0
    assert window.left(5.001) == 1


def test_the_edge_holds_at_any_time() -> None:
    """Rounding does not let a restart be forgotten early: its time and the period add up to now."""
    for start in (n / 10 for n in range(1, 2000)):
        window = Window(1, 5.0)
        window.charge(start)
        assert not window.charge(start + 5.0), start


def test_intensity_zero_allows_nothing() -> None:
    """The first crash is already one too many."""
    assert not Window(0, 5.0).charge(0.0)


def test_a_cleared_window_is_full_again() -> None:
    """A child that has waited out its fault starts with the whole budget."""
    window = Window(1, 5.0)
    window.charge(0.0)
    window.clear()
    assert window.left(0.0) == 1


@pytest.mark.parametrize(
    ("streak", "expected"),
    [(1, 0.0), (2, 0.1), (3, 0.2), (4, 0.4), (10, 25.6), (11, 30.0), (5000, 30.0)],
)
def test_backoff_doubles_from_the_second_restart(streak: int, expected: float) -> None:
    """The first restart is at once, then the wait doubles up to the cap, without overflow."""
    delay = backoff_delay_s(streak, min_s=0.1, max_s=30.0, jitter=0.2, roll=0.0)
    assert delay == pytest.approx(expected)


@given(st.integers(0, 2000), st.floats(0, 1, exclude_max=True))
def test_backoff_never_passes_its_cap(streak: int, roll: float) -> None:
    """Jitter is added before the cap, so the cap is a promise."""
    assert 0 <= backoff_delay_s(streak, min_s=0.1, max_s=30.0, jitter=0.2, roll=roll) <= 30.0


def test_jitter_adds_its_share() -> None:
    """A roll of one half of a fifth adds a tenth."""
    assert backoff_delay_s(2, min_s=1.0, max_s=30.0, jitter=0.2, roll=0.5) == pytest.approx(1.1)


def test_quiet_time_lies_between_the_bounds() -> None:
    """A row of restarts is forgotten after half of both bounds together."""
    assert quiet_s(min_s=0.1, max_s=30.0) == pytest.approx(15.05)


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(0, 5), st.floats(0.1, 50))
def test_window_agrees_with_counting(gaps: list[float], intensity: int, period_s: float) -> None:
    """The window answers as if all restarts were kept and counted each time."""
    window, seen, now = Window(intensity, period_s), list[float](), 0.0
    for gap in gaps:
        now += gap
        seen.append(now)
        assert window.charge(now) == (sum(t >= now - period_s for t in seen) <= intensity)
