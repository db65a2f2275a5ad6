"""Claude over HTTP: one issue read, one window looked up, one transcript counted.

The only file that loads the SDK (about two seconds of import): name it only where Claude is used. The
SDK carries one attempt; how often, how long and at what price is decided here and in the wire files.
"""

import logging
import random
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

import anthropic
import httpx2
import trio
from anthropic.types import MessageParam, OutputConfigParam

from coordinator.edges.claude_failures_wire import (
    Failure,
    Pace,
    Parsed,
    ParseRefused,
    ParseUnavailable,
    failure_of_answer,
    failure_of_status,
    pause_s,
)
from coordinator.edges.claude_wire import (
    SYSTEM_PROMPT,
    Answer,
    AnswerUnusable,
    read_answer,
    read_count,
    read_message,
    read_window,
    user_prompt,
    well_formed,
    with_request,
)
from coordinator.errors import SettingsError, VendorError, VendorRefused, VendorUnavailable
from coordinator.rules.events import Metadata, ParseCost
from coordinator.rules.ids import IssueRef

__all__ = ["ClaudeClient"]

_T = TypeVar("_T")

_BASE_URL = "https://api.anthropic.com"
# An answer takes a few hundred tokens, but thinking counts too. Twice this stays below the 21,333 from
# which the SDK asks for streaming.
_MAX_TOKENS = 8_000
_WINDOW_DEADLINE_S = 10.0  # a monitor's poll waits for it
_WINDOW_RETRY_S = 60.0  # unreadable windows are asked for once a minute, not at every poll
_CLOSE_S = 2.0  # sockets close at once; TLS may wait for the peer's farewell

_OUTPUT: OutputConfigParam = {
    "effort": "low",  # reading is not reasoning; the default thinks, and bills, far longer
    "format": {"type": "json_schema", "schema": anthropic.transform_schema(Answer)},
}


class ClaudeClient:
    """A connection pool to Claude; use it as an async context manager, which closes it.

    Safe for concurrent calls; how many is the caller's business. `jitter` draws from 0..1.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        pace: Pace = Pace(),  # noqa: B008 - frozen
        attempt_timeout_s: float = 60.0,
        connect_timeout_s: float = 5.0,
        max_tokens: int = _MAX_TOKENS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        _require_sendable(api_key)
        self.base_url = base_url or _BASE_URL  # never from the SDK's environment variables
        _mute_request_bodies()
        timeout = httpx2.Timeout(attempt_timeout_s, connect=connect_timeout_s)
        self._sdk = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=self.base_url,
            max_retries=0,
            timeout=timeout,
            open_telemetry=False,
            # An API does not redirect; following one would post the issue's text elsewhere.
            http_client=anthropic.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False),
        )
        self._pace = pace
        self._attempt_timeout_s = attempt_timeout_s
        self._max_tokens = max_tokens
        self._jitter = jitter
        self._windows: dict[str, tuple[int | None, float]] = {}
        self._window_locks: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with trio.move_on_after(_CLOSE_S, shield=True):
            await self._sdk.close()

    async def parse_issue(
        self, text: str, ref: IssueRef, *, model: str, agents: Sequence[str], deadline_s: float = 120.0
    ) -> Parsed:
        """The text of an issue as metadata; at most `deadline_s`, all attempts and waits included.

        Raises ParseUnavailable (worth another try later) or ParseRefused (this text never will be),
        both with what was spent.
        """
        reading = _Reading(
            self._sdk, text, ref, model=model, agents=agents, max_tokens=self._max_tokens
        )
        started = trio.current_time()
        outcome = await self._persist(reading.send, reading.read, deadline_s)
        cost = replace(reading.cost, seconds=trio.current_time() - started)
        if not isinstance(outcome, Failure):
            return Parsed(outcome, cost, model)
        if outcome.then == "retry":
            raise ParseUnavailable(_no_answer(model, outcome), outcome.retry_after_s, cost)
        raise ParseRefused(_refusal(model, outcome), outcome.status, cost)

    async def window_of(self, model: str) -> int | None:
        """The model's context window in tokens by its own record; None while that cannot be read."""
        async with self._window_locks[model]:  # monitors start together: one of them asks
            window, ask_again_at = self._windows.get(model, (None, 0.0))
            if window is None and trio.current_time() >= ask_again_at:
                window = await self._read_window(model)
                self._windows[model] = (window, trio.current_time() + _WINDOW_RETRY_S)
            return window

    async def count_tokens(
        self,
        model: str,
        messages: Sequence[MessageParam],
        *,
        system: str | None = None,
        deadline_s: float = 30.0,
    ) -> int:
        """What the transcript would fill of a window, in tokens; free of charge, an estimate."""

        async def send() -> bytes:
            reply = await self._sdk.messages.with_raw_response.count_tokens(
                model=model,
                messages=well_formed(messages),
                system=anthropic.omit if system is None else well_formed(system),
            )
            return await reply.read()

        outcome = await self._persist(send, read_count, deadline_s)
        if isinstance(outcome, Failure):
            raise _vendor_error(model, outcome)
        return outcome

    async def check_model(self, model: str) -> int:
        """The model's context window as `window_of` reads it, asked for now and free of charge; a key
        or a model that is not accepted is VendorRefused, silence VendorUnavailable."""
        outcome = await self._ask_window(model)
        if isinstance(outcome, Failure):
            raise _vendor_error(model, outcome)
        return outcome

    async def _read_window(self, model: str) -> int | None:
        outcome = await self._ask_window(model)
        return None if isinstance(outcome, Failure) else outcome

    async def _ask_window(self, model: str) -> int | Failure:
        async def send() -> bytes:
            reply = await self._sdk.models.with_raw_response.retrieve(model)
            return await reply.read()

        return await self._persist(send, read_window, _WINDOW_DEADLINE_S)

    async def _persist(
        self, send: Callable[[], Awaitable[bytes]], read: Callable[[bytes], _T], deadline_s: float
    ) -> _T | Failure:
        """Asks until there is an answer, a final failure, or no time left."""
        failure = Failure("nothing was heard", "retry")
        billed = 0
        with trio.move_on_after(deadline_s) as scope:
            attempt = 0
            while True:
                attempt += 1
                outcome = await self._attempt(send, read)
                if not isinstance(outcome, Failure):
                    return outcome
                failure = outcome
                billed += failure.then == "once_more"
                wait_s = pause_s(failure, attempt, self._pace, billed=billed, jitter=self._jitter())
                if wait_s is None or trio.current_time() + wait_s > scope.deadline:
                    return failure
                await trio.sleep(wait_s)
        return replace(
            failure, what=f"no answer within {deadline_s:g} s, last {failure.what}", then="retry"
        )

    async def _attempt(
        self, send: Callable[[], Awaitable[bytes]], read: Callable[[bytes], _T]
    ) -> _T | Failure:
        """One request. Failures are values, so that no traceback carries a vendor's body along."""
        with trio.move_on_after(self._attempt_timeout_s):  # a trickle of bytes resets the read timeout
            try:
                return read(await send())
            except AnswerUnusable as problem:
                return failure_of_answer(problem)
            except anthropic.APIStatusError as error:
                return failure_of_status(
                    error.status_code,
                    error.response.headers,
                    error_type=error.type,
                    error_code=error.error_code,
                    request_id=error.request_id,
                )
            except anthropic.APIConnectionError as error:  # its timeouts are a subclass
                return Failure(f"the connection failed ({type(error.__cause__).__name__})", "retry")
        return Failure(f"no whole answer within {self._attempt_timeout_s:g} s", "retry")


