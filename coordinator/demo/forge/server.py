"""The forge on a socket: a small HTTP/1.1 server that can also misbehave, and leave and come back."""

import socket
import struct
from collections import Counter
from collections.abc import Callable
from email.utils import format_datetime
from typing import NoReturn

import h11
import trio

from coordinator.demo.forge.faults import AnswerFault, AnswerFaults
from coordinator.demo.forge.pages import page_at
from coordinator.demo.forge.rest import Answer, Rest

__all__ = ["RestServer"]

_MAX_READ_BYTES = 65_536
# What strangers wrote is on the pages; nothing of it may run or load anything.
_PAGE_HEADERS = [("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")]
_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class RestServer:
    """Serves one forge's REST interface and counts what it is asked."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.faults = AnswerFaults()
        # "METHOD /path/template" → how many requests came, answered or not
        self.requests: Counter[str] = Counter()
        self.host = host
        self.port = port
        self._rest: Rest | None = None
        self._scope: trio.CancelScope | None = None
        self._stopped = trio.Event()
        self._listeners: list[trio.SocketListener] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def bind(self) -> None:
        """Take the port, the same one again when there was one before."""
        self._listeners = await trio.open_tcp_listeners(self.port, host=self.host)
        self.port = self._listeners[0].socket.getsockname()[1]

    async def run(
        self, rest: Rest, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Answer until `stop`, or cancelled; then every connection is closed in mid-word."""
        self._rest, self._stopped = rest, trio.Event()
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as connections:
                task_status.started()
                await trio.serve_listeners(self._converse, self._listeners, handler_nursery=connections)
        self._stopped.set()

    def stop(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    async def wait_stopped(self) -> None:
        """Until the port is free again after `stop`."""
        await self._stopped.wait()

    async def _converse(self, stream: trio.SocketStream) -> None:
        assert self._rest is not None
        async with stream:
            try:
                await _Connection(stream, self, self._rest).run()
            except (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError):
                return


class _Connection:
    """One client's connection."""

    def __init__(self, stream: trio.SocketStream, server: RestServer, rest: Rest) -> None:
        self._stream = stream
        self._server = server
        self._rest = rest
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while await self._exchange():
            self._http.start_next_cycle()

    async def _exchange(self) -> bool:
        request, body = await self._read()
        if request is None:
            return False
        method, target = request.method.decode("ascii"), request.target.decode("latin-1")
        found = self._rest.find(method, target.partition("?")[0])
        route = found[0].name if found else f"{method} (unknown)"
        self._server.requests[route] += 1
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in request.headers}
        page = self._page(target.partition("?")[0]) if method == "GET" else None
        if page is not None:
            await self._write(200, "text/html; charset=utf-8", page.encode(), _PAGE_HEADERS)
            return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        fault = self._server.faults.take(route)

        def respond() -> Answer:
            return self._rest.respond(method, target, headers, body)

        if fault is None:
            await self._send(respond())
        else:
            await self._misbehave(fault, respond)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def _page(self, path: str) -> str | None:
        return page_at(self._rest.data, path, self._rest.postman.history)

    async def _read(self) -> tuple[h11.Request | None, bytes]:
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._stream.receive_some(_MAX_READ_BYTES))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return request, bytes(body)
            else:
                return None, b""

    # answers ------------------------------------------------------------------------------------

    async def _send(self, answer: Answer) -> None:
        body = (
            b"" if answer.body is None else self._rest.shapes.encode(answer.body, indent=None) + b"\n"
        )
        kind = "text/html; charset=utf-8" if answer.body is None else "application/json;charset=utf-8"
        await self._write(answer.status, kind, body, answer.headers)

    async def _write(
        self, status: int, kind: str, body: bytes, headers: list[tuple[str, str]], *, cut: bool = False
    ) -> None:
        now = format_datetime(self._rest.data.now(), usegmt=True)
        head = [("Date", now), ("Cache-Control", "max-age=0, private, must-revalidate"), *headers]
        if status != 204:
            head += [("Content-Type", kind), ("Content-Length", str(len(body)))]
        start = h11.Response(status_code=status, headers=head)
        data = self._http.send(start) or b""
        data += self._http.send(h11.Data(data=body[: len(body) // 2] if cut else body)) or b""
        if not cut:
            data += self._http.send(h11.EndOfMessage()) or b""
        await self._stream.send_all(data)

    async def _misbehave(self, fault: AnswerFault, respond: Callable[[], Answer]) -> None:
        """Answer as the fault says; one that strikes after the request has carried it out by then."""
        answer = respond() if fault.after else None
        match fault.mishap:
            case "slow":
                await trio.sleep(fault.delay_s)
                await self._send(answer or respond())
            case "status":
                body = {"message": "", "url": f"{self._rest.shapes.url}/api/swagger"}
                await self._send(Answer(fault.status, body, list(fault.headers)))
            case "html":
                await self._write(200, "text/html", _HTML, [])
            case "truncate":
                whole = self._rest.shapes.encode((answer or respond()).body, indent=None)
                await self._write(200, "application/json", whole[: len(whole) // 2], [])
            case "cut":
                whole = self._rest.shapes.encode((answer or respond()).body, indent=None)
                await self._write(200, "application/json", whole, [], cut=True)
            case "reset":
                self._reset()
            case "hang":
                await trio.sleep_forever()

    def _reset(self) -> NoReturn:
        """Close without an answer and without a good-bye."""
        # Lingering for no time makes the kernel send RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._stream.socket.close()
        raise trio.ClosedResourceError("reset on purpose")
