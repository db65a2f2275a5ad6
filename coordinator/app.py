"""The composition root: every part is made here, and the tree is on one screen.

Nothing below this file knows how the parts fit together, and nothing above it makes any.
"""

import gc
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import trio

from coordinator import __version__
from coordinator.actors.clocks import SteadyClock, utc_now
from coordinator.actors.coroner import Coroner
from coordinator.actors.dependency_tracker import DependencyTracker
from coordinator.actors.dispatcher import Dispatcher
from coordinator.actors.idle import Scribe, Sweeper
from coordinator.actors.monitor import Monitor
from coordinator.actors.parser import Parser
from coordinator.actors.router import Router
from coordinator.config import Settings
from coordinator.edges.driver_external import ExternalDriver
from coordinator.edges.driver_rehearsal import RehearsalDriver
from coordinator.edges.drivers import Driver
from coordinator.edges.journal import Journal
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.edges.transcript import Transcript
from coordinator.errors import (
    JournalCorrupt,
    JournalInUse,
    JournalTooNew,
    JournalUnavailable,
    SettingsError,
)
from coordinator.rules.fleet import AgentSpec
from coordinator.runtime import (
    ChildSpec,
    CrashReport,
    DeadLetterReport,
    Hooks,
    Tree,
    child,
    dynamic,
    open_tree,
    supervisor,
    task,
)
from coordinator.web.app import web_server
from coordinator.web.context import WebContext
from coordinator.web.limits import Limits
from coordinator.web.server import WebServer

if TYPE_CHECKING:
    from coordinator.edges.claude import ClaudeClient

__all__ = ["Parts", "Running", "Stopping", "degraded_modes", "driver_of", "serve", "tree_of"]

# A parse waits for Claude in a job of its own, so no handler of ours should come near this; a journal
# that cannot commit pushes it on.
HANDLER_TIMEOUT_S = 60.0

# Snapshots of ten thousand issues are written on the way out.
PIPELINE_SHUTDOWN_S = 10.0

# Beyond what requests in flight may take: closing their sockets.
WEB_SLACK_S = 1.0

# These say in one line what is wrong and what to do; frames would only bury it.
EXPLAINED = frozenset(
    error.__name__
    for error in (SettingsError, JournalCorrupt, JournalInUse, JournalTooNew, JournalUnavailable)
)

# Ten times the default: a delivery makes hundreds of objects, nearly all freed by their counts alone.
GC_THRESHOLDS = (7_000, 20, 50)

# The third signal is somebody who has stopped waiting.
FORCE_AT = 3

WindowOf = Callable[[str], Awaitable[int | None]]


@dataclass(slots=True)
class Parts:
    """What the tree is made of; all of it outlives any restart of a child."""

    settings: Settings
    journal: Journal
    web: WebServer
    context: WebContext
    coroner: Coroner
    claude: "ClaudeClient | None"
    window_of: WindowOf
    drivers: dict[str, Driver]
    steady: SteadyClock


@dataclass(frozen=True, slots=True)
class Running:
    """A coordinator that is up. `url` is where a client on this machine reaches it."""

    url: str
    tree: Tree
    journal: Journal
    context: WebContext


def tree_of(parts: Parts) -> ChildSpec:
    """The whole tree, started top to bottom, stopped bottom to top."""
    settings, journal, fleet = parts.settings, parts.journal, parts.settings.fleet
    actor = partial(child, handler_timeout_s=HANDLER_TIMEOUT_S, shutdown_s=PIPELINE_SHUTDOWN_S)
    return supervisor(
        "root",
        task(journal.serve, id="journal", shutdown_s=PIPELINE_SHUTDOWN_S),
        task(parts.coroner.serve, id="coroner"),
        supervisor(
            "pipeline",
            actor(Router, journal, fleet, id="router"),
            actor(
                Parser,
                journal,
                fleet,
                parts.claude,
                id="parser",
                model=settings.parser_model,
                concurrency=settings.parser_concurrency,
                deadline_s=settings.parser_deadline_s,
            ),
            actor(DependencyTracker, journal, fleet, id="dependency-tracker"),
            actor(Dispatcher, journal, fleet, id="dispatcher"),
            child(Scribe, id="scribe"),
            child(Sweeper, id="sweeper"),
            strategy="one_for_one",
        ),
        dynamic("agents", initial=[_monitor(spec, parts) for spec in fleet.agents]),
        task(parts.web.serve, id="web", shutdown_s=settings.shutdown_timeout_s + WEB_SLACK_S),
        strategy="rest_for_one",
    )


def _monitor(spec: AgentSpec, parts: Parts) -> ChildSpec:
    return child(
        Monitor,
        spec,
        parts.journal,
        parts.drivers[spec.name],
        parts.window_of,
        parts.steady,
        id=f"monitor:{spec.name}",
        restart="permanent",
        handler_timeout_s=HANDLER_TIMEOUT_S,
    )


async def serve(
    settings: Settings,
    *,
    on_ready: Callable[[Running], Awaitable[None]] | None = None,
    make_driver: Callable[[AgentSpec], Driver] | None = None,
) -> int:
    """Run until SIGTERM or SIGINT, then stop in order; the exit code.

    `on_ready` runs beside the tree once it is up. Errors at start raise, wherever in the tree they
    came from: SettingsError, JournalError.
    """
    async with AsyncExitStack() as stack:
        parts = await _parts(settings, stack, make_driver)
        async with trio.open_nursery() as nursery:
            stopping = Stopping(nursery.cancel_scope, parts.web)
            await nursery.start(stopping.obey_signals)
            await _run(parts, stopping, nursery, on_ready)
            nursery.cancel_scope.cancel()
    return 0


