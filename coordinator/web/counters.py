"""What the web floor counts: plain numbers for /health, owned by whoever assembles the server."""

from dataclasses import asdict, dataclass

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Counts since the process began; `connections_open` alone goes down again.

    `connections_failed` are conversations an unexpected error ended, `connections_lost` those whose
    peer vanished, `connections_evicted` idle ones closed to make room, `stalled_writes` clients that
    did not read in time.
    """

    accepted: int = 0
    duplicates: int = 0
    ignored: int = 0
    rejected: int = 0
    signature_failures: int = 0
    unavailable: int = 0
    internal_errors: int = 0
    connections_open: int = 0
    connections_total: int = 0
    connections_refused: int = 0
    connections_evicted: int = 0
    connections_failed: int = 0
    connections_lost: int = 0
    stalled_writes: int = 0

    def connections(self) -> dict[str, int]:
        """The counters of the server layer, by their names without the prefix."""
        prefix = "connections_"
        counts = {name.removeprefix(prefix): n for name, n in asdict(self).items() if prefix in name}
        return counts | {"stalled_writes": self.stalled_writes}
