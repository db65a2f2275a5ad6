"""What a failed request means: the error, whether to try again, and what the operator is told."""

import json

import pytest

from coordinator.edges.gitea_calls_wire import Call, in_repo
from coordinator.edges.gitea_failures_wire import (
    Failure,
    RetryPace,
    failure_of_answer,
    failure_of_breaker,
    failure_of_connection,
    failure_of_queue,
    failure_of_size,
    failure_of_status,
    pause_s,
)
from coordinator.edges.gitea_reply_wire import Reply, UnexpectedAnswer
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
    ForgeUnauthorized,
    ForgeUnavailable,
    VendorRefused,
    VendorUnavailable,
)

CALL = in_repo("acme/rocket", "issues", 7)
TOKEN = "0123456789abcdef0123456789abcdef01234567"


def said(message: str, status: int, **headers: str) -> Failure:
    body = json.dumps({"message": message, "url": "https://forge/api/swagger"}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failure_of_status(CALL, Reply(status, named, body), token=TOKEN)


@pytest.mark.parametrize(
    ("status", "kind", "may_help"),
    [
        (400, ForgeInvalid, False),
        (401, ForgeUnauthorized, False),
        (403, ForgeForbidden, False),
        (404, ForgeNotFound, False),
        (405, ForgeRefused, False),
        (409, ForgeConflict, False),
        (412, ForgeBlocked, False),
        (422, ForgeInvalid, False),
        (423, ForgeArchived, False),
        (408, ForgeUnavailable, True),
        (425, ForgeUnavailable, True),
        (429, ForgeRateLimited, True),
        (500, ForgeUnavailable, True),
        (503, ForgeUnavailable, True),
    ],
)
def test_a_status_is_an_error(status: int, kind: type[ForgeError], may_help: bool) -> None:
    """Each has its class, its status, the request and the forge's words."""
    failure = said("because so", status)
    assert type(failure.error) is kind
    assert failure.may_help is may_help
    assert failure.error.status == status
    assert str(failure.error).startswith("GET /repos/acme/rocket/issues/7: ")
    assert "because so" in str(failure.error)
    assert failure.error.remedy in str(failure.error)
    assert isinstance(failure.error, VendorUnavailable if may_help else VendorRefused)


@pytest.mark.parametrize("status", [401, 404, 409, 412, 423, 429, 500, 503])
def test_what_an_operator_can_mend_has_a_remedy(status: int) -> None:
    """A person who reads the error knows what to do."""
    assert said("x", status).error.remedy


@pytest.mark.parametrize(
    ("message", "scope"),
    [
        (
            "token does not have at least one of required scope(s), required=[write:issue], "
            "token scope=read:issue",
            "write:issue",
        ),
        ("token does not have at least one of required scope(s): [read:user]", "read:user"),
        (
            "token does not have at least one of required scope(s), "
            "required=[read:user read:repository], token scope=write:issue",
            "read:user",
        ),
        ("Only admins can query all permissions, repo admins can query all repo permissions", None),
        ("required=[everything]", None),
    ],
)
def test_a_missing_scope_is_named(message: str, scope: str | None) -> None:
    """Both products' sentences are understood, and the value they saw stays in the message."""
    error = said(message, 403).error
    assert isinstance(error, ForgeForbidden)
    assert error.missing_scope == scope
    assert (scope or "account") in error.remedy
    assert message in str(error)


def test_the_token_is_blackened() -> None:
    """Should a forge repeat it, even where the message is cut."""
    error = said("x" * 170 + TOKEN + "y" * 1_000, 500).error
    assert TOKEN[:20] not in str(error)
    assert "[token]" in str(error)
    assert len(str(error)) < 350


def test_what_the_forge_says_is_one_bounded_line() -> None:
    """Line breaks and control characters cannot forge a log line."""
    text = str(said("one\ntwo\x1b[31m\r\n" + "z" * 5_000, 422).error)
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 350


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
@pytest.mark.parametrize("body", [b"404 page not found\n", b"<html>CONFIDENTIAL</html>", b'["x"]'])
def test_a_strangers_word_is_no_verdict(status: int, body: bytes) -> None:
    """A proxy without its forge says 404 to everything: that must not read as a deleted issue."""
    failure = failure_of_status(CALL, Reply(status, {}, body))
    assert type(failure.error) is ForgeUnavailable
    assert failure.may_help
    assert not failure.is_local
    assert "GITEA_URL" in failure.error.remedy
    assert "CONFIDENTIAL" not in str(failure.error)


def test_an_empty_refusal_is_the_forges() -> None:
    """Some of its refusals have no body."""
    assert type(failure_of_status(CALL, Reply(404, {}, b"")).error) is ForgeNotFound
    assert "no reason given" in str(said("", 404).error)


@pytest.mark.parametrize(
    ("reply", "is_local"),
    [
        (Reply(500, {}, b'{"message": ""}'), True),
        (Reply(500, {}, b"<html>"), False),
        (Reply(500, {}, b""), False),
        (Reply(502, {}, b'{"message": "bad gateway"}'), False),
    ],
)
def test_only_the_forges_own_500_is_local(reply: Reply, is_local: bool) -> None:
    """A proxy's error says nothing about one repository."""
    assert failure_of_status(CALL, reply).is_local is is_local


def test_a_wish_to_wait_is_passed_on() -> None:
    """For a full house and for maintenance alike."""
    for status in (429, 503):
        error = said("later", status, retry_after="30").error
        assert isinstance(error, ForgeUnavailable)
        assert error.retry_after_s == 30.0


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/api/v1/repos/acme/shuttle/issues/7?state=all", "/api/v1/repos/acme/shuttle/issues/7"),
        (
            "https://u:p@f.example:3000/api/v1/repositories/9",
            "https://f.example:3000/api/v1/repositories/9",
        ),
    ],
)
def test_a_new_name_is_told(location: str, shown: str) -> None:
    """A repository that moved is not found here; where it went is shown without user and query."""
    error = failure_of_status(CALL, Reply(301, {"location": location}, b"")).error
    assert isinstance(error, ForgeNotFound)
    assert error.moved_to == shown
    assert error.status == 301


