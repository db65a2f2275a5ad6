"""What is said of a request that came to nothing."""

import ssl
from functools import partial

import httpx
import pytest
import trio

from coordinator.edges.connection_trouble import trouble_of

NOBODY = "http://127.0.0.1:1"


async def _ask(url: str, **more: object) -> str:
    """What is said when this address is asked."""
    async with httpx.AsyncClient(trust_env=False, **more) as http:  # type: ignore[arg-type]
        with pytest.raises((httpx.HTTPError, httpx.InvalidURL)) as failed:
            await http.get(url)
    return trouble_of(failed.value, url)


async def test_a_refused_connection_names_the_place() -> None:
    """Host and port, and no name of a class."""
    assert await _ask(NOBODY) == "127.0.0.1:1 refuses the connection"
    with pytest.raises(httpx.ConnectError) as failed:
        await trio.to_thread.run_sync(partial(httpx.get, NOBODY, trust_env=False))
    assert trouble_of(failed.value, NOBODY) == "127.0.0.1:1 refuses the connection"


async def test_a_proxy_between_is_the_place_that_failed() -> None:
    """Who refuses is named, not who was asked for."""
    told = await _ask("http://forge.invalid", proxy=NOBODY)
    assert told == "127.0.0.1:1 refuses the connection"


async def test_a_host_nobody_knows() -> None:
    """An unknown name is called that."""
    told = await _ask("https://no.such.invalid")
    assert told.startswith("no.such.invalid:443: the host is not known (")


async def test_a_connection_that_is_closed() -> None:
    """In the middle of the handshake, and before the answer."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, trio.SocketStream.aclose, 0))
        port = listeners[0].socket.getsockname()[1]
        for scheme in ("http", "https"):
            told = await _ask(f"{scheme}://127.0.0.1:{port}")
            assert told == f"127.0.0.1:{port} closed the connection"
        nursery.cancel_scope.cancel()


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "url", "told"),
    [
        (httpx.ConnectTimeout(""), "http://[::1]:9", "[::1]:9 does not answer in time"),
        (httpx.InvalidURL("Invalid port"), "http://x:y", "Invalid port"),
        (httpx.ReadError(""), "http://x", "ReadError"),
        (OSError(113, "No route to host"), "http://x", "x:80: No route to host"),
        (
            ExceptionGroup("", [ConnectionRefusedError()]),
            "http://x:y",
            "the address refuses the connection",
        ),
        (
            _caused(trio.BrokenResourceError(), ssl.SSLError(1, "CERTIFICATE_VERIFY_FAILED")),
            "https://x",
            "x:443: CERTIFICATE_VERIFY_FAILED",
        ),
    ],
)
def test_other_troubles(error: Exception, url: str, told: str) -> None:
    """Timeouts, bad addresses, the machine's own errors and certificates; the library's words last."""
    assert trouble_of(error, url) == told
