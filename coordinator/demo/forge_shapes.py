"""The JSON objects of Gitea 1.26 and Forgejo 15 webhooks, field by field in the products' order."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

__all__ = ["Product", "Shapes", "WorldIssue"]

Product = Literal["gitea", "forgejo"]

_NEVER = "0001-01-01T00:00:00Z"
# Forgejo, and Gitea before 1.26, write JSON that is safe inside HTML.
_HTML_SAFE = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


@dataclass(frozen=True, slots=True)
class WorldIssue:
    """One issue of the imagined forge as it is now."""

    repo: str
    number: int
    id: int
    title: str
    body: str
    author: str
    created_at: datetime
    updated_at: datetime
    state: Literal["open", "closed"] = "open"
    closed_at: datetime | None = None
    assignees: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    milestone: str | None = None
    comments: int = 0


@dataclass(slots=True)
class Shapes:
    """Builds the objects of one forge; ids are given out in the order things are first named."""

    product: Product
    url: str
    _ids: dict[str, int] = field(default_factory=dict)

    def encode(self, payload: dict[str, Any]) -> bytes:
        """The payload as the product writes it: two blanks of indent, no newline at the end."""
        text = json.dumps(payload, indent=2, ensure_ascii=False)
        return (text.translate(_HTML_SAFE) if self.product == "forgejo" else text).encode()

    def id_of(self, thing: str, start: int) -> int:
        return self._ids.setdefault(thing, start + len(self._ids))

    def page(self, issue: WorldIssue) -> str:
        return f"{self.url}/{issue.repo}/issues/{issue.number}"

    def user(self, login: str, *, seen_by: str | None = None) -> dict[str, Any]:
        """A user as strangers see one, or, where the doer is the user, with the private fields."""
        own = seen_by == login
        number = self.id_of(f"user:{login}", 10)
        host = self.url.split("//")[-1].split(":")[0]
        alias = login if self.product == "forgejo" else f"{number}+{login}"
        return {
            "id": number,
            "login": login,
            "login_name": "",
            "source_id": 0,
            "full_name": login.replace("-", " ").title(),
            "email": f"{login}@{host}" if own else f"{alias}@noreply.{host}",
            "avatar_url": f"{self.url}/avatars/{sha256(login.encode()).hexdigest()}",
            "html_url": f"{self.url}/{login}",
            "language": "en-US" if own else "",
            "is_admin": False,
            "last_login": "2026-07-14T08:30:00Z" if own else _NEVER,
            "created": "2026-01-10T09:00:00Z",
            "restricted": False,
            "active": own,
            "prohibit_login": False,
            "location": "",
            **self._only("forgejo", pronouns=""),
            "website": "",
            "description": "",
            "visibility": "public",
            "followers_count": 0,
            "following_count": 0,
            "starred_repos_count": 0,
            "username": login,
        }

    def issue(self, issue: WorldIssue, doer: str) -> dict[str, Any]:
        owner, _, name = issue.repo.partition("/")
        people = [self.user(login) for login in issue.assignees]
        repo_id = self.id_of(f"repo:{issue.repo}", 40)
        return {
            "id": issue.id,
            "url": f"{self.url}/api/v1/repos/{issue.repo}/issues/{issue.number}",
            "html_url": self.page(issue),
            "number": issue.number,
            "user": self.user(issue.author, seen_by=doer),
            "original_author": "",
            "original_author_id": 0,
            "title": issue.title,
            "body": issue.body,
            "ref": "",
            "assets": [],
            "labels": [self._label(issue.repo, label) for label in issue.labels],
            "milestone": self._milestone(issue.milestone),
            "assignee": people[0] if people else None,
            # Both products write null, never an empty list.
            "assignees": people or None,
            "state": issue.state,
            "is_locked": False,
            "comments": issue.comments,
            "created_at": _stamp(issue.created_at),
            "updated_at": _stamp(issue.updated_at),
            "closed_at": None if issue.closed_at is None else _stamp(issue.closed_at),
            "due_date": None,
            **self._only("gitea", time_estimate=0),
            "pull_request": None,
            "repository": {"id": repo_id, "name": name, "owner": owner, "full_name": issue.repo},
            "pin_order": 0,
            **self._only("gitea", content_version=0),
        }

    def _label(self, repo: str, name: str) -> dict[str, Any]:
        number = self.id_of(f"label:{repo}:{name}", 55)
        return {
            "id": number,
            "name": name,
            "exclusive": False,
            "is_archived": False,
            "color": "ee0701",
            "description": "",
            "url": f"{self.url}/api/v1/repos/{repo}/labels/{number}",
        }

    def _milestone(self, title: str | None) -> dict[str, Any] | None:
        if title is None:
            return None
        return {
            "id": self.id_of(f"milestone:{title}", 300),
            "title": title,
            "description": "",
            "state": "open",
            "open_issues": 1,
            "closed_issues": 0,
            "created_at": "2026-02-01T08:00:00Z",
            "updated_at": None,
            "closed_at": None,
            "due_on": None,
        }

    def comment(self, issue: WorldIssue, text: str, author: str, at: datetime) -> dict[str, Any]:
        number = self.id_of(f"comment:{issue.id}:{issue.comments}", 50_000)
        return {
            "id": number,
            "html_url": f"{self.page(issue)}#issuecomment-{number}",
            "pull_request_url": "",
            "issue_url": self.page(issue),
            "user": self.user(author, seen_by=author),
            "original_author": "",
            "original_author_id": 0,
            "body": text,
            "assets": [],
            "created_at": _stamp(at),
            "updated_at": _stamp(at),
        }

    def repository(self, full_name: str) -> dict[str, Any]:
        owner, _, name = full_name.partition("/")
        page = f"{self.url}/{full_name}"
        host = self.url.split("//")[-1].split(":")[0]
        clone = {"link": "", "ssh_url": f"git@{host}:{full_name}.git", "clone_url": f"{page}.git"}
        return {
            "id": self.id_of(f"repo:{full_name}", 40),
            "owner": self.user(owner),
            "name": name,
            "full_name": full_name,
            "description": "",
            "empty": False,
            "private": True,
            "fork": False,
            "template": False,
            **self._only("forgejo", parent=None),
            "mirror": False,
            "size": 312,
            "language": "Python",
            "languages_url": f"{self.url}/api/v1/repos/{full_name}/languages",
            "html_url": page,
            "url": f"{self.url}/api/v1/repos/{full_name}",
            **clone,
            "original_url": "",
            "website": "",
            "stars_count": 0,
            "forks_count": 0,
            "watchers_count": 3,
            **self._only("gitea", branch_count=4),
            "open_issues_count": 6,
            "open_pr_counter": 1,
            "release_counter": 0,
            "default_branch": "main",
            "archived": False,
            "created_at": "2026-02-01T08:00:00Z",
            "updated_at": "2026-07-14T10:02:11Z",
            "archived_at": "1970-01-01T00:00:00Z",
            "permissions": {"admin": False, "push": True, "pull": True},
            **self._units(full_name, host),
            **self._merging(),
            "avatar_url": "",
            "internal": False,
            "mirror_interval": "",
            "object_format_name": "sha1",
            "mirror_updated": _NEVER,
            **self._only("forgejo", repo_transfer=None),
            "topics": [],
            **self._only("gitea", licenses=[]),
        }

    def _units(self, full_name: str, host: str) -> dict[str, Any]:
        wiki = {
            "has_wiki_contents": False,
            "wiki_branch": "main",
            "wiki_ssh_url": f"git@{host}:{full_name}.wiki.git",
            "wiki_clone_url": f"{self.url}/{full_name}.wiki.git",
            "globally_editable_wiki": False,
        }
        return {
            **self._only("gitea", has_code=True),
            "has_issues": True,
            "internal_tracker": {
                "enable_time_tracker": True,
                "allow_only_contributors_to_track_time": True,
                "enable_issue_dependencies": True,
            },
            "has_wiki": True,
            **self._only("forgejo", **wiki),
            "has_pull_requests": True,
            "has_projects": True,
            **self._only("gitea", projects_mode="all"),
            "has_releases": True,
            "has_packages": True,
            "has_actions": True,
        }

    def _merging(self) -> dict[str, Any]:
        return {
            "ignore_whitespace_conflicts": False,
            "allow_merge_commits": True,
            "allow_rebase": True,
            "allow_rebase_explicit": True,
            "allow_squash_merge": True,
            "allow_fast_forward_only_merge": True,
            "allow_rebase_update": True,
            **self._only("gitea", allow_manual_merge=False, autodetect_manual_merge=False),
            "default_delete_branch_after_merge": False,
            "default_merge_style": "merge",
            "default_allow_maintainer_edit": False,
            **self._only("forgejo", default_update_style="merge"),
        }

    def _only(self, product: Product, **fields: Any) -> dict[str, Any]:
        return fields if self.product == product else {}


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
