"""Health says whether all is well, and when not, what is wrong."""

from pathlib import Path

from tests.web.serving import eventually
from tests.web.standins import AGENT, deliver, running, sign

BODY = (Path(__file__).parent.parent / "payloads" / "gitea126_assigned.body.json").read_bytes()


async def test_all_well_is_200(tmp_path: Path) -> None:
    """With tree and journal up it is 200 and names version, components and degraded modes."""
    async with running(tmp_path, degraded=lambda: ("no-forge-token",)) as app:
        answer = await app.client.get("/health")
        body = answer.json()
        assert (answer.status_code, body["status"], body["version"]) == (200, "ok", "0.1.0")
        assert body["components"]["dispatcher"] == "running"
        assert body["agents"] == {"running": 2}
        assert body["degraded"] == ["no-forge-token"]
        assert body["last_delivery_age_s"] is None
        assert body["uptime_s"] >= 0
        assert body["journal_error"] is None


async def test_it_counts_what_happened(tmp_path: Path) -> None:
    """Deliveries by outcome, signature failures, rejections and connections are counted."""
    async with running(tmp_path) as app:
        await deliver(app.client, BODY)
        await deliver(app.client, BODY)
        await deliver(app.client, BODY, x_gitea_signature=sign(BODY, b"other"))
        await deliver(app.client, b"{}")
        await deliver(app.client, b"{}", x_gitea_event="push")
        body = (await app.client.get("/health")).json()
        assert body["deliveries"] == {"accepted": 1, "duplicates": 1, "ignored": 1, "unavailable": 0}
        assert (body["signature_failures"], body["rejected"]) == (1, 1)
        assert body["last_delivery_age_s"] >= 0
        assert body["connections"]["open"] == 1
        assert {"journal_writes", "open_orders", "mailboxes:monitors"} <= set(body["queues"])
        assert any(name.startswith("mailbox:") for name in body["queues"])


async def test_before_the_tree_it_is_503(tmp_path: Path) -> None:
    """While the program comes up health is 503 "starting"."""
    async with running(tmp_path) as app:
        app.context.tree = None
        answer = await app.client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "starting")


async def test_a_journal_that_is_away_is_503(tmp_path: Path) -> None:
    """With the journal down health is 503 "failing" and says why."""
    async with running(tmp_path) as app:
        await app.tree.terminate_child("root", "journal")
        answer = await app.client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "failing")
        assert answer.json()["journal_error"]


async def test_one_stopped_monitor_is_no_failure(tmp_path: Path) -> None:
    """An agent's monitor that is down is counted, and the whole is well all the same."""
    async with running(tmp_path) as app:
        await app.tree.terminate_child("root", f"monitor:{AGENT}")
        await eventually(lambda: app.tree.healthy()[f"monitor:{AGENT}"] == "stopped")
        answer = await app.client.get("/health")
        assert answer.status_code == 200
        assert answer.json()["agents"] == {"running": 1, "stopped": 1}
