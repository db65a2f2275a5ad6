"""The demo: the real server, in this process, and a visitor who plays the story to it over HTTP.

What the visitor knows it learns as anybody would: from the answers to its deliveries and from the
API. So what the screen shows is what an operator could see.
"""

import secrets
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import trio
from pydantic import SecretStr
from rich.console import Console

from coordinator.actors.clocks import utc_now
from coordinator.config import Settings
from coordinator.demo.stage import LiveStage, PlainStage, Stage
from coordinator.demo.story import Pace, fleet_at
from coordinator.demo.visitor import Visitor
from coordinator.edges.driver_rehearsal import RehearsalDriver
from coordinator.edges.drivers import Driver
from coordinator.log import configure_log
from coordinator.rules.fleet import AgentSpec
from coordinator.web.server import is_loopback

if TYPE_CHECKING:
    from coordinator.app import Running

__all__ = ["FAST", "LEISURELY", "run_demo"]

# An agent's turn takes ten seconds of its own time: a third of a second on the leisurely screen, a
# twentieth in CI. Monitors look several times per turn, as they do in life.
LEISURELY = Pace(speed=30, beat_s=1.2, poll_s=0.08)
FAST = Pace(speed=200, beat_s=0.05, poll_s=0.02)
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
        host, port = address
        self._settings = Settings(
            webhook_secrets=(SecretStr(secrets.token_hex(24)),),
            gitea_url="https://forge.example.org",
            data_dir=folder,
            host=host,
            port=port,
            api_token=None if is_loopback(host) else SecretStr(self._token),
            parser="rules",
            fleet=fleet_at(pace),
        )

    def run(self) -> int | None:
        """The exit code; None when a signal came before the end."""
        from coordinator.app import serve

        with self._log_path.open("w", encoding="utf-8") as log:
            configure_log(log_format="json", secrets=self._settings.secret_values(), stream=log)
            try:
                with self._stage:
                    start = partial(
                        serve, self._settings, on_ready=self._perform, make_driver=self._driver
                    )
                    stopped = trio.run(start)
            finally:
                configure_log(level="warning")
        if self._verdict is None:
            self._stage.say(f"interrupted before the end{self._broken_off}")
            return None
        return self._verdict or stopped

    def _driver(self, spec: AgentSpec) -> Driver:
        return RehearsalDriver(
            spec, now_s=trio.current_time, started_at=utc_now(), speed=self._pace.speed
        )

    async def _perform(self, running: "Running") -> None:
        """The whole evening: from the first delivery to the summary, then home."""
        self._stage.welcome(running.url)
        try:
            async with self._visitor(running.url) as visitor:
                with trio.move_on_after(DEADLINE_S):
                    await visitor.play()
                self._judge(await visitor.differences())
        except httpx.TransportError as problem:  # the server stopped, perhaps on a signal
            self._broken_off = f": {problem or type(problem).__name__}"
        if self._keep and self._verdict is not None:
            self._stage.say(f"still running at {running.url} (log: {self._log_path}) — Ctrl-C ends it")
            sys.stdout.flush()
        else:
            await running.tree.stop()

    def _visitor(self, url: str) -> Visitor:
        secret = self._settings.webhook_secrets[0].get_secret_value().encode()
        return Visitor(url, secret, self._pace, self._stage, token=self._token)

    def _judge(self, differences: list[str]) -> None:
        self._stage.summary(differences)
        self._verdict = 1 if differences else 0
