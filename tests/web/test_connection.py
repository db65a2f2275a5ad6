"""One hostile or careless connection never harms the server, and never lingers."""

from contextlib import suppress

import pytest
import trio
import trio.testing

from coordinator.web.counters import Counters
from coordinator.web.front import Receive, Scope, Send
from coordinator.web.server import WebServer
from tests.fakes.hostile import VECTORS, connect, exchange, get, read_answer, reset
from tests.web.serving import SMALL, UNHURRIED, bare_app, eventually, serving

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
@pytest.mark.parametrize("then_close", [True, False], ids=["half-closed", "kept open"])
async def test_hostile_bytes_leave_the_server_well(
    vector: bytes, then_close: bool, io_clock: trio.testing.MockClock
) -> None:
    """After each hostile vector the server answers, and nothing of the connection is left."""
    counters = Counters()
    async with serving(bare_app(), counters=counters) as server:
        tasks = trio.lowlevel.current_statistics().tasks_living
        answer = await exchange(port_of(server), vector, then_close=then_close)
        assert not answer.startswith(b"HTTP/1.1 500"), answer
        assert (await get(port_of(server), "/health"))[0] == 200
        await eventually(lambda: counters.connections_open == 0)
        assert trio.lowlevel.current_statistics().tasks_living <= tasks
        assert counters.connections_failed == 0


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
async def test_resets_leave_the_server_well(vector: bytes) -> None:
    """A client that resets its connection right after its bytes leaves nothing behind."""
    counters = Counters()
    async with serving(bare_app(), counters=counters) as server:
        stream = await connect(port_of(server))
        with trio.move_on_after(0.2):
            await stream.send_all(vector)
        reset(stream)
        assert (await get(port_of(server), "/health"))[0] == 200
        await eventually(lambda: counters.connections_open == 0)
        assert counters.connections_failed == 0


async def test_a_trickled_head_is_cut(io_clock: trio.testing.MockClock) -> None:
    """A head that arrives byte by byte is cut at the header time-out, however lively the bytes are."""
    async with serving(bare_app()) as server, await connect(port_of(server)) as stream:
        began = trio.current_time()
        with trio.move_on_after(1000), suppress(trio.BrokenResourceError):
            for byte in b"GET /health HTTP/1.1\r\nA: " + b"a" * 1000:
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)
        assert await read_answer(stream) == b""
        assert trio.current_time() - began < SMALL.header_timeout_s + 5


async def test_a_trickled_second_head_is_cut(io_clock: trio.testing.MockClock) -> None:
    """On a kept-alive connection a begun head has the header time-out, not the long keep-alive one."""
    async with serving(bare_app()) as server, await connect(port_of(server)) as stream:
        await stream.send_all(HEALTH)
        assert await stream.receive_some()
        began = trio.current_time()
        await stream.send_all(b"GET /health HT")
        assert await read_answer(stream) == b""
        assert trio.current_time() - began == pytest.approx(SMALL.header_timeout_s, abs=1)


