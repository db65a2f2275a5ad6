"""One client connection that cannot harm the others, and the roster of those alive.

The subclass of Hypercorn's `TCPServer` keeps its seams (`run`, `protocol_send`, `_read_data`) and
replaces what is between. The causes, all seen in Hypercorn 0.18 on Trio 0.35:

- an exception in one connection's tasks leaves the server's nursery and ends the process;
- the idle timer is a task of its own: restarted for each request (a third of the cost), not ended
  with the read (closed clients linger), and never restarted when Quart-Trio 0.12 cancels the
  request's task while its response is being finished (no keep-alive timeout, no `Connection: close`);
- `send_all` is shielded and unbounded, so a client that does not read holds up the shutdown.
"""

import math
from collections.abc import Callable

import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from coordinator.web.counters import Counters
from coordinator.web.envelope import error_bytes
from coordinator.web.http11 import AppTasks, Http11
from coordinator.web.limits import Limits

__all__ = ["GuardedConnection", "Roster"]

_log = structlog.get_logger(__name__)

_FULL_BODY = error_bytes("too_many_connections", "the server has no room for another connection")
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_FULL_BODY), _FULL_BODY)
)


class Roster:
    """The connections alive, oldest first, and the room for more."""

    def __init__(self, limits: Limits, counters: Counters) -> None:
        self.limits = limits
        self.counters = counters
        self._live: dict[GuardedConnection, None] = {}
        self._stopped = False

    def admit(self, connection: "GuardedConnection") -> bool:
        """Whether there is room; an idle connection is closed to make some, unused ones first."""
        self.counters.connections_total += 1
        if self._stopped or (len(self._live) >= self.limits.max_connections and not self._evict()):
            self.counters.connections_refused += 1
            return False
        self._live[connection] = None
        self.counters.connections_open += 1
        return True

    def leave(self, connection: "GuardedConnection") -> None:
        if connection in self._live:
            del self._live[connection]
            self.counters.connections_open -= 1

    def stop(self, graceful_s: float) -> None:
        """Close idle connections now, the others when their request is done or `graceful_s` is over."""
        self._stopped = True
        for connection in list(self._live):
            connection.stop(graceful_s)

    def _evict(self) -> bool:
        idle = [connection for connection in self._live if connection.idle]
        if not idle:
            return False
        victim = min(idle, key=lambda connection: connection.requests > 0)
        victim.stop(0)
        self.leave(victim)
        self.counters.connections_evicted += 1
        return True


class GuardedConnection(TCPServer):
    """One conversation: every wait is bounded, every failure ends here and is counted.

    Its tasks are shielded from the server's cancellation, so that a request in flight may finish;
    `stop` bounds that.
    """

    protocol: Http11  # type: ignore[assignment]  # Hypercorn's wrapper only adds the switch to HTTP/2
    stream: trio.SocketStream  # type: ignore[assignment]

    def __init__(
        self,
        app: Callable[..., object],
        config: Config,
        context: WorkerContext,
        roster: Roster,
        stream: trio.SocketStream,
    ) -> None:
        super().__init__(app, config, context, {}, stream)  # type: ignore[arg-type]
        self.idle = True
        self._roster = roster
        self._limits = roster.limits
        self._counters = roster.counters
        self._scope = trio.CancelScope(shield=True)
        self._reading = trio.CancelScope()
        self._closing = False

    @property
    def requests(self) -> int:
        """Requests begun on this connection."""
        return self.protocol.keep_alive_requests if hasattr(self, "protocol") else 0

    async def run(self) -> None:
        if not self._roster.admit(self):
            await self._refuse()
            return
        try:
            with self._scope:
                await self._converse()
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self._counters.connections_lost += 1
        except* Exception as errors:  # noqa: BLE001  one connection must never reach the tree
            self._counters.connections_failed += 1
            _log.warning("connection failed", outcome="dropped", exc_info=errors)
        finally:
            self._roster.leave(self)
            await trio.aclose_forcefully(self.stream)

    def stop(self, graceful_s: float) -> None:
        """End the conversation: now if nothing is being answered, else within `graceful_s` seconds."""
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + graceful_s)
        if self.idle or self._closing:
            self._reading.cancel()

    async def _converse(self) -> None:
        socket = self.stream.socket
        client = parse_socket_addr(socket.family, socket.getpeername())
        server = parse_socket_addr(socket.family, socket.getsockname())
        async with AppTasks() as tasks:
            self.protocol = Http11(
                self.app,
                self.config,
                self.context,
                tasks,
                ConnectionState(self.state.copy()),
                False,
                client,
                server,
                self.protocol_send,
            )
            self.protocol.max_body_bytes = self._limits.max_body_bytes
            self._reading.deadline = trio.current_time() + self._limits.header_timeout_s
            await self._read_data()

    async def protocol_send(self, event: Event) -> None:
        match event:
            case RawData():
                await self._write(event.data)
            case Updated():
                self._set_idle(event.idle)
            case Closed():
                await self._finish()

    async def _read_data(self) -> None:
        """Feed the protocol until the client is gone or `_reading` ends, then tell the application."""
        with self._reading:
            while data := await self._receive():
                if self._closing:
                    continue  # our answer is out; what still comes in only has to be taken in
                await self.protocol.handle(RawData(bytes(data)))
                if self.idle and self.protocol.has_partial_request:
                    self._read_until(self._limits.header_timeout_s)
        await self.protocol.handle(Closed())

    async def _receive(self) -> bytes | bytearray:
        try:
            return await self.stream.receive_some(MAX_RECV)
        except trio.BrokenResourceError:
            self._counters.connections_lost += 1
            return b""
        except trio.ClosedResourceError:
            return b""

    def _set_idle(self, idle: bool) -> None:
        self.idle = idle
        self._reading.deadline = math.inf
        if idle:
            self._read_until(self._limits.keep_alive_s)

    def _read_until(self, seconds: float) -> None:
        """Bring the end of reading forward to `seconds` from now, never back."""
        self._reading.deadline = min(self._reading.deadline, trio.current_time() + seconds)

    async def _write(self, data: bytes) -> None:
        with trio.move_on_after(self._limits.write_timeout_s) as limit:
            async with self.send_lock:
                if self._closing:
                    return  # an answer to what came before a broken request: the farewell is out
                try:
                    await self.stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._lose()
        if limit.cancelled_caught:
            self._counters.stalled_writes += 1
            await self._lose()

    async def _lose(self) -> None:
        """Nobody is listening: let go of the socket and of everything that waits for it."""
        self._closing = True
        self._reading.cancel()
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self.stream)
        await self.protocol.handle(Closed())

    async def _finish(self) -> None:
        """Say goodbye, and give a client that still sends the time to read it: closing with request
        bytes unread would reset the connection under the answer."""
        self.idle = False
        self._read_until(self._limits.linger_s if self.protocol.is_client_sending else 0)
        with trio.CancelScope(shield=True):
            async with self.send_lock:
                self._closing = True
                try:
                    await self.stream.send_eof()
                except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    self._reading.cancel()  # gone already
        await self.protocol.handle(Closed())

    async def _refuse(self) -> None:
        with trio.move_on_after(self._limits.linger_s):
            try:
                await self.stream.send_all(_FULL)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._counters.connections_lost += 1
        await trio.aclose_forcefully(self.stream)
