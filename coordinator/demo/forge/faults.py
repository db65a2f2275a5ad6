"""What can go wrong with deliveries and answers, by chance with a seed or for the next few.

Every decision is drawn when a letter is queued or a request comes, in that order, so that the same
seed and the same actions give the same faults.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

__all__ = ["AnswerFault", "AnswerFaults", "DeliveryFault", "DeliveryFaults", "Mishap"]

DeliveryFault = Literal["lose", "delay", "duplicate", "reorder", "truncate", "missign"]
Mishap = Literal["slow", "status", "html", "truncate", "cut", "reset", "hang"]

_ORDER: tuple[DeliveryFault, ...] = ("lose", "delay", "duplicate", "reorder", "truncate", "missign")


@dataclass(slots=True)
class DeliveryFaults:
    """Which deliveries suffer what. Probabilities from 0 to 1 per kind; `next` overrides them."""

    chances: dict[DeliveryFault, float] = field(default_factory=dict)
    delay_s: tuple[float, float] = (0.05, 0.5)
    _random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - faults, not keys
    _next: dict[DeliveryFault, int] = field(default_factory=dict)

    def seed(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311

    def next(self, kind: DeliveryFault, count: int = 1) -> None:
        """The next so many deliveries suffer this, whatever the chances say."""
        self._next[kind] = self._next.get(kind, 0) + count

    def clear(self) -> None:
        self.chances.clear()
        self._next.clear()

    def draw(self) -> tuple[DeliveryFault, ...]:
        """What the next delivery suffers; one that is lost suffers nothing else."""
        struck = tuple(kind for kind in _ORDER if self._strikes(kind))
        return ("lose",) if "lose" in struck else struck

    def draw_delay(self) -> float:
        return self._random.uniform(*self.delay_s)

    def _strikes(self, kind: DeliveryFault) -> bool:
        if self._next.get(kind):
            self._next[kind] -= 1
            return True
        chance = self.chances.get(kind, 0.0)
        return chance > 0 and self._random.random() < chance


@dataclass(slots=True)
class AnswerFault:
    """One way to answer badly: "slow" waits `delay_s` first, "status" answers `status` with `headers`,
    "html" is a page with a 200, "truncate" JSON that ends in the middle, "cut" a connection that does,
    "reset" one that is reset before the answer, "hang" says nothing.

    `route` is part of "METHOD /path/template" it applies to; `times` None means until cleared;
    `after` carries the request out first, so that only its answer is lost; "slow", "truncate" and
    "cut" always do.
    """

    mishap: Mishap
    route: str = ""
    times: int | None = 1
    chance: float = 1.0
    after: bool = False
    status: int = 503
    delay_s: float = 1.0
    headers: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class AnswerFaults:
    """The bad answers in waiting; the first that applies is used."""

    waiting: list[AnswerFault] = field(default_factory=list)
    _random: Random = field(default_factory=lambda: Random(0))  # noqa: S311

    def seed(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311

    def add(self, fault: AnswerFault) -> None:
        self.waiting.append(fault)

    def clear(self) -> None:
        self.waiting.clear()

    def take(self, route: str) -> AnswerFault | None:
        for fault in self.waiting:
            if fault.route not in route or self._random.random() >= fault.chance:
                continue
            if fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    self.waiting.remove(fault)
            return fault
        return None
