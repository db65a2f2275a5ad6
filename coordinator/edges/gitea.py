"""The forge over HTTP: Gitea and Forgejo, each call one question or one change.

Thin: what to send is `gitea_calls_wire.py`, how to understand the answer `gitea_rest_wire.py` and
`gitea_issues_wire.py`, how it travels `gitea_http.py`. Every error is a `ForgeError`.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

import trio

from coordinator.edges import gitea_calls_wire as calls
from coordinator.edges import gitea_issues_wire as issues
from coordinator.edges import gitea_rest_wire as rest
from coordinator.edges.forge_breaker import Breaker, BreakerPace
from coordinator.edges.gitea_calls_wire import Call, in_repo
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.gitea_http import MAX_BODY_BYTES, ForgeHttp
from coordinator.edges.gitea_pages import all_ends, all_pages, count_of
from coordinator.edges.gitea_remote_wire import (
    Account,
    Blockers,
    ForgeHealth,
    ForgeInfo,
    HookScope,
    IssuePage,
    Permission,
    RemoteComment,
    RemoteHook,
    RemoteIssue,
    RemoteLabel,
    RemoteRepository,
)
from coordinator.edges.gitea_reply_wire import read_date, read_done
from coordinator.errors import ForgeForbidden, ForgeNotFound, ForgeTooLong
from coordinator.rules.ids import Login, fold_login

__all__ = ["Forge"]

# `/blocks` cuts a page before it hides what may not be read, so a page may be empty in the middle. It
# does not bound `limit`, hence all at once.
_ALL_BLOCKED = 10_000
_VERSION = Call("GET", ("version",))


class Forge:
    """A forge seen with one token; use it as an async context manager, which closes its connections.

    Safe for concurrent calls: `concurrency` requests run at once, further ones wait in line. A request
    ends within `total_timeout_s`, waiting in line and retries included, one attempt of it within
    `request_timeout_s`; calls that read several pages take several requests. What can be repeated is;
    `create_…` never is: after a ForgeUnavailable look whether it was made. `repo_id=` lets a call find
    a repository that was renamed or transferred. A longer answer than `max_answer_bytes` is a
    ForgeTooLong; lists can be asked for again on smaller pages. `jitter` draws from 0..1.

    With `trust_env`, proxies and certificates come from the environment as httpx reads it
    (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR); certificates are always checked.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        concurrency: int = 8,
        request_timeout_s: float = 10.0,
        total_timeout_s: float = 30.0,
        trust_env: bool = True,
        pace: RetryPace = RetryPace(),  # noqa: B008 - frozen
        breaker_pace: BreakerPace = BreakerPace(),  # noqa: B008 - frozen
        jitter: Callable[[], float] = random.random,
        max_answer_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._url = url
        self._http = ForgeHttp(
            url,
            token,
            concurrency=concurrency,
            request_timeout_s=request_timeout_s,
            total_timeout_s=total_timeout_s,
            trust_env=trust_env,
            pace=pace,
            breaker=Breaker(breaker_pace),
            jitter=jitter,
            max_answer_bytes=max_answer_bytes,
        )
        self._info: ForgeInfo | None = None
        self._probing = trio.Lock()
        self._author: Account | None = None

    def __repr__(self) -> str:
        return f"Forge({self._url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    # the forge ------------------------------------------------------------------------------------

    def health(self) -> ForgeHealth:
        """How the forge fares, without asking it."""
        state, retry_in_s = self._http.state()
        return ForgeHealth(
            state=state,
            failures=self._http.breaker.failures,
            last_error=self._http.breaker.last_error,
            retry_in_s=retry_in_s,
            requests=self._http.requests,
            version=self._info.version if self._info else None,
            product=self._info.product if self._info else None,
        )

    async def info(self) -> ForgeInfo:
        """Which forge this is; asked once, and again only after a failure."""
        async with self._probing:  # actors start together: one of them asks
            if self._info is None:
                version = await self._http.ask(_VERSION, rest.read_version)
                self._info = rest.info_of(version, await self._max_page())
            return self._info

    async def _max_page(self) -> int | None:
        try:
            return await self._http.ask(Call("GET", ("settings", "api")), rest.read_max_page)
        except (ForgeNotFound, ForgeForbidden):  # a forge may keep its settings to itself
            return None

    async def whoami(self) -> Account:
        """Whose token it is. Needs the scope read:user, as long as no comment we have made tells."""
        try:
            return await self._http.ask(Call("GET", ("user",)), rest.read_account)
        except ForgeForbidden:
            if self._author is None:
                raise
            return self._author

    async def server_time(self) -> datetime | None:
        """The forge's clock when it answered, in whole seconds; None if it does not tell."""
        return await self._http.ask(_VERSION, read_date)

    # repositories ---------------------------------------------------------------------------------

    async def repository(self, repo: str, *, repo_id: int | None = None) -> RemoteRepository:
        """The repository by its name, or the one with `repo_id` under whatever name it has now."""
        found = await self._http.ask(in_repo(repo), rest.read_repository, repo_id=repo_id)
        # Another repository may have taken the name.
        is_right = repo_id is None or found.id == repo_id
        return found if is_right else await self.repository_by_id(repo_id or 0)

    async def repository_by_id(self, repo_id: int) -> RemoteRepository:
        """The repository wherever it is now."""
        return await self._http.ask(Call("GET", ("repositories", str(repo_id))), rest.read_repository)

    async def repositories(self, page: int = 1) -> tuple[RemoteRepository, ...]:
        """The repositories of the token's user, also those shared with it and its teams'; an empty page
        ends. What it may do in each is its `can_…`. Needs read:user and read:repository."""
        call = Call("GET", ("user", "repos")).at_page(page, await self.page_size())
        return await self._http.ask(call, rest.read_repositories)

    async def permission(self, repo: str, login: str, *, repo_id: int | None = None) -> Permission:
        """What the person may do in the repository; "none" also for a person the forge does not know.

        ForgeForbidden unless the token's user administers the repository or asks for itself.
        """
        call = in_repo(repo, "collaborators", login, "permission")
        try:
            return await self._http.ask(call, rest.read_permission, repo_id=repo_id)
        except ForgeNotFound:
            return "none"

    async def assignable(self, repo: str, *, repo_id: int | None = None) -> frozenset[Login]:
        """Who can be assigned: those with write access, and in an organisation also members of teams
        that may only read pull requests. Any reader may ask."""
        return await self._http.ask(in_repo(repo, "assignees"), rest.read_people, repo_id=repo_id)

    # issues ---------------------------------------------------------------------------------------

    async def issue(self, repo: str, number: int, *, repo_id: int | None = None) -> RemoteIssue:
        """The issue or pull request as it is now."""
        call = calls.issue_call(repo, number)
        found = await self._http.ask(call, issues.read_issue, repo_id=repo_id)
        if repo_id is None or found.repo_id == repo_id:
            return found
        # Another repository has taken the name.
        call = call.in_place(await self._name_of(repo_id))
        return await self._http.ask(call, issues.read_issue)

    async def issues(
        self,
        repo: str,
        *,
        since: datetime | None = None,
        state: str = "all",
        page: int = 1,
        limit: int | None = None,
        repo_id: int | None = None,
    ) -> IssuePage:
        """Issues changed at `since` (inclusive, whole seconds) or later, newest created first; without
        `limit` as many as `page_size` on a page.

        What is opened meanwhile comes in front and only shifts the others to later pages. In any other
        order it hides that a deletion has shifted one to a page that was read before.
        """
        size = limit or await self.page_size()
        call = calls.issues_call(repo, since=since, state=state).at_page(page, size)
        found = await self._http.ask(call, issues.read_issues, repo_id=repo_id)
        if repo_id is None or all(issue.repo_id == repo_id for issue in found.issues):
            return found
        call = call.in_place(await self._name_of(repo_id))
        return await self._http.ask(call, issues.read_issues)

    async def count_issues(self, repo: str, *, repo_id: int | None = None) -> int:
        """How many issues there are, open and closed."""
        return await count_of(self._http, calls.count_call(repo), repo_id=repo_id)

    async def blockers(self, repo: str, number: int, *, repo_id: int | None = None) -> Blockers:
        """What the issue depends on. ForgeNotFound also where dependencies are switched off."""
        call = calls.issue_call(repo, number, "dependencies")
        try:
            return await all_ends(self._http, call, limit=None, repo_id=repo_id)
        except ForgeTooLong:  # the other ends come with their whole texts
            return await all_ends(self._http, call, limit=1, repo_id=repo_id)

    async def blocked(self, repo: str, number: int, *, repo_id: int | None = None) -> Blockers:
        """What depends on the issue."""
        call = calls.issue_call(repo, number, "blocks")
        return await all_ends(self._http, call, limit=_ALL_BLOCKED, repo_id=repo_id)

    async def set_assignees(
        self,
        repo: str,
        number: int,
        add: Iterable[Login],
        remove: Iterable[Login],
        *,
        repo_id: int | None = None,
    ) -> tuple[Login, ...]:
        """The assignees afterwards, as the forge tells: without write access it may change nothing.

        Where the forge can only replace them all, somebody's change of the same moment is lost.
        """
        now = await self.issue(repo, number, repo_id=repo_id)
        gone = {fold_login(login) for login in remove} & set(now.assignees)
        new = {fold_login(login) for login in add} - set(now.assignees)
        if not gone and not new:
            return now.assignees
        if not (await self.info()).has_assignees_api:
            wanted = sorted((set(now.assignees) | new) - gone)
            call = calls.put_assignees(now.repo_full_name, number, wanted)
            return (await self._http.ask(call, issues.read_issue, repo_id=repo_id)).assignees
        if new:
            call = calls.add_assignees(now.repo_full_name, number, sorted(new))
            now = await self._http.ask(call, issues.read_issue, repo_id=repo_id)
        if gone:
            call = calls.remove_assignees(now.repo_full_name, number, sorted(gone))
            now = await self._http.ask(call, issues.read_issue, repo_id=repo_id)
        return now.assignees

    # comments -------------------------------------------------------------------------------------

    async def comments(
        self, repo: str, number: int, *, repo_id: int | None = None
    ) -> tuple[RemoteComment, ...]:
        """All comments of the issue, oldest first; the forge has no pages here."""
        call = calls.issue_call(repo, number, "comments")
        found = await self._http.ask(call, issues.read_comments, repo_id=repo_id)
        return tuple(replace(comment, issue_number=number) for comment in found)

    async def comments_since(
        self,
        repo: str,
        since: datetime,
        page: int = 1,
        *,
        limit: int | None = None,
        repo_id: int | None = None,
    ) -> tuple[RemoteComment, ...]:
        """Comments of the whole repository, also on pull requests, changed at `since` (inclusive) or
        later; an empty page ends. Without `limit` as many as `page_size` on a page."""
        size = limit or await self.page_size()
        call = calls.comments_since_call(repo, since).at_page(page, size)
        return await self._http.ask(call, issues.read_comments, repo_id=repo_id)

    async def comment(self, repo: str, comment_id: int, *, repo_id: int | None = None) -> RemoteComment:
        """The comment as it is now, with the number of its issue."""
        call = calls.comment_call(repo, comment_id)
        return await self._http.ask(call, issues.read_comment, repo_id=repo_id)

    async def create_comment(
        self, repo: str, number: int, body: str, *, repo_id: int | None = None
    ) -> RemoteComment:
        """A new comment; never sent twice."""
        call = calls.create_comment_call(repo, number, body)
        return self._signed(await self._http.ask(call, issues.read_comment, repo_id=repo_id))

    async def edit_comment(
        self, repo: str, comment_id: int, body: str, *, repo_id: int | None = None
    ) -> RemoteComment:
        """A comment of ours with its new text."""
        call = calls.edit_comment_call(repo, comment_id, body)
        return await self._http.ask(call, issues.read_comment, repo_id=repo_id)

    async def delete_comment(self, repo: str, comment_id: int, *, repo_id: int | None = None) -> None:
        """ForgeNotFound if it was gone before."""
        await self._http.ask(calls.delete_comment_call(repo, comment_id), read_done, repo_id=repo_id)

    async def react(
        self, repo: str, comment_id: int, content: str, *, repo_id: int | None = None
    ) -> None:
        """Our reaction to a comment, "+1" or "eyes" or "confused"; twice is once."""
        await self._http.ask(calls.react_call(repo, comment_id, content), read_done, repo_id=repo_id)

    # labels ---------------------------------------------------------------------------------------

    async def labels(self, repo: str, *, repo_id: int | None = None) -> tuple[RemoteLabel, ...]:
        """The repository's own labels, not its organisation's."""
        call, size = in_repo(repo, "labels"), await self.page_size()
        return await all_pages(self._http, call, rest.read_labels, limit=size, repo_id=repo_id)

    async def create_label(
        self,
        repo: str,
        name: str,
        color: str,
        description: str,
        exclusive: bool = True,
        *,
        repo_id: int | None = None,
    ) -> RemoteLabel:
        """A new label; forges allow two of one name, so look before."""
        call = calls.create_label_call(repo, name, color, description, exclusive)
        return await self._http.ask(call, rest.read_label, repo_id=repo_id)

    async def add_labels(
        self, repo: str, number: int, ids: Sequence[int], *, repo_id: int | None = None
    ) -> tuple[RemoteLabel, ...]:
        """The issue's labels afterwards; an exclusive one took the place of its siblings."""
        call = calls.add_labels_call(repo, number, ids)
        return await self._http.ask(call, rest.read_labels, repo_id=repo_id)

    async def remove_label(
        self, repo: str, number: int, label_id: int, *, repo_id: int | None = None
    ) -> None:
        """Takes the label from the issue."""
        call = calls.remove_label_call(repo, number, label_id)
        await self._http.ask(call, read_done, repo_id=repo_id)

    # hooks ----------------------------------------------------------------------------------------

    async def hooks(self, scope: HookScope) -> tuple[RemoteHook, ...]:
        """The webhooks of a repository, an organisation, or the forge (needs its administrator)."""
        call, size = calls.hooks_call(scope), await self.page_size()
        return await all_pages(self._http, call, rest.read_hooks, limit=size, repo_id=None)

    async def create_hook(
        self, scope: HookScope, url: str, secret: str, events: Sequence[str]
    ) -> RemoteHook:
        """An active hook that sends JSON. There is no editing: rotate by create and delete."""
        return await self._http.ask(calls.create_hook_call(scope, url, secret, events), rest.read_hook)

    async def delete_hook(self, scope: HookScope, hook_id: int) -> None:
        """ForgeNotFound if it was gone before."""
        await self._http.ask(calls.delete_hook_call(scope, hook_id), read_done)

    async def test_hook(self, repo: str, hook_id: int) -> None:
        """Asks for a test delivery, a push event. An empty repository sends none, and Gitea up to
        1.27.0 neither where the hook has no push events; both say nothing."""
        await self._http.ask(calls.hook_test_call(repo, hook_id), read_done)

    # pages ----------------------------------------------------------------------------------------

    async def page_size(self) -> int:
        """How many items a page has at most."""
        return (await self.info()).max_page

    def _signed(self, comment: RemoteComment) -> RemoteComment:
        """A comment of ours: its author is who we are."""
        if comment.author:
            self._author = Account(0, comment.author)
        return comment

    async def _name_of(self, repo_id: int) -> str:
        return (await self.repository_by_id(repo_id)).full_name
