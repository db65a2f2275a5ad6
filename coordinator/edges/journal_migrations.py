"""From an empty or older file to the schema this program knows, one step per version.

`PRAGMA user_version` holds the version of the file; a step and its number are committed together.
"""

import sqlite3
from pathlib import Path

from coordinator.errors import JournalTooNew

__all__ = ["SCHEMA_VERSION", "STEPS", "migrate", "schema_version"]

STEPS: tuple[str, ...] = (Path(__file__).with_name("journal_schema.sql").read_text(encoding="utf-8"),)
"""Step n takes a file from version n - 1 to version n. A released step is never edited."""

SCHEMA_VERSION = len(STEPS)


def schema_version(connection: sqlite3.Connection) -> int:
    """The version the file is in; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, *, path: Path, steps: tuple[str, ...] = STEPS) -> None:
    """Bring the file up to the last of `steps`; JournalTooNew, and no write, when it is past that."""
    found = schema_version(connection)
    if found > len(steps):
        raise JournalTooNew(
            f"{path} has schema {found}, this program knows up to {len(steps)}: "
            "run the newer version, or restore a backup made before the upgrade"
        )
    for number, step in enumerate(steps[found:], start=found + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{step}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
