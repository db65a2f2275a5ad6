"""What the actors did, added up from the runtime's hooks: the numbers behind /metrics.

The agents' monitors share one label, for there may be a thousand of them; all other ids are the
tree's own and few, so that the number of series is bounded.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

from coordinator.runtime import BlockedReport, CrashReport, DeadLetterReport

__all__ = ["BUCKETS_S", "MONITOR", "ActorTally", "Histogram", "Tally", "label_of"]

# From a handler that only counts to one that waits for a model, about ×5 apart: enough to see a shift.
BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
# How the agents' monitors are called in the tree, each with its agent's name behind it.
MONITOR = "monitor:"
_MONITORS = "monitors"


def label_of(id_: str) -> str:
    """The label an actor is counted under."""
    return _MONITORS if id_.startswith(MONITOR) else id_


class Histogram:
    """Durations by upper bound; `counts` has one more place than bounds, for what is longer still."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds


@dataclass(slots=True)
class ActorTally:
    """The counts under one label."""

    handle_s: Histogram = field(default_factory=Histogram)
    wait_s: Histogram = field(default_factory=Histogram)
    crashes: int = 0
    restarts: int = 0
    dead_letters: int = 0
    dropped_messages: int = 0


class Tally:
    """Its methods are hooks of the runtime; `blocked` alone is called from another thread."""

    def __init__(self) -> None:
        self.actors: dict[str, ActorTally] = {}
        self.loop_blocked = 0

    def handled(self, id_: str, _message: object, seconds: float, waited_s: float, _depth: int) -> None:
        counted = self._of(id_)
        counted.handle_s.add(seconds)
        counted.wait_s.add(waited_s)

    def crashed(self, report: CrashReport) -> None:
        self._of(report.id).crashes += 1

    def restarted(self, id_: str, _incarnation: int) -> None:
        self._of(id_).restarts += 1

    def dead_letter(self, report: DeadLetterReport) -> None:
        self._of(report.id).dead_letters += 1

    def dropped(self, id_: str, _message: object) -> None:
        self._of(id_).dropped_messages += 1

    def blocked(self, _report: BlockedReport) -> None:
        self.loop_blocked += 1

    def _of(self, id_: str) -> ActorTally:
        label = label_of(id_)
        counted = self.actors.get(label)
        if counted is None:
            counted = self.actors[label] = ActorTally()
        return counted
