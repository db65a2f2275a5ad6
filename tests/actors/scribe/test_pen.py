"""The pen writes what it is told, where it belongs, and says what the forge would not take."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.actors.scribe import pen as pen_module
from coordinator.actors.scribe.pen import Pen
from coordinator.demo.forge import Forge as ForgeServer
from coordinator.demo.forge import open_forge
from coordinator.rules.comment import MARKER, Comment
from coordinator.rules.events import (
    AssigneeWritten,
    CommentWritten,
    IssueDispatched,
    IssueObserved,
    RunEnded,
)
from coordinator.rules.ids import Login
from coordinator.rules.written import Part, Wish
from tests.actors.scribing import desk, forge_client
from tests.fakes.forge import BOT, REPO, furnish
from tests.rules.builders import ended, ref

ASSIGNEE: tuple[Part, ...] = ("assignee",)
COMMENT = Comment(f"{MARKER}\nhello", "m1")


def wish(forge: ForgeServer, **fields: Any) -> Wish:
    return Wish(ref(1), forge.repository(REPO).id, REPO, **fields)


@pytest.mark.parametrize("product", ["gitea", "forgejo"])
async def test_the_agents_account_is_assigned_beside_the_pool(tmp_path: Path, product: str) -> None:
    """Once per dispatch; a person who takes it off again is not contradicted."""
    async with desk(tmp_path, product, parts=ASSIGNEE) as at:
        at.forge.user("claude-sonnet")
        at.forge.repository(REPO).collaborators["claude-sonnet"] = "write"
        issue = at.issue()
        await at.agents_up("sonnet-1")
        await at.ready(issue)
        written = await at.on.wait_for(AssigneeWritten)
        assert (written.ref, written.login) == (ref(1), "claude-sonnet")
        assert issue.assignees == ["coder-bot", "claude-sonnet"]
        at.forge.unassign(issue, "claude-sonnet")
        await at.observe(issue)
        await at.quiet()
        assert issue.assignees == ["coder-bot"]
        assert at.state()["writes"] == {"assignee": 1}


async def test_what_a_person_has_assigned_stays_the_persons_wish(tmp_path: Path) -> None:
    """Nothing is written and nothing recorded where the agent's account is assigned already."""
    async with desk(tmp_path, parts=ASSIGNEE) as at:
        issue = at.issue(assignees=["claude-sonnet"])
        await at.agents_up("sonnet-1")
        await at.ready(issue)
        await at.on.wait_for(IssueDispatched)
        await at.quiet()
        assert not at.forge.server.requests
        assert not any(isinstance(each.event, AssigneeWritten) for each in await at.on.events())


async def test_an_account_without_access_is_named_and_harmless(tmp_path: Path) -> None:
    """The forge answers 500; the run goes on, the reason is shown, nothing backs off."""
    async with desk(tmp_path, parts=("comment", *ASSIGNEE)) as at:
        at.forge.user("claude-sonnet")
        issue = at.issue()
        at.forge.misbehave(
            "status", route="PATCH /repos/{owner}/{repo}/issues/{index}", status=500, times=None
        )
        at.forge.misbehave("status", route="assignees", status=500, times=None)
        await at.agents_up("sonnet-1")
        await at.ready(issue)
        await at.until(lambda: at.state().get("given_up"))
        assert set(at.state()["given_up"]["acme/widgets#1"]) == {"assignee"}
        await at.quiet()
        assert at.state()["failing"] == {}
        assert len(at.sticky(issue)) == 1


async def test_a_run_that_is_over_needs_no_assignment(tmp_path: Path) -> None:
    """When the forge comes back after the end of the run, nobody is assigned any more."""
    async with desk(tmp_path, parts=ASSIGNEE) as at:
        issue = at.issue()
        at.forge.go_away()
        await at.agents_up("sonnet-1")
        await at.ready(issue)
        sent = await at.on.wait_for(IssueDispatched)
        await at.tell(ended(1, 1, sent.agent))
        await at.on.wait_for(RunEnded)
        await at.forge.come_back()
        await at.quiet()
        assert issue.assignees == ["coder-bot"]


async def test_what_strangers_and_agents_wrote_stays_words(tmp_path: Path) -> None:
    """No mention, no link, no HTML and no broken table out of reasons, titles and agents' words."""
    hostile = (
        "@maria <!-- x --> | **b** [a](http://evil) <script>alert(1)</script> acme/api#3 `c` :tada:"
    )
    async with desk(tmp_path) as at:
        issue = at.issue(hostile)
        await at.agents_up("sonnet-1")
        await at.ready(issue)
        sent = await at.on.wait_for(IssueDispatched)
        failed = ended(1, 1, sent.agent, "failed")
        await at.tell(replace(failed, detail=hostile))
        await at.quiet()
        [comment] = at.sticky(issue)
        shown = comment.body.removeprefix(MARKER).partition("<details>")[0]
        assert "ended failed" in shown
        for harmful in ("@maria", "<script", "<!--", "http://", "[a](", "**b**", "acme/api#3", ":tada"):
            assert harmful not in shown
        await at.command(issue, f"/coordinator park {hostile}")
        await at.given("park")
        await at.quiet()
        shown = comment.body.removeprefix(MARKER).partition("<details>")[0]
        assert "parked by maria" in shown
        for harmful in ("@maria", "<script", "http://", "[a](", "acme/api#3"):
            assert harmful not in shown


