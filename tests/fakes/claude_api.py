"""A Messages API on loopback: a real HTTP server with scripted answers, good and bad.

    async with open_claude_api() as api:
        api.script(error(529, "overloaded_error"), ok(answer(difficulty="hard")))
        client = ClaudeClient("key", base_url=api.url)

Scripts are used up in order, per endpoint; after them every request gets `api.respond(request)`.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import h11
import trio

__all__ = [
    "Behaviour",
    "ClaudeApi",
    "Endpoint",
    "Recorded",
    "answer",
    "cut",
    "empty",
    "error",
    "hang",
    "html",
    "ok",
    "open_claude_api",
    "raw",
    "refusal",
    "slow",
    "trickle",
    "truncation",
    "wrong_shape",
]

Endpoint = Literal["messages", "count_tokens", "models"]
Json = dict[str, Any]

_MAX_READ_BYTES = 65_536
USAGE: Json = {
    "input_tokens": 3_000,
    "output_tokens": 400,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
}


@dataclass(frozen=True)
class Behaviour:
    """What to do with a request: wait, then send `body` whole, in part, byte by byte or not at all."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    send: Literal["whole", "half", "trickle", "nothing"] = "whole"


@dataclass(frozen=True)
class Recorded:
    """A request as it came; header names in lower case, `body` parsed."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any

    @property
    def prompt(self) -> str:
        """The text of the first user message."""
        return str(self.body["messages"][0]["content"])


# behaviours -------------------------------------------------------------------------------------------


def answer(**fields: Any) -> str:
    """The JSON text of a sound answer, with some fields replaced."""
    sound: Json = {
        "estimated_context_tokens": 60_000,
        "difficulty": "medium",
        "suggested_agent": None,
        "blocks": [],
        "blocked_by": [],
        "summary": "Mend what the issue says.",
        "confidence": 0.8,
    }
    return json.dumps(sound | fields)


def ok(
    text: str | None = None,
    *,
    content: Sequence[object] | None = None,
    stop_reason: str | None = "end_turn",
    usage: Mapping[str, object] | None = None,
) -> Behaviour:
    """A finished message; `content` replaces the one text block."""
    blocks = (
        [{"type": "text", "text": answer() if text is None else text}] if content is None else content
    )
    return raw(_message(blocks, stop_reason, USAGE if usage is None else usage))


def refusal(explanation: str = "not this one") -> Behaviour:
    message = _message([], "refusal", USAGE)
    message["stop_details"] = {"type": "refusal", "category": None, "explanation": explanation}
    return raw(message)


def truncation() -> Behaviour:
    return ok(answer()[:40], stop_reason="max_tokens")


def error(
    status: int,
    error_type: str,
    *,
    error_code: str | None = None,
    message: str = "something is wrong",
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """An API error in its documented envelope."""
    detail: Json = {"type": error_type, "message": message}
    if error_code:
        detail["details"] = {"error_code": error_code}
    return raw(
        {"type": "error", "error": detail, "request_id": "req_fake"}, status=status, headers=headers
    )


def raw(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Any bytes, or anything that JSON can say."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Behaviour(status, data, headers=headers or {})


def html() -> Behaviour:
    """What a captive portal or a proxy's error page looks like."""
    return Behaviour(body=b"<html><body>Please log in</body></html>", content_type="text/html")


def wrong_shape() -> Behaviour:
    return raw({"hello": "world"})


def empty() -> Behaviour:
    return Behaviour()


def cut() -> Behaviour:
    """The connection dies in the middle of the body."""
    return Behaviour(body=ok().body, send="half")


def trickle() -> Behaviour:
    """One byte a second: no read ever times out, the whole never ends in time."""
    return Behaviour(body=ok().body, send="trickle")


def hang() -> Behaviour:
    """Says nothing until the client goes away."""
    return Behaviour(send="nothing")


def slow(wait_s: float, then: Behaviour | None = None) -> Behaviour:
    behaviour = then or ok()
    return Behaviour(
        behaviour.status, behaviour.body, behaviour.content_type, behaviour.headers, wait_s
    )


def _message(content: Sequence[object], stop_reason: str | None, usage: Mapping[str, object]) -> Json:
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": dict(usage),
    }


# the server -------------------------------------------------------------------------------------------


