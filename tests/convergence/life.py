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
from coordinator.edges.request_body import send_in_one_piece
from coordinator.rules.fleet import Fleet

__all__ = ["SECRET", "Life", "is_busy", "settings_for"]

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

    @property
    def is_at_the_disk(self) -> bool:
        """Whether it may be waiting for the disk: while it opens or closes its journal or asks it."""
        if self._scope is None:
            return False
        if self.running is None or self._scope.cancel_called:
            return True
        return self.running.journal.health().queued > 0

    async def start(self) -> None:
        """Up and serving, on the port it had before."""
        with trio.fail_after(_READY_WITHIN_S):
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
            with _watching_the_disk(self), trio.CancelScope() as self._scope:
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
        async with httpx.AsyncClient(
            base_url=self.url,
            timeout=30,
            trust_env=False,
            event_hooks={"request": [send_in_one_piece]},
        ) as http:
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
            quiet = quiet + 1 if not is_busy(state["tree"]) else 0
            await trio.sleep(0.05)


class _DiskWatch(trio.abc.Instrument):
    """Keeps a test's clock from jumping while the disk works, which no task shows."""

    def __init__(self, life: Life, clock: MockClock) -> None:
        self._life = life
        self._clock = clock
        self._idle_s = clock.autojump_threshold

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        wanted_s = math.inf if self._life.is_at_the_disk else self._idle_s
        if self._clock.autojump_threshold != wanted_s:
            self._clock.autojump_threshold = wanted_s

    def leave(self) -> None:
        trio.lowlevel.remove_instrument(self)
        self._clock.autojump_threshold = self._idle_s


@contextmanager
def _watching_the_disk(life: Life) -> Iterator[None]:
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock):
        yield
        return
    watch = _DiskWatch(life, clock)
    trio.lowlevel.add_instrument(watch)
    try:
        yield
    finally:
        watch.leave()


def is_busy(node: dict[str, Any], *more: str) -> bool:
    """Whether an actor in this part of the tree has anything to read or to ask, or any of the `more`
    that it may show of itself."""
    state = node.get("state")
    counts = ("lag", "reads_pending", "reads_in_flight", "running", *more)
    own = isinstance(state, dict) and any(state.get(name) for name in counts)
    return own or any(is_busy(child, *more) for child in node["children"])
