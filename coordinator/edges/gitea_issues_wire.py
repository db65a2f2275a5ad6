"""What the REST interface answers about issues, their dependencies and their comments.

Replies in, values or `UnexpectedAnswer` out; lists are in the order of the forge. The shapes an issue
has are shared with webhooks (`gitea_shapes_wire.py`).
"""

import re
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from coordinator.edges.gitea_remote_wire import (
    Blockers,
    IssuePage,
    RemoteComment,
    RemoteIssue,
    RemoteRef,
)
from coordinator.edges.gitea_reply_wire import Reply, UnexpectedAnswer, read_shape, read_total
from coordinator.edges.gitea_shapes_wire import (
    Id,
    IssueShape,
    Number,
    RepositoryShape,
    Shape,
    ShortList,
    UserShape,
    instant,
    issue_of,
)
from coordinator.rules.ids import fold_login

__all__ = [
    "read_blockers",
    "read_comment",
    "read_comments",
    "read_count",
    "read_issue",
    "read_issues",
]


class _RestIssue(IssueShape):
    repository: RepositoryShape


_ISSUE = TypeAdapter(_RestIssue)
_ISSUES = TypeAdapter(Annotated[list[_RestIssue], ShortList])


def read_issue(reply: Reply) -> RemoteIssue:
    return _issue(read_shape(_ISSUE, reply, "an issue"))


def read_issues(reply: Reply) -> IssuePage:
    shapes = read_shape(_ISSUES, reply, "a list of issues")
    issues = tuple(_issue(shape) for shape in shapes if shape.pull_request is None)
    return IssuePage(issues, read_total(reply), is_end=not shapes)


def read_count(reply: Reply) -> int:
    """How many issues the list has over all pages."""
    total = read_total(reply)
    if total is None:
        raise UnexpectedAnswer("the number of issues", "but there is no X-Total-Count")
    return total


def _issue(shape: _RestIssue) -> RemoteIssue:
    return issue_of(shape, shape.repository)


# dependencies -------------------------------------------------------------------------------------


class _OtherEnd(Shape):
    """Only what even a reduced issue carries; whoever may not read it sees zeros and nulls."""

    number: Annotated[int, Field(ge=0)] = 0
    state: str = ""
    pull_request: dict[str, Any] | None = None
    repository: dict[str, Any] | None = None


class _Name(Shape):
    number: Number
    repository: RepositoryShape


_OTHER_ENDS = TypeAdapter(Annotated[list[_OtherEnd], ShortList])


def read_blockers(reply: Reply) -> tuple[Blockers, int]:
    """With the number of all entries. Unnamed ones (title HIDDEN, or all zero) count as hidden unless
    they are said to be closed."""
    ends = read_shape(_OTHER_ENDS, reply, "a list of dependencies")
    refs = tuple(map(_ref, ends))
    hidden = sum(ref is None and end.state != "closed" for ref, end in zip(refs, ends, strict=True))
    return Blockers(tuple(ref for ref in refs if ref is not None), hidden), len(ends)


def _ref(end: _OtherEnd) -> RemoteRef | None:
    try:
        name = _Name(number=end.number, repository=end.repository)  # type: ignore[arg-type]
    except ValidationError:
        return None
    return RemoteRef(
        name.repository.id,
        name.repository.full_name,
        name.number,
        "closed" if end.state == "closed" else "open",
        end.pull_request is not None,
    )


# comments -----------------------------------------------------------------------------------------


class _Comment(Shape):
    id: Id
    user: UserShape | None = None
    body: str | None = None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    html_url: str = ""
    issue_url: str = ""
    pull_request_url: str = ""


_COMMENT = TypeAdapter(_Comment)
_COMMENTS = TypeAdapter(Annotated[list[_Comment], ShortList])
_LAST_NUMBER = re.compile(r"/(?:issues|pulls)/([1-9][0-9]{0,9})$")


def read_comment(reply: Reply) -> RemoteComment:
    return _comment(read_shape(_COMMENT, reply, "a comment"))


def read_comments(reply: Reply) -> tuple[RemoteComment, ...]:
    shapes = read_shape(_COMMENTS, reply, "a list of comments")
    return tuple(map(_comment, shapes))


def _comment(shape: _Comment) -> RemoteComment:
    place = shape.issue_url or shape.pull_request_url or shape.html_url.partition("#")[0]
    found = _LAST_NUMBER.search(place)
    return RemoteComment(
        id=shape.id,
        author=fold_login(shape.user.name if shape.user else ""),
        body=shape.body or "",
        created_at=instant(shape.created_at),
        updated_at=instant(shape.updated_at),
        html_url=shape.html_url,
        issue_number=int(found[1]) if found else None,
        is_pull=bool(shape.pull_request_url),
    )
