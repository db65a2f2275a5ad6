"""The composition root: the tree on one screen, run until it is told to stop.

Nothing below this file knows how the parts (`parts.py`) fit together.
"""

import gc
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
import trio

from coordinator import __version__
from coordinator.actors.dependency_tracker import DependencyTracker
from coordinator.actors.dispatcher import Dispatcher
from coordinator.actors.monitor import Monitor
from coordinator.actors.parser import Parser
from coordinator.actors.router import Router
from coordinator.actors.scribe import Scribe
from coordinator.actors.sweeper import Sweeper
from coordinator.config import Settings
from coordinator.edges.drivers import Driver
from coordinator.edges.journal import Journal
from coordinator.errors import (
    JournalCorrupt,
    JournalInUse,
    JournalTooNew,
    JournalUnavailable,
    SettingsError,
)
from coordinator.parts import Parts, make_parts
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.write_queue import WritingPace
from coordinator.runtime import (
    BlockedReport,
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
from coordinator.web.context import WebContext
from coordinator.web.server import WebServer
from coordinator.web.state import redaction_of

__all__ = ["Running", "Stopping", "serve", "tree_of"]

# A parse waits for Claude in a job of its own, so no handler of ours should come near this; a journal
# that cannot commit pushes it on.
HANDLER_TIMEOUT_S = 60.0

# Snapshots of ten thousand issues are written on the way out.
PIPELINE_SHUTDOWN_S = 10.0

# Beyond what requests in flight may take: closing their sockets.
WEB_SLACK_S = 1.0

# A forge gives up on a delivery after 5 s: a loop that rests for one is worth a look before that.
WATCHDOG_S = 1.0

# These say in one line what is wrong and what to do; frames would only bury it.
EXPLAINED = frozenset(
    error.__name__
    for error in (SettingsError, JournalCorrupt, JournalInUse, JournalTooNew, JournalUnavailable)
)

# Ten times the default: a delivery makes hundreds of objects, nearly all freed by their counts alone.
GC_THRESHOLDS = (7_000, 20, 50)

# The third signal is somebody who has stopped waiting.
FORCE_AT = 3


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
            actor(Router, journal, fleet, id="router", forge=parts.forge),
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
            *_at_the_forge(parts),
            strategy="one_for_one",
        ),
        dynamic("agents", initial=[_monitor(spec, parts) for spec in fleet.agents]),
        task(parts.web.serve, id="web", shutdown_s=settings.shutdown_timeout_s + WEB_SLACK_S),
        strategy="rest_for_one",
    )


def _at_the_forge(parts: Parts) -> tuple[ChildSpec, ...]:
    """Who writes to the forge, and who looks for what it did not tell: nobody without a token."""
    settings, journal, forge = parts.settings, parts.journal, parts.forge
    if forge is None:
        return ()
    actor = partial(child, handler_timeout_s=HANDLER_TIMEOUT_S, shutdown_s=PIPELINE_SHUTDOWN_S)
    return (
        actor(
            Scribe,
            journal,
            settings.fleet,
            forge,
            id="scribe",
            write_back=settings.write_back,
            pace=parts.writing_pace,
        ),
        actor(
            Sweeper,
            journal,
            settings.fleet,
            forge,
            id="sweeper",
            repositories=settings.repositories,
            interval_s=settings.sweep_interval_s,
        ),
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
    writing_pace: WritingPace = WritingPace(),  # noqa: B008 - frozen
) -> int:
    """Run until SIGTERM or SIGINT, then stop in order; the exit code.

    `on_ready` runs beside the tree once it is up. Errors at start raise, wherever in the tree they
    came from: SettingsError, JournalError.
    """
    async with AsyncExitStack() as stack:
        parts = await make_parts(settings, stack, make_driver, writing_pace)
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
            tree = await opened.enter_async_context(
                open_tree(tree_of(parts), hooks=_hooks(parts, log), watchdog_s=WATCHDOG_S)
            )
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
    tally, redact = parts.context.tally, redaction_of(parts.context)

    def bury(report: DeadLetterReport) -> None:
        tally.dead_letter(report)
        parts.coroner.report(report)
        log.error("dead_letter", actor=report.id, message_kind=type(report.message).__name__)

    def crashed(report: CrashReport) -> None:
        tally.crashed(report)
        known = report.error.type in EXPLAINED
        log.error(
            "actor_crashed",
            actor=report.id,
            incarnation=report.incarnation,
            phase=report.phase,
            error=report.error.type,
            detail=report.error.message,
            message=report.message,
            attempt=report.attempt,
            budget_left=report.budget_left,
            traceback=None if known else report.traceback,
        )

    def blocked(report: BlockedReport) -> None:
        tally.blocked(report)
        log.error("event_loop_blocked", actor=report.actor_id, s=report.seconds, stack=report.stack)

    return Hooks(
        handled=tally.handled,
        restarted=tally.restarted,
        crashed=crashed,
        dead_letter=bury,
        dropped=tally.dropped,
        blocked=blocked,
        redact=lambda _id, value: redact(value),
    )
