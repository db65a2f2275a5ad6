"""The wire of webhooks: signatures, shapes over the versions, hostile bodies, facts."""

import copy
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.edges.gitea_remote_wire import Blockers, RemoteIssue, RemoteRef
from coordinator.edges.gitea_wire import (
    Ignored,
    IssueDelivery,
    facts_of_issue,
    parse_delivery,
    verify,
)
from coordinator.errors import PayloadInvalid
from coordinator.rules.ids import IssueRef

PAYLOADS = Path(__file__).parent.parent / "payloads"
RECORDED = sorted(path.name.removesuffix(".body.json") for path in PAYLOADS.glob("*.body.json"))
SECRET = b"example-secret-not-real"


def recorded(name: str) -> tuple[dict[str, str], bytes]:
    lines = (PAYLOADS / f"{name}.headers.txt").read_text().splitlines()[1:]
    headers = dict(line.split(": ", 1) for line in lines)
    return headers, (PAYLOADS / f"{name}.body.json").read_bytes()


def body_with(change: Callable[[dict[str, Any]], object], name: str = "gitea126_assigned") -> bytes:
    payload = json.loads(recorded(name)[1])
    change(payload)
    return json.dumps(payload).encode()


def read(body: bytes, event: str = "issues") -> IssueDelivery:
    delivery = parse_delivery(event, event, body)
    assert isinstance(delivery, IssueDelivery)
    return delivery


def read_issue(**fields: Any) -> RemoteIssue:
    return read(body_with(lambda payload: payload["issue"].update(fields))).issue


# signatures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_deliveries_verify(name: str) -> None:
    """Each recorded delivery verifies with its secret, current or previous, and with no other."""
    headers, body = recorded(name)
    signature = headers["X-Gitea-Signature"].encode()
    assert verify([SECRET], body, signature)
    assert verify([b"new", SECRET], body, signature)
    assert verify([SECRET, b"old"], body, signature)
    assert not verify([b"another"], body, signature)
    assert not verify([SECRET], body + b"\n", signature)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: None,
        lambda good: b"",
        lambda good: b"sha256=" + good,
        lambda good: good.upper(),
        lambda good: good[:-1],
        lambda good: good + b"0",
        lambda good: good + b"\n",
        lambda good: b"\xff" * 64,
    ],
)
def test_signatures_of_another_form_are_refused(spoil: Callable[[bytes], bytes | None]) -> None:
    """Only 64 bare lower-case hex digits are a signature, whatever they would decode to."""
    good = hmac.new(SECRET, b"body", sha256).hexdigest().encode()
    assert verify([SECRET], b"body", good)
    assert not verify([SECRET], b"body", spoil(good))


def test_an_empty_secret_verifies_nothing() -> None:
    """A signature made with the empty key is refused, and so is everything without secrets."""
    forged = hmac.new(b"", b"body", sha256).hexdigest().encode()
    assert not verify([b""], b"body", forged)
    assert not verify([b"", SECRET], b"body", forged)
    assert not verify([], b"body", forged)


@given(st.lists(st.binary(max_size=12), max_size=4), st.binary(max_size=200), st.binary(max_size=12))
def test_a_signature_verifies_exactly_with_its_own_secret(
    secrets: list[bytes], body: bytes, key: bytes
) -> None:
    """Verification succeeds if and only if the non-empty signing key is among the secrets; keys that
    differ by zero bytes at the end are one key to HMAC."""
    signature = hmac.new(key, body, sha256).hexdigest().encode()
    known = {secret.rstrip(b"\0") for secret in secrets} - {b""}
    assert verify(secrets, body, signature) == (key.rstrip(b"\0") in known)


# shapes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_deliveries_are_read(name: str) -> None:
    """Both products' recorded deliveries give the same words for the same change."""
    delivery = read(recorded(name)[1])
    issue = delivery.issue
    assert (issue.repo_id, issue.repo_full_name, issue.number) == (41, "acme/widgets", 17)
    assert issue.title == "Parser drops <br> & trailing blanks"
    assert issue.assignees == ("coder-bot",)
    assert issue.labels == ("kind/bug",)
    assert not delivery.has_comment
    assert not delivery.is_deletion
    if name.endswith("closed"):
        assert (delivery.action, issue.state, delivery.sender) == ("closed", "closed", "coder-bot")
        assert issue.closed_at == datetime(2026, 7, 14, 11, 47, 33, tzinfo=UTC)
        assert delivery.commit_id == "3f1c9a5d2b7e48c0a6f4d1e2b3c4d5e6f7a8b9c0"
    else:
        assert (delivery.action, issue.state, delivery.sender) == ("assigned", "open", "maria")
        assert issue.closed_at is None
        assert delivery.commit_id is None


