"""A backup is made inside DATA_DIR/backups and nowhere else."""

import sqlite3
from pathlib import Path

import pytest
import trio

from tests.web.standins import deliver, running

BODY = (Path(__file__).parent.parent / "payloads" / "gitea126_assigned.body.json").read_bytes()


async def test_the_copy_holds_what_was_accepted(tmp_path: Path) -> None:
    """The answer names the copy and its size, and the copy is a sound journal."""
    async with running(tmp_path) as app:
        await deliver(app.client, BODY)
        body = (await app.client.post("/api/v1/backup", json={})).json()
    copy = Path(body["path"])
    assert copy.parent == tmp_path / "backups"
    assert _size_bytes(copy) == body["size_bytes"]
    database = sqlite3.connect(copy)
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM delivery").fetchone() == (1,)
    finally:
        database.close()


async def test_the_path_holds_in_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a relative DATA_DIR the answer is absolute: the command that reads it runs elsewhere."""
    monkeypatch.chdir(tmp_path)
    async with running(tmp_path, data_dir=Path("data")) as app:
        (tmp_path / "data").mkdir()
        body = (await app.client.post("/api/v1/backup", json={})).json()
    assert Path(body["path"]).parent == tmp_path / "data" / "backups"


async def test_a_name_is_used_once(tmp_path: Path) -> None:
    """A given name becomes the copy's name; the same again is 409."""
    async with running(tmp_path) as app:
        first = await app.client.post("/api/v1/backup", json={"path": "a.sqlite3"})
        assert first.json()["path"] == str(tmp_path / "backups" / "a.sqlite3")
        again = await app.client.post("/api/v1/backup", json={"path": "a.sqlite3"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")


async def test_two_at_once_under_one_name_make_one_copy(tmp_path: Path) -> None:
    """Of two requests for the same name at the same moment one is refused, whichever comes second."""
    async with running(tmp_path) as app:
        statuses: list[int] = []

        async def ask() -> None:
            answer = await app.client.post("/api/v1/backup", json={"path": "same.sqlite3"})
            statuses.append(answer.status_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
        assert sorted(statuses) == [200, 409]


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/b", "", ".hidden", "a\0b", "x" * 101, "é"])
async def test_only_plain_names_are_taken(name: str, tmp_path: Path) -> None:
    """A name with separators, dots in front or other characters is 422, and nothing is written."""
    async with running(tmp_path) as app:
        answer = await app.client.post("/api/v1/backup", json={"path": name})
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == "path"
        assert not (tmp_path / "backups").exists()


async def test_a_backup_that_fails_is_503(tmp_path: Path) -> None:
    """A folder that cannot be made is an answer, not a traceback."""
    (tmp_path / "backups").write_text("in the way")
    async with running(tmp_path) as app:
        answer = await app.client.post("/api/v1/backup", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "backup_failed")


def _size_bytes(path: Path) -> int:
    return path.stat().st_size
