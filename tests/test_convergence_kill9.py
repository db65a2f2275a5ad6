"""Whenever a real coordinator is killed while it talks to a forge: the next life leaves the world as if
nothing had happened.

The forge is in this process and speaks real HTTP; the coordinator is another process on one data
directory. Lives end by SIGKILL, most of them while the forge has a request of theirs in its hands. What
people do follows from the seed; what the processes make of the time does not, so that no two runs are
the same. More of it: CONVERGENCE_KILL_SEEDS=1-40 KILLS=12; CONVERGENCE_KILL_SHIPPED=1 runs the program
as shipped, which waits for seconds before it writes and takes that much longer.
"""

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx
import pytest
import trio

from bench.coordinator_process import SECRET, CoordinatorProcess, base_environment
from coordinator.config_file import read_fleet
from coordinator.demo.forge import Forge, Hook, Product, open_forge
from coordinator.edges.journal import Stored, StoredDelivery
from coordinator.rules.events import IssueDispatched
from tests.convergence.agreement import Agreement, twice_dispatched
from tests.convergence.killing import MOMENTS, Moment, Trap
from tests.convergence.life import is_busy
from tests.convergence.operations import anything
from tests.convergence.people import REPOSITORIES, ForgeClock, People
from tests.test_kill9 import read_everything

KILLS = int(os.environ.get("KILLS", "4"))
_FIRST, _, _LAST = os.environ.get("CONVERGENCE_KILL_SEEDS", "1-3").partition("-")
SEEDS = range(int(_FIRST), int(_LAST or _FIRST) + 1)
IS_SHIPPED = os.environ.get("CONVERGENCE_KILL_SHIPPED") == "1"
MODULE = ("coordinator", "serve") if IS_SHIPPED else ("tests.convergence.brisk_coordinator",)

# A moment that does not come must not keep anybody: then the life ends here.
LIFE_S = 15.0 if IS_SHIPPED else 5.0
WITHIN_S = 240.0 if IS_SHIPPED else 90.0
UNBORN_S = (0.2, 1.0)
# Between an answer and the death of the one that asked: it may have read it, and told its journal.
SOON_S = 0.03
ACTION_S = (0.01, 0.15)
# Past the moment from which on a sweep leaves changes to their deliveries.
SETTLED_S = 15.0

PRODUCTS: tuple[Product, ...] = ("gitea", "forgejo")
# No common factor with the number of moments: so many kills come to all of them, in a mixed order.
_STRIDE = 7

FLEET = """
[pool]
logins = ["coder-bot"]
[[agents]]
name = "agent-a"
driver = "rehearsal"
slots = 50
[[agents]]
name = "agent-b"
driver = "rehearsal"
slots = 50
"""


@dataclass
class World:
    """A forge with its people and its faults, and the directory on which coordinators live and die."""

    forge: Forge
    clock: ForgeClock
    people: People
    draw: Random
    folder: Path
    token: str
    trap: Trap = field(default_factory=Trap)
    hook: Hook | None = None
    deaths: Counter[str] = field(default_factory=Counter)
    backups: int = 0

    def __post_init__(self) -> None:
        self.forge.server.faults = self.trap
        self.forge.postman.faults.seed(self.draw.randrange(10**6))
        self.forge.postman.faults.delay_s = (0.05, 0.4)
        (self.folder / "coordinator.toml").write_text(FLEET)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @asynccontextmanager
    async def process(self) -> AsyncIterator[CoordinatorProcess]:
        """The next life, perhaps not yet up."""
        environment = base_environment(
            self.folder,
            COORDINATOR_CONFIG=str(self.folder / "coordinator.toml"),
            GITEA_URL=self.forge.url,
            GITEA_TOKEN=self.token,
            GITEA_REPOSITORIES="all",
            SWEEP_INTERVAL="1",
            WRITE_BACK="comment,labels",
        )
        with CoordinatorProcess(
            environment, self.log, command=(sys.executable, "-m", *MODULE)
        ) as process:
            yield process

    @asynccontextmanager
    async def life(self) -> AsyncIterator[CoordinatorProcess]:
        """The next life, up and told of what happens."""
        async with self.process() as process:
            await trio.to_thread.run_sync(process.wait_ready)
            url = f"http://{process.host}:{process.port}/webhook/gitea"
            if self.hook is None:
                self.hook = self.forge.hook(None, url, SECRET.decode())
            self.hook.url = url
            yield process

    # living and dying ---------------------------------------------------------------------------

    async def live(self, moment: Moment) -> None:
        """One life, ended in this moment; people act while it lasts, and after."""
        if moment.fate == "unborn":
            async with self.process() as process:
                await trio.sleep(self.draw.uniform(*UNBORN_S))
                process.kill()
        else:
            async with self.life() as process, trio.open_nursery() as nursery:
                nursery.start_soon(self._act)
                with trio.move_on_after(LIFE_S) as patience:
                    await self._wait_for(moment, process)
                process.kill()
                self.trap.unset()
                nursery.cancel_scope.cancel()
            moment = Moment("", "ever") if patience.cancelled_caught else moment
        self.deaths[str(moment)] += 1
        for _ in range(self.draw.randrange(4)):
            self.people.act(anything(self.draw))

    async def _act(self) -> None:
        while True:
            self.people.act(anything(self.draw))
            self.clock.advance(self.draw.choice((0, 0, 0, 1)))
            await trio.sleep(self.draw.uniform(*ACTION_S))

    async def _wait_for(self, moment: Moment, process: CoordinatorProcess) -> None:
        match moment.fate:
            case "ever":
                await trio.sleep(self.draw.uniform(0, LIFE_S / 2))
            case "heard":
                told = self._told() + self.draw.randrange(1, 20)
                await self.forge.postman.wait_for(lambda: self._told() >= told)
                await trio.sleep(self.draw.uniform(0, SOON_S))
            case _:
                self.trap.set(moment, process.kill, spared=self.draw.choice((0, 0, 1, 2, 5)))
                await self.trap.sprung.wait()
                if moment.fate == "answered":
                    await trio.sleep(self.draw.uniform(0, SOON_S))

    def _told(self) -> int:
        return sum(each.outcome == "sent" for each in self.forge.deliveries)

    # comparing ----------------------------------------------------------------------------------

    async def converge(self, process: CoordinatorProcess) -> None:
        """Until nobody has anything left to do and both sides agree; fails with what differs."""
        url = f"http://{process.host}:{process.port}"
        differences = ["nothing was compared"]
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
            with trio.move_on_after(WITHIN_S):
                while differences:
                    await trio.sleep(0.3)
                    differences = await self._compare(http)
        assert not differences, self.said(differences)

    async def _compare(self, http: httpx.AsyncClient) -> list[str]:
        if is_busy((await http.get("/state")).json()["tree"], *_LEFT):
            return ["somebody has something left to do"]
        self.backups += 1
        made = await http.post("/api/v1/backup", json={"path": f"{self.backups}.sqlite3"})
        _, events = await read_everything(Path(made.json()["path"]))
        return self.differences(events)

    def differences(self, events: list[Stored]) -> list[str]:
        agreement = Agreement(self.forge, self.people, read_fleet(self.folder / "coordinator.toml"))
        agreement.take(events)
        return agreement.differences()

    def said(self, what: object) -> str:
        return f"{self.forge.dialect.product}\n{what}\nafter {dict(self.deaths)}"


