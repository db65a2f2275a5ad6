"""What the scribe's own jobs and timers tell it: results to be committed by the scribe itself."""

from dataclasses import dataclass, field

from coordinator.actors.scribe.clerk import Answer
from coordinator.actors.scribe.pen import Outcome
from coordinator.rules.ids import IssueRef
from coordinator.rules.written import Part
from coordinator.runtime import Cast

__all__ = ["CommandDone", "LookAround", "Touched", "Wrote"]


@dataclass(frozen=True, slots=True)
class LookAround(Cast):
    """Something may be due: a hint, as `Wake` is."""


@dataclass(frozen=True, slots=True)
class Touched(Cast):
    """These issues say at the forge what they should not."""

    refs: tuple[IssueRef, ...]


@dataclass(frozen=True, slots=True)
class Wrote(Cast):
    """An issue was looked at. `outcome` is None when nothing was to be written; `is_early`: its view
    could not be had yet. `keys` are what the parts were to say, `look` those that were looked at though
    nothing was known to be wrong, `orders` the ids of those that had asked for it."""

    ref: IssueRef
    outcome: Outcome | None = field(default=None, repr=False)
    keys: tuple[tuple[Part, str], ...] = ()
    look: frozenset[Part] = frozenset()
    in_full: bool = False
    is_early: bool = False
    orders: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandDone(Cast):
    """A command was judged; without an answer it is tried again, at the earliest in `wait_s`."""

    order_id: int
    answer: Answer | None = field(default=None, repr=False)
    error: str = ""
    wait_s: float = 0.0
