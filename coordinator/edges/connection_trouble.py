"""Why a request came to nothing, in words for people: the libraries' own name classes and group errors.

Knows neither whom we asked nor why.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import trio

__all__ = ["trouble_of"]

# trio's words. Where a proxy is between, this is the proxy's address, as it should be.
_ATTEMPTS = re.compile(r"all attempts to connect to (\S+) failed")
_PORTS = {"http": 80, "https": 443}


def trouble_of(error: Exception, url: str) -> str:
    """One clause with the host and port that failed; what nobody foresaw in the library's own words."""
    causes = list(_causes(error))
    place = _place(url)
    for cause in causes:
        if found := _ATTEMPTS.search(str(cause)):
            place = found[1]
    for cause in causes:
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return f"{place} closed the connection"
        if isinstance(cause, ssl.SSLError):  # what breaks off for it has no words of its own
            return f"{place}: {cause}"
    for cause in causes:
        match cause:
            case ConnectionRefusedError():
                return f"{place} refuses the connection"
            case socket.gaierror():
                return f"{place}: the host is not known ({cause.strerror})"
            case httpx.TimeoutException() | trio.TooSlowError() | TimeoutError():
                return f"{place} does not answer in time"
            case trio.BrokenResourceError() | ConnectionResetError():
                return f"{place} closed the connection"
            case httpx.RemoteProtocolError() if "disconnected" in str(cause):
                return f"{place} closed the connection"
    deepest = causes[-1]
    if isinstance(deepest, OSError) and deepest.strerror:
        return f"{place}: {deepest.strerror}"
    return next((str(cause) for cause in reversed(causes) if str(cause)), type(error).__name__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what is behind it; of several the first."""
    deeper: object = error
    while isinstance(deeper, BaseException):
        yield deeper
        if isinstance(deeper, BaseExceptionGroup):
            deeper = deeper.exceptions[0]
        else:
            # The pool's own errors carry what they stand for as their argument.
            deeper = deeper.__cause__ or next(iter(deeper.args), None)


def _place(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "the address"
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{port}"
