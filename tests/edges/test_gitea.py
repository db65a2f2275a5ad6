"""The client where the contract cannot look: others' rights, hidden blockers, names taken over, faults
of a whole forge."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.gitea_remote_wire import Account
from coordinator.errors import (
    ForgeArchived,
    ForgeForbidden,
    ForgeInvalid,
    ForgeNotFound,
    ForgeUnavailable,
)
from coordinator.rules.ids import Login
from tests.fakes.forge import BOT, FORGEJO, GITEA, REPO, Dialect, furnish, open_forge
from tests.fakes.forge import Forge as FakeForge
from tests.fakes.scripted_http import answer, open_scripted

SOON = RetryPace(attempts=3, min_s=0.001)


@pytest.fixture(params=[GITEA, FORGEJO], ids=lambda dialect: dialect.product)
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeForge]:
    dialect: Dialect = request.param
    async with open_forge(dialect) as running:
        yield running


@asynccontextmanager
async def opened(fake: FakeForge, token: str) -> AsyncIterator[Forge]:
    async with Forge(fake.url, token, trust_env=False, pace=SOON) as client:
        yield client


async def test_a_missing_scope_is_named(fake: FakeForge) -> None:
    """In the words of either product, for reading and for writing."""
    furnish(fake)
    issue = fake.open(REPO, "Rows are lost")
    async with opened(fake, fake.token(BOT, "read:issue")) as forge:
        with pytest.raises(ForgeForbidden) as caught:
            await forge.create_comment(REPO, issue.number, "x")
        assert caught.value.missing_scope == "write:issue"
        with pytest.raises(ForgeForbidden) as caught:
            await forge.whoami()
        assert caught.value.missing_scope == "read:user"
        with pytest.raises(ForgeForbidden) as caught:
            await forge.repository(REPO)
        assert caught.value.missing_scope == "read:repository"


async def test_our_own_comments_tell_who_we_are(fake: FakeForge) -> None:
    """Where the token may not ask whose it is, the author of what was made with it answers; what was
    only edited with it may be anybody's."""
    furnish(fake)
    issue = fake.open(REPO, "Rows are lost")
    theirs = fake.comment(issue, "x", by="maria")
    async with opened(fake, fake.token(BOT, "write:issue")) as forge:
        await forge.edit_comment(REPO, theirs.id, "y")
        with pytest.raises(ForgeForbidden):
            await forge.whoami()
        await forge.create_comment(REPO, issue.number, "z")
        assert await forge.whoami() == Account(0, Login(BOT))


async def test_others_rights_are_told_to_administrators_only(fake: FakeForge) -> None:
    """An administrator learns each person's right; a writer only its own, and no scope is missing."""
    token = furnish(fake)
    async with opened(fake, token) as admin:
        rights = [await admin.permission(REPO, who) for who in ("maria", "rita", "nobody-such")]
        assert rights == ["write", "read", "none"]
        assert {"maria", BOT} <= await admin.assignable(REPO)
        assert "rita" not in await admin.assignable(REPO)
    async with opened(fake, fake.token("maria")) as writer:
        assert await writer.permission(REPO, "maria") == "write"
        with pytest.raises(ForgeForbidden) as caught:
            await writer.permission(REPO, "rita")
    assert caught.value.missing_scope is None
    assert "administrator" in caught.value.remedy


async def test_blockers_out_of_sight_are_hidden(fake: FakeForge) -> None:
    """A dependency on a repository this token may not read counts, without a name."""
    furnish(fake)
    fake.repository("vault/secret", private=True, collaborators={"maria": "write"})
    secret = fake.open("vault/secret", "Unspeakable")
    seen, blocked = fake.open(REPO, "Seen"), fake.open(REPO, "Blocked")
    fake.block(blocked, secret)
    fake.block(blocked, seen)
    for login in ("rita", BOT):  # a reader and a writer are shown different placeholders
        async with opened(fake, fake.token(login)) as forge:
            blockers = await forge.blockers(REPO, blocked.number)
        named = [ref for ref in blockers.refs if ref.repo == REPO]
        assert [ref.number for ref in named] == [seen.number]
        assert blockers.hidden + len(blockers.refs) == 2
    async with opened(fake, fake.token("maria")) as forge:
        whole = await forge.blockers(REPO, blocked.number)
        assert ({ref.repo for ref in whole.refs}, whole.hidden) == ({REPO, "vault/secret"}, 0)
        assert [ref.repo for ref in (await forge.blocked("vault/secret", secret.number)).refs] == [REPO]