def test_lists_may_be_null() -> None:
    """An issue without assignees, labels, milestone and body says null, which means none."""
    issue = read_issue(assignees=None, assignee=None, labels=None, milestone=None, body=None)
    assert (issue.assignees, issue.labels, issue.milestone, issue.body) == ((), (), None, "")


def test_a_lone_assignee_counts_where_the_list_is_missing() -> None:
    """The deprecated single field stands in for a list that is null, and only then."""
    person = {"login": "solo"}
    assert read_issue(assignees=None, assignee=person).assignees == ("solo",)
    assert read_issue(assignees=[], assignee=person).assignees == ()


def test_users_may_lack_a_login() -> None:
    """The user name stands in for the login; a user with neither is nobody."""
    issue = read_issue(assignees=[{"username": "old"}, {"login": "", "username": ""}])
    assert issue.assignees == ("old",)
    assert read(body_with(lambda payload: payload.update(sender=None))).sender is None
    assert read(body_with(lambda payload: payload.update(sender={"login": ""}))).sender is None


def test_only_what_is_needed_must_be_there() -> None:
    """A payload cut down to the needed fields is read; every other field may be missing."""
    lean = {
        "action": "opened",
        "issue": {
            "id": 1,
            "number": 2,
            "title": "t",
            "state": "open",
            "created_at": "2026-07-14T10:00:00Z",
            "updated_at": "2026-07-14T10:00:00Z",
        },
        "repository": {"id": 3, "full_name": "a/b"},
    }
    facts, text = facts_of_issue(read(json.dumps(lean).encode()).issue)
    assert facts.ref == IssueRef("a/b", 2)
    assert facts.html_url == ""
    assert text == "t\n\n"


def test_milestone_and_unknown_action_are_kept() -> None:
    """A milestone gives its title; an action nobody knows yet is passed on as it is."""
    body = body_with(
        lambda p: (p.update(action="pinned"), p["issue"].update(milestone={"title": "v2"}))
    )
    delivery = read(body)
    assert (delivery.action, delivery.issue.milestone) == ("pinned", "v2")


