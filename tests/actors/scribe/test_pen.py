"""The pen writes what it is told, where it belongs, and says what the forge would not take."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from coordinator.actors.scribe import pen as pen_module
from coordinator.actors.scribe.pen import Pen
from coordinator.demo.forge import Forge as ForgeServer
from coordinator.demo.forge import open_forge
from coordinator.rules.comment import MARKER, Comment
from coordinator.rules.events import (
    AssigneeWritten,
    CommentWritten,
    IssueAssessed,
    IssueDispatched,
    IssueObserved,
    RunEnded,
)
from coordinator.rules.ids import Login
from coordinator.rules.written import Part, Wish
from tests.actors.scribing import desk, forge_client
from tests.fakes.forge import BOT, REPO, furnish
from tests.rules.builders import ended, ref, view

ASSIGNEE: tuple[Part, ...] = ("assignee",)
COMMENT = Comment(f"{MARKER}\nhello", "m1")


def wish(forge: ForgeServer, **fields: Any) -> Wish:
    return Wish(fields.pop("ref", ref(1)), forge.repository(REPO).id, REPO, **fields)


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


@pytest.mark.parametrize("product", ["gitea", "forgejo"])
async def test_whom_we_assigned_before_is_taken_off_by_the_next_assignment(product: Any) -> None:
    """What people have assigned stays; a former one who is not there any more is no trouble."""
    async with open_forge(product) as forge:
        token = furnish(forge)
        for login in ("agent-a", "agent-b"):
            forge.user(login)
            forge.repository(REPO).collaborators[login] = "write"
        issue = forge.open(REPO, "One", assignees=["coder-bot", "agent-a"])
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            given = wish(forge, assignee=Login("agent-b"), former=Login("agent-a"))
            for _ in range(2):
                assert (await pen.write(given)).written == ["assignee"]
                assert issue.assignees == ["coder-bot", "agent-b"]


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


async def test_two_writes_that_find_nothing_are_both_refused() -> None:
    """Their issues are gone: each looks the place up anew, and neither stumbles over what the other
    has forgotten."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        issues = [forge.open(REPO, "One"), forge.open(REPO, "Two")]
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            wishes = [wish(forge, comment=COMMENT, ref=ref(each.number)) for each in issues]
            await pen.write(wishes[0])
            for each in issues:
                forge.delete(each)
            forge.misbehave("slow", route="GET /repositories/{id}", times=None, delay_s=0.1)
            refused: list[str] = []

            async def write(wanted: Wish) -> None:
                refused.extend((await pen.write(wanted)).refused)

            async with trio.open_nursery() as nursery:
                for wanted in wishes:
                    nursery.start_soon(write, wanted)
            assert refused == ["comment", "comment"]


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
    """One question about the repository serves many edits; the memory of places is bounded."""
    monkeypatch.setattr(pen_module, "MAX_PLACES", 1)
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        forge.open(REPO, "One")
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            [told] = (await pen.write(wish(forge, comment=COMMENT))).events
            assert isinstance(told, CommentWritten)
            for text in ("a", "b", "c"):
                comment = Comment(f"{MARKER}\n{text}", text)
                await pen.write(wish(forge, comment=comment, comment_id=told.comment_id))
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


async def test_comments_too_long_to_be_read_are_refused_and_hold_up_nobody() -> None:
    """All comments of an issue come in one answer: its labels are written all the same, and nothing
    says that the repository cannot be written to."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "One")
        forge.comment(issue, "x" * 100_000, by="stranger")
        async with forge_client(forge.url, token, max_answer_bytes=50_000) as client:
            outcome = await Pen(client).write(wish(forge, comment=COMMENT, labels=("agent/a",)))
            assert (outcome.written, outcome.failure) == (["labels"], None)
            assert "larger than" in outcome.refused["comment"]


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


@pytest.mark.parametrize("known", [True, False], ids=["the news has come", "nobody knows yet"])
@pytest.mark.parametrize("must_look", [True, False])
async def test_a_taken_name_never_shows_what_another_repository_hides(
    known: bool, must_look: bool
) -> None:
    """A private repository is renamed within the minute and a public one takes its name: its issue of
    the same number gets neither comment nor label nor assignee, and the private one gets them all."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        ours, new = forge.repository(REPO), forge.open(REPO, "Not written on yet")
        issue = forge.open(REPO, "Secret")
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            wanted = Wish(ref(issue.number), ours.id, REPO, comment=COMMENT)
            [told] = (await pen.write(wanted)).events
            assert isinstance(told, CommentWritten)
            forge.rename(REPO, "acme/private")
            public = forge.data.add_repository(REPO, private=False, collaborators={BOT: "admin"})
            theirs = [forge.open(public, "One"), forge.open(public, "Two")]
            name = "acme/private" if known else REPO
            wanted = replace(
                wanted,
                repo_name=name,
                comment=Comment(f"{MARKER}\nagain", "m2"),
                comment_id=told.comment_id,
                must_look=must_look,
                labels=("coordinator/parked",),
                assignee=Login("maria"),
            )
            assert (await pen.write(wanted)).written == ["comment", "labels", "assignee"]
            first = replace(wanted, ref=ref(new.number), comment_id=None)
            assert (await pen.write(first)).written == ["comment", "labels", "assignee"]
        for mine in (issue, new):
            assert [each.body for each in forge.data.comments_of(mine)] == [f"{MARKER}\nagain"]
            assert [each.name for each in forge.data.labels_of(mine)] == ["coordinator/parked"]
            assert mine.assignees == ["maria"]
        for other in theirs:
            assert (forge.data.comments_of(other), other.label_ids, other.assignees) == ([], [], [])
        assert not public.labels


