"""What the client must get from every forge, fake or real: one test per promise of `Forge`.

A forge runs the suite by subclassing `ForgeContract` and giving it a `world` fixture: a fresh
repository with issues on, and what a person would do there by hand.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Protocol

import pytest

from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import HookScope, IssuePage
from coordinator.errors import ForgeForbidden, ForgeNotFound, ForgeRefused, ForgeUnauthorized
from coordinator.rules.ids import Login

__all__ = ["ForgeContract", "ForgeWorld"]

# No repository of a forge that counts from one has this number.
NOBODY = 2_000_000_000
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class ForgeWorld(Protocol):
    """One repository of one forge. The token's user owns or administers it."""

    url: str
    token: str
    repo: str

    async def open(self, title: str, body: str = "") -> int:
        """A new open issue; its number."""

    async def close(self, number: int) -> None: ...

    async def block(self, blocked: int, blocker: int) -> None: ...

    async def rename(self, name: str) -> None:
        """The repository is called so from now on, its owner stays; `repo` follows."""


class ForgeContract:
    """The suite; every test opens its own repository."""

    @pytest.fixture
    async def forge(self, world: ForgeWorld) -> AsyncIterator[Forge]:
        # An environment's proxy is nothing the forge can be asked about.
        async with Forge(world.url, world.token, trust_env=False) as client:
            yield client

    # the forge itself

    async def test_the_forge_says_what_it_is(self, forge: Forge) -> None:
        """Product, version and features agree with each other; they are asked for once."""
        info = await forge.info()
        requests = forge.health().requests
        assert info.version
        assert info.api_level >= (1, 20), "older forges have no dependencies"
        assert (info.product == "forgejo") == ("gitea-" in info.version)
        assert info.has_assignees_api == (info.product == "gitea" and info.api_level >= (1, 27))
        assert 1 <= info.max_page <= 50
        assert await forge.info() is info
        assert forge.health().requests == requests
        assert (forge.health().product, forge.health().version) == (info.product, info.version)

    async def test_the_forge_tells_the_time(self, forge: Forge) -> None:
        """Its clock is read as an instant in whole seconds."""
        at = await forge.server_time()
        assert at is not None
        assert at.utcoffset() == timedelta(0)
        assert at.microsecond == 0

    async def test_the_token_has_an_owner(self, forge: Forge) -> None:
        """The account is known by id and folded login."""
        account = await forge.whoami()
        assert account.id > 0
        assert account.login == account.login.lower()

    async def test_a_wrong_token_is_unauthorized(self, world: ForgeWorld) -> None:
        """An unknown token is told apart from a missing right, with a remedy and without the token."""
        wrong = "0" * 40
        async with Forge(world.url, wrong, trust_env=False) as stranger:
            with pytest.raises(ForgeUnauthorized) as caught:
                await stranger.whoami()
        assert "GITEA_TOKEN" in caught.value.remedy
        assert wrong not in str(caught.value)

    # repositories

    async def test_a_repository_is_read(self, forge: Forge, world: ForgeWorld) -> None:
        """By name, by id and in the list of ours it is the same, with our rights in it."""
        repository = await forge.repository(world.repo)
        assert repository.full_name == world.repo
        assert repository.has_issues
        assert repository.dependencies_enabled
        assert repository.can_admin
        assert repository.can_write
        assert not repository.archived
        assert await forge.repository_by_id(repository.id) == repository
        ours: list[int] = []
        page = 1
        while found := await forge.repositories(page):
            ours += [each.id for each in found]
            page += 1
        assert repository.id in ours

    async def test_names_are_compared_without_case(self, forge: Forge, world: ForgeWorld) -> None:
        """A repository asked for in capitals answers in its own spelling."""
        assert (await forge.repository(world.repo.upper())).full_name == world.repo

    async def test_a_renamed_repository_is_found_again(self, forge: Forge, world: ForgeWorld) -> None:
        """With its id every read and write finds its way to the new name; without it, an error names
        the new place and nothing is written."""
        number, old = await world.open("Rows are lost"), world.repo
        repo_id = (await forge.repository(old)).id
        await world.rename("gadgets")
        assert (await forge.issue(old, number, repo_id=repo_id)).repo_full_name == world.repo
        assert (await forge.repository(old, repo_id=repo_id)).full_name == world.repo
        comment = await forge.create_comment(old, number, "found you", repo_id=repo_id)
        assert await forge.comments(world.repo, number) == (comment,)
        with pytest.raises(ForgeNotFound) as caught:
            await forge.create_comment(old, number, "lost")
        assert caught.value.moved_to
        assert len(await forge.comments(world.repo, number)) == 1

    async def test_what_is_not_there_is_not_found(self, forge: Forge, world: ForgeWorld) -> None:
        """A missing issue, comment and repository are ForgeNotFound, also when their id is known."""
        repo_id = (await forge.repository(world.repo)).id
        with pytest.raises(ForgeNotFound):
            await forge.issue(world.repo, NOBODY)
        with pytest.raises(ForgeNotFound):
            await forge.issue(world.repo, NOBODY, repo_id=repo_id)
        with pytest.raises(ForgeNotFound):
            await forge.comment(world.repo, NOBODY)
        with pytest.raises(ForgeNotFound):
            await forge.repository(f"{world.repo}-that-is-not-there")
        with pytest.raises(ForgeNotFound):
            await forge.repository_by_id(NOBODY)

    async def test_permissions_are_the_forges_word(self, forge: Forge, world: ForgeWorld) -> None:
        """Our own right here is to administer or own it; a person unknown to the forge has none."""
        me = (await forge.whoami()).login
        assert await forge.permission(world.repo, me) in ("admin", "owner")
        assert await forge.permission(world.repo, "nobody-of-this-name") == "none"
        assert me in await forge.assignable(world.repo)

    # issues

    async def test_an_issue_is_read_whole(self, forge: Forge, world: ForgeWorld) -> None:
        """Everything facts are made of, in UTC and whole seconds."""
        number = await world.open("Rows are lost", "Blocked by #1\n\nÄ & <b>")
        issue = await forge.issue(world.repo, number)
        assert (issue.number, issue.title, issue.state) == (number, "Rows are lost", "open")
        assert issue.body == "Blocked by #1\n\nÄ & <b>"
        assert (issue.assignees, issue.labels, issue.milestone) == ((), (), None)
        assert issue.repo_full_name == world.repo
        assert issue.html_url.endswith(f"/{world.repo}/issues/{number}")
        assert issue.closed_at is None
        assert issue.created_at.utcoffset() == timedelta(0)
        assert issue.created_at.microsecond == 0
        assert not issue.is_pull

    async def test_a_closed_issue_says_when(self, forge: Forge, world: ForgeWorld) -> None:
        """`closed_at` comes with the state, and both count as a change."""
        number = await world.open("Rows are lost")
        await world.close(number)
        issue = await forge.issue(world.repo, number)
        assert issue.state == "closed"
        assert issue.closed_at is not None
        assert issue.updated_at >= issue.closed_at

    async def test_a_list_ends_with_an_empty_page(self, forge: Forge, world: ForgeWorld) -> None:
        """Open and closed issues are listed once each, with their number; then a page says the end."""
        numbers = [await world.open(f"Issue {n}") for n in range(3)]
        await world.close(numbers[0])
        page = await forge.issues(world.repo)
        assert not page.is_end
        assert sorted(issue.number for issue in page.issues) == numbers
        assert page.total == 3
        assert page.issues[0] == await forge.issue(world.repo, page.issues[0].number)
        assert (await forge.issues(world.repo, page=2)).is_end
        assert await forge.count_issues(world.repo) == 3
        still_open = await forge.issues(world.repo, state="open")
        assert sorted(issue.number for issue in still_open.issues) == numbers[1:]

    async def test_since_includes_its_own_second(self, forge: Forge, world: ForgeWorld) -> None:
        """An issue changed in the very second asked for is listed, whatever the zone it is asked in; a
        second later it is not."""
        issue = await forge.issue(world.repo, await world.open("Rows are lost"))
        india = issue.updated_at.astimezone(timezone(timedelta(hours=5, minutes=30)))
        assert numbers_of(await forge.issues(world.repo, since=india)) == [issue.number]
        later = issue.updated_at + timedelta(seconds=1)
        assert numbers_of(await forge.issues(world.repo, since=later)) == []

    async def test_an_empty_repository_has_no_issues(self, forge: Forge, world: ForgeWorld) -> None:
        """No issues is an answer: the end at once, and zero."""
        assert (await forge.issues(world.repo)).is_end
        assert await forge.count_issues(world.repo) == 0

    # dependencies

    async def test_dependencies_are_read_both_ways(self, forge: Forge, world: ForgeWorld) -> None:
        """What blocks an issue and what it blocks, with states; a closed blocker stays listed."""
        first, second, third = [await world.open(title) for title in ("One", "Two", "Three")]
        await world.block(third, first)
        await world.block(third, second)
        await world.close(first)
        blockers = await forge.blockers(world.repo, third)
        assert {(ref.number, ref.state) for ref in blockers.refs} == {
            (first, "closed"),
            (second, "open"),
        }
        assert {ref.repo for ref in blockers.refs} == {world.repo}
        assert blockers.hidden == 0
        assert [ref.number for ref in (await forge.blocked(world.repo, second)).refs] == [third]
        assert (await forge.blockers(world.repo, first)).refs == ()

    async def test_many_dependencies_are_read_to_the_end(self, forge: Forge, world: ForgeWorld) -> None:
        """More than one page of blockers is read, and none is counted twice."""
        numbers = [await world.open(f"Part {n}") for n in range(35)]
        last = numbers.pop()
        for number in numbers:
            await world.block(last, number)
        found = [ref.number for ref in (await forge.blockers(world.repo, last)).refs]
        assert sorted(found) == numbers

    # comments

    async def test_a_comment_lives_and_dies(self, forge: Forge, world: ForgeWorld) -> None:
        """Created, found, edited, reacted to twice, deleted; then it is gone for good."""
        number = await world.open("Rows are lost")
        created = await forge.create_comment(world.repo, number, "first\n<!-- mark -->")
        assert created.author == (await forge.whoami()).login
        assert created.body == "first\n<!-- mark -->"
        assert (await forge.comments(world.repo, number))[0].issue_number == number
        edited = await forge.edit_comment(world.repo, created.id, "second")
        assert (edited.id, edited.body) == (created.id, "second")
        assert (await forge.comment(world.repo, created.id)).body == "second"
        assert (await forge.comment(world.repo, created.id)).issue_number == number
        for _ in range(2):
            await forge.react(world.repo, created.id, "+1")
        await forge.delete_comment(world.repo, created.id)
        assert await forge.comments(world.repo, number) == ()
        with pytest.raises(ForgeNotFound):
            await forge.delete_comment(world.repo, created.id)

    async def test_comments_of_the_whole_repository(self, forge: Forge, world: ForgeWorld) -> None:
        """Comments of all issues since an instant, each with the number of its issue; then an end."""
        first, second = await world.open("One"), await world.open("Two")
        for number in (first, second):
            await forge.create_comment(world.repo, number, f"on {number}")
        found = await forge.comments_since(world.repo, LONG_AGO)
        assert {(each.issue_number, each.body) for each in found} == {
            (first, f"on {first}"),
            (second, f"on {second}"),
        }
        assert not any(each.is_pull for each in found)
        assert await forge.comments_since(world.repo, LONG_AGO, page=2) == ()
        later = max(each.updated_at for each in found) + timedelta(seconds=1)
        assert await forge.comments_since(world.repo, later) == ()

    # labels and assignees

    async def test_an_exclusive_label_replaces_its_sibling(
        self, forge: Forge, world: ForgeWorld
    ) -> None:
        """Of one scope an issue carries one label; taking it off again leaves none."""
        number = await world.open("Rows are lost")
        ready = await forge.create_label(world.repo, "coordinator/ready", "0e8a16", "May start")
        blocked = await forge.create_label(world.repo, "coordinator/blocked", "#fbca04", "Waits")
        assert (ready.color, blocked.color) == ("0e8a16", "fbca04")
        assert ready.exclusive
        assert {ready, blocked} <= set(await forge.labels(world.repo))
        assert await forge.add_labels(world.repo, number, [ready.id]) == (ready,)
        await forge.add_labels(world.repo, number, [blocked.id])
        assert (await forge.issue(world.repo, number)).labels == ("coordinator/blocked",)
        await forge.remove_label(world.repo, number, blocked.id)
        assert (await forge.issue(world.repo, number)).labels == ()

    async def test_assignees_come_and_go(self, forge: Forge, world: ForgeWorld) -> None:
        """Added and removed one by one, whatever the forge offers; asked twice nothing is sent."""
        number, me = await world.open("Rows are lost"), (await forge.whoami()).login
        assert await forge.set_assignees(world.repo, number, [me], []) == (me,)
        requests = forge.health().requests
        assert await forge.set_assignees(world.repo, number, [Login(me.upper())], []) == (me,)
        assert forge.health().requests == requests + 1
        assert (await forge.issue(world.repo, number)).assignees == (me,)
        assert await forge.set_assignees(world.repo, number, [], [me]) == ()
        with pytest.raises(ForgeRefused):
            await forge.set_assignees(world.repo, number, [Login("nobody-of-this-name")], [])

    # hooks

    async def test_a_hook_is_installed_active(self, forge: Forge, world: ForgeWorld) -> None:
        """It sends JSON for issues and comments, is listed without its secret, and can be removed."""
        scope: HookScope = ("repo", world.repo)
        url = "http://127.0.0.1:9/webhook"
        created = await forge.create_hook(scope, url, "secret-of-a-test", ["issues", "issue_comment"])
        assert (created.url, created.active, created.content_type) == (url, True, "json")
        assert {"issues", "issue_comment"} <= set(created.events)
        assert await forge.hooks(scope) == (created,)
        await forge.delete_hook(scope, created.id)
        assert await forge.hooks(scope) == ()
        with pytest.raises(ForgeNotFound):
            await forge.delete_hook(scope, created.id)

    async def test_the_whole_forge_is_for_its_administrator(self, forge: Forge) -> None:
        """The hooks of all repositories are listed to the forge's administrator, or forbidden."""
        with suppress(ForgeForbidden):
            assert all(hook.id > 0 for hook in await forge.hooks(("all", "")))


def numbers_of(page: IssuePage) -> list[int]:
    return [issue.number for issue in page.issues]
