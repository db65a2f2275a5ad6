"""Reading to the end: pages cut short, repeated, overlapping, hidden and never ending."""

import json
from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from coordinator.edges.forge_breaker import Breaker
from coordinator.edges.gitea_calls_wire import in_repo, issue_call
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.gitea_http import ForgeHttp
from coordinator.edges.gitea_pages import MAX_PAGES, all_ends, all_pages, count_of
from coordinator.edges.gitea_rest_wire import read_labels
from coordinator.errors import ForgeTooLong, ForgeUnavailable
from tests.fakes.scripted_http import Asked, Scripted, answer, open_scripted

REPO = "acme/rocket"
HIDDEN: dict[str, object] = {"number": 0, "title": "HIDDEN", "state": "open", "repository": None}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with open_scripted() as running:
        yield running


@pytest.fixture
async def http(server: Scripted) -> AsyncIterator[ForgeHttp]:
    opened = ForgeHttp(
        server.url,
        "token",
        concurrency=1,
        request_timeout_s=5.0,
        total_timeout_s=5.0,
        trust_env=False,
        pace=RetryPace(),
        breaker=Breaker(),
        jitter=lambda: 0.0,
        max_answer_bytes=100_000,
    )
    yield opened
    await opened.aclose()


def serve(server: Scripted, page: Callable[[int], list[object]], total: int | None = None) -> None:
    """From now on page n of anything is `page(n)`."""
    headers = {} if total is None else {"x_total_count": str(total)}

    async def behave(stream: trio.SocketStream, asked: Asked) -> bool:
        number = int(parse_qs(urlsplit(asked.target).query)["page"][0])
        return await answer(page(number), 200, **headers)(stream, asked)

    server.otherwise = behave


def label(number: int) -> object:
    return {"id": number, "name": f"l{number}", "color": "ffffff"}


def end(number: int) -> object:
    repository = {"id": 41, "full_name": REPO}
    return {"number": number, "state": "open", "repository": repository}


def pages(*held: list[object]) -> Callable[[int], list[object]]:
    return lambda page: held[page - 1] if page <= len(held) else []


async def label_ids(http: ForgeHttp) -> list[int]:
    call = in_repo(REPO, "labels")
    found = await all_pages(http, call, read_labels, limit=2, repo_id=None)
    return [each.id for each in found]


async def ends(http: ForgeHttp, limit: int | None = None) -> tuple[list[int], int]:
    call = issue_call(REPO, 7, "dependencies")
    found = await all_ends(http, call, limit=limit, repo_id=None)
    return [ref.number for ref in found.refs], found.hidden


async def test_a_short_page_is_not_the_end(server: Scripted, http: ForgeHttp) -> None:
    """Only an empty one is; items that moved onto the next page meanwhile count once."""
    serve(server, pages([label(1)], [label(1), label(2)], [label(3)]))
    assert await label_ids(http) == [1, 2, 3]
    assert len(server.asked) == 4
    assert server.asked[1].target.endswith("/labels?page=2&limit=2")


async def test_a_forge_that_ignores_the_page_ends_too(server: Scripted, http: ForgeHttp) -> None:
    """A page with nothing new is the end, for labels and dependencies, also hidden ones."""
    serve(server, lambda _page: [label(1), label(2)])
    assert await label_ids(http) == [1, 2]
    serve(server, lambda _page: [end(1), HIDDEN])
    assert await ends(http) == ([1], 1)
    assert len(server.asked) == 4


async def test_a_list_without_end_is_given_up(server: Scripted, http: ForgeHttp) -> None:
    """A forge that always has something new cannot keep us for ever."""
    serve(server, lambda page: [label(page)])
    with pytest.raises(ForgeUnavailable, match=f"more than {MAX_PAGES} pages"):
        await label_ids(http)
    serve(server, lambda page: [end(page)])
    with pytest.raises(ForgeUnavailable, match=f"more than {MAX_PAGES} pages"):
        await ends(http)
    assert len(server.asked) == 2 * MAX_PAGES


async def test_dependencies_are_read_to_the_end(server: Scripted, http: ForgeHttp) -> None:
    """Pages of hidden ones are news, too; the size of a page is left to the forge."""
    serve(server, pages([end(1), HIDDEN], [HIDDEN], [end(2)]))
    assert await ends(http) == ([1, 2], 2)
    assert "limit" not in server.asked[0].target


@pytest.mark.parametrize("limit", [None, 1])
async def test_what_is_closed_and_unnamed_hides_nothing(
    limit: int | None, server: Scripted, http: ForgeHttp
) -> None:
    """Ends that may not be read and are done count for nothing, and the list goes on behind them."""
    done = HIDDEN | {"state": "closed"}
    serve(server, pages([done], [end(2)]))
    assert await ends(http, limit) == ([2], 0)


async def test_single_ends_that_look_alike_are_several(server: Scripted, http: ForgeHttp) -> None:
    """Where one is asked for at a time, only an empty page is the end."""
    done = HIDDEN | {"state": "closed"}
    serve(server, pages([done], [done], [HIDDEN], [HIDDEN], [end(2)], [end(2)], [end(3)]))
    assert await ends(http, limit=1) == ([2, 3], 2)


async def test_a_total_saves_the_empty_page(server: Scripted, http: ForgeHttp) -> None:
    """Where the forge counts them, one request suffices; a total that is too small ends nothing
    early."""
    serve(server, pages([end(1), HIDDEN]), total=2)
    assert await ends(http, limit=50) == ([1], 1)
    assert len(server.asked) == 1
    serve(server, pages([end(1)], [end(2)]), total=2)
    assert await ends(http) == ([1, 2], 0)
    assert len(server.asked) == 3


async def test_nothing_depends_on_nothing(server: Scripted, http: ForgeHttp) -> None:
    """An empty first page is the whole answer."""
    serve(server, pages())
    assert await ends(http) == ([], 0)
    assert json.dumps(await label_ids(http)) == "[]"


@pytest.mark.parametrize(("long", "asked"), [(0, 1), (1, 2), (40, 3)])
async def test_issues_are_counted_whatever_they_hold(
    long: int, asked: int, server: Scripted, http: ForgeHttp
) -> None:
    """Where the first ones are too long to read, one further behind tells how many there are."""
    serve(server, lambda page: ["A" * 200_000] if page <= long else [], total=41)
    assert await count_of(http, in_repo(REPO, "issues"), repo_id=None) == 41
    assert len(server.asked) == asked


async def test_a_forge_that_is_too_long_everywhere_cannot_be_counted(
    server: Scripted, http: ForgeHttp
) -> None:
    """A few questions, and that is that."""
    serve(server, lambda _page: ["A" * 200_000], total=41)
    with pytest.raises(ForgeTooLong):
        await count_of(http, in_repo(REPO, "issues"), repo_id=None)
    assert len(server.asked) == 6
