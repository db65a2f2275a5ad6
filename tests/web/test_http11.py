"""HTTP/1.1 alone is spoken, whatever else is asked for."""

from typing import Any, cast

import h11
import pytest
import trio
from hypercorn.config import Config
from hypercorn.typing import ASGIReceiveCallable

from coordinator.web.http11 import AppTasks, declared_length, without_upgrade
from tests.fakes.hostile import exchange
from tests.web.serving import bare_app, serving


def request(*headers: tuple[str, str]) -> h11.Request:
    return h11.Request(method="GET", target="/", headers=[("Host", "a"), *headers])


@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Upgrade: h2c\r\n",
    ],
)
async def test_upgrades_are_ignored(headers: bytes) -> None:
    """A request for another protocol is answered as the HTTP/1.1 request it also is."""
    sent = b"GET /health HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n"
    async with serving(bare_app()) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, sent)
        assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, b"bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 20_000, 431, b"headers_too_large"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: br\r\n\r\n", 501, b"not_implemented"),
    ],
)
async def test_unreadable_requests_get_the_envelope(sent: bytes, status: int, code: bytes) -> None:
    """What is no HTTP/1.1 is answered in the one error envelope, and the connection ends."""
    async with serving(bare_app()) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, sent, then_close=False)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b'"code":"%s"' % code in answer
        assert b"connection: close" in answer.lower()


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent at once are answered one after the other on the same connection."""
    one = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving(bare_app()) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, one * 30 + b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.count(b"HTTP/1.1 200 ") == 30
        assert answer.count(b"HTTP/1.1 404 ") == 1


async def test_a_head_request_has_no_body() -> None:
    """HEAD gets the headers alone, and the connection goes on."""
    sent = b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving(bare_app()) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, sent)
        assert answer.count(b"HTTP/1.1 200 ") == 2
        assert answer.count(b'"ok"') == 1


def test_the_declared_length_is_read() -> None:
    """Content-Length as a number, 0 without one."""
    assert declared_length(request(("Content-Length", "12"))) == 12
    assert declared_length(request()) == 0


def test_only_the_wish_for_an_upgrade_is_taken_out() -> None:
    """A request without Upgrade is passed on as it is; with one, everything else stays."""
    plain = request(("A", "b"))
    assert without_upgrade(plain) is plain
    stripped = without_upgrade(request(("A", "b"), ("Upgrade", "h2c")))
    assert list(stripped.headers) == list(plain.headers)


async def test_nobody_waits_for_an_application_that_has_answered() -> None:
    """Body chunks for an application that is done are let go; nobody waits for room in its queue."""
    received: list[str] = []

    async def impatient(_scope: object, receive: ASGIReceiveCallable, _send: object) -> None:
        received.append((await receive())["type"])

    async def sent(_: object) -> None:
        received.append("sent")

    with trio.fail_after(60):
        async with AppTasks() as tasks:
            put = await tasks.spawn_app(cast(Any, impatient), Config(), cast(Any, {}), sent)
            for _ in range(50):
                await put({"type": "http.request", "body": b"x", "more_body": True})
            await put({"type": "http.disconnect"})
    assert received == ["http.request", "sent"]