async def test_a_name_taken_over_does_not_fool_a_read(fake: FakeForge) -> None:
    """Another repository under the old name is noticed by its id; the right one is read."""
    token = furnish(fake)
    issue = fake.open(REPO, "Rows are lost")
    async with opened(fake, token) as forge:
        repo_id = (await forge.repository(REPO)).id
        fake.rename(REPO, "acme/gadgets")
        fake.repository(REPO, collaborators={BOT: "admin"})
        fake.open(REPO, "An impostor")
        assert (await forge.issue(REPO, issue.number)).title == "An impostor"
        found = await forge.issue(REPO, issue.number, repo_id=repo_id)
        assert (found.title, found.repo_full_name) == ("Rows are lost", "acme/gadgets")
        page = await forge.issues(REPO, repo_id=repo_id)
        assert [each.title for each in page.issues] == ["Rows are lost"]
        assert (await forge.repository(REPO, repo_id=repo_id)).full_name == "acme/gadgets"


async def test_an_archived_repository_says_so(fake: FakeForge) -> None:
    """Reading works, writing is told apart from a missing right."""
    token = furnish(fake)
    issue = fake.open(REPO, "Rows are lost")
    fake.archive(REPO)
    async with opened(fake, token) as forge:
        assert (await forge.repository(REPO)).archived
        assert (await forge.issue(REPO, issue.number)).title == "Rows are lost"
        with pytest.raises(ForgeArchived):
            await forge.create_comment(REPO, issue.number, "x")


async def test_only_named_assignees_are_touched(fake: FakeForge) -> None:
    """Whoever else is assigned stays, with or without an interface for it."""
    token = furnish(fake)
    issue = fake.open(REPO, "Rows are lost", assignees=["maria", BOT])
    async with opened(fake, token) as forge:
        people = await forge.set_assignees(
            REPO, issue.number, [Login("coder-bot")], [Login(BOT), Login("nobody")]
        )
        assert set(people) == {"maria", "coder-bot"}
        assert set((await forge.issue(REPO, issue.number)).assignees) == {"maria", "coder-bot"}


async def test_pull_requests_are_left_out(fake: FakeForge) -> None:
    """Lists and counts hold issues only; asked for by number, a pull request says what it is."""
    token = furnish(fake)
    issue, pull = fake.open(REPO, "Issue"), fake.open(REPO, "Pull", is_pull=True)
    async with opened(fake, token) as forge:
        assert [each.number for each in (await forge.issues(REPO)).issues] == [issue.number]
        assert await forge.count_issues(REPO) == 1
        assert (await forge.issue(REPO, pull.number)).is_pull


async def test_the_newest_come_first(fake: FakeForge) -> None:
    """Page by page, from every forge."""
    token = furnish(fake)
    numbers = [fake.open(REPO, f"Number {n}").number for n in range(3)]
    async with opened(fake, token) as forge:
        pages = [(await forge.issues(REPO, page=page, limit=2)).issues for page in (1, 2)]
    assert [each.number for page in pages for each in page] == numbers[::-1]


async def test_a_forge_away_and_back(fake: FakeForge) -> None:
    """While it is away calls fail as unavailable and health says so; once back, all is well."""
    token = furnish(fake)
    issue = fake.open(REPO, "Rows are lost")
    async with opened(fake, token) as forge:
        await forge.info()
        fake.go_away()
        with pytest.raises(ForgeUnavailable):
            await forge.issue(REPO, issue.number)
        health = forge.health()
        assert (health.state, health.failures) == ("closed", 3)
        assert f"issues/{issue.number}" in health.last_error
        await fake.come_back()
        assert (await forge.issue(REPO, issue.number)).title == "Rows are lost"
        assert forge.health().failures == 0


