"""The dispatcher: the one gate through which every dispatch goes."""

from collections.abc import Iterable

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.coroner import letter_of
from coordinator.actors.follower import MAX_CRASHES, Follower, Output, wake
from coordinator.actors.messages import ExplainIssue, ListIssues
from coordinator.edges.journal import Committed, Draft, Journal, OrderClosed, OrderDraft, Stored
from coordinator.edges.snapshot_wire import dump_world, load_world
from coordinator.rules.dispatch import Decision, Gate
from coordinator.rules.events import RunEnded
from coordinator.rules.fleet import Fleet
from coordinator.rules.ids import IssueRef
from coordinator.rules.issue_view import page_of, view_of
from coordinator.rules.orders import AgentOrder

__all__ = ["Dispatcher"]


class Dispatcher(Follower):
    """Every event in; dispatches, withdrawals and reasons out. `explain` asks the same world."""

    name = "dispatcher"

    def __init__(self, journal: Journal, fleet: Fleet, clock: Clock = utc_now) -> None:
        super().__init__(journal, clock)
        self.fleet = fleet
        self.gate = Gate(fleet)
        self._buried: set[str] = set()  # told once a life, not at every touch

    def fold(self, stored: Stored) -> None:
        self.gate.fold(stored.event, stored.delivery)

    async def consider(self, stored: Stored, output: Output) -> None:
        self.gate.fold(stored.event, stored.delivery)

    async def conclude(self, output: Output) -> None:
        for decision in self.gate.decide(lambda ref: self._admits(ref, output)):
            self._add(decision, output)
        self.context.working_on(None)

    def replayed(self) -> None:
        self.gate.restored()

    async def caught_up(self, output: Output) -> None:
        for decision in self.gate.orphans("its agent is configured no more"):
            self._add(decision, output)
            output.closed += self._orders_of(decision)
        self.gate.recheck()

    async def perform(self, committed: Committed) -> None:
        for agent in {each.target.removeprefix("agent:") for each in committed.opened}:
            if agent in self.gate.world.agents:  # else its runs are about to be ended as orphans
                wake(self.context.whereis(f"monitor:{agent}"))

    async def answer(self, message: object) -> object:
        match message:
            case ExplainIssue(issue=issue):
                return view_of(issue, self.gate.world)
            case ListIssues():
                return page_of(
                    self.gate.world,
                    after=message.after,
                    limit=message.limit,
                    state=message.state,
                    every=message.every,
                )
            case _:
                return await super().answer(message)

    def save(self) -> bytes:
        return dump_world(self.gate.world)

    def load(self, state: bytes) -> None:
        self.gate.adopt(load_world(state, self.fleet))

    def inspect(self) -> object:
        followed = super().inspect()
        assert isinstance(followed, dict)
        world = self.gate.world
        return followed | {
            "issues": len(world.issues),
            "queue": [str(ref) for ref in sorted(self.gate.queue)[:20]],
            "queued": len(self.gate.queue),
            "agents": {
                agent.name: {"status": agent.status, "running": [str(run) for run in agent.running]}
                for agent in list(world.agents.values())[:50]
            },
        }

    def _admits(self, ref: IssueRef, output: Output) -> bool:
        """Charge a crash to the issue being assessed; one that crashed us twice is passed over."""
        item = f"assess {ref}"
        crashes = self.context.crashes_of(item)
        if len(crashes) >= MAX_CRASHES:
            if item not in self._buried:
                self._buried.add(item)
                output.dead_letters.append(letter_of(self.name, None, item, crashes))
            return False
        self.context.working_on(item)
        return True

    def _orders_of(self, orphan: Decision) -> Iterable[OrderClosed]:
        """The orders nobody will answer: left open, an agent of that name configured again would take
        up a run that has ended."""
        ended = [event for event in orphan.events if isinstance(event, RunEnded)]
        for run, agent in [(event.run, event.agent) for event in ended]:
            for stored in self.journal.open_orders(f"agent:{agent}"):
                if isinstance(stored.order, AgentOrder) and stored.order.run == run:
                    yield OrderClosed(stored.id, "withdrawn", "its agent is configured no more")

    def _add(self, decision: Decision, output: Output) -> None:
        output.events += [Draft(event, decision.cause) for event in decision.events]
        for order in decision.orders:
            assert isinstance(order, AgentOrder)
            output.opened.append(OrderDraft(order, f"agent:{order.agent}", decision.cause))
