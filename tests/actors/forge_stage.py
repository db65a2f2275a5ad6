"""A router that reads a real forge on loopback, and the letters of that forge to deliver at will."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.router import Router
from coordinator.edges.forge_breaker import BreakerPace
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.journal import Delivery
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.rules.facts import IssueFacts
from coordinator.rules.ids import DeliveryId, IssueRef
from coordinator.rules.routing import KnownIssues
from coordinator.runtime import child
from tests.actors.stage import FLEET, PATIENCE_S, Stage, stage
from tests.fakes.forge import BOT, REPO, VirtualClock, furnish, open_forge
from tests.fakes.forge import Forge as FakeForge

__all__ = ["BOT", "ISSUE", "REPO", "SOON_OPEN", "Scene", "again", "fake_forge", "scene"]

ISSUE = "GET /repos/{owner}/{repo}/issues/{index}"
# What fails fails at once, and is tried again by the router alone.
ONCE = RetryPace(attempts=1)
NEVER_OPEN = BreakerPace(max_failures=1_000)
SOON_OPEN = BreakerPace(max_failures=2, min_pause_s=0.4)


@asynccontextmanager
async def fake_forge() -> AsyncIterator[FakeForge]:
    """A furnished forge that writes letters, which nobody sends."""
    async with open_forge("gitea", clock=VirtualClock()) as fake:
        furnish(fake)
        fake.hook(None, "http://127.0.0.1:9/", "secret", events=["issues", "issue_comment"])
        fake.postman.pause()
        yield fake


@dataclass
class Scene:
    """A stage with its forge; `wait` looks at the router until something is so."""

    on: Stage
    fake: FakeForge
    read: int = 0

    def mail(self) -> list[Delivery]:
        """The letters written since the last time, in order."""
        news = self.fake.deliveries[self.read :]
        self.read = len(self.fake.deliveries)
        return [
            Delivery(
                DeliveryId(each.letter.id),
                each.letter.event,
                each.letter.event_type,
                (),
                each.letter.body,
                utc_now(),
            )
            for each in news
        ]

    def later(self, seconds: int = 5) -> None:
        self.fake.data.clock.advance(seconds)  # type: ignore[attr-defined]

    async def accept(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            await self.on.journal.accept(delivery)

    async def deliver(self) -> None:
        """Deliver what was written, and wait until everything asked for is read."""
        await self.accept(self.mail())
        await self.quiet()

    async def quiet(self) -> None:
        """Until every delivery is routed and every read answered."""
        journal = self.on.journal
        with trio.fail_after(PATIENCE_S):
            while await journal.cursor("router") < journal.head("deliveries") or journal.open_orders(  # noqa: ASYNC110
                "router"
            ):
                await trio.sleep(0.01)

    async def outcomes(self) -> list[str | None]:
        return [each.outcome for each in await self.on.journal.read_deliveries(0, 1_000)]

    async def known(self) -> KnownIssues:
        """What the journal tells of the forge, as a restart would know it."""
        known = KnownIssues(FLEET.logins)
        for stored in await self.on.events():
            known.fold(stored.event)
        return known

    async def facts(self, number: int, repo: str = REPO) -> IssueFacts:
        return (await self.known()).facts[IssueRef(repo, number)]

    def state(self) -> dict[str, Any]:
        shown = self.on.tree.get_state("router")
        assert isinstance(shown, dict)
        return shown

    async def until(self, so: Callable[[], bool]) -> None:
        """Until it is so; looked at often."""
        with trio.fail_after(PATIENCE_S):
            while not so():  # noqa: ASYNC110
                await trio.sleep(0.005)

    async def reaches(self, **wanted: object) -> dict[str, Any]:
        """The router's shown state once it holds these values."""
        await self.until(lambda: all(self.state()[key] == value for key, value in wanted.items()))
        return self.state()

    @property
    def requests(self) -> int:
        """How often an issue was read."""
        return self.fake.server.requests[ISSUE]


def again(delivery: Delivery) -> Delivery:
    """The same once more under another id, as a replay or a second hook sends it."""
    return replace(delivery, id=DeliveryId(f"{delivery.id}-again"), body=delivery.body + b" ")


@asynccontextmanager
async def scene(
    path: Path,
    fake: FakeForge,
    *,
    read: int = 0,
    clock: Clock = utc_now,
    breaker: BreakerPace = NEVER_OPEN,
) -> AsyncIterator[Scene]:
    """Run a router over the journal in `path` against the forge."""
    async with Forge(
        fake.url,
        fake.token(BOT),
        trust_env=False,
        pace=ONCE,
        breaker_pace=breaker,
        request_timeout_s=60.0,
        total_timeout_s=60.0,
    ) as client:

        def router(journal: SqliteJournal) -> list[Any]:
            return [child(Router, journal, FLEET, clock, client, id="router")]

        async with stage(path, extra=router) as on:
            yield Scene(on, fake, read)
