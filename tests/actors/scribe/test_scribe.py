"""The scribe keeps one comment and a few labels true on each issue, whatever happens in between."""

from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.demo.forge import open_forge
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteComment
from coordinator.rules.comment import MARKER
from coordinator.rules.events import (
    CommentWritten,
    IssueAssessed,
    IssueDeleted,
    IssueDispatched,
    LabelsWritten,
)
from tests.actors.scribing import BRISK, desk
from tests.fakes.forge import BOT, furnish
from tests.test_disk_full import fill


@pytest.mark.parametrize("product", ["gitea", "forgejo"])
async def test_an_issue_of_ours_gets_one_comment_that_follows_it(tmp_path: Path, product: str) -> None:
    """Created once, edited in place as the issue moves on, with the labels of its state."""
    async with desk(tmp_path, product) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        [comment] = at.sticky(issue)
        assert comment.author == BOT
        assert "**Ready**" in comment.body
        assert at.labels(issue) == {"coordinator/ready"}
        await at.agents_up("sonnet-1")
        await at.on.wait_for(IssueDispatched)
        await at.quiet()
        [same] = at.sticky(issue)
        assert same.id == comment.id
        assert "**Running**" in same.body
        assert at.labels(issue) == {"agent/sonnet-1", "coordinator/running"}
        at.forge.close(issue)
        await at.observe(issue)
        await at.quiet()
        assert "**Running** · sonnet-1 was asked to stop" in at.sticky(issue)[0].body


async def test_other_issues_are_left_alone(tmp_path: Path) -> None:
    """An issue that never concerned us costs not a single request."""
    async with desk(tmp_path) as at:
        issue = at.issue(assignees=["maria"])
        await at.ready(issue)
        await at.quiet()
        assert not at.forge.server.requests


async def test_an_issue_that_concerns_us_no_more_says_so_once(tmp_path: Path) -> None:
    """The comment tells, the labels go, and after that nothing is written."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        at.forge.unassign(issue, "coder-bot")
        await at.observe(issue)
        await at.on.wait_for(LabelsWritten, lambda each: each.labels == ())
        await at.quiet()
        assert "**Ignored**" in at.sticky(issue)[0].body
        assert at.labels(issue) == set()
        before = at.forge.server.requests.total()
        await at.observe(issue, title="Another title")
        await at.quiet()
        assert at.forge.server.requests.total() == before


async def test_a_burst_is_one_comment(tmp_path: Path) -> None:
    """A hundred changes within a moment cost one comment; churn is written ever more seldom."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        for number in range(100):
            await at.observe(issue, title=f"Title {number}")
        await at.quiet()
        assert at.asked("POST /repos/{owner}/{repo}/issues/{index}/comments") == 1
        assert at.asked("PATCH /repos/{owner}/{repo}/issues/comments") <= 1
        assert len(at.sticky(issue)) == 1


async def test_a_comment_somebody_deleted_comes_back_with_the_next_news(tmp_path: Path) -> None:
    """Not at once: nobody fights with a person over a comment."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        at.forge.data.comments.clear()
        await at.observe(issue, labels=("bug",))
        await at.quiet()
        assert at.sticky(issue) == []
        await at.agents_up("sonnet-1")
        await at.on.wait_for(IssueDispatched)
        await at.quiet()
        [comment] = at.sticky(issue)
        assert "**Running**" in comment.body


async def test_doubles_of_our_own_are_removed_and_those_of_others_are_not(tmp_path: Path) -> None:
    """Of our comments with the marker the oldest is kept; a marker in somebody else's says nothing."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        theirs = at.forge.comment(issue, f"{MARKER}\nhello", by="stranger")
        oldest = at.forge.comment(issue, f"{MARKER}\nold", by=BOT)
        at.forge.comment(issue, f"{MARKER}\nyounger", by=BOT)
        quoting = at.forge.comment(issue, f"> {MARKER}", by=BOT)
        await at.ready(issue)
        await at.quiet()
        assert [each.id for each in at.sticky(issue)] == [theirs.id, oldest.id]
        assert theirs.body == f"{MARKER}\nhello"
        assert "**Ready**" in oldest.body
        assert quoting.id in at.forge.data.comments
        written = await at.on.wait_for(CommentWritten)
        assert written.comment_id == oldest.id


