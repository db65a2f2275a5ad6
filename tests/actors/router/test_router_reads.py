"""The router against a forge: a delivery is a hint, and what is read there is the truth."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
import trio

from coordinator.actors.clocks import utc_now
from coordinator.rules.events import IssueDeleted, IssueObserved, RepositoryMoved
from coordinator.rules.ids import IssueRef, Login
from coordinator.rules.orders import RunCommand
from tests.actors.forge_stage import BOT, ISSUE, REPO, SOON_OPEN, Scene, again, fake_forge, scene
from tests.actors.stage import stage
from tests.fakes.forge import Forge as FakeForge

OTHER = "acme/gadgets"
REPOSITORY = "GET /repos/{owner}/{repo}"


@pytest.fixture
async def fake() -> AsyncIterator[FakeForge]:
    async with fake_forge() as running:
        yield running


def ref(number: int, repo: str = REPO) -> IssueRef:
    return IssueRef(repo, number)


def second_repository(fake: FakeForge) -> None:
    fake.repository(OTHER, collaborators={BOT: "admin", "maria": "write", "coder-bot": "write"})


async def test_a_burst_costs_one_read(tmp_path: Path, fake: FakeForge) -> None:
    """Ten deliveries of one issue within a moment are one read, and every order is closed by it."""
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        for number in range(8):
            fake.retitle(issue, f"Title {number}")
        async with trio.open_nursery() as nursery:  # a forge sends them side by side
            for letter in at.mail():
                nursery.start_soon(at.accept, [letter])
        await at.quiet()
        assert at.requests == 1
        assert set(await at.outcomes()) == {"read"}
        [stored] = await at.on.events()
        assert isinstance(stored.event, IssueObserved)
        assert stored.event.facts.title == "Title 7"
        assert stored.event.facts.native_blockers == ()
        assert stored.event.facts.read_at is not None
        assert stored.event.by == "maria"
        assert stored.delivery is not None
        assert await at.on.journal.text(stored.event.facts.text_key) == "Title 7\n\n"


async def test_stale_reordered_and_repeated_deliveries_show_what_is(
    tmp_path: Path, fake: FakeForge
) -> None:
    """Whatever the payloads say and in whatever order, the facts are those of the forge."""
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        at.later()
        fake.retitle(issue, "Better")
        at.later()
        fake.close(issue)
        letters = at.mail()
        await at.accept(reversed(letters))
        await at.quiet()
        await at.accept(map(again, letters))
        await at.quiet()
        facts = await at.facts(issue.number)
        assert (facts.title, facts.state) == ("Better", "closed")
        assert [type(each.event) for each in await at.on.events()] == [IssueObserved]


async def test_a_forge_that_is_down_loses_nothing(tmp_path: Path, fake: FakeForge) -> None:
    """Reads stay pending while the forge is away, the deliveries are passed over, and once it is back
    the issue is read."""
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        letters = at.mail()
        fake.go_away()
        await at.accept(letters)
        state = await at.reaches(lag=0, reads_pending=len(letters), reads_in_flight=0)
        assert state["oldest_read_age_s"] >= 0
        await at.until(lambda: bool(at.state()["failing_repositories"]))
        assert at.state()["failing_repositories"][REPO]["failures"] >= 1
        assert await at.on.events() == []
        await fake.come_back()
        fake.postman.pause()
        await at.quiet()
        assert (await at.facts(issue.number)).title == "Title"
        assert at.state()["failing_repositories"] == {}


async def test_an_open_circuit_is_nobodys_fault(tmp_path: Path, fake: FakeForge) -> None:
    """While the client asks the forge nothing at all, no repository backs off, and nothing is tried."""
    second_repository(fake)
    async with scene(tmp_path, fake, breaker=SOON_OPEN) as at:
        await at.reaches(own_login=BOT)
        fake.misbehave("status", status=503, times=2)
        for _ in range(2):
            fake.open(OTHER, "Ill", assignees=["coder-bot"])
        await at.accept(at.mail())
        await at.until(lambda: at.requests == 2)
        fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.accept(at.mail())
        await at.reaches(lag=0, reads_in_flight=0)
        assert at.state()["failing_repositories"].keys() == {OTHER}
        await at.quiet()
        assert len(await at.on.events()) == 3
        assert at.requests <= 6, "two that failed, three that did not, and perhaps one refused probe"


async def test_who_was_not_asked_for_is_not_to_blame(tmp_path: Path, fake: FakeForge) -> None:
    """When the circuit lets one request through as a probe, the reads that wait beside it cost their
    repositories nothing: the forge has said nothing of them."""
    names = [f"acme/r{number}" for number in range(4)]
    for name in names:
        fake.repository(name, collaborators={BOT: "admin"})
    second_repository(fake)
    async with scene(tmp_path, fake, breaker=SOON_OPEN) as at:
        await at.reaches(own_login=BOT)
        fake.misbehave("status", status=503, times=3)
        for _ in range(2):
            fake.open(OTHER, "Ill")
        await at.accept(at.mail())
        await at.until(lambda: at.requests == 2)
        for name in names:
            fake.open(name, "Well")
        await at.accept(at.mail())
        await at.until(lambda: at.requests == 3)
        await at.reaches(lag=0, reads_in_flight=0)
        assert len(at.state()["failing_repositories"]) == 2, "the one that opened it, and the probe"
        await at.quiet()
        assert len(await at.on.events()) == 6


async def test_open_orders_survive_a_restart(tmp_path: Path, fake: FakeForge) -> None:
    """What was asked for and not answered when the process ended is read by the next one."""
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        fake.go_away()
        await at.accept(at.mail())
        await at.reaches(lag=0)
    await fake.come_back()
    fake.postman.pause()
    async with scene(tmp_path, fake) as at:
        await at.quiet()
        assert (await at.facts(issue.number)).title == "Title"


async def test_a_kill_between_read_and_commit_reads_again(tmp_path: Path, fake: FakeForge) -> None:
    """A router killed while its read is on the way leaves the order open; its next life reads."""
    async with scene(tmp_path, fake) as at:
        fake.misbehave("hang", route=ISSUE)
        fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.accept(at.mail())
        await at.until(lambda: at.requests > 0)
        at.on.tree.kill("router")
        await at.quiet()
        assert at.requests == 2
        assert len(await at.on.events()) == 1


async def test_one_failing_repository_blocks_no_other(tmp_path: Path, fake: FakeForge) -> None:
    """While the reads of one repository fail, another's are answered."""
    second_repository(fake)
    async with scene(tmp_path, fake) as at:
        ill = fake.open(REPO, "Ill", assignees=["coder-bot"])
        await at.accept(at.mail())
        fake.misbehave("status", route=ISSUE, status=500, times=1)
        await at.until(lambda: at.requests > 0)
        well = fake.open(OTHER, "Well", assignees=["coder-bot"])
        await at.accept(at.mail())
        event = await at.on.wait_for(IssueObserved)
        assert event.facts.ref == ref(well.number, OTHER)
        await at.quiet()
        assert (await at.facts(ill.number)).title == "Ill"


