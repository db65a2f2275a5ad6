"""The scribe keeps one comment and a few labels true on each issue, whatever happens in between."""

from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.actors.clocks import utc_now
from coordinator.actors.messages import WriteAgain
from coordinator.demo.forge import Issue, open_forge
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteComment
from coordinator.edges.journal import Commit, OrderDraft
from coordinator.rules import refusals
from coordinator.rules.comment import MARKER
from coordinator.rules.events import (
    CommentWritten,
    IssueAssessed,
    IssueDeleted,
    IssueDispatched,
    IssueObserved,
    LabelsWritten,
)
from coordinator.rules.ids import Login
from coordinator.rules.orders import LookAgain
from tests.actors.scribing import BRISK, Desk, desk
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
    """After a good end it remembers and does not even look; after another it looks, and that is all."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        async with desk(tmp_path, forge=forge, token=token) as at:
            issue = at.issue()
            await at.ready(issue)
            await at.quiet()
            writes = at.asked("POST", "PATCH", "PUT", "DELETE")
        before = forge.server.requests.total()
        async with desk(tmp_path, forge=forge, token=token) as at:
            await at.quiet()
            assert forge.server.requests.total() == before
            at.on.tree.kill("scribe")
            await at.observe(issue, labels=("bug",))
            await at.quiet()
            assert at.asked("POST", "PATCH", "PUT", "DELETE") == writes


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


async def test_an_archived_repository_is_given_up_until_somebody_has_mended_it(tmp_path: Path) -> None:
    """Nothing is tried again for the same meaning, and the reason is visible; who asks for a look after
    opening it again sees everything written."""
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
        assert (at.sticky(issue), at.state()["given_up_issues"]) == ([], 1)
        at.forge.repository("acme/widgets").archived = False
        assert await at.on.tree.ref("scribe").call(WriteAgain()) == 1
        await at.quiet()
        assert (len(at.sticky(issue)), at.labels(issue)) == (1, {"coordinator/ready"})
        assert at.state()["given_up_issues"] == 0


async def test_a_right_that_is_given_back_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused is tried again after a while, though there is no news and nobody asks."""
    monkeypatch.setattr(refusals, "RETRY_S", 0.5)
    async with desk(tmp_path) as at:
        issue = at.issue()
        at.forge.repository("acme/widgets").collaborators[BOT] = "read"
        await at.ready(issue)
        await at.until(lambda: at.state().get("given_up"))
        assert at.labels(issue) == set()
        at.forge.repository("acme/widgets").collaborators[BOT] = "admin"
        await at.until(lambda: at.labels(issue) == {"coordinator/ready"})


async def test_what_is_wanted_no_more_is_not_given_up(tmp_path: Path) -> None:
    """Refused while the repository could only be read; then the issue is again what stands there."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        at.forge.archive("acme/widgets")
        await at.observe(issue, assignees=())
        await at.until(lambda: at.state().get("given_up"))
        await at.observe(issue)
        await at.until(lambda: not at.state().get("given_up"))
        await at.quiet()
        assert at.labels(issue) == {"coordinator/ready"}


async def changed(at: Desk, issue: Issue, comment_id: int, by: str) -> None:
    """The router has heard that somebody edited or deleted a comment."""
    at.ticks += 1
    order = LookAgain(at.ref(issue), comment_id, Login(by), str(at.ticks))
    opened = (OrderDraft(order, "scribe"),)
    await at.on.journal.commit(Commit(actor="router", at=utc_now(), opened=opened))


def orders(at: Desk) -> int:
    """How many wait for the scribe."""
    return len(at.on.journal.open_orders("scribe"))


async def test_what_a_person_makes_of_our_comment_is_put_right(tmp_path: Path) -> None:
    """Falsified or deleted, it is restored; once a minute, and neither for our own edits nor for the
    comments of others."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        [comment] = at.sticky(issue)
        true, writes = comment.body, at.asked("PATCH", "POST")
        await changed(at, issue, comment.id, BOT)
        await changed(at, issue, comment.id + 1, "maria")
        await at.obeyed()
        await at.quiet()
        assert at.asked("PATCH", "POST") == writes
        at.forge.actions.edit_comment(comment, "**Done**, says mallory", by="mallory")
        await changed(at, issue, comment.id, "mallory")
        await at.until(lambda: comment.body == true)
        await at.obeyed()
        await at.quiet()
        at.forge.actions.delete_comment(comment, by="mallory")
        await changed(at, issue, comment.id, "mallory")
        await changed(at, issue, comment.id + 1, "mallory")
        await at.until(lambda: orders(at) == 1)
        await at.quiet()
        assert at.sticky(issue) == []


