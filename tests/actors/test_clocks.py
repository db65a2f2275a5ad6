"""The steady clock starts at the wall's time and never jumps with it."""

from datetime import UTC, datetime, timedelta

from coordinator.actors.clocks import SteadyClock, utc_now


def test_the_wall_being_set_changes_nothing() -> None:
    """After the first call only the monotonic clock moves it."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    wall, elapsed_s = [start], [10.0]
    clock = SteadyClock(lambda: wall[0], lambda: elapsed_s[0])
    assert clock() == start
    wall[0] += timedelta(days=400)
    elapsed_s[0] += 2.5
    assert clock() == start + timedelta(seconds=2.5)


def test_the_wall_clock_is_in_utc() -> None:
    """Instants are aware and in UTC."""
    assert utc_now().tzinfo is UTC
