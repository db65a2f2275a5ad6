"""Agents that speak for themselves, and what a transcript adds."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from coordinator.edges.driver_external import ExternalDriver
from coordinator.edges.drivers import Driver, PollFault, Report, UsageReported
from coordinator.edges.transcript import Transcript
from tests.edges.orders import compact, rotate, start
from tests.edges.test_transcript import append, write
from tests.edges.test_transcript_wire import NOON, answer, lines, user


async def test_without_a_transcript_there_is_nothing_to_say() -> None:
    """Orders wait in the journal to be fetched and readings are posted; polls are empty."""
    driver: Driver = ExternalDriver()
    for order in (start(1), compact(2), rotate(3)):
        await driver.carry_out(order)
    assert await driver.poll() == ()


async def test_a_transcript_is_reported_as_the_current_session(tmp_path: Path) -> None:
    """Its reading comes with the window known so far; an unreadable file is a fault, no reading."""
    path = tmp_path / "s.jsonl"
    driver = ExternalDriver(Transcript(path, model="m"), window_tokens=1_000)
    (fault,) = await driver.poll()
    assert isinstance(fault, PollFault)
    assert "s.jsonl" in fault.detail
    write(path, lines(user()))
    assert await driver.poll() == ()
    write(path, lines(user(), answer("m1", 799)))
    (report,) = await driver.poll()
    assert isinstance(report, UsageReported)
    assert (report.run, report.session, report.at_turn_boundary) == (None, None, True)
    assert (report.usage.used_tokens, report.usage.window_tokens) == (800, 1_000)


async def test_lines_of_a_rotated_session_are_not_the_successors(tmp_path: Path) -> None:
    """Until the agent's own session name changes, readings belong to the session that ends."""
    path = tmp_path / "s.jsonl"
    driver = ExternalDriver(Transcript(path, model="m"))
    write(path, lines(answer("m1", 950)))
    await driver.poll()
    await driver.carry_out(rotate(7))
    append(path, lines(answer("m2", 960)))
    assert _session(await driver.poll()) == 1
    await driver.carry_out(rotate(7))
    append(path, lines(answer("m3", 20, sessionId="s-2")))
    assert _session(await driver.poll()) == 2
    await driver.carry_out(rotate(7))
    assert _session(await driver.poll()) == 2
    await driver.carry_out(rotate(8, to_session=3))
    assert _session(await driver.poll()) == 2


async def test_a_rotation_before_the_first_reading_fences_nothing(tmp_path: Path) -> None:
    """Whose lines they are cannot be told then, nor when the lines name no session."""
    path = tmp_path / "s.jsonl"
    driver = ExternalDriver(Transcript(path, model="m"))
    await driver.carry_out(rotate(7))
    write(path, lines(answer("m1", 20)))
    assert _session(await driver.poll()) is None
    await driver.carry_out(rotate(8, to_session=3))
    append(path, lines(answer("m2", 30, sessionId="")))
    assert _session(await driver.poll()) is None


async def test_a_new_run_does_not_inherit_the_old_ones_reading(tmp_path: Path) -> None:
    """What the transcript said before the order was opened is of an earlier run; later lines count,
    and the earlier run's rotation is forgotten."""
    path = tmp_path / "s.jsonl"
    driver = ExternalDriver(Transcript(path, model="m"))
    write(path, lines(answer("m1", 950)))
    await driver.carry_out(start(1))
    await driver.carry_out(rotate(7))
    next_start = replace(start(8, 2), opened_at=NOON + timedelta(seconds=1))
    await driver.carry_out(next_start)
    await driver.carry_out(start(1))
    assert await driver.poll() == ()
    append(path, lines(answer("m2", 30, at="2026-11-21T12:00:01Z")))
    assert _session(await driver.poll()) is None


def _session(reports: tuple[Report, ...]) -> int | None:
    (report,) = reports
    assert isinstance(report, UsageReported)
    return report.session
