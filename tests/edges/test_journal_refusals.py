"""When the journal must stay closed: somebody else has it, or the file is not what it should be."""

import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.errors import (
    JournalCorrupt,
    JournalError,
    JournalInUse,
    JournalTooNew,
    JournalUnavailable,
)
from tests.edges.journal_contract import delivery, serving

KIB = 1024


@contextmanager
def _another_process(script: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs the script and has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


HOLD_LOCK = """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)
    sys.stdin.read()
"""

TRY_WRITE = """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], timeout=0.1)
    try:
        connection.execute("DELETE FROM event")
    except sqlite3.OperationalError as error:
        print(error)
"""


def _said_by_another_process(script: str, *args: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script), *args]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


# Somebody else --------------------------------------------------------------------------------


async def test_a_second_process_is_refused_by_name(tmp_path: Path) -> None:
    """Another process that serves the same file makes serve() fail, naming the file; then it works."""
    path = tmp_path / "j.db"
    script = """
        import sys, trio
        from pathlib import Path
        from coordinator.edges.journal_sqlite import SqliteJournal
        async def main():
            async with trio.open_nursery() as nursery:
                await nursery.start(SqliteJournal(Path(sys.argv[1])).serve)
                print("ready", flush=True)
        trio.run(main)
    """
    with _another_process(script, str(path)):
        started = time.monotonic()
        with pytest.raises(JournalInUse, match=r"j\.db is in use by another process"):
            await SqliteJournal(path).serve()
        assert time.monotonic() - started < 30
    async with serving(SqliteJournal(path)) as journal:
        await journal.accept(delivery())


async def test_a_lock_held_at_start_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """An external tool's transaction makes serve() fail in time; when it ends, serve() works."""
    path = tmp_path / "j.db"
    async with serving(SqliteJournal(path)):
        pass
    with _another_process(HOLD_LOCK, str(path)), pytest.raises(JournalInUse):
        await SqliteJournal(path).serve()
    async with serving(SqliteJournal(path)) as journal:
        await journal.accept(delivery())


async def test_an_external_tool_cannot_get_in(tmp_path: Path) -> None:
    """While it is served the file is locked for others, even after a refusal in this process."""
    path = tmp_path / "j.db"
    async with serving(SqliteJournal(path)) as journal:
        with pytest.raises(JournalInUse):
            await SqliteJournal(path).serve()
        assert "database is locked" in _said_by_another_process(TRY_WRITE, str(path))
        await journal.accept(delivery())


# A file that must not be opened -----------------------------------------------------------------


async def _refused(path: Path, error: type[JournalError]) -> str:
    """The message of serve()'s refusal, which must leave the file's bytes alone."""
    before = {one: one.read_bytes() for one in path.parent.glob("j.db*")}
    with pytest.raises(error) as refusal:
        await SqliteJournal(path).serve()
    assert {one: one.read_bytes() for one in path.parent.glob("j.db*")} == before
    return str(refusal.value)


async def _written(path: Path, deliveries: int = 20) -> None:
    async with serving(SqliteJournal(path)) as journal:
        for number in range(deliveries):
            await journal.accept(delivery(f"d{number}", b"%d" % number * 4 * KIB))


async def test_garbage_is_refused_and_kept(tmp_path: Path) -> None:
    """A file that is no database, with a log beside it, is refused, untouched, with the way back."""
    path = tmp_path / "j.db"
    path.write_bytes(b"garbage!" * KIB)
    path.with_name("j.db-wal").write_bytes(b"left over")
    message = await _refused(path, JournalCorrupt)
    assert str(path) in message
    for step in ("stop", "move", "backup", "copy", "start"):
        assert step in message


async def test_a_truncated_file_is_refused_and_kept(tmp_path: Path) -> None:
    """A file shorter than its own header says is refused."""
    path = tmp_path / "j.db"
    await _written(path)
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)
    assert str(path) in await _refused(path, JournalCorrupt)


async def test_a_damaged_page_is_refused_and_kept(tmp_path: Path) -> None:
    """A small file is checked whole, so that damage in the middle is found before it spreads."""
    path = tmp_path / "j.db"
    await _written(path)
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)
    await _refused(path, JournalCorrupt)


async def test_another_programs_database_is_refused_and_kept(tmp_path: Path) -> None:
    """A sound SQLite file that is not a journal is neither migrated nor converted."""
    path = tmp_path / "j.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (id)")
    assert "another program" in await _refused(path, JournalCorrupt)


async def test_a_newer_schema_is_refused_and_kept(tmp_path: Path) -> None:
    """A journal of a newer version is refused, naming both versions."""
    path = tmp_path / "j.db"
    await _written(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA journal_mode = WAL")
    message = await _refused(path, JournalTooNew)
    assert "99" in message
    assert "up to 1" in message


@pytest.mark.parametrize("place", ["missing/j.db", "file/j.db", "folder", "/proc/j.db"])
async def test_an_unusable_place_is_named(tmp_path: Path, place: str) -> None:
    """A directory that is absent, a file, or not writable makes serve() fail with its name."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(JournalUnavailable, match=Path(place).name):
        await SqliteJournal(tmp_path / place).serve()


async def test_a_refused_journal_can_be_served_later(tmp_path: Path) -> None:
    """The same object serves once the cause is gone, and leaves no thread behind."""
    path = tmp_path / "sub" / "j.db"
    journal = SqliteJournal(path)
    with pytest.raises(JournalUnavailable):
        await journal.serve()
    path.parent.mkdir()
    async with serving(journal):
        await journal.accept(delivery())
    assert "journal-writer" not in {thread.name for thread in threading.enumerate()}
