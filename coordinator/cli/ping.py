"""Asks a coordinator from outside: does it take this secret, and has a delivery arrived?

A ping is a signed push without content: the receiver checks its signature, stores nothing, and answers
`ignored`. The secret itself never travels.
"""

import hmac
import socket
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import trio
from pydantic import BaseModel, ConfigDict, ValidationError

from coordinator.edges.connection_trouble import trouble_of
from coordinator.edges.request_body import send_in_one_piece
from coordinator.rules.metadata import one_line

__all__ = [
    "Arrival",
    "Echo",
    "ForgeSeen",
    "Health",
    "NoCoordinator",
    "Report",
    "Sweep",
    "addresses_of",
    "client_of",
    "ping",
    "read_health",
    "wait_arrival",
]

_TIMEOUT_S = 5.0  # the forge's own patience with a webhook
_BODY = b'{"ref": "", "commits": [], "ping": "mosaic-coordinator"}'
_POLL_S = 0.1  # a test delivery takes some tens of milliseconds
_MAX_REASON_CHARS = 160
_SIGNED = ("accepted", "duplicates", "ignored", "unavailable")


class NoCoordinator(Exception):
    """Nobody answers there as a coordinator does; the message says what was seen."""


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ForgeSeen(_Lenient):
    """What the coordinator says of the forge."""

    last_error: str | None = None


class Sweep(_Lenient):
    """`failing`: how many repositories cannot be looked at for missed webhooks; `problem` is why none
    can, None while there is no such reason. `too_long` issues and comments are not read."""

    failing: int = 0
    too_long: int = 0
    problem: str | None = None


class Report(_Lenient):
    """What of `/health` is looked at here; what another version leaves out has its default."""

    status: str
    version: str
    components: dict[str, str] = {}
    degraded: list[str] = []
    journal_error: str | None = None
    last_delivery_age_s: float | None = None
    dead_letters: int = 0
    signature_failures: int = 0
    rejected: int = 0
    deliveries: dict[str, int] = {}
    forge: ForgeSeen | None = None
    sweep: Sweep | None = None

    @property
    def arrived(self) -> int:
        """Deliveries that came with a good signature, whatever became of them."""
        return sum(self.deliveries.get(outcome, 0) for outcome in _SIGNED) + self.rejected


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of `/health`: 200 or 503, and the report."""

    http_status: int
    report: Report


@dataclass(frozen=True, slots=True)
class Echo:
    """What an address answered to a ping. `status` is None when nothing came back, and `trouble` says
    why; `word` is the coordinator's own, "" when somebody else answered."""

    url: str
    status: int | None
    word: str = ""
    trouble: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.status == 200 and self.word == "ignored"

    @property
    def is_refused(self) -> bool:
        """Whether a coordinator said that the signature is not one of its secrets."""
        return self.status == 401

    def __str__(self) -> str:
        if self.status is None:
            return f"{self.url} does not answer ({self.trouble})"
        if self.is_refused:
            return f"{self.url} answers 401: it does not have this secret"
        return f"{self.url} answers {self.status} {self.word or 'but not as a coordinator does'}"


class _Word(_Lenient):
    status: str = ""


async def ping(url: str, secret: str, *, timeout_s: float = _TIMEOUT_S) -> Echo:
    """Posts a signed push to the webhook at `url`."""
    headers = {
        "content-type": "application/json",
        "x-gitea-delivery": str(uuid4()),
        "x-gitea-event": "push",
        "x-gitea-event-type": "push",
        "x-gitea-signature": hmac.new(secret.encode(), _BODY, sha256).hexdigest(),
    }
    try:
        with trio.fail_after(timeout_s):
            async with client_of(url) as http:
                answer = await http.post(url, content=_BODY, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError) as problem:
        return Echo(url, None, trouble=_reason(problem, url, timeout_s))
    try:
        word = _Word.model_validate_json(answer.content).status
    except ValidationError:
        word = ""
    return Echo(url, answer.status_code, one_line(word, 20))


async def read_health(base: str, *, timeout_s: float = _TIMEOUT_S) -> Health:
    """What the coordinator at `base` says of itself; NoCoordinator if none answers there."""
    url = base.rstrip("/") + "/health"
    try:
        with trio.fail_after(timeout_s):
            async with client_of(url) as http:
                answer = await http.get(url)
    except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError) as problem:
        raise NoCoordinator(f"{base} does not answer ({_reason(problem, url, timeout_s)})") from problem
    try:
        return Health(answer.status_code, Report.model_validate_json(answer.content))
    except ValidationError as problem:
        seen = f"{url} answers {answer.status_code}, but not as a coordinator does"
        raise NoCoordinator(seen) from problem


@dataclass(frozen=True, slots=True)
class Arrival:
    """What was seen of an expected delivery: "unsigned" is one whose secret differs."""

    word: Literal["arrived", "unsigned", "nothing"]
    after_s: float


async def wait_arrival(base: str, before: Report, *, timeout_s: float) -> Arrival:
    """Watches the coordinator's counters until one has moved since `before`; silence moves none."""
    began = trio.current_time()
    while True:
        try:
            now = (await read_health(base)).report
        except NoCoordinator:  # being restarted, perhaps
            now = before
        took_s = trio.current_time() - began
        if now.arrived > before.arrived:
            return Arrival("arrived", took_s)
        if now.signature_failures > before.signature_failures:
            return Arrival("unsigned", took_s)
        if took_s >= timeout_s:
            return Arrival("nothing", took_s)
        await trio.sleep(_POLL_S)


async def addresses_of(url: str, *, timeout_s: float = _TIMEOUT_S) -> tuple[str, ...]:
    """The addresses of the URL's host as this machine resolves it; none if it cannot."""
    host = urlsplit(url).hostname or ""
    with trio.move_on_after(timeout_s):
        try:
            found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return ()
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    return ()


def client_of(url: str) -> httpx.AsyncClient:
    """Without timeouts, which callers bound; proxies of the environment are for addresses outside."""
    host = urlsplit(url).hostname or ""
    is_here = host in {"localhost", "::1"} or host.startswith("127.")
    return httpx.AsyncClient(
        timeout=None,  # noqa: S113 - callers bound it
        trust_env=not is_here,
        event_hooks={"request": [send_in_one_piece]},
    )


def _reason(problem: Exception, url: str, timeout_s: float) -> str:
    if isinstance(problem, trio.TooSlowError):
        return f"nothing within {timeout_s:g} s"
    return one_line(trouble_of(problem, url), _MAX_REASON_CHARS)
