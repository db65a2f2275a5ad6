"""The writer's thread, driven without the async face."""

import resource
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import trio
import trio.testing

from coordinator.edges.journal_open import open_connection
from coordinator.edges.journal_reads import Loaded
from coordinator.edges.journal_rows import probe
from coordinator.edges.journal_writer import Operation, Pulse, Writer
from coordinator.errors import JournalError, JournalUnavailable
from tests.edges.journal_contract import AT


class Office:
    """The Trio side of a writer: keeps what arrives, in order."""

    def __init__(self, path: Path) -> None:
        self.reports: list[tuple[list[Operation], Pulse]] = []
        self.writer = Writer(
            path,
            opening=self.open,
            report=self.report,
            retention=timedelta(days=30),
            clock=lambda: AT,
        )

    def open(self, loaded: Loaded) -> None:
        assert loaded.events == 0

    def report(self, operations: list[Operation], pulse: Pulse) -> None:
        self.reports.append((operations, pulse))
        for operation in operations:
            operation.done.set()

    def groups(self) -> list[int]:
        """How many operations each report carried, empty ones left out."""
        return [len(operations) for operations, _ in self.reports if operations]


@asynccontextmanager
async def _running(path: Path) -> AsyncIterator[Office]:
    office = Office(path)
    office.writer.start()
    await office.writer.opened.wait()
    try:
        yield office
    finally:
        await office.writer.stop()


def _insert(number: int) -> Operation:
    return Operation(
        "write",
        lambda connection: (
            connection.execute("INSERT INTO text (key, body) VALUES (?, 'x')", (number,)).lastrowid
        ),
    )


def _hold() -> tuple[Operation, threading.Event, threading.Event]:
    """An operation that keeps the thread until the second event; the first says that it does."""
    holds, release = threading.Event(), threading.Event()

    def run(_connection: sqlite3.Connection) -> None:
        holds.set()
        release.wait(10)

    return Operation("read", run), holds, release