@pytest.mark.parametrize(
    ("stamp", "instant"),
    [
        ("2026-07-14T12:05:09+02:00", datetime(2026, 7, 14, 10, 5, 9, tzinfo=UTC)),
        ("2026-07-14T10:05:09.75Z", datetime(2026, 7, 14, 10, 5, 9, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+02:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59-02:00", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_become_utc_seconds(stamp: str, instant: datetime) -> None:
    """Offsets are taken off, fractions cut, and an instant outside the calendar stays at its edge."""
    issue = read_issue(updated_at=stamp)
    assert issue.updated_at == instant
    assert issue.updated_at.tzinfo is UTC


@pytest.mark.parametrize("never", [None, "0001-01-01T00:00:00Z", "1970-01-01T00:00:00+01:00"])
def test_never_closed_is_none(never: str | None) -> None:
    """Both spellings of "never" mean that the issue was not closed."""
    assert read_issue(closed_at=never).closed_at is None


# which deliveries concern issues ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "event_type", "reason"),
    [
        ("push", "push", "a push: what the forge's test delivery sends"),
        ("pull_request", "pull_request_sync", "pull_request_sync events do not concern issues"),
        ("", "", "unnamed events do not concern issues"),
        ("release", "", "release events do not concern issues"),
        ("x" * 500, "", "x" * 39 + "… events do not concern issues"),
        ("a\x1b[31m", "", "a[31m events do not concern issues"),
    ],
)
def test_other_events_are_ignored_unread(event: str, event_type: str, reason: str) -> None:
    """An event that is not about issues is ignored with its name, whatever its body is."""
    assert parse_delivery(event, event_type, b"\xff not json") == Ignored(reason)


@pytest.mark.parametrize("event", ["issues", "issue_comment"])
def test_pull_requests_are_ignored(event: str) -> None:
    """Pull requests share numbers and comment events with issues, and are none."""
    comment: dict[str, Any] = {"comment": {}} if event == "issue_comment" else {}

    def as_pull(payload: dict[str, Any]) -> None:
        payload.update(comment)
        payload["issue"]["pull_request"] = {"merged": False}

    assert parse_delivery(event, event, body_with(as_pull)) == Ignored("a pull request, not an issue")
    marked = body_with(lambda payload: payload.update(is_pull=True, **comment))
    assert parse_delivery(event, event, marked) == Ignored("a pull request, not an issue")


def test_a_comment_is_an_observation() -> None:
    """A comment's delivery carries the issue; its action can never be taken for the issue's own."""
    body = body_with(lambda payload: payload.update(action="deleted", comment={"id": 5}))
    delivery = read(body, "issue_comment")
    assert delivery.has_comment
    assert delivery.action == "comment_deleted"
    assert (delivery.comment_id, delivery.comment) == (5, "")
    said = {"id": 6, "body": "/coordinator retry"}
    delivery = read(
        body_with(lambda payload: payload.update(action="created", comment=said)), "issue_comment"
    )
    assert (delivery.comment_id, delivery.comment) == (6, "/coordinator retry")
    assert "/coordinator" not in repr(delivery)
    assert not delivery.is_deletion


def test_a_deletion_is_told() -> None:
    """The issue's own deletion is recognised."""
    assert read(body_with(lambda payload: payload.update(action="deleted"))).is_deletion


def test_the_unsigned_header_cannot_turn_a_comment_into_an_issue_event() -> None:
    """A signed comment deletion sent again under another event header is refused, both ways round."""
    comment = body_with(lambda payload: payload.update(action="deleted", comment={"id": 5}))
    with pytest.raises(PayloadInvalid, match="comment: an issues event carries no comment"):
        parse_delivery("issues", "issues", comment)
    with pytest.raises(PayloadInvalid, match="comment: an issue_comment event carries a comment"):
        parse_delivery("issue_comment", "issue_comment", recorded("gitea126_closed")[1])


# what is refused --------------------------------------------------------------------------------

WRONG: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("action", lambda p: p.pop("action")),
    ("action", lambda p: p.update(action="Two words")),
    ("action", lambda p: p.update(action="x" * 41)),
    ("issue", lambda p: p.pop("issue")),
    ("issue", lambda p: p.update(issue=[])),
    ("issue.number", lambda p: p["issue"].pop("number")),
    ("issue.number", lambda p: p["issue"].update(number=0)),
    ("issue.number", lambda p: p["issue"].update(number="17")),
    ("issue.number", lambda p: p["issue"].update(number=True)),
    ("issue.number", lambda p: p["issue"].update(number=17.5)),
    ("issue.number", lambda p: p["issue"].update(number=10**10)),
    ("issue.id", lambda p: p["issue"].update(id=2**63)),
    ("issue.title", lambda p: p["issue"].update(title=None)),
    ("issue.state", lambda p: p["issue"].update(state="merged")),
    ("issue.updated_at", lambda p: p["issue"].update(updated_at="yesterday")),
    ("issue.updated_at", lambda p: p["issue"].update(updated_at="2026-07-14T10:00:00")),
    ("issue.updated_at", lambda p: p["issue"].pop("updated_at")),
    ("issue.created_at", lambda p: p["issue"].update(created_at="2026-13-14T10:00:00Z")),
    ("issue.labels.0.name", lambda p: p["issue"].update(labels=[{}])),
    ("issue.assignees.1", lambda p: p["issue"].update(assignees=[{"login": "a"}, "b"])),
    ("issue.assignees", lambda p: p["issue"].update(assignees=[{"login": "a"}] * 10_001)),
    ("number", lambda p: p.update(number=18)),
    ("repository", lambda p: p.pop("repository")),
    ("repository.id", lambda p: p["repository"].update(id=-1)),
    ("repository.full_name", lambda p: p["repository"].update(full_name="widgets")),
    ("repository.full_name", lambda p: p["repository"].update(full_name="../..//x")),
    ("repository.full_name", lambda p: p["repository"].update(full_name="acme/wid\ngets")),
    ("repository.full_name", lambda p: p["repository"].update(full_name="acme/widgets\n")),
    ("repository.full_name", lambda p: p["repository"].update(full_name="a" * 101 + "/b")),
]


@pytest.mark.parametrize(("field", "change"), WRONG)
def test_a_wrong_field_is_named(field: str, change: Callable[[dict[str, Any]], object]) -> None:
    """A needed field that is missing or wrong is named by its dotted path."""
    with pytest.raises(PayloadInvalid) as caught:
        parse_delivery("issues", "issues", body_with(change))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'"text"',
        b"\xef\xbb\xbf{}",
        b'{"action": "\xff"}',
        b'{"action": "\\ud800"}',
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' * 100_000,
        b'{"x": 1' + b"0" * 100_000 + b"}",
        b'{"action": NaN}',
        b'{"action": 1e999}',
        b'{"issue": {"number": 1' + b"0" * 4_000 + b"}}",
    ],
)
def test_hostile_json_is_refused(body: bytes) -> None:
    """Nesting, numbers, encodings and fragments beyond sense are refused like any wrong payload."""
    with pytest.raises(PayloadInvalid):
        parse_delivery("issues", "issues", body)