async def test_an_answer_that_was_lost_leads_to_a_look(tmp_path: Path) -> None:
    """The comment was created though nobody heard of it: it is found and used."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        at.forge.misbehave(
            "reset", route="POST /repos/{owner}/{repo}/issues/{index}/comments", after=True
        )
        await at.ready(issue)
        written = await at.on.wait_for(CommentWritten)
        assert [each.id for each in at.sticky(issue)] == [written.comment_id]
        assert at.asked("POST /repos/{owner}/{repo}/issues/{index}/comments") == 1


async def test_a_crash_between_write_and_record_leads_to_a_look(tmp_path: Path) -> None:
    """The life that wrote the comment never told; the next one finds it."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        at.forge.misbehave(
            "slow", route="POST /repos/{owner}/{repo}/issues/{index}/comments", after=True, delay_s=0.8
        )
        await at.ready(issue)
        await at.until(lambda: at.sticky(issue))
        at.on.tree.kill("scribe")
        await at.on.wait_for(CommentWritten)
        await at.quiet()
        assert len(at.sticky(issue)) == 1
        assert at.asked("POST /repos/{owner}/{repo}/issues/{index}/comments") == 1


async def test_a_restart_writes_nothing_that_stands_there(tmp_path: Path) -> None:
    """With its snapshot or without it, what was written is remembered."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        async with desk(tmp_path, forge=forge, token=token) as at:
            issue = at.issue()
            await at.ready(issue)
            await at.quiet()
        before = forge.server.requests.total()
        async with desk(tmp_path, forge=forge, token=token) as at:
            await at.quiet()
            at.on.tree.kill("scribe")
            await at.observe(issue, labels=("bug",))
            await at.quiet()
        assert forge.server.requests.total() == before


async def test_what_changed_while_it_was_away_is_written_after_the_start(tmp_path: Path) -> None:
    """Even when its cursor had passed the change and only the writing was missing."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        async with desk(tmp_path, forge=forge, token=token) as at:
            issue = at.issue()
            forge.go_away()
            await at.ready(issue)
            await at.until(lambda: at.state().get("failing"))
        await forge.come_back()
        async with desk(tmp_path, forge=forge, token=token) as at:
            await at.on.wait_for(CommentWritten)
            await at.quiet()
            assert len(at.sticky(issue)) == 1


async def test_a_forge_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """The issue stays due, the reason is shown, and when the forge is back everything is written."""
    async with desk(tmp_path) as at:
        issues = [at.issue(f"Issue {number}") for number in range(6)]
        at.forge.go_away()
        for issue in issues:
            await at.ready(issue)
        await at.until(lambda: at.state().get("failing"))
        failing = at.state()["failing"]["acme/widgets"]
        assert "the connection failed" in failing["error"]
        await at.forge.come_back()
        await at.quiet()
        assert [len(at.sticky(issue)) for issue in issues] == [1] * 6
        assert at.state()["failing"] == {}


async def test_an_archived_repository_is_given_up_until_there_is_news(tmp_path: Path) -> None:
    """Nothing is tried again for the same meaning, and the reason is visible."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        at.forge.archive("acme/widgets")
        await at.ready(issue)
        await at.until(lambda: at.state().get("given_up"))
        assert "archived" in at.state()["given_up"]["acme/widgets#1"]["comment"]
        await at.quiet()
        before = at.forge.server.requests.total()
        await at.observe(issue, labels=("bug",))
        await at.quiet()
        assert at.forge.server.requests.total() == before
        assert at.sticky(issue) == []


async def test_without_the_right_to_label_the_comment_is_written_all_the_same(tmp_path: Path) -> None:
    """The missing permission is shown; labels are none."""
    async with open_forge("gitea") as forge:
        furnish(forge)
        async with desk(tmp_path, forge=forge, token=forge.token("rita")) as at:
            issue = at.issue()
            await at.ready(issue)
            await at.quiet()
            assert len(at.sticky(issue)) == 1
            assert at.labels(issue) == set()
            assert set(at.state()["given_up"]["acme/widgets#1"]) == {"labels"}


@pytest.mark.parametrize(
    ("parts", "comments", "labels"),
    [((), 0, set()), (("comment",), 1, set()), (("labels",), 0, {"coordinator/ready"})],
)
async def test_each_way_of_writing_can_be_switched_off(
    tmp_path: Path, parts: tuple[str, ...], comments: int, labels: set[str]
) -> None:
    """What is not asked for is not written."""
    async with desk(tmp_path, parts=parts) as at:  # type: ignore[arg-type]
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        assert (len(at.sticky(issue)), at.labels(issue)) == (comments, labels)


async def test_a_deleted_issue_is_forgotten(tmp_path: Path) -> None:
    """Nobody writes to what is not there."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        before = at.forge.server.requests.total()
        ref = at.ref(issue)
        at.forge.delete(issue)
        await at.on.tell("router", IssueDeleted(ref))
        await at.on.wait_for(IssueAssessed, lambda each: each.reason == "deleted")
        await at.quiet()
        assert at.forge.server.requests.total() == before


