"""What is watched: the repositories heard of, all of them, or those named."""

from pathlib import Path

import pytest
import trio

from coordinator.actors.clocks import utc_now
from coordinator.actors.messages import KnownOf, Refresh
from coordinator.actors.sweeper.survey import NAMES_AT_ONCE
from coordinator.edges.journal import Delivery
from coordinator.rules.events import IssueObserved
from coordinator.rules.ids import DeliveryId
from tests.actors.sweeping import PATIENCE_S, coordinator, fresh
from tests.fakes import forge as fakes
from tests.fakes.forge import BOT, REPO, VirtualClock, furnish

BOTH = pytest.mark.parametrize("product", ["gitea", "forgejo"])


async def test_repositories_that_deliveries_told_of_are_watched(tmp_path: Path) -> None:
    """By default nothing is swept until a delivery comes; then its repository is, within a second."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        forge.open(REPO, "Unheard")
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token, repositories="heard") as watch:
            await watch.until(lambda: forge.server.requests["GET /version"] > 0)
            hook = forge.hook(REPO, "http://127.0.0.1:9/", "secret")
            heard = forge.open(REPO, "Heard")
            hook.active = False
            letter = forge.deliveries[0].letter
            await watch.journal.accept(
                Delivery(
                    DeliveryId(letter.id), letter.event, letter.event_type, (), letter.body, utc_now()
                )
            )
            await watch.swept()
            assert await watch.known(heard.repo_id) == [1, 2]
            assert watch.state()["repositories"] == 1
            assert await watch.missed() == []


async def test_all_means_where_the_account_may_write(tmp_path: Path) -> None:
    """Not what it may only read, what is archived, or has no issues."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        forge.repository("acme/readable", collaborators={BOT: "read"})
        forge.repository("acme/second", collaborators={BOT: "write"})
        forge.repository("acme/closed", collaborators={BOT: "write"})
        forge.archive("acme/closed")
        forge.repository("acme/wiki", collaborators={BOT: "write"}).has_issues = False
        async with coordinator(tmp_path, forge, clock, token, repositories="all") as watch:
            await watch.swept()
            assert watch.state()["repositories"] == 2
            forge.repository("acme/third", collaborators={BOT: "write"})
            assert await watch.refresh() == 2
            await watch.until(lambda: watch.state()["repositories"] == 3)


async def test_a_name_that_means_nothing_is_named_and_asked_rarely(tmp_path: Path) -> None:
    """The others are swept, and health can say which one is missing and why."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        names = (REPO, "acme/nowhere")
        route = "GET /repos/{owner}/{repo}"
        async with coordinator(
            tmp_path, forge, clock, token, repositories=names, interval_s=0.05
        ) as watch:
            await watch.swept()
            [(name, why)] = watch.state()["failing"].items()
            assert name == "acme/nowhere"
            assert "404" in why
            surveys = forge.server.requests["GET /version"]
            await watch.until(lambda: forge.server.requests["GET /version"] > surveys + 2)
            assert forge.server.requests[route] == 2


async def test_a_token_that_is_refused_is_the_problem(tmp_path: Path) -> None:
    """Without a valid token nothing is swept, and the problem says so."""
    clock = VirtualClock()
    async with (
        fakes.open_forge(clock=clock) as forge,
        coordinator(tmp_path, forge, clock, "wrong" * 8) as watch,
    ):
        furnish(forge)
        await watch.until(lambda: "401" in (watch.state()["problem"] or ""))
        assert watch.state()["last_at"] is None


async def test_a_configured_repository_is_followed_over_a_restart(tmp_path: Path) -> None:
    """Renamed while we were down, a repository named in the settings is still the same one."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "An issue")
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
        forge.rename(REPO, "acme/gadgets")
        forge.close(issue)
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
            assert await watch.missed() == [(1, ("closed",))]
            assert watch.state()["failing"] == {}


async def test_a_name_taken_by_another_repository_is_that_one(tmp_path: Path) -> None:
    """Once the old one is gone, the name in the settings means what bears it now."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        forge.open(REPO, "Old")
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token, interval_s=0.05) as watch:
            await watch.swept()
            forge.delete_repository(REPO)
            new = forge.repository(REPO, collaborators={BOT: "write"})
            forge.open(new, "New")
            clock.advance(60)
            watch_new = watch.tree.ref("router")
            with trio.fail_after(PATIENCE_S):
                while not (await watch_new.call(KnownOf(new.id))).refs:  # noqa: ASYNC110
                    await trio.sleep(0.01)


async def test_many_names_are_looked_up_bit_by_bit(tmp_path: Path) -> None:
    """More names than are looked up at once are all watched in the end."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        names = [f"acme/r{n}" for n in range(NAMES_AT_ONCE + 5)]
        for name in names:
            forge.repository(name, collaborators={BOT: "write"})
        async with coordinator(tmp_path, forge, clock, token, repositories=names) as watch:
            await watch.until(lambda: watch.state()["repositories"] == len(names))
            assert watch.state()["failing"] == {}


async def test_a_name_is_tried_again_when_the_forge_stumbles(tmp_path: Path) -> None:
    """One bad answer about one repository neither stops the others nor says that there is no forge."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        forge.misbehave("status", route="GET /repos/{owner}/{repo}", status=500, times=1)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.until(lambda: REPO in watch.state()["failing"])
            assert watch.state()["problem"] is None
            await watch.tree.ref("sweeper").call(Refresh())
            await watch.swept()
            assert watch.state()["failing"] == {}


async def test_a_token_that_may_not_say_whose_it_is_will_do(tmp_path: Path) -> None:
    """Without the scope read:user sweeps go on; only our own account is then not told apart."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        furnish(forge)
        token = forge.token(BOT, "write:issue", "read:repository")
        issue = forge.open(REPO, "An issue")
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
            assert await watch.known(issue.repo_id) == [1]
            assert watch.state()["problem"] is None


@BOTH
async def test_a_pull_request_that_blocks_is_looked_at_with_each_round(
    product: str, tmp_path: Path
) -> None:
    """No list shows it and no delivery tells: merged, and opened again, it is seen by the next round,
    whether a dependency or a line of text names it."""
    async with fresh(tmp_path, product) as watch:
        [first] = watch.forge.data.issues.values()
        pull = watch.forge.open(REPO, "The fix", is_pull=True)
        watch.forge.block(first, pull)
        named = watch.forge.open(REPO, "Another fix", is_pull=True)
        watch.forge.open(REPO, "Waits", f"Blocked by: #{named.number}", assignees=["coder-bot"])
        await watch.refresh()
        await watch.read()
        for act, state in ((watch.forge.close, "closed"), (watch.forge.reopen, "open")):
            for each in (pull, named):
                act(each)
            await watch.refresh()
            await watch.read()
            seen = {
                each.event.facts.ref.number: each.event.facts.state
                for each in await watch.events()
                if isinstance(each.event, IssueObserved)
            }
            assert (seen[pull.number], seen[named.number]) == (state, state)
