"""A scribe on stage: a real forge on loopback, a real client, the real dispatcher, a real journal."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import trio

from coordinator.actors.clocks import utc_now
from coordinator.actors.scribe.scribe import TARGET, Scribe
from coordinator.demo.forge import Forge as ForgeServer
from coordinator.demo.forge import Issue, open_forge
from coordinator.demo.forge.model import Comment
from coordinator.edges.forge_breaker import BreakerPace
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.journal import Commit, OrderDraft
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.rules.comment import is_sticky
from coordinator.rules.events import (
    CommandGiven,
    CommandRefused,
    Event,
    IssueObserved,
    IssueParsed,
    IssueUnblocked,
)
from coordinator.rules.facts import IssueFacts
from coordinator.rules.fleet import AgentSpec, Fleet
from coordinator.rules.ids import AgentName, IssueRef, Login
from coordinator.rules.orders import RunCommand
from coordinator.rules.write_queue import WritingPace
from coordinator.rules.written import Part
from coordinator.runtime import ChildSpec, child
from tests.actors.stage import Stage, stage
from tests.fakes.forge import REPO, furnish
from tests.rules.builders import metadata

__all__ = ["BRISK", "FLEET", "Desk", "desk", "forge_client"]

SONNET, OPUS = AgentName("sonnet-1"), AgentName("opus-1")
FLEET = Fleet(
    (AgentSpec(SONNET, Login("claude-sonnet")), AgentSpec(OPUS, Login("claude-opus"))),
    (Login("coder-bot"),),
)
BRISK = WritingPace(debounce_s=0.05, interval_s=0.1, max_interval_s=0.4, suspect_s=0.6)
ACTORS = ("dispatcher",)
PATIENCE_S = 60.0


def forge_client(url: str, token: str, *, kind: type[Forge] = Forge, **options: Any) -> Forge:
    """A client that gives up soon and forgives at once."""
    paces: dict[str, Any] = {
        "pace": RetryPace(attempts=2, min_s=0.01, max_s=0.02),
        "breaker_pace": BreakerPace(max_failures=50, min_pause_s=0.05, max_pause_s=0.1),
        "trust_env": False,
        "request_timeout_s": 1.0,
        "total_timeout_s": 3.0,
    }
    return kind(url, token, **paces | options)


@dataclass
class Desk:
    """What a test needs to play the people, the router and the agents."""

    on: Stage
    forge: ForgeServer
    ticks: int = 0

    def issue(
        self, title: str = "Rows are lost", *, assignees: Sequence[str] = ("coder-bot",)
    ) -> Issue:
        return self.forge.open(REPO, title, assignees=list(assignees))

    def ref(self, issue: Issue) -> IssueRef:
        return IssueRef(self.forge.data.repo_of(issue).full_name.lower(), issue.number)

    def facts(self, issue: Issue) -> IssueFacts:
        """The issue as the router would have read it now; every reading is a second newer."""
        self.ticks += 1
        repo = self.forge.data.repo_of(issue)
        return IssueFacts(
            ref=self.ref(issue),
            repo_id=repo.id,
            issue_id=issue.id,
            title=issue.title,
            text_key=f"text-{issue.id}",
            state="open" if issue.is_open else "closed",
            assignees=tuple(sorted(Login(login.lower()) for login in issue.assignees)),
            labels=(),
            milestone=None,
            html_url="",
            created_at=issue.created_at,
            updated_at=issue.updated_at + timedelta(seconds=self.ticks),
            repo_name=repo.full_name,
        )

    async def observe(self, issue: Issue, **fields: Any) -> None:
        await self.on.tell("router", IssueObserved(replace(self.facts(issue), **fields), "edited"))

    async def tell(self, *events: Event) -> None:
        await self.on.tell("elsewhere", *events)

    async def ready(self, issue: Issue, **fields: Any) -> None:
        """Observed, read and unblocked: only agents are missing."""
        ref, key = self.ref(issue), f"text-{issue.id}"
        await self.observe(issue)
        await self.tell(
            IssueParsed(ref, key, metadata(**fields), "rules"), IssueUnblocked(ref, key, True)
        )

    async def agents_up(self, *names: str) -> None:
        await self.tell(*(self.on.agent_up(name) for name in names or ("sonnet-1", "opus-1")))

    async def command(self, issue: Issue, text: str, *, by: str = "maria") -> Comment:
        """Somebody comments, and the router finds a command in it."""
        comment = self.forge.comment(issue, text, by=by)
        await self.order(issue, comment)
        return comment

    async def order(self, issue: Issue, comment: Comment) -> None:
        repo = self.forge.data.repo_of(issue)
        by = Login(comment.author.lower())
        order = RunCommand(self.ref(issue), repo.id, repo.full_name, comment.id, by)
        opened = (OrderDraft(order, TARGET),)
        await self.on.journal.commit(Commit(actor="router", at=utc_now(), opened=opened))

    async def given(self, verb: str) -> CommandGiven:
        return await self.on.wait_for(CommandGiven, lambda each: each.verb == verb)

    async def refused(self) -> CommandRefused:
        return await self.on.wait_for(CommandRefused)

    async def obeyed(self) -> None:
        """Return once no command waits."""
        with trio.fail_after(PATIENCE_S):
            while (  # noqa: ASYNC110
                self.on.journal.open_orders(TARGET) or self.state().get("commands_in_flight", 1)
            ):
                await trio.sleep(0.01)

    def sticky(self, issue: Issue) -> list[Comment]:
        """All comments with the marker, whoever wrote them."""
        return [each for each in self.forge.data.comments_of(issue) if is_sticky(each.body)]

    def labels(self, issue: Issue) -> set[str]:
        return {label.name for label in self.forge.data.labels_of(issue)}

    def asked(self, *routes: str) -> int:
        """How many requests of these kinds (parts of "METHOD /template") the forge has seen."""
        seen = self.forge.server.requests
        return sum(n for name, n in seen.items() if any(route in name for route in routes))

    def state(self) -> dict[str, Any]:
        """What the scribe says of itself; between two lives it is busy."""
        state = self.on.tree.get_state("scribe")
        return state if isinstance(state, dict) else {"waiting": 1}

    async def quiet(self) -> None:
        """Return once everything told so far has been looked at and nothing is left to write."""
        head = self.on.journal.head("events")
        with trio.fail_after(PATIENCE_S):
            while True:
                state = self.state()
                is_busy = state["waiting"] or state["in_flight"] or state["commands_open"]
                is_busy = is_busy or state["commands_in_flight"]
                if not is_busy and state["cursor"] >= head == self.on.journal.head("events"):
                    return
                head = self.on.journal.head("events")
                await trio.sleep(0.01)

    async def until(self, holds: Callable[[], object]) -> None:
        """Return once it holds."""
        with trio.fail_after(PATIENCE_S):
            while not holds():  # noqa: ASYNC110
                await trio.sleep(0.01)


@asynccontextmanager
async def desk(
    path: Path,
    product: Any = "gitea",
    *,
    forge: ForgeServer | None = None,
    token: str = "",
    parts: Collection[Part] = ("comment", "labels"),
    pace: WritingPace = BRISK,
    names: Sequence[str] = ACTORS,
    fleet: Fleet = FLEET,
    client: dict[str, Any] | None = None,
) -> AsyncIterator[Desk]:
    """A scribe at work; with `forge` (and its `token`) at one that goes on existing afterwards."""
    if forge is None:
        async with open_forge(product) as opened:
            given = furnish(opened)
            async with desk(
                path, forge=opened, token=token or given, parts=parts, pace=pace, names=names,
                fleet=fleet, client=client,
            ) as at:  # fmt: skip
                yield at
        return
    async with forge_client(forge.url, token, **client or {}) as http:

        def scribe(journal: SqliteJournal) -> Sequence[ChildSpec]:
            return [child(Scribe, journal, fleet, http, id="scribe", write_back=parts, pace=pace)]

        async with stage(path, names, fleet=fleet, extra=scribe) as on:
            at = Desk(on, forge)
            yield at
            with trio.move_on_after(2.0):  # a request cut off in the middle makes httpx complain
                await at.quiet()
