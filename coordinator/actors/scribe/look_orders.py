"""Orders to look at our comment: open until it was looked at, so that no end of a life loses one."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from coordinator.rules.ids import IssueRef

__all__ = ["LookOrders"]


@dataclass(slots=True)
class LookOrders:
    """Which of them this life has heeded. Mutable, owned by one actor."""

    _heeded: dict[int, IssueRef] = field(default_factory=dict)

    def heed(self, order_id: int, ref: IssueRef) -> bool:
        """Whether it is a new one; it is to be closed once its look is done."""
        is_new = order_id not in self._heeded
        self._heeded[order_id] = ref
        return is_new

    def of(self, ref: IssueRef) -> tuple[int, ...]:
        """Those that a look at the comment answers if it begins now."""
        return tuple(order_id for order_id, each in self._heeded.items() if each == ref)

    def close(self, order_ids: Iterable[int]) -> list[int]:
        """They are over; those of them that were not before."""
        return [each for each in order_ids if self._heeded.pop(each, None) is not None]
