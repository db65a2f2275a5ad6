"""The application as a whole: one envelope, one guard, no traceback, whatever is asked."""

from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import trio

from coordinator.web.openapi import OPERATIONS
from tests.fakes.hostile import VECTORS, connect, exchange
from tests.web.serving import eventually
from tests.web.standins import TOKEN, running

GUARDED = [operation for operation in OPERATIONS if not operation.is_open]
OPEN = [operation for operation in OPERATIONS if operation.is_open and operation.method == "get"]


def path_of(template: str) -> str:
    """The path with something in each place."""
    for name, value in {"owner": "acme", "repo": "widgets", "number": "17", "name": "sonnet-1"}.items():
        template = template.replace(f"{{{name}}}", value)
    return template.replace("{order_id}", "1").replace("{letter_id}", "1")


@pytest.mark.parametrize(
    "operation", GUARDED, ids=lambda operation: f"{operation.method} {operation.path}"
)
async def test_every_guarded_route_wants_the_token(operation: object, tmp_path: Path) -> None:
    """Without the token, or with a wrong one, no guarded route answers anything but 401."""
    method, path = getattr(operation, "method", ""), path_of(getattr(operation, "path", ""))
    async with running(tmp_path) as app, httpx.AsyncClient(base_url=app.client.base_url) as stranger:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
            answer = await stranger.request(method, path, headers=headers, json={})
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "unauthorized"
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", [operation.path for operation in OPEN])
async def test_open_routes_want_no_token(path: str, tmp_path: Path) -> None:
    """Health is for everybody, and nothing else is but the webhook, which has its signature."""
    assert path == "/health"
    async with running(tmp_path) as app, httpx.AsyncClient(base_url=app.client.base_url) as stranger:
        assert (await stranger.get(path)).status_code == 200


async def test_without_a_token_a_public_server_explains_itself(tmp_path: Path) -> None:
    """Bound to all addresses and without a token, the API is 403 and names the setting."""
    async with running(tmp_path, host="0.0.0.0", api_token=None) as app:
        answer = await app.client.get("/state")
        assert answer.status_code == 403
        assert "COORDINATOR_API_TOKEN" in answer.json()["error"]["message"]
        assert (await app.client.get("/health")).status_code == 200


async def test_without_a_token_loopback_answers_local_requests_alone(tmp_path: Path) -> None:
    """On loopback without a token only a local Host and Origin are served: no rebinding, no page."""
    async with running(tmp_path, api_token=None) as app:
        for headers, status in (
            ({}, 200),
            ({"host": "localhost:8000"}, 200),
            ({"host": "[::1]"}, 200),
            ({"origin": "http://localhost:3000"}, 200),
            ({"host": "evil.example"}, 403),
            ({"host": "127.0.0.1.evil.example"}, 403),
            ({"origin": "https://evil.example"}, 403),
            ({"origin": "null"}, 403),
        ):
            answer = await app.client.get("/api/v1/agents", headers=headers)
            assert answer.status_code == status, headers


@pytest.mark.parametrize("path", ["/nope", "/health/", "/api/v1/issues/acme", "/static/x"])
async def test_unknown_paths_are_404_in_the_envelope(path: str, tmp_path: Path) -> None:
    """What is not there is 404, without redirects and without HTML."""
    async with running(tmp_path) as app:
        answer = await app.client.get(f"http://127.0.0.1:{app.port}{path}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


async def test_wrong_methods_are_405_with_allow(tmp_path: Path) -> None:
    """Another method than the documented ones is 405 and says which are allowed."""
    async with running(tmp_path) as app:
        answer = await app.client.delete("/api/v1/issues")
        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]
        assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_answers_carry_the_protective_headers(tmp_path: Path) -> None:
    """Every answer, also an error, is JSON that is neither stored nor sniffed."""
    async with running(tmp_path) as app:
        for path in ("/", "/health", "/state", "/nope", "/openapi.json"):
            answer = await app.client.get(path)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_failure_inside_shows_no_cause(tmp_path: Path) -> None:
    """An unexpected error is 500 in the envelope, counted, and its text stays in the log."""

    def failing() -> tuple[str, ...]:
        raise ZeroDivisionError("the cause")

    async with running(tmp_path, degraded=failing) as app:
        answer = await app.client.get("/health")
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "internal_error"
        assert "cause" not in answer.text
        assert app.context.counters.internal_errors == 1


@pytest.mark.parametrize(
    "path",
    ["/api/v1/deadletters", "/api/v1/issues/acme/widgets/17", "/api/v1/agents/sonnet-1/usage"],
)
async def test_a_journal_that_is_away_is_503(path: str, tmp_path: Path) -> None:
    """While the journal does not answer, whatever reads from it says so and when to come back."""
    async with running(tmp_path) as app:
        await app.tree.terminate_child("root", "journal")
        answer = await app.client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "journal_unavailable")
        assert answer.headers["retry-after"] == "2"
        assert app.context.counters.internal_errors == 0


async def test_the_index_leads_on(tmp_path: Path) -> None:
    """GET / lists addresses that exist."""
    async with running(tmp_path) as app:
        urls = (await app.client.get("/")).json()["urls"]
        for url in urls.values():
            assert (await app.client.get(url)).status_code == 200


async def test_all_hostile_connections_at_once(tmp_path: Path) -> None:
    """With every vector thrown at the whole app together, the tree runs on and nothing leaks."""
    async with running(tmp_path) as app:
        streams = []
        for vector in VECTORS.values():
            stream = await connect(app.port)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(vector)
            streams.append(stream)
        assert (await app.client.get("/health")).json()["status"] == "ok"
        for stream in streams:
            await stream.aclose()
        await app.client.aclose()
        await eventually(lambda: app.context.counters.connections_open == 0)
        assert app.context.counters.internal_errors == 0
        assert app.tree.healthy()["web"] == "running"
        assert (await exchange(app.port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")).startswith(
            b"HTTP/1.1 200 "
        )
