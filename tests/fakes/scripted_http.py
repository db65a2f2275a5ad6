"""An HTTP server on loopback that answers as it is told, well or badly, one behaviour per request.

It knows nothing of forges: it is for what a transport must survive.
"""

import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

__all__ = [
    "Asked",
    "Behaviour",
    "Scripted",
    "answer",
    "cut",
    "drip",
    "endless",
    "hang",
    "open_scripted",
    "raw",
    "reset",
]


@dataclass(frozen=True)
class Asked:
    """One request as it came; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


# Writes the answer; afterwards the connection stays open iff True.
Behaviour = Callable[[trio.SocketStream, Asked], Awaitable[bool]]


@dataclass
class Scripted:
    """The server: the scripted behaviours in order, then `otherwise` for ever."""

    url: str
    otherwise: Behaviour
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    _script: list[Behaviour] = field(default_factory=list)

    def script(self, *behaviours: Behaviour) -> None:
        self._script += behaviours

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.open_now += 1
        try:
            while (request := await _receive(stream)) is not None:
                self.asked.append(request)
                behaviour = self._script.pop(0) if self._script else self.otherwise
                if not await behaviour(stream, request):
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away, which is its right
        finally:
            self.open_now -= 1
            await trio.aclose_forcefully(stream)


async def _receive(stream: trio.SocketStream) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = await stream.receive_some(65_536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    while len(body) < int(headers.get("content-length", 0)):
        body += await stream.receive_some(65_536)
    method, target, _ = first.split(" ")
    return Asked(method, target, headers, body)


# behaviours ---------------------------------------------------------------------------------------


def answer(body: object, status: int = 200, **headers: str) -> Behaviour:
    """A whole answer; `body` is JSON unless it is bytes. Header names with _ for -."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"content-type": "application/json", "content-length": str(len(content))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return raw(f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + content, keep=True)


def raw(data: bytes, *, keep: bool = False) -> Behaviour:
    """These very bytes."""

    async def write(stream: trio.SocketStream, _asked: Asked) -> bool:
        await stream.send_all(data)
        return keep

    return write


def cut() -> Behaviour:
    """An answer that ends in the middle of its body."""
    return raw(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"id": 1')


def reset() -> Behaviour:
    """The connection dies at once, as a crash of the peer looks."""

    async def write(stream: trio.SocketStream, _asked: Asked) -> bool:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return write


def hang(begun: trio.Event | None = None) -> Behaviour:
    """No answer, ever; ends when the client hangs up."""

    async def write(stream: trio.SocketStream, _asked: Asked) -> bool:
        if begun is not None:
            begun.set()
        await stream.receive_some(1)
        return False

    return write


def drip(pause_s: float) -> Behaviour:
    """One byte of a long answer at a time."""

    async def write(stream: trio.SocketStream, _asked: Asked) -> bool:
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while True:
            await stream.send_all(b" ")
            await trio.sleep(pause_s)

    return write


def endless(head: bytes = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[") -> Behaviour:
    """A body that never ends, as fast as the client reads."""

    async def write(stream: trio.SocketStream, _asked: Asked) -> bool:
        await stream.send_all(head)
        while True:
            await stream.send_all(b"1," * 32_768)

    return write


@asynccontextmanager
async def open_scripted(otherwise: Behaviour | None = None) -> AsyncIterator[Scripted]:
    """A running server; without a script it answers everything with 503."""
    async with trio.open_nursery() as nursery:
        server = Scripted("", otherwise or answer({"message": "unscripted"}, 503))
        listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        server.url = f"http://127.0.0.1:{port}"
        yield server
        nursery.cancel_scope.cancel()
