"""What a forge keeps, in our own words: the values that the client (`gitea.py`) gives and takes.

Instants are UTC with whole seconds, logins are folded, texts are as the forge has them (unbounded and
unescaped: whoever shows or stores them bounds them). Nothing here knows HTTP or JSON.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from coordinator.rules.ids import Login

__all__ = [
    "Account",
    "Blockers",
    "BreakerState",
    "ForgeHealth",
    "ForgeInfo",
    "HookScope",
    "IssuePage",
    "Permission",
    "Product",
    "RemoteComment",
    "RemoteHook",
    "RemoteIssue",
    "RemoteLabel",
    "RemoteRef",
    "RemoteRepository",
]

Product = Literal["gitea", "forgejo"]
Permission = Literal["none", "read", "write", "admin", "owner"]
BreakerState = Literal["closed", "open", "half-open"]
# Whose hooks: ("repo", "owner/name"), ("org", "name"), or every repository's: ("all", "").
HookScope = tuple[Literal["repo", "org", "all"], str]


@dataclass(frozen=True, slots=True)
class ForgeInfo:
    """Which forge this is and what it can do, as probed once.

    `api_level` is the Gitea version whose API it speaks (Forgejo names it after `+gitea-`), (0, 0)
    where that cannot be read: then no newer feature is assumed. `has_sort`: issues can be listed in
    another order than the newest first. `max_page` is the greatest `limit`.
    """

    product: Product
    version: str
    api_level: tuple[int, int]
    has_assignees_api: bool
    deletes_labels_by_name: bool
    has_sort: bool
    max_page: int


@dataclass(frozen=True, slots=True)
class ForgeHealth:
    """How the forge fares: `failures` in a row, seconds until the next try while the circuit is open.

    `last_error` is of the last failure, "" before any; `requests` counts what was sent, retries too.
    """

    state: BreakerState
    failures: int
    last_error: str
    retry_in_s: float | None
    requests: int
    version: str | None
    product: Product | None


@dataclass(frozen=True, slots=True)
class Account:
    """Whose token it is; `id` is 0 where only a comment of ours has told."""

    id: int
    login: Login


@dataclass(frozen=True, slots=True)
class RemoteRepository:
    """A repository, and what the token's user may do there; `full_name` is its current spelling.

    `is_public`: it is said to be open to everybody, signed in or not.
    """

    id: int
    full_name: str
    archived: bool
    has_issues: bool
    dependencies_enabled: bool
    can_read: bool
    can_write: bool
    can_admin: bool
    is_public: bool = False


@dataclass(frozen=True, slots=True)
class RemoteIssue:
    """One issue or pull request as the forge has it now; lists are in the forge's order."""

    id: int
    number: int
    title: str
    body: str
    state: Literal["open", "closed"]
    assignees: tuple[Login, ...]
    labels: tuple[str, ...]
    milestone: str | None
    html_url: str
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    repo_id: int
    repo_full_name: str
    is_pull: bool = False


@dataclass(frozen=True, slots=True)
class IssuePage:
    """One page of a list. Only `is_end` (the forge sent nothing at all) ends a loop over pages.

    Pull requests are left out, so `issues` may be empty on a page that is not the end. `total` is the
    forge's count over all pages, None where it does not say.
    """

    issues: tuple[RemoteIssue, ...]
    total: int | None
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class RemoteRef:
    """The other end of a dependency; `repo` is its current full name. Only "closed" is satisfied."""

    repo_id: int
    repo: str
    number: int
    state: Literal["open", "closed"]
    is_pull: bool = False


@dataclass(frozen=True, slots=True)
class Blockers:
    """The dependencies of an issue in one direction, closed ones too, in the forge's order.

    `hidden` counts those that this token may not read and that are not known to be closed: they count
    as open, since nobody can tell.
    """

    refs: tuple[RemoteRef, ...]
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class RemoteComment:
    """One comment; `issue_number` is None where the forge does not say (asked for within an issue).

    `is_pull` tells a comment on a pull request from one on an issue.
    """

    id: int
    author: Login
    body: str
    created_at: datetime
    updated_at: datetime
    html_url: str
    issue_number: int | None = None
    is_pull: bool = False


@dataclass(frozen=True, slots=True)
class RemoteLabel:
    """One label of a repository; `color` is six lower-case hex digits without `#`."""

    id: int
    name: str
    color: str
    exclusive: bool
    description: str


@dataclass(frozen=True, slots=True)
class RemoteHook:
    """A webhook as the forge shows it; the secret is never shown. `events` are the expanded names."""

    id: int
    url: str
    active: bool
    events: tuple[str, ...]
    content_type: str
