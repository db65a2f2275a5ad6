"""Requests as values: paths that nothing can leave, queries the forges read right, whole bodies."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.edges import gitea_calls_wire as calls
from coordinator.edges.gitea_calls_wire import Call, in_repo, query_time
from coordinator.errors import ForgeInvalid

REPO = "acme/rocket"
AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


def body_of(call: Call) -> object:
    assert call.body is not None
    return json.loads(call.body)


def test_a_call_reads_as_what_it_does() -> None:
    """Method and path, without query and body, for errors and logs."""
    assert (
        str(calls.issue_call(REPO, 7, "dependencies")) == "GET /repos/acme/rocket/issues/7/dependencies"
    )
    assert str(Call("GET", ("version",))) == "GET /version"


@pytest.mark.parametrize(
    "repo",
    ["", "acme", "acme/", "/rocket", "../x", "acme/..", "./..", "a/b/c", "a b/c", "acme/x?y", "a/b\n"],
)
def test_what_is_no_repository_is_refused(repo: str) -> None:
    """A name from a text can neither climb nor add to the path; nothing is sent."""
    with pytest.raises(ForgeInvalid, match="expected owner/name"):
        in_repo(repo)


@pytest.mark.parametrize("part", ["", ".", "..", "...", "\ud800"])
def test_a_part_that_would_move_is_refused(part: str) -> None:
    """URLs read lone dots as a move, quoted or not; half a character is no name."""
    with pytest.raises(ForgeInvalid, match="part of a path"):
        in_repo(REPO, "collaborators", part)
    with pytest.raises(ForgeInvalid, match="part of a path"):
        calls.hooks_call(("org", part))


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip(".") != ""))
def test_any_other_part_stays_in_its_place(part: str) -> None:
    """The path has as many segments as parts, whatever they hold."""
    path = in_repo(REPO, "collaborators", part, "permission").path
    assert path.count("/") == 6
    assert not set(path) & set("?#% \\") - {"%"}


def test_a_moved_call_is_the_same_elsewhere() -> None:
    """Only the repository changes, and it must be one."""
    call = calls.create_comment_call(REPO, 7, "hello")
    moved = call.in_place("acme/shuttle")
    assert moved.path == "/repos/acme/shuttle/issues/7/comments"
    assert (moved.method, moved.body, moved.may_repeat) == ("POST", call.body, False)
    with pytest.raises(ForgeInvalid):
        call.in_place("../..")


def test_pages_are_asked_for_by_number() -> None:
    """With a size only where one is wanted."""
    call = calls.issue_call(REPO, 7, "dependencies")
    assert call.at_page(2).query == (("page", "2"),)
    assert call.at_page(2, 50).query == (("page", "2"), ("limit", "50"))


def test_times_are_asked_for_in_utc() -> None:
    """Whole seconds and a Z: a plus sign of an offset would arrive as a blank."""
    assert query_time(AT) == "2026-01-02T03:04:05Z"
    assert query_time(AT.astimezone(timezone(timedelta(hours=2)))) == "2026-01-02T03:04:05Z"
    assert query_time(datetime(33, 1, 1, tzinfo=UTC)) == "0033-01-01T00:00:00Z"


def test_issues_are_never_filtered_by_label() -> None:
    """State, kind and time only: an unknown label would silently list everything."""
    call = calls.issues_call(REPO, since=AT, state="all")
    assert call.query == (("state", "all"), ("type", "issues"), ("since", "2026-01-02T03:04:05Z"))
    assert calls.issues_call(REPO, since=None, state="open").query[0] == ("state", "open")
    assert calls.count_call(REPO).query == (
        ("state", "all"),
        ("type", "issues"),
    )
    assert calls.comments_since_call(REPO, AT).query == (("since", "2026-01-02T03:04:05Z"),)


def test_assignees_are_changed_or_replaced() -> None:
    """The two interfaces take the same body with another meaning."""
    added, removed = (
        calls.add_assignees(REPO, 7, ["ann"]),
        calls.remove_assignees(REPO, 7, ["ann"]),
    )
    replaced = calls.put_assignees(REPO, 7, ["ann"])
    assert [str(call) for call in (added, removed, replaced)] == [
        "POST /repos/acme/rocket/issues/7/assignees",
        "DELETE /repos/acme/rocket/issues/7/assignees",
        "PATCH /repos/acme/rocket/issues/7",
    ]
    assert {body["assignees"][0] for body in map(body_of, (added, removed, replaced))} == {"ann"}  # type: ignore[index]
    assert removed.may_repeat
    assert not removed.is_done_when_gone, "its answer is the issue"


def test_only_creations_are_not_repeated() -> None:
    """Everything else has the same effect when it is sent twice."""
    once = [
        calls.create_comment_call(REPO, 7, "x"),
        calls.create_label_call(REPO, "a/b", "ffffff", "", True),
        calls.create_hook_call(("repo", REPO), "http://x", "s", ["issues"]),
        calls.hook_test_call(REPO, 1),
    ]
    often = [
        calls.edit_comment_call(REPO, 7, "x"),
        calls.delete_comment_call(REPO, 7),
        calls.react_call(REPO, 7, "+1"),
        calls.add_labels_call(REPO, 7, [1]),
        calls.remove_label_call(REPO, 7, 1),
        calls.delete_hook_call(("org", "acme"), 1),
        calls.comment_call(REPO, 7),
    ]
    assert not any(call.may_repeat for call in once)
    assert all(call.may_repeat for call in often)
    assert [call.method for call in often if call.is_done_when_gone] == ["DELETE"] * 3


def test_any_text_can_be_sent() -> None:
    """Lone surrogates travel escaped instead of failing to encode."""
    assert body_of(calls.create_comment_call(REPO, 7, "ä\ud800")) == {"body": "ä\ud800"}


@pytest.mark.parametrize("color", ["0e8a16", "#0e8a16"])
def test_a_label_has_a_color_and_a_scope(color: str) -> None:
    """The colour goes with its sign, as every version takes it."""
    assert body_of(calls.create_label_call(REPO, "a/b", color, "why", True)) == {
        "name": "a/b",
        "color": "#0e8a16",
        "description": "why",
        "exclusive": True,
    }


def test_a_hook_is_sent_whole() -> None:
    """Active, JSON, with its events; for the whole forge as a system hook."""
    call = calls.create_hook_call(("repo", REPO), "http://x/webhook", "s3", ["issues"])
    assert str(call) == "POST /repos/acme/rocket/hooks"
    assert body_of(call) == {
        "type": "gitea",
        "config": {"url": "http://x/webhook", "content_type": "json", "secret": "s3"},
        "events": ["issues"],
        "active": True,
    }
    everywhere = calls.create_hook_call(("all", ""), "http://x", "s3", ["issues"])
    assert str(everywhere) == "POST /admin/hooks"
    assert body_of(everywhere)["config"]["is_system_webhook"] == "true"  # type: ignore[index]
    assert str(calls.delete_hook_call(("org", "acme"), 3)) == "DELETE /orgs/acme/hooks/3"
    assert str(calls.hook_test_call(REPO, 3)) == "POST /repos/acme/rocket/hooks/3/tests"
