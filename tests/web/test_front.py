"""Bodies within bounds, targets in one form, and handlers that a disconnect does not tear."""

from dataclasses import replace

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from coordinator.web.counters import Counters
from coordinator.web.envelope import Answer, Refused
from coordinator.web.front import Front, HotRoute
from tests.fakes.hostile import connect, exchange, read_answer, reset
from tests.web.serving import SMALL, bare_app, eventually, serving

POST = b"POST /hot HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


def front(hot_route: HotRoute, counters: Counters | None = None) -> Front:
    return Front(
        QuartTrio("rest"),  # type: ignore[arg-type]
        hot_path="/hot",
        hot_route=hot_route,
        watches=lambda _: False,
        limits=SMALL,
        counters=counters or Counters(),
    )


async def sized(_method: str, _headers: dict[bytes, bytes], body: bytes) -> Answer:
    return Answer(200, {"size_bytes": len(body)})


async def test_a_body_up_to_the_limit_arrives_whole() -> None:
    """A body of exactly the limit is handled; one byte more is 413, declared or found out."""
    limit = SMALL.max_body_bytes
    async with serving(front(sized)) as server:
        assert server.bound is not None
        port = server.bound.port
        whole = await exchange(port, POST % limit + b"x" * limit)
        assert whole.startswith(b"HTTP/1.1 200 ")
        assert whole.endswith(b'{"size_bytes":%d}' % limit)
        assert (await exchange(port, POST % (limit + 1))).startswith(b"HTTP/1.1 413 ")


async def test_a_chunked_body_arrives_whole() -> None:
    """Chunks are put together before anybody handles the request."""
    head = b"POST /hot HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(front(sized)) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, head + b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")
        assert answer.endswith(b'{"size_bytes":5}')


async def test_a_body_in_very_many_pieces_is_refused() -> None:
    """A body of single-byte chunks is 413 long before the size limit: each costs like a large one."""
    head = b"POST /hot HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(front(sized)) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, head + b"1\r\nx\r\n" * 21_000 + b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_expect_continue_is_answered_only_when_the_body_is_wanted() -> None:
    """100 Continue comes for a body within the limit; one beyond it gets 413 and no 100."""
    head = b"POST /hot HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    async with serving(front(sized)) as server:
        assert server.bound is not None
        async with await connect(server.bound.port) as stream:
            await stream.send_all(head % 2)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
            await stream.send_all(b"{}")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        answer = await exchange(server.bound.port, head % 10**9, then_close=False)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"HTTP/1.1 100 " not in answer


async def test_large_bodies_share_a_bounded_buffer(io_clock: trio.testing.MockClock) -> None:
    """When large bodies on their way fill the buffer, the next is 503, and room comes back."""
    limits = replace(SMALL, max_body_bytes=500_000, max_buffered_bytes=200_000)
    large = b"x" * 450_000
    app = Front(
        QuartTrio("rest"),  # type: ignore[arg-type]
        hot_path="/hot",
        hot_route=sized,
        watches=lambda _: False,
        limits=limits,
        counters=Counters(),
    )
    async with serving(app, limits) as server:
        assert server.bound is not None
        port = server.bound.port
        first = await connect(port)
        await first.send_all(POST % 500_000 + large)
        await trio.sleep(0.5)
        refused = await exchange(port, POST % 450_000 + large)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in refused
        small = await exchange(port, POST % 10_000 + large[:10_000])
        assert small.startswith(b"HTTP/1.1 200 ")
        await first.aclose()
        await trio.sleep(0.5)
        served = await exchange(port, POST % 200_000 + large[:200_000])
        assert served.startswith(b"HTTP/1.1 200 ")


async def test_the_largest_body_fits_a_smaller_buffer() -> None:
    """A limit on bodies above that of the shared buffer is kept: one such body is served."""
    limits = replace(SMALL, max_body_bytes=400_000, max_buffered_bytes=100_000)
    app = Front(
        QuartTrio("rest"),  # type: ignore[arg-type]
        hot_path="/hot",
        hot_route=sized,
        watches=lambda _: False,
        limits=limits,
        counters=Counters(),
    )
    async with serving(app, limits) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, POST % 400_000 + b"x" * 400_000)
        assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("abruptly", [True, False])