async def test_a_misshapen_answer_is_asked_for_again(tmp_path: Path, fake: FakeForge) -> None:
    """A page of HTML with a 200 is no issue: it is tried again, and nothing is taken from it."""
    async with scene(tmp_path, fake) as at:
        fake.misbehave("html", route=ISSUE)
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.deliver()
        assert at.requests == 2
        assert (await at.facts(issue.number)).title == "Title"


async def test_a_read_that_crashes_twice_is_a_dead_letter(tmp_path: Path, fake: FakeForge) -> None:
    """What crashes the router while reading one issue costs that issue alone; replaying its letter asks
    for the read again."""
    mines = ["a", "b"]

    def treacherous() -> datetime:
        if mines and "read acme" in trio.lowlevel.current_task().name:
            raise RuntimeError(f"mine {mines.pop()}")
        return utc_now()

    async with scene(tmp_path, fake, clock=treacherous) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.deliver()
        assert await at.on.events() == []
        [letter] = await at.on.journal.dead_letters()
        assert letter.letter.message == f"read acme/widgets#{issue.number}"
        assert "mine a" in letter.letter.second_error
        await at.on.journal.replay_dead_letter(letter.id, utc_now())
        await at.quiet()
        assert (await at.facts(issue.number)).title == "Title"


async def test_a_deleted_issue_is_gone(tmp_path: Path, fake: FakeForge) -> None:
    """When the forge has no such issue but shows the repository, it is deleted, once."""
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.deliver()
        at.later()
        fake.retitle(issue, "Last words")
        fake.delete(issue)
        await at.deliver()
        assert [each.event for each in await at.on.events()][1:] == [IssueDeleted(ref(issue.number))]
        assert at.state()["deleted_issues"] == 1


