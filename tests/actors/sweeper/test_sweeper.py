"""The sweeper finds what no delivery told, once, and counts it by its cause."""

from pathlib import Path
from typing import Any

import pytest
import trio

from coordinator.actors.messages import Refresh
from coordinator.edges.gitea import Forge
from coordinator.rules.events import IssueDeleted, IssueObserved
from tests.actors.sweeping import PATIENCE_S, coordinator, fresh
from tests.fakes import forge as fakes
from tests.fakes.forge import BOT, REPO, VirtualClock, furnish

BOTH = pytest.mark.parametrize("product", ["gitea", "forgejo"])


@BOTH
async def test_the_first_sweep_takes_in_what_is_there(product: Any, tmp_path: Path) -> None:
    """Issues that were there before us are observed, and none of them counts as missed."""
    async with fresh(tmp_path, product) as watch:
        [event] = [each.event for each in await watch.events()]
        assert isinstance(event, IssueObserved)
        assert (event.source, event.missed) == ("sweep", ())
        assert event.facts.native_blockers == ()
        assert watch.state()["repositories"] == 1
        assert watch.state()["problem"] is None


@BOTH
async def test_every_lost_change_is_found_and_counted_once(product: Any, tmp_path: Path) -> None:
    """Each kind of change that no delivery told of is news after one sweep, under its cause; the next
    sweep finds nothing."""
    async with fresh(tmp_path, product) as watch:
        forge = watch.forge
        [first] = forge.data.issues.values()
        other = forge.open(REPO, "Another")
        forge.retitle(first, "The very first")
        forge.set_labels(first, "bug")
        forge.set_milestone(first, "v1")
        forge.unassign(first, "coder-bot")
        await watch.refresh()
        assert sorted(await watch.missed()) == [
            (1, ("edited", "labels", "milestone", "unassigned")),
            (2, ("opened",)),
        ]
        forge.close(other)
        forge.block(first, other)
        await watch.refresh()
        assert sorted((await watch.missed())[2:]) == [(1, ("dependencies",)), (2, ("closed",))]
        await watch.refresh()
        assert len(await watch.missed()) == 4
        expected = {
            "edited": 1, "labels": 1, "milestone": 1, "unassigned": 1, "opened": 1,
            "dependencies": 1, "closed": 1,
        }  # fmt: skip
        assert watch.state("router")["missed"] == expected


async def test_a_forge_that_goes_away_is_swept_when_it_is_back(tmp_path: Path) -> None:
    """While it is away the problem is shown and nothing counts as gone; then sweeps go on."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.forge.go_away()
        await watch.tree.ref("sweeper").call(Refresh())
        await watch.until(lambda: watch.state()["problem"] is not None)
        watch.forge.close(first)
        watch.clock.advance(60)
        await watch.forge.come_back()
        await watch.until(lambda: watch.state()["problem"] is None)
        await watch.until(lambda: watch.state("router")["missed"] == {"closed": 1})


async def test_a_restart_goes_on_from_the_watermark(tmp_path: Path) -> None:
    """A new life lists only what changed since, finds what was lost meanwhile, and calls it missed."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        old = [forge.open(REPO, f"Number {n}") for n in range(60)]
        clock.advance(600)
        newest = forge.open(REPO, "The newest")
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
        forge.close(newest)
        clock.advance(60)
        before = forge.server.requests.copy()
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
            assert await watch.missed() == [(61, ("closed",))]
            assert len(await watch.known(old[0].repo_id)) == 61
        spent = forge.server.requests - before
        assert spent["GET /repos/{owner}/{repo}/issues"] == 2


async def test_a_crash_of_the_sweeper_loses_nothing(tmp_path: Path) -> None:
    """Killed in the middle, it begins again, and what was lost is still found once."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        with trio.fail_after(PATIENCE_S):
            while await watch.journal.snapshot("sweeper") is None:  # noqa: ASYNC110
                await trio.sleep(0.005)
        watch.forge.close(first)
        watch.clock.advance(60)
        watch.tree.kill("sweeper")
        await watch.until(lambda: watch.state("router")["missed"] == {"closed": 1})
        await watch.refresh()
        assert await watch.missed() == [(1, ("closed",))]


async def test_our_clock_may_jump(tmp_path: Path) -> None:
    """What is settled is judged by the forge's clock, and sweeps go on though ours is set back."""
    wall = VirtualClock()
    async with fresh(tmp_path, wall=wall, interval_s=0.2) as watch:
        [first] = watch.forge.data.issues.values()
        wall.advance(-86_400)
        watch.forge.close(first)
        watch.clock.advance(60)
        await watch.until(lambda: watch.state("router")["missed"] == {"closed": 1})
        wall.advance(10 * 86_400)
        watch.forge.reopen(first)
        watch.clock.advance(60)
        await watch.until(lambda: watch.state("router")["missed"].get("reopened") == 1)


