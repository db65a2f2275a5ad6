"""The webhook: what is accepted, what is refused, and that nothing else is ever answered."""

import json
import sqlite3
from pathlib import Path

import httpx
import pytest
import structlog.testing
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.rules.ids import DeliveryId
from coordinator.web.limits import Limits
from coordinator.web.webhook import delivery_id, kept_headers
from tests.fakes.hostile import connect, reset
from tests.web.serving import eventually
from tests.web.standins import SECRET, Running, deliver, running, sign

PAYLOADS = Path(__file__).parent.parent / "payloads"
BODY = (PAYLOADS / "gitea126_assigned.body.json").read_bytes()
RECORDED = sorted(path.name.removesuffix(".body.json") for path in PAYLOADS.glob("*.body.json"))
ID = "1d3e0c6e-6a0b-4a55-9d58-0a4b6c0f2f11"


@pytest.mark.parametrize("name", RECORDED)
async def test_recorded_deliveries_are_accepted(name: str, tmp_path: Path) -> None:
    """The shapes of both forges are accepted and stored byte for byte."""
    body = (PAYLOADS / f"{name}.body.json").read_bytes()
    async with running(tmp_path) as app:
        answer = await deliver(app.client, body)
        assert (answer.status_code, answer.json()) == (200, {"status": "accepted", "delivery": ID})
        (stored,) = await app.journal.read_deliveries(0, 10)
        assert (stored.body, stored.id, stored.event) == (body, ID, "issues")


async def test_the_same_delivery_again_is_a_duplicate(tmp_path: Path) -> None:
    """Neither the same id nor the same content under another id is stored as news."""
    async with running(tmp_path) as app:
        await deliver(app.client, BODY)
        again = await deliver(app.client, BODY)
        replayed = await deliver(app.client, BODY, x_gitea_delivery="another-id")
        assert [answer.json()["status"] for answer in (again, replayed)] == ["duplicate"] * 2
        assert app.context.counters.duplicates == 2


@pytest.mark.parametrize(
    "signature", ["", "0" * 64, sign(BODY).upper(), f"sha256={sign(BODY)}", sign(BODY)[:-1], "é" * 64]
)
async def test_a_wrong_signature_is_refused(signature: str, tmp_path: Path) -> None:
    """Anything but the bare lowercase hex of the body's HMAC is 401, counted, and not stored."""
    async with running(tmp_path) as app:
        answer = await app.client.post(
            "/webhook/gitea",
            content=BODY,
            headers=[
                (b"content-type", b"application/json"),
                (b"x-gitea-event", b"issues"),
                (b"x-gitea-signature", signature.encode()),
            ],
        )
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "bad_signature"
        assert app.context.counters.signature_failures == 1
        assert await app.journal.read_deliveries(0, 10) == []


async def test_a_flood_of_unsigned_requests_is_one_line(tmp_path: Path) -> None:
    """All are counted, but strangers cannot fill the log: it has a line for the first of a while."""
    with structlog.testing.capture_logs() as lines:
        async with running(tmp_path) as app:
            for _ in range(20):
                await deliver(app.client, BODY, leave_out="x-gitea-signature")
            assert app.context.counters.signature_failures == 20
    assert 1 <= len([line for line in lines if line.get("outcome") == "unsigned"]) < 10


async def test_a_missing_signature_is_refused(tmp_path: Path) -> None:
    """No signature header is 401 like a wrong one."""
    async with running(tmp_path) as app:
        answer = await deliver(app.client, BODY, leave_out="x-gitea-signature")
        assert answer.status_code == 401


