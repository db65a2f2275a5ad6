"""What Gitea and Forgejo put on the wire of a webhook, turned into our own words.

Covers the shapes of Gitea 1.20 to 1.27 and Forgejo 7 to 17 (modules/structs/hook.go and issue.go of
both). Only fields we need are looked at, so that a field added, renamed or dropped elsewhere changes
nothing. Pure: bytes and header values in, values or `PayloadInvalid` out.

Neither the event headers nor the delivery id are signed, so the event named by the header must agree
with the body: a comment's deletion sent again as an issue event would otherwise delete the issue.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from coordinator.errors import PayloadInvalid
from coordinator.rules.events import IssueFacts
from coordinator.rules.grammar import issue_text, stated_edges, text_key_of
from coordinator.rules.ids import IssueRef, Login, fold_login
from coordinator.rules.metadata import one_line

__all__ = ["DELETED", "Ignored", "IssueDelivery", "facts_of", "parse_delivery", "verify"]

# The action of a delivery that says the issue itself is gone (Gitea 1.25+, go-gitea/gitea#34592).
DELETED = "deleted"

# A forge's own limit on titles; milestones and labels are shorter.
_MAX_TITLE_CHARS = 255
_MAX_LABEL_CHARS = 100
_MAX_URL_CHARS = 2_000
# Far above any team; bounds what a single issue can make us carry about for ever.
_MAX_ASSIGNEES = 500
_MAX_LABELS = 500
# Beyond this a list is an attack or a fault, not an issue.
_MAX_LIST_ITEMS = 10_000
_MAX_ACTION_CHARS = 40
# Ids are 64-bit signed integers in both products; issue refs carry at most ten digits.
_MAX_ID = 2**63 - 1
_MAX_NUMBER = 9_999_999_999

_SIGNATURE = re.compile(rb"[0-9a-f]{64}")
_FULL_NAME = r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$"
_ACTION = re.compile(r"[a-z_]{1,40}")
# "Never" is the zero time of Go or of Unix, in whatever zone the server runs.
_NEVER_UNTIL = datetime(1970, 1, 2, tzinfo=UTC)
_FIRST_INSTANT = datetime(1, 1, 1, tzinfo=UTC)
_LAST_INSTANT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


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
    """What one delivery says of one issue; instants are UTC with whole seconds.

    `action` is the forge's word, except that a comment's are "comment_created" and so on: only
    an issue's own deletion is `DELETED`. Unknown actions are kept and mean "look again".
    `commit_id` names the commit that closed or reopened the issue, if one did.
    """

    action: str
    sender: Login | None
    repo_id: int
    repo_full_name: str
    issue_id: int
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
    commit_id: str | None
    has_comment: bool

    @property
    def is_deletion(self) -> bool:
        return self.action == DELETED


# the shapes -------------------------------------------------------------------------------------

_Id = Annotated[int, Field(ge=1, le=_MAX_ID)]
_Number = Annotated[int, Field(ge=1, le=_MAX_NUMBER)]
# Fail fast: a long list of nonsense must not become a long list of complaints.
_ShortList = Field(max_length=_MAX_LIST_ITEMS, fail_fast=True)


class _Shape(BaseModel):
    # Strict: a forge that sends "17" for 17 is none we know. Further fields are left alone.
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _User(_Shape):
    login: str = ""
    # Only `username` is common to the very oldest payloads still in somebody's replay list.
    username: str = ""

    @property
    def name(self) -> str:
        return self.login or self.username


class _Label(_Shape):
    name: str


class _Milestone(_Shape):
    title: str


class _Issue(_Shape):
    id: _Id
    number: _Number
    title: str
    body: str | None = None
    state: Literal["open", "closed"]
    html_url: str = ""
    created_at: AwareDatetime
    updated_at: AwareDatetime
    closed_at: AwareDatetime | None = None
    milestone: _Milestone | None = None
    assignee: _User | None = None
    assignees: Annotated[list[_User], _ShortList] | None = None
    labels: Annotated[list[_Label], _ShortList] | None = None
    pull_request: dict[str, Any] | None = None


class _Repository(_Shape):
    id: _Id
    full_name: Annotated[str, Field(pattern=_FULL_NAME)]


class _Comment(_Shape):
    """Only that there is one matters."""


class _Payload(_Shape):
    action: str
    number: _Number | None = None
    issue: _Issue
    repository: _Repository
    sender: _User | None = None
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
        # Neither the value seen nor its context: both may hold the issue's text.
        first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise PayloadInvalid(field, first["msg"]) from None


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
    issue, sender = payload.issue, payload.sender
    has_comment = payload.comment is not None
    updated_at = _instant(issue.updated_at)
    # assignee is assignees[0]; it stands alone only where the list is missing.
    people = [issue.assignee] if issue.assignees is None and issue.assignee else issue.assignees or []
    return IssueDelivery(
        action=f"comment_{payload.action}" if has_comment else payload.action,
        sender=fold_login(sender.name) if sender and sender.name else None,
        repo_id=payload.repository.id,
        repo_full_name=payload.repository.full_name,
        issue_id=issue.id,
        number=issue.number,
        title=issue.title,
        body=issue.body or "",
        state=issue.state,
        assignees=tuple(fold_login(person.name) for person in people if person.name),
        labels=tuple(label.name for label in issue.labels or ()),
        milestone=issue.milestone.title if issue.milestone else None,
        html_url=issue.html_url,
        created_at=_instant(issue.created_at),
        updated_at=updated_at,
        closed_at=None if issue.closed_at is None else _past(_instant(issue.closed_at)),
        commit_id=payload.commit_id or None,
        has_comment=has_comment,
    )


def _instant(at: datetime) -> datetime:
    """The same instant in UTC, whole seconds; one outside the calendar becomes its nearest edge."""
    try:
        return at.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        return _FIRST_INSTANT if at.year == 1 else _LAST_INSTANT


def _past(at: datetime) -> datetime | None:
    return None if at < _NEVER_UNTIL else at


# in our own words -------------------------------------------------------------------------------


def facts_of(delivery: IssueDelivery) -> tuple[IssueFacts, str]:
    """The facts a delivery states, bounded and in canonical order, and the text they were read with.

    Lists are sorted before they are cut, so that the same set always gives the same facts.
    """
    ref = IssueRef(delivery.repo_full_name.lower(), delivery.number)
    text = issue_text(delivery.title, delivery.body)
    edges = stated_edges(text, ref, forge_url=_forge_url(delivery))
    facts = IssueFacts(
        ref=ref,
        repo_id=delivery.repo_id,
        issue_id=delivery.issue_id,
        title=one_line(delivery.title, _MAX_TITLE_CHARS),
        text_key=text_key_of(text),
        state=delivery.state,
        assignees=tuple(map(Login, _bounded(delivery.assignees, _MAX_ASSIGNEES))),
        labels=_bounded(delivery.labels, _MAX_LABELS),
        milestone=None
        if delivery.milestone is None
        else one_line(delivery.milestone, _MAX_TITLE_CHARS),
        html_url=_web_address(delivery.html_url),
        created_at=delivery.created_at,
        updated_at=delivery.updated_at,
        closed_at=delivery.closed_at,
        blocked_by=edges.blocked_by,
        blocks=edges.blocks,
    )
    return facts, text


def _bounded(names: Sequence[str], limit: int) -> tuple[str, ...]:
    clean = {one_line(name, _MAX_LABEL_CHARS) for name in names}
    return tuple(sorted(clean - {""})[:limit])


def _web_address(url: str) -> str:
    """The address if a browser may follow it, else nothing: it becomes a link on our pages."""
    is_web = url.startswith(("https://", "http://")) and url.isprintable() and " " not in url
    return url if is_web and len(url) <= _MAX_URL_CHARS else ""


def _forge_url(delivery: IssueDelivery) -> str | None:
    """Where the forge lives, judged by the issue's own address."""
    own_path = f"/{delivery.repo_full_name}/issues/{delivery.number}".lower()
    url = _web_address(delivery.html_url)
    return url[: -len(own_path)] if url.lower().endswith(own_path) else None