def _keys(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM text ORDER BY key")]


async def _queue_behind_a_busy_thread(office: Office, operations: list[Operation]) -> None:
    """Queue all of them while the thread is kept, then let it go and wait for every answer."""
    held, holds, release = _hold()
    office.writer.put(held)
    await trio.to_thread.run_sync(holds.wait, 10)
    for operation in operations:
        office.writer.put(operation)
    release.set()
    for operation in operations:
        await operation.done.wait()


async def test_what_is_queued_shares_a_transaction(tmp_path: Path) -> None:
    """Operations that wait are committed together and answered in one call, in their order."""
    async with _running(tmp_path / "j.db") as office:
        operations = [_insert(number) for number in range(10)]
        await _queue_behind_a_busy_thread(office, operations)
        assert office.groups() == [1, 10]
        assert office.reports[-1][0] == operations
    assert len(_keys(tmp_path / "j.db")) == 10


async def test_a_group_is_bounded(tmp_path: Path) -> None:
    """A long queue goes in several transactions, so that the first ones are not kept waiting."""
    async with _running(tmp_path / "j.db") as office:
        await _queue_behind_a_busy_thread(office, [_insert(number) for number in range(600)])
        assert office.groups() == [1, 256, 256, 88]


async def test_a_group_is_bounded_in_bytes(tmp_path: Path) -> None:
    """Large operations do not pile up in one transaction."""
    async with _running(tmp_path / "j.db") as office:
        operations = [_insert(number) for number in range(4)]
        for operation in operations:
            operation.size_bytes = 5 * 1024 * 1024
        await _queue_behind_a_busy_thread(office, operations)
        assert office.groups() == [1, 2, 2]


async def test_a_bad_operation_takes_no_neighbour_along(tmp_path: Path) -> None:
    """Each failure is undone alone and told to its own caller; the rest is committed."""

    def refuse(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO text (key, body) VALUES ('half', 'done')")
        raise JournalError("changed my mind")

    bad = [
        Operation("write", refuse),
        _insert(1),  # the key is taken by then
        Operation("write", lambda connection: connection.execute("SELECT ?", (2**80,))),
        Operation("write", lambda connection: connection.execute("SELECT ?", ("\udc80",))),
        Operation("write", lambda connection: connection.execute("SELECT nonsense")),
    ]
    async with _running(tmp_path / "j.db") as office:
        await _queue_behind_a_busy_thread(office, [_insert(1), *bad, _insert(2)])
        assert [type(one.error) for one in bad] == [JournalError] * 5
        assert office.reports[-1][1].error is None
    assert _keys(tmp_path / "j.db") == ["1", "2"]


async def test_a_dropped_operation_is_not_carried_out(tmp_path: Path) -> None:
    """What its caller has given up before it began leaves no trace, read or write."""
    read, write = Operation("read", probe), _insert(1)
    read.dropped = write.dropped = True
    async with _running(tmp_path / "j.db") as office:
        await _queue_behind_a_busy_thread(office, [write, read])
        assert isinstance(write.error, JournalUnavailable)
        assert isinstance(read.error, JournalUnavailable)
    assert _keys(tmp_path / "j.db") == []


async def test_a_failing_read_fails_alone(tmp_path: Path) -> None:
    """A read's error is its own; writes go on."""
    nonsense = Operation("read", lambda connection: connection.execute("SELECT nonsense"))
    large = Operation("read", lambda connection: connection.execute("SELECT ?", (2**80,)))
    async with _running(tmp_path / "j.db") as office:
        await _queue_behind_a_busy_thread(office, [nonsense, large, _insert(1)])
        assert isinstance(nonsense.error, JournalError)
        assert isinstance(large.error, JournalError)
        assert office.reports[-1][1].error is None


async def test_a_disk_that_fails_within_an_operation_undoes_the_transaction(tmp_path: Path) -> None:
    """An error that is not the operation's own concerns all who share its transaction."""

    def fail(_connection: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
        raise error

    operations = [_insert(1), Operation("write", fail), _insert(2)]
    async with _running(tmp_path / "j.db") as office:
        await _queue_behind_a_busy_thread(office, operations)
        assert [type(one.error) for one in operations] == [JournalUnavailable] * 3
        assert office.reports[-1][1].error == "disk I/O error"
    assert _keys(tmp_path / "j.db") == []


async def test_once_sick_no_further_write_is_tried(tmp_path: Path) -> None:
    """Behind a write that found the disk failing, the rest of the queue is refused at once."""
    path = tmp_path / "j.db"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with _running(path) as office:
        operations = [_insert(number) for number in range(300)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
        try:
            await _queue_behind_a_busy_thread(office, operations)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert office.groups() == [1, 256, 44]
        assert {type(one.error) for one in operations} == {JournalUnavailable}
        assert [one.begun for one in operations] == [True] * 256 + [False] * 44
    assert _keys(path) == []


async def test_what_is_queued_before_the_stop_is_written(tmp_path: Path) -> None:
    """Stopping finishes the queue, then the file is closed whole, without a log beside it."""
    async with _running(tmp_path / "j.db") as office:
        for number in range(20):
            office.writer.put(_insert(number))
    assert len(_keys(tmp_path / "j.db")) == 20
    assert not (tmp_path / "j.db-wal").exists()


async def test_a_long_log_is_moved_when_nobody_waits(tmp_path: Path) -> None:
    """After more than a thousand pages the thread checkpoints by itself: the file grows."""
    path = tmp_path / "j.db"
    async with _running(path) as office:
        before = path.stat().st_size
        for number in range(1000):
            operation = _insert(number)
            operation.size_bytes = 4096
            office.writer.put(operation)
        await operation.done.wait()
        with trio.fail_after(60):
            while path.stat().st_size == before:  # noqa: ASYNC110 - a thread's idle work sets no event
                await trio.sleep(0.01)


async def test_an_error_nobody_expected_ends_the_writer(tmp_path: Path) -> None:
    """A defect is not swallowed: the thread ends, the file is closed, the failure is there to raise."""

    def defect(_connection: sqlite3.Connection) -> None:
        raise ZeroDivisionError

    office = Office(tmp_path / "j.db")
    office.writer.start()
    office.writer.put(_insert(1))
    office.writer.put(Operation("write", defect))
    await office.writer.ended.wait()
    await office.writer.stop()
    assert isinstance(office.writer.failure, ZeroDivisionError)
    open_connection(tmp_path / "j.db").close()


async def test_an_error_while_answering_ends_the_writer(tmp_path: Path) -> None:
    """A defect in the Trio half ends the writer, not the whole Trio run."""
    async with _running(tmp_path / "j.db") as office:
        office.writer.put(
            Operation("write", lambda connection: None, done=None)  # type: ignore[arg-type]
        )
        await office.writer.ended.wait()
    assert isinstance(office.writer.failure, AttributeError)


def test_a_writer_outlives_no_trio_run(tmp_path: Path) -> None:
    """When Trio has gone without stopping it, the thread ends by itself and what it has is stored."""
    path = tmp_path / "j.db"
    held, holds, release = _hold()

    async def leave() -> None:
        office = Office(path)
        office.writer.start()
        await office.writer.opened.wait()
        office.writer.put(held)
        await trio.to_thread.run_sync(holds.wait, 10)
        office.writer.put(_insert(1))

    trio.run(leave)
    release.set()
    until_s = time.monotonic() + 60
    while any(thread.name == "journal-writer" for thread in threading.enumerate()):
        assert time.monotonic() < until_s
        time.sleep(0.01)
    open_connection(path).close()


async def test_a_file_that_cannot_be_opened_ends_the_writer_at_once(tmp_path: Path) -> None:
    """Who waits for the opening is woken by the failure."""
    office = Office(tmp_path / "missing" / "j.db")
    office.writer.start()
    await office.writer.opened.wait()
    assert isinstance(office.writer.failure, JournalUnavailable)
    await office.writer.stop()


async def test_an_idle_writer_uses_no_time(tmp_path: Path) -> None:
    """With nothing queued the thread sleeps."""
    async with _running(tmp_path / "j.db"):
        [thread] = [each for each in threading.enumerate() if each.name == "journal-writer"]
        assert thread.ident is not None
        clock = time.pthread_getcpuclockid(thread.ident)  # its own: the collector may be busy in ours
        await trio.testing.wait_all_tasks_blocked(0.05)
        before_s = time.clock_gettime(clock)
        await trio.testing.wait_all_tasks_blocked(0.2)
        assert time.clock_gettime(clock) - before_s < 0.05
