"""Whose token it is becomes known, sooner or later, and nothing waits for it."""

from pathlib import Path

import structlog
import trio

from coordinator.actors.router.own_account import own_login
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_failures_wire import RetryPace
from tests.actors.stage import PATIENCE_S
from tests.actors.sweeping import coordinator
from tests.fakes import forge as fakes
from tests.fakes.forge import BOT, REPO, VirtualClock, furnish

NARROW = ("write:issue", "read:repository")


async def test_a_forge_that_fails_is_asked_again() -> None:
    """Its failures are told once while they are the same."""
    async with fakes.open_forge() as fake:
        token = furnish(fake)
        fake.misbehave("status", route="GET /user", status=503, times=2)
        pace = RetryPace(attempts=1)
        async with Forge(fake.url, token, trust_env=False, pace=pace) as forge:
            with structlog.testing.capture_logs() as logs, trio.fail_after(PATIENCE_S):
                assert await own_login(forge, structlog.get_logger()) == BOT
    assert [each["event"] for each in logs] == ["own_account_unknown"]


async def test_a_token_that_may_not_ask_reads_and_sweeps_all_the_same(tmp_path: Path) -> None:
    """Without read:user nobody knows whose token it is; what was lost is found, commands too."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as fake:
        furnish(fake)
        issue = fake.open(REPO, "The first", assignees=["coder-bot"])
        clock.advance(60)
        token = fake.token(BOT, *NARROW)
        async with coordinator(tmp_path, fake, clock, token) as watch:
            await watch.swept()
            fake.close(issue)
            wanted = fake.comment(issue, "/coordinator retry")
            await watch.refresh()
            assert await watch.missed() == [(1, ("closed",))]
            assert watch.commands() == [wanted.id]
            assert (watch.state()["problem"], watch.state()["failing"]) == (None, {})
            assert watch.state("router")["own_login"] is None
