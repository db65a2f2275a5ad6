"""The promise of the 200, on the real process: killed at random moments under load, it loses nothing.

`kill -9` cannot tell an fsynced row from one in the page cache (the power-cut model of the journal's
own tests can); it does show that no memory of the process is needed to finish what was acknowledged.
"""

import os
import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bench.coordinator_process import SECRET, CoordinatorProcess, base_environment, fleet_toml
from coordinator.demo.payloads import ForgeWorld, Product, SignedDelivery, WorldIssue
from coordinator.edges.journal import Stored, StoredDelivery
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.rules.events import IssueDispatched

# In CI a handful of lives; a night of them finds what a handful does not.
LIVES = int(os.environ.get("KILL9_LIVES", "8"))
SEED = int(os.environ.get("KILL9_SEED", str(random.SystemRandom().randrange(10**6))))
# A life under load lasts between a few deliveries and some hundred; every fourth ends within the time a
# start takes, in the middle of its recovery.
LIFE_S = (0.02, 0.8)
STILLBORN_S = (0.3, 1.0)
CLIENTS = 4
POOL = "coder-bot"


@dataclass
class Acknowledged:
    """What the coordinator has said 200 to, shared by the clients."""

    accepted: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, delivery: SignedDelivery, status: int) -> None:
        with self.lock:
            self.statuses[status] += 1
            if status == 200:
                self.accepted.add(delivery.id)


class Team(threading.Thread):
    """A repository's people: they change issues and their forge delivers, each change at most once."""

    def __init__(self, number: int, seed: int, acknowledged: Acknowledged) -> None:
        super().__init__(name=f"team-{number}", daemon=True)
        product: Product = "gitea" if number % 2 else "forgejo"
        self.world = ForgeWorld(product, SECRET, first_delivery=1 + number * 1_000_000)
        self.repo = f"acme/repo-{number}"
        self.draw = random.Random(seed)
        self.acknowledged = acknowledged
        self.port: int | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            self.world.advance(1)
            for delivery in self.change():
                self.deliver(delivery)

    def change(self) -> list[SignedDelivery]:
        """One thing somebody does to an issue."""
        issues = list(self.world.issues.values())
        if len(issues) < 5 or self.draw.random() < 0.2:
            return self.open_one(issues)
        issue = self.draw.choice(issues)
        match self.draw.randrange(6):
            case 0 if issue.state == "open":
                return [self.world.close(issue)]
            case 0:
                return [self.world.reopen(issue)]
            case 1 if POOL in issue.assignees:
                return [self.world.unassign(issue, POOL)]
            case 1 | 2:
                return [self.world.assign(issue, POOL)]
            case 3:
                return [self.world.edit_body(issue, f"{issue.body}\n\nMore of it.")]
            case 4:
                # Another than it has: labelled with the same, a forge says the same, byte for byte.
                other = {f"priority/{rank}" for rank in range(1, 5)} - set(issue.labels)
                return [self.world.label(issue, [self.draw.choice(sorted(other))])]
            case _:
                return [self.world.comment(issue, "Any news?")]

    def open_one(self, issues: list[WorldIssue]) -> list[SignedDelivery]:
        blocker = f"Blocked by: #{self.draw.choice(issues).number}" if len(issues) > 3 else ""
        assignees = [POOL] if self.draw.random() < 0.7 else []
        title = f"Issue {len(issues) + 1}"
        _, deliveries = self.world.open(self.repo, title, blocker, assignees=assignees)
        return deliveries

    def deliver(self, delivery: SignedDelivery) -> None:
        """As a forge does: one try; what is not answered is forgotten."""
        port = self.port
        if port is None:
            self.ended.wait(0.01)
            return
        try:
            self.acknowledged.note(delivery, post(port, delivery))
        except OSError:
            self.ended.wait(0.01)


def post(port: int, delivery: SignedDelivery) -> int:
    """The status of one delivery; 0 when the connection broke before there was one."""
    head = [f"{name}: {value}" for name, value in delivery.headers]
    lines = ["POST /webhook/gitea HTTP/1.1", "Host: a", *head, f"Content-Length: {len(delivery.body)}"]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + delivery.body)
        answer = line.recv(65_536)
        return int(answer[9:12]) if answer else 0


