"""What the disk, the operator and the process table can do to the journal, and what it must do then."""

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from coordinator.edges.journal import (
    Commit,
    DeadLetter,
    DeliveryOutcome,
    Receipt,
    Sample,
    StoredDelivery,
)
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.errors import (
    JournalError,
    JournalUnavailable,
)
from coordinator.rules.context import ContextUsage
from coordinator.rules.ids import AgentName, IssueRef, RunId
from tests.edges.journal_contract import AGENT, AT, ISSUE, an_event, an_order, delivery, serving
from tests.fakes.patient_journal import patient_journal

START_ROWS = int(os.environ.get("JOURNAL_START_ROWS", "200000"))
"""Events in the restart test; the benchmark runs it with 1,000,000."""

KIB = 1024


async def _until(claim: Callable[[], bool], within_s: float = 60.0) -> None:
    """Look until the claim holds: the writer's thread works by the machine's clock, not by Trio's."""
    with trio.fail_after(within_s):
        while not claim():  # noqa: ASYNC110 - what a thread does sets no event
            await trio.sleep(0.01)


async def _recovers(journal: SqliteJournal) -> None:
    """Return once the journal commits again by itself."""
    await _until(lambda: journal.health().commits)


# Killed ---------------------------------------------------------------------------------------


def _live_and_die(path: Path, life: int, *, after_s: float) -> set[str]:
    """Run a journal under load and kill it; the ids it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.powercut_life", str(path), "FULL", "8", str(life)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    acked = {line.decode() for line in (first + process.stdout.read()).splitlines()}
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return acked


async def test_kill_nine_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Killed at random moments under load, life after life: every acked delivery is there, sound."""
    path, acked, chance = tmp_path / "j.db", set[str](), random.Random(7)
    for life in range(4):
        acked |= _live_and_die(path, life, after_s=chance.uniform(0.0, 0.3))
    assert path.with_name("j.db-wal").stat().st_size > 0  # so the next line recovers a log
    async with serving(patient_journal(path)) as journal:
        stored = {one.id for one in await _all(journal)}
        assert acked <= stored
        assert journal.head("deliveries") == len(stored)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def _all(journal: SqliteJournal) -> list[StoredDelivery]:
    every: list[StoredDelivery] = []
    while page := await journal.read_deliveries(every[-1].seq if every else 0, 500):
        every += page
    return every


# Disk -----------------------------------------------------------------------------------------


async def test_a_full_disk_is_refused_shown_and_survived(small_disk: Path) -> None:
    """Full: JournalUnavailable, red health, reads go on, nothing acked is lost; freed: it goes on."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1024 * KIB))
    acked: list[Receipt] = []
    async with serving(patient_journal(small_disk / "j.db")) as journal:
        with pytest.raises(JournalUnavailable, match="full"):
            await _accept_for_ever(journal, acked)
        assert 0 < len(acked) < 100
        health = journal.health()
        assert not health.commits
        assert "full" in str(health.error)
        with trio.fail_after(30), pytest.raises(JournalUnavailable, match="cannot commit"):
            await journal.accept(delivery("refused at once"))
        assert await journal.cursor("router") == 0
        ballast.unlink()
        await _recovers(journal)
        acked.append(await journal.accept(delivery("after")))
        stored = await journal.read_deliveries(0, 999)
        assert [one.seq for one in stored] == [one.seq for one in acked]
    with closing(sqlite3.connect(small_disk / "j.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def _accept_for_ever(journal: SqliteJournal, acked: list[Receipt]) -> None:
    while True:
        acked.append(await journal.accept(delivery(f"d{len(acked)}", os.urandom(16 * KIB))))


@contextmanager
def _files_limited_to(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow past the size: SQLite sees an I/O error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_an_io_error_is_refused_shown_and_survived(tmp_path: Path) -> None:
    """A write that fails is not acknowledged; everyone in its transaction hears of it; it recovers."""
    refused: list[str] = []

    async def accept(number: int) -> None:
        try:
            await journal.accept(delivery(f"x{number}", os.urandom(200 * KIB)))
        except JournalUnavailable as error:
            refused.append(str(error))

    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        await journal.accept(delivery())
        with _files_limited_to(256 * KIB):
            async with trio.open_nursery() as nursery:
                for number in range(4):
                    nursery.start_soon(accept, number)
            assert refused
            assert all("I/O error" in one for one in refused)
            with pytest.raises(JournalUnavailable):
                await journal.commit(Commit("router", AT, events=(an_event(),)))
        await _recovers(journal)
        assert journal.head("events") == 0
        assert (await journal.accept(delivery("after", b"after"))).duplicate_of is None
        assert journal.head("deliveries") == len(await journal.read_deliveries(0, 99))


async def test_it_stays_red_while_the_probe_fails(tmp_path: Path) -> None:
    """Health turns green only after a write of the journal's own has succeeded."""
    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        with _files_limited_to(1 * KIB):
            with pytest.raises(JournalUnavailable):
                await journal.accept(delivery())
            await trio.sleep(1.3)
            assert not journal.health().commits
        await _recovers(journal)


# Time and size --------------------------------------------------------------------------------


