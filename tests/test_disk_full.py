"""A full disk, end to end: 503 in time, red health, and recovery without a restart."""

from pathlib import Path

import httpx
import trio

from coordinator.app import Running, serve
from coordinator.demo.payloads import ForgeWorld
from coordinator.edges.request_body import send_in_one_piece
from tests.test_walk import SECRET, post, rehearsal, settings_in, wait_until

# The forge gives up after 5 s; the issue asks for an answer within 1.5 s. The rest is a busy machine.
ANSWER_WITHIN_S = 3.0
BEAT_S = 0.01


async def test_a_full_disk_costs_503_and_nothing_else(small_disk: Path) -> None:
    """While the disk is full deliveries are refused in time and health is red; once there is room again
    everything goes on: what was acknowledged before is processed, and new deliveries are accepted."""

    async def story(running: Running, client: httpx.AsyncClient) -> None:
        forge = ForgeWorld("gitea", SECRET.encode())
        _, first = forge.open("acme/widgets", "First", "small", assignees=["coder-bot"])
        for delivery in first:
            await post(client, delivery)
        ballast = fill(small_disk)
        refused = await until_refused(client, forge)
        assert refused.headers["retry-after"]
        health = await client.get("/health")
        assert health.status_code == 503
        assert "full" in health.json()["journal_error"]
        ballast.unlink()
        issue, last = forge.open("acme/widgets", "Last", "small", assignees=["coder-bot"])
        for delivery in last:
            await post(client, delivery)
        await wait_until(client, 1, lambda at: at[0] == "done")
        await wait_until(client, issue.number, lambda at: at[0] == "done")
        assert (await client.get("/health")).status_code == 200

    async def told(running: Running) -> None:
        try:
            async with httpx.AsyncClient(
                base_url=running.url, timeout=60, event_hooks={"request": [send_in_one_piece]}
            ) as client:
                with trio.fail_after(120):
                    await story(running, client)
        finally:
            await running.tree.stop()

    assert await serve(settings_in(small_disk), on_ready=told, make_driver=rehearsal) == 0


def fill(disk: Path) -> Path:
    """Take all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


class Metronome:
    """Counts time as the event loop lives it: while the whole machine stands still, so does this."""

    def __init__(self) -> None:
        self.beats = 0

    async def run(self) -> None:
        while True:
            await trio.sleep(BEAT_S)
            self.beats += 1


async def until_refused(client: httpx.AsyncClient, forge: ForgeWorld) -> httpx.Response:
    """Deliver until the journal has used up the room it had reserved."""
    for number in range(200):
        _, [delivery] = forge.open("acme/other", f"Filler {number}", "x" * 8_000)
        async with trio.open_nursery() as nursery:
            metronome = Metronome()
            nursery.start_soon(metronome.run)
            answer = await client.post(
                "/webhook/gitea", content=delivery.body, headers=dict(delivery.headers)
            )
            nursery.cancel_scope.cancel()
        assert metronome.beats * BEAT_S < ANSWER_WITHIN_S
        if answer.status_code == 503:
            return answer
    raise AssertionError("the disk never filled")