class _Reading:
    """One issue being read: what to send, how to understand it, and the bill so far."""

    def __init__(
        self,
        sdk: anthropic.AsyncAnthropic,
        text: str,
        ref: IssueRef,
        *,
        model: str,
        agents: Sequence[str],
        max_tokens: int,
    ) -> None:
        self._sdk = sdk
        self._text = text
        self._ref = ref
        self._model = model
        self._agents = agents
        self._max_tokens = max_tokens
        self._prompt = user_prompt(text, ref, agents=agents, nonce=secrets.token_hex(16))
        self.cost = ParseCost()

    async def send(self) -> bytes:
        self.cost = replace(self.cost, attempts=self.cost.attempts + 1)
        reply = await self._sdk.messages.with_raw_response.create(
            model=self._model,
            max_tokens=self._max_tokens,
            system=SYSTEM_PROMPT,
            messages=[{"role": "user", "content": self._prompt}],
            output_config=_OUTPUT,
        )
        return await reply.read()

    def read(self, body: bytes) -> Metadata:
        message = read_message(body)
        self.cost = with_request(self.cost, message.usage, self._model)
        try:
            return read_answer(message, self._text, self._ref, agents=self._agents)
        except AnswerUnusable as problem:
            if problem.kind == "truncated":
                self._max_tokens *= 2
            raise


def _vendor_error(model: str, failure: Failure) -> VendorError:
    if failure.then == "retry":
        return VendorUnavailable(_no_answer(model, failure), failure.retry_after_s)
    return VendorRefused(_refusal(model, failure))


def _no_answer(model: str, failure: Failure) -> str:
    return f"{model} is unavailable: {failure.what}"


def _refusal(model: str, failure: Failure) -> str:
    return f"{model} refused: {failure.what}"


def _require_sendable(api_key: str) -> None:
    """A key that fits a header: the HTTP client's own complaint would print it."""
    if not api_key.isascii() or not api_key.isprintable() or not api_key.strip() or " " in api_key:
        raise SettingsError("ANTHROPIC_API_KEY: expected one line of visible ASCII, without spaces")


def _mute_request_bodies() -> None:
    """Keeps issue texts out of the log: at level debug the SDK prints every request's body."""
    logging.getLogger("anthropic").setLevel(logging.WARNING)