async def test_whoever_falsifies_our_comment_again_does_not_prevail(tmp_path: Path) -> None:
    """Each time it is restored, when the last look is long enough ago."""
    async with desk(tmp_path, pace=replace(BRISK, look_every_s=0.3)) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        [comment] = at.sticky(issue)
        true = comment.body
        for lie in ("**Done**", "**Closed**", "**Done** again"):
            at.forge.actions.edit_comment(comment, lie, by="mallory")
            await changed(at, issue, comment.id, "mallory")
            await at.until(lambda: comment.body == true)
        await at.obeyed()


async def test_a_look_that_a_life_did_not_finish_is_made_by_the_next(tmp_path: Path) -> None:
    """Killed before the comment was looked at: the order for it is open still."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        [comment] = at.sticky(issue)
        true, route = comment.body, "GET /repos/{owner}/{repo}/issues/{index}/comments"
        looks = at.forge.server.requests[route]
        at.forge.misbehave("hang", route=route)
        at.forge.actions.edit_comment(comment, "**Done**, says mallory", by="mallory")
        await changed(at, issue, comment.id, "mallory")
        await at.until(lambda: at.forge.server.requests[route] > looks)
        assert orders(at) == 1
        at.on.tree.kill("scribe")
        await at.until(lambda: comment.body == true)
        await at.obeyed()


async def test_an_order_to_look_is_over_when_nothing_is_to_be_written(tmp_path: Path) -> None:
    """Comments are written no more, or their issue is gone: it waits for nobody."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        async with desk(tmp_path, forge=forge, token=token) as at:
            issue = at.issue()
            await at.ready(issue)
            await at.quiet()
            [comment] = at.sticky(issue)
        async with desk(tmp_path, forge=forge, token=token, parts=()) as at:
            await changed(at, issue, comment.id, "mallory")
            await at.until(lambda: orders(at) == 0)


async def test_a_comment_that_a_person_deleted_is_written_again(tmp_path: Path) -> None:
    """Its labels are not looked at for that."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        [comment] = at.sticky(issue)
        at.forge.actions.delete_comment(comment, by="mallory")
        looks = at.asked("GET /repos/{owner}/{repo}/issues/{index}/labels")
        await changed(at, issue, comment.id, "mallory")
        await at.until(lambda: at.sticky(issue))
        await at.quiet()
        assert [each.body for each in at.sticky(issue)] == [comment.body]
        assert at.asked("GET /repos/{owner}/{repo}/issues/{index}/labels") == looks


async def test_our_labels_that_a_person_took_off_are_put_on_again(tmp_path: Path) -> None:
    """A read shows it, by whatever way it came about; a read that shows them costs nothing."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.quiet()
        at.forge.set_labels(issue, "bug")
        read = replace(at.facts(issue), read_at=utc_now())
        observed = IssueObserved(read, "label_updated", our_labels=("coordinator/ready",))
        before = at.forge.server.requests.total()
        await at.on.tell("router", observed)
        await at.quiet()
        assert at.forge.server.requests.total() == before
        await at.on.tell("router", replace(observed, our_labels=()))
        await at.until(lambda: at.labels(issue) == {"bug", "coordinator/ready"})


async def test_two_coordinators_with_one_account_agree_on_one_comment(tmp_path: Path) -> None:
    """Each has seen none and made one: a moment after its first comment each looks once more."""
    async with desk(tmp_path, pace=replace(BRISK, twin_s=0.5)) as at:
        issue = at.issue()
        await at.ready(issue)
        written = await at.on.wait_for(CommentWritten)
        at.forge.comment(issue, at.sticky(issue)[0].body, by=BOT)
        await at.until(lambda: len(at.sticky(issue)) == 1)
        assert at.sticky(issue)[0].id == written.comment_id


async def test_an_issue_whose_comment_breaks_the_forge_holds_up_nobody(tmp_path: Path) -> None:
    """Its labels are set all the same, and the others of the repository are written as ever."""
    async with desk(tmp_path) as at:
        bad, good = at.issue("bad"), at.issue("good")
        post = "POST /repos/{owner}/{repo}/issues/{index}/comments"
        await at.ready(good)
        await at.quiet()
        at.forge.misbehave("status", route=post, status=500, times=None)
        await at.ready(bad)
        await at.until(lambda: at.state().get("failing"))
        assert list(at.state()["failing"]) == ["acme/widgets#1"]
        assert at.labels(bad) == {"coordinator/ready"}
        await at.command(good, "/coordinator park a while")
        await at.until(lambda: "**Parked**" in at.sticky(good)[0].body)
        at.forge.server.faults.clear()
        await at.until(lambda: at.sticky(bad))
        await at.quiet()
        assert at.state()["failing"] == {}


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
