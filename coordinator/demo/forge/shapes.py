"""The JSON objects of Gitea and Forgejo, field by field in the products' order.

Hooks and the REST interface share them; they differ in who looks, which decides what of a user
shows. Verified against one recorded delivery of each kind and product.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from coordinator.demo.forge.data import ForgeData
from coordinator.demo.forge.dialect import Dialect, Product
from coordinator.demo.forge.model import (
    RANK,
    Comment,
    Hook,
    Issue,
    Label,
    Milestone,
    Reaction,
    Repository,
)

__all__ = ["ABSENT", "HIDDEN", "NEVER", "Json", "Shapes"]

Json = dict[str, Any]

NEVER = "0001-01-01T00:00:00Z"
_HTML_SAFE = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def _nothing(title: str, state: str) -> Json:
    """An issue of which nothing is told, as Go writes an empty struct."""
    return {
        "id": 0,
        "url": "",
        "html_url": "",
        "number": 0,
        "user": None,
        "original_author": "",
        "original_author_id": 0,
        "title": title,
        "body": "",
        "ref": "",
        "assets": None,
        "labels": None,
        "milestone": None,
        "assignee": None,
        "assignees": None,
        "state": state,
        "is_locked": False,
        "comments": 0,
        "created_at": NEVER,
        "updated_at": NEVER,
        "closed_at": None,
        "due_date": None,
        "pull_request": None,
        "repository": None,
        "pin_order": 0,
    }


# A blocker one may not read: what somebody sees who may not write the blocked issue …
HIDDEN = _nothing("HIDDEN", "open")
# … and who may: the real issue was meant to be shown in part, but nothing of it is.
ABSENT = _nothing("", "")


@dataclass(frozen=True, slots=True)
class Shapes:
    """Builds the objects of one forge, as seen at `url`."""

    data: ForgeData
    dialect: Dialect
    url: str

    def encode(self, payload: object, *, indent: int | None = 2) -> bytes:
        """The value as the product writes it: to hooks with two blanks of indent and no newline at
        the end, over REST with None."""
        separators = (",", ":") if indent is None else None
        text = json.dumps(payload, indent=indent, separators=separators, ensure_ascii=False)
        return (text.translate(_HTML_SAFE) if self.dialect.escapes_html else text).encode()

    def stamp(self, at: datetime | None) -> str | None:
        """RFC 3339 with whole seconds in the forge's own zone."""
        if at is None:
            return None
        return at.astimezone(self.data.zone).isoformat(timespec="seconds").replace("+00:00", "Z")

    def page(self, issue: Issue) -> str:
        kind = "pulls" if issue.is_pull else "issues"
        return f"{self.url}/{self.data.repo_of(issue).full_name}/{kind}/{issue.number}"

    # users --------------------------------------------------------------------------------------

    def user(self, login: str, *, seen_by: str | None = None) -> Json:
        """A user as strangers see one, or with the private fields: for the user and for admins."""
        account = self.data.add_account(login)
        viewer = None if seen_by is None else self.data.account(seen_by)
        own = viewer is not None and (viewer.is_admin or viewer is account)
        host = self.url.split("//")[-1].split(":")[0]
        alias = login if self.dialect.product == "forgejo" else f"{account.id}+{login}"
        return {
            "id": account.id,
            "login": account.login,
            "login_name": "",
            "source_id": 0,
            "full_name": login.replace("-", " ").title(),
            "email": f"{login}@{host}" if own else f"{alias}@noreply.{host}",
            "avatar_url": f"{self.url}/avatars/{sha256(login.encode()).hexdigest()}",
            "html_url": f"{self.url}/{account.login}",
            "language": "en-US" if own else "",
            "is_admin": own and account.is_admin,
            "last_login": "2026-07-14T08:30:00Z" if own else NEVER,
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
            "username": account.login,
        }

    # issues -------------------------------------------------------------------------------------

    def issue(self, issue: Issue, viewer: str | None) -> Json:
        repo, page = self.data.repo_of(issue), self.page(issue)
        people = [self.user(login) for login in issue.assignees]
        pull = {"merged": False, "merged_at": None, "draft": False, "html_url": page}
        place = {"id": repo.id, "name": repo.name, "owner": repo.owner, "full_name": repo.full_name}
        projects = {"projects": None} if self.dialect.has_projects else {}
        return {
            "id": issue.id,
            "url": f"{self.url}/api/v1/repos/{repo.full_name}/issues/{issue.number}",
            "html_url": page,
            "number": issue.number,
            "user": self.user(issue.author, seen_by=viewer),
            "original_author": "",
            "original_author_id": 0,
            "title": issue.title,
            "body": issue.body,
            "ref": "",
            "assets": [],
            "labels": [self.label(repo, label) for label in self.data.labels_of(issue)],
            "milestone": self.milestone(self.data.milestone_of(issue)),
            **projects,
            "assignee": people[0] if people else None,
            # Both products write null, never an empty list.
            "assignees": people or None,
            "state": "open" if issue.is_open else "closed",
            "is_locked": issue.is_locked,
            "comments": issue.comments,
            "created_at": self.stamp(issue.created_at),
            "updated_at": self.stamp(issue.updated_at),
            "closed_at": self.stamp(issue.closed_at),
            "due_date": None,
            **self._only("gitea", time_estimate=0),
            "pull_request": pull if issue.is_pull else None,
            "repository": place,
            "pin_order": 0,
            **self._only("gitea", content_version=issue.content_version),
        }

    def label(self, repo: Repository, label: Label) -> Json:
        return {
            "id": label.id,
            "name": label.name,
            "exclusive": label.exclusive,
            "is_archived": False,
            "color": label.color,
            "description": label.description,
            "url": f"{self.url}/api/v1/repos/{repo.full_name}/labels/{label.id}",
        }

    def milestone(self, milestone: Milestone | None) -> Json | None:
        if milestone is None:
            return None
        return {
            "id": milestone.id,
            "title": milestone.title,
            "description": "",
            "state": "open",
            "open_issues": 1,
            "closed_issues": 0,
            "created_at": "2026-02-01T08:00:00Z",
            "updated_at": None,
            "closed_at": None,
            "due_on": None,
        }

    def comment(self, comment: Comment, issue: Issue, viewer: str | None) -> Json:
        page = self.page(issue)
        return {
            "id": comment.id,
            "html_url": f"{page}#issuecomment-{comment.id}",
            "pull_request_url": page if issue.is_pull else "",
            "issue_url": "" if issue.is_pull else page,
            "user": self.user(comment.author, seen_by=viewer),
            "original_author": "",
            "original_author_id": 0,
            "body": comment.body,
            "assets": [],
            "created_at": self.stamp(comment.created_at),
            "updated_at": self.stamp(comment.updated_at),
        }

    def reaction(self, reaction: Reaction) -> Json:
        user, at = self.user(reaction.login), self.stamp(reaction.created_at)
        return {"user": user, "content": reaction.content, "created_at": at}

    # repositories -------------------------------------------------------------------------------

    def repository(self, repo: Repository, viewer: str | None) -> Json:
        """The repository, with the permissions of the viewer."""
        name, page = repo.full_name, f"{self.url}/{repo.full_name}"
        host = self.url.split("//")[-1].split(":")[0]
        clone = {"link": "", "ssh_url": f"git@{host}:{name}.git", "clone_url": f"{page}.git"}
        return {
            "id": repo.id,
            "owner": self.user(repo.owner),
            "name": repo.name,
            "full_name": name,
            "description": "",
            "empty": repo.empty,
            "private": repo.private,
            "fork": False,
            "template": False,
            **self._only("forgejo", parent=None),
            "mirror": False,
            "size": 312,
            "language": "Python",
            "languages_url": f"{self.url}/api/v1/repos/{name}/languages",
            "html_url": page,
            "url": f"{self.url}/api/v1/repos/{name}",
            **clone,
            "original_url": "",
            "website": "",
            "stars_count": 0,
            "forks_count": 0,
            "watchers_count": 3,
            **self._only("gitea", branch_count=4),
            # Counters may lag behind in the real ones too (#34575).
            "open_issues_count": 6,
            "open_pr_counter": 1,
            "release_counter": 0,
            "default_branch": "main",
            "archived": repo.archived,
            "created_at": self.stamp(repo.created_at),
            "updated_at": self.stamp(repo.created_at),
            "archived_at": "1970-01-01T00:00:00Z",
            "permissions": self._permissions(repo, viewer),
            **self._units(repo, host),
            **self._merging(),
            "avatar_url": "",
            "internal": False,
            "mirror_interval": "",
            "object_format_name": "sha1",
            "mirror_updated": NEVER,
            **self._only("forgejo", repo_transfer=None),
            "topics": [],
            **self._only("gitea", licenses=[]),
        }

    def _permissions(self, repo: Repository, viewer: str | None) -> Json:
        rank = RANK[self.data.access(repo, viewer)]
        return {"admin": rank >= RANK["admin"], "push": rank >= RANK["write"], "pull": rank >= 1}

    def _units(self, repo: Repository, host: str) -> Json:
        wiki = {
            "has_wiki_contents": False,
            "wiki_branch": "main",
            "wiki_ssh_url": f"git@{host}:{repo.full_name}.wiki.git",
            "wiki_clone_url": f"{self.url}/{repo.full_name}.wiki.git",
            "globally_editable_wiki": False,
        }
        tracker = {
            "enable_time_tracker": True,
            "allow_only_contributors_to_track_time": True,
            "enable_issue_dependencies": repo.dependencies_enabled,
        }
        return {
            **self._only("gitea", has_code=True),
            "has_issues": repo.has_issues,
            **({"internal_tracker": tracker} if repo.has_issues else {}),
            "has_wiki": True,
            **self._only("forgejo", **wiki),
            "has_pull_requests": True,
            "has_projects": True,
            **self._only("gitea", projects_mode="all"),
            "has_releases": True,
            "has_packages": True,
            "has_actions": True,
        }

    def _merging(self) -> Json:
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

    # hooks --------------------------------------------------------------------------------------

    def hook(self, hook: Hook) -> Json:
        """A hook as the interface shows it: never its secret."""
        shown = hook.authorization_header if self.dialect.product == "forgejo" else ""
        return {
            "id": hook.id,
            **self._only("gitea", name=""),
            "type": hook.kind,
            "branch_filter": hook.branch_filter,
            "config": {"content_type": hook.content_type, "url": hook.url},
            "events": list(hook.event_types),
            "authorization_header": shown,
            "active": hook.active,
            "updated_at": self.stamp(hook.updated_at),
            "created_at": self.stamp(hook.created_at),
        }

    def _only(self, product: Product, **fields: Any) -> Json:
        return fields if self.dialect.product == product else {}
