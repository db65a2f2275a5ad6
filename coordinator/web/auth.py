"""Who may use the API: the bearer of the token, or, without one, this machine alone."""

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from coordinator.web.envelope import Refused

__all__ = ["check_access"]

_CHALLENGE = {"www-authenticate": 'Bearer realm="mosaic-coordinator"'}


def check_access(
    *,
    token: str | None,
    bind_is_loopback: bool,
    authorization: str | None,
    host: str | None,
    origin: str | None,
) -> None:
    """Return if the request may use the API, else raise Refused (401 or 403).

    Without a token only a server bound to loopback answers, and only when the browser's view agrees:
    a foreign Host is DNS rebinding, a foreign Origin is a web page reaching for localhost.
    """
    if token is not None:
        _check_bearer(token, authorization or "")
    elif not bind_is_loopback:
        raise Refused(
            403,
            "token_required",
            "set COORDINATOR_API_TOKEN to use the API: without it only a server bound to a loopback "
            "address answers",
        )
    elif not _is_local(f"//{host or ''}") or not (origin is None or _is_local(origin)):
        raise Refused(
            403, "not_local", "without COORDINATOR_API_TOKEN only local requests are answered"
        )


def _check_bearer(token: str, authorization: str) -> None:
    scheme, _, given = authorization.partition(" ")
    # Compared as bytes: on text compare_digest raises for anything outside ASCII.
    matches = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not matches:
        raise Refused(
            401, "unauthorized", "send the token as Authorization: Bearer", headers=_CHALLENGE
        )


def _is_local(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
