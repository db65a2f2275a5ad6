"""Dead letters are listed newest first, and can be tried again."""

from pathlib import Path

import pytest

from coordinator.edges.journal import Commit, DeadLetter
from tests.web.serving import eventually
from tests.web.standins import Running, deliver, running, utc_now

BODY = (Path(__file__).parent.parent / "payloads" / "gitea126_assigned.body.json").read_bytes()


async def bury(app: Running, actor: str, item: int | None) -> None:
    letter = DeadLetter(actor, item, "IssueObserved(...)", "ValueError: first", "ValueError: second")
    await app.journal.commit(Commit(actor=actor, at=utc_now(), dead_letters=(letter,)))


async def test_letters_are_listed(tmp_path: Path) -> None:
    """Newest first, with both errors, and by actor where asked."""
    async with running(tmp_path) as app:
        await bury(app, "parser", 3)
        await bury(app, "scribe", None)
        letters = (await app.client.get("/api/v1/deadletters")).json()["dead_letters"]
        assert [letter["actor"] for letter in letters] == ["scribe", "parser"]
        assert letters[1]["second_error"] == "ValueError: second"
        of_one = await app.client.get("/api/v1/deadletters", params={"actor": "parser", "limit": "5"})
        assert [letter["item"] for letter in of_one.json()["dead_letters"]] == [3]
        wrong = await app.client.get("/api/v1/deadletters", params={"limit": "0"})
        assert wrong.status_code == 422


async def test_a_replay_is_marked_and_told_to_the_actor(tmp_path: Path) -> None:
    """The letter says when it was replayed, and its actor is asked to take the event up again."""
    async with running(tmp_path) as app:
        await bury(app, "parser", 3)
        answer = await app.client.post("/api/v1/deadletters/1/replay", json={})
        assert answer.status_code == 200
        assert answer.json()["replayed_at"]
        await eventually(lambda: app.tree.dump().find("parser").state == {"seen": [3]})


@pytest.mark.parametrize(("actor", "item"), [("gone", 3), ("parser", None), ("router", None)])
async def test_letters_nobody_waits_for_are_only_marked(
    actor: str, item: int | None, tmp_path: Path
) -> None:
    """For an actor that is not there, and for what the journal replays itself, nobody is told."""
    async with running(tmp_path) as app:
        await bury(app, actor, item)
        answer = await app.client.post("/api/v1/deadletters/1/replay", json={})
        assert answer.status_code == 200
        assert app.tree.dump().find("parser").handled == 0


@pytest.mark.parametrize("letter_id", ["1", "x", "9" * 30, "-1"])
async def test_unknown_letters_are_404(letter_id: str, tmp_path: Path) -> None:
    """There is nothing to replay under an unknown number."""
    async with running(tmp_path) as app:
        answer = await app.client.post(f"/api/v1/deadletters/{letter_id}/replay", json={})
        assert answer.status_code == 404


async def test_a_delivery_is_replayed_by_the_journal_itself(tmp_path: Path) -> None:
    """The router's letter puts a copy of its delivery into the inbox; without a body it is 409."""
    async with running(tmp_path) as app:
        await deliver(app.client, BODY)
        await bury(app, "router", 1)
        await bury(app, "router", 99)
        assert (await app.client.post("/api/v1/deadletters/1/replay", json={})).status_code == 200
        assert app.journal.head("deliveries") == 2
        lost = await app.client.post("/api/v1/deadletters/2/replay", json={})
        assert (lost.status_code, lost.json()["error"]["code"]) == (409, "conflict")


async def test_a_replay_without_a_journal_is_503(tmp_path: Path) -> None:
    """When the journal is away the client is told to come back."""
    async with running(tmp_path) as app:
        await app.tree.terminate_child("root", "journal")
        answer = await app.client.post("/api/v1/deadletters/1/replay", json={})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "journal_unavailable"
