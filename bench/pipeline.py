"""From the 200 to the dispatch, and what a large installation costs: `python -m bench.pipeline`.

Latency is taken between two readings of one clock, the machine's: the client's when it has the whole
200, the dispatcher's as it stamps IssueDispatched, read from the journal after a clean stop.
"""

import argparse
import socket
import tempfile
import time
from pathlib import Path

import trio

from bench.coordinator_process import (
    SECRET,
    CoordinatorProcess,
    base_environment,
    cpu_s,
    fleet_toml,
    memory_kib,
)
from bench.load import Deliveries, drive, post
from coordinator.edges.journal import Stored
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.rules.events import IssueDispatched

__all__ = ["main", "read_journal"]

GOAL_P50_MS, GOAL_P99_MS = 10.0, 50.0
GOAL_MIB = 300
GOAL_IDLE_PERCENT = 5.0

# So that no dispatch waits for a slot: what is measured is the decision.
_AGENTS, _SLOTS = 40, 64
_WARM_UP = 25


def latency(rate_per_s: float, seconds: float) -> None:
    """New issues at a steady rate, each assigned to the pool, each free to start."""
    count = int(rate_per_s * seconds)
    with tempfile.TemporaryDirectory(prefix="bench-pipeline-") as root:
        directory = Path(root)
        with _serving(directory, fleet_toml(_AGENTS, slots=_SLOTS)) as process:
            process.wait_processed()
            issues = Deliveries(SECRET, prefix="d", issues=count + _WARM_UP, ours=1.0)
            answered_s = _post_steadily(process, issues, rate_per_s, count + _WARM_UP)
            process.wait_processed()
            process.stop()
        events = trio.run(read_journal, directory / "journal.sqlite3")
    decided_s: dict[str, float] = {
        stored.delivery: stored.at.timestamp()
        for stored in events
        if isinstance(stored.event, IssueDispatched) and stored.delivery is not None
    }
    waits_ms = sorted(
        1000 * (decided_s[delivery] - at_s)
        for delivery, at_s in list(answered_s.items())[_WARM_UP:]
        if delivery in decided_s
    )
    print(f"\nfrom the 200 to the dispatch, {rate_per_s:g} deliveries per s for {seconds:g} s")
    print(f"  {len(waits_ms)} dispatches, {count - len(waits_ms)} missing")
    for name, share, goal_ms in (("p50", 0.50, GOAL_P50_MS), ("p99", 0.99, GOAL_P99_MS)):
        found_ms = waits_ms[min(int(share * len(waits_ms)), len(waits_ms) - 1)]
        print(f"  {name} {found_ms:7.2f} ms   goal ≤ {goal_ms:g} ms: {_verdict(found_ms, goal_ms)}")
    print(f"  max {waits_ms[-1]:7.2f} ms")


def _post_steadily(
    process: CoordinatorProcess, issues: Deliveries, rate_per_s: float, count: int
) -> dict[str, float]:
    """Open loop on one connection: each delivery at its own time, late ones at once."""
    answered_s: dict[str, float] = {}
    with socket.create_connection((process.host, process.port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began_s = time.perf_counter()
        for number in range(count):
            request = next(issues)
            time.sleep(max(began_s + number / rate_per_s - time.perf_counter(), 0.0))
            status = post(line, request)
            answered_s[request.delivery] = time.time()
            assert status == 200, status
    return answered_s


def size(issues: int, agents: int, idle_s: float, ours: float) -> None:
    """Memory with so many issues known and agents watched, and what watching idle agents costs."""
    with tempfile.TemporaryDirectory(prefix="bench-pipeline-") as root:
        directory = Path(root)
        with _serving(directory, fleet_toml(agents)) as process:
            ready_s = time.perf_counter() - process.began_s
            process.wait_processed()
            print(f"\n{agents} agents: ready after {ready_s:.1f} s, {_mib(process.pid):.0f} MiB")
            idle = _idle_percent(process.pid, idle_s)
            print(
                f"  idle, over {idle_s:g} s: {idle:.1f} % of one core"
                f"   goal ≤ {GOAL_IDLE_PERCENT:g} %: {_verdict(idle, GOAL_IDLE_PERCENT)}"
            )
            began_s = time.perf_counter()
            requests = Deliveries(SECRET, prefix="d", issues=issues, ours=ours)
            load = drive((process.host, process.port), requests, connections=8, count=issues)
            process.wait_processed(within_s=600)
            took_s = time.perf_counter() - began_s
            mib = _mib(process.pid)
            print(
                f"{issues} issues known, {ours:.0%} of them ours: {load.per_s:.0f} deliveries per s,"
                f" all processed after {took_s:.1f} s"
            )
            print(
                f"  resident {mib:.0f} MiB (peak {_mib(process.pid, 'VmHWM'):.0f})"
                f"   goal ≤ {GOAL_MIB} MiB: {_verdict(mib, GOAL_MIB)}"
            )
            waiting = _idle_percent(process.pid, idle_s / 3)
            print(f"  watching the runs given out, none reporting: {waiting:.1f} % of one core")
            began_s = time.perf_counter()
            code = process.stop()
            print(f"  stopped in {time.perf_counter() - began_s:.1f} s, exit code {code}")


def _idle_percent(pid: int, idle_s: float) -> float:
    """How much of one core the process uses while nobody asks anything of it."""
    before_s, began_s = cpu_s(pid), time.perf_counter()
    time.sleep(idle_s)
    return 100 * (cpu_s(pid) - before_s) / (time.perf_counter() - began_s)


def _serving(directory: Path, toml: str) -> CoordinatorProcess:
    config = directory / "coordinator.toml"
    config.write_text(toml)
    environment = base_environment(directory, COORDINATOR_CONFIG=str(config))
    return CoordinatorProcess(environment, directory / "log").wait_ready(within_s=120)


def _mib(pid: int, field: str = "VmRSS") -> float:
    return memory_kib(pid, field) / 1024


def _verdict(found: float, goal: float) -> str:
    return "met" if found <= goal else "MISSED"


async def read_journal(path: Path) -> list[Stored]:
    """Every event in a journal that no process has open."""
    journal = SqliteJournal(path)
    events: list[Stored] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.serve)
        while batch := await journal.read_events(events[-1].seq if events else 0, 5_000):
            events += batch
        nursery.cancel_scope.cancel()
    return events


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline", description=__doc__)
    parser.add_argument("--rate", type=float, default=50.0, help="deliveries per second (50)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the latency part (20)")
    parser.add_argument("--issues", type=int, default=10_000, help="known issues (10000)")
    parser.add_argument("--agents", type=int, default=1_000, help="monitors (1000)")
    parser.add_argument("--ours", type=float, default=0.1, help="share of issues assigned to us (0.1)")
    parser.add_argument("--idle-s", type=float, default=30.0, help="how long to watch idle ones (30)")
    parser.add_argument("--only", choices=["latency", "size"], help="one part instead of both")
    chosen = parser.parse_args(argv)
    if chosen.only != "size":
        latency(chosen.rate, chosen.seconds)
    if chosen.only != "latency":
        size(chosen.issues, chosen.agents, chosen.idle_s, chosen.ours)


if __name__ == "__main__":
    main()
