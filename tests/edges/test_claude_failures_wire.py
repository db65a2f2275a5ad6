"""What a failed question means: ask again, when, or give up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.edges.claude_failures_wire import (
    Failure,
    Pace,
    failure_of_answer,
    failure_of_status,
    pause_s,
)
from coordinator.edges.claude_wire import AnswerProblem, AnswerUnusable

PACE = Pace(attempts=4, min_s=1.0, max_s=3.0, retry_after_max_s=30.0)
RETRY = Failure("x", "retry")


@pytest.mark.parametrize("status", [408, 409, 429, 500, 501, 502, 503, 504, 529])
def test_passing_trouble_is_worth_another_try(status: int) -> None:
    """What the SDK would retry, we retry."""
    assert failure_of_status(status, {}).then == "retry"


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 412, 413, 422, 431, 499])
def test_a_wrong_request_is_not_sent_again(status: int) -> None:
    """The same request would be refused again."""
    assert failure_of_status(status, {}).then == "stop"


@pytest.mark.parametrize("code", ["contract_spend_limit_reached", "enforced_spend_limit_reached"])
def test_a_spend_limit_is_no_rate_limit(code: str) -> None:
    """Both are 429, but waiting does not raise a budget."""
    assert failure_of_status(429, {}, error_code=code).then == "stop"
    assert failure_of_status(429, {}, error_code="ramp_limit_exceeded").then == "retry"


def test_the_server_may_veto_a_retry() -> None:
    """`x-should-retry: false` ends the attempts whatever the status."""
    assert failure_of_status(500, {"x-should-retry": "false"}).then == "stop"


def test_a_failure_names_status_type_code_and_request() -> None:
    """What support asks for, as single harmless words."""
    failure = failure_of_status(
        429, {}, error_type="rate_limit_error", error_code="ramp_limit_exceeded", request_id="req_1"
    )
    assert failure.what == "429 rate_limit_error ramp_limit_exceeded (request req_1)"
    assert failure.status == 429
    assert failure_of_status(500, {}, error_type="a\nb").what == "500 a?b (request unknown)"


@pytest.mark.parametrize(
    ("kind", "then"),
    [
        ("malformed", "retry"),
        ("truncated", "once_more"),
        ("invalid", "once_more"),
        ("refused", "stop"),
        ("window_exceeded", "stop"),
        ("unexpected", "stop"),
    ],
)
def test_an_unusable_answer_says_what_to_do(kind: AnswerProblem, then: str) -> None:
    """Accidents are retried, billed answers once, refusals never."""
    failure = failure_of_answer(AnswerUnusable(kind, "why"))
    assert (failure.then, failure.what) == (then, f"an unusable answer, {kind}: why")


def test_pauses_double_up_to_their_limit() -> None:
    """The last attempt has no pause behind it."""
    pauses = [pause_s(RETRY, attempt, PACE, billed=0, jitter=0.0) for attempt in range(1, 5)]
    assert pauses == [1.0, 2.0, 3.0, None]


def test_jitter_shortens_a_pause_by_at_most_a_quarter() -> None:
    """Callers that failed together do not return together."""
    assert pause_s(RETRY, 1, PACE, billed=0, jitter=1.0) == 0.75


@pytest.mark.parametrize(("wish", "wait"), [(0.0, 0.0), (7.5, 7.5), (30.0, 30.0), (4_294_967.0, 30.0)])
def test_the_vendors_wish_is_honoured_up_to_a_limit(wish: float, wait: float) -> None:
    """A slot never sleeps for the 49 days the API may ask for."""
    assert pause_s(Failure("x", "retry", wish), 1, PACE, billed=0, jitter=0.5) == wait


def test_a_billed_answer_is_asked_for_once_more_only() -> None:
    """One unusable answer is an accident, two are a pattern."""
    once = Failure("x", "once_more")
    assert pause_s(once, 1, PACE, billed=1, jitter=0.5) == 0.0
    assert pause_s(once, 2, PACE, billed=2, jitter=0.5) is None
    assert pause_s(once, 4, PACE, billed=1, jitter=0.5) is None


def test_a_final_failure_has_no_pause() -> None:
    """There is nothing to wait for, whatever the vendor wishes."""
    assert pause_s(Failure("x", "stop", 3.0), 1, PACE, billed=0, jitter=0.5) is None


@settings(deadline=None)
@given(
    st.integers(1, 10_000),
    st.none() | st.floats(0, 1e9),
    st.floats(0, 1),
)
def test_a_pause_stays_within_its_limits(attempt: int, wish: float | None, jitter: float) -> None:
    """No attempt number, wish or draw makes a pause negative or longer than allowed."""
    pace = Pace(attempts=10_001)
    wait = pause_s(Failure("x", "retry", wish), attempt, pace, billed=0, jitter=jitter)
    assert wait is not None
    assert 0 <= wait <= 30


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
        (
            {"retry-after": "Sat, 21 Nov 2026 10:00:20 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"},
            20.0,
        ),
        (
            {"retry-after": "Sat, 21 Nov 2026 10:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:20 GMT"},
            0.0,
        ),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:20 GMT"}, None),
        (
            {"retry-after": "Sat, 21 Nov 2026 10:00:20 GMT", "date": "Sat, 21 Nov 2026 10:00:20 -0000"},
            None,
        ),
        (
            {"retry-after": "Sat, 99 Nov 2026 10:00:20 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"},
            None,
        ),
    ],
)
def test_the_wish_is_read_in_all_its_spellings(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds first, then seconds, then a date; nonsense is no wish."""
    assert failure_of_status(429, headers).retry_after_s == seconds
