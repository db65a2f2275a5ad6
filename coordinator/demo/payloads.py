"""Signed webhook deliveries of a small imagined forge, byte for byte as Gitea or Forgejo sends them.

A `ForgeWorld` holds users, one repository after another and their issues; each change of an issue
gives the delivery the product would send. Shapes follow Gitea 1.26 and Forgejo 15; a test holds them
against one recorded delivery of each kind. The demo, the tests and the benchmarks share this file.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from typing import Any
from uuid import UUID

from coordinator.demo.forge_shapes import Product, Shapes, WorldIssue

__all__ = ["ForgeWorld", "Product", "SignedDelivery", "WorldIssue", "sign"]

_EVENT_TYPES = {
    "assigned": "issue_assign",
    "unassigned": "issue_assign",
    "label_updated": "issue_label",
    "label_cleared": "issue_label",
    "milestoned": "issue_milestone",
    "demilestoned": "issue_milestone",
}


@dataclass(frozen=True, slots=True)
class SignedDelivery:
    """One delivery as it goes over the wire; `headers` are all the product sets, in its order."""

    id: str
    event: str
    event_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def sign(secret: bytes, body: bytes) -> str:
    """The value of X-Gitea-Signature for this body."""
    return hmac.new(secret, body, sha256).hexdigest()


@dataclass(slots=True)
class ForgeWorld:
    """An imagined forge. `now` is its clock, moved by whoever tells the story.

    Delivery ids count up from `first_delivery`, so that a story told twice gives equal bytes; two
    worlds that post to the same coordinator need different ones.
    """

    product: Product
    secret: bytes
    url: str = "https://forge.example.org"
    now: datetime = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
    first_delivery: int = 1
    issues: dict[tuple[str, int], WorldIssue] = field(default_factory=dict)
    shapes: Shapes = field(init=False)
    _sent: int = 0

    def __post_init__(self) -> None:
        self.shapes = Shapes(self.product, self.url)

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # what people do ---------------------------------------------------------------------------

    def open(
        self,
        repo: str,
        title: str,
        body: str = "",
        *,
        by: str = "maria",
        assignees: Iterable[str] = (),
        labels: Iterable[str] = (),
        number: int | None = None,
    ) -> tuple[WorldIssue, list[SignedDelivery]]:
        """A new issue; people assigned at its creation are announced before it is, one by one."""
        if number is None:
            number = 1 + max((known for of, known in self.issues if of == repo), default=0)
        issue = WorldIssue(
            repo=repo,
            number=number,
            id=self.shapes.id_of(f"issue:{repo}#{number}", 9_000),
            title=title,
            body=body,
            author=by,
            created_at=self.now,
            updated_at=self.now,
            labels=tuple(labels),
        )
        deliveries: list[SignedDelivery] = []
        for login in assignees:
            issue = replace(issue, assignees=(*issue.assignees, login))
            deliveries.append(self._say(issue, "assigned", by))
        deliveries.append(self._say(issue, "opened", by))
        if issue.labels:
            deliveries.append(self._say(issue, "label_updated", by))
        return self._keep(issue), deliveries

    def assign(self, issue: WorldIssue, login: str, *, by: str = "maria") -> SignedDelivery:
        others = tuple(name for name in self._now(issue).assignees if name != login)
        return self._change(issue, "assigned", by, assignees=(*others, login))

    def unassign(self, issue: WorldIssue, login: str, *, by: str = "maria") -> SignedDelivery:
        others = tuple(name for name in self._now(issue).assignees if name != login)
        return self._change(issue, "unassigned", by, assignees=others)

    def close(self, issue: WorldIssue, *, by: str = "maria", commit: str = "") -> SignedDelivery:
        return self._change(
            issue, "closed", by, {"commit_id": commit}, state="closed", closed_at=self.now
        )

    def reopen(self, issue: WorldIssue, *, by: str = "maria") -> SignedDelivery:
        return self._change(issue, "reopened", by, state="open", closed_at=None)

    def edit_body(self, issue: WorldIssue, body: str, *, by: str = "maria") -> SignedDelivery:
        changes = {"changes": {"body": {"from": self._now(issue).body}}}
        return self._change(issue, "edited", by, changes, body=body)

    def edit_title(self, issue: WorldIssue, title: str, *, by: str = "maria") -> SignedDelivery:
        changes = {"changes": {"title": {"from": self._now(issue).title}}}
        return self._change(issue, "edited", by, changes, title=title)

    def label(self, issue: WorldIssue, labels: Iterable[str], *, by: str = "maria") -> SignedDelivery:
        wanted = tuple(labels)
        return self._change(issue, "label_updated" if wanted else "label_cleared", by, labels=wanted)

    def set_milestone(
        self, issue: WorldIssue, milestone: str | None, *, by: str = "maria"
    ) -> SignedDelivery:
        action = "milestoned" if milestone else "demilestoned"
        return self._change(issue, action, by, milestone=milestone)

    def delete(self, issue: WorldIssue, *, by: str = "maria") -> SignedDelivery:
        """Gone; only Gitea 1.25 and later tells anybody, Forgejo never does."""
        gone = self.issues.pop((issue.repo, issue.number))
        return self._say(gone, "deleted", by)

    def comment(self, issue: WorldIssue, text: str, *, by: str = "maria") -> SignedDelivery:
        now = self._now(issue)
        newest = self._keep(replace(now, comments=now.comments + 1, updated_at=self.now))
        payload = {
            "action": "created",
            "issue": self.shapes.issue(newest, by),
            "comment": self.shapes.comment(newest, text, by, self.now),
            "repository": self.shapes.repository(newest.repo),
            "sender": self.shapes.user(by),
            "is_pull": False,
        }
        return self._sign("issue_comment", "issue_comment", payload)

    def push(self, repo: str, *, by: str = "maria") -> SignedDelivery:
        """What the forge's button "test delivery" sends."""
        commit = sha1(repo.encode(), usedforsecurity=False).hexdigest()
        payload = {
            "ref": "refs/heads/main",
            "before": commit,
            "after": commit,
            "compare_url": "",
            "commits": [],
            "total_commits": 0,
            "head_commit": None,
            "repository": self.shapes.repository(repo),
            "pusher": self.shapes.user(by),
            "sender": self.shapes.user(by),
        }
        return self._sign("push", "push", payload)

    def now_of(self, issue: WorldIssue) -> WorldIssue:
        """The issue as it is after everything that was done to it."""
        return self._now(issue)

    # from change to delivery ------------------------------------------------------------------

    def _change(
        self,
        issue: WorldIssue,
        action: str,
        by: str,
        extra: dict[str, Any] | None = None,
        **changed: Any,
    ) -> SignedDelivery:
        newest = self._keep(replace(self._now(issue), updated_at=self.now, **changed))
        return self._say(newest, action, by, extra)

    def _say(
        self, issue: WorldIssue, action: str, by: str, extra: dict[str, Any] | None = None
    ) -> SignedDelivery:
        extra = extra or {}
        payload = {
            "action": action,
            "number": issue.number,
            **({"changes": extra["changes"]} if "changes" in extra else {}),
            "issue": self.shapes.issue(issue, by),
            "repository": self.shapes.repository(issue.repo),
            "sender": self.shapes.user(by),
            "commit_id": extra.get("commit_id", ""),
        }
        return self._sign("issues", _EVENT_TYPES.get(action, "issues"), payload)

    def _sign(self, event: str, event_type: str, payload: dict[str, Any]) -> SignedDelivery:
        body = self.shapes.encode(payload)
        number = self.first_delivery + self._sent
        self._sent += 1
        delivery_id = str(UUID(bytes=sha256(f"delivery:{number}".encode()).digest()[:16], version=4))
        headers = self._headers(delivery_id, event, event_type, body)
        return SignedDelivery(delivery_id, event, event_type, headers, body)

    def _headers(
        self, delivery_id: str, event: str, event_type: str, body: bytes
    ) -> tuple[tuple[str, str], ...]:
        signature = sign(self.secret, body)
        hub = hmac.new(self.secret, body, sha1).hexdigest()
        names = ("Forgejo", "Gitea", "Gogs") if self.product == "forgejo" else ("Gitea", "Gogs")
        target = "Hook-Installation-Target-Type"
        headers = [("User-Agent", "Go-http-client/1.1"), ("Content-Type", "application/json")]
        for name in names:
            headers += [(f"X-{name}-Delivery", delivery_id), (f"X-{name}-Event", event)]
            headers += [(f"X-{name}-Event-Type", event_type), (f"X-{name}-Signature", signature)]
            if name == "Gitea" and self.product == "gitea":
                headers.append((f"X-Gitea-{target}", "repository"))
        headers += [("X-Hub-Signature", f"sha1={hub}"), ("X-Hub-Signature-256", f"sha256={signature}")]
        headers += [("X-GitHub-Delivery", delivery_id), ("X-GitHub-Event", event)]
        headers.append(("X-GitHub-Event-Type", event_type))
        if self.product == "gitea":
            headers.append((f"X-GitHub-{target}", "repository"))
        return tuple(headers)

    def _now(self, issue: WorldIssue) -> WorldIssue:
        return self.issues[issue.repo, issue.number]

    def _keep(self, issue: WorldIssue) -> WorldIssue:
        self.issues[issue.repo, issue.number] = issue
        return issue
