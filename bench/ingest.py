"""Durable deliveries per second, beside what else such a receiver could be: `python -m bench.ingest`.

All servers are up at once and take turns, so that whatever else the machine does hits all alike. A
turn ends when the server has become quiet: what ours does behind the 200 is on its bill too.
"""

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.coordinator_process import (
    SECRET,
    CoordinatorProcess,
    base_environment,
    cpu_s,
    fleet_toml,
    memory_kib,
)
from bench.load import BODY_BYTES, Deliveries, Round, drive
from bench.rivals import RIVALS

__all__ = ["main"]

OURS = "coordinator"
STORING = "same app, journal only"
GOALS = {"same app, nothing stored": 0.9, "FastAPI + SQLite": 1.0}

# Enough to fill caches, open connections and pass the first garbage collections.
_WARM_UP_DELIVERIES = 200
_QUIET_SHARE = 0.10
_QUIET_LOOK_S = 0.1
_QUIET_WITHIN_S = 60.0
_PROFILE_LINES = 25
# Threads below this share are not worth a page.
_SHOWN_FROM_MS = 0.01


@dataclass(slots=True)
class Server:
    """One contestant that is up."""

    name: str
    pid: int
    address: tuple[str, int]


@dataclass(slots=True)
class Turn:
    """One round of one server: the load's result, and what it cost the server."""

    load: Round
    cpu_ms: float
    grown_kib: float
    settled_s: float

    @property
    def deliveries(self) -> int:
        return max(len(self.load.answered), 1)


@dataclass(slots=True)
class Table:
    """All turns by number of connections and server."""

    turns: dict[tuple[int, str], list[Turn]] = field(default_factory=dict)

    def add(self, connections: int, name: str, turn: Turn) -> None:
        self.turns.setdefault((connections, name), []).append(turn)

    def rate(self, connections: int, name: str) -> float:
        return statistics.median(turn.load.per_s for turn in self.turns[connections, name])

    def ratio(self, connections: int, name: str, to: str) -> float:
        """The median of the ratios within each round: both were measured seconds apart."""
        pairs = zip(self.turns[connections, name], self.turns[connections, to], strict=True)
        return statistics.median(own.load.per_s / other.load.per_s for own, other in pairs)

    def show(self) -> None:
        names = list(dict.fromkeys(name for _, name in self.turns))
        for connections in dict.fromkeys(count for count, _ in self.turns):
            print(f"\n{connections} connection{'s' * (connections > 1)}")
            print(
                f"  {'':26} {'per s':>7} {'p50 ms':>7} {'p99 ms':>7} {'CPU ms':>7} {'grown KiB':>9}"
                f" {'settled s':>9} {'ours ÷':>7} {'stored ÷':>8}  goal for ours"
            )
            for name in names:
                print(self._line(connections, name))

    def _line(self, connections: int, name: str) -> str:
        turns = self.turns[connections, name]
        middle = statistics.median
        numbers = (
            f"{self.rate(connections, name):7.0f}"
            f" {middle(turn.load.took_ms(0.50) for turn in turns):7.2f}"
            f" {middle(turn.load.took_ms(0.99) for turn in turns):7.2f}"
            f" {middle(turn.cpu_ms / turn.deliveries for turn in turns):7.3f}"
            f" {middle(turn.grown_kib / turn.deliveries for turn in turns):9.2f}"
            f" {middle(turn.settled_s for turn in turns):9.2f}"
        )
        ratio, storing = (self.ratio(connections, each, name) for each in (OURS, STORING))
        goal = GOALS.get(name)
        verdict = "" if goal is None else f"  ≥ {goal}: {'met' if ratio >= goal else 'MISSED'}"
        odd = {status for turn in turns for status in turn.load.statuses} - {200}
        cut = sum(turn.load.cut for turn in turns)
        note = (f"  answers {sorted(odd)}" if odd else "") + (f"  {cut} cut" if cut else "")
        return f"  {name:26} {numbers} {ratio:7.2f} {storing:8.2f}{verdict}{note}"


