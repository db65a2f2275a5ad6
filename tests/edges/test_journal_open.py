"""The connection's settings, and the words for SQLite's complaints."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.edges.journal_open import APPLICATION_ID, open_connection, own_fault, translate
from coordinator.errors import JournalCorrupt, JournalError, JournalInUse, JournalUnavailable


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_connection(tmp_path / "odd ?#% name.db")) as connection:
        yield connection


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("locking_mode", "exclusive"),
        ("foreign_keys", 1),
        ("page_size", 4096),
        ("busy_timeout", 1000),
        ("wal_autocheckpoint", 16000),
        ("application_id", APPLICATION_ID),
    ],
)
def test_the_measured_settings_are_in_force(
    connection: sqlite3.Connection, pragma: str, value: object
) -> None:
    """Durability and exclusion rest on these, so each is read back from SQLite."""
    assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_a_file_opens_again(tmp_path: Path) -> None:
    """Opening is repeatable: what the first one wrote satisfies the checks of the second."""
    for _ in range(2):
        open_connection(tmp_path / "j.db").close()


def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    """A file created beforehand, to give it an owner or a mode, is taken."""
    path = tmp_path / "j.db"
    path.touch()
    open_connection(path).close()
    assert path.stat().st_size > 0


@pytest.mark.parametrize("is_missing", [True, False])
def test_a_log_without_its_file_is_refused(is_missing: bool, tmp_path: Path) -> None:
    """Everything may still be in the log, and SQLite would delete it beside an empty file."""
    path, log = tmp_path / "j.db", tmp_path / "j.db-wal"
    log.write_bytes(b"frames")
    if not is_missing:
        path.touch()
    with pytest.raises(JournalCorrupt, match=r"j\.db-wal holds 6 bytes"):
        open_connection(path)
    assert log.read_bytes() == b"frames"
    assert path.exists() is not is_missing


def test_a_file_system_without_a_log_is_refused(tmp_path: Path) -> None:
    """Where SQLite cannot keep a write-ahead log the journal does not start."""
    path = tmp_path / "j.db"
    open_connection(path).close()
    path.with_name("j.db-wal").mkdir()
    with pytest.raises(JournalUnavailable, match=r"j\.db"):
        open_connection(path)


def _error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("said SQLite")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_CORRUPT, JournalCorrupt),
        (sqlite3.SQLITE_CORRUPT_INDEX, JournalCorrupt),
        (sqlite3.SQLITE_NOTADB, JournalCorrupt),
        (sqlite3.SQLITE_BUSY, JournalInUse),
        (sqlite3.SQLITE_BUSY_RECOVERY, JournalInUse),
        (sqlite3.SQLITE_FULL, JournalUnavailable),
        (sqlite3.SQLITE_IOERR_FSYNC, JournalUnavailable),
        (sqlite3.SQLITE_READONLY, JournalUnavailable),
    ],
)
def test_each_complaint_has_its_error(code: int, kind: type[JournalError]) -> None:
    """Extended codes count as their primary one; the path and SQLite's words are kept."""
    translated = translate(_error(code), Path("/data/j.db"))
    assert type(translated) is kind
    assert "/data/j.db" in str(translated)
    assert "said SQLite" in str(translated)
    assert not own_fault(_error(code))


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_TOOBIG])
def test_a_statements_own_fault_is_not_the_disks(code: int) -> None:
    """What one row did wrong does not make the journal unavailable."""
    assert own_fault(_error(code))
    assert own_fault(sqlite3.ProgrammingError("wrong number of bindings"))
