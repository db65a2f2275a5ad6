"""Connections nobody should send: each vector is what one hostile client writes to the socket.

Most of them raised out of stock Hypercorn 0.18 and took the process down, or hung it.
"""

import socket
import struct

import trio

__all__ = ["VECTORS", "connect", "exchange", "get", "read_answer", "reset"]

_H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WS = (
    b"GET /health HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_H2C = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
    )


def _hpack(*headers: tuple[bytes, bytes]) -> bytes:
    """Literal header fields without indexing, never Huffman (RFC 7541 section 6.2.2)."""
    fields = (b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in headers)
    return b"".join(fields)


def _h2_request(method: bytes, path: bytes) -> bytes:
    block = _hpack((b":method", method), (b":path", path), (b":scheme", b"http"), (b":authority", b"a"))
    return _H2_PREFACE + _frame(4, 0, 0, b"") + _frame(1, 5, 1, block)


def _post(headers: bytes, body: bytes = b"", path: bytes = b"/webhook/gitea") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n%s" % (path, headers, body)


def _target(target: bytes, method: bytes = b"GET") -> bytes:
    return b"%s %s HTTP/1.1\r\nHost: a\r\n\r\n" % (method, target)


VECTORS: dict[str, bytes] = {
    "websocket then trailing bytes": _WS + b"\r\n" + b"\x81\x05hello" * 40,
    "websocket with non-ASCII subprotocol": _WS + b"Sec-WebSocket-Protocol: \xff\xfe\r\n\r\n",
    "websocket with non-ASCII extension": _WS + b"Sec-WebSocket-Extensions: \xe9;\xff\r\n\r\n",
    "websocket without a key": _WS.replace(b"Sec-WebSocket-Key", b"X-Key") + b"\r\n",
    "h2c with odd settings": _H2C + b"HTTP2-Settings: !!!not base64!!!\r\n\r\n",
    "h2c with truncated settings": _H2C + b"HTTP2-Settings: AAMAAABk\r\n\r\n" + _H2_PREFACE,
    "h2c with non-ASCII settings": _H2C + b"HTTP2-Settings: \xff\xff\r\n\r\n",
    "h2 preface alone": _H2_PREFACE,
    "h2 with a non-ASCII path": _h2_request(b"GET", b"/\xff\xfe"),
    "h2 with a non-ASCII method": _h2_request(b"G\xff", b"/"),
    "h2 CONNECT": _h2_request(b"CONNECT", b"/"),
    "h2 data after an early answer": _h2_request(b"GET", b"/health") + _frame(0, 1, 1, b"x" * 100),
    "h2 1,200 priorities": _H2_PREFACE
    + _frame(4, 0, 0, b"")
    + b"".join(_frame(2, 0, 2 * n + 1, b"\0\0\0\0\x10") for n in range(1200)),
    "h2 ping flood": _H2_PREFACE + _frame(6, 0, 0, b"01234567") * 500,
    "CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"
    + b"\x16\x03\x01" * 50,
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "garbage": bytes(range(256)) * 64,
    "zeros": b"\0" * 100_000,
    "newlines": b"\r\n" * 50_000,
    "no version": b"GET /health\r\n\r\n",
    "version 0.9": b"GET /health HTTP/0.9\r\nHost: a\r\n\r\n",
    "version 2.0": b"GET /health HTTP/2.0\r\nHost: a\r\n\r\n",
    "version 9.9": b"GET /health HTTP/9.9\r\nHost: a\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "non-ASCII host": b"GET /health HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    "ten thousand headers": b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    "one long header": b"GET /health HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    "long target": _target(b"/" + b"a" * 100_000),
    "folded header": b"GET /health HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
    "header without a colon": b"GET /health HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "header name with a space": b"GET /health HTTP/1.1\r\nHost: a\r\na b: c\r\n\r\n",
    "target ?": _target(b"?"),
    "target #": _target(b"#"),
    "target //": _target(b"//evil.example/health"),
    "target *": _target(b"*", b"OPTIONS"),
    "target absolute": _target(b"http://a/health"),
    "target absolute without a path": _target(b"http://a?x=y"),
    "target broken IPv6": _target(b"http://[::1/health"),
    "target broken port": _target(b"http://a:b:c/health"),
    "target other scheme": _target(b"ftp://a/health"),
    "target without a slash": _target(b"health"),
    "target with NUL and bad UTF-8": _target(b"/health%00%ff%fe"),
    "target with dots": _target(b"/../../../../etc/passwd"),
    "lying Content-Length, short": _post(b"Content-Length: 3\r\n", b"abcdefgh" * 100),
    "lying Content-Length, long": _post(b"Content-Length: 1000\r\n", b"abc"),
    "negative Content-Length": _post(b"Content-Length: -1\r\n", b"abc"),
    "huge Content-Length": _post(b"Content-Length: 99999999999999999999\r\n", b"abc"),
    "Content-Length of 300 digits": _post(b"Content-Length: " + b"9" * 300 + b"\r\n"),
    "two Content-Lengths": _post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"),
    "Content-Length and chunked": _post(
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"
    ),
    "chunked over the limit": _post(
        b"Transfer-Encoding: chunked\r\n", (b"2000\r\n" + b"x" * 8192 + b"\r\n") * 200
    ),
    "many tiny chunks over the limit": _post(b"Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n" * 25_000),
    "broken chunk size": _post(b"Transfer-Encoding: chunked\r\n", b"zz\r\nhello\r\n0\r\n\r\n"),
    "endless chunk size": _post(b"Transfer-Encoding: chunked\r\n", b"f" * 5000),
    "unknown transfer coding": _post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "Expect over the limit": _post(b"Expect: 100-continue\r\nContent-Length: 99999999\r\n"),
    "Expect nonsense": _post(b"Expect: the unexpected\r\nContent-Length: 2\r\n", b"{}"),
    "pipelined": _target(b"/health") * 50,
    "pipelined behind a refusal": _post(b"Content-Length: 99999999\r\n") + _target(b"/health") * 20,
    "pipelined behind Connection: close": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    + _target(b"/health") * 20,
    "GET with a body": b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "GET with half a body": b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
    "TRACE": _target(b"/health", b"TRACE"),
    "unknown method": _target(b"/health", b"BREW"),
    "nothing": b"",
}


async def connect(port: int) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port)


def reset(stream: trio.SocketStream) -> None:
    """Drop the connection with a TCP reset, as a crashed or malicious peer does."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def read_answer(stream: trio.SocketStream) -> bytes:
    """Everything up to the server's end of the connection, which must come."""
    received = bytearray()
    with trio.fail_after(1000):  # on a virtual clock: longer than any bound of the server
        try:
            while data := await stream.receive_some():
                received += data
        except trio.BrokenResourceError:
            pass  # a reset is an end too
    return bytes(received)


async def exchange(port: int, sent: bytes, *, then_close: bool = True) -> bytes:
    """Send the bytes on a connection of their own, half-close it, and return all that comes back."""
    async with await connect(port) as stream:
        try:
            await stream.send_all(sent)
            if then_close:
                await stream.send_eof()
        except (OSError, trio.BrokenResourceError):
            pass  # the server has had enough already
        return await read_answer(stream)


async def get(port: int, path: str, *headers: str) -> tuple[int, bytes]:
    """Status and body of one plain GET on its own connection."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers, "", ""]
    answer = await exchange(port, "\r\n".join(lines).encode("latin-1"), then_close=False)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body
