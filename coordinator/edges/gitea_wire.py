"""What Gitea and Forgejo put on the wire of a webhook, turned into our own words.

Covers the shapes of Gitea 1.20 to 1.27 and Forgejo 7 to 17 (modules/structs/hook.go and issue.go of
both). Only fields we need are looked at, so that a field added, renamed or dropped elsewhere changes
nothing. Pure: bytes and header values in, values or `PayloadInvalid` out.

Neither the event headers nor the delivery id are signed, so the event named by the header must agree
with the body: a comment's deletion sent again as an issue event would otherwise delete the issue.
"""

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from pydantic import ValidationError

from coordinator.edges.gitea_remote_wire import Blockers, RemoteIssue
from coordinator.edges.gitea_shapes_wire import (
    Id,
    IssueShape,
    Number,
    RepositoryShape,
    Shape,
    UserShape,
    first_problem,
    issue_of,
)
from coordinator.errors import PayloadInvalid
from coordinator.rules.facts import IssueFacts
from coordinator.rules.grammar import issue_text, stated_edges, text_key_of
from coordinator.rules.ids import IssueRef, Login, fold_login
from coordinator.rules.labels import foreign_labels
from coordinator.rules.metadata import one_line

__all__ = [
    "DELETED",
    "Ignored",
    "IssueDelivery",
    "facts_of_issue",
    "parse_delivery",
    "verify",
]

# The action of a delivery that says the issue itself is gone (Gitea 1.25+, go-gitea/gitea#34592).
DELETED = "deleted"

# A forge's own limit on titles; milestones and labels are shorter.
_MAX_TITLE_CHARS = 255
_MAX_LABEL_CHARS = 100
_MAX_URL_CHARS = 2_000
# Far above any team; bounds what a single issue can make us carry about for ever.
_MAX_ASSIGNEES = 500
_MAX_LABELS = 500
_MAX_BLOCKERS = 500
_MAX_ACTION_CHARS = 40

_SIGNATURE = re.compile(rb"[0-9a-f]{64}")
_ACTION = re.compile(r"[a-z_]{1,40}")


def verify(secrets: Sequence[bytes], body: bytes, signature: bytes | None) -> bool:
    """Whether `signature` (header X-Gitea-Signature: bare lowercase hex) signs the raw body.

    All secrets are tried, so that the time taken does not tell which one matched. A forge without a
    secret sends an empty signature, which an empty key would match: both are refused.
    """
    if not signature or _SIGNATURE.fullmatch(signature) is None:
        return False
    matched = False
    for secret in secrets:
        expected = hmac.new(secret, body, sha256).hexdigest().encode()
        # HMAC pads its key with zero bytes, so a key of nothing else is the empty key.
        is_empty = not secret.strip(b"\0")
        matched |= hmac.compare_digest(expected, signature) and not is_empty
    return matched


