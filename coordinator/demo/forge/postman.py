"""Sends deliveries: once each, from a queue of its own, and remembers what became of them.

As in the real ones a delivery counts as sent before it is: what fails stays failed, nothing is ever
tried again. URL and secret are read when it is sent, the payload was written when it happened.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import httpx
import trio

from coordinator.demo.forge.actions import Announcement
from coordinator.demo.forge.allow_list import EVERYTHING, AllowList
from coordinator.demo.forge.data import ForgeData
from coordinator.demo.forge.faults import DeliveryFault, DeliveryFaults
from coordinator.demo.forge.letters import Letter, Letters, headers_of, on_the_wire
from coordinator.demo.forge.model import Hook, Repository
from coordinator.edges.request_body import send_in_one_piece

__all__ = ["TIMEOUT_S", "Posted", "Postman"]

# [webhook] DELIVER_TIMEOUT of both products: the whole exchange.
TIMEOUT_S = 5.0
# A delivery held back to be overtaken leaves after this, overtaken or not.
_HOLD_S = 0.2
# Of Go's default client.
_MAX_REDIRECTS = 10

Outcome = Literal["queued", "sent", "failed", "lost", "inactive"]


@dataclass(slots=True)
class Posted:
    """One delivery of one hook: "sent" was answered 2xx, "failed" otherwise or not at all, "lost"
    never left, "inactive" met a hook that was switched off or deleted meanwhile. The answer came
    after `took_s`."""

    letter: Letter
    hook_id: int
    queued_at: datetime
    faults: tuple[DeliveryFault, ...]
    outcome: Outcome = "queued"
    status: int | None = None
    error: str = ""
    answer: str = ""
    took_s: float | None = None


class _Denied(Exception):
    """The forge's own client would not go on; the message is what the history shows."""


