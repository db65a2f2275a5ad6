"""How the coordinator keeps up with a forge that loses deliveries: `python -m bench.convergence`.

The forge is the one the demo ships, in this process; the coordinator is `serve` as shipped, in its
own. People act on 1,000 issues in bouts, as they do: a few changes to one issue within a moment. One
delivery in five is lost. Beside it, in turn: the same coordinator that reads at once instead of waiting
a moment for the rest of a bout, and a program without webhooks that asks for every issue again and
again.
"""

import argparse
import http.client
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trio

from bench.convergence_people import Crowd, furnish
from bench.convergence_world import differences, read_events, seems_behind
from bench.coordinator_process import (
    SECRET,
    CoordinatorProcess,
    base_environment,
    cpu_s,
    fleet_toml,
)
from coordinator.demo.forge import Forge, open_forge
from coordinator.edges.gitea import Forge as ForgeClient

__all__ = ["main"]

GOAL_REQUESTS_PER_ACTION = 3.0
# The shipped SWEEP_INTERVAL is 60 s; so that a run takes minutes, not an hour.
SWEEP_INTERVAL_S = 10
# What is newer than ten seconds is left to its delivery; then the next sweep, its reads, its writes.
GOAL_CONVERGE_S = 45.0
GOAL_ACCEPT_P99_MS = 1_000.0
LOST = 0.2
# Actions within a bout come so close together.
BOUT_GAP_S = 0.02
_GIVE_UP_S = 300.0
# So that nobody waits for a slot: what is measured is the forge's side.
_AGENTS, _SLOTS = 20, 64
_IDLE_SWEEPS = 5

# Without the moment that a read waits for the rest of a bout.
_HASTY = (
    "from coordinator.rules.reads import ReadQueue\n"
    "ReadQueue.__init__.__kwdefaults__['window_s'] = 0.0\n"
    "import sys; from coordinator.cli import main\n"
    "sys.argv = ['mosaic-coordinator', 'serve']; sys.exit(main())\n"
)
VARIANTS = {"coordinator": None, "without coalescing": _HASTY}


