"""Who may use the API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.web.auth import check_access
from coordinator.web.envelope import Refused


def access(
    *,
    token: str | None = None,
    bind_is_loopback: bool = True,
    authorization: str | None = None,
    host: str | None = "localhost",
    origin: str | None = None,
) -> int:
    """The status the check ends in, 200 for access."""
    try:
        check_access(
            token=token,
            bind_is_loopback=bind_is_loopback,
            authorization=authorization,
            host=host,
            origin=origin,
        )
    except Refused as refused:
        return refused.status
    return 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer right", 200),
        ("bearer right", 200),
        ("Bearer  right ", 200),
        ("Bearer wrong", 401),
        ("Bearer", 401),
        ("right", 401),
        ("Basic right", 401),
        ("Bearer r\u00efght", 401),
        ("", 401),
        (None, 401),
    ],
)
def test_the_token_opens_from_anywhere(authorization: str | None, status: int) -> None:
    """With a token configured only its bearer gets in, whatever the bind, Host and Origin."""
    for bind_is_loopback in (True, False):
        assert (
            access(
                token="right",
                bind_is_loopback=bind_is_loopback,
                authorization=authorization,
                host="evil.example",
            )
            == status
        )


@given(st.text(), st.text(min_size=1))
def test_no_other_text_is_the_token(given_token: str, token: str) -> None:
    """Any text but the token itself is refused, and none makes the comparison fail."""
    authorization = f"Bearer {given_token}".encode(errors="ignore").decode()
    token = token.encode(errors="ignore").decode().strip() or "right"
    expected = 200 if authorization.partition(" ")[2].strip() == token else 401
    assert access(token=token, authorization=authorization) == expected


def test_without_a_token_a_public_bind_is_closed() -> None:
    """No token and a public bind is 403, even for local requests."""
    assert access(bind_is_loopback=False) == 403


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:8000", None, 200),
        ("127.0.0.1", None, 200),
        ("127.8.8.8:1", None, 200),
        ("[::1]:8000", None, 200),
        ("LOCALHOST", "http://127.0.0.1:3000", 200),
        ("evil.example", None, 403),
        ("localhost.evil.example", None, 403),
        ("10.0.0.1", None, 403),
        ("[::1", None, 403),
        ("", None, 403),
        (None, None, 403),
        ("localhost", "https://evil.example", 403),
        ("localhost", "null", 403),
        ("localhost", "", 403),
    ],
)
def test_without_a_token_only_this_machine_gets_in(
    host: str | None, origin: str | None, status: int
) -> None:
    """On loopback both Host and Origin must be local: neither rebinding nor a foreign page works."""
    assert access(host=host, origin=origin) == status