async def test_a_comment_that_arrives_late_is_removed(tmp_path: Path) -> None:
    """An answer never came, so a second comment was made; when the first turns up, one of them goes."""
    async with desk(tmp_path, pace=replace(BRISK, suspect_s=2.0)) as at:
        issue = at.issue()
        route = "POST /repos/{owner}/{repo}/issues/{index}/comments"
        at.forge.misbehave("status", route=route, status=503)
        await at.ready(issue)
        await at.on.wait_for(CommentWritten)
        at.forge.comment(issue, at.sticky(issue)[0].body, by=BOT)
        await at.until(lambda: len(at.sticky(issue)) == 1)
        await at.quiet()
        assert len(at.sticky(issue)) == 1


async def test_a_comment_of_an_earlier_life_that_arrives_late_is_removed(tmp_path: Path) -> None:
    """Killed while the forge took its time over the first comment, the next life finds none and makes
    one; when the first turns up after all, one of them goes."""
    async with desk(tmp_path, pace=replace(BRISK, suspect_s=2.0)) as at:
        issue = at.issue()
        route = "POST /repos/{owner}/{repo}/issues/{index}/comments"
        at.forge.misbehave("slow", route=route, delay_s=1.0)
        await at.ready(issue)
        await at.until(lambda: at.forge.server.requests[route])
        at.on.tree.kill("scribe")
        await at.on.wait_for(CommentWritten)
        await at.until(lambda: len(at.sticky(issue)) == 2)
        await at.until(lambda: len(at.sticky(issue)) == 1)
        await at.quiet()
        assert len(at.sticky(issue)) == 1


async def test_a_full_disk_between_write_and_record_makes_no_second_comment(
    tmp_path: Path, small_disk: Path
) -> None:
    """The comment stands, the journal cannot say so, the process dies: the next one looks."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        async with desk(small_disk, forge=forge, token=token) as at:
            issue = at.issue()
            route = "POST /repos/{owner}/{repo}/issues/{index}/comments"
            forge.misbehave("slow", route=route, after=True, delay_s=0.5)
            await at.ready(issue)
            await at.until(lambda: at.sticky(issue))
            ballast = fill(small_disk)
            await at.until(lambda: not at.on.journal.health().commits)
            at.on.tree.kill("scribe")
            ballast.unlink()
            await at.on.wait_for(CommentWritten)
            await at.quiet()
        assert len(at.sticky(issue)) == 1
        assert forge.server.requests[route] == 1


class Clumsy(Forge):
    """Drops the first issue."""

    async def comments(
        self, repo: str, number: int, *, repo_id: int | None = None
    ) -> tuple[RemoteComment, ...]:
        if number == 1:
            raise ZeroDivisionError("dropped")
        return await super().comments(repo, number, repo_id=repo_id)


async def test_a_write_that_crashes_twice_is_given_up(tmp_path: Path) -> None:
    """A fault of ours on one issue is shown with it and keeps nobody else from being written."""
    async with desk(tmp_path, client={"kind": Clumsy}) as at:
        bad, good = at.issue("bad"), at.issue("good")
        await at.ready(bad)
        await at.ready(good)
        await at.on.wait_for(CommentWritten, lambda each: each.ref == at.ref(good))
        await at.until(lambda: at.state().get("given_up"))
        reason = "writing it crashed twice: ZeroDivisionError"
        assert at.state()["given_up"]["acme/widgets#1"]["comment"] == reason
        await at.quiet()


async def test_a_dispatcher_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """What it would say is asked for until it says it."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        at.on.tree.suspend("dispatcher")
        await at.until(lambda: at.state().get("in_flight"))
        at.on.tree.resume("dispatcher")
        await at.on.wait_for(CommentWritten)


async def test_the_whole_pipeline_speaks_through_it(tmp_path: Path) -> None:
    """Read by the parser, judged by the tracker, explained by the dispatcher: a blocked issue links to
    what blocks it, and says so no more when that is closed."""
    names = ("parser", "dependency-tracker", "dispatcher")
    async with desk(tmp_path, names=names) as at:
        issue, blocker = at.issue("The roof"), at.issue("The walls", assignees=["maria"])
        await at.observe(blocker)
        await at.observe(issue, blocked_by=(at.ref(blocker),))
        await at.on.wait_for(IssueAssessed, lambda each: each.reason == "open_blocker")
        await at.quiet()
        [comment] = at.sticky(issue)
        assert "| Waits for | #2 |" in comment.body
        assert at.labels(issue) == {"coordinator/blocked"}
        assert at.sticky(blocker) == []
        at.forge.close(blocker)
        await at.observe(blocker)
        await at.on.wait_for(IssueAssessed, lambda each: each.state == "ready")
        await at.quiet()
        assert "Waits for" not in comment.body
        assert at.labels(issue) == {"coordinator/ready"}
