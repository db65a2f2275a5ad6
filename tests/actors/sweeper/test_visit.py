"""One sweep of a repository sees all of it that changed, what is gone, and commands nobody told of."""

from pathlib import Path
from typing import Any

import pytest

from coordinator.actors.messages import Refresh
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import IssuePage
from coordinator.rules.events import IssueDeleted, IssueObserved
from coordinator.rules.ids import IssueRef
from coordinator.rules.orders import RunCommand
from tests.actors.sweeping import Watch, coordinator, fresh
from tests.fakes import forge as fakes
from tests.fakes.forge import BOT, REPO, VirtualClock, furnish

BOTH = pytest.mark.parametrize("product", ["gitea", "forgejo"])


async def test_long_lists_are_read_to_their_end(tmp_path: Path) -> None:
    """More issues than fit on two pages are all seen, on the first sweep and on a later one."""
    clock = VirtualClock()
    async with fakes.open_forge("forgejo", clock=clock) as forge:
        token = furnish(forge)
        issues = [forge.open(REPO, f"Number {n}") for n in range(1, 121)]
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
            assert await watch.known(issues[0].repo_id) == list(range(1, 121))
            for issue in issues[:70]:
                forge.retitle(issue, f"{issue.title}, again")
            await watch.refresh()
            assert sorted(await watch.missed()) == [(n, ("edited",)) for n in range(1, 71)]


@BOTH
async def test_deleted_issues_are_found_by_their_number(product: Any, tmp_path: Path) -> None:
    """A forge that said nothing of a deletion counts one issue less; a full list shows which."""
    async with fresh(tmp_path, product) as watch:
        forge = watch.forge
        doomed = forge.open(REPO, "Doomed")
        forge.open(REPO, "A pull request", is_pull=True)
        await watch.refresh()
        watch.clock.advance(600)
        forge.delete(doomed)
        await watch.refresh()
        gone = [each.event for each in await watch.events() if isinstance(each.event, IssueDeleted)]
        assert gone == [IssueDeleted(IssueRef(REPO, 2), "sweep")]
        assert await watch.known(doomed.repo_id) == [1]
        requests = forge.server.requests.total()
        await watch.refresh()
        assert forge.server.requests.total() - requests <= 4


async def test_a_change_of_just_now_is_left_to_its_delivery(tmp_path: Path) -> None:
    """What changed within the last seconds is not counted as missed: its delivery may be on its way."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.clock.advance(600)
        watch.forge.retitle(first, "Edited just now")
        before = watch.state()["last_at"]
        await watch.tree.ref("sweeper").call(Refresh())
        await watch.until(lambda: watch.state()["last_at"] != before)
        await watch.read()
        assert await watch.missed() == []
        await watch.refresh()
        assert await watch.missed() == [(1, ("edited",))]


async def test_a_renamed_repository_is_followed(tmp_path: Path) -> None:
    """It keeps its place under its id: what happens after the rename is found, under the first name."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.forge.rename(REPO, "acme/gadgets")
        watch.forge.close(first)
        assert await watch.refresh() == 1
        assert await watch.missed() == [(1, ("closed",))]
        [event] = [each.event for each in await watch.events()][-1:]
        assert isinstance(event, IssueObserved)
        assert (event.facts.ref.repo, event.facts.repo_name) == (REPO, "acme/gadgets")
        assert await watch.refresh("acme/gadgets") == 1


@BOTH
async def test_a_lost_command_is_ordered_once(product: Any, tmp_path: Path) -> None:
    """A command in a comment that no delivery told of becomes one order; talk, commands of before our
    time, and what our own accounts write do not."""
    async with fresh(tmp_path, product) as watch:
        forge = watch.forge
        [first] = forge.data.issues.values()
        pull = forge.open(REPO, "A pull request", is_pull=True)
        watch.clock.advance(60)
        wanted = forge.comment(first, "/coordinator park waiting for the release")
        forge.comment(first, "What does /coordinator do?")
        forge.comment(first, "/coordinator retry", by=BOT)
        forge.comment(first, "/coordinator retry", by="coder-bot")
        forge.comment(pull, "/coordinator retry")
        await watch.refresh()
        assert watch.commands() == [wanted.id]
        await watch.refresh()
        later = forge.comment(first, "/coordinator resume")
        await watch.refresh()
        assert watch.commands() == [wanted.id, later.id]
        [order, _] = watch.journal.open_orders("scribe")
        assert order.order == RunCommand(IssueRef(REPO, 1), first.repo_id, REPO, wanted.id)
        assert watch.state()["commands_found"] == 2


async def test_commands_of_before_our_time_are_history(tmp_path: Path) -> None:
    """A command written before the first sweep is none, not even when its issue changes later."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "Old")
        forge.comment(issue, "/coordinator retry")
        clock.advance(5)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
            forge.retitle(issue, "New")
            await watch.refresh()
            assert await watch.missed() == [(1, ("edited",))]
            assert watch.commands() == []


async def test_issues_switched_off_are_not_deleted(tmp_path: Path) -> None:
    """A repository whose issues are out of sight for a while has lost none of them."""
    async with fresh(tmp_path) as watch:
        watch.forge.repository(REPO).has_issues = False
        await watch.refresh()
        assert not [each for each in await watch.events() if isinstance(each.event, IssueDeleted)]


async def test_an_idle_sweep_is_two_requests_for_a_repository(tmp_path: Path) -> None:
    """One list and one count, beside one look at the clock for all repositories together."""
    async with fresh(tmp_path) as watch:
        await watch.refresh()
        before = watch.forge.server.requests.copy()
        await watch.refresh()
        spent = watch.forge.server.requests - before
        assert sum(n for route, n in spent.items() if "issues" in route) == 2
        assert sum(spent.values()) <= 3


class _Busy:
    """Somebody who edits old issues while a list of them is being read."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.route = "GET /repos/{owner}/{repo}/issues"

    async def wait_page(self, number: int) -> None:
        await self.watch.until(lambda: self.watch.forge.server.requests[self.route] >= number)