@dataclass(frozen=True, slots=True)
class Ignored:
    """A signed delivery that cannot concern us, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class IssueDelivery:
    """What one delivery says of one issue.

    `action` is the forge's word, except that a comment's are "comment_created" and so on: only
    an issue's own deletion is `DELETED`. Unknown actions are kept and mean "look again".
    `commit_id` names the commit that closed or reopened the issue, if one did. `comment_id` and
    `comment` are those of the comment it is about, None and "" without one.
    """

    action: str
    sender: Login | None
    issue: RemoteIssue
    commit_id: str | None
    has_comment: bool
    comment_id: int | None = None
    comment: str = field(default="", repr=False)

    @property
    def is_deletion(self) -> bool:
        return self.action == DELETED


# the shapes -------------------------------------------------------------------------------------


class _Comment(Shape):
    """That there is one matters; what it says may be a command."""

    id: Id | None = None
    body: str | None = None


class _Payload(Shape):
    action: str
    number: Number | None = None
    issue: IssueShape
    repository: RepositoryShape
    sender: UserShape | None = None
    comment: _Comment | None = None
    is_pull: bool | None = None
    commit_id: str | None = None


# reading ----------------------------------------------------------------------------------------


def parse_delivery(event: str, event_type: str, body: bytes) -> IssueDelivery | Ignored:
    """What a verified delivery says; `event` and `event_type` are the X-Gitea-Event(-Type) headers.

    Events other than issues and issue comments are ignored by their header, body unread. A body that
    is not the announced shape is PayloadInvalid with the dotted path of the first wrong field.
    Of two equal keys in one object the last counts, as in the forges' own JSON.
    """
    if event not in ("issues", "issue_comment"):
        return Ignored(_why_ignored(event, event_type))
    payload = _read(body)
    _require_agreement(event, payload)
    if payload.is_pull or payload.issue.pull_request is not None:
        return Ignored("a pull request, not an issue")
    return _delivery(payload)


def _why_ignored(event: str, event_type: str) -> str:
    if event == "push":
        return "a push: what the forge's test delivery sends"
    return (
        f"{one_line(event_type or event, _MAX_ACTION_CHARS) or 'unnamed'} events do not concern issues"
    )


def _read(body: bytes) -> _Payload:
    try:
        return _Payload.model_validate_json(body)
    except ValidationError as invalid:
        raise PayloadInvalid(*first_problem(invalid)) from None


def _require_agreement(event: str, payload: _Payload) -> None:
    """The unsigned header and the signed body must tell the same story."""
    if _ACTION.fullmatch(payload.action) is None:
        raise PayloadInvalid("action", "expected a word of lower-case letters and _")
    if payload.number is not None and payload.number != payload.issue.number:
        raise PayloadInvalid(
            "number", f"{payload.number} differs from issue.number {payload.issue.number}"
        )
    if event == "issues" and payload.comment is not None:
        raise PayloadInvalid("comment", "an issues event carries no comment")
    if event == "issue_comment" and payload.comment is None:
        raise PayloadInvalid("comment", "an issue_comment event carries a comment")


def _delivery(payload: _Payload) -> IssueDelivery:
    sender = payload.sender
    has_comment = payload.comment is not None
    return IssueDelivery(
        action=f"comment_{payload.action}" if has_comment else payload.action,
        sender=fold_login(sender.name) if sender and sender.name else None,
        issue=issue_of(payload.issue, payload.repository),
        commit_id=payload.commit_id or None,
        has_comment=has_comment,
        comment_id=payload.comment.id if payload.comment else None,
        comment=(payload.comment.body or "") if payload.comment else "",
    )


# in our own words -------------------------------------------------------------------------------


def _lower(_repo_id: int, full_name: str) -> str:
    return full_name.lower()


def facts_of_issue(
    issue: RemoteIssue,
    blockers: Blockers | None = None,
    read_at: datetime | None = None,
    *,
    canonical: Callable[[int, str], str] = _lower,
) -> tuple[IssueFacts, str]:
    """The facts of an issue, bounded and in canonical order, and the text they were read with.

    Lists are sorted before they are cut, so that the same set always gives the same facts. `blockers`
    is None where they could not be read; `read_at` is our instant at which the read was sent, None for
    what a delivery said. `canonical` tells the name by which a repository (its id and its present name)
    is known.
    """
    facts, text = _facts(issue, canonical)
    facts = replace(facts, read_at=read_at, is_pull=issue.is_pull)
    if blockers is None:
        return facts, text
    ends = {IssueRef(canonical(end.repo_id, end.repo), end.number): end for end in blockers.refs}
    refs = sorted(ends)
    # What does not fit still stands before the issue.
    lost = sum(ends[ref].state == "open" for ref in refs[_MAX_BLOCKERS:])
    kept = tuple(refs[:_MAX_BLOCKERS])
    return replace(facts, native_blockers=kept, hidden_blockers=blockers.hidden + lost), text


def _facts(told: RemoteIssue, canonical: Callable[[int, str], str]) -> tuple[IssueFacts, str]:
    ref = IssueRef(canonical(told.repo_id, told.repo_full_name), told.number)
    text = issue_text(told.title, told.body)
    edges = stated_edges(text, ref, forge_url=_forge_url(told))
    milestone = told.milestone
    facts = IssueFacts(
        ref=ref,
        repo_id=told.repo_id,
        issue_id=told.id,
        title=one_line(told.title, _MAX_TITLE_CHARS),
        text_key=text_key_of(text),
        state=told.state,
        assignees=tuple(map(Login, _bounded(told.assignees, _MAX_ASSIGNEES))),
        # Ours tell what we think ourselves: no news, whoever put them on.
        labels=_bounded(foreign_labels(told.labels), _MAX_LABELS),
        milestone=None if milestone is None else one_line(milestone, _MAX_TITLE_CHARS),
        html_url=_web_address(told.html_url),
        created_at=told.created_at,
        updated_at=told.updated_at,
        closed_at=told.closed_at,
        blocked_by=edges.blocked_by,
        blocks=edges.blocks,
        repo_name=told.repo_full_name,
    )
    return facts, text


def _bounded(names: Sequence[str], limit: int) -> tuple[str, ...]:
    clean = {one_line(name, _MAX_LABEL_CHARS) for name in names}
    return tuple(sorted(clean - {""})[:limit])


def _web_address(url: str) -> str:
    """The address if a browser may follow it, else nothing: it becomes a link on our pages."""
    is_web = url.startswith(("https://", "http://")) and url.isprintable() and " " not in url
    return url if is_web and len(url) <= _MAX_URL_CHARS else ""


def _forge_url(told: RemoteIssue) -> str | None:
    """Where the forge lives, judged by the issue's own address."""
    own_path = f"/{told.repo_full_name}/issues/{told.number}".lower()
    url = _web_address(told.html_url)
    return url[: -len(own_path)] if url.lower().endswith(own_path) else None