async def test_every_configured_secret_is_good(tmp_path: Path) -> None:
    """While secrets are rotated, deliveries signed with the old or the new one are accepted."""
    async with running(tmp_path) as app:
        app.context.secrets = (b"the new one", SECRET)
        for secret in app.context.secrets:
            answer = await deliver(app.client, BODY, x_gitea_signature=sign(BODY, secret))
            assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "action"),
        (b"[]", "body"),
        (b"not json", "body"),
        (BODY.replace(b'"number": 17,', b'"number": "17",', 1), "number"),
        (BODY.replace(b'"state": "open"', b'"state": "ajar"', 1), "issue.state"),
    ],
)
async def test_a_signed_but_invalid_payload_is_kept(body: bytes, field: str, tmp_path: Path) -> None:
    """422 names the field, and the bytes are kept as a rejected delivery."""
    async with running(tmp_path) as app:
        answer = await deliver(app.client, body)
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "invalid_payload"
        assert answer.json()["error"]["field"] == field
        assert app.context.counters.rejected == 1
        assert await app.journal.read_deliveries(0, 10) == []
    assert body in _all_blobs(tmp_path / "journal.sqlite3")


@pytest.mark.parametrize("event", ["push", "pull_request", "release", "", "x" * 500])
async def test_other_kinds_are_ignored_with_a_reason(event: str, tmp_path: Path) -> None:
    """Signed deliveries of other kinds are 200 ignored, with a reason, and are not stored."""
    async with running(tmp_path) as app:
        answer = await deliver(app.client, b'{"ref": "main"}', x_gitea_event=event)
        assert answer.status_code == 200
        assert answer.json()["status"] == "ignored"
        assert answer.json()["reason"]
        assert await app.journal.read_deliveries(0, 10) == []


async def test_the_header_must_agree_with_the_body(tmp_path: Path) -> None:
    """An issue payload announced as a comment is refused: the event header is not signed."""
    async with running(tmp_path) as app:
        answer = await deliver(app.client, BODY, x_gitea_event="issue_comment")
        assert answer.status_code == 422


async def test_requests_of_another_kind_are_refused(tmp_path: Path) -> None:
    """405 for other methods, 415 for other media types, 413 for too much."""
    async with running(tmp_path, limits=Limits(max_body_bytes=20_000)) as app:
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            answer = await app.client.request(method, "/webhook/gitea")
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        for media_type in ("application/x-www-form-urlencoded", "text/plain", ""):
            answer = await deliver(app.client, BODY, content_type=media_type)
            assert answer.status_code == 415
        answer = await deliver(app.client, BODY + b" " * 20_000)
        assert answer.status_code == 413
        answer = await deliver(app.client, BODY, content_type="Application/JSON; charset=utf-8")
        assert answer.status_code == 200


async def test_a_journal_that_cannot_commit_is_503(tmp_path: Path) -> None:
    """When the store is away the sender is told to come back, within the forge's patience."""
    async with running(tmp_path) as app:
        await app.tree.terminate_child("root", "journal")
        began = trio.current_time()
        answer = await deliver(app.client, BODY)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["error"]["code"] == "journal_unavailable"
        assert trio.current_time() - began < 4
        rejected = await deliver(app.client, b"{}")
        assert rejected.status_code == 422
        assert app.context.counters.unavailable == 1


async def test_a_client_that_hangs_up_does_not_tear_the_commit(tmp_path: Path) -> None:
    """A delivery whose client resets the connection right after sending is stored all the same."""
    async with running(tmp_path) as app:
        for n in range(30):
            body = BODY.rstrip()[:-1] + b',"n":%d}' % n
            stream = await connect(app.port)
            await stream.send_all(_request(body, f"id-{n}"))
            await eventually(lambda n=n: app.context.counters.connections_total > n)  # type: ignore[misc]
            if n % 2:
                reset(stream)
            else:
                await stream.aclose()
        await eventually(lambda: app.context.counters.connections_open == 0)
        counters = app.context.counters
        assert app.journal.head("deliveries") == counters.accepted
        assert counters.connections_failed == 0
        assert (await app.client.get("/health")).status_code == 200


async def test_one_line_per_delivery_without_body_or_secret(tmp_path: Path) -> None:
    """The log has id, event, outcome and time of each delivery, and nothing of its content."""
    async with running(tmp_path) as app:
        with structlog.testing.capture_logs() as lines:
            await deliver(app.client, BODY)
        (line,) = [line for line in lines if line["event"] == "delivery"]
        assert line["delivery"] == ID
        assert line["outcome"] == "accepted"
        assert line["ms"] >= 0
        assert "trailing blanks" not in str(line)
        assert SECRET.decode() not in str(line)