async def test_a_disconnect_does_not_cancel_the_hot_route(abruptly: bool) -> None:
    """The handler goes on to its end when its client resets or closes the connection meanwhile."""
    begun, go, ended = trio.Event(), trio.Event(), trio.Event()

    async def slow(*_: object) -> Answer:
        begun.set()
        await go.wait()
        ended.set()
        return Answer(200, {})

    async with serving(front(slow)) as server:
        assert server.bound is not None
        stream = await connect(server.bound.port)
        await stream.send_all(POST % 0)
        await begun.wait()
        if abruptly:
            reset(stream)
        else:
            await stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        go.set()
        with trio.fail_after(60):
            await ended.wait()
        await eventually(lambda: server.counters.connections_open == 0)
        assert server.counters.connections_failed == 0


async def test_a_disconnect_ends_a_watched_request() -> None:
    """A request that waits for something ends when its client leaves; others run on."""
    begun, ended = trio.Event(), trio.Event()

    async def watched() -> str:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()
        return ""

    async with serving(bare_app(watched=watched)) as server:
        assert server.bound is not None
        stream = await connect(server.bound.port)
        await stream.send_all(b"GET /watched HTTP/1.1\r\nHost: a\r\n\r\n")
        await begun.wait()
        await stream.aclose()
        with trio.fail_after(60):
            await ended.wait()


async def test_a_client_that_half_closes_gets_its_answer() -> None:
    """A client that sends its request and shuts its side down is answered."""
    async with serving(bare_app()) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/health", 200),
        (b"/health?a=b", 200),
        (b"/%68ealth", 200),
        (b"http://a/health", 200),
        (b"HTTPS://a:80/health?x", 200),
        (b"http://a", 404),
        (b"http://[::1/health", 400),
        (b"//a/health", 404),
        (b"?", 400),
        (b"health", 400),
        (b"*", 400),
        (b"ftp://a/health", 400),
    ],
)
async def test_request_targets_are_brought_to_one_form(target: bytes, status: int) -> None:
    """Absolute targets are served as their path; what has none is 400, never 500."""
    request = b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % target
    async with serving(bare_app()) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, request)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer


async def test_other_versions_are_refused() -> None:
    """A request that is neither HTTP/1.0 nor 1.1 is 505."""
    async with serving(bare_app()) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, b"GET /health HTTP/2.0\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 505 ")


async def test_http_1_0_is_served() -> None:
    """An old client without a Host header gets its answer and the end of the connection."""
    async with serving(bare_app()) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, b"GET /health HTTP/1.0\r\n\r\n", then_close=False)
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_bug_in_the_hot_route_is_a_500_envelope() -> None:
    """A failure inside is answered in the envelope without a word of its cause, and counted."""
    counters = Counters()

    async def broken(*_: object) -> Answer:
        raise ZeroDivisionError("the cause")

    async with serving(front(broken, counters)) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, POST % 0)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b'"code":"internal_error"' in answer
        assert b"cause" not in answer
        assert counters.internal_errors == 1


async def test_a_refusal_of_the_hot_route_is_its_answer() -> None:
    """Refused becomes the status, code and headers it carries."""

    async def refusing(*_: object) -> Answer:
        raise Refused(415, "no", "not this", headers={"x-why": "because"})

    async with serving(front(refusing)) as server:
        assert server.bound is not None
        answer = await exchange(server.bound.port, POST % 0)
        assert answer.startswith(b"HTTP/1.1 415 ")
        assert b"x-why: because" in answer


async def test_other_protocols_are_none_of_its_business() -> None:
    """Scopes other than http end without a word: the tree does not hang on a lifespan."""

    async def unused(*_: object) -> dict[str, object]:
        raise AssertionError("nothing is received or sent")

    await front(sized)({"type": "lifespan"}, unused, unused)  # type: ignore[arg-type]


async def test_a_client_that_leaves_before_its_body_is_forgotten() -> None:
    """A large-sent body whose client leaves is no error and no answer."""
    async with serving(front(sized)) as server:
        assert server.bound is not None
        stream = await connect(server.bound.port)
        await stream.send_all(POST % 100 + b"x")
        await stream.send_eof()
        assert await read_answer(stream) == b""
        await stream.aclose()
        await eventually(lambda: server.counters.connections_open == 0)
        assert server.counters.connections_failed == 0
