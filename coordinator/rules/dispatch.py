"""The one gate: which issues are dispatched, withdrawn or re-explained after the world has changed.

`Gate` holds the world and the queue of issues that wait for a slot. Its decisions are applied to the
world as they are made, so that two decisions in one pass never give the same slot twice.
"""

from collections.abc import Callable
from dataclasses import dataclass

from coordinator.rules.assess import Assessment, assess, fingerprint, priority
from coordinator.rules.assignment import Choice
from coordinator.rules.events import (
    AgentObserved,
    Event,
    IssueAssessed,
    IssueDispatched,
    RunEnded,
    WithdrawalRequested,
)
from coordinator.rules.fleet import Fleet
from coordinator.rules.ids import DeliveryId, IssueRef, Login, RunId
from coordinator.rules.orders import CancelRun, Order, StartRun
from coordinator.rules.world import AgentRecord, IssueRecord, RunRecord, World

__all__ = ["Decision", "Gate"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One issue's consequences: events in the order they happened, the orders they open, and the
    newest delivery that touched the issue."""

    cause: DeliveryId | None
    events: tuple[Event, ...]
    orders: tuple[Order, ...] = ()


class Gate:
    """The world, and who waits in it for what."""

    def __init__(self, fleet: Fleet) -> None:
        self.world = World(fleet)
        self._pool = frozenset(fleet.pool_logins)
        self.queue: set[IssueRef] = set()
        self._touched: set[IssueRef] = set()
        self._slots_changed = False
        self._agents_changed = False

    def adopt(self, world: World) -> None:
        """Start from a world restored from a snapshot."""
        self.world = world
        self.queue = {
            ref
            for ref, record in world.issues.items()
            if record.assessed is not None and record.assessed.state == "ready"
        }

    def fold(self, event: Event, cause: DeliveryId | None = None) -> None:
        """Take an event in and remember which issues have to be looked at again; `cause` is the
        delivery it goes back to."""
        agents = self.world.agents
        before = _offer(agents.get(event.agent)) if isinstance(event, AgentObserved) else None
        touched = self.world.apply(event)
        self._touched.update(touched)
        if cause is not None:
            for ref in touched:
                self.world.issues[ref].cause = cause
        match event:
            case IssueAssessed(ref=ref, state=state):
                self._enqueue(ref, state)
            case RunEnded():
                self._slots_changed = True
            case AgentObserved(agent=name) if _offer(agents.get(name)) != before:
                self._agents_changed = True

    def restored(self) -> None:
        """Forget what replayed history touched: it was decided on when it was new."""
        self._touched.clear()
        self._slots_changed = self._agents_changed = False

    def recheck(self) -> None:
        """Look at every issue again: the fleet or the policy may differ from the last life's."""
        self._touched |= {ref for ref, record in self.world.issues.items() if record.assessed}

    def decide(self, admit: Callable[[IssueRef], bool] = lambda ref: True) -> list[Decision]:
        """Everything that follows from what was folded, in queue order; [] when nothing does.

        `admit` is asked before each issue; False passes it over until it is touched again.
        """
        touched, waiting, by_room = self._due()
        room = self._room()
        decisions = []
        full: set[object] = set()
        for ref in sorted(touched | waiting, key=self._rank):
            record = self.world.issues[ref]
            if by_room and ref in waiting and not (room and self._suits(record, room)):
                continue
            kind = self._kind(record)
            if (ref in waiting and kind in full) or not admit(ref):
                continue
            decision, waits = self._decide_one(ref)
            if waits:
                full.add(kind)
            if decision.orders:
                room = self._room()
            if decision.events:
                decisions.append(decision)
        return decisions

    def orphans(self, now_detail: str) -> list[Decision]:
        """End the runs of agents that are configured no more; nobody else can."""
        lost = []
        for record in self.world.issues.values():
            run = record.run
            if run is not None and run.is_open and run.dispatched.agent not in self.world.agents:
                ended = _orphaned(run, now_detail)
                self.fold(ended)
                lost.append(Decision(record.cause, (ended,)))
        return lost

    def _due(self) -> tuple[set[IssueRef], set[IssueRef], bool]:
        """What was touched, who waits for what has changed, and whether only a free slot can help
        those (no agent came, went or changed its size)."""
        touched, self._touched = self._touched, set()
        by_room = not self._agents_changed
        if self._agents_changed:
            touched |= self._unfit()
        waiting = self.queue - touched if self._slots_changed or self._agents_changed else set()
        self._slots_changed = self._agents_changed = False
        return touched, waiting, by_room

    def _room(self) -> set[Login]:
        """The logins of the agents that could take a run now."""
        agents = self.world.agents
        return {
            spec.login
            for spec in self.world.fleet.agents
            if _is_up(agents[spec.name]) and len(agents[spec.name].running) < spec.slots
        }

    def _suits(self, record: IssueRecord, room: set[Login]) -> bool:
        """Whether anybody the issue asks for could take a run now. Ten thousand may wait when a slot
        falls free, so this is asked before the costly question who fits."""
        if assign := record.told.assign:
            spec = self.world.fleet.agent(assign.agent) if assign.agent is not None else None
            return spec is not None and spec.login in room
        ours = record.ours(self.world.logins)
        return not (room.isdisjoint(ours) and self._pool.isdisjoint(ours))

    def _decide_one(self, ref: IssueRef) -> tuple[Decision, bool]:
        world = self.world
        record = world.issues[ref]
        found = assess(ref, world)
        events: list[Event] = []
        orders: list[Order] = []
        if found.withdraw is not None and record.run is not None:
            run = record.run.dispatched
            events.append(WithdrawalRequested(run.run, run.agent, found.withdraw))
            orders.append(CancelRun(run.run, run.agent, found.withdraw))
        elif found.choice is not None:
            dispatched, start = _dispatch(record, found.choice, world)
            events.append(dispatched)
            orders.append(start)
        for event in events:
            world.apply(event)
        if events:
            found = assess(ref, world)
        if _differs(record, found, world):
            assessed = IssueAssessed(ref, found.state, found.reason, found.evidence)
            world.apply(assessed)
            events.append(assessed)
        self._enqueue(ref, found.state)
        return Decision(record.cause, tuple(events), tuple(orders)), ref in self.queue

    def _enqueue(self, ref: IssueRef, state: str) -> None:
        if state == "ready":
            self.queue.add(ref)
        else:
            self.queue.discard(ref)

    def _unfit(self) -> set[IssueRef]:
        return {
            ref
            for ref, record in self.world.issues.items()
            if record.assessed is not None and record.assessed.state == "parked"
        }

    def _rank(self, ref: IssueRef) -> tuple[int, float, IssueRef]:
        facts = self.world.issues[ref].facts
        return (9, 0.0, ref) if facts is None else (priority(facts), facts.created_at.timestamp(), ref)

    def _kind(self, record: IssueRecord) -> object:
        """Queued issues of one kind want the same slots: when one waits, so do those behind it."""
        meta, assign = record.metadata, record.told.assign
        difficulty = meta.difficulty if meta is not None else None
        large = meta.estimated_context_tokens if meta is not None else 0
        pinned = assign.agent if assign is not None else None
        return (record.ours(self.world.logins), difficulty, large, pinned)


def _is_up(agent: AgentRecord) -> bool:
    return agent.status in ("idle", "working")


def _offer(agent: AgentRecord | None) -> object:
    """What the agent means to those who wait: idle or working is known from the slots."""
    return agent and ("up" if _is_up(agent) else agent.status, agent.usable_tokens)


def _dispatch(record: IssueRecord, choice: Choice, world: World) -> tuple[IssueDispatched, StartRun]:
    facts, meta = record.facts, record.metadata
    assert facts is not None
    assert meta is not None
    generation = record.run.dispatched.run.generation + 1 if record.run is not None else 1
    run = RunId(facts.ref, generation)
    print_, episode = fingerprint(record, world)
    estimate = meta.estimated_context_tokens
    dispatched = IssueDispatched(
        run=run,
        agent=choice.agent,
        fingerprint=print_,
        episode=episode,
        basis_at=facts.updated_at,
        estimated_context_tokens=estimate,
        expected_cost_usd=choice.expected_cost_usd,
        text_key=facts.text_key,
        wish_id=record.told.newest_id,
    )
    start = StartRun(
        run=run,
        agent=choice.agent,
        title=facts.title,
        html_url=facts.html_url,
        summary=meta.summary,
        estimated_context_tokens=estimate,
    )
    return dispatched, start


def _differs(record: IssueRecord, now: Assessment, world: World) -> bool:
    before = record.assessed
    if now.reason == "judging":
        return False  # over within milliseconds; telling it would only double the timeline
    if before is None:
        return bool(record.ours(world.logins))
    return (before.state, before.reason, before.evidence) != (now.state, now.reason, now.evidence)


def _orphaned(run: RunRecord, detail: str) -> RunEnded:
    return RunEnded(
        run=run.dispatched.run,
        agent=run.dispatched.agent,
        outcome="withdrawn",
        detail=detail,
        sessions=run.sessions,
        compactions=run.compactions,
        rotations=run.sessions - 1,
        peak_tokens=run.peak_tokens,
        estimated_context_tokens=run.dispatched.estimated_context_tokens,
    )