async def test_asking_twice_is_asking_once_more(tmp_path: Path) -> None:
    """However often a sweep is asked for while one is under way, there is one more after it."""
    async with fresh(tmp_path) as watch:
        await watch.refresh()
        route = "GET /repos/{owner}/{repo}/issues"
        before = watch.forge.server.requests[route]
        watch.forge.misbehave("slow", route=route, delay_s=0.3)
        sweeper = watch.tree.ref("sweeper")
        await sweeper.call(Refresh())
        await watch.until(lambda: watch.state()["running"] == 1)
        for _ in range(20):
            await sweeper.call(Refresh(REPO))
        assert await sweeper.call(Refresh("acme/unheard-of")) == 0
        await watch.until(lambda: watch.forge.server.requests[route] == before + 4)
        await watch.until(lambda: watch.state()["running"] == 0)
        assert watch.forge.server.requests[route] == before + 4


async def test_a_repository_that_is_gone_is_asked_rarely(tmp_path: Path) -> None:
    """Deleted under us it is named as failing, its issues stay, and another of its name is another."""
    async with fresh(tmp_path) as watch:
        watch.forge.delete_repository(REPO)
        await watch.tree.ref("sweeper").call(Refresh())
        await watch.until(lambda: REPO in watch.state()["failing"])
        assert not [each for each in await watch.events() if isinstance(each.event, IssueDeleted)]
        assert watch.state()["problem"] is None


async def test_a_thousand_repositories_are_swept_a_few_at_a_time(tmp_path: Path) -> None:
    """Two requests for each, four repositories at once, and none twice before its time."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        for n in range(1_000):
            forge.repository(f"acme/r{n}", collaborators={BOT: "write"})
        async with coordinator(tmp_path, forge, clock, token, repositories="all") as watch:
            most = 0
            with trio.fail_after(600):
                while watch.state().get("last_at") is None:
                    most = max(most, watch.state().get("running", 0))
                    await trio.sleep(0.01)
            assert most == 4
            assert watch.state()["repositories"] == 1_001
            requests = forge.server.requests
            assert requests["GET /repos/{owner}/{repo}/issues"] == 2 * 1_001
            assert requests.total() < 2 * 1_001 + 40


class _Cursed(Forge):
    """A client with a bug that shows in one repository."""

    async def count_issues(self, repo: str, *, repo_id: int | None = None) -> int:
        if repo == "acme/cursed":
            raise ZeroDivisionError("a bug")
        return await super().count_issues(repo, repo_id=repo_id)


async def test_a_sweep_that_crashes_twice_is_left_alone(tmp_path: Path) -> None:
    """A bug that one repository brings out ends up as its failure; the others are swept."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        forge.open(REPO, "An issue")
        cursed = forge.repository("acme/cursed", collaborators={BOT: "write"})
        forge.open(cursed, "A cursed issue")
        names = (REPO, "acme/cursed")
        async with coordinator(
            tmp_path, forge, clock, token, repositories=names, client=_Cursed
        ) as watch:
            await watch.until(lambda: "acme/cursed" in (watch.state().get("failing") or {}))
            assert "ZeroDivisionError" in watch.state()["failing"]["acme/cursed"]
            await watch.swept()
            assert watch.state()["repositories"] == 2


async def test_a_token_taken_back_is_the_problem(tmp_path: Path) -> None:
    """A token that was good and is no more stops the sweeps, visibly, until it is good again."""
    async with fresh(tmp_path) as watch:
        watch.forge.misbehave("status", route="GET /user", status=401, times=None)
        watch.forge.misbehave("status", route="GET /repos", status=401, times=None)
        await watch.tree.ref("sweeper").call(Refresh())
        await watch.until(lambda: "401" in (watch.state()["problem"] or ""))
        watch.forge.server.faults.clear()
        [first] = watch.forge.data.issues.values()
        watch.forge.close(first)
        watch.clock.advance(60)
        await watch.until(lambda: watch.state()["problem"] is None)
        await watch.until(lambda: watch.state("router")["missed"] == {"closed": 1})


async def test_a_router_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Without the router nothing can be swept; when it is back, everything is, without a word lost."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.forge.close(first)
        watch.clock.advance(60)
        await watch.tree.terminate_child("root", "router")
        await watch.tree.ref("sweeper").call(Refresh())
        await watch.until(lambda: REPO in watch.state()["failing"])
        await watch.tree.restart_child("root", "router")
        await watch.until(lambda: watch.state("router").get("missed") == {"closed": 1})
        assert watch.state()["problem"] is None
