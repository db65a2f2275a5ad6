"""The SQLite engine: the journal's contract, and what is its own."""

import os
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
import trio
import trio.testing

from coordinator.edges.journal import Commit, Delivery
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.errors import JournalInUse, JournalUnavailable
from tests.edges.journal_contract import (
    AT,
    JournalContract,
    an_event,
    an_order,
    delivery,
    serving,
)
from tests.fakes.patient_journal import patient_journal


@dataclass(frozen=True)
class SqliteStore:
    folder: Path

    def journal(self) -> SqliteJournal:
        return patient_journal(self.folder / "journal.db", clock=lambda: AT)


class Testpatient_journal(JournalContract):
    """The contract suite over SQLite."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> SqliteStore:
        return SqliteStore(tmp_path)


class SlowZone(tzinfo):
    """UTC on a machine that stands still: keeps whoever asks until released."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.released = threading.Event()

    def utcoffset(self, _at: datetime | None) -> timedelta:
        self.asked.set()
        self.released.wait(60)
        return timedelta(0)

    def dst(self, _at: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _at: datetime | None) -> str:
        return "slow"


async def test_an_accept_that_has_begun_and_hangs_is_unknown_then_known(tmp_path: Path) -> None:
    """Too slow is JournalUnavailable and red health; it lands later, and repeated is a duplicate."""
    zone = SlowZone()
    slow = delivery(received_at=AT.replace(tzinfo=zone))
    async with serving(SqliteJournal(tmp_path / "j.db")) as journal:
        with trio.fail_after(30), pytest.raises(JournalUnavailable, match="may still be stored"):
            await journal.accept(slow)
        assert not journal.health().commits
        assert journal.health().queued == 1
        zone.released.set()
        await journal.wait_past("deliveries", 0)
        assert journal.health().commits
        assert (await journal.accept(delivery())).duplicate_of == 1


async def test_an_answer_that_lies_there_is_not_late(tmp_path: Path) -> None:
    """When the loop was held up past the deadline, what the disk has done meanwhile is done."""
    async with serving(SqliteJournal(tmp_path / "j.db", accept_deadline_s=3.0)) as journal:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(journal.accept, delivery(f"d{number}", b"%d" % number))
            await trio.testing.wait_all_tasks_blocked(0.0)
            time.sleep(3.1)  # noqa: ASYNC251 - what holds up the loop is the subject
        assert journal.head("deliveries") == 10


async def test_an_accept_that_waits_too_long_is_not_stored(tmp_path: Path) -> None:
    """Given up before it began, it never reaches the disk behind the sender's back."""
    zone = SlowZone()
    async with serving(SqliteJournal(tmp_path / "j.db", accept_deadline_s=0.2)) as journal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                journal.commit, Commit("router", AT.replace(tzinfo=zone), events=(an_event(),))
            )
            await trio.to_thread.run_sync(zone.asked.wait)
            with pytest.raises(JournalUnavailable, match="is not stored"):
                await journal.accept(delivery("d2", b"other"))
            zone.released.set()
        await journal.cursor("settled")
        assert journal.head("events") == 1
        assert await journal.read_deliveries(0, 9) == []


async def _refused(journal: SqliteJournal, refused: Delivery) -> None:
    with pytest.raises(JournalUnavailable):
        await journal.accept(refused)


async def test_a_commit_that_has_begun_is_seen_through(tmp_path: Path) -> None:
    """A slow disk delays a commit, but its caller learns how it ended."""
    zone = SlowZone()
    async with serving(SqliteJournal(tmp_path / "j.db", commit_deadline_s=1.5)) as journal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                journal.commit, Commit("router", AT.replace(tzinfo=zone), events=(an_event(),))
            )
            await trio.to_thread.run_sync(zone.asked.wait)
            with pytest.raises(JournalUnavailable, match="is not stored"):
                await journal.commit(Commit("parser", AT, events=(an_event(),)))
            zone.released.set()
        assert [one.actor for one in await journal.read_events(0, 9)] == ["router"]


async def test_a_commit_whose_caller_has_gone_is_published(tmp_path: Path) -> None:
    """A cancelled caller's commit that had begun shows in memory as on disk."""
    zone = SlowZone()
    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                journal.commit,
                Commit("router", AT.replace(tzinfo=zone), opened=(an_order(),), cursor=1),
            )
            await trio.to_thread.run_sync(zone.asked.wait)
            nursery.cancel_scope.cancel()
        zone.released.set()
        await journal.wait_orders("parser")
        assert await journal.cursor("router") == 1


async def test_a_virtual_clock_does_not_make_the_disk_slow(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Deadlines are of the machine's clock: one that jumps while the thread works refuses nothing."""
    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        for number in range(20):
            await journal.accept(delivery(f"d{number}", b"%d" % number * 10_000))
        assert journal.head("deliveries") == 20


async def test_a_crash_of_the_thread_is_raised_and_served_again(tmp_path: Path) -> None:
    """serve() raises what ended the thread, callers are refused, and serving again works."""
    broken = True

    def clock() -> datetime:
        if broken:
            raise ZeroDivisionError
        return AT

    journal = patient_journal(tmp_path / "j.db", clock=clock)
    with pytest.raises(ZeroDivisionError):
        await journal.serve()
    with pytest.raises(JournalUnavailable):
        await journal.accept(delivery())
    broken = False
    async with serving(journal):
        await journal.accept(delivery())
    assert "journal-writer" not in {thread.name for thread in threading.enumerate()}


async def test_what_waits_when_the_thread_crashes_is_refused(tmp_path: Path) -> None:
    """Nobody waits for ever for an answer that cannot come."""
    zone = SlowZone()
    zone.utcoffset = None  # type: ignore[assignment,method-assign]
    journal = patient_journal(tmp_path / "j.db")

    async def crash(task_status: trio.TaskStatus[None]) -> None:
        with pytest.raises(TypeError):
            await journal.serve(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(crash)
        await _refused(journal, delivery(received_at=AT.replace(tzinfo=zone)))


async def test_cancelled_while_opening_nothing_is_left(tmp_path: Path) -> None:
    """A start that is given up closes what it has opened and can be tried again."""
    journal = patient_journal(tmp_path / "j.db")
    for _ in range(3):
        with trio.CancelScope() as scope:
            scope.cancel()
            await journal.serve()
    assert "journal-writer" not in {thread.name for thread in threading.enumerate()}
    async with serving(journal):
        await journal.accept(delivery())


async def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Serving, backing up and refusing leave no file behind in the process."""
    before = len(os.listdir("/proc/self/fd"))
    for number in range(3):
        async with serving(patient_journal(tmp_path / "j.db")) as journal:
            await journal.accept(delivery())
            await journal.backup(tmp_path / f"copy{number}")
            with pytest.raises(JournalInUse):
                await patient_journal(tmp_path / "j.db").serve()
    assert len(os.listdir("/proc/self/fd")) <= before