async def test_a_renamed_repository_is_written_to_under_its_new_name(tmp_path: Path) -> None:
    """Also when another has taken the old name meanwhile: nothing is written there."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        facts = at.facts(issue)
        at.forge.rename(REPO, "acme/gadgets")
        at.forge.repository(REPO, collaborators={BOT: "admin"})
        other = at.forge.open(REPO, "Not ours")
        await at.on.tell("router", IssueObserved(facts, "opened"))
        await at.on.wait_for(CommentWritten)
        assert at.forge.data.comments_of(other) == []
        assert len(at.sticky(issue)) == 1


async def test_a_place_that_proves_wrong_is_looked_up_anew() -> None:
    """A rename within the minute for which a name is taken for granted costs one more look."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "One")
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            assert (await pen.write(wish(forge, comment=COMMENT))).written == ["comment"]
            before = wish(forge, comment=Comment(f"{MARKER}\nagain", "m2"))
            forge.rename(REPO, "acme/gadgets")
            forge.repository(REPO, collaborators={BOT: "admin"})
            outcome = await pen.write(before)
            assert outcome.written == ["comment"]
            [comment] = forge.data.comments_of(issue)
            assert comment.body.endswith("again")


async def test_an_issue_that_is_not_there_is_refused() -> None:
    """Looked up anew where the place was only remembered, refused where it was fresh."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            for _ in range(2):
                outcome = await pen.write(wish(forge, comment=COMMENT))
                assert "404" in outcome.refused["comment"]
                assert not outcome.events


async def test_places_are_looked_up_once_a_minute_and_not_hoarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One question about the repository serves many writes; the memory of places is bounded."""
    monkeypatch.setattr(pen_module, "MAX_PLACES", 1)
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        forge.open(REPO, "One")
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            for text in ("a", "b", "c"):
                await pen.write(wish(forge, comment=Comment(f"{MARKER}\n{text}", text)))
            assert forge.server.requests["GET /repos/{owner}/{repo}"] == 1
            elsewhere = forge.repository("acme/api", collaborators={BOT: "admin"})
            assert await pen.where(elsewhere.id, "acme/api") == "acme/api"
            assert await pen.where(forge.repository(REPO).id, REPO) == REPO
            assert forge.server.requests["GET /repos/{owner}/{repo}"] == 3


async def test_a_rate_limit_is_no_doubt_and_a_lost_answer_is() -> None:
    """429 did nothing; after a connection that broke off the comment may stand there."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        forge.open(REPO, "One")
        async with forge_client(forge.url, token) as client:
            pen, post = Pen(client), "POST /repos/{owner}/{repo}/issues/{index}/comments"
            forge.misbehave("status", route=post, status=429, times=2, headers=[("Retry-After", "0")])
            limited = await pen.write(wish(forge, comment=COMMENT))
            assert (limited.failure is not None, limited.is_unsure) == (True, False)
            forge.server.faults.clear()
            forge.misbehave("status", route=post, status=503, times=None, after=True)
            lost = await pen.write(wish(forge, comment=COMMENT))
            assert (lost.failure is not None, lost.is_unsure) == (True, True)
            forge.server.faults.clear()
            assert (await pen.write(wish(forge, comment=COMMENT))).written == ["comment"]
            assert len(forge.data.comments) == 1


async def test_an_assignment_the_forge_ignored_is_a_refusal() -> None:
    """A forge may answer with success and without the login."""
    async with open_forge("forgejo") as forge:
        furnish(forge)
        forge.open(REPO, "One", assignees=["coder-bot"])
        async with forge_client(forge.url, forge.token("rita")) as client:
            outcome = await Pen(client).write(wish(forge, assignee=Login("maria")))
            assert "assignee" in outcome.refused


async def test_a_comment_edited_into_something_else_by_a_person_is_ours_still() -> None:
    """The id is enough; one that is gone is looked for, and a double that vanishes is no trouble."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "One")
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            first = await pen.write(wish(forge, comment=COMMENT))
            [written] = first.events
            assert isinstance(written, CommentWritten)
            [comment] = forge.data.comments_of(issue)
            comment.body = "vandalised"
            await pen.write(wish(forge, comment=COMMENT, comment_id=written.comment_id))
            assert comment.body == COMMENT.body
            forge.comment(issue, COMMENT.body, by=BOT)
            forge.misbehave("status", route="DELETE", status=404)
            looked = await pen.write(
                wish(forge, comment=COMMENT, comment_id=written.comment_id, must_look=True)
            )
            assert looked.written == ["comment"]
