"""REST: issues, their assignees and their reactions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from coordinator.demo.forge.actions import Refused
from coordinator.demo.forge.model import Issue, Milestone, Reaction, Repository
from coordinator.demo.forge.rest import NOT_FOUND, Answer, Call, Route, route

__all__ = ["ISSUE_ROUTES", "react"]

_ISSUES = "/repos/{owner}/{repo}/issues"
_ISSUE = _ISSUES + "/{index}"
# [ui] REACTIONS of both products.
_REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")


# reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Filter:
    """What the query asks for, read once."""

    query: dict[str, str]
    since: datetime | None
    before: datetime | None
    # One of the labels is enough, instead of all.
    any_label: bool = False

    @classmethod
    def of(cls, call: Call, *, any_label: bool = False) -> Self:
        return cls(call.query, call.instant("since"), call.instant("before"), any_label)

    def issues(self, call: Call, repo: Repository) -> list[Issue]:
        labels = self._labels(repo)
        return [
            issue
            for issue in call.data.issues_of(repo)
            if self._is_labelled(labels, set(issue.label_ids))
            and (repo.has_issues or issue.is_pull)
            and self._is_wanted(issue)
        ]

    def _is_labelled(self, wanted: set[int], held: set[int]) -> bool:
        return bool(wanted & held) or not wanted if self.any_label else wanted <= held

    def _labels(self, repo: Repository) -> set[int]:
        """The ids of the labels asked for. A name nobody knows is dropped, its filter with it."""
        names = set(self.query.get("labels", "").split(","))
        return {label.id for label in repo.labels.values() if label.name in names}

    def _is_wanted(self, issue: Issue) -> bool:
        kind, state = self.query.get("type"), self.query.get("state", "open")
        return (
            (state == "all" or (state == "closed") != issue.is_open)
            and (kind not in ("issues", "pulls") or (kind == "pulls") == issue.is_pull)
            and (self.since is None or issue.updated_at >= self.since)
            and (self.before is None or issue.updated_at <= self.before)
            and self.query.get("q", "").lower() in issue.title.lower()
            and self._concerns_people(issue)
        )

    def _concerns_people(self, issue: Issue) -> bool:
        author, assignee = self.query.get("created_by"), self.query.get("assigned_by")
        people = [name.lower() for name in issue.assignees]
        return (author is None or author.lower() == issue.author.lower()) and (
            assignee is None or assignee.lower() in people
        )


def _list(call: Call) -> Answer:
    found = _Filter.of(call).issues(call, call.repo())
    return call.listed(_in_order(call, found), lambda issue: call.shapes.issue(issue, call.login))


def _search(call: Call) -> Answer:
    """All repositories one may see, or the owner's."""
    owner, wanted = call.query.get("owner"), _Filter.of(call, any_label=True)
    repos = [repo for repo in call.data.repos.values() if call.sees(repo)]
    own = [repo for repo in repos if owner is None or repo.owner.lower() == owner.lower()]
    found = [issue for repo in own for issue in wanted.issues(call, repo)]
    return call.listed(_in_order(call, found), lambda issue: call.shapes.issue(issue, call.login))


def _in_order(call: Call, issues: list[Issue]) -> list[Issue]:
    """Newest created first, whatever changed since; Forgejo can be asked for another order."""
    match call.query.get("sort") if call.dialect.has_sort else None:
        case "oldest":
            return sorted(issues, key=_age)
        case "recentupdate":
            return sorted(issues, key=lambda issue: (issue.updated_at, issue.id), reverse=True)
        case "leastupdate":
            return sorted(issues, key=lambda issue: (issue.updated_at, issue.id))
        case _:
            return sorted(issues, key=_age, reverse=True)


def _age(issue: Issue) -> tuple[datetime, int]:
    return issue.created_at, issue.id


def _get(call: Call) -> Answer:
    return Answer(200, call.shapes.issue(call.issue(call.repo()), call.login))


# writing ----------------------------------------------------------------------------------------


def _create(call: Call) -> Answer:
    repo, by, form = call.repo(), call.doer, call.body("title")
    _require_not_archived(repo)
    writer = call.data.may(repo, by, "write")
    people = _people(call, repo, form.get("assignees") or (), unfit=400) if writer else []
    labels = [label for label in repo.labels.values() if label.id in (form.get("labels") or ())]
    issue = call.do.open(
        repo,
        str(form["title"]),
        str(form.get("body") or ""),
        by=by,
        assignees=people,
        labels=labels if writer else (),
        milestone=_milestone(repo, form.get("milestone")) if writer else None,
    )
    if form.get("closed"):
        call.do.close(issue, by=by)
    return Answer(201, call.shapes.issue(issue, by))


def _edit(call: Call) -> Answer:
    """Part after part: what was done stays done when a later part is refused. Answers 201."""
    repo, by, form = call.repo(), call.doer, call.body()
    issue, writer = call.issue(repo), call.data.may(repo, by, "write")
    if not writer and issue.author.lower() != by.lower():
        raise Refused(403, "")
    if call.dialect.product == "gitea":
        _require_version(issue, form.get("content_version"))
    if form.get("title") and form["title"] != issue.title:
        call.do.retitle(issue, str(form["title"]), by=by)
    if form.get("body") is not None and form["body"] != issue.body:
        call.do.rewrite(issue, str(form["body"]), by=by)
    if writer:
        _edit_people(call, repo, issue, form)
        if form.get("milestone") is not None:
            call.do.set_milestone(issue, _milestone(repo, form["milestone"]), by=by)
    _edit_state(call, issue, form.get("state"))
    return Answer(201, call.shapes.issue(issue, by))


