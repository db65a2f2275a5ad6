"""What the tree is made of: one of each part, made from the settings and outliving every restart."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from coordinator import __version__
from coordinator.actors.clocks import SteadyClock, utc_now
from coordinator.actors.coroner import Coroner
from coordinator.config import Settings
from coordinator.edges.driver_external import ExternalDriver
from coordinator.edges.driver_rehearsal import RehearsalDriver
from coordinator.edges.drivers import Driver
from coordinator.edges.journal import Journal
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.edges.transcript import Transcript
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.write_queue import WritingPace
from coordinator.web.app import web_server
from coordinator.web.context import WebContext
from coordinator.web.limits import Limits
from coordinator.web.server import WebServer

if TYPE_CHECKING:
    from coordinator.edges.claude import ClaudeClient
    from coordinator.edges.gitea import Forge

__all__ = ["Parts", "degraded_modes", "driver_of", "make_parts"]

WindowOf = Callable[[str], Awaitable[int | None]]


@dataclass(slots=True)
class Parts:
    """What the tree is made of; all of it outlives any restart of a child.

    Without a forge token there is no `forge`, and neither scribe nor sweeper.
    """

    settings: Settings
    journal: Journal
    web: WebServer
    context: WebContext
    coroner: Coroner
    claude: "ClaudeClient | None"
    forge: "Forge | None"
    window_of: WindowOf
    drivers: dict[str, Driver]
    steady: SteadyClock
    writing_pace: WritingPace


def driver_of(spec: AgentSpec, claude: "ClaudeClient | None") -> Driver:
    """The driver the configuration names; `config` has refused any other name."""
    if spec.driver == "rehearsal":
        return RehearsalDriver(spec, now_s=trio.current_time, started_at=utc_now())
    if spec.transcript is None:
        return ExternalDriver(window_tokens=spec.context.window_tokens)
    count_tokens = claude.count_tokens if claude is not None else None
    transcript = Transcript(Path(spec.transcript), model=spec.model, count_tokens=count_tokens)
    return ExternalDriver(transcript, spec.context.window_tokens)


async def make_parts(
    settings: Settings,
    stack: AsyncExitStack,
    make_driver: Callable[[AgentSpec], Driver] | None = None,
    writing_pace: WritingPace = WritingPace(),  # noqa: B008 - frozen
) -> Parts:
    """The parts these settings ask for; the stack closes what must be closed."""
    journal = SqliteJournal(settings.journal_path, retention=timedelta(days=settings.retention_days))
    claude = await _claude(settings, stack)
    forge = await _forge(settings, stack)
    context = WebContext(
        journal=journal,
        secrets=tuple(secret.get_secret_value().encode() for secret in settings.webhook_secrets),
        version=__version__,
        data_dir=settings.data_dir,
        now=utc_now,
        api_token=settings.api_token.get_secret_value() if settings.api_token else None,
        hidden=settings.secret_values(),
        degraded=partial(degraded_modes, settings),
        forge_health=None if forge is None else forge.health,
        limits=Limits(
            max_body_bytes=settings.max_body_bytes,
            max_connections=settings.max_connections,
            graceful_s=settings.shutdown_timeout_s,
        ),
    )
    web = web_server(context, host=settings.host, port=settings.port)
    return Parts(
        settings=settings,
        journal=journal,
        web=web,
        context=context,
        coroner=Coroner(journal),
        claude=claude,
        forge=forge,
        window_of=claude.window_of if claude is not None else _unknown_window,
        drivers={
            spec.name: driver_of(spec, claude) if make_driver is None else make_driver(spec)
            for spec in settings.fleet.agents
        },
        steady=SteadyClock(),
        writing_pace=writing_pace,
    )


async def _claude(settings: Settings, stack: AsyncExitStack) -> "ClaudeClient | None":
    if settings.parser == "rules" or settings.anthropic_api_key is None:
        return None
    # The SDK takes two seconds and 60 MB to load: only where it is used.
    from coordinator.edges.claude import ClaudeClient

    key = settings.anthropic_api_key.get_secret_value()
    return await stack.enter_async_context(ClaudeClient(key, base_url=settings.anthropic_base_url))


async def _forge(settings: Settings, stack: AsyncExitStack) -> "Forge | None":
    if settings.gitea_token is None:
        return None
    from coordinator.edges.gitea import Forge  # its HTTP client is of no use without a token

    token = settings.gitea_token.get_secret_value()
    return await stack.enter_async_context(Forge(settings.gitea_url, token))


async def _unknown_window(model: str) -> None:
    return None


def degraded_modes(settings: Settings) -> tuple[str, ...]:
    """What this configuration goes without, by name, for /health."""
    no_token = settings.gitea_token is None
    modes = {
        "parser-rules": settings.parser == "rules",
        "payload-trusted": no_token,
        "no-forge-token": no_token,
        "scribe-idle": no_token,
        "sweeper-idle": no_token,
        "write-back-off": not no_token and not settings.write_back,
        "no-api-token": settings.api_token is None,
    }
    return tuple(name for name, on in modes.items() if on)
