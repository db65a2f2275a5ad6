"""Fixtures of the web floor."""

import pytest
import trio.testing


@pytest.fixture
def io_clock() -> trio.testing.MockClock:
    """A virtual clock that waits 50 ms of real silence before it jumps, so that bytes on their way
    through a loopback socket are never overtaken by a time-out."""
    return trio.testing.MockClock(autojump_threshold=0.05)
