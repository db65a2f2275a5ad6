"""What ingest is measured against, each a process of its own: `python -m bench.rivals NAME PORT DIR`.

Knows nothing of the load. Every one verifies the signature over the raw bytes and answers small JSON.
"""

import argparse
import hmac
import sqlite3
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import trio

from bench.coordinator_process import SECRET
from coordinator.edges.journal import Delivery, Journal, JournalHealth, Receipt
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.log import configure_log
from coordinator.web.app import create_app
from coordinator.web.context import WebContext
from coordinator.web.server import WebServer

__all__ = ["RIVALS", "main"]


# the same app -----------------------------------------------------------------------------------


@dataclass
class NullJournal:
    """Says yes to every delivery at once and keeps nothing."""

    accepted: int = 0
    health_is: JournalHealth = field(
        default=JournalHealth(True, None, 0, 0, 0, None, 0, 0, 0, 1), init=False
    )

    async def accept(self, delivery: Delivery) -> Receipt:
        await trio.lowlevel.checkpoint()
        self.accepted += 1
        return Receipt(self.accepted)

    def health(self) -> JournalHealth:
        return self.health_is


def serve_same_app(port: int, _directory: Path) -> None:
    """(a) Our app on our server, with a journal that stores nothing; no actors."""
    _configure_log()
    trio.run(partial(_serve_app, NullJournal(), port))


def serve_journal(port: int, directory: Path) -> None:
    """Our app on our server with the real journal, but no actors: what storing alone costs."""
    _configure_log()

    async def run() -> None:
        journal = SqliteJournal(directory / "journal.sqlite3")
        async with trio.open_nursery() as nursery:
            await nursery.start(journal.serve)
            await _serve_app(journal, port)

    trio.run(run)


async def _serve_app(journal: Any, port: int) -> None:
    stored: Journal = journal
    context = WebContext(
        journal=stored,
        secrets=(SECRET,),
        version="bench",
        data_dir=Path(),
        now=lambda: datetime.now(UTC),  # noqa: TID251 - a shell
        bind_is_loopback=True,
    )
    server = WebServer(
        create_app(context),
        host="127.0.0.1",
        port=port,
        limits=context.limits,
        counters=context.counters,
    )
    await server.serve()


def _configure_log() -> None:
    configure_log(level="info", log_format="json", secrets=(SECRET.decode(),))


# what such a receiver is usually written in -----------------------------------------------------


def serve_fastapi(port: int, _directory: Path) -> None:
    """(b) FastAPI on uvicorn: verify, parse, answer."""

    async def keep(_delivery: str, _event: str, _body: bytes) -> None:
        return None

    _run_uvicorn(keep, port)


def serve_fastapi_sqlite(port: int, directory: Path) -> None:
    """(c) FastAPI on uvicorn, one transaction per delivery, fsynced before the answer.

    The commit runs in the event loop: handing it to a worker thread was slower at every concurrency.
    """
    connection = sqlite3.connect(directory / "rival.sqlite3", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE delivery (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, event TEXT, body BLOB)"
    )

    async def keep(delivery: str, event: str, body: bytes) -> None:
        connection.execute(
            "INSERT OR IGNORE INTO delivery (id, event, body) VALUES (?, ?, ?)", (delivery, event, body)
        )

    _run_uvicorn(keep, port)


def _run_uvicorn(keep: Callable[[str, str, bytes], Coroutine[Any, Any, None]], port: int) -> None:
    import uvicorn
    from fastapi import FastAPI, HTTPException, Request
    from pydantic import BaseModel

    class Issue(BaseModel):
        id: int
        number: int
        title: str
        body: str | None
        state: str

    class Payload(BaseModel):
        action: str
        issue: Issue

    app = FastAPI()

    @app.post("/webhook/gitea")
    async def receive(request: Request) -> dict[str, str]:
        body = await request.body()
        expected = hmac.new(SECRET, body, sha256).hexdigest()
        if not hmac.compare_digest(
            expected.encode(), request.headers.get("x-gitea-signature", "").encode()
        ):
            raise HTTPException(401)
        Payload.model_validate_json(body)
        delivery = request.headers["x-gitea-delivery"]
        await keep(delivery, request.headers["x-gitea-event"], body)
        return {"status": "accepted", "delivery": delivery}

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


RIVALS: dict[str, Callable[[int, Path], None]] = {
    "same app, nothing stored": serve_same_app,
    "same app, journal only": serve_journal,
    "FastAPI, nothing stored": serve_fastapi,
    "FastAPI + SQLite": serve_fastapi_sqlite,
}


def main(argv: list[str]) -> None:
    """Serve one rival until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=RIVALS)
    parser.add_argument("port", type=int)
    parser.add_argument("directory", type=Path)
    chosen = parser.parse_args(argv)
    RIVALS[chosen.name](chosen.port, chosen.directory)


if __name__ == "__main__":
    main(sys.argv[1:])