async def read_everything(path: Path) -> tuple[list[StoredDelivery], list[Stored]]:
    """All deliveries and events of a journal nobody has open."""
    journal = SqliteJournal(path)
    deliveries: list[StoredDelivery] = []
    events: list[Stored] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.serve)
        while batch := await journal.read_deliveries(deliveries[-1].seq if deliveries else 0, 1_000):
            deliveries += batch
        while more := await journal.read_events(events[-1].seq if events else 0, 1_000):
            events += more
        nursery.cancel_scope.cancel()
    return deliveries, events


def live_and_die(
    environment: dict[str, str], log: Path, teams: list[Team], draw: random.Random
) -> None:
    """One life: start, serve everybody for a moment, be killed; or be killed while starting."""
    with CoordinatorProcess(environment, log) as process:
        if draw.random() < 0.25:
            life_s = draw.uniform(*STILLBORN_S)
        else:
            life_s = draw.uniform(*LIFE_S)
            process.wait_ready()
            for team in teams:
                team.port = process.port
        time.sleep(life_s)  # the moment of death is the point, and it must not wait for any event
        process.kill()


def last_life(
    environment: dict[str, str], log: Path, acknowledged: Acknowledged, refs: list[str]
) -> dict[str, str]:
    """A life without load that ends on SIGTERM; the states of these issues as its API gives them."""
    with CoordinatorProcess(environment, log) as process:
        process.wait_ready()
        process.wait_processed()
        states = {}
        for ref in refs:
            status, body = process.get(f"/api/v1/issues/{ref}")
            if status == 200:
                states[ref] = body["state"]
        _, health = process.get("/health")
        assert health["status"] == "ok", health
        assert health["dead_letters"] == 0, health
        assert process.stop() == 0, process.words()[-2_000:]
    return states


def test_every_200_survives_kill_9_and_nothing_is_dispatched_twice(tmp_path: Path) -> None:
    """Whatever was answered 200 before a `kill -9` is processed after the restart, no issue is given
    out twice for the same fingerprint, and a SIGTERM at the end exits 0."""
    print(f"KILL9_SEED={SEED} KILL9_LIVES={LIVES}")  # noqa: T201  pytest shows it when this fails
    draw = random.Random(SEED)
    config = tmp_path / "coordinator.toml"
    fast = {"poll_s": 0.05, "cooldown_s": 0}
    config.write_text(fleet_toml(3, driver="rehearsal", slots=8, context=fast))
    environment = base_environment(tmp_path, COORDINATOR_CONFIG=str(config))
    log = tmp_path / "log"
    acknowledged = Acknowledged()
    teams = [Team(number, draw.randrange(10**6), acknowledged) for number in range(CLIENTS)]
    for team in teams:
        team.start()
    for _ in range(LIVES):
        live_and_die(environment, log, teams, draw)
    for team in teams:
        team.ended.set()
    for team in teams:
        team.join(timeout=60)
    refs = [f"{repo}/{number}" for team in teams for repo, number in team.world.issues]
    states = last_life(environment, log, acknowledged, refs)
    deliveries, events = trio.run(read_everything, tmp_path / "journal.sqlite3")
    check(acknowledged, states, deliveries, events)


def check(
    acknowledged: Acknowledged,
    states: dict[str, str],
    deliveries: list[StoredDelivery],
    events: list[Stored],
) -> None:
    assert acknowledged.accepted, acknowledged.statuses
    assert set(acknowledged.statuses) <= {200, 0, 503}, acknowledged.statuses
    outcomes: dict[str, str | None] = {stored.id: stored.outcome for stored in deliveries}
    lost = {delivery for delivery in acknowledged.accepted if not outcomes.get(delivery)}
    assert not lost, f"{len(lost)} of {len(acknowledged.accepted)} acknowledged: {sorted(lost)[:5]}"
    unprocessed = [stored.id for stored in deliveries if stored.outcome is None]
    assert not unprocessed
    assert "dead_letter" not in outcomes.values()
    dispatches = [stored.event for stored in events if isinstance(stored.event, IssueDispatched)]
    assert dispatches, "no issue was dispatched, so nothing was shown"
    assert states.keys() >= {f"{event.run.issue.repo}/{event.run.issue.number}" for event in dispatches}
    by_print = Counter((event.run.issue, event.fingerprint) for event in dispatches)
    assert not [twice for twice, count in by_print.items() if count > 1]
    runs = Counter(event.run for event in dispatches)
    assert not [twice for twice, count in runs.items() if count > 1]
