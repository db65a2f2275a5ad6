"""The whole way: signed deliveries over HTTP to a compacted, rotated and finished rehearsal agent,
with every actor killed once on the way."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from coordinator.actors.clocks import utc_now
from coordinator.app import Running, serve
from coordinator.config import Settings, load_settings
from coordinator.demo.payloads import ForgeWorld, SignedDelivery
from coordinator.edges.driver_rehearsal import RehearsalDriver
from coordinator.edges.drivers import Driver
from coordinator.edges.request_body import send_in_one_piece
from coordinator.rules.events import (
    CompactionEnded,
    IssueDispatched,
    RunEnded,
    SessionRotated,
)
from coordinator.rules.fleet import AgentSpec

SECRET = "walk-secret"
TOML = """
[pool]
logins = ["coder-bot"]

[[agents]]
name = "sonnet-1"
login = "claude-sonnet"
driver = "rehearsal"
slots = 3
[agents.context]
window_tokens = 200000
poll_s = 0.05
cooldown_s = 0.0
"""
ACTORS = ("router", "parser", "dependency-tracker", "dispatcher", "monitor:sonnet-1", "journal", "web")
LARGE = "---\nestimated_context_tokens: 90000\ndifficulty: medium\n---\n"


def settings_in(path: Path) -> Settings:
    config = path / "coordinator.toml"
    config.write_text(TOML)
    return load_settings(
        {
            "GITEA_WEBHOOK_SECRET": SECRET,
            "GITEA_URL": "https://forge.example.org",
            "PARSER": "rules",
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DATA_DIR": str(path / "data"),
            "COORDINATOR_CONFIG": str(config),
        }
    )


def rehearsal(spec: AgentSpec) -> Driver:
    return RehearsalDriver(
        spec, now_s=trio.current_time, started_at=utc_now(), speed=200.0, longest_s=0.1
    )


async def walk(path: Path, story: Callable[[Running, httpx.AsyncClient], Awaitable[None]]) -> None:
    """Serve for real and tell the story to it; a story that raises fails the test."""

    async def told(running: Running) -> None:
        try:
            async with httpx.AsyncClient(
                base_url=running.url, timeout=60, event_hooks={"request": [send_in_one_piece]}
            ) as client:
                with trio.fail_after(120):
                    await story(running, client)
        finally:
            await running.tree.stop()

    assert await serve(settings_in(path), on_ready=told, make_driver=rehearsal) == 0


async def post(client: httpx.AsyncClient, delivery: SignedDelivery) -> str:
    """Deliver, once more if the server was just being restarted; the status word."""
    for _ in range(600):
        try:
            answer = await client.post(
                "/webhook/gitea", content=delivery.body, headers=dict(delivery.headers)
            )
        except httpx.TransportError:
            await trio.sleep(0.05)
            continue
        if answer.status_code != 503:
            assert answer.status_code == 200, answer.text
            return str(answer.json()["status"])
        await trio.sleep(0.05)
    raise AssertionError("the server did not come back")


async def issue_states(client: httpx.AsyncClient) -> dict[int, tuple[str, str]]:
    answer = await client.get("/api/v1/issues")
    if answer.status_code != 200:
        return {}
    return {
        int(each["issue"].rpartition("#")[2]): (each["state"], each["reason"])
        for each in answer.json()["issues"]
    }


async def wait_until(
    client: httpx.AsyncClient, number: int, wanted: Callable[[tuple[str, str]], bool]
) -> None:
    while True:
        try:
            if wanted((await issue_states(client)).get(number, ("", ""))):
                return
        except httpx.TransportError:
            pass
        await trio.sleep(0.02)


async def all_events(running: Running, kind: type[Any]) -> list[Any]:
    stored = await running.journal.read_events(0, 10_000)
    return [each.event for each in stored if isinstance(each.event, kind)]


async def test_a_delivery_walks_the_whole_way(tmp_path: Path) -> None:
    """Posted, parsed, unblocked by a close, dispatched, compacted, rotated, finished, explained."""

    async def story(running: Running, client: httpx.AsyncClient) -> None:
        forge = ForgeWorld("gitea", SECRET.encode())
        first, opened = forge.open("acme/widgets", "First", "", assignees=["coder-bot"])
        for delivery in opened:
            await post(client, delivery)
        _, opened = forge.open(
            "acme/widgets", "Second", LARGE + "Blocked by: #1", assignees=["coder-bot"]
        )
        for delivery in opened:
            await post(client, delivery)
        assert await post(client, opened[0]) == "duplicate"
        await wait_until(client, 2, lambda at: at == ("blocked", "open_blocker"))
        await wait_until(client, 1, lambda at: at[0] == "done")
        forge.advance(5)
        await post(client, forge.close(first))
        await wait_until(client, 2, lambda at: at[0] == "done")
        assert {event.run.issue.number for event in await all_events(running, IssueDispatched)} == {
            1,
            2,
        }
        assert await all_events(running, CompactionEnded)
        assert await all_events(running, SessionRotated)
        shown = (await client.get("/api/v1/issues/acme/widgets/2")).json()
        assert "sonnet-1" in str(shown)
        kinds = {each["type"] for each in shown["timeline"]}
        assert "IssueDispatched" in kinds

    await walk(tmp_path, story)


@pytest.mark.parametrize("victim", ACTORS)
async def test_the_walk_survives_the_death_of_each_actor(tmp_path: Path, victim: str) -> None:
    """Killing the actor while the story goes on loses nothing and dispatches nothing twice."""

    async def story(running: Running, client: httpx.AsyncClient) -> None:
        forge = ForgeWorld("forgejo", SECRET.encode())
        _, opened = forge.open("acme/widgets", "First", LARGE, assignees=["coder-bot"])
        await post(client, opened[0])
        running.tree.kill(victim)
        for delivery in opened[1:]:
            await post(client, delivery)
        _, opened = forge.open("acme/widgets", "Second", "", assignees=["claude-sonnet"])
        for delivery in opened:
            await post(client, delivery)
        await wait_until(client, 1, lambda at: at[0] == "done")
        await wait_until(client, 2, lambda at: at[0] == "done")
        dispatched = await all_events(running, IssueDispatched)
        assert len({event.fingerprint for event in dispatched}) == len(dispatched) == 2
        assert len(await all_events(running, RunEnded)) == 2
        health = (await client.get("/health")).json()
        assert health["components"][victim if ":" not in victim else "agents"] == "running"

    await walk(tmp_path, story)
