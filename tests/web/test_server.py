"""The server binds or says why not, and stops fast without leaving anything behind."""

import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from coordinator.errors import SettingsError
from coordinator.runtime import open_tree, supervisor, task
from coordinator.web.counters import Counters
from coordinator.web.server import Bound, WebServer, is_loopback
from tests.fakes.hostile import connect, get, read_answer
from tests.web.serving import SMALL, UNHURRIED, bare_app, eventually, serving

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"


def open_sockets() -> int:
    links = Path("/proc/self/fd").iterdir()
    return sum(1 for link in links if str(_target(link)).startswith("socket:"))


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


async def test_a_port_in_use_names_the_setting_and_the_remedy() -> None:
    """Binding a taken port is a SettingsError of one line with PORT in it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = WebServer(bare_app(), host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(SettingsError, match=r"^PORT=\d+: another program.*set another PORT$"):
            await server.serve()
    assert server.bound is None


@pytest.mark.parametrize("host", ["203.0.113.77", "no such name"])
async def test_a_foreign_address_names_host(host: str) -> None:
    """An address that is not this machine's is a SettingsError naming HOST."""
    with pytest.raises(SettingsError, match=r"^HOST="):
        await WebServer(bare_app(), host=host, port=0).serve()


async def test_a_port_out_of_range_names_the_setting() -> None:
    """A port no machine has is a SettingsError, not a traceback."""
    with pytest.raises(SettingsError, match="PORT=70000"):
        await WebServer(bare_app(), host="127.0.0.1", port=70_000).serve()


async def test_a_restart_keeps_the_port() -> None:
    """A server whose port the system chose comes back on the same one after a restart."""
    server = WebServer(bare_app(), host="127.0.0.1", port=0, limits=SMALL)
    ports = []
    for _ in range(2):
        async with open_tree(supervisor("root", task(server.serve, id="web"))):
            assert server.bound is not None
            ports.append(server.bound.port)
            assert (await get(server.bound.port, "/health"))[0] == 200
    assert ports[0] == ports[1]


async def test_a_stop_closes_idle_connections_at_once() -> None:
    """Unused, kept-alive and half-begun connections end at once; no socket is left."""
    before = open_sockets()
    with trio.fail_after(60):
        async with serving(bare_app(), UNHURRIED) as server:
            assert server.bound is not None
            streams = [await connect(server.bound.port) for _ in range(3)]
            await streams[0].send_all(HEALTH)
            await streams[0].receive_some()
            await streams[1].send_all(b"GET /hea")
            await eventually(lambda: server.counters.connections_open == 3)
    for stream in streams:
        assert await read_answer(stream) == b""
        await stream.aclose()
    await eventually(lambda: open_sockets() <= before)


async def test_a_stop_lets_requests_in_flight_finish() -> None:
    """A request being handled when the stop comes is answered, and new clients are not served."""
    begun, go = trio.Event(), trio.Event()

    async def slow() -> str:
        begun.set()
        await go.wait()
        return "done"

    async with trio.open_nursery() as nursery:
        async with serving(bare_app(slow=slow), UNHURRIED) as server:
            assert server.bound is not None
            stream = await connect(server.bound.port)
            await stream.send_all(SLOW)
            await begun.wait()
            nursery.start_soon(_let_go_when_refused, server.bound.port, go)
        answer = await read_answer(stream)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"done")
    await stream.aclose()


async def _let_go_when_refused(port: int, go: trio.Event) -> None:
    """Once new clients are turned away the stop has begun."""
    with trio.fail_after(60):
        while True:
            try:
                await (await connect(port)).aclose()
            except OSError:
                break
    go.set()


async def test_a_stop_cuts_what_takes_too_long(io_clock: trio.testing.MockClock) -> None:
    """A request that outlasts the graceful time is cut, and the stop takes no longer than that."""
    begun = trio.Event()

    async def slow() -> str:
        begun.set()
        await trio.sleep_forever()
        return ""

    async with serving(bare_app(slow=slow)) as server:
        assert server.bound is not None
        stream = await connect(server.bound.port)
        await stream.send_all(SLOW)
        await begun.wait()
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(SMALL.graceful_s, abs=0.5)
    assert await read_answer(stream) == b""
    await stream.aclose()


async def test_a_client_that_does_not_read_never_holds_up_a_stop(
    io_clock: trio.testing.MockClock,
) -> None:
    """A stop during a large answer to a client that does not read ends within the graceful time."""
    began_answer = trio.Event()

    async def large() -> str:
        began_answer.set()
        return "x" * 50_000_000

    async with serving(bare_app(large=large)) as server:
        assert server.bound is not None
        stream = await connect(server.bound.port)
        await stream.send_all(SLOW.replace(b"slow", b"large"))
        await began_answer.wait()
        await trio.sleep(0.5)
        began = trio.current_time()
    assert trio.current_time() - began <= SMALL.graceful_s + 0.5
    await stream.aclose()


async def test_tasks_and_sockets_are_given_back_under_load() -> None:
    """After hundreds of short and long connections the server is as small as before."""
    counters = Counters()
    async with serving(bare_app(), counters=counters) as server:
        assert server.bound is not None
        port = server.bound.port
        assert (await get(port, "/health"))[0] == 200
        await eventually(lambda: counters.connections_open == 0)
        tasks, sockets = trio.lowlevel.current_statistics().tasks_living, open_sockets()
        for _ in range(200):
            assert (await get(port, "/health"))[0] == 200
        await eventually(lambda: counters.connections_open == 0)
        assert trio.lowlevel.current_statistics().tasks_living <= tasks
        assert open_sockets() <= sockets
        assert counters.connections_total == 201


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_the_rest(host: str, expected: bool) -> None:
    """Only addresses that other machines cannot reach count as loopback."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("bound", "url"),
    [
        (Bound("127.0.0.1", 80), "http://127.0.0.1:80"),
        (Bound("0.0.0.0", 8000), "http://127.0.0.1:8000"),
        (Bound("::", 8000), "http://[::1]:8000"),
    ],
)
def test_the_url_can_be_used_on_this_machine(bound: Bound, url: str) -> None:
    """The URL of a server that listens everywhere is the loopback one."""
    assert bound.url == url
