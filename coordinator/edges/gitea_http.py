"""How a request reaches the forge: pool, deadlines, retries, circuit breaker, renamed repositories.

Knows HTTP, not what is asked. No redirect is ever followed: a write would arrive as a GET, and the
token would go wherever the redirect points.
"""

from collections.abc import Callable
from contextlib import aclosing
from http.cookiejar import CookieJar, DefaultCookiePolicy
from math import inf
from typing import TypeVar

import httpx
import trio

from coordinator.edges.connection_trouble import trouble_of
from coordinator.edges.forge_breaker import Breaker
from coordinator.edges.gitea_calls_wire import Call
from coordinator.edges.gitea_failures_wire import (
    Failure,
    RetryPace,
    failure_of_answer,
    failure_of_breaker,
    failure_of_connection,
    failure_of_queue,
    failure_of_size,
    failure_of_status,
    pause_s,
)
from coordinator.edges.gitea_remote_wire import BreakerState
from coordinator.edges.gitea_reply_wire import Reply, UnexpectedAnswer
from coordinator.edges.gitea_rest_wire import read_repository
from coordinator.edges.request_body import send_in_one_piece
from coordinator.edges.web_address import web_address
from coordinator.errors import ForgeError, ForgeNotFound, ForgeTooLong, ForgeUnavailable, SettingsError

__all__ = ["MAX_BODY_BYTES", "ForgeHttp"]

_T = TypeVar("_T")

# Fifty issues with bodies of 64 KiB fit four times; what is longer answers no question of ours.
MAX_BODY_BYTES = 16 * 2**20
_CONNECT_TIMEOUT_S = 5.0  # a forge nearby answers the handshake in milliseconds, or not at all
# Below the 60 s of common proxies, so that it is us who end an idle connection.
_KEEPALIVE_S = 20.0
_CLOSE_S = 2.0  # sockets close at once; TLS may wait for the peer's farewell


class ForgeHttp:
    """One forge's connection pool; `aclose` ends it.

    At most `concurrency` requests run at once, further ones wait in line. `jitter` draws from 0..1.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        concurrency: int,
        request_timeout_s: float,
        total_timeout_s: float,
        trust_env: bool,
        pace: RetryPace,
        breaker: Breaker,
        jitter: Callable[[], float],
        max_answer_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._api = web_address("GITEA_URL", url) + "/api/v1"
        self._token = token
        self._client = _usable_client(_sendable(token), concurrency, trust_env)
        self._slots = trio.CapacityLimiter(concurrency)
        self._request_timeout_s = request_timeout_s
        self._total_timeout_s = total_timeout_s
        self._pace = pace
        self._breaker = breaker
        self._jitter = jitter
        self._max_answer_bytes = max_answer_bytes
        self.requests = 0

    async def aclose(self) -> None:
        with trio.move_on_after(_CLOSE_S, shield=True):
            await self._client.aclose()

    @property
    def breaker(self) -> Breaker:
        return self._breaker

    def state(self) -> tuple[BreakerState, float | None]:
        """The breaker's state now, and the seconds until it lets a request go, None if it would."""
        now = trio.current_time()
        return self._breaker.state(now), self._breaker.wait_s(now)

    async def ask(self, call: Call, read: Callable[[Reply], _T], *, repo_id: int | None = None) -> _T:
        """The answer, as `read` understands it; every failure is a ForgeError.

        With `repo_id`, a repository that is not where it was is looked for, once, under the name it has
        now. Nothing was done under the old name, so this may repeat a call that else may not be.
        """
        outcome = await self._persist(call, read)
        if isinstance(outcome, ForgeNotFound) and repo_id is not None and call.repo is not None:
            current = await self.current_name(repo_id)
            if current is not None and current.lower() != call.repo.lower():
                outcome = await self._persist(call.in_place(current), read)
        if isinstance(outcome, ForgeError):
            raise outcome
        return outcome

    async def current_name(self, repo_id: int) -> str | None:
        """The repository's full name now; None if it is gone or out of sight."""
        outcome = await self._persist(Call("GET", ("repositories", str(repo_id))), read_repository)
        if isinstance(outcome, ForgeNotFound):
            return None
        if isinstance(outcome, ForgeError):
            raise outcome
        return outcome.full_name

    async def _persist(self, call: Call, read: Callable[[Reply], _T]) -> _T | ForgeError:
        """Asks until there is an answer, a final failure, or no time left."""
        deadline = trio.current_time() + self._total_timeout_s
        attempt = 0
        while True:
            attempt += 1
            outcome = await self._queue(call, read, deadline, is_again=attempt > 1)
            if not isinstance(outcome, Failure):
                return outcome
            wait_s = pause_s(outcome, attempt, self._pace, jitter=self._jitter())
            if wait_s is None or not call.may_repeat or trio.current_time() + wait_s >= deadline:
                return outcome.error
            await trio.sleep(wait_s)

    async def _queue(
        self, call: Call, read: Callable[[Reply], _T], deadline: float, *, is_again: bool
    ) -> _T | Failure:
        """Waits for a free place; the exchange then keeps the deadline itself, to judge the failure."""
        with trio.move_on_at(deadline) as line:
            async with self._slots:
                line.deadline = inf
                return await self._guarded(call, read, deadline, is_again=is_again)
        return failure_of_queue(call, self._total_timeout_s)

    async def _guarded(
        self, call: Call, read: Callable[[Reply], _T], deadline: float, *, is_again: bool
    ) -> _T | Failure:
        """One exchange, if the breaker lets it through; the breaker learns from its outcome."""
        now = trio.current_time()
        wait_s = self._breaker.wait_s(now)
        if wait_s is not None:
            return failure_of_breaker(call, wait_s, self._breaker.last_error)
        is_probe = self._breaker.state(now) == "half-open"
        self._breaker = self._breaker.sent(now)
        try:
            outcome = await self._exchange(call, read, min(self._request_timeout_s, deadline - now))
        except BaseException:  # cancelled, mostly: the outcome stays unknown
            if is_probe:
                self._breaker = self._breaker.called_off()
            raise
        self._learn(call, outcome, is_probe=is_probe)
        if is_again and call.is_done_when_gone and _is_gone(outcome):
            # An earlier attempt did it, and its answer was lost.
            return read(Reply(204, {}, b""))
        return outcome

    def _learn(self, call: Call, outcome: object, *, is_probe: bool) -> None:
        error = outcome.error if isinstance(outcome, Failure) else None
        is_well = isinstance(error, ForgeTooLong)  # somebody's long texts
        if is_well or not isinstance(error, ForgeUnavailable) or not isinstance(outcome, Failure):
            self._breaker = self._breaker.succeeded()
            return
        self._breaker = self._breaker.failed(
            trio.current_time(),
            str(error),
            is_probe=is_probe,
            culprit=(call.repo or call.path) if outcome.is_local else None,
            retry_after_s=error.retry_after_s,
            jitter=self._jitter(),
        )

    async def _exchange(
        self, call: Call, read: Callable[[Reply], _T], timeout_s: float
    ) -> _T | Failure:
        """One request and its answer. Failures are values, so that no traceback holds the request."""
        self.requests += 1
        with trio.move_on_after(timeout_s):  # a trickle of bytes resets the library's own timeout
            try:
                reply = await self._send(call)
            except _TooLarge:
                return failure_of_size(call, self._max_answer_bytes)
            except httpx.RequestError as error:
                return failure_of_connection(call, trouble_of(error, self._api))
            return _understood(call, reply, read, self._token)
        return failure_of_connection(call, f"no whole answer within {timeout_s:g} s")

    async def _send(self, call: Call) -> Reply:
        request = self._client.build_request(
            call.method,
            self._api + call.path,
            params=call.query or None,
            content=call.body,
            headers={"content-type": "application/json"} if call.body is not None else None,
        )
        async with aclosing(await self._client.send(request, stream=True)) as response:
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise httpx.DecodingError("compressed, though we asked for plain bytes")
            body = bytearray()
            # Ended by a cancellation, not a `break`: it unwinds the library's generators from within,
            # while a generator that is merely dropped would be left to the garbage collector.
            with trio.CancelScope() as reading:
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > self._max_answer_bytes:
                        reading.cancel()
            if len(body) > self._max_answer_bytes:
                raise _TooLarge
            return Reply(response.status_code, response.headers, bytes(body))


