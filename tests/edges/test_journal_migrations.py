"""From any older file to the schema of today, or not at all."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.edges.journal_migrations import SCHEMA_VERSION, STEPS, migrate, schema_version
from coordinator.errors import JournalTooNew

PATH = Path("j.db")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "j.db", isolation_level=None)) as connection:
        yield connection


def _tables(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_a_new_file_gets_the_schema(connection: sqlite3.Connection) -> None:
    """An empty file is brought to the current version, once."""
    assert schema_version(connection) == 0
    migrate(connection, path=PATH)
    assert schema_version(connection) == SCHEMA_VERSION
    before = _tables(connection)
    migrate(connection, path=PATH)
    assert _tables(connection) == before != []


def test_an_older_file_takes_only_the_missing_steps(connection: sqlite3.Connection) -> None:
    """Step by step gives the same tables as all at once."""
    migrate(connection, path=PATH)
    migrate(connection, path=PATH, steps=(*STEPS, "CREATE TABLE later (id INTEGER);"))
    assert schema_version(connection) == SCHEMA_VERSION + 1
    stepwise = _tables(connection)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh, path=PATH, steps=(*STEPS, "CREATE TABLE later (id INTEGER);"))
        assert _tables(fresh) == stepwise


@pytest.mark.parametrize("step", ["CREATE TABLE half (id); CREATE TABLE half (id);", "NONSENSE;"])
def test_a_step_that_fails_leaves_the_file_as_it_was(connection: sqlite3.Connection, step: str) -> None:
    """A step is committed with its number or not at all, so it can be tried again."""
    migrate(connection, path=PATH)
    before = _tables(connection)
    with pytest.raises(sqlite3.Error):
        migrate(connection, path=PATH, steps=(*STEPS, step))
    assert _tables(connection) == before
    assert schema_version(connection) == SCHEMA_VERSION
    assert not connection.in_transaction


def test_a_step_that_cannot_begin_leaves_nothing_open(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    """A file locked by another is reported as such."""
    with closing(sqlite3.connect(tmp_path / "j.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        connection.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            migrate(connection, path=PATH)
    assert not connection.in_transaction


def test_a_newer_file_is_refused(connection: sqlite3.Connection) -> None:
    """Both versions are named and nothing is written."""
    connection.execute("PRAGMA user_version = 7")
    with pytest.raises(JournalTooNew, match=r"j\.db has schema 7, this program knows up to 1"):
        migrate(connection, path=PATH)
    assert _tables(connection) == []
