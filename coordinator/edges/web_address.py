"""Addresses on the web: whether a given one can be used, and how to show any without its secrets."""

from urllib.parse import urlsplit

from coordinator.errors import SettingsError
from coordinator.rules.metadata import one_line

__all__ = ["shown_address", "web_address"]

_MAX_SHOWN_CHARS = 300


def web_address(name: str, given: str) -> str:
    """The address without a slash at its end, for a path to be put behind it.

    Raises SettingsError about the setting `name`. Users, passwords and queries are refused unseen.
    """
    try:
        parts = urlsplit(given)
        is_fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a broken IPv6 address, or a port that is none
        is_fit = False
    if is_fit and not set(given) & set("@?# "):
        return given.rstrip("/")
    may_tell = not set(given) & set("@?")
    seen = f"is {given!r}" if may_tell else "holds a user, a password or a query"
    raise SettingsError(
        f"{name} {seen}, expected http(s)://host[:port][/path] and nothing else;"
        " e.g. https://forge.example.org"
    )


def shown_address(url: str) -> str:
    """The address without user, query and fragment, any of which may be a secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    host = f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else ""
    return one_line(host + parts.path, _MAX_SHOWN_CHARS)
