"""Plays the story: people act on the forge, the forge delivers, and an onlooker reads the API."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import trio
from pydantic import BaseModel

from coordinator.demo.forge import Posted
from coordinator.demo.forge.letters import headers_of
from coordinator.demo.forge.plain_text import plain_lines
from coordinator.demo.stage import Stage
from coordinator.demo.story import (
    ENDING,
    SCENES,
    Ending,
    Forgery,
    Lost,
    Malformed,
    Pace,
    Repeat,
    Scene,
    Show,
    TestDelivery,
    Until,
)
from coordinator.demo.town import Town
from coordinator.edges.request_body import send_in_one_piece
from coordinator.rules.ids import IssueRef
from coordinator.rules.labels import STATE_SCOPE
from coordinator.web.shapes import AgentsBody, HealthBody, IssueBody, IssuesBody, IssueSummary

__all__ = ["Visitor", "agree", "difference"]

Shape = TypeVar("Shape", bound=BaseModel)

# A screen ten times a second is smooth and costs the server three requests each time.
_LOOK_EVERY_S = 0.1
# Answers come from memory or after one commit; a forge would give up after five seconds.
_TIMEOUT_S = 5.0


class Visitor:
    """Everybody on the forge, and one onlooker."""

    def __init__(
        self, url: str, town: Town, secret: bytes, pace: Pace, stage: Stage, *, token: str = ""
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=_TIMEOUT_S,
            trust_env=False,
            headers=headers,
            event_hooks={"request": [send_in_one_piece]},
        )
        self._town = town
        self._forge = town.forge
        self._secret = secret
        self._pace = pace
        self._stage = stage
        self._issues: dict[IssueRef, IssueSummary] = {}
        self._last: Posted | None = None
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
        """Every scene in order, then on until all issues stand as they must, here and on the forge."""
        for scene in SCENES:
            await self._look_until(partial(self._has_come, scene.when))
            self._stage.scene(scene.caption)
            await self._act(scene)
            await self._look_for(self._pace.beat_s)
        await self._look_until(lambda: not self._unfinished())

    async def differences(self) -> list[str]:
        """What is not as the story has it, one line each."""
        await self._look()
        return [*self._wrong, *self._unfinished()]

    # the forge ------------------------------------------------------------------------------------

    async def _act(self, scene: Scene) -> None:
        match scene.act:
            case Show(ref, word):
                await self._show(ref, word)
            case Forgery():
                letter = self._newest().letter
                await self._knock(scene, b"a guess", letter.body)
            case Malformed():
                await self._knock(scene, self._secret, _without_number(self._newest().letter.body))
            case TestDelivery():
                await self._answers(scene, await self._caused(self._town.test_hook))
            case Repeat():
                replay = partial(self._forge.postman.replay, self._newest())
                await self._answers(scene, self._caused_at_once(replay))
            case Lost() as lost:
                began_s = trio.current_time()
                await self._answers(scene, self._town.do(lost))
                await self._wait_repaired(lost.act.ref, began_s)
            case deed:
                await self._answers(scene, self._town.do(deed))

    async def _caused(self, act: Callable[[], Any]) -> Sequence[Posted]:
        before = len(self._forge.deliveries)
        await act()
        return self._forge.deliveries[before : before + 1]

    def _caused_at_once(self, act: Callable[[], None]) -> Sequence[Posted]:
        before = len(self._forge.deliveries)
        act()
        return self._forge.deliveries[before:]

    async def _answers(self, scene: Scene, letters: Sequence[Posted]) -> None:
        """Wait until the coordinator has answered these deliveries, and judge the answers."""
        await self._forge.postman.wait_for(lambda: all(map(_is_over, letters)))
        for each in letters:
            subject = _subject(each.letter.body)
            if each.outcome == "lost":
                self._stage.repaired(f"{subject}: the forge lost this webhook")
                continue
            self._last = each
            self._judge(scene, subject, each.status or 0, json.loads(each.answer))

    async def _knock(self, scene: Scene, secret: bytes, body: bytes) -> None:
        """A request that the forge did not send."""
        known = self._newest().letter
        letter = replace(known, id=f"{known.id}-b", body=body)
        headers = list(headers_of(letter, secret, self._forge.dialect))
        answer = await self._http.post("/webhook/gitea", content=body, headers=headers)
        self._judge(scene, _subject(body), answer.status_code, answer.json())

    def _judge(self, scene: Scene, subject: str, status: int, answer: dict[str, Any]) -> None:
        word = answer.get("status")
        said = word or answer["error"]["message"]
        self._stage.answered(subject, status, said)
        if (status, word) != (scene.status, scene.word):
            self._wrong.append(f"{scene.caption}: answered {status} {said}")

    def _newest(self) -> Posted:
        assert self._last is not None
        return self._last

    # what the coordinator does there --------------------------------------------------------------

    async def _show(self, ref: IssueRef, word: str) -> None:
        """The issue's page once the coordinator's comment says the word, and its labels say the same:
        they are written one after the other."""
        town = self._town

        def is_written() -> bool:
            bodies, labels = town.stickies(ref), town.labels(ref)
            return any(word in body and agree(labels, plain_lines(body)) for body in bodies)

        await self._look_until(is_written)
        self._stage.wrote(str(ref), town.labels(ref), plain_lines(town.stickies(ref)[0]))

    async def _wait_repaired(self, ref: IssueRef, began_s: float) -> None:
        """Until a sweep has found what the webhook should have told."""
        while not (found := await self._missed(ref)):
            await self._look_for(_LOOK_EVERY_S)
        took_s = trio.current_time() - began_s
        self._stage.repaired(f"found by the sweep after {took_s:.1f} s, counted as missed: {found}")

    async def _missed(self, ref: IssueRef) -> str:
        issue = await self._get(f"/api/v1/issues/{ref.repo}/{ref.number}", IssueBody)
        timeline = [] if issue is None else issue.timeline
        causes = (each.event.get("missed") for each in timeline if each.type == "IssueObserved")
        return ", ".join(str(cause) for found in causes if isinstance(found, list) for cause in found)

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
        shown = (_misshown(ref, self._town.stickies(ref), end) for ref, end in ENDING.items())
        return [line for line in (*found, *shown) if line is not None]


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


def agree(labels: Sequence[str], lines: Sequence[str]) -> bool:
    """Whether the labels on an issue say what the first line of its comment says."""
    state = lines[0].partition(" ")[0].lower() if lines else ""
    shown = [name.removeprefix(STATE_SCOPE) for name in labels if name.startswith(STATE_SCOPE)]
    fit = {"blocked": {"blocked", "needs-human"}, "parked": {"parked", "needs-human"}}
    if state in ("ready", "running", *fit):
        return len(shown) == 1 and shown[0] in fit.get(state, {state})
    return not shown


def _misshown(ref: IssueRef, stickies: list[str], ending: Ending) -> str | None:
    """How the coordinator's comment on the issue differs from the ending; None when it does not."""
    if ending.state == "ignored":
        return None
    if len(stickies) != 1:
        return f"{ref} has {len(stickies)} comments of the coordinator, not one"
    says = plain_lines(stickies[0])[0]
    is_true = says.lower().startswith(ending.state)
    return None if is_true else f"the comment on {ref} says {says!r}, not {ending.state}"


def _is_over(posted: Posted) -> bool:
    return posted.outcome == "lost" or posted.status is not None


def _subject(body: bytes) -> str:
    """What a delivery is about, in the words of its own body."""
    payload = json.loads(body)
    issue, repo = payload.get("issue", {}), payload["repository"]["full_name"]
    action = payload.get("action", "push")
    if "comment" in payload:
        action = f"comment {action}"
    return f"{action} {repo}#{issue['number']}" if "number" in issue else f"{action} {repo}"


def _without_number(body: bytes) -> bytes:
    payload = json.loads(body)
    del payload["issue"]["number"]
    return json.dumps(payload).encode()