async def test_a_repository_out_of_sight_is_no_deletion(tmp_path: Path, fake: FakeForge) -> None:
    """When the account loses its rights, what is known stays; after a few tries the payload is
    believed, and what comes later does not pile up."""
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.deliver()
        repo = fake.repository(REPO)
        rights = dict(repo.collaborators)
        del repo.collaborators[BOT]
        at.later()
        fake.retitle(issue, "Unseen")
        await at.deliver()
        assert (await at.facts(issue.number)).title == "Unseen"
        assert [type(each.event) for each in await at.on.events()] == [IssueObserved] * 2
        assert at.state()["failing_repositories"][REPO]["failures"] >= 3
        at.later()
        fake.retitle(issue, "Unseen too")
        before = fake.server.requests.copy()
        await at.deliver()
        assert (fake.server.requests - before)[REPOSITORY] == 1, "given up at once"
        repo.collaborators.update(rights)
        at.later()
        fake.retitle(issue, "Seen")
        await at.deliver()
        assert (await at.facts(issue.number)).title == "Seen"
        assert at.state()["failing_repositories"] == {}


async def test_a_repository_that_only_a_text_names_is_asked_for_once(
    tmp_path: Path, fake: FakeForge
) -> None:
    """Anybody may name any repository: one out of sight is neither tried again nor remembered."""
    async with scene(tmp_path, fake) as at:
        fake.open(REPO, "Title", "Blocked by: no/such#3", assignees=["coder-bot"])
        await at.deliver()
        assert fake.server.requests[REPOSITORY] == 1
        assert at.state()["failing_repositories"] == {}
        assert at.state()["known_issues"] == 1


async def test_issues_switched_off_are_no_deletion(tmp_path: Path, fake: FakeForge) -> None:
    """A repository without its issue tracker says 404 to each issue, and none of them is deleted."""
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.deliver()
        fake.retitle(issue, "Other")
        fake.repository(REPO).has_issues = False
        await at.deliver()
        assert at.state()["deleted_issues"] == 0


async def test_a_renamed_repository_keeps_its_issues(tmp_path: Path, fake: FakeForge) -> None:
    """After a rename the same issue goes on under its old ref; a new repository of that name is another
    one, also after a restart."""
    async with scene(tmp_path, fake) as at:
        old = fake.open(REPO, "Old", assignees=["coder-bot"])
        await at.deliver()
        at.later()
        fake.retitle(old, "On its way")
        letters = at.mail()
        fake.rename(REPO, "acme/renamed")
        await at.accept(letters)
        await at.quiet()
        moved = await at.on.wait_for(RepositoryMoved)
        assert (moved.canonical, moved.current) == (REPO, "acme/renamed")
        facts = await at.facts(old.number)
        assert (facts.title, facts.repo_name) == ("On its way", "acme/renamed")
    fake.repository(REPO, collaborators={BOT: "admin", "maria": "write", "coder-bot": "write"})
    async with scene(tmp_path, fake, read=at.read) as at:
        at.later()
        taken = fake.open(REPO, "Taken", assignees=["coder-bot"])
        await at.deliver()
        known = await at.known()
        [name] = {each.repo for each in known.facts} - {REPO}
        assert name == f"{REPO}~{fake.repository(REPO).id}"
        assert known.facts[ref(taken.number, name)].title == "Taken"
        assert known.facts[ref(old.number)].title == "On its way"


async def test_own_echoes_are_not_read(tmp_path: Path, fake: FakeForge) -> None:
    """Our own comments and labels end here, but a close by our account counts."""
    async with scene(tmp_path, fake) as at:
        await at.reaches(own_login=BOT)
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.deliver()
        reads = at.requests
        at.later()
        fake.comment(issue, "It is ready.", by=BOT)
        fake.set_labels(issue, "coordinator/ready", by=BOT)
        await at.deliver()
        assert at.requests == reads
        assert (await at.outcomes())[-2:] == ["own", "own"]
        fake.close(issue, by=BOT)
        await at.deliver()
        assert (await at.facts(issue.number)).state == "closed"