async def test_stored_headers_hold_no_credentials(tmp_path: Path) -> None:
    """Of the headers only those on the list are stored; signatures and Authorization never are."""
    async with running(tmp_path) as app:
        await deliver(app.client, BODY, authorization="Bearer very-secret", x_hub_signature="sha1=abc")
    held = b"".join(_all_blobs(tmp_path / "journal.sqlite3"))
    assert b"very-secret" not in held
    assert sign(BODY).encode() not in held
    assert b"x-gitea-event" in held


@pytest.mark.parametrize("given_id", [b"", b"a b", b"x" * 129, "é".encode(), b"\x7f"])
def test_an_unusable_delivery_id_is_replaced_by_the_contents(given_id: bytes) -> None:
    """Ids outside 1-128 printable ASCII are derived from the body, the same for the same body."""
    derived = delivery_id({b"x-gitea-delivery": given_id}, b"body")
    assert derived == delivery_id({}, b"body")
    assert derived != delivery_id({}, b"other")
    assert derived.startswith("sha256:")


def test_a_usable_delivery_id_is_kept() -> None:
    """The forge's own id is the delivery's id."""
    assert delivery_id({b"x-gitea-delivery": b"x" * 128}, b"") == DeliveryId("x" * 128)


def test_kept_headers_are_cut_and_listed() -> None:
    """Only listed headers are kept, each at most 256 bytes long."""
    kept = kept_headers({b"user-agent": b"g" * 1000, b"cookie": b"c", b"authorization": b"a"})
    assert kept == (("user-agent", "g" * 256),)


_HEADER = st.binary(max_size=300).map(
    lambda value: bytes(b for b in value if b >= 32 and b != 127).strip()
)


async def test_no_body_and_no_header_makes_it_fail(tmp_path: Path) -> None:
    """Whatever is signed and sent, the answer is one of those documented, at once."""
    async with running(tmp_path) as app:
        answers: list[tuple[int, object]] = []

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            body=st.one_of(
                st.binary(max_size=2000),
                st.recursive(
                    st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                ).map(lambda value: json.dumps(value).encode()),
            ),
            event=st.sampled_from([b"issues", b"issue_comment", b"push"]) | _HEADER,
            event_type=_HEADER,
            given_id=_HEADER,
            is_signed=st.booleans(),
        )
        def send(
            body: bytes, event: bytes, event_type: bytes, given_id: bytes, is_signed: bool
        ) -> None:
            headers = [
                (b"content-type", b"application/json"),
                (b"x-gitea-event", event),
                (b"x-gitea-event-type", event_type),
                (b"x-gitea-delivery", given_id),
                (b"x-gitea-signature", sign(body).encode() if is_signed else event),
            ]
            answer = trio.from_thread.run(_post, app, headers, body)
            expected = {200, 422} if is_signed else {401}
            assert answer.status_code in expected, answer.text
            assert "traceback" not in answer.text.lower()
            answers.append((answer.status_code, answer.json()))

        await trio.to_thread.run_sync(send)
        assert len(answers) >= 150
        assert app.context.counters.internal_errors == 0


async def _post(app: Running, headers: list[tuple[bytes, bytes]], body: bytes) -> httpx.Response:
    with trio.fail_after(60):
        return await app.client.post("/webhook/gitea", content=body, headers=headers)


def _request(body: bytes, given_id: str) -> bytes:
    head = (
        "POST /webhook/gitea HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"X-Gitea-Event: issues\r\nX-Gitea-Delivery: {given_id}\r\nX-Gitea-Signature: {sign(body)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _all_blobs(path: Path) -> list[bytes]:
    """Every value of every table, as bytes."""
    found: list[bytes] = []
    database = sqlite3.connect(path)
    try:
        tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in database.execute(f"SELECT * FROM {table}"):
                found += [v if isinstance(v, bytes) else str(v).encode() for v in row]
    finally:
        database.close()
    return found