@dataclass
class Result:
    """What one run came to. Requests are those the forge answered, by route."""

    actions: int = 0
    seconds: float = 0.0
    first_s: float = 0.0
    first_requests: int = 0
    posted: int = 0
    lost: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    converge_s: float = 0.0
    left: list[str] = field(default_factory=list)
    accept_ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    idle_requests: float = 0.0
    idle_cpu_ms: float = 0.0

    @property
    def per_action(self) -> float:
        return self.requests.total() / self.actions

    def accepted_ms(self, share: float) -> float:
        ordered = sorted(self.accept_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(frozen=True)
class Size:
    issues: int
    actions: int
    repositories: int
    rate_per_s: float
    seed: int


async def measure(size: Size, program: str | None) -> Result:
    """One run from an empty journal: first sweep, actions, convergence, idle sweeps."""
    result = Result(actions=size.actions)
    with tempfile.TemporaryDirectory(prefix="bench-convergence-") as folder:
        async with open_forge("gitea", workers=4) as forge:
            crowd = Crowd(forge, random.Random(size.seed))
            token = furnish(forge, size.repositories)
            crowd.fill(size.issues)
            with _serving(Path(folder), forge, token, program) as process:
                await trio.to_thread.run_sync(process.wait_ready)
                result.first_s = await _wait_agreed(forge, process)
                await _wait_still(forge)
                result.first_requests = forge.server.requests.total()
                forge.hook(None, f"http://127.0.0.1:{process.port}/webhook/gitea", SECRET.decode())
                await _act(size, forge, crowd, process, result)
                result.converge_s = await _wait_agreed(forge, process)
                await _wait_still(forge)
                _take_stock(forge, result)
                await _idle(forge, process, result)
                await trio.to_thread.run_sync(process.stop)
            events = read_events(Path(folder) / "journal.sqlite3")
            result.left = differences(forge, events)
            for event in events:
                result.missed.update(getattr(event, "missed", ()))
    return result


@contextmanager
def _serving(
    folder: Path, forge: Forge, token: str, program: str | None
) -> Iterator[CoordinatorProcess]:
    config = folder / "coordinator.toml"
    config.write_text(fleet_toml(_AGENTS, slots=_SLOTS))
    environment = base_environment(
        folder,
        COORDINATOR_CONFIG=str(config),
        GITEA_URL=forge.url,
        GITEA_TOKEN=token,
        GITEA_REPOSITORIES="all",
        SWEEP_INTERVAL=str(SWEEP_INTERVAL_S),
    )
    log = folder / "log"
    if program is None:
        process = CoordinatorProcess(environment, log)
    else:
        process = CoordinatorProcess(environment, log, command=(sys.executable, "-c", program))
    with process:
        yield process


async def _act(
    size: Size, forge: Forge, crowd: Crowd, process: CoordinatorProcess, result: Result
) -> None:
    """All actions at a steady rate on the average, with one delivery in five lost."""
    forge.server.requests.clear()
    forge.postman.faults.seed(size.seed)
    forge.postman.faults.chances["lose"] = LOST
    before_s, began_s = cpu_s(process.pid), time.perf_counter()
    done = 0
    while done < size.actions:
        for _ in range(min(crowd.draw.choice((1, 1, 2, 3, 5)), size.actions - done)):
            crowd.act()
            done += 1
            await trio.sleep(BOUT_GAP_S)
        crowd.turn_to_another()
        ahead_s = done / size.rate_per_s - (time.perf_counter() - began_s)
        if ahead_s > 0:
            await trio.sleep(ahead_s)
    result.seconds = time.perf_counter() - began_s
    forge.postman.faults.clear()
    await forge.wait_quiet()
    result.cpu_ms = 1_000 * (cpu_s(process.pid) - before_s) / size.actions


async def _wait_agreed(forge: Forge, process: CoordinatorProcess) -> float:
    """Seconds until the coordinator shows every issue as the forge does, or gave up."""
    began_s = time.perf_counter()
    while time.perf_counter() - began_s < _GIVE_UP_S:
        await trio.sleep(0.25)
        shown = await trio.to_thread.run_sync(_issues, process)
        if not seems_behind(forge, shown):
            break
    return time.perf_counter() - began_s


def _issues(process: CoordinatorProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        _, page = process.get(f"/api/v1/issues?every=true&limit=500{after}")
        found += page["issues"]
        if page["next_after"] is None:
            return found
        after = f"&after={quote(page['next_after'], safe='')}"


async def _wait_still(forge: Forge) -> None:
    """Until nobody has asked the forge anything for longer than a comment waits to be written, but for
    sweeps, which ask the same few things again."""
    seen, since_s = -1, time.perf_counter()
    while time.perf_counter() - since_s < 6.0:
        told = sum(n for route, n in forge.server.requests.items() if _is_no_sweep(route))
        if told != seen:
            seen, since_s = told, time.perf_counter()
        await trio.sleep(0.25)


def _is_no_sweep(route: str) -> bool:
    return not route.startswith("GET") or "{index}" in route


def _take_stock(forge: Forge, result: Result) -> None:
    result.requests = Counter(forge.server.requests)
    result.posted = len(forge.deliveries)
    result.lost = sum(each.outcome == "lost" for each in forge.deliveries)
    result.accept_ms = [1_000 * each.took_s for each in forge.deliveries if each.took_s is not None]


async def _idle(forge: Forge, process: CoordinatorProcess, result: Result) -> None:
    """Sweeps of repositories in which nothing happens, beyond what the process does anyway."""
    requests, cpu_ms = [], []
    for _ in range(_IDLE_SWEEPS):
        resting_s = cpu_s(process.pid)
        await trio.sleep(2.0)
        resting_s = cpu_s(process.pid) - resting_s
        forge.server.requests.clear()
        before_s = cpu_s(process.pid)
        await trio.to_thread.run_sync(_refresh, process)
        await trio.sleep(2.0)
        requests.append(forge.server.requests.total())
        cpu_ms.append(1_000 * (cpu_s(process.pid) - before_s - resting_s))
        await trio.sleep(4.0)  # who asks more often is given the same sweep
    result.idle_requests = statistics.median(requests)
    result.idle_cpu_ms = max(statistics.median(cpu_ms), 0.0)


def _refresh(process: CoordinatorProcess) -> None:
    connection = http.client.HTTPConnection(process.host, process.port, timeout=10)
    connection.request("POST", "/api/v1/refresh")
    assert connection.getresponse().status in (200, 202)
    connection.close()


async def poll_everything(size: Size) -> tuple[int, float]:
    """What a program without webhooks does once per interval, done once: every page of every list, and
    the dependencies of every issue. Requests, and processor ms of the asking side and the forge."""
    async with open_forge("gitea") as forge:
        crowd = Crowd(forge, random.Random(size.seed))
        token = furnish(forge, size.repositories)
        crowd.fill(size.issues)
        began_s = time.process_time()
        async with ForgeClient(forge.url, token, trust_env=False) as client:
            for repo in list(forge.data.repos.values()):
                page = 1
                while (found := await client.issues(repo.full_name, page=page)).issues:
                    for issue in found.issues:
                        await client.blockers(repo.full_name, issue.number)
                    page += 1
        return forge.server.requests.total(), 1_000 * (time.process_time() - began_s)


# showing -----------------------------------------------------------------------------------------


def show(name: str, result: Result, base: Result) -> None:
    """One run as rows; `base` is the one that ratios are of."""
    reads = sum(n for route, n in result.requests.items() if route.endswith("/issues/{index}"))
    print(f"\n{name}")
    print(
        f"  first sweep, until all is known {result.first_s:8.1f} s   {result.first_requests} requests"
    )
    print(f"  acting                          {result.seconds:8.1f} s   {result.posted} deliveries,"
          f" {result.lost} of them lost, {result.missed.total()} causes found by sweeps")  # fmt: skip
    verdict = _verdict(result.converge_s, GOAL_CONVERGE_S, ok=not result.left)
    print(f"  converged after the last action {result.converge_s:8.1f} s  "
          f" goal ≤ {GOAL_CONVERGE_S:g}: {verdict}")  # fmt: skip
    verdict = _verdict(result.per_action, GOAL_REQUESTS_PER_ACTION)
    ratio = result.per_action / base.per_action
    print(f"  forge requests per action       {result.per_action:8.2f}     goal ≤"
          f" {GOAL_REQUESTS_PER_ACTION:g}: {verdict}; {ratio:.2f} × the coordinator's")  # fmt: skip
    print(f"    of them reads of an issue     {reads / result.actions:8.2f}")
    for route, count in result.requests.most_common(6):
        print(f"      {count / result.actions:6.3f}  {route}")
    p99 = result.accepted_ms(0.99)
    print(f"  accept p50 / p99            {result.accepted_ms(0.5):5.1f} / {p99:.1f} ms   goal p99 ≤"
          f" {GOAL_ACCEPT_P99_MS:g}: {_verdict(p99, GOAL_ACCEPT_P99_MS)}")  # fmt: skip
    print(f"  processor time per action       {result.cpu_ms:8.1f} ms")
    print(f"  an idle sweep                   {result.idle_requests:8.0f} requests,"
          f" {result.idle_cpu_ms:.0f} ms of processor time")  # fmt: skip
    if result.left:
        print(f"  NOT CONVERGED: {len(result.left)} issues differ, as {result.left[0]}")


def _verdict(found: float, goal: float, *, ok: bool = True) -> str:
    return "met" if ok and found <= goal else "MISSED"


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.convergence", description=__doc__)
    parser.add_argument("--issues", type=int, default=1_000)
    parser.add_argument("--actions", type=int, default=10_000)
    parser.add_argument("--repositories", type=int, default=10)
    parser.add_argument("--rate", type=float, default=50.0, help="actions per second (50)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="200 issues, 1,000 actions")
    chosen = parser.parse_args(argv)
    size = Size(chosen.issues, chosen.actions, chosen.repositories, chosen.rate, chosen.seed)
    if chosen.quick:
        size = Size(200, 1_000, 4, chosen.rate, chosen.seed)
    print(f"{size.issues} issues in {size.repositories} repositories, {size.actions} actions at"
          f" {size.rate_per_s:g}/s, {LOST:.0%} of the deliveries lost")  # fmt: skip
    results: dict[str, Result] = {}
    for name, program in VARIANTS.items():
        results[name] = trio.run(measure, size, program)
        show(name, results[name], next(iter(results.values())))
    asked, ms = trio.run(poll_everything, size)
    ours = results["coordinator"]
    rounds = ours.seconds / SWEEP_INTERVAL_S
    print(f"\nno webhooks, everything polled every {SWEEP_INTERVAL_S} s")
    print(f"  one round                       {asked:8} requests, {ms:.0f} ms of processor time")
    print(f"  requests per action             {asked * rounds / size.actions:8.2f}    "
          f" {asked * rounds / size.actions / ours.per_action:.1f} × the coordinator's")  # fmt: skip
    ratio = asked / max(ours.idle_requests, 1)
    print(f"  while nothing happens           {ratio:8.1f} × the requests of our sweep")


if __name__ == "__main__":
    main()
