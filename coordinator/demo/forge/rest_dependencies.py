"""REST: which issue blocks which, with everything odd about it."""

from collections.abc import Callable

from coordinator.demo.forge.actions import Refused
from coordinator.demo.forge.model import Issue, Repository
from coordinator.demo.forge.rest import DEFAULT_ITEMS, NOT_FOUND, Answer, Call, Route, route
from coordinator.demo.forge.shapes import ABSENT, HIDDEN, Json

__all__ = ["DEPENDENCY_ROUTES"]

_ISSUE = "/repos/{owner}/{repo}/issues/{index}"


# lists ------------------------------------------------------------------------------------------


def _blockers(call: Call) -> Answer:
    """What blocks the issue, closed ones too, one page of it; what may not be read is a stand-in."""
    repo = call.repo()
    if not repo.dependencies_enabled:
        raise Refused(404, NOT_FOUND)
    issue = call.issue(repo)
    page, size = call.page()
    found = call.data.blockers_of(issue)
    stand_in = ABSENT if call.data.may(repo, call.login, "write") else HIDDEN
    shown = [_seen(call, each, stand_in) for each in found[(page - 1) * size : page * size]]
    headers = call.count_headers(len(found)) if call.dialect.counts_dependencies else []
    return Answer(200, shown, headers)


def _seen(call: Call, issue: Issue, stand_in: Json) -> Json:
    if call.data.may(call.data.repo_of(issue), call.login, "read"):
        return call.shapes.issue(issue, call.login)
    return stand_in


def _blocked(call: Call) -> Answer:
    """What the issue blocks. Pages are cut before what may not be read is left out, the size is
    not clamped, and 1 is taken for none given."""
    issue = call.issue(call.repo())
    limit = call.query_number("limit")
    size = DEFAULT_ITEMS if limit <= 1 else limit
    page = max(call.query_number("page"), 1)
    part = call.data.blocked_by(issue)[(page - 1) * size : page * size]
    readable = [each for each in part if call.data.may(call.data.repo_of(each), call.login, "read")]
    return Answer(200, [call.shapes.issue(each, call.login) for each in readable])


# edges ------------------------------------------------------------------------------------------


def _add_blocker(call: Call) -> Answer:
    return _change(call, call.do.block)


def _remove_blocker(call: Call) -> Answer:
    return _change(call, call.do.unblock)


def _change(call: Call, change: Callable[[Issue, Issue], None]) -> Answer:
    """Change the edge from the form's issue to the path's; an archived repository is told from a
    missing one here, and only here."""
    repo = call.repo()
    if repo.archived:
        raise Refused(423, f"{repo.full_name} is archived")
    issue, other = _pair(call, repo)
    _require_allowed(call, issue, other)
    change(issue, other)
    return Answer(201, call.shapes.issue(issue, call.doer))


def _add_blocked(call: Call) -> Answer:
    return _change_back(call, call.do.block)


def _remove_blocked(call: Call) -> Answer:
    return _change_back(call, call.do.unblock)


def _change_back(call: Call, change: Callable[[Issue, Issue], None]) -> Answer:
    """Change the edge from the path's issue to the form's."""
    issue, other = _pair(call, call.repo())
    _require_allowed(call, other, issue)
    change(other, issue)
    return Answer(201, call.shapes.issue(issue, call.doer))


def _pair(call: Call, repo: Repository) -> tuple[Issue, Issue]:
    """The issue of the path and the one of the form, which needs owner, repository and number."""
    form, issue = call.body(), call.issue(repo)
    _ = call.doer
    name = f"{form.get('owner', '')}/{form.get('repo', '')}"
    if name != repo.full_name and not call.forge.across_repositories:
        raise Refused(400, "CrossRepositoryDependencies not enabled")
    place, number = call.data.repository(name), form.get("index")
    other = None if place is None else call.data.issue(place, int(number or 0))
    if other is None:
        raise Refused(404, NOT_FOUND)
    return issue, other


def _require_allowed(call: Call, blocked: Issue, blocker: Issue) -> None:
    """Write on the blocked issue's repository, read on the blocker's; else it was not there."""
    target = call.data.repo_of(blocked)
    may = call.data.may(target, call.doer, "write")
    may = may and call.data.may(call.data.repo_of(blocker), call.doer, "read")
    if not may or target.archived or not target.dependencies_enabled:
        raise Refused(404, NOT_FOUND)


DEPENDENCY_ROUTES: tuple[Route, ...] = (
    route("GET", _ISSUE + "/dependencies", "issue", _blockers),
    route("POST", _ISSUE + "/dependencies", "issue", _add_blocker),
    route("DELETE", _ISSUE + "/dependencies", "issue", _remove_blocker),
    route("GET", _ISSUE + "/blocks", "issue", _blocked),
    route("POST", _ISSUE + "/blocks", "issue", _add_blocked),
    route("DELETE", _ISSUE + "/blocks", "issue", _remove_blocked),
)
