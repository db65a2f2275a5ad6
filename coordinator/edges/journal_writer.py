"""The one thread that touches the journal's file, and the queue in front of it.

Whatever is queued when a transaction begins shares it (group commit: one fsync for all), each
operation in a savepoint of its own so that a bad one takes no neighbour along. Answers go back to
Trio in one call per transaction, in commit order. When the disk refuses, every write is refused at
once and the thread probes by itself until it takes writes again.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import structlog
import trio

from coordinator.edges.journal_housekeeping import Checkpointer, Pruner
from coordinator.edges.journal_open import open_connection, own_fault, translate
from coordinator.edges.journal_reads import Loaded, load
from coordinator.edges.journal_rows import probe
from coordinator.errors import JournalError, JournalUnavailable

__all__ = ["Operation", "Pulse", "Writer"]

_BATCH_OPERATIONS = 256  # a transaction of so many accepts of 12 KB takes some 15 ms
_BATCH_BYTES = 8 * 1024 * 1024  # one delivery of the largest size fills a transaction alone
_PROBE_EVERY_S = 1.0
_SIZE_EVERY_S = 1.0
_IDLE_S = 60.0

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class Operation:
    """One piece of work for the thread and the place its answer comes back to.

    A "backup" calls `Writer.give_way` as it goes. `publish` is called with the value in the Trio
    thread, in commit order, even when the caller has gone: what is on disk must be known. `undo` is
    False for a write that leaves nothing behind when it fails by its own fault. `dropped` is set by a
    caller that has gone; the thread then skips the operation unless it has `begun`.
    """

    kind: Literal["read", "write", "backup"]
    run: Callable[[sqlite3.Connection], Any]
    size_bytes: int = 0
    undo: bool = True
    publish: Callable[[Any], None] | None = None
    done: trio.Event = field(default_factory=trio.Event)
    value: Any = None
    error: JournalError | None = None
    begun: bool = False
    dropped: bool = False

    def refuse(self, error: JournalError) -> None:
        self.error = error


@dataclass(frozen=True, slots=True)
class Pulse:
    """The store's condition after a turn: why it does not commit (None: it does), and its size."""

    error: str | None
    size_bytes: int


