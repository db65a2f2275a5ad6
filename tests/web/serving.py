"""A real server on a free loopback port, for as long as a test needs it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import trio
from quart_trio import QuartTrio

from coordinator.web.counters import Counters
from coordinator.web.envelope import Answer
from coordinator.web.front import ASGIApp, Front
from coordinator.web.limits import Limits
from coordinator.web.server import WebServer

__all__ = ["SMALL", "UNHURRIED", "bare_app", "eventually", "serving"]

# Small bounds, so that each can be reached with few bytes; times are short on a virtual clock anyway.
SMALL = Limits(max_connections=8, max_body_bytes=64 * 1024)
# Every wait is an hour: what ends within a test was not waited for.
UNHURRIED = replace(
    SMALL,
    header_timeout_s=3600.0,
    body_timeout_s=3600.0,
    write_timeout_s=3600.0,
    keep_alive_s=3600.0,
    linger_s=3600.0,
    graceful_s=3600.0,
)


def bare_app(limits: Limits = SMALL, **routes: Callable[[], Awaitable[str]]) -> ASGIApp:
    """The front over a Quart app with /health and the given routes: the server layer's own guest."""
    quart = QuartTrio("bare")
    quart.add_url_rule("/health", "health", _healthy)
    for name, view in routes.items():
        quart.add_url_rule(f"/{name}", name, view, methods=["GET", "POST"])

    return Front(
        quart,  # type: ignore[arg-type]
        hot_path="/hot",
        hot_route=_unreached,
        watches=lambda scope: scope["path"] == "/watched",
        limits=limits,
        counters=Counters(),
    )


@asynccontextmanager
async def serving(
    app: ASGIApp, limits: Limits = SMALL, counters: Counters | None = None
) -> AsyncIterator[WebServer]:
    """Serve on port 0 and, at the end, stop gracefully as the tree does: by cancelling the task."""
    server = WebServer(app, host="127.0.0.1", port=0, limits=limits, counters=counters)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()


async def eventually(claim: Callable[[], bool]) -> None:
    """Return once the claim holds; a claim that never does fails the test by time-out.

    It looks less and less often: waiting for a long time-out takes few turns of a virtual clock.
    """
    pause_s = 0.005
    with trio.fail_after(60):
        while not claim():
            await trio.sleep(pause_s)
            pause_s *= 1.5


async def _healthy() -> dict[str, str]:
    return {"status": "ok"}


async def _unreached(*_: object) -> Answer:
    raise AssertionError("no test of the server layer posts to the hot route")
