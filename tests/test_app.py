"""The composition root: the tree of the design, drivers by name, and signals as operators mean them."""

import json
import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest
import structlog
import structlog.testing
import trio
import trio.lowlevel
from pydantic import SecretStr

from coordinator.actors.messages import ExplainIssue, ListIssues, Wake
from coordinator.app import WATCHDOG_S, Running, serve
from coordinator.edges.driver_external import ExternalDriver
from coordinator.edges.driver_rehearsal import RehearsalDriver
from coordinator.errors import JournalInUse, SettingsError
from coordinator.parts import degraded_modes, driver_of
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import AgentName, IssueRef, Login
from tests.fakes.forge import furnish, open_forge
from tests.test_walk import SECRET, settings_in

TREE = [
    "root", "journal", "coroner", "pipeline", "router", "parser", "dependency-tracker", "dispatcher",
    "agents", "web",
]  # fmt: skip


async def test_the_tree_is_the_one_of_the_design(tmp_path: Path) -> None:
    """Every part is up when `on_ready` is called, and a stop from inside ends with code 0."""
    seen: list[str] = []

    async def look(running: Running) -> None:
        seen.extend(name for name, status in running.tree.healthy().items() if status == "running")
        await running.tree.stop()

    assert await serve(settings_in(tmp_path), on_ready=look) == 0
    assert set(TREE) <= set(seen)


async def test_with_a_token_the_tree_has_who_talks_to_the_forge(tmp_path: Path) -> None:
    """Scribe and sweeper are there only with a forge to talk to, and the router reads it."""
    seen: dict[str, str] = {}

    async def look(running: Running) -> None:
        with trio.fail_after(60):
            while "coordinator-bot" not in str(running.tree.get_state("router")):  # noqa: ASYNC110
                await trio.sleep(0.01)
        seen.update(running.tree.healthy())
        await running.tree.stop()

    async with open_forge() as forge:
        settings = settings_in(tmp_path).model_copy(
            update={"gitea_url": forge.url, "gitea_token": SecretStr(furnish(forge))}
        )
        assert await serve(settings, on_ready=look) == 0
    assert {name: seen[name] for name in ("scribe", "sweeper")} == {
        "scribe": "running",
        "sweeper": "running",
    }
    assert not {"no-forge-token", "payload-trusted", "scribe-idle"} & set(degraded_modes(settings))
    silent = settings.model_copy(update={"write_back": frozenset()})
    assert "write-back-off" in degraded_modes(silent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """The first signal ends the program with code 0."""

    async def kill(running: Running) -> None:
        os.kill(os.getpid(), number)

    with trio.fail_after(60):
        assert await serve(settings_in(tmp_path), on_ready=kill) == 0


async def test_a_second_signal_hurries(tmp_path: Path) -> None:
    """Two signals stop at once and still end with code 0."""

    async def kill(running: Running) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.lowlevel.checkpoint()
        os.kill(os.getpid(), signal.SIGTERM)

    with trio.fail_after(60):
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


async def test_the_metrics_are_what_the_actors_did(tmp_path: Path) -> None:
    """The runtime's hooks are counted, and /metrics serves the counts."""
    served: list[str] = []

    async def scrape(running: Running) -> None:
        await running.tree.ref("router").cast(Wake())
        await running.tree.ref("dispatcher").call(ListIssues())
        async with httpx.AsyncClient(trust_env=False) as client:
            served.append((await client.get(f"{running.url}/metrics")).text)
        assert running.tree.hook_failures == 0
        await running.tree.stop()

    assert await serve(settings_in(tmp_path), on_ready=scrape) == 0
    assert 'actor_handle_seconds_count{actor="dispatcher"} 0' not in served[0]
    assert 'actor_wait_seconds_count{actor="dispatcher"}' in served[0]
    assert re.search(r"^event_loop_blocked_total \d+$", served[0], re.MULTILINE)


async def test_a_secret_in_a_message_is_not_shown(tmp_path: Path) -> None:
    """What the process was told in confidence is hidden in the runtime's own dump and traces, too."""
    shown: list[str] = []

    async def look(running: Running) -> None:
        with running.tree.trace("dispatcher") as trace:
            await running.tree.ref("dispatcher").call(ExplainIssue(IssueRef(f"acme/{SECRET}", 1)))
            shown.append((await anext(trace)).message)
        shown.append(json.dumps(running.tree.dump().find("dispatcher").last_messages[-1].message))
        await running.tree.stop()

    assert await serve(settings_in(tmp_path), on_ready=look) == 0
    assert all("ExplainIssue" in text and "[redacted]" in text for text in shown)
    assert SECRET not in "".join(shown)


async def test_a_blocked_loop_is_logged(tmp_path: Path) -> None:
    """Code that keeps the event loop is named with its stack and counted."""

    async def block(running: Running) -> None:
        tally, until = running.context.tally, time.monotonic() + 60
        before = tally.loop_blocked
        while tally.loop_blocked == before and time.monotonic() < until:
            time.sleep(0.01)  # noqa: ASYNC251  a loop that does not turn is the subject
        assert tally.loop_blocked == before + 1
        await running.tree.stop()

    with structlog.testing.capture_logs() as lines:
        assert await serve(settings_in(tmp_path), on_ready=block) == 0
    blocked = [line for line in lines if line["event"] == "event_loop_blocked"]
    (line,) = [line for line in blocked if line["stack"][-1].startswith("test_app.py:block:")]
    assert line["s"] >= WATCHDOG_S


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
