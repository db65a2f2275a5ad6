"""What a failed question to Claude means: ask again, when, or give up; and what the caller is told.

Arithmetic only. Messages name status, error type and request id; never the key, nor the API's prose,
which may repeat the issue's text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from coordinator.edges.claude_wire import AnswerUnusable, one_word
from coordinator.edges.retry_after_wire import retry_after_s, seconds_in
from coordinator.errors import VendorRefused, VendorUnavailable
from coordinator.rules.backoff import backoff_s
from coordinator.rules.events import Metadata, ParseCost

__all__ = [
    "Failure",
    "Pace",
    "ParseRefused",
    "ParseUnavailable",
    "Parsed",
    "failure_of_answer",
    "failure_of_status",
    "pause_s",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt gave nothing, and what `then`: "once_more" was billed, "stop" is final.

    `retry_after_s` is the vendor's wish, as long as it likes.
    """

    what: str
    then: Literal["retry", "once_more", "stop"]
    retry_after_s: float | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How patiently one call tries.

    Four attempts in about 4 s ride out the restart of a front end; longer trouble is the caller's to
    wait for. `retry_after_max_s` keeps a slot from sleeping for days: the API may ask for 49 of them.
    """

    attempts: int = 4
    min_s: float = 0.5
    max_s: float = 8.0
    retry_after_max_s: float = 30.0


def pause_s(failure: Failure, attempt: int, pace: Pace, *, billed: int, jitter: float) -> float | None:
    """Seconds to wait after attempt number `attempt`, None to give up.

    `billed` counts the unusable answers paid for so far, this one included: one is worth a second try,
    two are a pattern. `jitter` is drawn from 0..1 and shortens the wait by up to a quarter.
    """
    if failure.then == "stop" or attempt >= pace.attempts:
        return None
    if failure.then == "once_more":
        return None if billed > 1 else 0.0
    if failure.retry_after_s is not None:
        return min(failure.retry_after_s, pace.retry_after_max_s)
    return backoff_s(attempt, pace.min_s, pace.max_s, jitter=jitter)


def failure_of_answer(problem: AnswerUnusable) -> Failure:
    """What an unusable answer means for the next attempt."""
    then: Literal["retry", "once_more", "stop"]
    match problem.kind:
        case "malformed":
            then = "retry"
        case "truncated" | "invalid":
            then = "once_more"
        case _:
            then = "stop"
    return Failure(f"an unusable answer, {problem}", then, status=200)


_TRANSIENT = frozenset({408, 409, 429})  # with every status from 500: what the SDK itself would retry


def failure_of_status(
    status: int,
    headers: Mapping[str, str],
    *,
    error_type: str | None = None,
    error_code: str | None = None,
    request_id: str | None = None,
) -> Failure:
    """What an error status means. The API's prose is left out: it may repeat the issue's text."""
    words = [str(status), one_word(error_type)]
    if error_code:
        words.append(one_word(error_code))
    what = f"{' '.join(words)} (request {one_word(request_id)})"
    spent = (error_code or "").endswith("spend_limit_reached")  # lasts until somebody raises the limit
    vetoed = headers.get("x-should-retry") == "false"
    again = (status in _TRANSIENT or status >= 500) and not spent and not vetoed
    return Failure(what, "retry" if again else "stop", _retry_after_s(headers), status)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`retry-after-ms`, else `retry-after`."""
    milliseconds = seconds_in(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    return retry_after_s(headers)


# what a caller gets --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parsed:
    """One issue read: its metadata, and the bill of every attempt it took."""

    metadata: Metadata
    cost: ParseCost
    model: str


class ParseUnavailable(VendorUnavailable):
    """Claude gave no usable answer now; `cost` was spent nevertheless."""

    def __init__(self, message: str, retry_after_s: float | None, cost: ParseCost) -> None:
        super().__init__(message, retry_after_s)
        self.cost = cost


class ParseRefused(VendorRefused):
    """Claude will not read this text; `cost` was spent nevertheless. `status` 401 means our key."""

    def __init__(self, message: str, status: int | None, cost: ParseCost) -> None:
        super().__init__(message)
        self.status = status
        self.cost = cost
