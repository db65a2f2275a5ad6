"""The demo: the real server and a small forge, in this process, that talk to each other over HTTP, and
a visitor who plays the story on the forge.

What the visitor knows it learns as anybody would: from the forge's pages, from the answers to its
deliveries, and from the API. So what the screen shows is what an operator could see.
"""

import secrets
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import httpx
import trio
from pydantic import SecretStr
from rich.console import Console

from coordinator.actors.clocks import utc_now
from coordinator.config import Settings
from coordinator.demo.forge import open_forge
from coordinator.demo.stage import LiveStage, PlainStage, Stage
from coordinator.demo.story import Pace, fleet_at
from coordinator.demo.town import QuickClock, Town
from coordinator.demo.visitor import Visitor
from coordinator.edges.connection_trouble import trouble_of
from coordinator.edges.driver_rehearsal import RehearsalDriver
from coordinator.edges.drivers import Driver
from coordinator.log import configure_log
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.write_queue import WritingPace
from coordinator.web.server import is_loopback

if TYPE_CHECKING:
    from coordinator.app import Running

__all__ = ["FAST", "LEISURELY", "run_demo"]

# An agent's turn takes ten seconds of its own time: a third of a second on the leisurely screen, a
# twentieth in CI. Monitors look several times per turn, as they do in life. A sweep leaves the newest
# ten seconds of the forge's own time to its deliveries.
LEISURELY = Pace(speed=30, beat_s=1.2, poll_s=0.08, sweep_s=1.0, write_s=1.0)
FAST = Pace(speed=200, beat_s=0.05, poll_s=0.02, sweep_s=0.25, write_s=0.2)
# Several times what the story takes on a slow machine; past it something hangs and the demo says so.
DEADLINE_S = 180.0

HOST = "127.0.0.1"


def run_demo(
    *,
    fast: bool = False,
    keep: bool = False,
    port: int = 0,
    host: str = HOST,
    unattended: bool = False,
) -> int:
    """Play the story; 0 if it ended as it must, 1 if not. With `keep`, stay until a signal comes.

    On another `host` than loopback everything but /health and the webhook needs a token, which only
    the visitor knows. `unattended`: nobody waits for the end, a stop on the way is no failure.
    """
    console = Console(markup=False, highlight=False)
    live = console.is_terminal and not console.is_dumb_terminal
    stage = LiveStage(console) if live else PlainStage(console)
    with tempfile.TemporaryDirectory(prefix="mosaic-demo-") as folder:
        demo = _Demo(FAST if fast else LEISURELY, Path(folder), (host, port), keep, stage)
        verdict = demo.run()
    return 0 if verdict is None and unattended else 1 if verdict is None else verdict


class _Demo:
    """One performance."""

    def __init__(
        self, pace: Pace, folder: Path, address: tuple[str, int], keep: bool, stage: Stage
    ) -> None:
        self._pace = pace
        self._keep = keep
        self._stage = stage
        self._log_path = folder / "coordinator.log"
        self._verdict: int | None = None
        self._broken_off = ""
        self._token = secrets.token_hex(24)
        self._secret = secrets.token_hex(24)
        self._address = address
        self._folder = folder

    def run(self) -> int | None:
        """The exit code; None when a signal came before the end."""
        with self._log_path.open("w", encoding="utf-8") as log:
            try:
                with self._stage:
                    stopped = trio.run(self._evening, log)
            finally:
                configure_log(level="warning")
        if self._verdict is None:
            self._stage.say(f"interrupted before the end{self._broken_off}")
            return None
        return self._verdict or stopped

    async def _evening(self, log: TextIO) -> int:
        """The forge opens first and closes last."""
        from coordinator.app import serve

        # Of the two products the one that tells less.
        async with open_forge("forgejo", clock=QuickClock(self._pace.speed)) as forge:
            town = Town(forge)
            town.furnish()
            settings = self._settings(town)
            configure_log(log_format="json", secrets=settings.secret_values(), stream=log)
            pace = WritingPace(self._pace.write_s, self._pace.write_s, self._pace.write_s)
            perform = partial(self._perform, town)
            return await serve(settings, on_ready=perform, make_driver=self._driver, writing_pace=pace)

    def _settings(self, town: Town) -> Settings:
        host, port = self._address
        return Settings(
            webhook_secrets=(SecretStr(self._secret),),
            gitea_url=town.forge.url,
            gitea_token=SecretStr(town.token),
            repositories="all",
            sweep_interval_s=self._pace.sweep_s,
            data_dir=self._folder,
            host=host,
            port=port,
            api_token=None if is_loopback(host) else SecretStr(self._token),
            parser="rules",
            fleet=fleet_at(self._pace),
        )

    def _driver(self, spec: AgentSpec) -> Driver:
        return RehearsalDriver(
            spec,
            now_s=trio.current_time,
            started_at=utc_now(),
            speed=self._pace.speed,
            longest_s=2 * self._pace.poll_s,
        )

    async def _perform(self, town: Town, running: "Running") -> None:
        """The whole evening: from the first delivery to the summary, then home."""
        self._stage.welcome(running.url, town.forge.url)
        try:
            await town.install_hooks(running.url, self._secret)
            async with self._visitor(running.url, town) as visitor:
                with trio.move_on_after(DEADLINE_S):
                    await visitor.play()
                self._judge(await visitor.differences())
        except httpx.TransportError as problem:  # the server stopped, perhaps on a signal
            self._broken_off = f": {trouble_of(problem, running.url)}"
        if self._keep and self._verdict is not None:
            self._stage.say(f"the forge is at {town.forge.url}, for a browser, too")
            self._stage.say(f"still running at {running.url} (log: {self._log_path}) — Ctrl-C ends it")
            sys.stdout.flush()
        else:
            await running.tree.stop()

    def _visitor(self, url: str, town: Town) -> Visitor:
        secret = self._secret.encode()
        return Visitor(url, town, secret, self._pace, self._stage, token=self._token)

    def _judge(self, differences: list[str]) -> None:
        self._stage.summary(differences)
        self._verdict = 1 if differences else 0
