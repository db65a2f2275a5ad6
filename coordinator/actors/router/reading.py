"""One issue as it is at the forge: what is asked, and what each kind of answer and failure means.

Knows nothing of what is known already; deciding what an answer changes is the router's.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from coordinator.actors.clocks import Clock
from coordinator.edges.gitea_remote_wire import Blockers, RemoteIssue
from coordinator.errors import (
    ForgeError,
    ForgeForbidden,
    ForgeInvalid,
    ForgeNotAsked,
    ForgeNotFound,
    ForgeRefused,
    ForgeTooLong,
)
from coordinator.rules.orders import ReadIssue
from coordinator.runtime import CrashReport

if TYPE_CHECKING:
    from coordinator.edges.gitea import Forge

__all__ = ["Answer", "Crashed", "Failed", "Found", "Gone", "NotAsked", "Unreadable", "read_issue"]


@dataclass(frozen=True, slots=True)
class Found:
    """The issue, read at `read_at` or later. `blockers` is None where they matter to nobody: for closed
    issues and pull requests. `blocked` are its dependents, asked for when a close is expected."""

    issue: RemoteIssue
    read_at: datetime
    blockers: Blockers | None = None
    blocked: Blockers | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such issue, though the forge shows us the repository and its issues."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The forge answers, but does not show us the repository or its issues. `is_final`: it will not do
    so the next time either."""

    why: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer that can be used. `alone`: the rest of the repository may answer all the same."""

    why: str
    alone: bool


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The forge was not asked, whatever it would have said."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """Reading it crashed the router twice."""

    crashes: tuple[CrashReport, ...]


Answer = Found | Gone | Unreadable | Failed | NotAsked | Crashed


async def read_issue(forge: "Forge", order: ReadIssue, *, expects_close: bool, clock: Clock) -> Answer:
    """Read the issue with its dependencies; never raises a ForgeError.

    With `expects_close` the dependents of an issue that turns out to be closed are read, too.
    """
    read_at = clock()
    try:
        issue = await forge.issue(order.repo_name, order.ref.number, repo_id=order.repo_id or None)
        return await _whole(forge, issue, read_at, expects_close)
    except ForgeTooLong as error:
        return Unreadable(str(error), is_final=True)
    except ForgeNotFound:
        return await _why_missing(forge, order, read_at, expects_close)
    except ForgeError as error:
        return _failure(error)


async def _whole(forge: "Forge", issue: RemoteIssue, read_at: datetime, expects_close: bool) -> Found:
    place = (issue.repo_full_name, issue.number)
    if issue.is_pull:
        return Found(issue, read_at)
    if issue.state == "open":
        try:
            blockers = await _or_none(forge.blockers(*place, repo_id=issue.repo_id))
        except ForgeTooLong:  # what nobody can read counts as open
            blockers = Blockers((), hidden=1)
        return Found(issue, read_at, blockers=blockers)
    if expects_close:
        try:
            blocked = await _or_none(forge.blocked(*place, repo_id=issue.repo_id))
        except ForgeTooLong:  # those we know of are told all the same, the others wait for the sweep
            blocked = None
        return Found(issue, read_at, blocked=blocked)
    return Found(issue, read_at)


async def _or_none(asked: Awaitable[Blockers]) -> Blockers:
    """What was asked for, or no dependencies where the repository has them switched off."""
    try:
        return await asked
    except ForgeNotFound:
        return Blockers(())


async def _why_missing(
    forge: "Forge", order: ReadIssue, read_at: datetime, expects_close: bool
) -> Answer:
    """Whether only the issue is missing. A forge says 404 to what it hides, too, so the repository and
    its list of issues must answer before anything is taken for deleted; and where another repository
    has taken the name we know, the issue is looked for under the present one first."""
    try:
        repository = await forge.repository(order.repo_name, repo_id=order.repo_id or None)
        if not repository.has_issues:
            return Unreadable(f"{repository.full_name} has its issues switched off")
        await forge.count_issues(repository.full_name, repo_id=repository.id)
        if repository.full_name.lower() != order.repo_name.lower():
            return await _elsewhere(forge, order, repository.full_name, read_at, expects_close)
    except ForgeNotFound as error:
        return Unreadable(str(error))
    except ForgeError as error:
        return _failure(error)
    return Gone()


async def _elsewhere(
    forge: "Forge", order: ReadIssue, name: str, read_at: datetime, expects_close: bool
) -> Answer:
    try:
        issue = await forge.issue(name, order.ref.number, repo_id=order.repo_id or None)
    except ForgeNotFound:
        return Gone()
    return await _whole(forge, issue, read_at, expects_close)


def _failure(error: ForgeError) -> Answer:
    """A refusal that another token might not meet hides one repository; a wrong name finds none."""
    if isinstance(error, ForgeNotAsked):
        return NotAsked()
    is_hidden = isinstance(error, ForgeForbidden) and error.missing_scope is None
    if is_hidden or (isinstance(error, ForgeInvalid) and error.status is None):
        return Unreadable(str(error))
    # A success that held nothing we can use, and a no to this one question, say nothing of others;
    # but a token that is not accepted (401) or lacks a scope (403) is refused everywhere.
    is_answer = error.status is not None and error.status < 300
    is_no = isinstance(error, ForgeRefused) and error.status not in (401, 403)
    return Failed(str(error), alone=is_answer or is_no)