async def test_a_new_name_is_looked_up_once_whoever_still_uses_the_old_one() -> None:
    """A wish under a name never asked for is looked up; the forge's own and that one then serve."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        repo_id = forge.repository(REPO).id
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            assert await pen.where(repo_id, REPO) == REPO
            forge.rename(REPO, "acme/gadgets")
            for name in ("acme/gadgets", "ACME/Gadgets", "acme/gadgets", "ACME/Gadgets"):
                assert await pen.where(repo_id, name) == "acme/gadgets"
            assert forge.server.requests["GET /repos/{owner}/{repo}"] == 3


@pytest.mark.parametrize("product", ["gitea", "forgejo"])
async def test_a_token_that_may_not_ask_whose_it_is_suffices(product: Any) -> None:
    """The answer to our own first comment tells; what a stranger wrote with our marker stays theirs,
    what an earlier life wrote is found, and of the two one is left."""
    async with open_forge(product) as forge:
        furnish(forge)
        token = forge.token(BOT, "write:issue", "read:repository")
        issue, other = forge.open(REPO, "One"), forge.open(REPO, "Two")
        theirs = forge.comment(issue, f"{MARKER}\ntheirs", by="rita")
        lost = forge.comment(issue, f"{MARKER}\nof a life that never told", by=BOT)
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)
            assert await pen.own_login() is None
            [told] = (await pen.write(wish(forge, comment=COMMENT))).events
            assert told == CommentWritten(ref(1), lost.id, "m1")
            assert [each.id for each in forge.data.comments_of(issue)] == [theirs.id, lost.id]
            assert (theirs.body, lost.body) == (f"{MARKER}\ntheirs", COMMENT.body)
            assert await pen.own_login() == BOT
            await pen.write(wish(forge, comment=COMMENT, ref=ref(2)))
        async with forge_client(forge.url, token) as client:
            [kept] = forge.data.comments_of(other)
            kept.body = "falsified"
            looked = wish(forge, comment=COMMENT, ref=ref(2), comment_id=kept.id, must_look=True)
            await Pen(client).write(looked)
            assert [each.body for each in forge.data.comments_of(other)] == [COMMENT.body]


# for strangers ----------------------------------------------------------------------------------


async def test_only_what_is_seen_to_be_public_may_be_named() -> None:
    """A private repository, one never heard of and one that cannot be looked up now may not."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        ids = {
            name: forge.repository(name, private=name == "vault/plans", collaborators={BOT: "read"}).id
            for name in ("vault/plans", "open/plans")
        }
        waiting = view(
            open_blockers=(ref(2), ref(1, "vault/plans"), ref(1, "open/plans")),
            unknown_blockers=(ref(1, "never/heard"),),
        )
        async with forge_client(forge.url, token) as client:
            assert (await Pen(client).for_strangers(waiting, ids)).public == {"open/plans"}
            forge.misbehave("status", route="GET /repos/{owner}/{repo}", status=503, times=None)
            assert (await Pen(client).for_strangers(waiting, ids)).public == frozenset()


async def test_who_cannot_be_looked_up_is_not_asked_for_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the forge is away a repository counts as what it was last, one that is refused as private;
    neither is asked for twice within a while."""
    async with open_forge("gitea") as forge:
        token, route = furnish(forge), "GET /repos/{owner}/{repo}"
        plans = forge.repository("open/plans", private=False, collaborators={BOT: "read"})
        waiting = view(open_blockers=(ref(1, "open/plans"),))
        async with forge_client(forge.url, token) as client:
            pen = Pen(client)

            async def public() -> frozenset[str]:
                return (await pen.for_strangers(waiting, {"open/plans": plans.id})).public

            assert await public() == {"open/plans"}
            monkeypatch.setattr(pen_module, "PLACE_S", -1.0)
            forge.misbehave("status", route=route, status=503, times=None)
            assert await public() == {"open/plans"}
            for status, seen in ((503, {"open/plans"}), (403, set())):
                forge.server.faults.clear()
                forge.misbehave("status", route=route, status=status, times=None)
                monkeypatch.setattr(pen_module, "PLACE_S", -1.0)
                assert await public() == seen
            forge.server.faults.clear()
            forge.misbehave("status", route=route, status=503, times=None)
            assert await public() == frozenset()
            monkeypatch.setattr(pen_module, "PLACE_S", 60.0)
            assert await public() == frozenset()
            asked = forge.server.requests[route]
            forge.server.faults.clear()
            assert await public() == frozenset()
            assert forge.server.requests[route] == asked
            pen.forget_places()
            assert await public() == {"open/plans"}


async def test_a_repository_made_private_loses_its_name_at_the_next_start(tmp_path: Path) -> None:
    """While it is public its issue is a link; afterwards the comment is written anew without it."""
    names = ("parser", "dependency-tracker", "dispatcher")
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        plans = forge.repository("open/plans", private=False, collaborators={BOT: "read"})
        issue = forge.open(REPO, "The roof", assignees=["coder-bot"])
        blocker = forge.open(plans, "The walls")
        async with desk(tmp_path, forge=forge, token=token, names=names) as at:
            await at.observe(blocker)
            await at.observe(issue, native_blockers=(at.ref(blocker),))
            await at.on.wait_for(IssueAssessed, lambda each: each.reason == "open_blocker")
            await at.quiet()
            [comment] = at.sticky(issue)
            assert "| Waits for | open/plans#1 |" in comment.body
        plans.private = True
        async with desk(tmp_path, forge=forge, token=token, names=names) as at:
            await at.until(lambda: "open/plans" not in comment.body)
            assert "| Waits for | an issue in another repository |" in comment.body
