"""Anybody with the token may ask for a sweep now."""

from pathlib import Path
from typing import Any

import pytest

from tests.web.standins import running


@pytest.mark.parametrize(
    ("sent", "asked", "count"),
    [
        ({}, None, 3),
        ({"json": {}}, None, 3),
        ({"json": {"repository": None}}, None, 3),
        ({"json": {"repository": "acme/widgets"}}, "acme/widgets", 1),
        ({"json": {"repository": "ACME/Gadgets"}}, "acme/widgets", 1),
    ],
)
async def test_a_sweep_is_begun(sent: dict[str, Any], asked: str, count: int, tmp_path: Path) -> None:
    """202 with the number of repositories; the body may be left out, and a former name will do."""
    async with running(tmp_path) as app:
        answer = await app.client.post("/api/v1/refresh", **sent)
        assert (answer.status_code, answer.json()) == (202, {"repositories": count})
        state = app.tree.get_state("sweeper")
        assert isinstance(state, dict)
        assert state["asked"] == [asked]


async def test_what_was_refused_is_tried_again(tmp_path: Path) -> None:
    """Who has given a right back asks for a sweep, and sees the issues told of it, too."""
    async with running(tmp_path) as app:
        await app.client.post("/api/v1/refresh")
        state = app.tree.get_state("scribe")
        assert isinstance(state, dict)
        assert state["is_asked"] is True


async def test_a_scribe_that_is_down_holds_up_no_sweep(tmp_path: Path) -> None:
    """The sweep was ordered, and so the answer says."""
    async with running(tmp_path) as app:
        await app.tree.terminate_child("root", "scribe")
        answer = await app.client.post("/api/v1/refresh")
        assert (answer.status_code, answer.json()) == (202, {"repositories": 3})


async def test_a_name_of_just_now_is_not_needed(tmp_path: Path) -> None:
    """Between a rename and the next sweep the sweeper knows the former name only, and it will do."""
    async with running(tmp_path) as app:
        answer = await app.client.post("/api/v1/refresh", json={"repository": "acme/cogs"})
        assert (answer.status_code, answer.json()) == (202, {"repositories": 1})


async def test_a_repository_that_is_not_watched_is_404(tmp_path: Path) -> None:
    """A name that means nothing here is not silently ignored."""
    async with running(tmp_path) as app:
        answer = await app.client.post("/api/v1/refresh", json={"repository": "acme/other"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_without_a_forge_token_it_is_503(tmp_path: Path) -> None:
    """There is nobody to ask, and the answer says which setting would change that."""
    async with running(tmp_path, forge_health=None) as app:
        answer = await app.client.post("/api/v1/refresh")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_forge_token")
        assert "GITEA_TOKEN" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"repository": "no slash"}', "application/json", 422),
        (b'{"repo": "a/b"}', "application/json", 422),
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
    ],
)
async def test_odd_bodies_are_refused(
    body: bytes, content_type: str, status: int, tmp_path: Path
) -> None:
    """A body that is there must be right."""
    async with running(tmp_path) as app:
        headers = {"content-type": content_type}
        answer = await app.client.post("/api/v1/refresh", content=body, headers=headers)
        assert answer.status_code == status
