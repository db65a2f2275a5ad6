"""The composition root: the tree of the design, drivers by name, and signals as operators mean them."""

import os
import signal
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from coordinator.app import Running, degraded_modes, driver_of, serve
from coordinator.edges.driver_external import ExternalDriver
from coordinator.edges.driver_rehearsal import RehearsalDriver
from coordinator.errors import JournalInUse, SettingsError
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import AgentName, Login
from tests.test_walk import settings_in

TREE = [
    "root", "journal", "coroner", "pipeline", "router", "parser", "dependency-tracker", "dispatcher",
    "scribe", "sweeper", "agents", "web",
]  # fmt: skip


async def test_the_tree_is_the_one_of_the_design(tmp_path: Path) -> None:
    """Every part is up when `on_ready` is called, and a stop from inside ends with code 0."""
    seen: list[str] = []

    async def look(running: Running) -> None:
        seen.extend(name for name, status in running.tree.healthy().items() if status == "running")
        await running.tree.stop()

    assert await serve(settings_in(tmp_path), on_ready=look) == 0
    assert set(TREE) <= set(seen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """The first signal ends the program with code 0."""

    async def kill(running: Running) -> None:
        os.kill(os.getpid(), number)

    with trio.fail_after(20):
        assert await serve(settings_in(tmp_path), on_ready=kill) == 0


async def test_a_second_signal_hurries(tmp_path: Path) -> None:
    """Two signals stop at once and still end with code 0."""

    async def kill(running: Running) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.lowlevel.checkpoint()
        os.kill(os.getpid(), signal.SIGTERM)

    with trio.fail_after(20):
        assert await serve(settings_in(tmp_path), on_ready=kill) == 0


async def test_a_port_in_use_names_the_setting(tmp_path: Path) -> None:
    """The error that reaches the caller holds PORT and the remedy, wherever in the tree it arose."""
    taken = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = taken.socket.getsockname()[1]
    settings = settings_in(tmp_path).model_copy(update={"port": port})
    try:
        with pytest.raises(ExceptionGroup) as raised:
            await serve(settings)
        assert f"PORT={port}" in str(causes(raised.value, SettingsError))
    finally:
        await taken.aclose()


async def test_a_second_coordinator_on_one_journal_is_refused(tmp_path: Path) -> None:
    """The second process is told that the journal is in use; the first goes on."""

    async def again(running: Running) -> None:
        try:
            with pytest.raises(ExceptionGroup) as raised:
                await serve(settings_in(tmp_path))
            assert causes(raised.value, JournalInUse) is not None
            assert running.journal.health().commits
        finally:
            await running.tree.stop()

    assert await serve(settings_in(tmp_path), on_ready=again) == 0


def test_drivers_go_by_their_names(tmp_path: Path) -> None:
    """`rehearsal` simulates; anything else is external, with a transcript if one is named."""

    async def rehearsed() -> object:
        return driver_of(AgentSpec(AgentName("a"), Login("a"), driver="rehearsal"), None)

    assert isinstance(trio.run(rehearsed), RehearsalDriver)
    named = AgentSpec(AgentName("b"), Login("b"), transcript=str(tmp_path / "t.jsonl"))
    assert isinstance(driver_of(named, None), ExternalDriver)
    assert isinstance(driver_of(AgentSpec(AgentName("c"), Login("c")), None), ExternalDriver)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Without Claude, forge token and API token the health page says so by name."""
    modes = degraded_modes(settings_in(tmp_path))
    assert set(modes) == {
        "parser-rules",
        "payload-trusted",
        "no-forge-token",
        "scribe-idle",
        "sweeper-idle",
        "no-api-token",
    }


def causes(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The first error of the kind among causes, contexts and group members."""
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if isinstance(each, kind):
            return each
        if each is not None:
            pending += [each.__cause__, each.__context__]
            pending += list(getattr(each, "exceptions", ()))
    return None
