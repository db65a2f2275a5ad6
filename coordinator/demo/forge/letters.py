"""From an announcement to the bytes of a webhook delivery: body, headers and signature."""

import hmac
from dataclasses import dataclass
from hashlib import sha1, sha256
from urllib.parse import urlencode
from uuid import UUID

from coordinator.demo.forge.actions import Announcement
from coordinator.demo.forge.dialect import Dialect
from coordinator.demo.forge.model import Level, Repository
from coordinator.demo.forge.shapes import Json, Shapes

__all__ = ["Letter", "Letters", "headers_of", "on_the_wire", "sign"]

_EVENTS = {
    "issue_assign": "issues",
    "issue_label": "issues",
    "issue_milestone": "issues",
    "pull_request_assign": "pull_request",
    "pull_request_label": "pull_request",
    "pull_request_milestone": "pull_request",
    "pull_request_comment": "issue_comment",
}
# For these the repository is shown as the doer sees it, for all others as the issue's poster does.
_SEEN_BY_DOER = ("assign", "milestone", "comment")


@dataclass(frozen=True, slots=True)
class Letter:
    """One delivery before it is signed: who it is for is decided when it is sent."""

    id: str
    event: str
    event_type: str
    action: str
    repo: str
    number: int | None
    body: bytes


@dataclass(slots=True)
class Letters:
    """Writes letters. Ids count up from `first`, so that a story told twice gives equal bytes."""

    shapes: Shapes
    first: int = 1
    _written: int = 0

    def write(self, said: Announcement) -> Letter:
        """The payload as the forge is at this moment; it stays as it is however long it waits."""
        event = _EVENTS.get(said.event_type, said.event_type)
        payload = self._comment(said) if said.comment else self._issue(said)
        body = self.shapes.encode(payload)
        number = None if said.issue is None else said.issue.number
        return Letter(
            self.next_id(), event, said.event_type, said.action, said.repo.full_name, number, body
        )

    def push(self, repo: Repository, doer: str) -> Letter:
        """What the forge's button "test delivery" sends."""
        commit = sha1(repo.full_name.encode(), usedforsecurity=False).hexdigest()
        payload = {
            "ref": "refs/heads/main",
            "before": commit,
            "after": commit,
            "compare_url": "",
            "commits": [],
            "total_commits": 0,
            "head_commit": None,
            "repository": self.shapes.repository(repo, doer),
            "pusher": self.shapes.user(doer),
            "sender": self.shapes.user(doer),
        }
        body = self.shapes.encode(payload)
        return Letter(self.next_id(), "push", "push", "", repo.full_name, None, body)

    def next_id(self) -> str:
        number = self.first + self._written
        self._written += 1
        return str(UUID(bytes=sha256(f"delivery:{number}".encode()).digest()[:16], version=4))

    def _issue(self, said: Announcement) -> Json:
        assert said.issue is not None
        by_doer = said.event_type.endswith(_SEEN_BY_DOER)
        key = "pull_request" if said.issue.is_pull else "issue"
        return {
            "action": said.action,
            "number": said.issue.number,
            **self._changes(said),
            key: self.shapes.issue(said.issue, said.doer),
            "repository": self.shapes.repository(
                said.repo, said.doer if by_doer else said.issue.author
            ),
            "sender": self.shapes.user(said.doer),
            "commit_id": said.commit_id,
        }

    def _comment(self, said: Announcement) -> Json:
        assert said.issue is not None
        assert said.comment is not None
        return {
            "action": said.action,
            "issue": self.shapes.issue(said.issue, said.doer),
            "comment": self.shapes.comment(said.comment, said.issue, said.doer),
            **self._changes(said),
            "repository": self.shapes.repository(said.repo, said.doer),
            "sender": self.shapes.user(said.doer),
            "is_pull": said.issue.is_pull,
        }

    def _changes(self, said: Announcement) -> Json:
        if not said.field:
            return {}
        is_gitea = self.shapes.dialect.product == "gitea"
        labels = {"added_labels": None, "removed_labels": None} if is_gitea else {}
        return {"changes": {said.field: {"from": said.old}, **labels}}


def sign(secret: bytes, body: bytes) -> str:
    """The value of X-Gitea-Signature for this body."""
    return hmac.new(secret, body, sha256).hexdigest()


def headers_of(
    letter: Letter, secret: bytes, dialect: Dialect, *, level: Level = "repository", form: bool = False
) -> tuple[tuple[str, str], ...]:
    """All headers the product sets, in its order; without a secret the signatures are there, empty."""
    signature = sign(secret, letter.body) if secret else ""
    hub = hmac.new(secret, letter.body, sha1).hexdigest() if secret else ""
    names = ("Forgejo", "Gitea", "Gogs") if dialect.product == "forgejo" else ("Gitea", "Gogs")
    target = "Hook-Installation-Target-Type"
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    headers = [("User-Agent", "Go-http-client/1.1"), ("Content-Type", kind)]
    for name in names:
        headers += [(f"X-{name}-Delivery", letter.id), (f"X-{name}-Event", letter.event)]
        headers += [(f"X-{name}-Event-Type", letter.event_type), (f"X-{name}-Signature", signature)]
        if name == "Gitea" and dialect.product == "gitea":
            headers.append((f"X-Gitea-{target}", level))
    headers += [("X-Hub-Signature", f"sha1={hub}"), ("X-Hub-Signature-256", f"sha256={signature}")]
    headers += [("X-GitHub-Delivery", letter.id), ("X-GitHub-Event", letter.event)]
    headers.append(("X-GitHub-Event-Type", letter.event_type))
    if dialect.product == "gitea":
        headers.append((f"X-GitHub-{target}", level))
    return tuple(headers)


def on_the_wire(body: bytes, *, form: bool) -> bytes:
    """The request's body: the JSON itself, or a form with it, whose signature is still the JSON's."""
    return urlencode({"payload": body}).encode() if form else body
