"""Everything a decision of the router writes, gathered until it is committed as one."""

from dataclasses import dataclass, field
from datetime import datetime

from coordinator.edges.journal import (
    Commit,
    DeadLetter,
    DeliveryOutcome,
    Draft,
    OrderClosed,
    OrderDraft,
)
from coordinator.rules.events import IssueObserved
from coordinator.rules.ids import DeliveryId
from coordinator.rules.routing import Routed

__all__ = ["Sheet"]


@dataclass(slots=True)
class Sheet:
    """Lists that only grow, in the order of the decisions."""

    events: list[Draft] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    opened: list[OrderDraft] = field(default_factory=list)
    closed: list[OrderClosed] = field(default_factory=list)
    outcomes: list[DeliveryOutcome] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)

    def __bool__(self) -> bool:
        lists = (self.events, self.opened, self.closed, self.outcomes, self.dead_letters)
        return any(lists)

    def add(self, routed: Routed, delivery: DeliveryId | None, text: str) -> None:
        """What an observation changed; `text` is what it was read with."""
        self.events += [Draft(event, delivery) for event in routed.events]
        if isinstance(routed.event, IssueObserved):
            self.texts[routed.event.facts.text_key] = text

    def close(self, order_ids: tuple[int, ...], result: str, detail: str) -> None:
        """These orders are carried out."""
        self.closed += [OrderClosed(each, result, detail) for each in order_ids]

    def commit(
        self, actor: str, at: datetime, *, cursor: int | None = None, expected: int | None = None
    ) -> Commit:
        """All of it as one transaction."""
        return Commit(
            actor=actor,
            at=at,
            events=tuple(self.events),
            texts=self.texts,
            opened=tuple(self.opened),
            closed=tuple(self.closed),
            outcomes=tuple(self.outcomes),
            dead_letters=tuple(self.dead_letters),
            cursor=cursor,
            expected_cursor=expected,
        )