def test_of_equal_keys_the_last_counts() -> None:
    """A key given twice is read as the forges' own JSON reads it."""
    body = recorded("gitea126_assigned")[1].replace(b'"action"', b'"action": "opened",\n  "action"', 1)
    assert read(body).action == "assigned"


def test_errors_never_quote_the_payload() -> None:
    """The error of a wrong value names the field and the rule, and nothing of what was sent."""
    with pytest.raises(PayloadInvalid) as caught:
        read_issue(state="s3cret-value", body="s3cret-value")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_long_list_of_nonsense_gives_one_complaint() -> None:
    """A million wrong entries are refused at the first one."""
    with pytest.raises(PayloadInvalid) as caught:
        read_issue(labels=[1] * 1_000_000)
    assert caught.value.field == "issue.labels.0"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["action", "number", "issue", "repository", "sender", "comment", "is_pull", "commit_id"]
    + [f"issue.{name}" for name in json.loads(recorded("gitea126_assigned")[1])["issue"]]
    + ["repository.id", "repository.full_name"]
)


@given(
    st.lists(st.tuples(FIELDS, JSON), min_size=1, max_size=4),
    st.sampled_from(["issues", "issue_comment"]),
)
def test_any_mutation_is_read_or_refused(changes: list[tuple[str, Any]], event: str) -> None:
    """Whatever stands in any field, the outcome is a delivery, an ignored one or PayloadInvalid."""
    payload = json.loads(recorded("forgejo15_closed")[1])
    for path, value in changes:
        owner, _, name = path.rpartition(".")
        target = payload.get(owner) if owner else payload
        if isinstance(target, dict):
            target[name] = copy.deepcopy(value)
    try:
        outcome = parse_delivery(event, event, json.dumps(payload).encode())
    except PayloadInvalid:
        return
    if isinstance(outcome, IssueDelivery):
        facts, text = facts_of_issue(outcome.issue)
        assert facts.text_key == sha256(text.encode()).hexdigest()


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_cleanly(body: bytes) -> None:
    """Bytes that are no payload raise PayloadInvalid and nothing else."""
    with pytest.raises(PayloadInvalid):
        parse_delivery("issues", "issues", body)


# facts ------------------------------------------------------------------------------------------


def test_facts_are_in_canonical_order() -> None:
    """Assignees and labels are sorted and each there once; repository and logins in lower case."""

    def shuffle(payload: dict[str, Any]) -> None:
        payload["repository"]["full_name"] = "Acme/Widgets"
        payload["issue"]["assignees"] = [{"login": name} for name in ("zoe", "Ann", "zoe")]
        payload["issue"]["labels"] = [{"name": name} for name in ("b", "a", "b", "")]

    facts, _ = facts_of_issue(read(body_with(shuffle)).issue)
    assert facts.ref == IssueRef("acme/widgets", 17)
    assert facts.assignees == ("ann", "zoe")
    assert facts.labels == ("a", "b")


def test_the_text_is_title_and_body() -> None:
    """The text is the title, a blank line and the whole body; its key is the SHA-256 of that."""
    facts, text = facts_of_issue(read(recorded("forgejo15_assigned")[1]).issue)
    assert text == (
        "Parser drops <br> & trailing blanks\n\nSteps:\n\n1. feed `a<br>b`\n2. look at the output\n"
    )
    assert facts.text_key == sha256(text.encode()).hexdigest()


def test_both_products_give_the_same_text_key() -> None:
    """Escaping differs between the products, the text does not."""
    keys = {facts_of_issue(read(recorded(name)[1]).issue)[0].text_key for name in RECORDED}
    assert len(keys) == 1