async def test_what_changes_while_a_list_is_read_is_found(tmp_path: Path) -> None:
    """Issues edited, opened and deleted between two pages: after one more sweep all is as the forge has
    it, and each change was counted once."""
    clock = VirtualClock()
    async with fakes.open_forge("forgejo", clock=clock) as forge:
        token = furnish(forge)
        issues = [forge.open(REPO, f"Number {n}") for n in range(1, 131)]
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
            for issue in issues:
                forge.set_labels(issue, "bug")
            clock.advance(60)
            busy = _Busy(watch)
            seen = forge.server.requests[busy.route]
            forge.misbehave("slow", route=busy.route, delay_s=0.1, times=3)
            await watch.tree.ref("sweeper").call(Refresh())
            await busy.wait_page(seen + 2)
            forge.delete(issues[128])
            forge.close(issues[0])
            forge.open(REPO, "Opened meanwhile")
            await watch.until(lambda: watch.state()["running"] == 0)
            await watch.refresh()
            await watch.refresh()
            numbers = [n for n in range(1, 132) if n != 129]
            assert await watch.known(issues[0].repo_id) == numbers
            found = [cause for _, causes in await watch.missed() for cause in causes]
            # The one that was deleted may have been read before that.
            assert found.count("labels") in (129, 130)
            assert (found.count("closed"), found.count("opened")) == (1, 1)


@BOTH
@pytest.mark.parametrize("doomed", [5, 58])
async def test_an_issue_that_a_deletion_shifts_is_not_lost(
    product: Any, doomed: int, tmp_path: Path
) -> None:
    """An issue deleted and another one opened between two pages leave the number of issues as it was;
    all the same each that is there is found."""
    clock = VirtualClock()
    async with fakes.open_forge(product, clock=clock) as forge:
        token = furnish(forge)
        issues = [forge.open(REPO, f"Number {n}") for n in range(1, 61)]
        clock.advance(60)
        is_done = False

        class Beside(Forge):
            async def issues(self, *given: Any, **options: Any) -> IssuePage:
                page = await super().issues(*given, **options)
                nonlocal is_done
                if not is_done:
                    is_done = True
                    forge.delete(issues[doomed - 1])
                    forge.open(REPO, "Opened meanwhile")
                return page

        async with coordinator(tmp_path, forge, clock, token, client=Beside) as watch:
            await watch.swept()
            known = set(await watch.known(issues[0].repo_id))
            assert {n for n in range(1, 61) if n != doomed} <= known


async def test_since_is_inclusive_and_shows_known_issues_again(tmp_path: Path) -> None:
    """What a list shows again because of the overlap is no news, and asks for nothing."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.forge.retitle(first, "Edited")
        await watch.refresh()
        events, route = len(await watch.events()), "GET /repos/{owner}/{repo}/issues/{index}"
        reads = watch.forge.server.requests[route]
        await watch.refresh()
        assert len(await watch.events()) == events
        assert watch.forge.server.requests[route] == reads


async def test_a_clock_that_is_set_back_hides_nothing(tmp_path: Path) -> None:
    """What changes after the forge's clock was set back an hour is found, though it is stamped before
    everything seen; and so is the next change."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.forge.retitle(first, "Edited while the clock ran ahead")
        await watch.refresh()
        watch.clock.advance(-3_600)
        watch.forge.close(first)
        await watch.refresh()
        assert (await watch.missed())[1:] == [(1, ("closed",))]
        watch.forge.reopen(first)
        await watch.refresh()
        assert (await watch.missed())[2:] == [(1, ("reopened",))]


async def test_a_list_is_of_the_moment_it_was_asked_for(tmp_path: Path) -> None:
    """However long a page takes, what it shows counts as seen before it was asked for."""
    clock, wall = VirtualClock(), VirtualClock()
    began = wall()

    class Slow(Forge):
        async def issues(self, *given: Any, **options: Any) -> IssuePage:
            page = await super().issues(*given, **options)
            wall.advance(5)
            return page

    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        forge.close(forge.open(REPO, "Done long ago"))
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token, wall=wall, client=Slow) as watch:
            await watch.swept()
            [event] = [each.event for each in await watch.events()]
            assert isinstance(event, IssueObserved)
            assert event.facts.read_at == began


async def test_a_list_that_breaks_off_moves_nothing(tmp_path: Path) -> None:
    """A page that cannot be read fails the sweep; it is repeated, and nothing is lost between."""
    async with fresh(tmp_path) as watch:
        [first] = watch.forge.data.issues.values()
        watch.forge.close(first)
        watch.clock.advance(60)
        watch.forge.misbehave("status", route="GET /repos/{owner}/{repo}/issues", status=500, times=1)
        await watch.tree.ref("sweeper").call(Refresh())
        await watch.until(lambda: watch.state("router")["missed"] == {"closed": 1})


async def test_a_restart_knows_since_when_it_takes_commands(tmp_path: Path) -> None:
    """A command given while we were down is found by the next life, an older one is not."""
    clock = VirtualClock()
    async with fakes.open_forge(clock=clock) as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "An issue")
        forge.comment(issue, "/coordinator retry")
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
        wanted = forge.comment(issue, "/coordinator explain")
        clock.advance(60)
        async with coordinator(tmp_path, forge, clock, token) as watch:
            await watch.swept()
            assert watch.commands() == [wanted.id]
