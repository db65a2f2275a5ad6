"""REST: comments, of one issue (never paged) and of a whole repository (paged)."""

from coordinator.demo.forge.actions import Refused
from coordinator.demo.forge.model import Comment, Issue, Repository
from coordinator.demo.forge.rest import NOT_FOUND, Answer, Call, Route, route
from coordinator.demo.forge.rest_issues import react

__all__ = ["COMMENT_ROUTES"]

_ISSUES = "/repos/{owner}/{repo}/issues"


def _of_issue(call: Call) -> Answer:
    issue = call.issue(call.repo())
    found = [each for each in call.data.comments_of(issue) if _in_time(call, each)]
    shown = [call.shapes.comment(each, issue, call.login) for each in found]
    return Answer(200, shown, [("X-Total-Count", str(len(found)))])


def _of_repo(call: Call) -> Answer:
    """Oldest first; `since` is about the last edit."""
    repo = call.repo()
    issues = {issue.id: issue for issue in call.data.issues_of(repo)}
    comments = [each for each in call.data.comments.values() if each.issue_id in issues]
    found = [each for each in comments if _in_time(call, each)]
    return call.listed(found, lambda each: call.shapes.comment(each, issues[each.issue_id], call.login))


def _in_time(call: Call, comment: Comment) -> bool:
    since, before = call.instant("since"), call.instant("before")
    return (since is None or comment.updated_at >= since) and (
        before is None or comment.updated_at <= before
    )


def _create(call: Call) -> Answer:
    repo, by, form = call.repo(), call.doer, call.body("body")
    issue = call.issue(repo)
    _require_not_archived(repo)
    if issue.is_locked and not call.data.may(repo, by, "write"):
        raise Refused(403, "You cannot comment on a locked issue.")
    comment = call.do.comment(issue, str(form["body"]), by=by)
    return Answer(201, call.shapes.comment(comment, issue, by))


def _one(call: Call) -> Answer:
    comment, issue = _find(call, call.repo())
    return Answer(200, call.shapes.comment(comment, issue, call.login))


def _edit(call: Call) -> Answer:
    repo, by, form = call.repo(), call.doer, call.body("body")
    _require_not_archived(repo)
    comment, issue = _find(call, repo)
    _require_own(call, repo, comment)
    call.do.edit_comment(comment, str(form["body"]), by=by)
    return Answer(200, call.shapes.comment(comment, issue, by))


def _delete(call: Call) -> Answer:
    repo, by = call.repo(), call.doer
    comment, _ = _find(call, repo)
    _require_own(call, repo, comment)
    call.do.delete_comment(comment, by=by)
    return Answer(204)


def _react(call: Call) -> Answer:
    repo = call.repo()
    comment, issue = _find(call, repo)
    if call.method == "GET":
        return Answer(200, [call.shapes.reaction(each) for each in comment.reactions])
    if issue.is_locked and not call.data.may(repo, call.doer, "write"):
        raise Refused(403, "no permission to change reaction")
    return react(call, comment.reactions)


def _find(call: Call, repo: Repository) -> tuple[Comment, Issue]:
    """The comment and its issue; one of another repository is not found here."""
    comment = call.data.comments.get(call.number("id"))
    if comment is None or call.data.issues[comment.issue_id].repo_id != repo.id:
        raise Refused(404, NOT_FOUND)
    return comment, call.data.issues[comment.issue_id]


def _require_own(call: Call, repo: Repository, comment: Comment) -> None:
    if comment.author.lower() != call.doer.lower() and not call.data.may(repo, call.doer, "write"):
        raise Refused(403, "")


def _require_not_archived(repo: Repository) -> None:
    if repo.archived:
        raise Refused(423, f"{repo.full_name} is archived")


COMMENT_ROUTES: tuple[Route, ...] = (
    route("GET", _ISSUES + "/comments", "issue", _of_repo),
    route("GET", _ISSUES + "/{index}/comments", "issue", _of_issue),
    route("POST", _ISSUES + "/{index}/comments", "issue", _create),
    route("GET", _ISSUES + "/comments/{id}", "issue", _one),
    route("PATCH", _ISSUES + "/comments/{id}", "issue", _edit),
    route("DELETE", _ISSUES + "/comments/{id}", "issue", _delete),
    route("GET", _ISSUES + "/comments/{id}/reactions", "issue", _react),
    route("POST", _ISSUES + "/comments/{id}/reactions", "issue", _react),
)