# What is looked at once more stays in line, so that nobody is done while a comment may still come.
_LEFT = ("waiting", "in_flight", "commands_open")


@asynccontextmanager
async def world(product: Product, seed: int, folder: Path) -> AsyncIterator[World]:
    """Two repositories with an issue each, of which nobody has told anybody."""
    clock = ForgeClock()
    async with open_forge(product, clock=clock) as forge:
        people = People(forge)
        found = World(forge, clock, people, Random(seed), folder, people.furnish())
        for name in REPOSITORIES:
            forge.open(name, "The first", "of many", assignees=["coder-bot"])
        yield found


def misbehave(found: World) -> None:
    """What deliveries and answers suffer until the end."""
    found.forge.postman.faults.chances |= {
        "lose": 0.15, "duplicate": 0.1, "reorder": 0.1, "delay": 0.15,
    }  # fmt: skip
    for after in (False, True):
        found.forge.misbehave("status", times=None, chance=0.02, after=after, status=502)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_killed_process_leaves_nothing_undone_and_nothing_done_twice(
    seed: int, tmp_path: Path
) -> None:
    """Whatever people did, whatever was lost and in whatever moment processes were killed: after the
    last start the journal says what the forge does, every issue has one true comment and true labels,
    every command was answered once, and nothing was dispatched twice or crashed."""
    async with trio.open_nursery() as nursery:  # two at once take little longer than one
        for number, product in enumerate(PRODUCTS):
            turn = seed * len(PRODUCTS) + number
            nursery.start_soon(play, product, turn, tmp_path / product)


async def play(product: Product, turn: int, folder: Path) -> None:
    """Some lives that are killed, between two that end well."""
    await trio.Path(folder).mkdir()
    async with world(product, turn, folder) as found:
        await begin(found)
        misbehave(found)
        for number in range(turn * KILLS, (turn + 1) * KILLS):
            await found.live(MOMENTS[number * _STRIDE % len(MOMENTS)])
        await end(found)
        deliveries, events = await read_everything(folder / "journal.sqlite3")
        assert not found.differences(events), found.said(found.differences(events))
        check(found, deliveries, events)


async def begin(found: World) -> None:
    """A life that hears of everything, and knows it all."""
    async with found.life() as process:
        found.clock.advance(SETTLED_S)
        await found.converge(process)
        assert await trio.to_thread.run_sync(process.stop) == 0, process.words()[-2_000:]


async def end(found: World) -> None:
    """No faults any more: the last life, once it has swept, agrees with the forge and ends well."""
    found.trap.clear()
    found.forge.postman.faults.clear()
    async with found.life() as process:
        await found.forge.wait_quiet()
        found.clock.advance(SETTLED_S)
        await found.converge(process)
        _, health = await trio.to_thread.run_sync(process.get, "/health")
        assert (health["status"], health["dead_letters"]) == ("ok", 0), health
        assert await trio.to_thread.run_sync(process.stop) == 0, process.words()[-2_000:]


def check(found: World, deliveries: list[StoredDelivery], events: list[Stored]) -> None:
    """What the journal and the log must not hold, nor lack."""
    assert set(found.deaths) != {"ever"}, "no life ended in the moment that was chosen for it"
    unprocessed = [stored.id for stored in deliveries if stored.outcome in (None, "dead_letter")]
    assert not unprocessed, found.said(unprocessed)
    stored_ids = {str(stored.id) for stored in deliveries}
    accepted = {each.letter.id for each in found.forge.deliveries if '"accepted"' in each.answer}
    assert accepted
    assert accepted <= stored_ids, found.said(accepted - stored_ids)
    assert not twice_dispatched(events), found.said(twice_dispatched(events))
    dispatched = [each.event.run for each in events if isinstance(each.event, IssueDispatched)]
    assert len(dispatched) == len(set(dispatched)) > 0
    words = found.log.read_text()
    assert "Traceback" not in words, found.said(words[words.index("Traceback") - 1_000 :][:4_000])
    assert '"event":"actor_crashed"' not in words.replace(" ", "")
