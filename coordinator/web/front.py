"""The ASGI application in front of Quart: bodies within bounds, and the one hot route.

Every request's body is read here, whole and bounded in size and time, before anybody handles it. The
webhook is answered here too, because Quart-Trio's two tasks per request cost more than the webhook
itself, and (0.12) cancel a handler when its client hangs up: an accept must not be torn. Request
targets Quart 0.22 and Werkzeug 3.1 raise on (an empty path, a broken absolute form) end here as well.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import structlog
import trio

from coordinator.web.counters import Counters
from coordinator.web.envelope import API_HEADERS, Answer, Refused, refused_answer
from coordinator.web.limits import Limits

__all__ = ["ASGIApp", "Front", "HotRoute", "Receive", "Scope", "Send"]

_log = structlog.get_logger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
# Method, headers with lower-case names, body.
HotRoute = Callable[[str, dict[bytes, bytes], bytes], Awaitable[Answer]]

_CLOSE = {"connection": "close"}
# Bodies up to this size never compete for the shared buffer, so deliveries of ordinary size always fit.
_SMALL_BODY_BYTES = 64 * 1024
# A chunk costs 25 µs whatever its size; 8 MiB in chunks of a byte would be minutes of work. The average
# chunk of the largest body may still be as small as 420 bytes.
_MAX_CHUNKS = 20_000
_FIXED_HEADERS = [(name.encode(), value.encode()) for name, value in API_HEADERS.items()]


class _Disconnected(Exception):
    """The client left before its request was complete."""


class Front:
    """Answers `hot_path` with `hot_route` and gives everything else to `rest`.

    `rest` sees a disconnect only where `watches` says so (a long poll); elsewhere requests are handled
    to their end, which every handler bounds.
    """

    def __init__(
        self,
        rest: ASGIApp,
        *,
        hot_path: str,
        hot_route: HotRoute,
        watches: Callable[[Scope], bool],
        limits: Limits,
        counters: Counters,
    ) -> None:
        self._rest = rest
        self._hot_path = hot_path
        self._hot_route = hot_route
        self._watches = watches
        self._limits = limits
        self._counters = counters
        self._buffered_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            _check_target(scope)
            body = await self._read_body(scope, receive)
        except _Disconnected:
            return
        except Refused as refused:
            await _send_answer(send, refused_answer(refused))
            return
        if scope["path"] == self._hot_path:
            await _send_answer(send, await self._answer_hot(scope, body))
        else:
            await self._rest(scope, _replay(body, receive if self._watches(scope) else None), send)

    async def _answer_hot(self, scope: Scope, body: bytes) -> Answer:
        try:
            return await self._hot_route(scope["method"], dict(scope["headers"]), body)
        except Refused as refused:
            return refused_answer(refused)
        except Exception:  # noqa: BLE001  a sender always gets an envelope, never a dropped line
            self._counters.internal_errors += 1
            _log.exception("request failed", path=self._hot_path)
            return refused_answer(Refused(500, "internal_error", "the coordinator failed; see its log"))

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        declared = next((int(v) for name, v in scope["headers"] if name == b"content-length"), 0)
        if declared > self._limits.max_body_bytes:
            raise self._too_large()
        reserved_bytes = 0
        try:
            with trio.move_on_after(self._limits.body_timeout_s):
                chunks: list[bytes] = []
                size_bytes = 0
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Disconnected
                    chunk = message.get("body", b"")
                    size_bytes += len(chunk)
                    if size_bytes > self._limits.max_body_bytes or len(chunks) >= _MAX_CHUNKS:
                        raise self._too_large()
                    if size_bytes > _SMALL_BODY_BYTES:
                        self._reserve(len(chunk))
                        reserved_bytes += len(chunk)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            self._buffered_bytes -= reserved_bytes
        raise Refused(408, "request_timeout", "the body did not arrive in time", headers=_CLOSE)

    def _too_large(self) -> Refused:
        limit = self._limits.max_body_bytes
        return Refused(
            413,
            "too_large",
            f"the body is larger than {limit} bytes, or in too many pieces",
            headers=_CLOSE,
        )

    def _reserve(self, size_bytes: int) -> None:
        # One body of the largest size must fit alone, whatever was configured.
        room_bytes = max(self._limits.max_buffered_bytes, self._limits.max_body_bytes)
        if self._buffered_bytes + size_bytes > room_bytes:
            headers = _CLOSE | {"retry-after": "1"}
            raise Refused(503, "overloaded", "too many large bodies at once", headers=headers)
        self._buffered_bytes += size_bytes


def _check_target(scope: Scope) -> None:
    """Bring the request target to origin form, or refuse what cannot be (RFC 9112 section 3.2)."""
    if scope["http_version"] not in {"1.0", "1.1"}:
        raise Refused(505, "version_not_supported", "this server speaks HTTP/1.1", headers=_CLOSE)
    raw: bytes = scope["raw_path"]
    if raw.startswith(b"/"):
        return
    if not raw.lower().startswith((b"http://", b"https://")):
        raise Refused(400, "bad_request", "the request target is not a path")
    try:
        parts = urlsplit(raw)
    except ValueError:
        raise Refused(400, "bad_request", "the request target is not a URL") from None
    scope["raw_path"] = parts.path or b"/"
    scope["path"] = unquote_to_bytes(scope["raw_path"]).decode(errors="replace")


def _replay(body: bytes, receive: Receive | None) -> Receive:
    """A `receive` that hands out the body once, then the client's disconnect, or never anything."""
    pending = True

    async def replay() -> Message:
        nonlocal pending
        if pending:
            pending = False
            return {"type": "http.request", "body": body, "more_body": False}
        if receive is None:
            await trio.sleep_forever()
        return await receive()

    return replay


async def _send_answer(send: Send, answer: Answer) -> None:
    body = answer.encode()
    headers = [*_FIXED_HEADERS, (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
