"""How long a coordinator with a long past takes to answer: `python -m bench.restart`.

From the exec of `serve` to the first 200 of /health, after a clean stop and after a `kill -9`, beside
the same with an empty journal: what is left is the past's.
"""

import argparse
import http.client
import shutil
import socket
import statistics
import tempfile
import time
from pathlib import Path

import trio

from bench.coordinator_process import (
    SECRET,
    CoordinatorProcess,
    base_environment,
    fleet_toml,
    memory_kib,
)
from bench.history import AGENTS, write_history
from bench.load import Deliveries, drive

__all__ = ["main"]

GOAL_S = 3.0
_READY_WITHIN_S = 120.0
_LOOK_EVERY_S = 0.002
# Deliveries that are in the journal but perhaps not processed when the process is killed.
_UNFINISHED = 200


def start(directory: Path) -> tuple[CoordinatorProcess, float]:
    """A coordinator on this directory, and the seconds until its /health said 200."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    config = directory / "coordinator.toml"
    config.write_text(fleet_toml(AGENTS))
    environment = base_environment(directory, PORT=str(port), COORDINATOR_CONFIG=str(config))
    process = CoordinatorProcess(environment, directory / "log")
    process.port = port
    try:
        return process, _wait_healthy(process)
    except BaseException:
        process.kill()
        raise


def _wait_healthy(process: CoordinatorProcess) -> float:
    until_s = process.began_s + _READY_WITHIN_S
    while time.perf_counter() < until_s and process.process.poll() is None:
        try:
            status, _ = process.get("/health")
        except (OSError, http.client.HTTPException):
            status = 0
        if status == 200:
            return time.perf_counter() - process.began_s
        time.sleep(_LOOK_EVERY_S)
    raise TimeoutError(f"not healthy: {process.words()[-2_000:]}")


def measure(directory: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds to healthy, by how the life before ended."""
    found: dict[str, list[float]] = {"first start": [], "after SIGTERM": [], "after kill -9": []}
    stops: list[float] = []
    process, took_s = start(directory)
    found["first start"].append(took_s)
    requests = Deliveries(SECRET, prefix="d", issues=1_000)
    for _ in range(rounds):
        process.wait_processed()
        began_s = time.perf_counter()
        process.stop(within_s=60)
        stops.append(time.perf_counter() - began_s)
        process, took_s = start(directory)
        found["after SIGTERM"].append(took_s)
        drive((process.host, process.port), requests, connections=8, count=_UNFINISHED)
        process.kill()
        process, took_s = start(directory)
        found["after kill -9"].append(took_s)
    mib = memory_kib(process.pid) / 1024
    process.kill()
    print(f"  stopping on SIGTERM took {statistics.median(stops):.2f} s; {mib:.0f} MiB resident")
    return found


def show(found: dict[str, list[float]], *, goal: bool) -> None:
    for ending, took_s in found.items():
        middle = statistics.median(took_s)
        verdict = f"   goal ≤ {GOAL_S:g} s: {'met' if middle <= GOAL_S else 'MISSED'}" if goal else ""
        spread = f"{min(took_s):.2f} to {max(took_s):.2f}"
        print(f"  {ending:14} {middle:6.2f} s  ({spread}, {len(took_s)} starts){verdict}")


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="in the journal (1000000)")
    parser.add_argument("--issues", type=int, default=10_000, help="they are about (10000)")
    parser.add_argument("--rounds", type=int, default=3, help="stops and kills (3)")
    parser.add_argument("--journal", type=Path, help="keep the written journal here and use it again")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bench-restart-") as root:
        empty, full = Path(root, "empty"), Path(root, "full")
        empty.mkdir()
        full.mkdir()
        print("empty journal")
        show(measure(empty, chosen.rounds), goal=False)
        journal = full / "journal.sqlite3"
        _build(journal, chosen.journal, chosen.events, chosen.issues)
        print(f"{chosen.events} events about {chosen.issues} issues")
        show(measure(full, chosen.rounds), goal=True)


def _build(journal: Path, kept: Path | None, events: int, issues: int) -> None:
    if kept is None or not kept.exists():
        began_s = time.perf_counter()
        trio.run(write_history, journal, events, issues)
        size_mib = journal.stat().st_size / 2**20
        print(f"wrote {size_mib:.0f} MiB in {time.perf_counter() - began_s:.0f} s")
        if kept is not None:
            shutil.copyfile(journal, kept)
    else:
        shutil.copyfile(kept, journal)


if __name__ == "__main__":
    main()