async def test_nothing_is_our_own_before_the_account_is_known(tmp_path: Path, fake: FakeForge) -> None:
    """While nobody can say whose token it is, everything is read; the question is asked again."""
    fake.misbehave("status", route="GET /user", status=503, times=1)
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        await at.deliver()
        fake.comment(issue, "Mine", by=BOT)
        assert at.state()["own_login"] is None
        await at.deliver()
        assert (await at.outcomes())[-1] == "read"
        await at.reaches(own_login=BOT)


async def test_a_command_becomes_an_order(tmp_path: Path, fake: FakeForge) -> None:
    """A comment whose first line is a command is an order for the scribe, once; others are not."""
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        fake.comment(issue, "I think\n/coordinator retry")
        comment = fake.comment(issue, "/coordinator retry")
        letters = at.mail()
        await at.accept([*letters, again(letters[-1])])
        await at.quiet()
        [order] = at.on.journal.open_orders("scribe")
        assert order.order == RunCommand(
            ref(issue.number), fake.repository(REPO).id, "acme/widgets", comment.id, Login("maria")
        )


async def test_a_close_asks_who_waited(tmp_path: Path, fake: FakeForge) -> None:
    """Dependents whose edges no delivery told of are read when their blocker closes; those that are
    known to wait are not."""
    async with scene(tmp_path, fake) as at:
        blocker = fake.open(REPO, "Blocker")
        told = fake.open(REPO, "Told", assignees=["coder-bot"])
        fake.block(told, blocker)
        untold = fake.open(REPO, "Untold", assignees=["coder-bot"])
        await at.deliver()
        at.later()
        fake.block(untold, blocker)
        assert (await at.facts(untold.number)).native_blockers == ()
        reads = at.requests
        fake.close(blocker)
        await at.deliver()
        assert (await at.facts(untold.number)).native_blockers == (ref(blocker.number),)
        assert at.requests == reads + 2, "the blocker and the dependent that was not known"


async def test_unknown_blockers_are_read(tmp_path: Path, fake: FakeForge) -> None:
    """What one of our issues waits for and was never seen is read, in any repository; but not what that
    waits for in turn."""
    second_repository(fake)
    async with scene(tmp_path, fake) as at:
        far = fake.open(OTHER, "Far")
        near = fake.open(OTHER, "Near")
        fake.block(near, far)
        text = fake.open(REPO, "Named in the text")
        at.mail()
        ours = fake.open(REPO, "Ours", f"Blocked by: #{text.number}, #77", assignees=["coder-bot"])
        fake.block(ours, near)
        await at.deliver()
        known = await at.known()
        assert set(known.facts) == {
            ref(ours.number),
            ref(text.number),
            ref(near.number, OTHER),
        }
        assert known.facts[ref(near.number, OTHER)].native_blockers == (ref(far.number, OTHER),)
        assert known.deleted == set()
        assert known.heard == {fake.repository(REPO).id}


async def test_dependencies_are_read_of_what_was_known_without_a_token(
    tmp_path: Path, fake: FakeForge
) -> None:
    """A token that comes later finds the dependencies of our open issues, though nothing changed."""
    async with scene(tmp_path, fake) as at:
        blocker = fake.open(REPO, "Blocker")
        ours = fake.open(REPO, "Ours", assignees=["coder-bot"])
        fake.block(ours, blocker)
        letters = at.mail()
    async with stage(tmp_path, ["router"]) as on:
        await Scene(on, fake).accept(letters)
        await on.wait_routed(len(letters))
    async with scene(tmp_path, fake) as at:
        await at.until(lambda: at.requests > 0)
        await at.quiet()
        assert (await at.facts(ours.number)).native_blockers == (ref(blocker.number),)


async def test_orders_of_a_time_with_a_token_are_not_left_behind(
    tmp_path: Path, fake: FakeForge
) -> None:
    """When the token is taken away, what is still to be read is taken from its delivery."""
    async with scene(tmp_path, fake) as at:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        fake.go_away()
        await at.accept(at.mail())
        await at.reaches(lag=0)
    async with stage(tmp_path, ["router"]) as on:
        at = Scene(on, fake)
        await at.quiet()
        assert (await at.facts(issue.number)).title == "Title"
        assert (await at.facts(issue.number)).assignees == (Login("coder-bot"),)