class Postman:
    """One worker sends in order; more of them, as in the products, promise no order at all."""

    def __init__(
        self,
        data: ForgeData,
        letters: Letters,
        *,
        allowed_hosts: str = EVERYTHING,
        workers: int = 1,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        dialect = letters.shapes.dialect
        self._allowed = AllowList(allowed_hosts, dialect.allow_list_key, dialect.reserved_is_external)
        self.history: list[Posted] = []
        self.faults = DeliveryFaults()
        self._data = data
        self._letters = letters
        self._workers = workers
        self._timeout_s = timeout_s
        self._queue: deque[Posted] = deque()
        # delayed, or held back until the next one has gone ahead
        self._shelf: list[Posted] = []
        self._in_flight = 0
        self._is_away = False
        self._changed = trio.Condition()
        self._nursery: trio.Nursery | None = None

    # what is to be sent -------------------------------------------------------------------------

    def announce(self, said: Announcement) -> None:
        """Queue a letter for every hook that asked to hear of this."""
        hooks = [
            hook
            for hook in self._hooks_of(said.repo)
            if hook.active and said.event_type in hook.event_types
        ]
        if hooks:
            letter = self._letters.write(said)
            for at, hook in enumerate(hooks):
                self._queue_for(
                    hook, letter if at == 0 else replace(letter, id=self._letters.next_id())
                )

    def push(self, hook: Hook, repo: Repository, doer: str) -> None:
        """The test delivery."""
        self._queue_for(hook, self._letters.push(repo, doer))

    def replay(self, posted: Posted) -> None:
        """The button "Replay": the same old payload under a new id."""
        letter = replace(posted.letter, id=self._letters.next_id())
        self._queue_for(self._data.hooks[posted.hook_id], letter)

    def _hooks_of(self, repo: Repository) -> list[Hook]:
        owner = self._data.add_account(repo.owner).id
        owners = {("repository", repo.id), ("organization", owner), ("system", 0)}
        return [hook for hook in self._data.hooks.values() if (hook.level, hook.owner_id) in owners]

    def _queue_for(self, hook: Hook, letter: Letter) -> None:
        faults = self.faults.draw()
        posted = Posted(letter, hook.id, self._data.now(), faults)
        self.history.append(posted)
        overtaken = [each for each in self._shelf if "reorder" in each.faults]
        if "lose" in faults:
            posted.outcome = "lost"
        elif "delay" in faults:
            self._shelve(posted, self.faults.draw_delay())
        elif "reorder" in faults:
            self._shelve(posted, _HOLD_S)
        else:
            self._queue.append(posted)
        if "duplicate" in faults:
            twin = replace(posted)
            self.history.append(twin)
            self._queue.append(twin)
        for each in overtaken:
            self._unshelve(each)
        self._wake()

    def _shelve(self, posted: Posted, delay_s: float) -> None:
        async def leave_later() -> None:
            await trio.sleep(delay_s)
            self._unshelve(posted)
            await self._notify()

        self._shelf.append(posted)
        if self._nursery is not None:
            self._nursery.start_soon(leave_later)

    def _unshelve(self, posted: Posted) -> None:
        """Into the queue, unless it was overtaken and left already."""
        if any(each is posted for each in self._shelf):
            self._shelf = [each for each in self._shelf if each is not posted]
            self._queue.append(posted)

    # sending ------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for _ in range(self._workers):
                nursery.start_soon(self._work)
            task_status.started()

    async def wait_quiet(self) -> None:
        """Until nothing is queued, held back or on its way."""
        await self._wait(lambda: not (self._queue or self._shelf or self._in_flight))

    async def wait_for(self, reached: Callable[[], bool]) -> None:
        """Until `reached` holds; looked at after every delivery."""
        await self._wait(reached)

    def pause(self) -> None:
        self._is_away = True

    def resume(self) -> None:
        self._is_away = False
        self._wake()

    async def _work(self) -> None:
        async with httpx.AsyncClient(
            timeout=None,  # noqa: S113 - see _send
            trust_env=False,
            event_hooks={"request": [send_in_one_piece]},
        ) as http:
            while True:
                await self._wait(lambda: bool(self._queue) and not self._is_away)
                posted = self._queue.popleft()
                self._in_flight += 1
                try:
                    await self._send(http, posted)
                finally:
                    self._in_flight -= 1
                await self._notify()

    async def _send(self, http: httpx.AsyncClient, posted: Posted) -> None:
        hook = self._data.hooks.get(posted.hook_id)
        if hook is None or not hook.active:
            posted.outcome = "inactive"
            return
        posted.outcome, posted.error = "failed", "no answer in time"
        began_s = trio.current_time()
        with trio.move_on_after(self._timeout_s):
            try:
                answer = await self._follow(http, self._request(http, hook, posted))
            except _Denied as denied:
                posted.error = str(denied)
                return
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                posted.error = type(error).__name__
                return
            posted.status, posted.error, posted.answer = answer.status_code, "", answer.text[:2_000]
            posted.outcome = "sent" if answer.is_success else "failed"
            posted.took_s = trio.current_time() - began_s

    async def _follow(self, http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        """As Go's client: ten redirects, of which 301, 302 and 303 arrive as a GET without a body."""
        for _ in range(_MAX_REDIRECTS + 1):
            await self._require_allowed(request.url)
            answer = await http.send(request)
            if answer.next_request is None:
                return answer
            request = answer.next_request
        raise _Denied(f"stopped after {_MAX_REDIRECTS} redirects")

    async def _require_allowed(self, url: httpx.URL) -> None:
        """Each dial is judged by the address behind the name; one that has none fails by itself."""
        with suppress(OSError, UnicodeError):
            found = await trio.socket.getaddrinfo(url.host, url.port, type=trio.socket.SOCK_STREAM)
            if words := self._allowed.refusal(url.host, str(found[0][4][0])):
                raise _Denied(words)

    def _request(self, http: httpx.AsyncClient, hook: Hook, posted: Posted) -> httpx.Request:
        letter, form = posted.letter, hook.content_type == "form"
        secret = b"not the secret" if "missign" in posted.faults else hook.secret.encode()
        headers = list(
            headers_of(letter, secret, self._letters.shapes.dialect, level=hook.level, form=form)
        )
        if hook.authorization_header:
            headers.append(("Authorization", hook.authorization_header))
        body = letter.body[: len(letter.body) // 2] if "truncate" in posted.faults else letter.body
        return http.build_request(
            "POST", hook.url, headers=headers, content=on_the_wire(body, form=form)
        )

    # waking -------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._notify)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, reached: Callable[[], bool]) -> None:
        async with self._changed:
            while not reached():
                await self._changed.wait()