class _TooLarge(Exception):
    """More than we are ready to hold."""


def _understood(call: Call, reply: Reply, read: Callable[[Reply], _T], token: str) -> _T | Failure:
    if reply.status >= 300:
        return failure_of_status(call, reply, token=token)
    try:
        return read(reply)
    except UnexpectedAnswer as problem:
        return failure_of_answer(call, reply, problem)


def _is_gone(outcome: object) -> bool:
    return isinstance(outcome, Failure) and isinstance(outcome.error, ForgeNotFound)


def _usable_client(token: str, concurrency: int, trust_env: bool) -> httpx.AsyncClient:
    """The client, unless the environment it reads is not usable."""
    try:
        return _client(token, concurrency, trust_env)
    except OSError as problem:
        raise SettingsError(
            f"SSL_CERT_FILE or SSL_CERT_DIR cannot be read ({type(problem).__name__}), expected the"
            " certificates of authorities in PEM; mend the path or unset it"
        ) from problem
    except (ImportError, ValueError):
        # Without the library's words and traceback: the value seen may hold a password.
        raise SettingsError(
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is not usable, expected"
            " http(s)://host:port; mend it, or name the forge's host in NO_PROXY"
        ) from None


def _client(token: str, concurrency: int, trust_env: bool) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        headers={
            "authorization": f"token {token}",
            "accept": "application/json",
            # A small compressed answer may unpack to any size at once.
            "accept-encoding": "identity",
            "user-agent": "mosaic-coordinator",
        },
        # A session's cookie would speak beside the token.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=httpx.Timeout(None, connect=_CONNECT_TIMEOUT_S),
        limits=httpx.Limits(
            max_connections=concurrency,
            max_keepalive_connections=concurrency,
            keepalive_expiry=_KEEPALIVE_S,
        ),
        follow_redirects=False,
        trust_env=trust_env,
        event_hooks={"request": [send_in_one_piece]},
    )


def _sendable(token: str) -> str:
    """A token that fits a header: the HTTP library's own complaint would print it."""
    if not token.isascii() or not token.isprintable() or not token.strip() or " " in token:
        raise SettingsError("GITEA_TOKEN: expected one line of visible ASCII, without spaces")
    return token
