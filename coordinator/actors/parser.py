"""The parser: the text of every issue that concerns us, read into metadata once.

With Claude a parse is an order, durable before it is paid for; at most `concurrency` run at a time, and
the same text in the same repository is never paid for twice. When Claude is away, refuses or
is cut short, the rules stand in and the event says why.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.follower import Follower, Output, drafts, patiently
from coordinator.actors.messages import ParseDone
from coordinator.edges.claude_failures_wire import ParseRefused, ParseUnavailable
from coordinator.edges.journal import Committed, Draft, Journal, OrderClosed, OrderDraft, Stored
from coordinator.edges.snapshot_wire import dump_parses, load_parses
from coordinator.rules.events import (
    IssueBlocked,
    IssueFacts,
    IssueObserved,
    IssueParsed,
    IssueUnblocked,
    ParseCost,
)
from coordinator.rules.fleet import Fleet
from coordinator.rules.grammar import parse_metadata
from coordinator.rules.ids import IssueRef
from coordinator.rules.orders import ParseIssue

if TYPE_CHECKING:
    from coordinator.edges.claude import ClaudeClient

__all__ = ["Parser"]

TARGET = "parser"

# Parsed texts kept for reuse, newest last. At about 1 KB each this is some 20 MB at the most.
CACHE_SIZE = 20_000


class Parser(Follower):
    """`IssueObserved` in, `IssueParsed` out. `claude` None means the rules parser alone."""

    name = "parser"

    def __init__(
        self,
        journal: Journal,
        fleet: Fleet,
        claude: "ClaudeClient | None",
        *,
        model: str,
        concurrency: int = 4,
        deadline_s: float = 120.0,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__(journal, clock)
        self.fleet = fleet
        self.logins = fleet.logins
        self.claude = claude
        self.model = model
        self.concurrency = concurrency
        self.deadline_s = deadline_s
        self.parsed: dict[tuple[str, str], IssueParsed] = {}
        self.read: dict[IssueRef, str] = {}
        self._in_flight: set[int] = set()

    def fold(self, stored: Stored) -> None:
        if isinstance(stored.event, IssueParsed):
            self._remember(stored.event)

    async def consider(self, stored: Stored, output: Output) -> None:
        match stored.event:
            case IssueObserved(facts=facts) if self._wants(facts):
                await self._decide(facts.ref, facts.text_key, stored, output)
            case IssueBlocked() | IssueUnblocked() if self._lacks(stored.event):
                await self._decide(stored.event.ref, stored.event.text_key, stored, output)
            case _:
                pass

    async def perform(self, committed: Committed) -> None:
        self._start_jobs()

    async def caught_up(self, output: Output) -> None:
        self._start_jobs()

    async def answer(self, message: object) -> object:
        match message:
            case ParseDone(order_id=order_id, parsed=parsed):
                await self._finish(order_id, parsed)
                return None
            case _:
                return await super().answer(message)

    def save(self) -> bytes:
        return dump_parses(self.parsed.values())

    def load(self, state: bytes) -> None:
        for parsed in load_parses(state):
            self._remember(parsed)

    def inspect(self) -> object:
        followed = super().inspect()
        assert isinstance(followed, dict)
        return followed | {
            "by": "rules" if self.claude is None else self.model,
            "cached_texts": len(self.parsed),
            "in_flight_orders": sorted(self._in_flight),
            "open_orders": len(self.journal.open_orders(TARGET)),
        }

    def _wants(self, facts: IssueFacts) -> bool:
        ours = facts.state == "open" and not self.logins.isdisjoint(facts.assignees)
        return ours and self.read.get(facts.ref) != facts.text_key

    def _lacks(self, verdict: IssueBlocked | IssueUnblocked) -> bool:
        """Whether one of ours was judged unread: it may have become ours without a word from the forge,
        when the configuration changed. One whose order is open is asked for under the same key."""
        return not verdict.parsed and self.read.get(verdict.ref) != verdict.text_key

    async def _decide(self, ref: IssueRef, text_key: str, stored: Stored, output: Output) -> None:
        known = self.parsed.get((ref.repo, text_key))
        if known is not None and _serves(known, ref):
            parsed = replace(known, ref=ref, by="cache", cost=ParseCost())
        elif self.claude is not None:
            order = ParseIssue(ref, text_key)
            output.opened.append(OrderDraft(order, TARGET, stored.delivery))
            return
        else:
            parsed = await self._by_rules(ref, text_key, None)
        self._remember(parsed)
        output.events += drafts([parsed], stored)

    def _start_jobs(self) -> None:
        for order in self.journal.open_orders(TARGET):
            if len(self._in_flight) >= self.concurrency:
                return
            if order.id not in self._in_flight and isinstance(order.order, ParseIssue):
                self._in_flight.add(order.id)
                name = f"parse {order.order.ref}"
                self.context.spawn(self._job, order.id, order.order, name=name, item=order.order.key)

    async def _job(self, order_id: int, order: ParseIssue) -> None:
        crashes = self.context.crashes_of(order.key)
        if len(crashes) >= 2:
            degraded = f"reading it crashed twice: {crashes[-1].error.type}"
            parsed = await self._by_rules(order.ref, order.text_key, degraded)
        else:
            parsed = await self._by_claude(order)
        await self.context.ref.cast(ParseDone(order_id, parsed))

    async def _by_claude(self, order: ParseIssue) -> IssueParsed:
        text = await patiently(self, partial(self.journal.text, order.text_key))
        if self.claude is None or text is None:
            return await self._by_rules(order.ref, order.text_key, "no text or no Claude at hand")
        try:
            answer = await self.claude.parse_issue(
                text,
                order.ref,
                model=self.model,
                agents=[spec.name for spec in self.fleet.agents],
                deadline_s=self.deadline_s,
            )
        except (ParseUnavailable, ParseRefused) as failed:
            self.log.warning("parse_degraded", issue=str(order.ref), error=str(failed))
            parsed = await self._by_rules(order.ref, order.text_key, str(failed)[:300])
            return replace(parsed, cost=failed.cost)
        return IssueParsed(
            order.ref, order.text_key, answer.metadata, "claude", answer.model, answer.cost
        )

    async def _by_rules(self, ref: IssueRef, text_key: str, degraded: str | None) -> IssueParsed:
        text = await patiently(self, partial(self.journal.text, text_key))
        return IssueParsed(ref, text_key, parse_metadata(text or "", ref), "rules", degraded=degraded)

    async def _finish(self, order_id: int, parsed: IssueParsed) -> None:
        order = next((each for each in self.journal.open_orders(TARGET) if each.id == order_id), None)
        if order is not None:  # else told twice, or read by two lives: the first answer stands
            self._remember(parsed)
            await self.write(
                Output(
                    events=[Draft(parsed, order.delivery)],
                    closed=[OrderClosed(order_id, parsed.by, parsed.degraded or "")],
                )
            )
        self._in_flight.discard(order_id)
        self._start_jobs()

    def _remember(self, parsed: IssueParsed) -> None:
        self.read[parsed.ref] = parsed.text_key
        key = (parsed.ref.repo, parsed.text_key)
        self.parsed.pop(key, None)
        self.parsed[key] = parsed
        if len(self.parsed) > CACHE_SIZE:
            del self.parsed[next(iter(self.parsed))]


def _serves(known: IssueParsed, ref: IssueRef) -> bool:
    """Whether a parse may be used again for this issue: always for its own text come back; for another
    issue with the same text unless the rules had to stand in or it names that issue itself."""
    edges = (*known.metadata.blocks, *known.metadata.blocked_by)
    return known.ref == ref or (known.degraded is None and ref not in edges)
