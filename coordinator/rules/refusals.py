"""What a forge has refused to take: left alone while the same is to be said, but not for ever.

Rights are given back, archived repositories are opened again, and nobody tells us.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf

from coordinator.rules.backoff import backoff_s
from coordinator.rules.ids import IssueRef
from coordinator.rules.written import Part, Wish

__all__ = ["Refusals"]

# What was refused is refused again for as long as nobody has done anything about it, and a thousand
# issues may be: five minutes at first, an hour at the last.
RETRY_S = 300.0
MAX_RETRY_S = 3_600.0


@dataclass(frozen=True, slots=True)
class _Refusal:
    key: str
    why: str
    times: int
    until: float


class Refusals:
    """Mutable, owned by one actor. Instants are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._of: dict[IssueRef, dict[Part, _Refusal]] = {}

    def __len__(self) -> int:
        """How many issues do not say what they should."""
        return len(self._of)

    def note(
        self, ref: IssueRef, keys: Mapping[Part, str], refused: Mapping[Part, str], now: float
    ) -> float | None:
        """What became of a write that was to say `keys`, and when to try again what was refused."""
        before = self._of.pop(ref, {})
        noted = {part: refusal for part, refusal in before.items() if part not in keys}
        for part, why in refused.items():
            times = before[part].times + 1 if part in before else 1
            until = now + backoff_s(times, RETRY_S, MAX_RETRY_S)
            noted[part] = _Refusal(keys.get(part, ""), why, times, until)
        if noted:
            self._of[ref] = noted
        return min((noted[part].until for part in refused), default=None)

    def allowed(self, wish: Wish, now: float) -> Wish:
        """The wish, less what would be refused again."""
        for part, refusal in self._of.get(wish.ref, {}).items():
            if wish.key_of(part) == refusal.key and now < refusal.until:
                wish = wish.without(part)
        return wish

    def settle(self, wish: Wish) -> None:
        """What is no longer wanted is not refused any more; `wish` is all that is."""
        refused = self._of.pop(wish.ref, {})
        if kept := {part: each for part, each in refused.items() if wish.key_of(part) is not None}:
            self._of[wish.ref] = kept

    def lift(self) -> tuple[IssueRef, ...]:
        """Somebody may have mended it: all of it may be tried now. The issues, by ref."""
        for parts in self._of.values():
            for part, refusal in parts.items():
                parts[part] = replace(refusal, times=0, until=-inf)
        return tuple(sorted(self._of))

    def forget(self, ref: IssueRef) -> None:
        """There is no such issue any more."""
        self._of.pop(ref, None)

    def shown(self) -> Iterator[tuple[IssueRef, dict[str, str]]]:
        """Which parts of which issues, and why, by ref."""
        for ref, parts in sorted(self._of.items()):
            yield ref, {part: refusal.why for part, refusal in parts.items()}
