"""A copy is whole, durable and made beside the running journal, or it is not there."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import trio

from coordinator.edges.journal_backup import copy_in_slices, partial_path, publish_copy
from coordinator.edges.journal_open import open_connection
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.errors import JournalError, JournalUnavailable
from tests.edges.journal_contract import delivery, serving
from tests.fakes.patient_journal import patient_journal

KIB = 1024
FILLED = 80
"""Deliveries of 128 KiB: a file of 10 MiB, some forty slices."""


async def _fill(journal: SqliteJournal) -> None:
    for number in range(FILLED):
        await journal.accept(delivery(f"d{number}", os.urandom(128 * KIB)))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_backup_opens_as_a_journal(tmp_path: Path) -> None:
    """The copy is sound, serves, and holds every delivery committed before it began."""
    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        await _fill(journal)
        original = await journal.read_deliveries(0, 999)
        await journal.backup(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with serving(patient_journal(tmp_path / "copy.db")) as copy:
        assert await copy.read_deliveries(0, 999) == original


async def test_accepts_go_on_during_a_backup(tmp_path: Path) -> None:
    """While the copy is made deliveries are stored, and the copy is consistent."""
    during = 0

    async def accept_until(finished: trio.Event) -> None:
        nonlocal during
        while not finished.is_set():
            await journal.accept(delivery(f"n{during}", b"n%d" % during))
            during += 1

    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        await _fill(journal)
        finished = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept_until, finished)
            await journal.backup(tmp_path / "copy.db")
            finished.set()
    assert during > 3
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        [(last, count)] = connection.execute("SELECT max(seq), count(*) FROM delivery").fetchall()
        assert FILLED <= last == count
        bodies = connection.execute("SELECT count(*) FROM delivery_body").fetchone()
        assert bodies == (count,)


async def test_a_backup_given_up_leaves_nothing(tmp_path: Path) -> None:
    """When its caller goes, the copying ends, the partial file is removed, and the journal goes on."""
    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        await _fill(journal)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(journal.backup, tmp_path / "copy.db")
                while partial_path(tmp_path / "copy.db").name not in _names(tmp_path):
                    await journal.cursor("nobody")
                scope.cancel()
        await journal.accept(delivery("after", b"after"))
        while journal.health().queued:
            await journal.cursor("nobody")
        assert _names(tmp_path) == ["j.db", "j.db-wal"]


async def test_two_at_once_under_one_name_make_one_sound_copy(tmp_path: Path) -> None:
    """The second is refused because the name is taken; neither harms the other's unfinished file."""
    outcomes: list[str] = []

    async def back_up() -> None:
        try:
            await journal.backup(tmp_path / "copy.db")
            outcomes.append("made")
        except JournalError as error:
            outcomes.append("exists" if "exists already" in str(error) else str(error))

    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        await _fill(journal)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(back_up)
            nursery.start_soon(back_up)
    assert sorted(outcomes) == ["exists", "made"]
    assert _names(tmp_path) == ["copy.db", "j.db"]
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM delivery").fetchone() == (FILLED,)


async def test_a_backup_given_up_when_it_was_whole_leaves_nothing(tmp_path: Path) -> None:
    """A caller that goes between the copying and the naming leaves no nameless copy behind."""
    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(journal.backup, tmp_path / "copy.db")
                while not partial_path(tmp_path / "copy.db").exists():
                    await trio.lowlevel.checkpoint()
                time.sleep(0.3)  # noqa: ASYNC251 - the thread finishes, and Trio cannot hear of it yet
                scope.cancel()
        assert scope.cancelled_caught
        assert _names(tmp_path) == ["j.db", "j.db-wal"]


async def test_closing_ends_a_backup(tmp_path: Path) -> None:
    """A journal that closes does not wait for a long copy: the backup fails and leaves nothing."""
    refused: list[JournalUnavailable] = []
    journal = patient_journal(tmp_path / "j.db")

    async def back_up() -> None:
        try:
            await journal.backup(tmp_path / "copy.db")
        except JournalUnavailable as error:
            refused.append(error)

    async with trio.open_nursery() as nursery, serving(journal):
        await _fill(journal)
        nursery.start_soon(back_up)
        while not partial_path(tmp_path / "copy.db").exists():
            await journal.cursor("nobody")
    assert len(refused) == 1
    assert _names(tmp_path) == ["j.db"]


async def test_a_backup_to_nowhere_fails_by_name(tmp_path: Path) -> None:
    """A target that cannot be written is named, and the journal goes on committing."""
    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        with pytest.raises(JournalUnavailable, match="missing"):
            await journal.backup(tmp_path / "missing" / "copy.db")
        assert journal.health().commits
        await journal.accept(delivery())


def test_a_failure_between_slices_removes_the_partial_file(tmp_path: Path) -> None:
    """Whatever ends the copying, no partial file is left."""

    def fail() -> None:
        raise JournalUnavailable("no more")

    with (
        closing(open_connection(tmp_path / "j.db")) as source,
        pytest.raises(JournalUnavailable, match="no more"),
    ):
        copy_in_slices(source, tmp_path / "copy.db", fail)
    assert _names(tmp_path) == ["j.db"]


def test_a_partial_file_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    """What an earlier process has left half done is not in the way."""
    target = tmp_path / "copy.db"
    partial_path(target).write_bytes(b"half a copy")
    with closing(open_connection(tmp_path / "j.db")) as source:
        copy_in_slices(source, target, lambda: None)
    publish_copy(target)
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Between copying and naming somebody may have taken the name."""
    target = tmp_path / "copy.db"

    def take_the_name() -> None:
        target.write_bytes(b"mine")

    with closing(open_connection(tmp_path / "j.db")) as source:
        copy_in_slices(source, target, take_the_name)
    with pytest.raises(JournalError, match="exists already"):
        publish_copy(target)
    assert target.read_bytes() == b"mine"
    assert not partial_path(target).exists()


def test_a_copy_that_has_gone_is_not_named(tmp_path: Path) -> None:
    """A partial file somebody removed is reported, not a bare OSError."""
    with pytest.raises(JournalUnavailable, match="no backup at"):
        publish_copy(tmp_path / "copy.db")
