"""The real program as a process of its own: started, asked, measured, stopped and killed.

For benchmarks and for the tests that need a process to kill. Knows the program only from outside: its
environment, its log, its HTTP faces and what the kernel says of it.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

__all__ = [
    "SECRET",
    "CoordinatorProcess",
    "Died",
    "base_environment",
    "cpu_s",
    "fleet_toml",
    "memory_kib",
]

SECRET = b"bench-and-fault-harness-secret"

# A cold start takes about a second; a loaded machine may take many times that.
READY_WITHIN_S = 120.0
_LOOK_EVERY_S = 0.005
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Died(Exception):
    """The process ended before it was ready; holds its exit code and its last words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"exit code {code}: {words.strip()[-2_000:]}")
        self.code = code
        self.words = words


def base_environment(data_dir: Path, **more: str) -> dict[str, str]:
    """An environment that serves on a free loopback port with the rules parser; `more` overrides."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    covered = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    return {
        **inherited,
        **covered,
        "PYTHONUNBUFFERED": "1",
        "GITEA_URL": "https://forge.example.org",
        "GITEA_WEBHOOK_SECRET": SECRET.decode(),
        "PARSER": "rules",
        "HOST": "127.0.0.1",
        "PORT": "0",
        "LOG_FORMAT": "json",
        "DATA_DIR": str(data_dir),
        **more,
    }


def fleet_toml(
    agents: int,
    *,
    driver: str = "external",
    slots: int = 1,
    pool: str = "coder-bot",
    context: Mapping[str, float] | None = None,
) -> str:
    """A coordinator.toml with so many equal agents, agent-0 and up, all behind one pool login."""
    lines = ["[pool]", f'logins = ["{pool}"]']
    for number in range(agents):
        lines += ["[[agents]]", f'name = "agent-{number}"', f'driver = "{driver}"', f"slots = {slots}"]
        lines += ["[agents.context]", "window_tokens = 200_000"]
        lines += [f"{key} = {value}" for key, value in (context or {}).items()]
    return "\n".join(lines) + "\n"


class CoordinatorProcess:
    """One life of `python -m coordinator serve`. Its log goes to `log_path`, appended.

    A context manager: what is still running at the end is killed.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        log_path: Path,
        *,
        command: Sequence[str] = (sys.executable, "-m", "coordinator", "serve"),
        cwd: Path | None = None,
    ) -> None:
        self.log_path = log_path
        self._log_from = log_path.stat().st_size if log_path.exists() else 0
        self.began_s = time.perf_counter()
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                list(command),
                env=dict(environment),
                cwd=cwd or Path(__file__).parent.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._reader: IO[bytes] = log_path.open("rb")
        self._reader.seek(self._log_from)
        self._partial = b""
        self._seen: list[dict[str, Any]] = []
        self.host = "127.0.0.1"
        self.port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    # waiting ------------------------------------------------------------------------------------

    def wait_ready(self, within_s: float = READY_WITHIN_S) -> Self:
        """Return once the tree is up; `port` is known then. Raises Died."""
        url: str = self.wait_line("started", within_s=within_s)["url"]
        self.port = int(url.rpartition(":")[2])
        return self

    def wait_line(
        self, event: str, *, within_s: float = READY_WITHIN_S, **fields: object
    ) -> dict[str, Any]:
        """The first line of this life's log with this event and these fields. Raises Died."""
        until_s = time.perf_counter() + within_s
        while True:
            code = self.process.poll()
            self._read_log()
            for line in self._seen:
                if line.get("event") == event and fields.items() <= line.items():
                    return line
            if code is not None:
                raise Died(code, self.words())
            if time.perf_counter() > until_s:
                raise TimeoutError(
                    f"no {event!r} {fields} within {within_s} s: {self.words()[-2_000:]}"
                )
            time.sleep(_LOOK_EVERY_S)

    def wait_exit(self, within_s: float) -> int:
        """The exit code; negative when a signal ended it. TimeoutExpired when it lives on."""
        return self.process.wait(timeout=within_s)

    def words(self) -> str:
        """Everything this life has written so far."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """This life's log lines so far, those that are JSON."""
        self._read_log()
        return list(self._seen)

    def _read_log(self) -> None:
        *whole, self._partial = (self._partial + self._reader.read()).split(b"\n")
        for line in whole:
            if line.startswith(b"{"):
                self._seen.append(json.loads(line))

    # ending -------------------------------------------------------------------------------------

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def stop(self, within_s: float = 60.0) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.wait_exit(within_s)

    # asking -------------------------------------------------------------------------------------

    def get(self, path: str, *, timeout_s: float = 60.0) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def lags(self) -> dict[str, int]:
        """By actor: how many deliveries or events it has still to read."""
        _, state = self.get("/state")
        return dict(_lags(state["tree"]))

    def wait_processed(self, within_s: float = 60.0) -> None:
        """Return once every actor has read everything, seen twice in a row: events beget events."""
        until_s = time.perf_counter() + within_s
        quiet = 0
        while quiet < 2:
            lags = self.lags()
            quiet = quiet + 1 if lags and not any(lags.values()) else 0
            if time.perf_counter() > until_s:
                raise TimeoutError(f"still behind after {within_s} s: {lags}")
            time.sleep(0.02)


def _lags(node: Mapping[str, Any]) -> list[tuple[str, int]]:
    state = node.get("state")
    own = [(node["id"], state["lag"])] if isinstance(state, dict) and "lag" in state else []
    return own + [pair for child in node["children"] for pair in _lags(child)]


def cpu_s(pid: int) -> float:
    """Processor seconds the process has used, all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def memory_kib(pid: int, field: str = "VmRSS") -> int:
    """Resident memory in KiB; "VmHWM" is its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise KeyError(field)
