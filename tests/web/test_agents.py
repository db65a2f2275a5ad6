"""The agent protocol: report, receive, acknowledge."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from coordinator.edges.journal import Commit, OrderDraft, Sample
from coordinator.rules.context import ContextUsage
from coordinator.rules.ids import AgentName, RunId
from coordinator.rules.orders import CancelRun
from coordinator.web.agents import is_long_poll
from tests.fakes.hostile import connect
from tests.web.serving import UNHURRIED, eventually
from tests.web.standins import AGENT, REF, TOKEN, Hang, Running, running, utc_now

RUN = RunId(REF, 1)
BASE = f"/api/v1/agents/{AGENT}"


async def open_order(app: Running) -> None:
    draft = OrderDraft(CancelRun(RUN, AgentName(AGENT), "closed"), f"agent:{AGENT}")
    await app.journal.commit(Commit(actor="dispatcher", at=utc_now(), opened=(draft,)))


async def test_agents_are_listed_and_those_that_hang_are_named(tmp_path: Path) -> None:
    """The list has every monitor that answers, and the names of those that do not."""
    async with running(tmp_path) as app:
        await app.tree.ref("monitor:other").cast(Hang())
        body = (await app.client.get("/api/v1/agents")).json()
        assert [agent["agent"] for agent in body["agents"]] == [AGENT]
        assert body["unreachable"] == ["other"]
        assert body["agents"][0]["runs"][0]["usage"]["used_tokens"] == 60


async def test_one_agent_is_described(tmp_path: Path) -> None:
    """What the monitor knows, or 404 for a name nobody has."""
    async with running(tmp_path) as app:
        assert (await app.client.get(BASE)).json()["model"] == "claude-sonnet-5-5"
        for path in ("", "/usage", "/orders"):
            answer = await app.client.get(f"/api/v1/agents/nobody{path}")
            assert answer.status_code == 404
            assert "nobody" in answer.json()["error"]["message"]


async def test_a_reading_is_recorded(tmp_path: Path) -> None:
    """The report reaches the monitor, whose decision is the answer."""
    async with running(tmp_path) as app:
        report = {"run": str(RUN), "session": 1, "input_tokens": 50_000, "cache_read_tokens": 50_000}
        answer = await app.client.post(f"{BASE}/usage", json=report)
        assert (answer.status_code, answer.json()) == (200, {"action": "continue", "fill": 0.5})


@pytest.mark.parametrize(
    ("report", "status", "code", "field"),
    [
        ({}, 422, "invalid_request", "input_tokens"),
        ({"input_tokens": -1}, 422, "invalid_request", "input_tokens"),
        ({"input_tokens": "12"}, 422, "invalid_request", "input_tokens"),
        ({"input_tokens": 1, "extra": 2}, 422, "invalid_request", "extra"),
        ({"input_tokens": 1, "run": "nonsense"}, 422, "invalid_request", "run"),
        ({"input_tokens": 1, "run": f"{REF}@7"}, 409, "conflict", None),
        ({"input_tokens": 1, "run": f"{REF}@8"}, 422, "invalid_request", "session"),
        ({"input_tokens": 1, "run": f"{REF}@9"}, 503, "journal_unavailable", None),
    ],
)
async def test_readings_that_cannot_be_used_are_refused(
    report: dict[str, Any], status: int, code: str, field: str | None, tmp_path: Path
) -> None:
    """Each refusal has its status, its code and, where one field is wrong, its name."""
    async with running(tmp_path) as app:
        answer = await app.client.post(f"{BASE}/usage", json=report)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code
        assert answer.json()["error"].get("field") == field


async def test_only_json_is_read(tmp_path: Path) -> None:
    """Another media type is 415 and broken JSON 400."""
    async with running(tmp_path) as app:
        answer = await app.client.post(
            f"{BASE}/usage", content=b"{}", headers={"content-type": "text/plain"}
        )
        assert answer.status_code == 415
        answer = await app.client.post(
            f"{BASE}/usage", content=b"{", headers={"content-type": "application/json"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed_json")


async def test_the_history_of_readings(tmp_path: Path) -> None:
    """Samples come oldest first, from the given instant on."""
    async with running(tmp_path) as app:
        times = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3)]
        samples = tuple(
            Sample(AgentName(AGENT), RUN, 1, ContextUsage(n, 0, 0, 0, None, at))
            for n, at in enumerate(times)
        )
        await app.journal.commit(Commit(actor=f"monitor:{AGENT}", at=utc_now(), samples=samples))
        params = {"since": "2026-11-02T00:00:00Z", "limit": "10"}
        body = (await app.client.get(f"{BASE}/usage", params=params)).json()
        assert [sample["usage"]["input_tokens"] for sample in body["samples"]] == [1, 2]
        assert len((await app.client.get(f"{BASE}/usage")).json()["samples"]) == 3
        wrong = await app.client.get(f"{BASE}/usage", params={"since": "yesterday"})
        assert wrong.json()["error"]["field"] == "since"


async def test_a_poll_is_answered_when_an_order_opens(tmp_path: Path) -> None:
    """A waiting poll gets the order as soon as it is opened; a later one gets it at once."""
    async with running(tmp_path) as app:
        answers: list[httpx.Response] = []

        async def poll() -> None:
            answers.append(await app.client.get(f"{BASE}/orders", params={"wait_s": "30"}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await eventually(lambda: bool(app.context._polls))
            await open_order(app)
        (order,) = answers[0].json()["orders"]
        assert (order["type"], order["order"]["run"]) == ("CancelRun", str(RUN))
        again = await app.client.get(f"{BASE}/orders")
        assert again.json()["orders"] == [order]


async def test_a_poll_ends_empty_after_its_time(tmp_path: Path) -> None:
    """Without an order the answer is an empty list, after wait_s and not later."""
    async with running(tmp_path) as app:
        answer = await app.client.get(f"{BASE}/orders", params={"wait_s": "0.05"})
        assert answer.json() == {"orders": []}
        assert (await app.client.get(f"{BASE}/orders", params={"wait_s": "61"})).status_code == 422


async def test_a_stop_answers_waiting_polls_at_once(tmp_path: Path) -> None:
    """Clients that wait are answered with what there is when the server stops."""
    answers: list[httpx.Response] = []
    async with running(tmp_path, limits=UNHURRIED) as app:

        async def poll() -> None:
            url = f"{BASE}/orders"
            answers.append(await app.client.get(url, params={"wait_s": "60"}, timeout=None))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await eventually(lambda: bool(app.context._polls))
            with trio.fail_after(30):
                await app.tree.terminate_child("root", "web")
    assert answers[0].json() == {"orders": []}


async def test_a_poll_ends_when_its_client_leaves(tmp_path: Path) -> None:
    """A client that hangs up while it waits leaves no task behind."""
    async with running(tmp_path) as app:
        stream = await connect(app.port)
        head = f"GET {BASE}/orders?wait_s=60 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}"
        await stream.send_all(head.encode() + b"\r\n\r\n")
        await eventually(lambda: bool(app.context._polls))
        await stream.aclose()
        await eventually(lambda: not app.context._polls)


async def test_orders_are_acknowledged(tmp_path: Path) -> None:
    """The monitor says whether the order was open; what is no order's number is 404."""
    async with running(tmp_path) as app:
        for order_id, known in (("1", True), ("2", False), ("9" * 19, False)):
            answer = await app.client.post(f"{BASE}/orders/{order_id}", json={"status": "done"})
            assert answer.json() == {"known": known}
        for order_id in ("x", "-1", "9" * 20, "१"):
            answer = await app.client.post(f"{BASE}/orders/{order_id}", json={"status": "done"})
            assert answer.status_code == 404
        wrong = await app.client.post(f"{BASE}/orders/1", json={"status": "perhaps"})
        assert wrong.json()["error"]["field"] == "status"


def test_only_polls_are_watched() -> None:
    """Of all requests only the reading of orders waits for something."""
    assert is_long_poll("GET", f"{BASE}/orders")
    assert not is_long_poll("POST", f"{BASE}/orders")
    assert not is_long_poll("GET", f"{BASE}/usage")
    assert not is_long_poll("GET", "/orders")
