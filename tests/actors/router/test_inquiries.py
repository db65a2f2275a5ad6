"""The router's answers to the sweeper, over a real tree and journal."""

from pathlib import Path

from coordinator.actors.messages import (
    DescribeReads,
    KnownIssuesOf,
    KnownOf,
    NamedRepository,
    ReadAgain,
    ReadBlockers,
    ReadsView,
    Sighted,
    SightedReply,
    Sighting,
    WatchedRepositories,
    WatchedRepository,
)
from coordinator.actors.router.inquiries import Inquiry
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_wire import facts_of_issue
from coordinator.rules.events import IssueDeleted, IssueObserved
from coordinator.rules.ids import IssueRef
from tests.actors.forge_stage import BOT, REPO, Scene, fake_forge, scene
from tests.fakes.forge import Forge as FakeForge

OTHER = "acme/gadgets"


async def listed(fake: FakeForge, *, is_first: bool = False) -> Sighted:
    """What a sweep of the repository sees now."""
    async with Forge(fake.url, fake.token(BOT), trust_env=False) as forge:
        page = await forge.issues(REPO)
    items = (facts_of_issue(issue, None, None) for issue in page.issues)
    return Sighted(tuple(Sighting(*item) for item in items), is_first=is_first)


async def ask(at: Scene, message: Inquiry) -> object:
    return await at.on.tree.ref("router").call(message)


async def test_what_a_sweep_saw_is_read_and_counted(tmp_path: Path) -> None:
    """A change whose delivery was lost is read and marked as missed, with its causes; seen again it is
    no news."""
    async with fake_forge() as fake, scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.deliver()
        at.later()
        fake.retitle(issue, "Lost")
        at.mail()
        assert await ask(at, await listed(fake)) == SightedReply(1, 0, 0)
        await at.quiet()
        event = (await at.on.events())[-1].event
        assert isinstance(event, IssueObserved)
        assert (event.source, event.missed, event.facts.title) == ("sweep", ("edited",), "Lost")
        assert await ask(at, await listed(fake)) == SightedReply(0, 0, 1)
        assert at.state()["missed"] == {"edited": 1}


async def test_an_issue_that_vanished_is_deleted(tmp_path: Path) -> None:
    """What a full list does not show is read again, and gone if the forge says so."""
    async with fake_forge() as fake, scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        kept = fake.open(REPO, "Kept", assignees=["coder-bot"])
        await at.deliver()
        repo_id = fake.repository(REPO).id
        refs = (IssueRef(REPO, issue.number), IssueRef(REPO, kept.number))
        assert await ask(at, KnownOf(repo_id)) == KnownIssuesOf(REPO, refs, 0)
        fake.delete(issue)
        assert await ask(at, ReadAgain((*refs, IssueRef(REPO, 99)))) == 2
        await at.quiet()
        assert (await at.on.events())[-1].event == IssueDeleted(refs[0], "sweep")
        assert await ask(at, KnownOf(repo_id)) == KnownIssuesOf(REPO, refs[1:], 0)
        assert await ask(at, KnownOf(4711)) == KnownIssuesOf(None, (), 0)


async def test_blockers_outside_the_sweep_are_read_on_demand(tmp_path: Path) -> None:
    """A blocker in a repository nobody watches is found closed when it is asked for."""
    async with fake_forge() as fake, scene(tmp_path, fake) as at:
        fake.repository(OTHER, collaborators={BOT: "admin", "maria": "write"})
        far = fake.open(OTHER, "Far")
        at.mail()
        ours = fake.open(REPO, "Ours", assignees=["coder-bot"])
        fake.block(ours, far)
        await at.deliver()
        known_ids = [fake.repository(name).id for name in (REPO, OTHER)]
        assert await ask(at, WatchedRepositories()) == (
            WatchedRepository(known_ids[0], REPO, REPO, is_heard=True, concerns=True),
            WatchedRepository(known_ids[1], OTHER, OTHER, is_heard=False, concerns=False),
        )
        at.later()
        fake.close(far)
        at.mail()
        assert await ask(at, ReadBlockers(frozenset(known_ids))) == 0
        assert await ask(at, ReadBlockers(frozenset(known_ids[:1]))) == 1
        await at.quiet()
        assert (await at.facts(far.number, OTHER)).state == "closed"
        assert await ask(at, DescribeReads()) == ReadsView(0, 0, None, ())


async def test_pull_requests_that_block_are_read_on_demand(tmp_path: Path) -> None:
    """No list and no delivery of issues shows that a pull request was merged, so it is asked for, also
    where it lies in a repository that is swept."""
    async with fake_forge() as fake, scene(tmp_path, fake) as at:
        pull = fake.open(REPO, "The fix", is_pull=True)
        fake.block(fake.open(REPO, "Native", assignees=["coder-bot"]), pull)
        fake.open(REPO, "Stated", f"Blocked by: #{pull.number}", assignees=["coder-bot"])
        await at.deliver()
        at.later()
        fake.close(pull)
        at.mail()
        assert await ask(at, ReadBlockers(frozenset({pull.repo_id}))) == 1
        await at.quiet()
        assert (await at.facts(pull.number)).state == "closed"


async def test_a_renamed_repository_is_found_by_each_of_its_names(tmp_path: Path) -> None:
    """In any case; a name never heard of is nobody's."""
    async with fake_forge() as fake, scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.deliver()
        fake.rename(REPO, "Acme/Gizmos")
        fake.comment(issue, "Hello")
        await at.deliver()
        is_it = WatchedRepository(issue.repo_id, REPO, "Acme/Gizmos", is_heard=True, concerns=True)
        for name in (REPO, "ACME/Widgets", "acme/gizmos"):
            assert await ask(at, NamedRepository(name)) == is_it
        assert await ask(at, NamedRepository("acme/other")) is None


async def test_a_blocker_that_nobody_shows_is_not_asked_for_all_the_time(tmp_path: Path) -> None:
    """Neither a number that is not given yet nor a repository that is not there is read again with the
    next round; once it is seen, it is again like any other."""
    async with fake_forge() as fake, scene(tmp_path, fake) as at:
        ours = fake.open(REPO, "Ours", "Blocked by: #2, no/such#1", assignees=["coder-bot"])
        await at.deliver()
        spent = fake.server.requests.total()
        assert await ask(at, ReadBlockers(frozenset({ours.repo_id}))) == 0
        await at.quiet()
        assert fake.server.requests.total() == spent
        at.later()
        pull = fake.open(REPO, "The fix", is_pull=True)
        fake.retitle(ours, "Still ours")
        await at.deliver()
        assert (await at.facts(pull.number)).state == "open"
        assert await ask(at, ReadBlockers(frozenset({ours.repo_id}))) == 1
