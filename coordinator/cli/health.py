"""`mosaic-coordinator health`: the container's health check, from the standard library alone.

It starts every half minute on machines that may be small, so it loads no HTTP client.
"""

import http.client
import json
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from coordinator.config import local_url
from coordinator.edges.web_address import shown_address, web_address
from coordinator.errors import SettingsError

__all__ = ["check_health"]

# Below the image's own limit of 5 s, so that the reason still reaches the log of the check.
_TIMEOUT_S = 4.0


def check_health(url: str | None, environ: Mapping[str, str]) -> int:
    """0 and one line when `/health` answers 200, else 1 and one line that says what happened."""
    base = url or local_url(environ)
    try:
        status, body = _get(web_address("--url", base))
    except (SettingsError, OSError, http.client.HTTPException, ValueError) as problem:
        reason = str(problem) or type(problem).__name__  # ValueError: no host name
        sys.stdout.write(f"unreachable: {shown_address(base)}/health ({reason})\n")
        return 1
    healthy = status == http.client.OK
    sys.stdout.write(f"{'healthy' if healthy else 'unhealthy'}: {status} {_summary(body)}\n")
    return 0 if healthy else 1


def _get(base: str) -> tuple[int, bytes]:
    parts = urlsplit(base)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"{parts.path}/health", headers={"Accept": "application/json"})
        response = connection.getresponse()
        return response.status, response.read(1_000_000)
    finally:
        connection.close()


def _summary(body: bytes) -> str:
    """Status and degraded modes, as far as the answer has them."""
    try:
        report = json.loads(body)
    except ValueError:
        return "(no JSON)"
    if not isinstance(report, dict):
        return "(no report)"
    degraded = report.get("degraded") or []
    names = (
        ", ".join(str(name) for name in degraded)
        if isinstance(degraded, list | dict)
        else str(degraded)
    )
    return f"{report.get('status', '')}{f'; degraded: {names}' if names else ''}"
