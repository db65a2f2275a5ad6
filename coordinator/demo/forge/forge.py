"""One forge with all its parts: what people do on it, what goes wrong, and how it is started."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, tzinfo

import trio

from coordinator.actors.clocks import utc_now
from coordinator.demo.forge.actions import Actions
from coordinator.demo.forge.allow_list import EVERYTHING
from coordinator.demo.forge.data import ForgeData
from coordinator.demo.forge.dialect import DIALECTS, Dialect, Product
from coordinator.demo.forge.faults import AnswerFault, Mishap
from coordinator.demo.forge.letters import Letters
from coordinator.demo.forge.model import (
    Access,
    Comment,
    Hook,
    Issue,
    Label,
    Level,
    Milestone,
    Repository,
)
from coordinator.demo.forge.postman import TIMEOUT_S, Posted, Postman
from coordinator.demo.forge.rest import Rest
from coordinator.demo.forge.rest_comments import COMMENT_ROUTES
from coordinator.demo.forge.rest_dependencies import DEPENDENCY_ROUTES
from coordinator.demo.forge.rest_hooks import HOOK_ROUTES, event_types
from coordinator.demo.forge.rest_issues import ISSUE_ROUTES
from coordinator.demo.forge.rest_labels import LABEL_ROUTES
from coordinator.demo.forge.rest_repos import REPO_ROUTES
from coordinator.demo.forge.server import RestServer
from coordinator.demo.forge.shapes import Shapes

__all__ = ["Forge", "open_forge"]

# Paths with a word where others have a name come first.
_ROUTES = (
    *COMMENT_ROUTES,
    *ISSUE_ROUTES,
    *LABEL_ROUTES,
    *DEPENDENCY_ROUTES,
    *HOOK_ROUTES,
    *REPO_ROUTES,
)


class Forge:
    """A running forge. What people do is done at once, without asking for permission: that is for
    those who come over HTTP. Repositories are named by their full name, or given."""

    def __init__(
        self,
        dialect: Dialect,
        server: RestServer,
        *,
        clock: Callable[[], datetime],
        zone: tzinfo,
        workers: int,
        timeout_s: float,
        ids_from: int,
        allowed_hosts: str = EVERYTHING,
    ) -> None:
        self.dialect = dialect
        self.data = ForgeData(clock, zone, ids_from)
        shapes = Shapes(self.data, dialect, server.url)
        letters = Letters(shapes, ids_from + 1)
        self.postman = Postman(
            self.data, letters, allowed_hosts=allowed_hosts, workers=workers, timeout_s=timeout_s
        )
        self.actions = Actions(self.data, dialect, self.postman.announce)
        self.rest = Rest(self.actions, shapes, self.postman, _ROUTES)
        self.server = server
        self._nursery: trio.Nursery | None = None

    @property
    def url(self) -> str:
        return self.server.url

    # being there --------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve and deliver until cancelled; the port is bound already."""
        async with trio.open_nursery() as self._nursery:
            await self._nursery.start(self.postman.run)
            await self._nursery.start(self.server.run, self.rest)
            task_status.started()
            await trio.sleep_forever()

    def go_away(self) -> None:
        """Stop listening, drop every connection, send nothing; all data stays."""
        self.server.stop()
        self.postman.pause()

    async def come_back(self) -> None:
        """After `go_away`: listen again on the same port; what was queued is sent."""
        assert self._nursery is not None
        await self.server.wait_stopped()
        await self.server.bind()
        await self._nursery.start(self.server.run, self.rest)
        self.postman.resume()

    # who and what there is ----------------------------------------------------------------------

    def user(self, login: str, *, is_admin: bool = False) -> str:
        """The user, made when missing; gives the login."""
        return self.data.add_account(login, is_admin=is_admin).login

    def organization(self, login: str, *, owners: Iterable[str] = ()) -> str:
        for owner in owners:
            self.data.add_account(owner)
        return self.data.add_account(login, owners=owners).login

    def token(self, login: str, *scopes: str) -> str:
        """A new token of the user; without scopes it may everything the user may."""
        return self.data.add_token(login, scopes or ("all",))

    def repository(
        self,
        full_name: str,
        *,
        private: bool = True,
        collaborators: Mapping[str, Access] | None = None,
    ) -> Repository:
        """The repository, made when missing."""
        known = self.data.repository(full_name)
        return known or self.data.add_repository(
            full_name, private=private, collaborators=collaborators
        )

    def label(
        self, repo: str | Repository, name: str, *, color: str = "ee0701", exclusive: bool = False
    ) -> Label:
        """The repository's label of this name, made when missing."""
        place = self._repo(repo)
        for label in place.labels.values():
            if label.name == name:
                return label
        return self.actions.add_label(place, name, color, exclusive=exclusive)

    def hook(
        self,
        where: str | Repository | None,
        url: str,
        secret: str,
        *,
        events: Iterable[str] = ("issues",),
        active: bool = True,
    ) -> Hook:
        """A hook of a repository (`o/r`), an organisation (`o`) or, for None, of everything."""
        level: Level = "system"
        owner = 0
        if isinstance(where, Repository) or (where is not None and "/" in where):
            level, owner = "repository", self._repo(where).id
        elif where is not None:
            level, owner = "organization", self.data.add_account(where).id
        now, number = self.data.now(), self.data.next_id("hook")
        kinds = event_types(list(events))
        hook = Hook(number, level, owner, url, secret, kinds, active, now, now)
        self.data.hooks[number] = hook
        return hook

    # what people do -----------------------------------------------------------------------------

    def open(
        self,
        repo: str | Repository,
        title: str,
        body: str = "",
        *,
        by: str = "maria",
        assignees: Iterable[str] = (),
        labels: Iterable[str] = (),
        is_pull: bool = False,
    ) -> Issue:
        place = self._repo(repo)
        found = [self.label(place, name) for name in labels]
        return self.actions.open(
            place, title, body, by=by, assignees=list(assignees), labels=found, is_pull=is_pull
        )

    def close(self, issue: Issue, *, by: str = "maria", commit: str = "") -> None:
        self.actions.close(issue, by=by, commit=commit)

    def reopen(self, issue: Issue, *, by: str = "maria") -> None:
        self.actions.reopen(issue, by=by)

    def retitle(self, issue: Issue, title: str, *, by: str = "maria") -> None:
        self.actions.retitle(issue, title, by=by)

    def rewrite(self, issue: Issue, body: str, *, by: str = "maria") -> None:
        self.actions.rewrite(issue, body, by=by)

    def delete(self, issue: Issue, *, by: str = "maria") -> None:
        self.actions.delete(issue, by=by)

    def assign(self, issue: Issue, *logins: str, by: str = "maria") -> None:
        self.actions.assign(issue, logins, by=by)

    def unassign(self, issue: Issue, *logins: str, by: str = "maria") -> None:
        self.actions.unassign(issue, logins, by=by)

    def set_labels(self, issue: Issue, *names: str, by: str = "maria") -> None:
        """Exactly these; labels that do not exist are made."""
        labels = [self.label(self.data.repo_of(issue), name) for name in names]
        self.actions.replace_labels(issue, labels, by=by)

    def set_milestone(self, issue: Issue, title: str | None, *, by: str = "maria") -> None:
        self.actions.set_milestone(issue, self._milestone(issue, title), by=by)

    def comment(self, issue: Issue, text: str, *, by: str = "maria") -> Comment:
        return self.actions.comment(issue, text, by=by)

    def lock(self, issue: Issue) -> None:
        """From now on only those comment who may write."""
        self.actions.lock(issue, is_locked=True)

    def unlock(self, issue: Issue) -> None:
        self.actions.lock(issue, is_locked=False)

    def block(self, blocked: Issue, blocker: Issue) -> None:
        self.actions.block(blocked, blocker)

    def unblock(self, blocked: Issue, blocker: Issue) -> None:
        self.actions.unblock(blocked, blocker)

    def rename(self, repo: str | Repository, full_name: str) -> None:
        self.data.rename(self._repo(repo), full_name)

    def archive(self, repo: str | Repository, archived: bool = True) -> None:
        self._repo(repo).archived = archived

    def delete_repository(self, repo: str | Repository) -> None:
        self.data.delete_repository(self._repo(repo))

    # what goes wrong ----------------------------------------------------------------------------

    def misbehave(
        self,
        mishap: Mishap,
        *,
        route: str = "",
        times: int | None = 1,
        chance: float = 1.0,
        after: bool = False,
        status: int = 503,
        delay_s: float = 1.0,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer the next requests badly; see AnswerFault for what the words mean."""
        fault = AnswerFault(mishap, route, times, chance, after, status, delay_s, tuple(headers))
        self.server.faults.add(fault)

    @property
    def deliveries(self) -> list[Posted]:
        """What was sent, lost or failed, in the order it was queued."""
        return self.postman.history

    async def wait_quiet(self) -> None:
        """Until every delivery has left."""
        await self.postman.wait_quiet()

    def _repo(self, repo: str | Repository) -> Repository:
        return repo if isinstance(repo, Repository) else self.repository(repo)

    def _milestone(self, issue: Issue, title: str | None) -> Milestone | None:
        if title is None:
            return None
        known = self.data.repo_of(issue).milestones
        for milestone in known.values():
            if milestone.title == title:
                return milestone
        made = Milestone(self.data.next_id("milestone"), title)
        known[made.id] = made
        return made


@asynccontextmanager
async def open_forge(
    product: Product | Dialect = "gitea",
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Callable[[], datetime] = utc_now,
    zone: tzinfo = UTC,
    workers: int = 1,
    timeout_s: float = TIMEOUT_S,
    ids_from: int = 0,
    allowed_hosts: str = EVERYTHING,
) -> AsyncIterator[Forge]:
    """A forge that answers at its `url` until the block ends; `allowed_hosts` as ALLOWED_HOST_LIST has
    it, "external" where an administrator set nothing.

    Several that send to one coordinator need an `ids_from` each, far apart: a coordinator knows a
    repository by its id.
    """
    server = RestServer(host, port)
    await server.bind()
    forge = Forge(
        product if isinstance(product, Dialect) else DIALECTS[product],
        server,
        clock=clock,
        zone=zone,
        workers=workers,
        timeout_s=timeout_s,
        ids_from=ids_from,
        allowed_hosts=allowed_hosts,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(forge.run)
        yield forge
        nursery.cancel_scope.cancel()
