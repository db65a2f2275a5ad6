"""The journal under load, impatience and odd input."""

from pathlib import Path

import trio

from coordinator.edges.journal import Commit, Draft, Sample
from coordinator.errors import JournalError, JournalUnavailable
from coordinator.rules.context import ContextUsage
from coordinator.rules.events import IssueDeleted
from coordinator.rules.ids import RunId
from tests.edges.journal_contract import AGENT, AT, ISSUE, an_event, delivery, serving
from tests.fakes.patient_journal import patient_journal

KIB = 1024


async def test_a_burst_is_answered_at_once(tmp_path: Path) -> None:
    """Ten times the capacity: each is stored or refused long before its deadline, and what was acked
    is there."""
    acked: list[int] = []
    refused: list[int] = []

    async def accept(number: int) -> None:
        try:
            acked.append((await journal.accept(delivery(f"d{number}", b"%d" % number))).seq)
        except JournalUnavailable:
            refused.append(number)

    patient = patient_journal(tmp_path / "j.db", queue_limit=8)
    async with serving(patient) as journal:
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for number in range(80):
                    nursery.start_soon(accept, number)
        assert len(acked) + len(refused) == 80
        assert len(acked) >= 8
        assert refused
        assert sorted(acked) == [one.seq for one in await journal.read_deliveries(0, 99)]


async def test_a_queue_full_of_bytes_is_refused(tmp_path: Path) -> None:
    """Few but huge deliveries do not fill the memory: beyond 64 MiB the next one is refused."""
    outcomes: list[str] = []
    body = bytes(9 * 1024 * KIB)

    async def accept(number: int) -> None:
        try:
            await journal.accept(delivery(f"d{number}", body + b"%d" % number))
            outcomes.append("stored")
        except JournalUnavailable as error:
            outcomes.append("refused" if "bytes wait" in str(error) else str(error))

    journal = patient_journal(tmp_path / "j.db")
    async with serving(journal):
        async with trio.open_nursery() as nursery:
            for number in range(9):
                nursery.start_soon(accept, number)
        assert sorted(outcomes) == ["refused"] * 2 + ["stored"] * 7


async def test_a_caller_that_goes_is_harmless(tmp_path: Path) -> None:
    """Cancelled at any moment, an accept is stored whole or not at all, and is known when repeated."""
    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        for number in range(20):
            with trio.move_on_after(number * 0.0002):
                await journal.accept(delivery(f"d{number}", b"%d" % number))
        await journal.cursor("settled")
        stored = {one.id for one in await journal.read_deliveries(0, 99)}
        for number in range(20):
            receipt = await journal.accept(delivery(f"d{number}", b"%d" % number))
            assert (receipt.duplicate_of is not None) == (f"d{number}" in stored)
        assert journal.head("deliveries") == 20
        assert journal.health().queued == 0


async def test_headers_of_any_bytes_are_kept(tmp_path: Path) -> None:
    """NUL, lone surrogates and odd UTF-8 in headers, ids and events neither fail nor are confused."""
    path = tmp_path / "j.db"
    odd = "\x00\udc80\ud83d é\U0001f600"
    strange = delivery("id" + odd, b"\xff\x00", event="issues" + odd)
    async with serving(patient_journal(path)) as journal:
        await journal.accept(strange)
        assert (await journal.accept(strange)).duplicate_of == 1
        await journal.reject(strange, "reason" + odd)
        await journal.commit(Commit("r", AT, events=(Draft(IssueDeleted(ISSUE), strange.id),)))
        live = await journal.read_deliveries(0, 1), await journal.read_events(0, 1)
    async with serving(patient_journal(path)) as journal:
        assert (await journal.read_deliveries(0, 1), await journal.read_events(0, 1)) == live
        assert live[0][0].body == b"\xff\x00"


async def test_a_value_that_does_not_fit_fails_alone(tmp_path: Path) -> None:
    """A number past SQLite's range is refused; a neighbour in the same transaction is written."""
    usage = ContextUsage(2**80, 0, 0, 0, None, AT)
    bad = Commit("m", AT, samples=(Sample(AGENT, RunId(ISSUE, 1), 1, usage),), events=(an_event(),))
    outcomes: list[str] = []

    async def commit(one: Commit) -> None:
        try:
            await journal.commit(one)
            outcomes.append("written")
        except JournalUnavailable:
            outcomes.append("unavailable")
        except JournalError:
            outcomes.append("refused")

    async with serving(patient_journal(tmp_path / "j.db")) as journal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit, bad)
            nursery.start_soon(commit, Commit("n", AT, events=(an_event(),)))
        assert sorted(outcomes) == ["refused", "written"]
        assert journal.head("events") == 1
        assert journal.health().commits
