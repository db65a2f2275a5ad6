"""What a failed request to a forge means: which error, worth another try or not, and the remedy.

Messages name the request, the status and the forge's own words, bounded and on one line; never the
token, nor anything that is not the forge's (a proxy's page), nor what we sent.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import ValidationError

from coordinator.edges.gitea_calls_wire import Call
from coordinator.edges.gitea_reply_wire import Reply, UnexpectedAnswer
from coordinator.edges.gitea_shapes_wire import Shape
from coordinator.edges.retry_after_wire import retry_after_s
from coordinator.edges.web_address import shown_address
from coordinator.errors import (
    ForgeArchived,
    ForgeBlocked,
    ForgeConflict,
    ForgeError,
    ForgeForbidden,
    ForgeInvalid,
    ForgeNotAsked,
    ForgeNotFound,
    ForgeRateLimited,
    ForgeRefused,
    ForgeTooLong,
    ForgeUnauthorized,
    ForgeUnavailable,
)
from coordinator.rules.backoff import backoff_s
from coordinator.rules.metadata import one_line

__all__ = [
    "Failure",
    "RetryPace",
    "failure_of_answer",
    "failure_of_breaker",
    "failure_of_connection",
    "failure_of_queue",
    "failure_of_size",
    "failure_of_status",
    "pause_s",
]

# A forge's sentence is shorter; what is longer is a stack trace.
_MAX_MESSAGE_CHARS = 200
_MAX_CONTENT_TYPE_CHARS = 60
# `required=[write:issue], token scope=…` (Gitea from 1.22) or `scope(s): [write:issue]`.
_MISSING_SCOPE = re.compile(r"required[^\[\]]{0,40}\[((?:read|write):[a-z]{1,30})")
_LONG = "an issue or a comment there is very long; see `mosaic-coordinator state --actor sweeper`"
_HTML = "is GITEA_URL the address of the forge itself, and is every proxy before it well?"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt gave nothing. `may_help`: the same request may succeed in a moment. `is_local`:
    the forge itself reports a fault of its own, which need not be everywhere."""

    error: ForgeError
    may_help: bool
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class RetryPace:
    """How patiently one call tries.

    Four attempts in about 4 s ride out the restart of a proxy; longer trouble is the caller's to wait
    for, who can let go of its slot meanwhile.
    """

    attempts: int = 4
    min_s: float = 0.5
    max_s: float = 8.0


def pause_s(failure: Failure, attempt: int, pace: RetryPace, *, jitter: float) -> float | None:
    """Seconds to wait after attempt number `attempt` (from 1), None to give up.

    The forge's own wish is never cut short: who cannot wait so long gives up. `jitter` is drawn from
    0..1 and shortens our own pauses by up to a quarter.
    """
    error = failure.error
    if not failure.may_help or attempt >= pace.attempts:
        return None
    if isinstance(error, ForgeUnavailable) and error.retry_after_s is not None:
        return error.retry_after_s
    return backoff_s(attempt, pace.min_s, pace.max_s, jitter=jitter)


# nothing usable came ------------------------------------------------------------------------------


def failure_of_connection(call: Call, problem: str) -> Failure:
    """The request or its answer broke off; `problem` is the library's sentence."""
    remedy = "is the forge up, and GITEA_URL right?"
    if "CERTIFICATE_VERIFY_FAILED" in problem:
        remedy = "trust the forge's certificate: name its authority's file in SSL_CERT_FILE"
    what = f"the connection failed: {one_line(problem, _MAX_MESSAGE_CHARS)}"
    return Failure(ForgeUnavailable(_told(call, what, remedy), remedy=remedy), may_help=True)


def failure_of_size(call: Call, max_bytes: int) -> Failure:
    """The answer was cut off by us; another would be as long."""
    what = f"the answer is larger than {max_bytes // 2**20} MiB"
    return Failure(ForgeTooLong(_told(call, what, _LONG), remedy=_LONG), may_help=False)


def failure_of_queue(call: Call, timeout_s: float) -> Failure:
    """Nothing was sent: every place was taken by requests that wait for the forge."""
    return Failure(ForgeNotAsked(f"{call}: no connection free in {timeout_s:g} s"), may_help=False)


def failure_of_breaker(call: Call, wait_s: float, last_error: str) -> Failure:
    """Nothing was sent: the circuit is open."""
    # The last error names its own remedy.
    text = f"{call}: not sent, the forge failed repeatedly, last {last_error}"
    return Failure(ForgeNotAsked(text, wait_s), may_help=False)