async def test_a_clock_that_jumps_back_changes_no_order(tmp_path: Path) -> None:
    """Sequence and reading order are the journal's own, whatever the instants say."""
    past = AT - timedelta(days=400)
    async with serving(patient_journal(tmp_path / "j.db", clock=lambda: past)) as journal:
        for number, at in enumerate((AT, past, AT), start=1):
            await journal.accept(delivery(f"d{number}", b"%d" % number, received_at=at))
            await journal.commit(Commit("router", at, events=(an_event(),)))
        assert [one.id for one in await journal.read_deliveries(0, 9)] == ["d1", "d2", "d3"]
        assert [one.at for one in await journal.timeline(ISSUE, 9)] == [AT, past, AT]


async def test_retention_under_load_takes_old_bodies_only(tmp_path: Path) -> None:
    """Old settled bodies and samples go while accepts come in; unread bodies and all events stay."""
    path, old = tmp_path / "j.db", AT - timedelta(days=31)
    usage = ContextUsage(1, 2, 3, 4, None, old)
    async with serving(patient_journal(path, clock=lambda: old)) as journal:
        for number in range(600):
            await journal.accept(delivery(f"d{number}", b"%d" % number, received_at=old))
        settled = tuple(DeliveryOutcome(seq, "ignored") for seq in range(1, 600))
        sample = Sample(AGENT, RunId(ISSUE, 1), 1, usage)
        await journal.commit(
            Commit("r", old, outcomes=settled, samples=(sample,), events=(an_event(),))
        )
    async with (
        serving(patient_journal(path, clock=lambda: AT)) as journal,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_accept_many, journal)
        while [one.seq for one in await journal.read_deliveries(0, 600) if one.body] != [600]:
            await journal.wait_past("deliveries", journal.head("deliveries"))
        assert await journal.samples(AgentName(AGENT), old, 9) == []
        assert (await journal.accept(delivery("again", b"0"))).duplicate_of == 1
        nursery.cancel_scope.cancel()
    async with serving(patient_journal(path)) as journal:
        assert len(await journal.timeline(ISSUE, 9)) == 1
        fresh = await journal.read_deliveries(600, 10)
        assert all(one.body for one in fresh)


async def _accept_many(journal: SqliteJournal) -> None:
    for number in range(100_000):
        await journal.accept(delivery(f"n{number}", b"n%d" % number))


async def test_a_pruned_delivery_cannot_be_replayed(tmp_path: Path) -> None:
    """A letter about a delivery that lost its body before is refused with the reason, and stays."""
    path = tmp_path / "j.db"
    async with serving(patient_journal(path, clock=lambda: AT)) as journal:
        await journal.accept(delivery())
        await journal.commit(Commit("router", AT, outcomes=(DeliveryOutcome(1, "dead"),)))
    later = AT + timedelta(days=90)
    letter = DeadLetter("router", 1, "m", "a", "b")
    async with serving(patient_journal(path, clock=lambda: later)) as journal:
        with trio.fail_after(60):
            while (await journal.read_deliveries(0, 1))[0].body is not None:
                await journal.accept(delivery(f"d{journal.head('deliveries')}", b"next"))
        await journal.commit(Commit("router", later, dead_letters=(letter,)))
        with pytest.raises(JournalError, match="retention"):
            await journal.replay_dead_letter(1, later)
        assert journal.health().dead_letters == 1


async def test_a_long_journal_is_ready_at_once(tmp_path: Path) -> None:
    """Opening does not depend on how many events and deliveries there are, by the processor's clock."""
    path = tmp_path / "j.db"
    async with serving(patient_journal(path)) as journal:
        await journal.commit(Commit("router", AT, opened=(an_order(),)))
    _fill(path, START_ROWS)
    started = time.process_time()
    async with serving(patient_journal(path)) as journal:
        ready_s = time.process_time() - started
        assert journal.head("events") == START_ROWS
        assert len(journal.open_orders("parser")) == 1
        assert len(await journal.read_events(START_ROWS - 5, 10)) == 5
        assert len(await journal.timeline(IssueRef("org/repo", 7), 50)) == 50
        await journal.accept(delivery("new", b"new"))
    print(f"{START_ROWS} events: ready after {ready_s * 1000:.1f} ms")  # noqa: T201 - for the benchmark
    assert ready_s < 1.0


def _fill(path: Path, rows: int) -> None:
    series = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(
            f"{series} INSERT INTO event SELECT i, i, 'router', 'd' || i, 'IssueDeleted',"
            """ '{"ref":{"repo":"org/repo","number":' || (i % 1000) || '}}' FROM n"""
        )
        connection.execute(
            f"{series} INSERT INTO event_issue SELECT 'org/repo#' || (i % 1000), i FROM n ORDER BY 1, 2"
        )
        connection.execute(
            f"{series} INSERT INTO delivery"
            " (seq, id, content_key, event, event_type, received_at, outcome)"
            " SELECT i, printf('%08d', i), cast(printf('%08d', i) AS BLOB), 'issues', 'issues', i, 'x'"
            " FROM n"
        )
        connection.execute(
            f"{series} INSERT INTO orders (key, target, kind, body, opened_at, closed_at)"
            " SELECT printf('k%08d', i), 'parser', 'ParseIssue', '{}', i, i FROM n"
        )
        connection.execute("COMMIT")
