"""What the writer's thread does between transactions: checkpoints and retention, a little at a time."""

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from coordinator.edges.journal_columns import micros
from coordinator.edges.journal_inbox import INBOX_READER

__all__ = ["BATCH_ROWS", "Checkpointer", "Pruner"]

BATCH_ROWS = 256  # deletes some 3 MB of bodies in a few milliseconds, so an accept never waits long

_IDLE_PAGES = 1_000  # measured: larger groups of pages make the checkpoint itself a 70 ms stall
_RETRY_S = 10.0  # a checkpoint that found the disk full; the log still takes commits meanwhile
_ROUND_EVERY_S = 60.0  # retention counts days; a minute late is on time

_log = structlog.get_logger(__name__)


class Checkpointer:
    """Moves the write-ahead log into the file when nobody waits.

    SQLite tells the length of the log only by checkpointing it, so it is estimated in between;
    the forced checkpoint at 16,000 pages is SQLite's own and counts exactly.
    """

    def __init__(self) -> None:
        self._pages = 0
        self._not_before = 0.0

    def wrote(self, operations: int, size_bytes: int) -> None:
        """Count a transaction: a row touches about three pages beside its own bytes."""
        self._pages += 1 + 3 * operations + size_bytes // 4096

    def run_if_due(self, connection: sqlite3.Connection, now_s: float) -> bool:
        """Checkpoint when the log is long; True if it did. A failure is logged and tried again."""
        if self._pages < _IDLE_PAGES or now_s < self._not_before:
            return False
        try:
            _, pages, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            self._not_before = now_s + _RETRY_S
            _log.warning("journal_checkpoint_failed", error=str(error))
            return False
        self._pages = max(pages - moved, 0)
        return True


class Pruner:
    """Drops raw bodies and samples older than `retention`, BATCH_ROWS rows at a time.

    A body goes only when the router has noted an outcome for it and no dead letter of it waits to be
    replayed: those keep their bytes however old they are.
    """

    def __init__(self, *, retention: timedelta, clock: Callable[[], datetime]) -> None:
        self._retention = retention
        self._clock = clock
        self._after = 0
        self._next_round_s = 0.0

    def due_in_s(self, now_s: float) -> float:
        return max(self._next_round_s - now_s, 0.0)

    def prune_batch(self, connection: sqlite3.Connection, now_s: float) -> int:
        """Prune one batch in its own transaction; how many rows went.

        The round ends with the first batch that holds nothing old, or with a failure: that is logged
        and undone, as a journal that cannot forget can still remember.
        """
        try:
            connection.execute("BEGIN IMMEDIATE")
            bodies, last = self._prune_bodies(connection)
            samples = self._prune_samples(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            _log.warning("journal_retention_failed", error=str(error))
            bodies = samples = last = 0
        self._after = last
        if last == 0 and samples == 0:
            self._next_round_s = now_s + _ROUND_EVERY_S
        return bodies + samples

    def _oldest(self) -> int:
        return micros(self._clock() - self._retention)

    def _prune_samples(self, connection: sqlite3.Connection) -> int:
        return connection.execute(
            "DELETE FROM sample WHERE number IN (SELECT number FROM sample ORDER BY number LIMIT ?)"
            " AND sampled_at < ?",
            (BATCH_ROWS, self._oldest()),
        ).rowcount

    def _prune_bodies(self, connection: sqlite3.Connection) -> tuple[int, int]:
        rows = connection.execute(
            "SELECT seq, received_at < ?, outcome IS NOT NULL AND seq NOT IN (SELECT item"
            " FROM dead_letter WHERE replayed_at IS NULL AND actor = ? AND item IS NOT NULL)"
            " FROM delivery_body JOIN delivery USING (seq) WHERE seq > ? ORDER BY seq LIMIT ?",
            (self._oldest(), INBOX_READER, self._after, BATCH_ROWS),
        ).fetchall()
        old = [(seq, settled) for seq, is_old, settled in rows if is_old]
        gone = [(seq,) for seq, settled in old if settled]
        connection.executemany("DELETE FROM delivery_body WHERE seq = ?", gone)
        return len(gone), (rows[-1][0] if old else 0)
