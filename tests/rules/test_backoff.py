"""Pauses grow, end growing, and can be spread."""

from coordinator.rules.backoff import MAX_BACKOFF_S, backoff_s


def test_the_pause_after_failures_is_bounded() -> None:
    """It doubles from a second to a minute and stays there, also after more than a float can count."""
    assert [backoff_s(n) for n in (1, 2, 3, 7, 8, 5000)] == [1, 2, 4, MAX_BACKOFF_S, 60, 60]


def test_first_and_longest_pause_are_the_callers() -> None:
    """It starts at the one and never passes the other."""
    assert [backoff_s(n, 0.5, 3) for n in (1, 2, 3, 4)] == [0.5, 1, 2, 3]


def test_jitter_only_shortens() -> None:
    """By up to a quarter, also at the bound."""
    assert [backoff_s(9, jitter=jitter) for jitter in (0.0, 0.5, 1.0)] == [60, 52.5, 45]
