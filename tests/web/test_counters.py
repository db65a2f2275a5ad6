"""The counters of the web floor."""

from coordinator.web.counters import Counters


def test_connection_counters_come_by_their_short_names() -> None:
    """Only what is about connections is among them."""
    counts = Counters(accepted=5, connections_open=2, stalled_writes=1).connections()
    assert counts == {
        "open": 2,
        "total": 0,
        "refused": 0,
        "evicted": 0,
        "failed": 0,
        "lost": 0,
        "stalled_writes": 1,
    }
