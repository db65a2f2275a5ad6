"""What the dispatcher says of issues; who asks while it starts anew is told later."""

from typing import TypeVar

import trio

from coordinator.actors.messages import ExplainIssue, ListIssues
from coordinator.actors.scribe.clerk import NotYet
from coordinator.rules.ids import IssueRef
from coordinator.rules.views import IssuePage, IssueView
from coordinator.runtime import Actor, ActorDown, Call, CallTimeout, MailboxFull

__all__ = ["Inquiry"]

T = TypeVar("T")

# Views asked for at once after a start: some ten milliseconds of the dispatcher's time.
PAGE = 200

_UNREACHABLE = (ActorDown, CallTimeout, MailboxFull)


class Inquiry:
    """The dispatcher as one actor asks it."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    async def explain(self, ref: IssueRef) -> IssueView | None:
        """One issue's view. NotYet while the dispatcher cannot be asked."""
        try:
            return await self._ask(ExplainIssue(ref))
        except _UNREACHABLE as error:
            raise NotYet(str(error)) from error

    async def page(self, after: IssueRef | None) -> IssuePage:
        """The issues that follow; the dispatcher is waited for."""
        while True:
            try:
                return await self._ask(ListIssues(after, PAGE))
            except _UNREACHABLE:
                await trio.sleep(1.0)

    async def _ask(self, question: Call[T]) -> T:
        answer: T = await self._actor.context.whereis("dispatcher").call(question)
        return answer
