"""The issues API: pages, single issues with their timeline, and clear refusals."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from coordinator.edges.journal import Commit, Draft
from coordinator.rules.events import IssueAssessed
from tests.web.standins import REF, running

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def test_pages_lead_through_all_issues(tmp_path: Path) -> None:
    """Following next_after shows every issue once, in order."""
    async with running(tmp_path) as app:
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = (await app.client.get("/api/v1/issues", params={"limit": "7"} | after)).json()
            seen += [issue["issue"] for issue in page["issues"]]
            if page["next_after"] is None:
                break
            after = {"after": page["next_after"]}
        assert seen == [f"acme/widgets#{n}" for n in range(1, 21)]


async def test_one_issue_comes_with_its_timeline(tmp_path: Path) -> None:
    """The issue's reason and evidence, and its events from the journal, oldest first."""
    async with running(tmp_path) as app:
        events = tuple(Draft(IssueAssessed(REF, "waiting", f"reason-{n}", "")) for n in range(3))
        await app.journal.commit(Commit(actor="dispatcher", at=AT, events=events))
        body = (await app.client.get("/api/v1/issues/Acme/Widgets/17")).json()
        assert body["issue"] == "acme/widgets#17"
        assert (body["reason"], body["run"]) == ("dispatched", "acme/widgets#17@1")
        assert body["metadata"]["blocked_by"] == ["acme/widgets#3"]
        assert [event["event"]["reason"] for event in body["timeline"]] == [
            "reason-0",
            "reason-1",
            "reason-2",
        ]
        assert body["timeline"][0]["type"] == "IssueAssessed"
        assert body["timeline"][0]["event"]["ref"] == "acme/widgets#17"


@pytest.mark.parametrize("name", ["acme/widgets", "ACME/Widgets", "acme/gadgets", "Acme/Gizmos"])
async def test_an_issue_is_found_under_every_name_of_its_repository(name: str, tmp_path: Path) -> None:
    """Whatever it was called once or is called now, it is the same issue with the same events."""
    async with running(tmp_path) as app:
        event = Draft(IssueAssessed(REF, "waiting", "reason", ""))
        await app.journal.commit(Commit(actor="dispatcher", at=AT, events=(event,)))
        body = (await app.client.get(f"/api/v1/issues/{name}/17")).json()
        assert (body["issue"], len(body["timeline"])) == ("acme/widgets#17", 1)


@pytest.mark.parametrize("path", ["acme/widgets/21", "acme/widgets/0", "acme/widgets/x", "a%23b/c/1"])
async def test_unknown_issues_are_404(path: str, tmp_path: Path) -> None:
    """An issue never heard of, and what is no issue at all, are 404."""
    async with running(tmp_path) as app:
        answer = await app.client.get(f"/api/v1/issues/{path}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("every=perhaps", "every"),
        ("after=nonsense", "after"),
        ("state=" + "x" * 30, "state"),
    ],
)
async def test_wrong_parameters_are_422_with_their_name(query: str, field: str, tmp_path: Path) -> None:
    """A parameter that cannot be used is named."""
    async with running(tmp_path) as app:
        answer = await app.client.get(f"/api/v1/issues?{query}")
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == field


async def test_a_dispatcher_that_is_down_is_503(tmp_path: Path) -> None:
    """When the one who knows is down, the answer is 503 with Retry-After, not a hang."""
    async with running(tmp_path) as app:
        await app.tree.terminate_child("root", "dispatcher")
        answer = await app.client.get("/api/v1/issues")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "actor_unavailable"
        assert int(answer.headers["retry-after"]) > 0
