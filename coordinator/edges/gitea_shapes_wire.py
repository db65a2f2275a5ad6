"""The shapes of JSON that webhooks and REST answers of Gitea and Forgejo have in common.

modules/structs of both products, Gitea 1.20 to 1.27 and Forgejo 7 to 17. Only fields we need are
looked at, so that a field added, renamed or dropped elsewhere changes nothing.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from coordinator.edges.gitea_remote_wire import RemoteIssue
from coordinator.rules.ids import Login, fold_login

__all__ = [
    "FULL_NAME",
    "Id",
    "IssueShape",
    "Number",
    "RepositoryShape",
    "Shape",
    "ShortList",
    "UserShape",
    "first_problem",
    "instant",
    "issue_of",
    "people_of",
    "unless_never",
]

# Beyond this a list is an attack or a fault, not an issue.
_MAX_LIST_ITEMS = 10_000
# Ids are 64-bit signed integers in both products; issue refs carry at most ten digits.
_MAX_ID = 2**63 - 1
_MAX_NUMBER = 9_999_999_999

FULL_NAME = r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$"
# "Never" is the zero time of Go or of Unix, in whatever zone the server runs.
_NEVER_UNTIL = datetime(1970, 1, 2, tzinfo=UTC)
_FIRST_INSTANT = datetime(1, 1, 1, tzinfo=UTC)
_LAST_INSTANT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

Id = Annotated[int, Field(ge=1, le=_MAX_ID)]
Number = Annotated[int, Field(ge=1, le=_MAX_NUMBER)]
# Fail fast: a long list of nonsense must not become a long list of complaints.
ShortList = Field(max_length=_MAX_LIST_ITEMS, fail_fast=True)


class Shape(BaseModel):
    """Strict: a forge that sends "17" for 17 is none we know. Further fields are left alone."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class UserShape(Shape):
    """Somebody; `name` is empty for a ghost, whose account is gone."""

    login: str = ""
    # Only `username` is common to the very oldest payloads still in somebody's replay list.
    username: str = ""

    @property
    def name(self) -> str:
        return self.login or self.username


class _Label(Shape):
    name: str


class _Milestone(Shape):
    title: str


class IssueShape(Shape):
    """An issue or a pull request, with null or a list wherever the products send either."""

    id: Id
    number: Number
    title: str
    body: str | None = None
    state: Literal["open", "closed"]
    html_url: str = ""
    created_at: AwareDatetime
    updated_at: AwareDatetime
    closed_at: AwareDatetime | None = None
    milestone: _Milestone | None = None
    assignee: UserShape | None = None
    assignees: Annotated[list[UserShape], ShortList] | None = None
    labels: Annotated[list[_Label], ShortList] | None = None
    pull_request: dict[str, Any] | None = None


class RepositoryShape(Shape):
    """Which repository something belongs to."""

    id: Id
    full_name: Annotated[str, Field(pattern=FULL_NAME)]


def issue_of(shape: IssueShape, repository: RepositoryShape) -> RemoteIssue:
    """The issue in our own words."""
    return RemoteIssue(
        id=shape.id,
        number=shape.number,
        title=shape.title,
        body=shape.body or "",
        state=shape.state,
        assignees=people_of(shape),
        labels=tuple(label.name for label in shape.labels or ()),
        milestone=shape.milestone.title if shape.milestone else None,
        html_url=shape.html_url,
        created_at=instant(shape.created_at),
        updated_at=instant(shape.updated_at),
        closed_at=unless_never(shape.closed_at),
        repo_id=repository.id,
        repo_full_name=repository.full_name,
        is_pull=shape.pull_request is not None,
    )


def people_of(issue: IssueShape) -> tuple[Login, ...]:
    """The assignees in the forge's order, without ghosts."""
    # assignee is assignees[0]; it stands alone only where the list is missing.
    people = [issue.assignee] if issue.assignees is None and issue.assignee else issue.assignees or []
    return tuple(fold_login(person.name) for person in people if person.name)


def instant(at: datetime) -> datetime:
    """The same instant in UTC, whole seconds; one outside the calendar becomes its nearest edge."""
    try:
        return at.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        return _FIRST_INSTANT if at.year == 1 else _LAST_INSTANT


def unless_never(at: datetime | None) -> datetime | None:
    """The instant as `instant` gives it, None for a forge's way to say never."""
    exact = None if at is None else instant(at)
    return None if exact is None or exact < _NEVER_UNTIL else exact


def first_problem(invalid: ValidationError) -> tuple[str, str]:
    """The dotted path of the first wrong field, "body" for the whole, and what is wrong with it.

    Neither the value seen nor its context: both may hold an issue's text.
    """
    first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
    return ".".join(map(str, first["loc"])) or "body", first["msg"]
