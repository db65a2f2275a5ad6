"""A real journal for tests of anything but its deadlines."""

from pathlib import Path
from typing import Any

from coordinator.edges.journal_sqlite import SqliteJournal

__all__ = ["patient_journal"]


def patient_journal(path: Path, **options: Any) -> SqliteJournal:
    """One that is late for nobody, so that a machine that stands still for a moment fails no test."""
    patience = {"accept_deadline_s": 60.0, "commit_deadline_s": 60.0}
    return SqliteJournal(path, **{**patience, **options})
