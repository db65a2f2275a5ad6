"""A stage for actors: a real journal file, a real tree, and a forge that signs its deliveries."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trio

from coordinator.actors.clocks import utc_now
from coordinator.actors.dependency_tracker import DependencyTracker
from coordinator.actors.dispatcher import Dispatcher
from coordinator.actors.monitor import Monitor
from coordinator.actors.parser import Parser
from coordinator.actors.router import Router
from coordinator.demo.payloads import ForgeWorld, SignedDelivery
from coordinator.edges.driver_external import ExternalDriver
from coordinator.edges.drivers import Driver
from coordinator.edges.journal import Commit, Delivery, Draft, Receipt, Stored
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.rules.events import AgentObserved, Event
from coordinator.rules.fleet import AgentSpec, Fleet
from coordinator.rules.ids import AgentName, DeliveryId, Login
from coordinator.runtime import ChildSpec, Tree, child, open_tree, supervisor, task
from tests.fakes.patient_journal import patient_journal

__all__ = ["FLEET", "SECRET", "Stage", "spec_of", "stage"]

SECRET = b"stage-secret"
POOL = Login("coder-bot")
FLEET = Fleet((AgentSpec(AgentName("sonnet-1"), Login("claude-sonnet")),), (POOL,))
PATIENCE_S = 60.0

E = TypeVar("E")


def new_forge() -> ForgeWorld:
    return ForgeWorld("gitea", SECRET)


@dataclass
class Stage:
    """A running tree over a journal, and what a test needs to talk to both."""

    journal: SqliteJournal
    tree: Tree
    forge: ForgeWorld = field(default_factory=new_forge)

    async def deliver(self, *deliveries: SignedDelivery) -> list[Receipt]:
        return [await self.journal.accept(as_delivery(each)) for each in deliveries]

    async def tell(self, actor: str, *events: Event, delivery: str | None = None) -> None:
        cause = DeliveryId(delivery) if delivery is not None else None
        drafts = tuple(Draft(event, cause) for event in events)
        await self.journal.commit(Commit(actor=actor, at=utc_now(), events=drafts))

    async def events(self) -> list[Stored]:
        return await self.journal.read_events(0, 10_000)

    async def wait_for(self, kind: type[E], wanted: Callable[[E], bool] = lambda event: True) -> E:
        """The first event of the kind that is wanted, waiting for it to be written."""
        seen = 0
        with trio.fail_after(PATIENCE_S):
            while True:
                for stored in await self.journal.read_events(seen, 1_000):
                    seen = stored.seq
                    if isinstance(stored.event, kind) and wanted(stored.event):
                        return stored.event
                await self.journal.wait_past("events", seen)

    async def wait_routed(self, seq: int) -> None:
        """Return once the router's cursor has passed the delivery."""
        with trio.fail_after(PATIENCE_S):
            while await self.journal.cursor("router") < seq:  # noqa: ASYNC110
                await trio.sleep(0.005)

    def agent_up(self, name: str = "sonnet-1") -> AgentObserved:
        return AgentObserved(AgentName(name), "idle", 1_000_000, 1_000_000)


def as_delivery(signed: SignedDelivery) -> Delivery:
    return Delivery(DeliveryId(signed.id), signed.event, signed.event_type, (), signed.body, utc_now())


def spec_of(
    name: str, journal: SqliteJournal, fleet: Fleet = FLEET, driver: Driver | None = None
) -> ChildSpec:
    """The child of the real tree that goes by this id."""
    if name.startswith("monitor:"):
        agent = fleet.agent(AgentName(name.removeprefix("monitor:")))
        assert agent is not None
        watcher = driver if driver is not None else ExternalDriver()
        return child(Monitor, agent, journal, watcher, _no_window, utc_now, id=name)
    if name == "parser":
        return child(Parser, journal, fleet, None, id=name, model="rules")
    actors = {
        "router": Router,
        "dependency-tracker": DependencyTracker,
        "dispatcher": Dispatcher,
    }
    return child(actors[name], journal, fleet, id=name)


async def _no_window(model: str) -> None:
    return None


@asynccontextmanager
async def stage(
    path: Path,
    names: Sequence[str] = (),
    *,
    fleet: Fleet = FLEET,
    extra: Callable[[SqliteJournal], Sequence[ChildSpec]] = lambda journal: (),
) -> AsyncIterator[Stage]:
    """Run the named actors over the journal in `path`; leaving stops them in order."""
    journal = patient_journal(path / "journal.sqlite3")
    tree = supervisor(
        "root",
        task(journal.serve, id="journal"),
        supervisor(
            "actors", *(spec_of(name, journal, fleet) for name in names), *extra(journal), intensity=20
        ),
        strategy="rest_for_one",
    )
    async with open_tree(tree) as running:
        yield Stage(journal, running)
