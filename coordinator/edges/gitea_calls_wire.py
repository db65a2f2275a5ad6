"""What we ask of the REST interface (`/api/v1`): each request as a value, nothing sent yet."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote

from coordinator.edges.gitea_remote_wire import HookScope
from coordinator.edges.gitea_shapes_wire import FULL_NAME
from coordinator.errors import ForgeInvalid

__all__ = [
    "Call",
    "Method",
    "add_assignees",
    "add_labels_call",
    "comment_call",
    "comments_since_call",
    "count_call",
    "create_comment_call",
    "create_hook_call",
    "create_label_call",
    "delete_comment_call",
    "delete_hook_call",
    "edit_comment_call",
    "hook_test_call",
    "hooks_call",
    "in_repo",
    "issue_call",
    "issues_call",
    "put_assignees",
    "query_time",
    "react_call",
    "remove_assignees",
    "remove_label_call",
]

Method = Literal["GET", "POST", "PATCH", "DELETE"]
_FULL_NAME = re.compile(FULL_NAME)


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `parts` are pieces of the path behind the repository, still unquoted.

    `may_repeat`: sending it twice has the effect of sending it once. `is_done_when_gone`: a repetition
    that finds nothing any more has succeeded.
    """

    method: Method
    parts: tuple[str, ...]
    repo: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    may_repeat: bool = True
    is_done_when_gone: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def path(self) -> str:
        """The path behind `/api/v1`; no part can leave its place in it."""
        parts = self.parts if self.repo is None else ("repos", *self.repo.split("/"), *self.parts)
        return "".join("/" + quote(part, safe="") for part in parts)

    def at_page(self, page: int, limit: int | None = None) -> "Call":
        """The same question about another page."""
        size = () if limit is None else (("limit", str(limit)),)
        return replace(self, query=(*self.query, ("page", str(page)), *size))

    def in_place(self, repo: str) -> "Call":
        """The same request for the repository under its other name."""
        return replace(self, repo=_full_name(repo))


def in_repo(
    repo: str,
    *parts: str | int,
    method: Method = "GET",
    query: Iterable[tuple[str, str]] = (),
    body: Mapping[str, object] | None = None,
    may_repeat: bool = True,
    is_done_when_gone: bool = False,
) -> Call:
    """A request about a repository; ForgeInvalid if `repo` is no `owner/name`."""
    return Call(
        method,
        tuple(map(_part, parts)),
        _full_name(repo),
        tuple(query),
        None if body is None else _json(body),
        may_repeat,
        is_done_when_gone,
    )


def _full_name(repo: str) -> str:
    owner, _, name = repo.partition("/")
    if _FULL_NAME.fullmatch(repo) is None or _is_dots(owner) or _is_dots(name):
        raise ForgeInvalid(f"{repo[:80]!r} is not a repository: expected owner/name")
    return repo


def _part(part: str | int) -> str:
    """A piece of a path: quoting keeps it in its place, unless the URL itself reads it as a move."""
    text = str(part)
    is_text = text == text.encode("utf-8", "replace").decode()  # no lone surrogates
    if _is_dots(text) or not is_text:
        raise ForgeInvalid(f"{text[:80]!r} cannot be part of a path: expected a name or a number")
    return text


def _is_dots(text: str) -> bool:
    return not text.strip(".")


def _json(body: Mapping[str, object]) -> bytes:
    # Escaped to ASCII, so that a lone surrogate can travel; the forge replaces it.
    return json.dumps(body).encode()


def query_time(at: datetime) -> str:
    """An instant as a query takes it, in UTC with `Z`: no `+` that could be read as a blank."""
    return at.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


# issues -------------------------------------------------------------------------------------------


def issue_call(repo: str, number: int, *more: str) -> Call:
    return in_repo(repo, "issues", number, *more)


def issues_call(repo: str, *, since: datetime | None, state: str) -> Call:
    """Issues without pull requests. There is no filter by label: an unknown one vanishes silently."""
    changed = () if since is None else (("since", query_time(since)),)
    return in_repo(repo, "issues", query=(("state", state), ("type", "issues"), *changed))


