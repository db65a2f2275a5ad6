"""Plays the story to a running coordinator over HTTP, and looks on through its API."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, assert_never

import httpx
import trio
from pydantic import BaseModel

from coordinator.demo.payloads import ForgeWorld, Product, SignedDelivery, WorldIssue, sign
from coordinator.demo.stage import Stage
from coordinator.demo.story import (
    ENDING,
    ISSUES,
    SCENES,
    Act,
    Assign,
    Close,
    Ending,
    Forgery,
    Malformed,
    Open,
    Pace,
    Repeat,
    Scene,
    TestDelivery,
    Unassign,
    Until,
)
from coordinator.rules.ids import IssueRef
from coordinator.web.shapes import AgentsBody, HealthBody, IssuesBody, IssueSummary

__all__ = ["Visitor", "difference"]

Shape = TypeVar("Shape", bound=BaseModel)

# A screen ten times a second is smooth and costs the server three requests each time.
_LOOK_EVERY_S = 0.1
# Answers come from memory or after one commit; a forge would give up after five seconds.
_TIMEOUT_S = 5.0
# So that the two forges' delivery ids differ.
_FIRST_DELIVERY = {"gitea": 1, "forgejo": 100_001}


class Visitor:
    """Both forges and one onlooker."""

    def __init__(self, url: str, secret: bytes, pace: Pace, stage: Stage, *, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(
            base_url=url, timeout=_TIMEOUT_S, trust_env=False, headers=headers
        )
        self._pace = pace
        self._stage = stage
        self._forges: dict[Product, ForgeWorld] = {
            "gitea": ForgeWorld("gitea", secret, first_delivery=_FIRST_DELIVERY["gitea"]),
            "forgejo": ForgeWorld("forgejo", secret, first_delivery=_FIRST_DELIVERY["forgejo"]),
        }
        self._issues: dict[IssueRef, IssueSummary] = {}
        self._last: SignedDelivery | None = None
        self._wrong: list[str] = []

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    async def play(self) -> None:
        """Every scene in order, then on until all issues stand as they must."""
        for scene in SCENES:
            await self._look_until(partial(self._has_come, scene.when))
            self._stage.scene(scene.caption)
            for delivery in self._deliveries(scene.act):
                await self._post(delivery, scene)
            await self._look_for(self._pace.beat_s)
        await self._look_until(lambda: not self._unfinished())

    async def differences(self) -> list[str]:
        """What is not as the story has it, one line each."""
        await self._look()
        return [*self._wrong, *self._unfinished()]

    # the forges -----------------------------------------------------------------------------------

    def _deliveries(self, act: Act) -> Sequence[SignedDelivery]:
        match act:
            case Open(ref, login):
                return self._open(ref, login)
            case Assign(ref, login):
                return [self._forge(ref).assign(self._world_issue(ref), login)]
            case Unassign(ref, login):
                return [self._forge(ref).unassign(self._world_issue(ref), login)]
            case Close(ref):
                return [self._forge(ref).close(self._world_issue(ref))]
            case TestDelivery(product):
                return [self._forges[product].push("acme/widgets")]
            case Repeat():
                return [self._newest()]
            case Forgery():
                return [_signed(self._newest(), b"a guess", self._newest().body)]
            case Malformed():
                return [self._without_number(self._newest())]
            case _:
                assert_never(act)

    def _open(self, ref: IssueRef, login: str) -> Sequence[SignedDelivery]:
        issue, forge = ISSUES[ref], self._forge(ref)
        forge.advance(1)
        _, deliveries = forge.open(
            ref.repo,
            issue.title,
            issue.body,
            assignees=(login,),
            labels=issue.labels,
            number=ref.number,
        )
        return deliveries

    def _forge(self, ref: IssueRef) -> ForgeWorld:
        forge = self._forges[ISSUES[ref].forge]
        forge.advance(1)
        return forge

    def _world_issue(self, ref: IssueRef) -> WorldIssue:
        return self._forge(ref).issues[ref.repo, ref.number]

    def _newest(self) -> SignedDelivery:
        assert self._last is not None
        return self._last

    def _without_number(self, delivery: SignedDelivery) -> SignedDelivery:
        payload = json.loads(delivery.body)
        del payload["issue"]["number"]
        body = json.dumps(payload).encode()
        return _signed(replace(delivery, id=f"{delivery.id}-b"), self._forges["gitea"].secret, body)

    async def _post(self, delivery: SignedDelivery, scene: Scene) -> None:
        answer = await self._http.post(
            "/webhook/gitea", content=delivery.body, headers=list(delivery.headers)
        )
        self._last = delivery
        word = answer.json().get("status")
        said = word or answer.json()["error"]["message"]
        self._stage.answered(_subject(delivery), answer.status_code, said)
        if (answer.status_code, word) != (scene.status, scene.word):
            self._wrong.append(f"{scene.caption}: answered {answer.status_code} {said}")

    # the onlooker ---------------------------------------------------------------------------------

    async def _look_until(self, holds: Callable[[], bool]) -> None:
        while True:
            await self._look()
            if holds():
                return
            await trio.sleep(_LOOK_EVERY_S)

    async def _look_for(self, seconds: float) -> None:
        ends = trio.current_time() + seconds
        await self._look()
        while trio.current_time() < ends:
            await trio.sleep(min(_LOOK_EVERY_S, max(ends - trio.current_time(), 0)))
            await self._look()

    async def _look(self) -> None:
        issues = await self._get("/api/v1/issues?every=true", IssuesBody)
        agents = await self._get("/api/v1/agents", AgentsBody)
        health = await self._get("/health", HealthBody)
        if issues is None or agents is None or health is None:
            return
        self._issues = {IssueRef.parse(issue.issue): issue for issue in issues.issues}
        self._stage.show(issues.issues, agents.agents, health)

    async def _get(self, path: str, shape: type[Shape]) -> Shape | None:
        answer = await self._http.get(path)
        return shape.model_validate_json(answer.content) if answer.is_success else None

    def _has_come(self, when: Until | None) -> bool:
        if when is None:
            return True
        issue = self._issues.get(when.ref)
        return issue is not None and issue.state in when.states

    def _unfinished(self) -> list[str]:
        found = (difference(ref, self._issues.get(ref), ending) for ref, ending in ENDING.items())
        return [line for line in found if line is not None]


def difference(ref: IssueRef, issue: IssueSummary | None, ending: Ending) -> str | None:
    """How the issue differs from its ending, in one line; None when it does not."""
    if issue is None:
        return f"{ref} is not known"
    if (issue.state, issue.reason) != (ending.state, ending.reason):
        return f"{ref} is {issue.state} ({issue.reason}), not {ending.state} ({ending.reason})"
    if ending.agent is not None and issue.agent != ending.agent:
        return f"{ref} was done by {issue.agent}, not {ending.agent}"
    if ending.compacted and not issue.compactions:
        return f"{ref} was never compacted"
    if ending.rotated and not issue.rotations:
        return f"{ref} was never rotated"
    return None


def _signed(delivery: SignedDelivery, secret: bytes, body: bytes) -> SignedDelivery:
    """The delivery with this body and id, signed with this secret."""
    changed = {"x-gitea-signature": sign(secret, body), "x-gitea-delivery": delivery.id}
    headers = tuple((name, changed.get(name.lower(), value)) for name, value in delivery.headers)
    return replace(delivery, headers=headers, body=body)


def _subject(delivery: SignedDelivery) -> str:
    """What the delivery is about, in the words of its own body."""
    payload = json.loads(delivery.body)
    issue, repo = payload.get("issue", {}), payload["repository"]["full_name"]
    action = payload.get("action", delivery.event)
    return f"{action} {repo}#{issue['number']}" if "number" in issue else f"{action} {repo}"