class Stopping:
    """Signals as an operator means them: the first asks, the second hurries, the third forces."""

    def __init__(self, everything: trio.CancelScope, web: WebServer) -> None:
        self._everything = everything
        self._web = web
        self._tree: Tree | None = None

    def bind(self, tree: Tree) -> None:
        """From now on a signal stops this tree in order; before, it cancelled the start."""
        self._tree = tree

    async def obey_signals(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Act on each signal as it comes."""
        log = structlog.get_logger()
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async with trio.open_nursery() as stops:
                asked = 0
                async for number in signals:
                    asked += 1
                    log.info("stopping", signal=signal.Signals(number).name, asked=asked)
                    if asked >= FORCE_AT:
                        os._exit(128 + number)
                    if asked > 1:
                        self._web.hurry()
                    if self._tree is None:
                        self._everything.cancel()
                    else:
                        stops.start_soon(partial(self._tree.stop, hurry=asked > 1))


async def _run(
    parts: Parts,
    stopping: Stopping,
    nursery: trio.Nursery,
    on_ready: Callable[[Running], Awaitable[None]] | None,
) -> None:
    log = structlog.get_logger()
    async with AsyncExitStack() as opened:
        with _no_collection():
            tree = await opened.enter_async_context(open_tree(tree_of(parts), hooks=_hooks(parts, log)))
        stopping.bind(tree)
        parts.context.tree = tree
        assert parts.web.bound is not None
        url = parts.web.bound.url
        log.info("started", url=url, version=__version__, degraded=list(parts.context.degraded()))
        if on_ready is not None:
            nursery.start_soon(on_ready, Running(url, tree, parts.journal, parts.context))
        await tree.wait()
    log.info("stopped")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Start without looking for garbage: what is read then lives long. With a million events the search
    took 1.4 of 3.6 s; kept out of it for good, the start's objects cost throughput no more (1.15 ×)."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()


def _hooks(parts: Parts, log: Any) -> Hooks:
    def bury(report: DeadLetterReport) -> None:
        parts.coroner.report(report)
        log.error("dead_letter", actor=report.id, message_kind=type(report.message).__name__)

    def crashed(report: CrashReport) -> None:
        known = report.error.type in EXPLAINED
        log.error(
            "actor_crashed",
            actor=report.id,
            incarnation=report.incarnation,
            phase=report.phase,
            error=report.error.type,
            detail=report.error.message,
            traceback=None if known else report.traceback,
        )

    return Hooks(crashed=crashed, dead_letter=bury)


def driver_of(spec: AgentSpec, claude: "ClaudeClient | None") -> Driver:
    """The driver the configuration names; `config` has refused any other name."""
    if spec.driver == "rehearsal":
        return RehearsalDriver(spec, now_s=trio.current_time, started_at=utc_now())
    if spec.transcript is None:
        return ExternalDriver(window_tokens=spec.context.window_tokens)
    count_tokens = claude.count_tokens if claude is not None else None
    transcript = Transcript(Path(spec.transcript), model=spec.model, count_tokens=count_tokens)
    return ExternalDriver(transcript, spec.context.window_tokens)


async def _parts(
    settings: Settings, stack: AsyncExitStack, make_driver: Callable[[AgentSpec], Driver] | None
) -> Parts:
    journal = SqliteJournal(settings.journal_path, retention=timedelta(days=settings.retention_days))
    claude = await _claude(settings, stack)
    context = WebContext(
        journal=journal,
        secrets=tuple(secret.get_secret_value().encode() for secret in settings.webhook_secrets),
        version=__version__,
        data_dir=settings.data_dir,
        now=utc_now,
        api_token=settings.api_token.get_secret_value() if settings.api_token else None,
        hidden=settings.secret_values(),
        degraded=partial(degraded_modes, settings),
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
        window_of=claude.window_of if claude is not None else _unknown_window,
        drivers={
            spec.name: driver_of(spec, claude) if make_driver is None else make_driver(spec)
            for spec in settings.fleet.agents
        },
        steady=SteadyClock(),
    )


async def _claude(settings: Settings, stack: AsyncExitStack) -> "ClaudeClient | None":
    if settings.parser == "rules" or settings.anthropic_api_key is None:
        return None
    # The SDK takes two seconds and 60 MB to load: only where it is used.
    from coordinator.edges.claude import ClaudeClient

    key = settings.anthropic_api_key.get_secret_value()
    return await stack.enter_async_context(ClaudeClient(key, base_url=settings.anthropic_base_url))


async def _unknown_window(model: str) -> None:
    return None


def degraded_modes(settings: Settings) -> tuple[str, ...]:
    """What this configuration goes without, by name, for /health."""
    modes = {
        "parser-rules": settings.parser == "rules",
        "payload-trusted": True,
        "no-forge-token": settings.gitea_token is None,
        "scribe-idle": True,
        "sweeper-idle": True,
        "no-api-token": settings.api_token is None,
    }
    return tuple(name for name, on in modes.items() if on)