def count_call(repo: str) -> Call:
    """All issues: whatever page is asked for, its header has how many there are."""
    return issues_call(repo, since=None, state="all")


def add_assignees(repo: str, number: int, logins: Sequence[str]) -> Call:
    """Gitea from 1.27 only; so is its counterpart."""
    body = {"assignees": list(logins)}
    return in_repo(repo, "issues", number, "assignees", method="POST", body=body)


def remove_assignees(repo: str, number: int, logins: Sequence[str]) -> Call:
    return replace(add_assignees(repo, number, logins), method="DELETE")


def put_assignees(repo: str, number: int, logins: Sequence[str]) -> Call:
    """Replaces all of them."""
    return in_repo(repo, "issues", number, method="PATCH", body={"assignees": list(logins)})


# comments and labels --------------------------------------------------------------------------------


def comments_since_call(repo: str, since: datetime) -> Call:
    return in_repo(repo, "issues", "comments", query=[("since", query_time(since))])


def comment_call(repo: str, comment_id: int) -> Call:
    return in_repo(repo, "issues", "comments", comment_id)


def edit_comment_call(repo: str, comment_id: int, body: str) -> Call:
    return in_repo(repo, "issues", "comments", comment_id, method="PATCH", body={"body": body})


def delete_comment_call(repo: str, comment_id: int) -> Call:
    return in_repo(repo, "issues", "comments", comment_id, method="DELETE", is_done_when_gone=True)


def react_call(repo: str, comment_id: int, content: str) -> Call:
    return in_repo(
        repo, "issues", "comments", comment_id, "reactions", method="POST", body={"content": content}
    )


def create_comment_call(repo: str, number: int, body: str) -> Call:
    return in_repo(
        repo, "issues", number, "comments", method="POST", body={"body": body}, may_repeat=False
    )


def add_labels_call(repo: str, number: int, ids: Sequence[int]) -> Call:
    """By id: an unknown name would be left out without a word."""
    return in_repo(repo, "issues", number, "labels", method="POST", body={"labels": list(ids)})


def remove_label_call(repo: str, number: int, label_id: int) -> Call:
    return in_repo(repo, "issues", number, "labels", label_id, method="DELETE", is_done_when_gone=True)


def create_label_call(repo: str, name: str, color: str, description: str, exclusive: bool) -> Call:
    body = {
        "name": name,
        "color": "#" + color.removeprefix("#"),
        "description": description,
        "exclusive": exclusive,
    }
    return in_repo(repo, "labels", method="POST", body=body, may_repeat=False)


# hooks ----------------------------------------------------------------------------------------------


def hooks_call(scope: HookScope) -> Call:
    """The hooks of a repository, of an organisation, or of the whole forge."""
    match scope:
        case ("repo", repo):
            return in_repo(repo, "hooks")
        case ("org", org):
            return Call("GET", ("orgs", _part(org), "hooks"))
        case _:
            return Call("GET", ("admin", "hooks"))


def create_hook_call(scope: HookScope, url: str, secret: str, events: Sequence[str]) -> Call:
    """The whole object: `active` would be false by default, and empty `events` would mean pushes."""
    config = {"url": url, "content_type": "json", "secret": secret}
    if scope[0] == "all":
        # Else it would be a template that is copied into new repositories.
        config["is_system_webhook"] = "true"
    body = {"type": "gitea", "config": config, "events": list(events), "active": True}
    return replace(hooks_call(scope), method="POST", body=_json(body), may_repeat=False)


def delete_hook_call(scope: HookScope, hook_id: int) -> Call:
    listed = hooks_call(scope)
    parts = (*listed.parts, str(hook_id))
    return replace(listed, method="DELETE", parts=parts, is_done_when_gone=True)


def hook_test_call(repo: str, hook_id: int) -> Call:
    return in_repo(repo, "hooks", hook_id, "tests", method="POST", may_repeat=False)