def _edit_people(call: Call, repo: Repository, issue: Issue, form: dict[str, Any]) -> None:
    wanted = form.get("assignees")
    if wanted is None and form.get("assignee") is not None:
        wanted = [form["assignee"]] if form["assignee"] else []
    if wanted is not None:
        people = _people(call, repo, wanted, unfit=500)
        call.do.replace_assignees(issue, people, by=call.doer)


def _edit_state(call: Call, issue: Issue, state: str | None) -> None:
    if state == "closed":
        call.do.close(issue, by=call.doer)
    elif state == "open":
        call.do.reopen(issue, by=call.doer)
    elif state is not None:
        raise Refused(412, f"unknown state: {state}")


def _delete(call: Call) -> Answer:
    repo = call.repo("admin")
    call.do.delete(call.issue(repo), by=call.doer)
    return Answer(204)


def _require_not_archived(repo: Repository) -> None:
    if repo.archived:
        raise Refused(423, f"{repo.full_name} is archived")


def _require_version(issue: Issue, version: int | None) -> None:
    """A lock of the body alone: nothing else moves the version."""
    if version is not None and version != issue.content_version:
        raise Refused(409, "content version mismatch")


def _milestone(repo: Repository, number: int | None) -> Milestone | None:
    return repo.milestones.get(number) if number else None


# assignees --------------------------------------------------------------------------------------


def _people(call: Call, repo: Repository, logins: Sequence[str], *, unfit: int) -> list[str]:
    """The logins as they are spelled; 422 for one that is nobody, `unfit` for one who may not write."""
    found = []
    for login in logins:
        account = call.data.account(str(login))
        if account is None:
            raise Refused(422, f"Assignee does not exist: [name: {login}]")
        if account.is_organization or not call.data.may(repo, login, "write"):
            raise Refused(unfit, "" if unfit == 500 else f"user does not have access: {login}")
        found.append(account.login)
    return found


def _add_assignees(call: Call) -> Answer:
    repo, form = call.repo("write"), call.body()
    issue = call.issue(repo)
    call.do.assign(issue, _people(call, repo, form.get("assignees") or (), unfit=422), by=call.doer)
    return Answer(201, call.shapes.issue(issue, call.doer))


def _remove_assignees(call: Call) -> Answer:
    repo, form = call.repo("write"), call.body()
    issue = call.issue(repo)
    for login in form.get("assignees") or ():
        if call.data.account(str(login)) is None:
            raise Refused(422, f"Assignee does not exist: [name: {login}]")
    call.do.unassign(issue, form.get("assignees") or (), by=call.doer)
    return Answer(200, call.shapes.issue(issue, call.doer))


def _is_assigned(call: Call) -> Answer:
    issue = call.issue(call.repo())
    return Answer(204 if call.part["user"].lower() in map(str.lower, issue.assignees) else 404)


def _gitea_only(call: Call) -> None:
    if not call.dialect.has_assignees_api:
        raise Refused(404, NOT_FOUND)


def _assignees(call: Call) -> Answer:
    _gitea_only(call)
    if call.method == "GET":
        return _is_assigned(call)
    return _add_assignees(call) if call.method == "POST" else _remove_assignees(call)


# reactions --------------------------------------------------------------------------------------


def react(call: Call, reactions: list[Reaction]) -> Answer:
    """Add one's own reaction to a list of them: 201, or 200 when it is there already."""
    content = call.body().get("content")
    if content not in _REACTIONS:
        raise Refused(403, f"'{content}' is not an allowed reaction")
    for known in reactions:
        if (known.login, known.content) == (call.doer, content):
            return Answer(200, call.shapes.reaction(known))
    reactions.append(Reaction(call.doer, content, call.data.now()))
    return Answer(201, call.shapes.reaction(reactions[-1]))


def _lock(call: Call) -> Answer:
    """People lock in the browser of either product; through this interface only in one."""
    if not call.dialect.has_lock_api:
        raise Refused(404, NOT_FOUND)
    call.do.lock(call.issue(call.repo("write")), is_locked=call.method == "PUT")
    return Answer(204)


def _react(call: Call) -> Answer:
    issue = call.issue(call.repo())
    if call.method == "GET":
        return Answer(200, [call.shapes.reaction(each) for each in issue.reactions])
    return react(call, issue.reactions)


ISSUE_ROUTES: tuple[Route, ...] = (
    route("GET", "/repos/issues/search", "issue", _search),
    route("GET", _ISSUES, "issue", _list),
    route("POST", _ISSUES, "issue", _create),
    route("GET", _ISSUE, "issue", _get),
    route("PATCH", _ISSUE, "issue", _edit),
    route("DELETE", _ISSUE, "issue", _delete),
    route("POST", _ISSUE + "/assignees", "issue", _assignees),
    route("DELETE", _ISSUE + "/assignees", "issue", _assignees),
    route("GET", _ISSUE + "/assignees/{user}", "issue", _assignees),
    route("PUT", _ISSUE + "/lock", "issue", _lock),
    route("DELETE", _ISSUE + "/lock", "issue", _lock),
    route("GET", _ISSUE + "/reactions", "issue", _react),
    route("POST", _ISSUE + "/reactions", "issue", _react),
)
