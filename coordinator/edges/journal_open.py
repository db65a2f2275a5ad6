"""Opens the journal's one connection, or says in one sentence why it must stay closed.

Every setting here was measured: WAL with synchronous=FULL fsyncs each group before it is
acknowledged (NORMAL loses acknowledged rows in a power cut), and the EXCLUSIVE lock keeps out the
second connection that SQLite before 3.51.3 cannot bear (https://sqlite.org/wal.html#walresetbug).
"""

import sqlite3
from pathlib import Path
from urllib.parse import quote

from coordinator.edges.journal_migrations import migrate, schema_version
from coordinator.errors import (
    JournalCorrupt,
    JournalError,
    JournalInUse,
    JournalUnavailable,
)

__all__ = ["APPLICATION_ID", "open_connection", "own_fault", "translate"]

APPLICATION_ID = 0x4D4F5341
"""Marks the file as ours ("MOSA", set by the first schema step): others are refused."""

_BUSY_MS = 1_000  # the forge gives up after 5 s; an open that is refused later helps nobody
_FORCED_CHECKPOINT_PAGES = 16_000  # 64 MB of WAL: past that even a busy writer must checkpoint
_CACHE_KIB = 16_384  # holds the upper pages of the random-keyed dedupe indexes of 1,000,000 rows
_QUICK_CHECK_BYTES = (
    16 * 1024 * 1024
)  # checked whole in some 50 ms; a bigger file would delay the start

_OWN_FAULTS = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def open_connection(path: Path, *, synchronous: str = "FULL") -> sqlite3.Connection:
    """The connection, exclusively locked and migrated, for use in the calling thread only.

    `synchronous` is for the power-cut test, which must be able to fail. Raises JournalCorrupt,
    JournalTooNew, JournalInUse or JournalUnavailable, all naming the path.
    """
    if not path.parent.is_dir():
        raise JournalUnavailable(f"cannot open {path}: {path.parent} is not a directory")
    try:
        _refuse_garbage(path)
        connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    try:
        _prepare(connection, path, synchronous)
    except (sqlite3.Error, JournalError) as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise translate(error, path) from error
        raise
    return connection


def own_fault(error: sqlite3.Error) -> bool:
    """Whether one statement was wrong, rather than the disk or the file under all of them."""
    return _code(error) in _OWN_FAULTS or isinstance(error, sqlite3.ProgrammingError)


def translate(error: sqlite3.Error, path: Path) -> JournalError:
    """SQLite's complaint in the journal's words, with the path and the remedy."""
    code = _code(error)
    if code in _CORRUPT:
        return JournalCorrupt(_corrupt(path, str(error)))
    if code in _LOCKED:
        return JournalInUse(
            f"{path} is in use by another process ({error}): only one coordinator may have it open; "
            "stop the other one, or give this one its own data directory"
        )
    return JournalUnavailable(f"{path}: {error}")


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code


def _corrupt(path: Path, seen: str) -> str:
    return (
        f"{path} is not a sound journal ({seen}); it was left as it is. To restore: stop the"
        f" coordinator, move {path.name}* out of the way, copy the newest file that"
        f" `mosaic-coordinator backup` wrote to {path}, start again"
    )


def _refuse_garbage(path: Path) -> None:
    """Look at the first page without locks, recovery or writes.

    An ordinary connection would merge a leftover -wal into whatever lies there. Only "not a
    database" counts: read without its -wal, the file of a crashed process may look torn. A plain
    open() would not do, as closing it drops this process's POSIX locks on the file.
    """
    if not path.exists() or path.stat().st_size == 0:
        _refuse_orphan(path)
        return
    uri = f"file:{quote(str(path.absolute()))}?immutable=1"
    peek = sqlite3.connect(uri, uri=True)
    try:
        peek.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        if _code(error) == sqlite3.SQLITE_NOTADB:
            raise
    finally:
        peek.close()


def _refuse_orphan(path: Path) -> None:
    """SQLite deletes a -wal that lies beside an empty file, and everything may still be in it."""
    log = path.with_name(f"{path.name}-wal")
    if log.is_file() and log.stat().st_size:
        seen = f"it is missing or empty, but {log.name} holds {log.stat().st_size} bytes of it"
        raise JournalCorrupt(_corrupt(path, seen))


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    _refuse_foreign(connection, path)
    if schema_version(connection) == 0:
        connection.execute("PRAGMA page_size = 4096")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise JournalUnavailable(f"{path}: the file system allows no write-ahead log (mode {mode})")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_FORCED_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_FORCED_CHECKPOINT_PAGES * 4096}")
    migrate(connection, path=path)
    connection.execute("BEGIN IMMEDIATE")  # takes the exclusive lock, and sees whether one may write
    connection.execute("INSERT OR REPLACE INTO probe (id, pad) VALUES (1, x'00')")
    connection.execute("COMMIT")
    if path.stat().st_size <= _QUICK_CHECK_BYTES:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise JournalCorrupt(_corrupt(path, verdict))


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    if tables and found != APPLICATION_ID:
        raise JournalCorrupt(_corrupt(path, f"another program's database, application id {found:#x}"))
