"""Dependencies are as odd as in the real forges."""

from typing import Any

import httpx
import pytest

from tests.fakes.forge import (
    REPO,
    Forge,
    VirtualClock,
    rest_client,
)

ISSUES = f"/repos/{REPO}/issues"
both = pytest.mark.parametrize("product", ["gitea", "forgejo"])


@pytest.fixture
async def http(http: httpx.AsyncClient, forge: Forge) -> httpx.AsyncClient:
    """The bot, in a repository with three issues."""
    for title in ("one", "two", "three"):
        forge.open(REPO, title)
    return http


async def add(
    http: httpx.AsyncClient, number: int, blocker: int, *, repo: str = REPO, path: str = "dependencies"
) -> httpx.Response:
    return await http.post(f"{ISSUES}/{number}/{path}", json=meta(blocker, repo))


async def remove(
    http: httpx.AsyncClient, number: int, blocker: int, *, path: str = "dependencies"
) -> httpx.Response:
    return await http.request("DELETE", f"{ISSUES}/{number}/{path}", json=meta(blocker, REPO))


def meta(index: int, full_name: str) -> dict[str, Any]:
    owner, _, repo = full_name.partition("/")
    return {"index": index, "owner": owner, "repo": repo}


async def numbers(http: httpx.AsyncClient, path: str, **params: int) -> list[int]:
    return [issue["number"] for issue in (await http.get(path, params=params)).json()]


@both
async def test_edges_come_and_go_with_201(http: httpx.AsyncClient) -> None:
    """Adding and removing both answer 201 and the issue of the path, from either end."""
    for path, number, other in (("dependencies", 1, 2), ("blocks", 2, 1)):
        added = await add(http, number, other, path=path)
        assert (added.status_code, added.json()["number"]) == (201, number)
        assert await numbers(http, f"{ISSUES}/1/dependencies") == [2]
        assert await numbers(http, f"{ISSUES}/2/blocks") == [1]
        gone = await remove(http, number, other, path=path)
        assert (gone.status_code, gone.json()["number"]) == (201, number)
        assert await numbers(http, f"{ISSUES}/1/dependencies") == []


@both
async def test_what_is_wrong_is_500_without_a_word(forge: Forge, http: httpx.AsyncClient) -> None:
    """A duplicate, the second half of a two-cycle and a missing edge are 500; admins read why."""
    await add(http, 1, 2)
    for answer in (await add(http, 1, 2), await add(http, 2, 1), await remove(http, 2, 3)):
        assert (answer.status_code, answer.json()["message"]) == (500, "")
    forge.user("root", is_admin=True)
    async with rest_client(forge, forge.token("root")) as root:
        assert "already exist" in (await add(root, 1, 2)).json()["message"]


async def test_an_issue_may_block_itself_and_longer_cycles_are_not_seen(
    forge: Forge, http: httpx.AsyncClient
) -> None:
    """Both are accepted, and then nothing of them can ever be closed."""
    for number, blocker in ((1, 1), (1, 2), (2, 3), (3, 1)):
        assert (await add(http, number, blocker)).status_code == 201
    for number in (1, 2, 3):
        closed = await http.patch(f"{ISSUES}/{number}", json={"state": "closed"})
        assert closed.status_code == 412
    assert all(issue.is_open for issue in forge.data.issues.values())


async def test_the_form_needs_all_three(http: httpx.AsyncClient) -> None:
    """An index alone, an unknown repository and an unknown number are 404."""
    assert (await http.post(f"{ISSUES}/1/dependencies", json={"index": 2})).status_code == 404
    assert (await add(http, 1, 2, repo="no/where")).status_code == 404
    assert (await add(http, 1, 99)).status_code == 404


