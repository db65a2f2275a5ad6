"""What a forge keeps: accounts, repositories, issues and all that hangs on them.

Plain records, changed in place by the files that know the rules; nothing here knows HTTP or JSON.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

__all__ = [
    "RANK",
    "Access",
    "Account",
    "Comment",
    "Hook",
    "Issue",
    "Label",
    "Level",
    "Milestone",
    "Reaction",
    "Repository",
    "Token",
]

Access = Literal["none", "read", "write", "admin", "owner"]
Level = Literal["repository", "organization", "system", "default"]
RANK: dict[Access, int] = {"none": 0, "read": 1, "write": 2, "admin": 3, "owner": 4}

_LONG_AGO = datetime(2026, 1, 10, 9, tzinfo=UTC)


@dataclass(slots=True)
class Account:
    """A user or an organisation; `owners` are the logins that own the organisation."""

    id: int
    login: str
    is_admin: bool = False
    is_organization: bool = False
    owners: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; scopes as the products spell them: read:issue, write:repository, all …"""

    text: str
    login: str
    scopes: frozenset[str]


@dataclass(slots=True)
class Label:
    id: int
    name: str
    color: str
    description: str = ""
    exclusive: bool = False

    @property
    def scope(self) -> str:
        """What stands before the last slash; an exclusive label drives out others of its scope."""
        return self.name.rpartition("/")[0] if self.exclusive else ""


@dataclass(slots=True)
class Milestone:
    id: int
    title: str


@dataclass(slots=True)
class Repository:
    id: int
    owner: str
    name: str
    private: bool = True
    archived: bool = False
    empty: bool = False
    has_issues: bool = True
    dependencies_enabled: bool = True
    collaborators: dict[str, Access] = field(default_factory=dict)
    labels: dict[int, Label] = field(default_factory=dict)
    milestones: dict[int, Milestone] = field(default_factory=dict)
    # The last index given out; issues and pull requests share it, and none is used again.
    last_number: int = 0
    created_at: datetime = _LONG_AGO

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class Reaction:
    login: str
    content: str
    created_at: datetime


@dataclass(slots=True)
class Issue:
    """An issue or a pull request."""

    id: int
    repo_id: int
    number: int
    title: str
    body: str
    author: str
    created_at: datetime
    updated_at: datetime
    is_pull: bool = False
    is_locked: bool = False
    closed_at: datetime | None = None
    assignees: list[str] = field(default_factory=list)
    label_ids: list[int] = field(default_factory=list)
    milestone_id: int | None = None
    comments: int = 0
    content_version: int = 0
    reactions: list[Reaction] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


@dataclass(slots=True)
class Comment:
    id: int
    issue_id: int
    author: str
    body: str
    created_at: datetime
    updated_at: datetime
    reactions: list[Reaction] = field(default_factory=list)


@dataclass(slots=True)
class Hook:
    """A webhook. `owner_id` is the repository's or the organisation's, 0 of the whole instance."""

    id: int
    level: Level
    owner_id: int
    url: str
    secret: str
    event_types: tuple[str, ...]
    active: bool
    created_at: datetime
    updated_at: datetime
    kind: str = "gitea"
    content_type: str = "json"
    branch_filter: str = ""
    authorization_header: str = ""
