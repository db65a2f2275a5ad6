"""A consistent copy of an open journal, made in slices so that accepts go on in between.

SQLite's online backup over the journal's own connection: pages that a commit changes between two
slices are copied again by SQLite itself, so it neither starts over nor needs the second connection
that the exclusive lock forbids. VACUUM INTO would hold the only thread for as long as it takes.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from coordinator.errors import JournalError, JournalUnavailable

__all__ = ["copy_in_slices", "partial_path", "publish_copy"]

_SLICE_PAGES = 256  # 1 MiB, about a millisecond: the longest an accept waits for a slice
_SYNC_SLICES = 8  # so that no single fsync has more than 8 MiB to write while accepts wait


def partial_path(path: Path) -> Path:
    """Where the copy grows until it is whole."""
    return path.with_name(f".{path.name}.partial")


def copy_in_slices(source: sqlite3.Connection, path: Path, between: Callable[[], None]) -> None:
    """Copy to `partial_path(path)`, calling `between` after each slice; what that raises ends it.

    The partial file is removed on any failure. Runs in the writer's thread.
    """
    if path.exists():
        raise JournalError(f"{path} exists already: a backup never overwrites")
    partial = partial_path(path)
    try:
        partial.unlink(missing_ok=True)  # left by a process that was killed while copying
        _copy(source, partial, between)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, sqlite3.Error | OSError):
            raise JournalUnavailable(f"no backup at {path}: {error}") from error
        raise


def publish_copy(path: Path) -> None:
    """Sync the whole copy and give it its name. Blocks on the disk; not for the writer's thread."""
    partial = partial_path(path)
    try:
        _sync(partial)
        if path.exists():
            raise JournalError(f"{path} exists already: a backup never overwrites")
        partial.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise JournalUnavailable(f"no backup at {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, partial: Path, between: Callable[[], None]) -> None:
    partial.touch(mode=0o600, exist_ok=False)
    target = sqlite3.connect(partial, isolation_level=None)
    slices = 0

    def after_slice(_status: int, _remaining: int, _total: int) -> None:
        nonlocal slices
        slices += 1
        if slices % _SYNC_SLICES == 0:
            _sync(partial)
        between()

    try:
        # The copy needs neither a rollback journal nor SQLite's one big sync at the end: until it is
        # renamed it does not count.
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target, pages=_SLICE_PAGES, progress=after_slice, sleep=0)
    finally:
        target.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
