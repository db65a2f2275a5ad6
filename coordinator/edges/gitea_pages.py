"""Reading a list to its end, page by page.

Only a page that brings nothing new ends a list: forges cut pages short, clamp `limit` without a word,
and some paths of old versions ignore `page` and repeat themselves.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from coordinator.edges.gitea_calls_wire import Call
from coordinator.edges.gitea_http import ForgeHttp
from coordinator.edges.gitea_issues_wire import read_blockers, read_count
from coordinator.edges.gitea_remote_wire import Blockers, RemoteRef
from coordinator.edges.gitea_reply_wire import Reply, read_total
from coordinator.errors import ForgeTooLong, ForgeUnavailable

__all__ = ["MAX_PAGES", "all_ends", "all_pages", "count_of"]

_T = TypeVar("_T")

# 200 × 50 labels, hooks or dependencies of one thing are more than anybody has: a forge that says so
# never ends.
MAX_PAGES = 200
# Behind any number of long texts, or behind the last issue there is.
_COUNT_PAGES = tuple(2**power for power in range(0, 24, 4))


async def all_pages(
    http: ForgeHttp,
    call: Call,
    read: Callable[[Reply], tuple[_T, ...]],
    *,
    limit: int,
    repo_id: int | None,
) -> tuple[_T, ...]:
    """What all pages hold, each item once."""
    found: dict[_T, None] = {}
    for page in range(1, MAX_PAGES + 1):
        items = await http.ask(call.at_page(page, limit), read, repo_id=repo_id)
        if found.keys() >= set(items):
            return tuple(found)
        found.update(dict.fromkeys(items))
    raise _endless(call)


async def all_ends(http: ForgeHttp, call: Call, *, limit: int | None, repo_id: int | None) -> Blockers:
    """All other ends of an issue's dependencies; None leaves the size of a page to the forge."""
    found: dict[RemoteRef, None] = {}
    hidden = 0
    last: Blockers | None = None
    for page in range(1, MAX_PAGES + 1):
        part, entries, total = await http.ask(call.at_page(page, limit), _read_ends, repo_id=repo_id)
        # Unnamed ends look all alike, so a page of them is news unless it is the same page again; but
        # pages of a single one are the same all the time.
        is_news = not found.keys() >= set(part.refs) or entries > len(part.refs)
        is_again = limit != 1 and (part == last or not is_news)
        if not entries or is_again:
            return Blockers(tuple(found), hidden)
        found.update(dict.fromkeys(part.refs))
        hidden += part.hidden
        last = part
        # Gitea from 1.26 tells how many there are: most issues then take one request, not two.
        if total is not None and len(found) + hidden >= total:
            return Blockers(tuple(found), hidden)
    raise _endless(call)


async def count_of(http: ForgeHttp, call: Call, *, repo_id: int | None) -> int:
    """How many items a list of issues has. A single one is asked for, and where its text is too long
    another one, further and further behind."""
    for page in _COUNT_PAGES[:-1]:
        with suppress(ForgeTooLong):
            return await http.ask(call.at_page(page, 1), read_count, repo_id=repo_id)
    return await http.ask(call.at_page(_COUNT_PAGES[-1], 1), read_count, repo_id=repo_id)


def _read_ends(reply: Reply) -> tuple[Blockers, int, int | None]:
    return *read_blockers(reply), read_total(reply)


def _endless(call: Call) -> ForgeUnavailable:
    return ForgeUnavailable(f"{call}: more than {MAX_PAGES} pages, expected an empty one to end them")