async def test_a_lost_answer_of_a_creation_is_not_repeated(fake: FakeForge) -> None:
    """The comment was made once, although the client was told of a failure."""
    token = furnish(fake)
    issue = fake.open(REPO, "Rows are lost")
    fake.misbehave("reset", route="POST", after=True)
    async with opened(fake, token) as forge:
        with pytest.raises(ForgeUnavailable):
            await forge.create_comment(REPO, issue.number, "once")
        assert [each.body for each in await forge.comments(REPO, issue.number)] == ["once"]


async def test_the_first_question_is_asked_once(fake: FakeForge) -> None:
    """Actors that start together probe the forge once; a failed probe is tried again."""
    token = furnish(fake)
    fake.misbehave("status", route="GET /version", status=503, times=3)
    async with opened(fake, token) as forge:
        assert forge.health().version is None
        with pytest.raises(ForgeUnavailable):
            await forge.info()
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(forge.info)
        assert fake.server.requests["GET /version"] == 4
        assert forge.health().version == (await forge.info()).version


async def test_nothing_of_a_text_becomes_a_path(fake: FakeForge) -> None:
    """A repository or a login that would climb is refused unsent, others stay in their segment."""
    token = furnish(fake)
    async with opened(fake, token) as forge:
        for repo in ("../../admin", "acme/..", "acme/widgets/../../user"):
            with pytest.raises(ForgeInvalid):
                await forge.issue(repo, 1)
        with pytest.raises(ForgeInvalid):
            await forge.permission(REPO, "..")
        assert forge.health().requests == 0
        assert await forge.permission(REPO, "../../../user?x=1#") == "none"


async def test_a_forge_that_hides_its_settings_is_asked_for_the_usual(fake: FakeForge) -> None:
    """Without them pages have the products' default size; without a count there is none."""
    async with open_scripted() as server:
        refusal = answer({"message": "no"}, 404)
        server.script(answer({"version": "1.27.0"}), refusal, answer([], 200))
        async with Forge(server.url, "token", trust_env=False, pace=SOON) as forge:
            assert (await forge.info()).max_page == 50
            assert (await forge.issues(REPO)).is_end
            server.otherwise = answer([])
            with pytest.raises(ForgeUnavailable, match="X-Total-Count"):
                await forge.count_issues(REPO)


async def test_dependencies_that_are_switched_off_are_not_found(fake: FakeForge) -> None:
    """The forge says 404; the repository tells why."""
    token = furnish(fake)
    issue = fake.open(REPO, "Rows are lost")
    (repository,) = (each for each in fake.data.repos.values() if each.full_name == REPO)
    repository.dependencies_enabled = False
    async with opened(fake, token) as forge:
        with pytest.raises(ForgeNotFound):
            await forge.blockers(REPO, issue.number)
        assert not (await forge.repository(REPO)).dependencies_enabled


async def test_hooks_of_an_organisation(fake: FakeForge) -> None:
    """Installed and removed like a repository's; a test delivery can be asked for."""
    fake.organization("guild", owners=["maria"])
    async with opened(fake, fake.token("maria")) as forge:
        hook = await forge.create_hook(("org", "guild"), "http://127.0.0.1:9/", "s", ["issues"])
        assert await forge.hooks(("org", "guild")) == (hook,)
        await forge.delete_hook(("org", "guild"), hook.id)
        fake.repository("guild/tools")
        own = await forge.create_hook(("repo", "guild/tools"), "http://127.0.0.1:9/", "s", ["push"])
        await forge.test_hook("guild/tools", own.id)


async def test_the_token_is_nowhere_to_be_seen(fake: FakeForge) -> None:
    """Not in what the client shows of itself."""
    token = furnish(fake)
    async with opened(fake, token) as forge:
        await forge.info()
        assert token not in repr(forge) + repr(forge.health()) + repr(await forge.info())
        assert fake.url in repr(forge)