def test_dependency_lines_and_own_addresses_are_read() -> None:
    """Edges come from the body's dependency lines, also as full addresses on the issue's own forge."""
    body = (
        "Blocked by: https://forge.example.org/Acme/API/issues/4, #3\r\n"
        "Blocks: #9, https://elsewhere.example.org/acme/api/issues/5\r\n"
    )
    facts, _ = facts_of_issue(read_issue(body=body))
    assert facts.blocked_by == (IssueRef("acme/api", 4), IssueRef("acme/widgets", 3))
    assert facts.blocks == (IssueRef("acme/widgets", 9),)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://a b/", "https://x/" + "y" * 2_000, "/x"]
)
def test_only_web_addresses_become_links(url: str) -> None:
    """An address a page could not safely link to is dropped, and with it the forge's own address."""
    facts, _ = facts_of_issue(
        read_issue(html_url=url, body="Blocks: https://forge.example.org/a/b/issues/1")
    )
    assert facts.html_url == ""
    assert facts.blocks == ()


def test_absurd_sizes_are_bounded_the_same_way_always() -> None:
    """Thousands of labels and assignees are cut to the same ones in whatever order they come."""
    labels = [{"name": f"label-{n:05}"} for n in range(5_000)]
    people = [{"login": f"user-{n:05}"} for n in range(5_000)]
    one, _ = facts_of_issue(read_issue(labels=labels, assignees=people, title="t" * 5_000))
    other, _ = facts_of_issue(
        read_issue(labels=labels[::-1], assignees=people[::-1], title="t" * 5_000)
    )
    assert one == other
    assert len(one.labels) == len(one.assignees) == 500
    assert len(one.title) == 255


def test_a_milestone_is_one_line() -> None:
    """Whatever its title holds."""
    assert facts_of_issue(replace(read_issue(), milestone="m\nn"))[0].milestone == "m n"


# facts of an issue that was read ----------------------------------------------------------------

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_only_a_read_knows_when_and_the_blockers() -> None:
    """Of the same state it gives the same facts otherwise."""
    issue = read_issue(body="Blocked by #3", labels=[{"name": "bug"}])
    stated, _ = facts_of_issue(issue)
    facts, _ = facts_of_issue(issue, Blockers((), 2), AT)
    assert facts == replace(stated, native_blockers=(), hidden_blockers=2, read_at=AT)
    assert stated.repo_name == issue.repo_full_name


def test_native_blockers_are_sorted_and_named_as_we_know_them() -> None:
    """Open and closed, each once, by the canonical name of its repository."""
    refs = (
        RemoteRef(42, "Acme/API", 4, "closed"),
        RemoteRef(41, "Acme/Widgets", 9, "open"),
        RemoteRef(41, "Acme/Widgets", 3, "open", is_pull=True),
        RemoteRef(41, "Acme/Widgets", 3, "open", is_pull=True),
    )
    issue = replace(read_issue(), is_pull=True)
    plain, _ = facts_of_issue(issue, Blockers(refs), AT)
    assert plain.native_blockers == (
        IssueRef("acme/api", 4),
        IssueRef("acme/widgets", 3),
        IssueRef("acme/widgets", 9),
    )
    assert plain.is_pull
    known, _ = facts_of_issue(
        issue, Blockers(refs), AT, canonical=lambda repo_id, _name: f"old/name{repo_id}"
    )
    assert known.native_blockers is not None
    assert {ref.repo for ref in known.native_blockers} == {"old/name41", "old/name42"}
    assert known.ref == IssueRef(f"old/name{issue.repo_id}", issue.number)
    assert known.repo_name == issue.repo_full_name


def test_blockers_that_do_not_fit_still_block() -> None:
    """Beyond a bound the open ones are counted as hidden; closed ones are done."""
    refs = tuple(RemoteRef(1, "a/b", n, "closed" if n > 590 else "open") for n in range(1, 601))
    facts, _ = facts_of_issue(read_issue(), Blockers(refs, 1), AT)
    assert facts.native_blockers is not None
    assert len(facts.native_blockers) == 500
    assert facts.hidden_blockers == 91


def test_our_own_labels_are_no_news() -> None:
    """What we put on an issue ourselves is no fact of it."""
    labels = [{"name": name} for name in ("coordinator/ready", "agent/opus-1", "bug", "agents")]
    assert facts_of_issue(read_issue(labels=labels))[0].labels == ("agents", "bug")


def test_a_payload_is_filed_under_the_canonical_name() -> None:
    """A renamed repository keeps the name it was first known by; its short references follow it."""
    facts, _ = facts_of_issue(read_issue(body="Blocked by #3"), canonical=lambda *_: "old/name")
    assert facts.ref.repo == "old/name"
    assert facts.blocked_by == (IssueRef("old/name", 3),)