class Writer:
    """One open file and its thread, from `start` until `ended` (then `gone`); never started twice.

    In the Trio thread, `opening` is called with what the file holds before anything else, `report` with
    operations answered and the condition.
    """

    def __init__(
        self,
        path: Path,
        *,
        opening: Callable[[Loaded], None],
        report: Callable[[list[Operation], Pulse], None],
        retention: timedelta,
        clock: Callable[[], datetime],
        synchronous: str = "FULL",
    ) -> None:
        self._path = path
        self._opening = opening
        self._report = report
        self._synchronous = synchronous
        self._queue: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.Thread(target=self._body, name="journal-writer", daemon=True)
        self._checkpointer = Checkpointer()
        self._pruner = Pruner(retention=retention, clock=clock)
        self._backups: list[Operation] = []
        self._backup: Operation | None = None
        self._sick: str | None = None
        self._size = 0
        self._size_until_s = 0.0
        self._next_probe_s = 0.0
        self._stopping = False
        self.failure: BaseException | None = None
        self.opened = trio.Event()
        self.ended = trio.Event()
        self.gone = trio.Event()

    def start(self) -> None:
        self._thread.start()

    def put(self, operation: Operation) -> None:
        """Queue the operation; it is answered unless the writer has ended."""
        self._queue.put(operation)

    async def stop(self) -> None:
        """Finish what is queued, close the file, join the thread."""
        self._queue.put(None)
        await self.gone.wait()
        self._thread.join()

    def give_way(self, connection: sqlite3.Connection) -> None:
        """For a backup, in the thread: do what is queued, then return, or raise if it is to end."""
        self._turn(connection, wait=False)
        if self._stopping or (self._backup is not None and self._backup.dropped):
            raise JournalUnavailable(
                "the backup was given up: its caller has gone or the journal closes"
            )

    def _arrive(self, call: Callable[..., object], *args: object) -> None:
        """What the thread has posted. An exception here would end the whole Trio run instead of its
        supervised part, so it ends this writer."""
        try:
            call(*args)
        except Exception as error:  # noqa: BLE001 - carried to serve(), which raises it
            self.failure = self.failure or error
            self._end()

    def _open(self, loaded: Loaded) -> None:
        self._opening(loaded)
        self.opened.set()

    def _end(self) -> None:
        self.ended.set()
        self.opened.set()

    # The rest runs in the thread -------------------------------------------------------------

    def _body(self) -> None:
        try:
            connection = open_connection(self._path, synchronous=self._synchronous)
            try:
                loaded = load(connection)
                self._answer([])
                self._post(self._open, loaded)
                while not self._stopping:
                    self._turn(connection, wait=True)
            finally:
                connection.close()
        except BaseException as error:  # noqa: BLE001 - carried to serve(), which raises it
            self.failure = error
        finally:
            self._post(self._end)
            self._post(self.gone.set)

    def _post(self, call: Callable[..., object], *args: object) -> None:
        try:
            self._token.run_sync_soon(self._arrive, call, *args)
        except trio.RunFinishedError:
            self._stopping = True  # nobody is left to answer; what is committed stays committed

    def _turn(self, connection: sqlite3.Connection, *, wait: bool) -> None:
        batch = self._collect(self._patience_s() if wait else 0.0)
        writes = [operation for operation in batch if operation.kind == "write"]
        reads = [operation for operation in batch if operation.kind == "read"]
        if writes:
            self._write(connection, writes)
            self._answer(writes)
        if reads:
            for operation in reads:
                self._read(connection, operation)
            self._answer(reads)
        self._keep_house(connection)
        while wait and self._backups:
            self._back_up(connection, self._backups.pop(0))

    def _patience_s(self) -> float:
        now_s = time.monotonic()
        if self._sick is not None:
            return max(self._next_probe_s - now_s, 0.0)
        return min(self._pruner.due_in_s(now_s), _IDLE_S)

    def _collect(self, patience_s: float) -> list[Operation]:
        batch: list[Operation] = []
        size_bytes = 0
        try:
            operation = self._queue.get(timeout=patience_s) if patience_s else self._queue.get_nowait()
            while True:
                if operation is None:
                    self._stopping = True
                    return batch
                if operation.kind == "backup":
                    self._backups.append(operation)
                else:
                    batch.append(operation)
                    size_bytes += operation.size_bytes
                if len(batch) >= _BATCH_OPERATIONS or size_bytes >= _BATCH_BYTES:
                    return batch
                operation = self._queue.get_nowait()
        except queue.Empty:
            return batch

    def _write(self, connection: sqlite3.Connection, operations: list[Operation]) -> None:
        if self._sick is not None:
            for operation in operations:
                operation.refuse(self._unavailable(self._sick))
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            for operation in operations:
                self._write_one(connection, operation)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._fall_sick(connection, error)
            for operation in operations:
                operation.refuse(self._unavailable(str(error)))
        else:
            self._checkpointer.wrote(len(operations), sum(one.size_bytes for one in operations))

    def _write_one(self, connection: sqlite3.Connection, operation: Operation) -> None:
        operation.begun = (
            True  # before looking at `dropped`: the caller writes and reads the other way round
        )
        if operation.dropped:
            operation.refuse(self._unavailable("the caller has gone"))
            return
        if operation.undo:
            connection.execute("SAVEPOINT operation")
        try:
            operation.value = operation.run(connection)
        except (JournalError, sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            if isinstance(error, sqlite3.Error) and not own_fault(error):
                raise
            if operation.undo:
                connection.execute("ROLLBACK TO operation")
            operation.refuse(_as_journal_error(error))
        if operation.undo:
            connection.execute("RELEASE operation")

    def _read(self, connection: sqlite3.Connection, operation: Operation) -> None:
        operation.begun = True
        if operation.dropped:
            operation.refuse(self._unavailable("the caller has gone"))
            return
        try:
            operation.value = operation.run(connection)
        except sqlite3.Error as error:
            operation.refuse(translate(error, self._path))
        except (JournalError, OverflowError, UnicodeEncodeError) as error:
            operation.refuse(_as_journal_error(error))

    def _back_up(self, connection: sqlite3.Connection, backup: Operation) -> None:
        self._backup = backup
        self._read(connection, backup)
        self._answer([backup])

    def _answer(self, operations: list[Operation]) -> None:
        self._post(self._report, operations, Pulse(self._sick, self._size_bytes()))

    def _unavailable(self, reason: str) -> JournalUnavailable:
        return JournalUnavailable(f"{self._path} cannot commit: {reason}")

    def _fall_sick(self, connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if self._sick is None:
            _log.error("journal_unavailable", path=str(self._path), error=str(error))
        self._sick = str(error)
        self._next_probe_s = time.monotonic() + _PROBE_EVERY_S

    def _keep_house(self, connection: sqlite3.Connection) -> None:
        now_s = time.monotonic()
        if self._sick is not None:
            if now_s >= self._next_probe_s:
                self._probe(connection)
        elif (
            self._queue.empty()
            and not self._checkpointer.run_if_due(connection, now_s)
            and not self._pruner.due_in_s(now_s)
        ):
            self._pruner.prune_batch(connection, now_s)

    def _probe(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            probe(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._fall_sick(connection, error)
        else:
            self._sick = None
            _log.info("journal_recovered", path=str(self._path))
        self._answer([])

    def _size_bytes(self) -> int:
        """The size of the files, looked at once a second: two system calls per transaction add up."""
        now_s = time.monotonic()
        if now_s >= self._size_until_s:
            wal = self._path.with_name(f"{self._path.name}-wal")
            self._size = sum(path.stat().st_size for path in (self._path, wal) if path.exists())
            self._size_until_s = now_s + _SIZE_EVERY_S
        return self._size


def _as_journal_error(error: Exception) -> JournalError:
    return error if isinstance(error, JournalError) else JournalError(f"cannot be written: {error}")
