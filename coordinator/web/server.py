"""The server: Hypercorn's connection on listeners of our own, as one task of the tree.

`hypercorn.trio.serve` (0.18) cannot be used as it is: it names its connection class in a module, so a
containing one could only be put there by patching, and it hangs on the ASGI lifespan, whose crash it
logs while it goes on answering in front of nobody. So the same parts are put together here.
"""

import errno
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from coordinator.errors import SettingsError
from coordinator.web.connection import GuardedConnection, Roster
from coordinator.web.counters import Counters
from coordinator.web.limits import Limits

__all__ = ["Bound", "WebServer", "is_loopback"]

_log = structlog.get_logger(__name__)

# A burst of deliveries connects faster than one turn of the loop accepts; 1,024 was measured to hold.
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """An address a client on this machine can use, without a trailing slash."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class WebServer:
    """Serves one ASGI application; give `serve` to the tree as a task.

    `on_stop` is called when a stop begins, to end requests that only wait. `bound` is None until the
    first `serve` is ready. A restart binds the same port again, also when the port was left to the
    system (0).
    """

    def __init__(
        self,
        app: Callable[..., object],
        *,
        host: str,
        port: int,
        limits: Limits | None = None,
        counters: Counters | None = None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.app = app
        self.limits = limits or Limits()
        self.counters = counters or Counters()
        self.bound: Bound | None = None
        self._roster: Roster | None = None
        self._on_stop = on_stop
        self._host = host
        self._port = port

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Bind, report ready, serve until cancelled; then close idle connections at once and let
        requests in flight finish within `limits.graceful_s`.

        SettingsError names HOST or PORT when the address cannot be bound.
        """
        listeners = await _listen(self._host, self.bound.port if self.bound else self._port)
        address = listeners[0].socket.getsockname()
        self.bound = Bound(address[0], address[1])
        config, context = _hypercorn_config(), WorkerContext(None)
        self._roster = roster = Roster(self.limits, self.counters)

        async def converse(stream: trio.SocketStream) -> None:
            await GuardedConnection(self.app, config, context, roster, stream)

        async with trio.open_nursery() as connections:
            try:
                task_status.started()
                _log.info("listening", url=self.bound.url)
                await trio.serve_listeners(converse, listeners, handler_nursery=connections)
            finally:
                self._on_stop()
                await context.terminated.set()
                roster.stop(self.limits.graceful_s)

    def hurry(self) -> None:
        """Cut every request in flight now; for a stop that is waited for impatiently."""
        if self._roster is not None:
            self._roster.stop(0)


def is_loopback(host: str) -> bool:
    """Whether binding to this HOST makes the server reachable from this machine alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    if not 0 <= port <= 65_535:  # the resolver would take the number modulo 65,536
        raise SettingsError(f"PORT={port}: expected 0 to 65535")
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
    except (socket.gaierror, UnicodeError) as error:
        raise SettingsError(f"HOST={host}: not an address of this machine ({error})") from error
    except OSError as error:
        raise SettingsError(_explain(host, port, error)) from error


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"PORT={port}: another program listens on {host}:{port}; stop it or set another PORT"
    if error.errno == errno.EACCES:
        return f"PORT={port}: this user may not listen there; set PORT to 1024 or above"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST={host}: not an address of this machine; set HOST to 0.0.0.0 or one of its own"
    return f"HOST={host} PORT={port}: cannot listen there ({error.strerror or error})"


def _hypercorn_config() -> Config:
    config = Config()
    config.accesslog = None  # one line per delivery instead, of our own
    config.errorlog = None
    config.include_server_header = False
    # Closing a good connection after so many requests gains nothing and may cost a delivery.
    config.keep_alive_max_requests = sys.maxsize
    return config
