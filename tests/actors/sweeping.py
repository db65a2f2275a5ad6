"""A stage for the sweeper: a real router and journal, and a forge whose deliveries are all lost."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.messages import DescribeReads, KnownOf, Refresh
from coordinator.actors.router import Router
from coordinator.actors.sweeper import Sweeper
from coordinator.edges.forge_breaker import BreakerPace
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.journal import Stored
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.rules.events import IssueObserved
from coordinator.rules.orders import RunCommand
from coordinator.runtime import Tree, child, open_tree, supervisor, task
from tests.actors.stage import FLEET
from tests.fakes import forge as fakes
from tests.fakes.forge import REPO, VirtualClock, furnish
from tests.fakes.patient_journal import patient_journal

PATIENCE_S = 60.0
# So long that nothing is swept by itself a second time.
SELDOM_S = 3_600.0


@dataclass
class Watch:
    """A running router and sweeper over a journal, beside a fake forge."""

    forge: fakes.Forge
    clock: VirtualClock
    journal: SqliteJournal
    tree: Tree

    def state(self, actor: str = "sweeper") -> dict[str, Any]:
        state = self.tree.get_state(actor)
        return dict(state) if isinstance(state, dict) else {}

    async def until(self, claim: Any) -> None:
        with trio.fail_after(PATIENCE_S):
            while not claim():  # noqa: ASYNC110
                await trio.sleep(0.005)

    async def swept(self) -> None:
        """A sweep of everything that was watched is over, and what it asked for is read."""
        await self.until(lambda: self.state().get("last_at") is not None)
        await self.read()

    async def read(self) -> None:
        with trio.fail_after(PATIENCE_S):
            while (await self.tree.ref("router").call(DescribeReads())).pending:  # noqa: ASYNC110
                await trio.sleep(0.005)

    async def refresh(self, repo: str | None = None) -> int:
        """Ask for a sweep, and wait until it is over and read. The forge's clock goes on beforehand, so
        that whatever was done is settled."""
        self.clock.advance(60)
        before = self.state().get("last_at")
        asked = await self.tree.ref("sweeper").call(Refresh(repo))
        await self.until(lambda: self.state().get("last_at") not in (None, before))
        await self.read()
        return int(asked)

    async def events(self) -> list[Stored]:
        return await self.journal.read_events(0, 10_000)

    async def missed(self) -> list[tuple[int, tuple[str, ...]]]:
        events = [each.event for each in await self.events()]
        return [
            (each.facts.ref.number, each.missed)
            for each in events
            if isinstance(each, IssueObserved) and each.missed
        ]

    async def known(self, repo_id: int) -> list[int]:
        known = await self.tree.ref("router").call(KnownOf(repo_id))
        return [ref.number for ref in known.refs]

    def commands(self) -> list[int]:
        orders = (each.order for each in self.journal.open_orders("scribe"))
        return [each.comment_id for each in orders if isinstance(each, RunCommand)]


@asynccontextmanager
async def coordinator(
    path: Path,
    forge: fakes.Forge,
    clock: VirtualClock,
    token: str,
    *,
    repositories: str | Sequence[str] = (REPO,),
    interval_s: float = SELDOM_S,
    wall: Clock = utc_now,
    client: type[Forge] = Forge,
) -> AsyncIterator[Watch]:
    journal = patient_journal(path / "journal.sqlite3")
    asking = client(
        forge.url,
        token,
        trust_env=False,
        pace=RetryPace(attempts=1),
        breaker_pace=BreakerPace(max_failures=2, min_pause_s=0.05, max_pause_s=0.1),
    )
    watched = repositories if isinstance(repositories, str) else tuple(repositories)
    spec = supervisor(
        "root",
        task(journal.serve, id="journal"),
        child(Router, journal, FLEET, wall, id="router", forge=asking),
        child(
            Sweeper,
            journal,
            FLEET,
            asking,
            id="sweeper",
            repositories=watched,
            interval_s=interval_s,
            clock=wall,
            refresh_pace_s=0.001,
        ),
        strategy="rest_for_one",
    )
    async with asking, open_tree(spec) as tree:
        yield Watch(forge, clock, journal, tree)


@asynccontextmanager
async def fresh(path: Path, product: Any = "gitea", **options: Any) -> AsyncIterator[Watch]:
    """A forge with one repository, and a coordinator that has swept it once."""
    clock = VirtualClock()
    async with fakes.open_forge(product, clock=clock) as forge:
        token = furnish(forge)
        forge.open(REPO, "The first", assignees=["coder-bot"])
        clock.advance(60)
        async with coordinator(path, forge, clock, token, **options) as watch:
            await watch.swept()
            yield watch
