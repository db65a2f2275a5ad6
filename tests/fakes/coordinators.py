"""A real coordinator in this process, for tests of what asks one from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from coordinator.app import Running, serve
from coordinator.config import load_settings

__all__ = ["SECRET", "environment", "open_coordinator"]

SECRET = "a-secret-of-tests-only"


def environment(path: Path, **more: str) -> dict[str, str]:
    """Settings of a coordinator on a free port, without Claude and without a token of the forge."""
    return {
        "GITEA_WEBHOOK_SECRET": SECRET,
        "GITEA_URL": "https://forge.example.org",
        "PARSER": "rules",
        "HOST": "127.0.0.1",
        "PORT": "0",
        "DATA_DIR": str(path / "data"),
        **more,
    }


@asynccontextmanager
async def open_coordinator(path: Path, **more: str) -> AsyncIterator[Running]:
    """It runs until the block ends."""
    running: list[Running] = []
    is_up = trio.Event()

    async def ready(now: Running) -> None:
        running.append(now)
        is_up.set()

    settings = load_settings(environment(path, **more))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve, settings, on_ready=ready))
        await is_up.wait()
        try:
            yield running[0]
        finally:
            with trio.CancelScope(shield=True):
                await running[0].tree.stop()
