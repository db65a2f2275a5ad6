"""One life of a journal under load, to be killed: accepts deliveries until it dies.

Run as a process: `python -m tests.fakes.powercut_life PATH SYNCHRONOUS TASKS LIFE`. A delivery
that is refused is sent again. Its id goes to standard output once it was acknowledged, not before; each
refusal is a line on standard error.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import structlog
import trio

from coordinator.edges.journal import Delivery
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.errors import JournalUnavailable
from coordinator.rules.ids import DeliveryId

_RECEIVED_AT = datetime(2026, 1, 1, tzinfo=UTC)


async def live(path: Path, synchronous: str, tasks: int, life: str) -> None:
    journal = SqliteJournal(path, synchronous=synchronous)

    async def accepted(sent: Delivery) -> bool:
        try:
            await journal.accept(sent)
        except JournalUnavailable:
            os.write(2, b"refused\n")
            return False
        return True

    async def accept_for_ever(task: int) -> None:
        number = 0
        while True:
            number += 1
            name = f"{life}-{task}-{number}"
            body = name.encode() * 200
            sent = Delivery(DeliveryId(name), "issues", "issues", (), body, _RECEIVED_AT)
            while not await accepted(sent):  # noqa: ASYNC110 - as a sender would
                await trio.sleep(0.02)
            os.write(1, f"{name}\n".encode())

    async with trio.open_nursery() as nursery:
        await nursery.start(journal.serve)
        for task in range(tasks):
            nursery.start_soon(accept_for_ever, task)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(live, Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
