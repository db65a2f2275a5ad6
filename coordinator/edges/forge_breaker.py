"""A circuit breaker: whether a forge that failed repeatedly is worth another request now.

Closed, every request goes. After several failures in a row it opens: no request goes for a pause. After
the pause it is half-open: one request goes as a probe, whose outcome closes it or opens it for longer.
Pure: instants (seconds of any monotonic clock) and chance come in, the next breaker comes out.
"""

from dataclasses import dataclass, field, replace

from coordinator.edges.gitea_remote_wire import BreakerState
from coordinator.rules.backoff import backoff_s

__all__ = ["Breaker", "BreakerPace"]


@dataclass(frozen=True, slots=True)
class BreakerPace:
    """How soon it opens, and how long it stays so.

    Five failures in a row are no coincidence, yet one call with its retries cannot open it alone. A
    second's pause lets a restart pass unseen; after a minute's pause the sweep still finds everything.
    """

    max_failures: int = 5
    min_pause_s: float = 1.0
    max_pause_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row and what they mean. `culprits` are the places that the forge itself answered
    for with an error of its own: however often one place fails, it counts once, since a single broken
    repository must not shut out all others."""

    pace: BreakerPace = field(default_factory=BreakerPace)
    failures: int = 0
    last_error: str = ""
    culprits: frozenset[str] = frozenset()
    openings: int = 0
    open_until: float | None = None
    is_probing: bool = False

    def state(self, now: float) -> BreakerState:
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half-open"

    def wait_s(self, now: float) -> float | None:
        """None: a request may go. Else the seconds after which to ask again."""
        match self.state(now):
            case "closed":
                return None
            case "open":
                return (self.open_until or now) - now
            case _:
                # Somebody else's probe is on its way; its outcome is not far.
                return self.pace.min_pause_s if self.is_probing else None

    def sent(self, now: float) -> "Breaker":
        """A request goes; in the half-open state it is the probe."""
        return replace(self, is_probing=True) if self.state(now) == "half-open" else self

    def called_off(self) -> "Breaker":
        """The probe ended without an outcome (cancelled): the next request is one again."""
        return replace(self, is_probing=False)

    def succeeded(self) -> "Breaker":
        """Any answer of the forge's own, however late: it lives."""
        return Breaker(self.pace, last_error=self.last_error)

    def failed(
        self,
        now: float,
        error: str,
        *,
        is_probe: bool,
        culprit: str | None = None,
        retry_after_s: float | None = None,
        jitter: float = 0.0,
    ) -> "Breaker":
        """A failure of a request. Those still under way when it opened change no pause.

        `retry_after_s` is the forge's own wish and can lengthen the pause; `jitter` is drawn from 0..1
        and shortens it by up to a quarter.
        """
        told = replace(self, last_error=error)
        if culprit is None or culprit not in self.culprits:
            known = self.culprits if culprit is None else self.culprits | {culprit}
            told = replace(told, failures=self.failures + 1, culprits=known)
        is_due = told.failures >= self.pace.max_failures and self.open_until is None
        if not is_due and not (is_probe and self.open_until is not None):
            return told
        pause_s = self._pause_s(retry_after_s, jitter)
        return replace(told, openings=self.openings + 1, open_until=now + pause_s, is_probing=False)

    def _pause_s(self, retry_after_s: float | None, jitter: float) -> float:
        min_s, max_s = self.pace.min_pause_s, self.pace.max_pause_s
        pause_s = backoff_s(self.openings + 1, min_s, max_s, jitter=jitter)
        return max(pause_s, min(retry_after_s or 0.0, max_s))
