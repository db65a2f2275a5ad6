"""The load generator: signed deliveries over plain sockets, keep-alive, one thread, no framework.

It costs some 40 µs per delivery, so that on a small machine it does not measure itself.
"""

import hashlib
import hmac
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from coordinator.demo.payloads import ForgeWorld, SignedDelivery

__all__ = ["BODY_BYTES", "Answered", "Deliveries", "Round", "SignedRequest", "drive", "post"]

# What an issue with a page of text weighs on the wire, users, labels and repository included.
BODY_BYTES = 12_288

_STAMP = datetime(2033, 3, 3, 3, 3, 3, tzinfo=UTC)
_STAMP_BYTES = b"2033-03-03T03:03:03Z"
_MARK = b"@@@@@@@@@@@@"
_FIRST_NUMBER = 1_000_000
_FILLER = "The importer drops rows whose key holds a dot, seen with the fixture of last week.\n"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """One request as bytes. `number` is the issue's."""

    delivery: str
    number: int
    raw: bytes


class Deliveries:
    """Endless distinct deliveries, each about one of `issues` issues and newer than the last.

    A tenth of the issues, or `ours`, is assigned to `login`, the rest to somebody else. Bodies are made
    from one of ForgeWorld's by replacing what must differ, and signed anew.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        prefix: str,
        issues: int = 1_000,
        ours: float = 0.1,
        login: str = "coder-bot",
        size_bytes: int = BODY_BYTES,
    ) -> None:
        self._secret = secret
        self._prefix = prefix
        self._issues = issues
        self._ours = ours
        self._sent = 0
        self._templates = {who: _template(secret, who, size_bytes) for who in (login, "somebody-else")}
        self._login = login

    def __iter__(self) -> Iterator[SignedRequest]:
        return self

    def __next__(self) -> SignedRequest:
        count, self._sent = self._sent, self._sent + 1
        index = count % self._issues
        mine = int((index + 1) * self._ours) > int(index * self._ours)
        head, template = self._templates[self._login if mine else "somebody-else"]
        stamp = (_STAMP + timedelta(seconds=count)).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        number = _FIRST_NUMBER + index
        body = template.replace(_MARK, b"%012d" % count).replace(_STAMP_BYTES, stamp)
        body = body.replace(b"%d" % _FIRST_NUMBER, b"%d" % number)
        signature = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        delivery = f"{self._prefix}-{count:08d}"
        raw = head % (delivery.encode(), signature.encode(), len(body)) + body
        return SignedRequest(delivery, number, raw)


def _template(secret: bytes, assignee: str, size_bytes: int) -> tuple[bytes, bytes]:
    """The head with three holes (delivery, signature, length) and the body with its marks."""
    delivery = _opened(secret, assignee, "")
    line_bytes = len(_FILLER) + 1  # a line break is two bytes in JSON
    missing_bytes = max(size_bytes - len(delivery.body), 0)
    delivery = _opened(secret, assignee, _FILLER * (missing_bytes // line_bytes))
    kept = [
        f"{name}: {value}"
        for name, value in delivery.headers
        if name not in ("X-Gitea-Delivery", "X-Gitea-Signature")
    ]
    holes = ["X-Gitea-Delivery: %s", "X-Gitea-Signature: %s", "Content-Length: %d"]
    lines = ["POST /webhook/gitea HTTP/1.1", "Host: 127.0.0.1", *kept, *holes, "", ""]
    head = "\r\n".join(lines)
    return head.encode(), delivery.body


def _opened(secret: bytes, assignee: str, text: str) -> SignedDelivery:
    world = ForgeWorld("gitea", secret, now=_STAMP)
    body = f"{_MARK.decode()}\n\n{text}"
    _, made = world.open(
        "acme/widgets", "Rows are lost", body, assignees=(assignee,), number=_FIRST_NUMBER
    )
    return made[-1]


@dataclass(frozen=True, slots=True)
class Answered:
    """A 200: to which delivery, when by the wall clock (s since 1970), after how long."""

    delivery: str
    at_s: float
    took_s: float


@dataclass(slots=True)
class Round:
    """What one round of load met. `statuses` counts all answers, `cut` closed connections."""

    seconds: float = 0.0
    answered: list[Answered] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    cut: int = 0

    @property
    def per_s(self) -> float:
        return len(self.answered) / self.seconds

    def took_ms(self, share: float) -> float:
        """The latency that this share of the answers stayed within, in ms."""
        ordered = sorted(answer.took_s for answer in self.answered)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class _Line:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.delivery = ""
        self.sent_s = 0.0

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: SignedRequest) -> None:
        self.delivery, self.received = request.delivery, b""
        self.sent_s = time.perf_counter()
        self.socket.sendall(request.raw)

    def receive(self) -> int | None:
        """The status once the answer is whole, None until then, 0 when the connection was closed."""
        chunk = self.socket.recv(65_536)
        if not chunk:
            return 0
        self.received += chunk
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return int(head[9:12]) if len(body) >= length else None

    @property
    def is_closing(self) -> bool:
        return b"connection: close" in self.received.partition(b"\r\n\r\n")[0].lower()


def drive(
    address: tuple[str, int],
    requests: Iterator[SignedRequest],
    *,
    connections: int,
    seconds: float = float("inf"),
    count: int | None = None,
) -> Round:
    """Keep every connection busy for so long, or until `count` were sent; then wait for the last."""
    done, left = Round(), count if count is not None else 1 << 62
    began_s = time.perf_counter()
    with selectors.DefaultSelector() as selector:

        def send_next(line: _Line) -> None:
            nonlocal left
            if left <= 0 or time.perf_counter() - began_s >= seconds:
                selector.unregister(line)
                line.socket.close()
                return
            left -= 1
            line.send(next(requests))

        def connect() -> None:
            line = _Line(address)
            selector.register(line, selectors.EVENT_READ, line)
            send_next(line)

        for _ in range(connections):
            connect()
        while selector.get_map():
            for key, _events in selector.select(timeout=30):
                line: _Line = key.data
                status = _take(line, done)
                if status is None:
                    continue
                if status == 0 or line.is_closing:
                    selector.unregister(line)
                    line.socket.close()
                    connect()
                else:
                    send_next(line)
    done.seconds = time.perf_counter() - began_s
    return done


def _take(line: _Line, done: Round) -> int | None:
    try:
        status = line.receive()
    except ConnectionError:
        status = 0
    if status is None:
        return None
    if status == 0:
        done.cut += 1
        return 0
    now_s = time.perf_counter()
    done.statuses[status] = done.statuses.get(status, 0) + 1
    if status == 200:
        done.answered.append(Answered(line.delivery, time.time(), now_s - line.sent_s))
    return status


def post(line: socket.socket, request: SignedRequest) -> int:
    """Send one request on an open connection and wait for its status."""
    line.sendall(request.raw)
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = line.recv(65_536)
        if not chunk:
            return 0
        received += chunk
    return int(received[9:12])