def failure_of_answer(call: Call, reply: Reply, problem: UnexpectedAnswer) -> Failure:
    """The status promised an answer, the body does not hold one."""
    kind = one_line(reply.headers.get("content-type", "") or "nothing", _MAX_CONTENT_TYPE_CHARS)
    what = f"{reply.status}, but {one_line(str(problem), _MAX_MESSAGE_CHARS)} ({kind})"
    error = ForgeUnavailable(_told(call, what, _HTML), status=reply.status, remedy=_HTML)
    return Failure(error, may_help=True)


# the forge said no --------------------------------------------------------------------------------


class _Complaint(Shape):
    message: str


def failure_of_status(call: Call, reply: Reply, *, token: str = "") -> Failure:
    """What a status from 300 on means; `token` is blackened wherever the forge repeats it."""
    if reply.status < 400:
        return _redirected(call, reply)
    said = _said(reply.body, token)
    wish_s = retry_after_s(reply.headers)
    if reply.status == 429:
        remedy = "raise the limit of the proxy before the forge for this host"
        text = _told(call, f"429 too many requests: {said or 'no reason given'}", remedy)
        return Failure(ForgeRateLimited(text, wish_s, status=429, remedy=remedy), may_help=True)
    # Somebody between us and the forge speaks HTML or plain text; the forge's own errors are JSON. A
    # proxy without its forge says 404 to everything: that must not read as "this issue is deleted".
    is_strangers = said is None and bool(reply.body)
    if reply.status >= 500 or reply.status in (408, 425) or is_strangers:
        what = f"{reply.status}: {said or 'not in the words of the forge'}"
        remedy = "see the forge's log" if said else _HTML
        error = ForgeUnavailable(_told(call, what, remedy), wish_s, status=reply.status, remedy=remedy)
        return Failure(error, may_help=True, is_local=reply.status == 500 and said is not None)
    return Failure(_refusal(call, reply.status, said or ""), may_help=False)


def _said(body: bytes, token: str) -> str | None:
    """The forge's own sentence, None if this is not its JSON."""
    try:
        message = _Complaint.model_validate_json(body).message
    except ValidationError:
        return None
    clean = message.replace(token, "[token]") if token else message
    return one_line(clean, _MAX_MESSAGE_CHARS) or "no reason given"


_REFUSALS: dict[int, tuple[type[ForgeRefused], str, str]] = {
    400: (ForgeInvalid, "invalid", ""),
    401: (ForgeUnauthorized, "the token is not accepted", "make a new token and set GITEA_TOKEN"),
    404: (
        ForgeNotFound,
        "not found",
        "check the name, and that the token's account may see it",
    ),
    409: (ForgeConflict, "conflict", "read it again, then decide"),
    412: (ForgeBlocked, "open dependencies forbid this", "close what it depends on first"),
    422: (ForgeInvalid, "invalid", ""),
    423: (
        ForgeArchived,
        "the repository is archived",
        "take it out of the archive, or stop watching it",
    ),
}


def _refusal(call: Call, status: int, said: str) -> ForgeRefused:
    if status == 403:
        return _forbidden(call, said)
    kind, what, remedy = _REFUSALS.get(status, (ForgeRefused, "refused", ""))
    text = f"{status} {what}" + (f": {said}" if said else "")
    return kind(_told(call, text, remedy), status=status, remedy=remedy)


def _forbidden(call: Call, said: str) -> ForgeForbidden:
    found = _MISSING_SCOPE.search(said)
    scope = found[1] if found else None
    remedy = "give the token's account the right (some questions take an administrator)"
    if scope:
        remedy = f"make a token that has the scope {scope} too, and set GITEA_TOKEN"
    elif "limited to public" in said:
        remedy = "make a token that is not limited to public repositories, and set GITEA_TOKEN"
    return ForgeForbidden(
        _told(call, f"403 forbidden: {said}", remedy), missing_scope=scope, remedy=remedy
    )


def _redirected(call: Call, reply: Reply) -> Failure:
    """A renamed or transferred repository points to its new name; anything else is a wrong address."""
    place = shown_address(reply.headers.get("location", ""))
    path = urlsplit(place).path
    if call.repo is not None and "/api/v1/repo" in path and not path.endswith("/api/v1" + call.path):
        error: ForgeError = ForgeNotFound(
            _told(call, f"{reply.status} moved to {place}", "use the new name"),
            moved_to=place,
            status=reply.status,
            remedy="use the new name",
        )
        return Failure(error, may_help=False)
    remedy = "set GITEA_URL to the address at which the forge itself answers, without redirects"
    what = f"{reply.status} redirected to {place or 'nowhere'}"
    unavailable = ForgeUnavailable(_told(call, what, remedy), status=reply.status, remedy=remedy)
    return Failure(unavailable, may_help=False)


def _told(call: Call, what: str, remedy: str) -> str:
    return f"{call}: {what}" + (f"; {remedy}" if remedy else "")