class ClaudeApi:
    """The running server: its `url`, what it was asked (`requests`), and what it will answer."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Recorded] = []
        self.hang_ups = 0  # clients that left before their answer was complete
        self.open_connections = 0
        self.windows: dict[str, int] = {"claude-sonnet-5-5": 1_000_000, "claude-haiku-5-5": 1_000_000}
        self.respond: Callable[[Recorded], Behaviour] = lambda _request: ok()
        self._scripts: dict[Endpoint, list[Behaviour]] = {
            "messages": [],
            "count_tokens": [],
            "models": [],
        }
        self._changed = trio.Condition()

    def script(self, *behaviours: Behaviour, endpoint: Endpoint = "messages") -> None:
        """What the next requests to the endpoint get, before the default answer."""
        self._scripts[endpoint].extend(behaviours)

    def asked(self, endpoint: Endpoint = "messages") -> list[Recorded]:
        return [request for request in self.requests if _endpoint(request) == endpoint]

    async def wait_until(self, reached: Callable[["ClaudeApi"], bool]) -> None:
        """Until `reached` holds; looked at after every request, hang-up and closed connection."""
        async with self._changed:
            while not reached(self):
                await self._changed.wait()

    async def wait_for_requests(self, count: int, endpoint: Endpoint = "messages") -> None:
        """Until that many requests have come to the endpoint since the start."""
        await self.wait_until(lambda server: len(server.asked(endpoint)) >= count)

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        self.open_connections += 1
        try:
            await _Connection(stream, self).run()
        finally:
            self.open_connections -= 1
            with trio.CancelScope(shield=True):
                await self.notify()

    async def notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def behaviour_for(self, request: Recorded) -> Behaviour:
        endpoint = _endpoint(request)
        if endpoint is None:
            return error(404, "not_found_error")
        if not {"authorization", "x-api-key"} & set(request.headers):
            return error(401, "authentication_error")
        if "anthropic-version" not in request.headers:
            return error(400, "invalid_request_error")
        if self._scripts[endpoint]:
            return self._scripts[endpoint].pop(0)
        return self._default(endpoint, request)

    def _default(self, endpoint: Endpoint, request: Recorded) -> Behaviour:
        if endpoint == "messages":
            return self.respond(request)
        if endpoint == "count_tokens":
            return raw({"input_tokens": len(json.dumps(request.body)) // 4})
        model = request.path.removeprefix("/v1/models").strip("/")
        if not model:
            return raw({"data": [_model(*known) for known in self.windows.items()], "has_more": False})
        if model not in self.windows:
            return error(404, "not_found_error")
        return raw(_model(model, self.windows[model]))


def _endpoint(request: Recorded) -> Endpoint | None:
    path = request.path.partition("?")[0].rstrip("/")
    if request.method == "POST" and path == "/v1/messages":
        return "messages"
    if request.method == "POST" and path == "/v1/messages/count_tokens":
        return "count_tokens"
    if request.method == "GET" and (path == "/v1/models" or path.startswith("/v1/models/")):
        return "models"
    return None


def _model(name: str, window: int) -> Json:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "max_input_tokens": window,
        "max_tokens": 128_000,
    }


class _Connection:
    """One client's connection: requests in, behaviours out, until either side is done."""

    def __init__(self, stream: trio.SocketStream, api: ClaudeApi) -> None:
        self._stream = stream
        self._api = api
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        async with self._stream:
            try:
                while await self._exchange():
                    self._http.start_next_cycle()
            except (trio.BrokenResourceError, h11.RemoteProtocolError):
                self._api.hang_ups += 1

    async def _exchange(self) -> bool:
        request = await self._read_request()
        if request is None:
            return False
        self._api.requests.append(request)
        await self._api.notify()
        await self._answer(self._api.behaviour_for(request))
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _read_request(self) -> Recorded | None:
        start: h11.Request | None = None
        body = bytearray()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Request):
                start = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and start is not None:
                return _recorded(start, bytes(body))
            else:
                return None

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._stream.receive_some(_MAX_READ_BYTES))
        return event

    async def _answer(self, behaviour: Behaviour) -> None:
        if behaviour.send == "nothing" or behaviour.wait_s:
            gone = await self._client_left(behaviour.wait_s or float("inf"))
            if gone:
                return
        await self._send_head(behaviour)
        if behaviour.send == "half":
            await self._send(h11.Data(data=behaviour.body[: len(behaviour.body) // 2]))
            return
        if behaviour.send == "trickle":
            await self._send_slowly(behaviour.body)
            return
        await self._send(h11.Data(data=behaviour.body))
        await self._send(h11.EndOfMessage())

    async def _client_left(self, wait_s: float) -> bool:
        """Whether the client hung up within `wait_s`; it has nothing more to say until we answer."""
        with trio.move_on_after(wait_s):
            await self._stream.receive_some(_MAX_READ_BYTES)
            self._api.hang_ups += 1
            return True
        return False

    async def _send_slowly(self, body: bytes) -> None:
        for at in range(len(body)):
            await self._send(h11.Data(data=body[at : at + 1]))
            if await self._client_left(1.0):
                return

    async def _send_head(self, behaviour: Behaviour) -> None:
        headers = {
            "content-type": behaviour.content_type,
            "content-length": str(len(behaviour.body)),
            "request-id": "req_fake",
        } | dict(behaviour.headers)
        await self._send(h11.Response(status_code=behaviour.status, headers=list(headers.items())))

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.send_all(data)


def _recorded(start: h11.Request, body: bytes) -> Recorded:
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in start.headers}
    parsed = json.loads(body) if body else None
    return Recorded(start.method.decode("ascii"), start.target.decode("ascii"), headers, parsed)


@asynccontextmanager
async def open_claude_api() -> AsyncIterator[ClaudeApi]:
    """The server on a free loopback port, until the block ends."""
    api = ClaudeApi()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    api.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, api.serve_connection, [listener])
        try:
            yield api
        finally:
            nursery.cancel_scope.cancel()
