"""The coordinator in this process, on a real journal file: started, cut down, started again.

What is cut down gets no moment to write anything: its tasks are cancelled where they stand. What a
`kill -9` of a real process leaves is shown, without a forge, by `test_kill9.py`.
"""

import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio
from pydantic import SecretStr
from trio.testing import MockClock

from coordinator.app import Running, serve
from coordinator.config import Repositories, Settings
from coordinator.edges.journal import Stored
from coordinator.rules.fleet import Fleet

__all__ = ["SECRET", "Life", "settings_for"]

SECRET = "convergence-secret"
# Sweeps come when they are asked for, and at the start.
_NEVER_S = 86_400.0
_READY_WITHIN_S = 30.0


def settings_for(
    folder: Path, forge_url: str, token: str, fleet: Fleet, repositories: Repositories
) -> Settings:
    """A coordinator that reads and writes that forge, on any free port."""
    return Settings(
        webhook_secrets=(SecretStr(SECRET),),
        gitea_url=forge_url,
        gitea_token=SecretStr(token),
        repositories=repositories,
        sweep_interval_s=_NEVER_S,
        data_dir=folder,
        host="127.0.0.1",
        port=0,
        parser="rules",
        fleet=fleet,
    )


@dataclass(slots=True)
class Life:
    """One coordinator, however often it dies. `events` are all the journal holds, as last read."""

    settings: Settings
    nursery: trio.Nursery
    events: list[Stored] = field(default_factory=list)
    lives: int = 0
    running: Running | None = None
    _scope: trio.CancelScope | None = None
    _ended: trio.Event = field(default_factory=trio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    async def start(self) -> None:
        """Up and serving, on the port it had before."""
        with _real_time(), trio.fail_after(_READY_WITHIN_S):
            self.running = await self.nursery.start(self._live)
        self.lives += 1
        port = int(self.running.url.rpartition(":")[2])
        self.settings = self.settings.model_copy(update={"port": port})

    async def crash(self) -> None:
        """Gone, whatever it was doing."""
        if self._scope is not None:
            self._scope.cancel()
            await self._ended.wait()

    async def _live(self, *, task_status: trio.TaskStatus[Running]) -> None:
        async def ready(running: Running) -> None:
            task_status.started(running)

        self._ended = trio.Event()
        try:
            with trio.CancelScope() as self._scope:
                await serve(self.settings, on_ready=ready)
        finally:
            self.running = None
            self._scope = None
            gc.unfreeze()  # a process starts once, and keeps what it started with out of the search
            self._ended.set()

    # asking -------------------------------------------------------------------------------------

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient(base_url=self.url, timeout=10, trust_env=False) as http:
            return (await http.get(path)).json()

    async def refresh(self) -> int:
        """Ask for a sweep now; the status of the answer."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as http:
            return (await http.post("/api/v1/refresh")).status_code

    async def read(self) -> list[Stored]:
        """All events so far."""
        assert self.running is not None
        read = self.running.journal.read_events
        while more := await read(self.events[-1].seq if self.events else 0, 1_000):
            self.events += more
        return self.events

    async def wait_idle(self) -> None:
        """Until nobody has anything to read or to ask, seen twice in a row: events beget events."""
        quiet = 0
        while quiet < 2:
            state = await self.get("/state")
            quiet = quiet + 1 if not _busy(state["tree"]) else 0
            await trio.sleep(0.05)


@contextmanager
def _real_time() -> Iterator[None]:
    """No jumps of a test's clock: opening a journal is a wait for the disk that no task shows."""
    clock = trio.lowlevel.current_clock()
    threshold_s = clock.autojump_threshold if isinstance(clock, MockClock) else 0.0
    try:
        if isinstance(clock, MockClock):
            clock.autojump_threshold = math.inf
        yield
    finally:
        if isinstance(clock, MockClock):
            clock.autojump_threshold = threshold_s


def _busy(node: dict[str, Any]) -> bool:
    state = node.get("state")
    counts = ("lag", "reads_pending", "reads_in_flight", "running")
    own = isinstance(state, dict) and any(state.get(name) for name in counts)
    return own or any(_busy(child) for child in node["children"])