@contextlib.contextmanager
def rival(name: str, directory: Path) -> Iterator[Server]:
    """One of RIVALS as a process, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address: tuple[str, int] = probe.getsockname()
    directory.mkdir()
    command = [sys.executable, "-m", "bench.rivals", name, str(address[1]), str(directory)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_listening(address, process)
        yield Server(name, process.pid, address)
    finally:
        process.kill()
        process.wait()


def _wait_listening(address: tuple[str, int], process: "subprocess.Popen[bytes]") -> None:
    until_s = time.perf_counter() + 30
    while time.perf_counter() < until_s and process.poll() is None:
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"{process.args!r} does not listen")


@contextlib.contextmanager
def coordinator(directory: Path, *, profile_to: Path | None = None) -> Iterator[Server]:
    """The real `serve`, with a fleet of three agents."""
    directory.mkdir()
    toml = directory / "coordinator.toml"
    toml.write_text(fleet_toml(3))
    command = [sys.executable, "-m", "coordinator", "serve"]
    if profile_to is not None:
        command = [sys.executable, "-m", "bench.profiled", str(profile_to)]
    environment = base_environment(directory, COORDINATOR_CONFIG=str(toml))
    with CoordinatorProcess(environment, directory / "log", command=command) as process:
        process.wait_ready()
        yield Server(OURS, process.pid, (process.host, process.port))
        process.stop()


def take_turn(server: Server, requests: Deliveries, connections: int, seconds: float) -> Turn:
    """Load one server for so long and wait until it is quiet again."""
    cpu_before_s, kib_before = cpu_s(server.pid), memory_kib(server.pid)
    load = drive(server.address, requests, connections=connections, seconds=seconds)
    settled_s = _wait_quiet(server.pid)
    return Turn(
        load=load,
        cpu_ms=1000 * (cpu_s(server.pid) - cpu_before_s),
        grown_kib=memory_kib(server.pid) - kib_before,
        settled_s=settled_s,
    )


def _wait_quiet(pid: int) -> float:
    """Seconds until the process has used less than a tenth of a core for a moment."""
    began_s = time.perf_counter()
    used_s = cpu_s(pid)
    while (waited_s := time.perf_counter() - began_s) < _QUIET_WITHIN_S:
        time.sleep(_QUIET_LOOK_S)
        now_s = cpu_s(pid)
        if now_s - used_s <= _QUIET_SHARE * _QUIET_LOOK_S:
            return waited_s
        used_s = now_s
    return _QUIET_WITHIN_S


def compare(seconds: float, rounds: int, connections: list[int], size_bytes: int) -> Table:
    """Rounds of A B C D, A B C D … at each number of connections."""
    table = Table()
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as root, contextlib.ExitStack() as stack:
        servers = [stack.enter_context(coordinator(Path(root, "ours")))]
        for number, name in enumerate(RIVALS):
            servers.append(stack.enter_context(rival(name, Path(root, f"rival-{number}"))))
        loads = {
            server.name: Deliveries(SECRET, prefix="d", size_bytes=size_bytes) for server in servers
        }
        for server in servers:
            drive(server.address, loads[server.name], connections=16, count=_WARM_UP_DELIVERIES)
            _wait_quiet(server.pid)
        for count in connections:
            for number in range(rounds):
                for server in servers:
                    turn = take_turn(server, loads[server.name], count, seconds)
                    table.add(count, server.name, turn)
                _progress(f"{count} connections, round {number + 1} of {rounds}")
        _progress("")
        print("memory at the end:", end=" ")
        print(", ".join(f"{each.name} {memory_kib(each.pid) / 1024:.0f} MiB" for each in servers))
    return table


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")


def profile(seconds: float, connections: int, size_bytes: int) -> None:
    """The real process under cProfile: where each thread spends its own processor time."""
    import pstats

    with tempfile.TemporaryDirectory(prefix="bench-profile-") as root:
        output = Path(root, "profile")
        with coordinator(Path(root, "ours"), profile_to=output) as server:
            requests = Deliveries(SECRET, prefix="d", size_bytes=size_bytes)
            turn = take_turn(server, requests, connections, seconds)
        print(f"{turn.load.per_s:.0f} per s under the profiler, {turn.deliveries} deliveries")
        for thread in sorted(Path(root).glob("profile.*")):
            stats = pstats.Stats(str(thread))
            total_ms = 1000 * sum(entry[2] for entry in stats.stats.values())  # type: ignore[attr-defined]
            if total_ms / turn.deliveries < _SHOWN_FROM_MS:
                continue
            print(f"\n{thread.suffix[1:]}: {total_ms / turn.deliveries:.3f} ms per delivery")
            stats.strip_dirs().sort_stats("tottime").print_stats(_PROFILE_LINES)


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one turn (1.5)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each server (3)")
    parser.add_argument("--connections", default="1,16,64", help="keep-alive connections (1,16,64)")
    parser.add_argument("--body-bytes", type=int, default=BODY_BYTES, help=f"({BODY_BYTES})")
    parser.add_argument("--profile", action="store_true", help="profile ours instead of comparing")
    chosen = parser.parse_args(argv)
    connections = [int(count) for count in chosen.connections.split(",")]
    if chosen.profile:
        profile(chosen.seconds, max(connections), chosen.body_bytes)
        return
    table = compare(chosen.seconds, chosen.rounds, connections, chosen.body_bytes)
    table.show()


if __name__ == "__main__":
    main()