@pytest.mark.parametrize(
    "location",
    [
        "https://forge.example.org/api/v1/repos/acme/rocket/issues/7",
        "/user/login?redirect_to=x",
        "https://sso.example.org/",
        "http://[::1",
        "http://h:99999999/api/v1/repos/a/b",
        "",
    ],
)
def test_another_redirect_is_a_wrong_address(location: str) -> None:
    """The same path elsewhere, a login, nonsense: nothing about the issue is known."""
    failure = failure_of_status(CALL, Reply(302, {"location": location}, b""))
    assert type(failure.error) is ForgeUnavailable
    assert not failure.may_help
    assert "GITEA_URL" in failure.error.remedy
    assert "?" not in str(failure.error)


def test_what_is_no_repository_cannot_move() -> None:
    """A redirect of a call outside any repository is never a rename."""
    reply = Reply(301, {"location": "/api/v1/repos/a/b"}, b"")
    assert type(failure_of_status(Call("GET", ("version",)), reply).error) is ForgeUnavailable


def test_garbage_is_named() -> None:
    """What was expected, what is wrong with it, and what kind of thing came instead."""
    reply = Reply(200, {"content-type": "text/html; charset=utf-8"}, b"<html>CONFIDENTIAL")
    failure = failure_of_answer(CALL, reply, UnexpectedAnswer("an issue", "but body: Invalid JSON"))
    assert isinstance(failure.error, ForgeUnavailable)
    assert failure.may_help
    assert "200, but expected an issue, but body: Invalid JSON (text/html" in str(failure.error)
    nameless = failure_of_answer(CALL, Reply(200, {}, b""), UnexpectedAnswer("an issue", "but x"))
    assert "(nothing)" in str(nameless.error)


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        ("ConnectError All connection attempts failed", "GITEA_URL"),
        ("ConnectError [SSL: CERTIFICATE_VERIFY_FAILED] self-signed", "SSL_CERT_FILE"),
    ],
)
def test_a_connection_that_failed_has_a_remedy(problem: str, remedy: str) -> None:
    """A certificate nobody trusts is another matter than a forge that is down."""
    failure = failure_of_connection(CALL, problem)
    assert isinstance(failure.error, ForgeUnavailable)
    assert remedy in failure.error.remedy
    assert failure.may_help


def test_what_is_ours_to_decide_is_not_tried_again() -> None:
    """An answer too large, no place in the line, an open circuit: asking again changes nothing."""
    size, queue, shut = (
        failure_of_size(CALL, 16 * 2**20),
        failure_of_queue(CALL, 30.0),
        failure_of_breaker(CALL, 4.5, "GET /version: 502"),
    )
    assert not any(failure.may_help for failure in (size, queue, shut))
    assert [failure.is_local for failure in (size, queue, shut)] == [False, False, False]
    assert "larger than 16 MiB" in str(size.error)
    assert "30 s" in str(queue.error)
    assert "GET /version: 502" in str(shut.error)
    assert isinstance(queue.error, ForgeNotAsked)
    assert isinstance(shut.error, ForgeNotAsked)
    assert shut.error.retry_after_s == 4.5


PACE = RetryPace(attempts=4, min_s=0.5, max_s=3.0)


@pytest.mark.parametrize(
    ("failure", "attempt", "jitter", "expected"),
    [
        (said("x", 503), 1, 0.0, 0.5),
        (said("x", 503), 2, 0.0, 1.0),
        (said("x", 503), 3, 0.0, 2.0),
        (said("x", 503), 4, 0.0, None),
        (said("x", 503), 2, 1.0, 0.75),
        (said("x", 429, retry_after="7"), 1, 1.0, 7.0),
        (said("x", 429, retry_after="7"), 4, 0.0, None),
        (said("x", 404), 1, 0.0, None),
    ],
)
def test_pauses_double_within_bounds(
    failure: Failure, attempt: int, jitter: float, expected: float | None
) -> None:
    """Our own pauses grow and are shortened by chance; the forge's wish is kept; an end is an end."""
    assert pause_s(failure, attempt, PACE, jitter=jitter) == expected


def test_many_attempts_do_not_overflow() -> None:
    """The pause stays at its maximum, however patient the pace."""
    assert pause_s(said("x", 503), 5_000, RetryPace(attempts=9_999), jitter=0.0) == 8.0