async def test_edges_move_both_issues_but_closing_moves_one(
    forge: Forge, http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    """A dependency edit bumps updated_at at both ends; closing a blocker only its own."""
    one, two, _ = forge.data.issues.values()
    clock.advance(10)
    await add(http, 1, 2)
    assert one.updated_at == two.updated_at > one.created_at
    moved = one.updated_at
    clock.advance(10)
    forge.close(two)
    assert (one.updated_at, two.updated_at > moved) == (moved, True)
    clock.advance(10)
    await remove(http, 1, 2)
    assert one.updated_at == two.updated_at > moved


async def test_closed_blockers_stay_listed_own_repository_first(
    forge: Forge, http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    """The list holds closed ones too: the issue's own repository first, then the newest."""
    clock.advance(10)
    forge.repository("else/where", private=False)
    forge.open("else/where", "far")
    for repo, number in ((REPO, 2), ("else/where", 1), (REPO, 3)):
        assert (await add(http, 1, number, repo=repo)).status_code == 201
    two = list(forge.data.issues.values())[1]
    forge.close(two)
    seen = (await http.get(f"{ISSUES}/1/dependencies")).json()
    assert [(issue["number"], issue["state"]) for issue in seen] == [
        (3, "open"),
        (2, "closed"),
        (1, "open"),
    ]
    assert seen[2]["repository"]["full_name"] == "else/where"


async def test_blockers_that_may_not_be_read_are_stand_ins(
    forge: Forge, http: httpx.AsyncClient
) -> None:
    """Readers see a HIDDEN open issue with number 0, writers an empty one; /blocks drops them."""
    one, two, _ = forge.data.issues.values()
    forge.repository("secret/place")
    far = forge.open("secret/place", "far")
    forge.block(one, far)
    forge.block(far, two)
    async with rest_client(forge, forge.token("rita")) as rita:
        (seen,) = (await rita.get(f"{ISSUES}/1/dependencies")).json()
    assert (seen["title"], seen["number"], seen["state"]) == ("HIDDEN", 0, "open")
    (seen,) = (await http.get(f"{ISSUES}/1/dependencies")).json()
    assert (seen["title"], seen["number"], seen["state"]) == ("", 0, "")
    assert seen["created_at"].startswith("0001-01-01")
    assert await numbers(http, f"{ISSUES}/2/blocks") == []


async def test_write_here_and_read_there(forge: Forge, http: httpx.AsyncClient) -> None:
    """An edge needs write on the blocked issue's repository and read on the blocker's: else 404."""
    forge.repository("secret/place")
    forge.open("secret/place", "far")
    assert (await add(http, 1, 1, repo="secret/place")).status_code == 404
    async with rest_client(forge, forge.token("rita")) as rita:
        assert (await add(rita, 1, 2)).status_code == 404
    del http.headers["Authorization"]
    forge.repository(REPO).private = False
    assert (await add(http, 1, 2)).status_code == 401


async def test_an_archived_repository_is_423_one_way_and_404_the_other(
    forge: Forge, http: httpx.AsyncClient
) -> None:
    """/dependencies says that it is archived, /blocks that there is nothing."""
    forge.archive(REPO)
    assert (await add(http, 1, 2)).status_code == 423
    assert (await add(http, 2, 1, path="blocks")).status_code == 404
    assert (await http.get(f"{ISSUES}/1/dependencies")).status_code == 200


async def test_dependencies_can_be_switched_off(forge: Forge, http: httpx.AsyncClient) -> None:
    """Then reading and writing them is 404, while /blocks still answers; the repository says so."""
    repo = forge.repository(REPO)
    repo.dependencies_enabled = False
    assert (await http.get(f"{ISSUES}/1/dependencies")).status_code == 404
    assert (await add(http, 1, 2)).status_code == 404
    assert (await http.get(f"{ISSUES}/1/blocks")).status_code == 200
    shown = (await http.get(f"/repos/{REPO}")).json()["internal_tracker"]
    assert shown["enable_issue_dependencies"] is False


async def test_other_repositories_can_be_forbidden(forge: Forge, http: httpx.AsyncClient) -> None:
    """An instance without cross-repository dependencies answers 400."""
    forge.rest.across_repositories = False
    forge.repository("else/where", private=False)
    forge.open("else/where", "far")
    assert (await add(http, 1, 1, repo="else/where")).status_code == 400
    assert (await add(http, 1, 2)).status_code == 201


@both
async def test_the_two_lists_page_differently(
    forge: Forge, http: httpx.AsyncClient, product: str
) -> None:
    """/dependencies clamps, and counts on Gitea only; /blocks takes any size, and 1 for none."""
    one = next(iter(forge.data.issues.values()))
    for number in range(55):
        blocker = forge.open(REPO, f"blocker {number}")
        forge.block(one, blocker)
        forge.block(forge.open(REPO, f"blocked {number}"), one)
    answer = await http.get(f"{ISSUES}/1/dependencies", params={"limit": 100})
    assert len(answer.json()) == 50
    assert answer.headers.get("X-Total-Count") == ("55" if product == "gitea" else None)
    assert len(await numbers(http, f"{ISSUES}/1/dependencies", page=2, limit=50)) == 5
    assert len(await numbers(http, f"{ISSUES}/1/blocks", limit=100)) == 55
    assert len(await numbers(http, f"{ISSUES}/1/blocks", limit=1)) == 30
    assert len(await numbers(http, f"{ISSUES}/1/blocks", page=2)) == 25


async def test_a_page_of_blocks_may_be_empty_with_more_behind(
    forge: Forge, http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    """Pages are cut before what may not be read is left out."""
    one = next(iter(forge.data.issues.values()))
    forge.repository("else/where", private=False)
    forge.repository("secret/place")
    forge.block(forge.open("else/where", "oldest"), one)
    clock.advance(10)
    for _ in range(2):
        forge.block(forge.open("secret/place", "newer"), one)
    assert await numbers(http, f"{ISSUES}/1/blocks", limit=2) == []
    assert await numbers(http, f"{ISSUES}/1/blocks", limit=2, page=2) == [1]
