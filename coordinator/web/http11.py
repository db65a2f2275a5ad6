"""HTTP/1.1 and nothing else, over Hypercorn's own protocol class.

Each override names the cause it works around, as seen in Hypercorn 0.18 with h11 0.16, so that it can
go when upstream mends it. It knows requests and responses, not sockets.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendEvent,
    H11SendableEvent,
    Scope,
)

from coordinator.web.envelope import error_bytes

__all__ = ["AppTasks", "Http11", "declared_length", "without_upgrade"]

_STATUS_CODES = {400: "bad_request", 431: "headers_too_large", 501: "not_implemented"}


class Http11(H11Protocol):
    """One connection's HTTP/1.1; `max_body_bytes` is set by the connection before the first byte."""

    max_body_bytes: int
    _head = b""
    _unwanted_body = False

    @property
    def has_partial_request(self) -> bool:
        """Bytes of a request head are waiting for the rest."""
        return bool(self.connection.trailing_data[0])

    @property
    def is_client_sending(self) -> bool:
        """The client has more to say, or has said more than was read."""
        return self.connection.their_state in {h11.SEND_BODY, h11.ERROR} or self.has_partial_request

    async def _check_protocol(self, event: h11.Request) -> None:
        """Never switch. Hypercorn 0.18 speaks HTTP/2 by prior knowledge and by `Upgrade: h2c`, and odd
        settings or frames raise out of the connection (several causes, one remedy)."""

    async def _create_stream(self, request: h11.Request) -> None:
        """Never a WebSocket: Hypercorn 0.18 raises on trailing bytes after the upgrade and on
        non-ASCII subprotocols. An unknown Upgrade is ignored, as RFC 9110 section 7.8 allows."""
        self._unwanted_body = declared_length(request) > self.max_body_bytes
        await super()._create_stream(without_upgrade(request))

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        """Send head and first body bytes in one write (Hypercorn 0.18 makes a write of each), and no
        `100 Continue` for a body whose declared length will be refused."""
        if isinstance(event, h11.InformationalResponse) and self._unwanted_body:
            return
        try:
            data = self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = data
            return
        data, self._head = self._head + data, b""
        if data:
            await self.send(RawData(data=data))

    async def _send_error_response(self, status_code: int) -> None:
        """Answer unreadable requests in our envelope; Hypercorn 0.18 answers with an empty body."""
        code = _STATUS_CODES.get(status_code, "bad_request")
        body = error_bytes(code, "the request is not valid HTTP/1.1")
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


class AppTasks(TaskGroup):
    """Runs the application for each request, without a way for either side to wait for ever.

    In Hypercorn 0.18 an application that answers before it has read its body leaves ten chunks in
    its queue, and the next one, or the notice of the disconnect, waits for room that never comes.
    """

    async def spawn_app(
        self,
        app: Any,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        to_app, from_stream = trio.open_memory_channel[ASGIReceiveEvent](config.max_app_queue_size)

        async def receive() -> ASGIReceiveEvent:
            try:
                return await from_stream.receive()
            except trio.EndOfChannel:
                return {"type": "http.disconnect"}

        async def put(event: ASGIReceiveEvent) -> None:
            if event["type"] == "http.disconnect":
                to_app.close()
                return
            try:
                await to_app.send(event)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the application has answered, or the connection is gone: nobody wants it

        self.spawn(_run_app, app, scope, receive, send, from_stream)
        return put


async def _run_app(
    app: ASGIFramework,
    scope: Scope,
    receive: ASGIReceiveCallable,
    send: Callable[[ASGISendEvent | None], Awaitable[None]],
    from_stream: trio.MemoryReceiveChannel[ASGIReceiveEvent],
) -> None:
    with from_stream:
        await app(scope, receive, cast(Any, send))
        await send(None)


def declared_length(request: h11.Request) -> int:
    """The Content-Length in bytes, 0 without one; h11 has checked that it is a number."""
    return next((int(value) for name, value in request.headers if name == b"content-length"), 0)


def without_upgrade(request: h11.Request) -> h11.Request:
    """The same request as one that asks for no other protocol."""
    if all(name != b"upgrade" for name, _ in request.headers):
        return request
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=[(name, value) for name, value in request.headers if name != b"upgrade"],
        http_version=request.http_version,
    )