async def test_a_trickled_body_is_answered_408(io_clock: trio.testing.MockClock) -> None:
    """A body that stalls is answered 408 at the body time-out and the connection closed."""
    async with serving(bare_app()) as server, await connect(port_of(server)) as stream:
        await stream.send_all(b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nab")
        answer = await read_answer(stream)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() <= SMALL.body_timeout_s + SMALL.linger_s + 1


async def test_idle_connections_end_after_the_keep_alive_time(io_clock: trio.testing.MockClock) -> None:
    """The keep-alive time-out fires, also after several requests, and not before its time."""
    async with serving(bare_app()) as server, await connect(port_of(server)) as stream:
        for _ in range(3):
            await stream.send_all(HEALTH)
            assert await stream.receive_some()
        began = trio.current_time()
        assert await read_answer(stream) == b""
        assert trio.current_time() - began == pytest.approx(SMALL.keep_alive_s, abs=1)


async def test_connection_close_is_honoured() -> None:
    """A client that asks for it gets its answer and then the end of the connection at once."""
    async with serving(bare_app(), UNHURRIED) as server:
        with trio.fail_after(60):
            answer = await exchange(
                port_of(server), HEALTH[:-2] + b"Connection: close\r\n\r\n", then_close=False
            )
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_hangs_up_is_noticed_at_once() -> None:
    """Closed idle connections are gone long before any time-out, and so are their sockets."""
    counters = Counters()
    async with serving(bare_app(), counters=counters) as server:
        streams = [await connect(port_of(server)) for _ in range(5)]
        for stream in streams:
            await stream.send_all(HEALTH)
            await stream.receive_some()
        assert counters.connections_open == 5
        for stream in streams:
            await stream.aclose()
        await eventually(lambda: counters.connections_open == 0)


async def test_idle_connections_make_room(io_clock: trio.testing.MockClock) -> None:
    """At the cap the oldest unused connection is closed, so that idle ones never lock others out."""
    counters = Counters()
    async with serving(bare_app(), counters=counters) as server:
        used = await connect(port_of(server))
        await used.send_all(HEALTH)
        await used.receive_some()
        idle = [await connect(port_of(server)) for _ in range(SMALL.max_connections * 3)]
        assert (await get(port_of(server), "/health"))[0] == 200
        assert counters.connections_evicted >= SMALL.max_connections * 2
        assert counters.connections_open <= SMALL.max_connections
        await used.send_all(HEALTH)
        assert (await used.receive_some()).startswith(b"HTTP/1.1 200 ")
        for stream in [used, *idle]:
            await stream.aclose()


async def test_busy_connections_over_the_cap_are_refused() -> None:
    """With every place taken by a request in flight, the next client gets 503 and the end."""
    counters, waiting, go = Counters(), trio.Semaphore(0), trio.Event()

    async def slow() -> str:
        waiting.release()
        await go.wait()
        return "done"

    async with serving(bare_app(slow=slow), counters=counters) as server:
        streams = [await connect(port_of(server)) for _ in range(SMALL.max_connections)]
        for stream in streams:
            await stream.send_all(HEALTH.replace(b"/health", b"/slow"))
            await waiting.acquire()
        refused = await connect(port_of(server))
        answer = await read_answer(refused)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"too_many_connections" in answer
        assert counters.connections_refused == 1
        go.set()
        for stream in [*streams, refused]:
            await stream.aclose()


async def test_a_client_that_does_not_read_is_dropped(io_clock: trio.testing.MockClock) -> None:
    """A large answer to a client that does not read it ends at the write time-out."""
    counters = Counters()

    async def large() -> str:
        return "x" * 50_000_000

    async with serving(bare_app(large=large), counters=counters) as server:
        stream = await connect(port_of(server))
        await stream.send_all(HEALTH.replace(b"/health", b"/large"))
        await eventually(lambda: counters.stalled_writes == 1)
        await eventually(lambda: counters.connections_open == 0)
        await stream.aclose()


async def test_an_error_beyond_the_application_drops_one_connection() -> None:
    """What an application raises ends its connection, is counted, and leaves the others alone."""
    counters = Counters()

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/broken":
            raise RuntimeError("a bug")
        await bare(scope, receive, send)

    bare = bare_app()
    async with serving(broken, counters=counters) as server, await connect(port_of(server)) as other:
        await other.send_all(HEALTH)
        assert await other.receive_some()
        answer = await exchange(port_of(server), HEALTH.replace(b"/health", b"/broken"))
        assert answer == b""
        assert counters.connections_failed == 1
        await other.send_all(HEALTH)
        assert (await other.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_early_answers_do_not_wait_for_the_body() -> None:
    """A refusal reaches a client that is still sending, and the connection ends, whatever it sends."""
    head = b"POST /hot HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(bare_app()) as server, await connect(port_of(server)) as stream:
        await stream.send_all(head)
        with suppress(trio.BrokenResourceError):
            for _ in range(40):
                await stream.send_all(b"2000\r\n" + b"x" * 8192 + b"\r\n")
        assert (await read_answer(stream)).startswith(b"HTTP/1.1 413 ")


def port_of(server: WebServer) -> int:
    assert server.bound is not None
    return server.bound.port


async def test_clients_gone_before_they_are_served_are_counted() -> None:
    """A connection that is reset before it is looked at is lost, not failed."""
    counters = Counters()
    async with serving(bare_app(), counters=counters) as server:
        for _ in range(20):
            stream = await connect(port_of(server))
            reset(stream)
        await eventually(lambda: counters.connections_total == 20 and counters.connections_open == 0)
        assert counters.connections_lost > 0
        assert counters.connections_failed == 0


async def test_refusing_a_client_that_is_gone_harms_nobody() -> None:
    """With every place taken, a client that resets at once is refused without a failure."""
    counters, waiting, go = Counters(), trio.Semaphore(0), trio.Event()

    async def slow() -> str:
        waiting.release()
        await go.wait()
        return "done"

    async with serving(bare_app(slow=slow), counters=counters) as server:
        streams = [await connect(port_of(server)) for _ in range(SMALL.max_connections)]
        for stream in streams:
            await stream.send_all(HEALTH.replace(b"/health", b"/slow"))
            await waiting.acquire()
        for _ in range(10):
            reset(await connect(port_of(server)))
        await eventually(lambda: counters.connections_refused == 10)
        go.set()
        for stream in streams:
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
            await stream.aclose()
        assert counters.connections_failed == 0


async def test_a_broken_body_ends_a_request_that_is_being_handled() -> None:
    """Garbage behind a request in flight is answered 400 once; the late answer is dropped."""
    begun, go = trio.Event(), trio.Event()

    async def slow() -> str:
        begun.set()
        await go.wait()
        return "x" * 100

    async with serving(bare_app(slow=slow)) as server, await connect(port_of(server)) as stream:
        await stream.send_all(
            b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        await begun.wait()
        await stream.send_all(b"\0garbage\r\n\r\n")
        go.set()
        answer = await read_answer(stream)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1 400 ") == 1
        assert server.counters.connections_failed == 0
