"""What the forge says of issues, dependencies and comments."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from coordinator.edges.gitea_issues_wire import (
    read_blockers,
    read_comment,
    read_comments,
    read_count,
    read_issue,
    read_issues,
)
from coordinator.edges.gitea_remote_wire import Blockers, RemoteIssue, RemoteRef
from coordinator.edges.gitea_reply_wire import Reply, UnexpectedAnswer
from coordinator.rules.ids import Login

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REPOSITORY = {"id": 41, "name": "rocket", "owner": "Acme", "full_name": "Acme/Rocket"}
ISSUE: dict[str, Any] = {
    "id": 9001,
    "number": 7,
    "title": "Rows are lost",
    "body": "text",
    "state": "closed",
    "user": {"login": "ann"},
    "assignees": [{"login": "Bob"}],
    "labels": [{"id": 1, "name": "bug", "color": "ffffff"}],
    "milestone": {"id": 1, "title": "1.0"},
    "html_url": "https://forge/Acme/Rocket/issues/7",
    "created_at": "2026-01-02T05:04:05+02:00",
    "updated_at": "2026-01-02T03:04:05Z",
    "closed_at": "2026-01-02T03:04:05Z",
    "pull_request": None,
    "repository": REPOSITORY,
}


def reply(body: object, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(200, named, json.dumps(body).encode())


def test_an_issue_is_read_whole() -> None:
    """Every field that facts are made of, in UTC, with the repository's own spelling."""
    assert read_issue(reply(ISSUE)) == RemoteIssue(
        id=9001,
        number=7,
        title="Rows are lost",
        body="text",
        state="closed",
        assignees=(Login("bob"),),
        labels=("bug",),
        milestone="1.0",
        html_url="https://forge/Acme/Rocket/issues/7",
        created_at=AT,
        updated_at=AT,
        closed_at=AT,
        repo_id=41,
        repo_full_name="Acme/Rocket",
    )


def test_what_the_products_leave_out_may_be_missing() -> None:
    """Null lists, no body, no milestone, a closing time of never."""
    bare = ISSUE | {
        "body": None,
        "assignees": None,
        "labels": None,
        "milestone": None,
        "closed_at": "1970-01-01T00:00:00Z",
    }
    issue = read_issue(reply(bare))
    assert (issue.body, issue.assignees, issue.labels, issue.milestone) == ("", (), (), None)
    assert issue.closed_at is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 0),
        ("number", "7"),
        ("number", 10**10),
        ("state", "merged"),
        ("updated_at", "2026-01-02T03:04:05"),
        ("updated_at", None),
        ("repository", None),
        ("repository", {"id": 41, "full_name": "../x y"}),
    ],
)
def test_an_issue_that_is_none_is_named(field: str, value: object) -> None:
    """Strict where it matters: identity, state, time and place."""
    with pytest.raises(UnexpectedAnswer, match=f"an issue, but {field}"):
        read_issue(reply(ISSUE | {field: value}))


def test_a_page_tells_its_end_from_a_page_of_pull_requests() -> None:
    """Pull requests are left out, and only nothing at all is the end."""
    pull = ISSUE | {"number": 8, "pull_request": {"merged": False}}
    page = read_issues(reply([ISSUE, pull], x_total_count="2"))
    assert [issue.number for issue in page.issues] == [7]
    assert (page.total, page.is_end) == (2, False)
    assert (read_issues(reply([pull])).issues, read_issues(reply([pull])).is_end) == ((), False)
    assert read_issues(reply([])).is_end


def test_a_pull_request_says_so() -> None:
    """Asked for by number, it may be either."""
    assert read_issue(reply(ISSUE | {"pull_request": {"merged": False}})).is_pull


# dependencies -------------------------------------------------------------------------------------

HIDDEN = {
    "id": 0,
    "number": 0,
    "title": "HIDDEN",
    "state": "open",
    "created_at": "1970-01-01T00:00:00Z",
    "repository": None,
}
ZEROS = {
    "id": 0,
    "number": 0,
    "title": "",
    "state": "",
    "created_at": "0001-01-01T00:00:00Z",
    "repository": None,
}


def test_dependencies_are_refs_with_states() -> None:
    """Closed ones too, and pull requests; a reduced issue needs only number, state and repository."""
    reduced = {"id": 0, "number": 8, "state": "open", "repository": REPOSITORY}
    pull = ISSUE | {"number": 9, "state": "open", "pull_request": {"merged": False}}
    found = Blockers(
        (
            RemoteRef(41, "Acme/Rocket", 7, "closed"),
            RemoteRef(41, "Acme/Rocket", 8, "open"),
            RemoteRef(41, "Acme/Rocket", 9, "open", is_pull=True),
        )
    )
    assert read_blockers(reply([ISSUE, reduced, pull])) == (found, 3)


@pytest.mark.parametrize(
    ("entry", "hidden"),
    [
        (HIDDEN, 1),
        (ZEROS, 1),
        ({}, 1),
        (ISSUE | {"state": "open", "repository": None}, 1),
        (ISSUE | {"state": "open", "repository": {"id": 41, "full_name": "no name"}}, 1),
        (ISSUE | {"state": "open", "repository": {"id": "41", "full_name": "a/b"}}, 1),
        (ISSUE | {"state": "open", "repository": {"id": True, "full_name": "a/b"}}, 1),
        (ISSUE | {"number": 10**10, "state": "open"}, 1),
        (ISSUE | {"state": "closed", "repository": None}, 0),
    ],
)
def test_what_cannot_be_named_is_hidden_and_open(entry: dict[str, Any], hidden: int) -> None:
    """Nobody can tell whether it is done, unless it is said to be closed."""
    found = Blockers((RemoteRef(41, "Acme/Rocket", 7, "closed"),), hidden)
    assert read_blockers(reply([ISSUE, entry])) == (found, 2)


def test_an_unknown_state_is_open() -> None:
    """Only "closed" satisfies."""
    found, _ = read_blockers(reply([ISSUE | {"state": "paused"}]))
    (ref,) = found.refs
    assert ref.state == "open"


@pytest.mark.parametrize("body", [{}, None, [1], [{"number": -1}], [{"number": "7"}]])
def test_a_list_of_dependencies_is_a_list(body: object) -> None:
    """Anything else is not read as "nothing blocks it"."""
    with pytest.raises(UnexpectedAnswer, match="a list of dependencies"):
        read_blockers(reply(body))


# comments -----------------------------------------------------------------------------------------

COMMENT: dict[str, Any] = {
    "id": 5,
    "user": {"login": "Ann"},
    "body": "hello",
    "html_url": "https://forge/Acme/Rocket/issues/7#issuecomment-5",
    "issue_url": "https://forge/Acme/Rocket/issues/7",
    "pull_request_url": "",
    "created_at": "2026-01-02T05:04:05+02:00",
    "updated_at": "2026-01-02T03:04:05Z",
}


def test_a_comment_names_its_issue() -> None:
    """Author, text, times, and the number from the address of the issue."""
    comment = read_comment(reply(COMMENT))
    assert (comment.id, comment.author, comment.body, comment.issue_number) == (5, "ann", "hello", 7)
    assert comment.created_at == comment.updated_at == AT
    assert not comment.is_pull
    assert read_comments(reply([COMMENT])) == (comment,)
    assert read_comments(reply([])) == ()


@pytest.mark.parametrize(
    ("more", "number", "is_pull"),
    [
        ({"issue_url": ""}, 7, False),
        ({"issue_url": "", "html_url": ""}, None, False),
        ({"issue_url": "", "pull_request_url": "https://forge/Acme/Rocket/pulls/8"}, 8, True),
        ({"issue_url": "https://forge/Acme/Rocket/issues/x"}, None, False),
        ({"issue_url": "https://forge/Acme/Rocket/issues/" + "9" * 30}, None, False),
    ],
)
def test_the_issue_is_told_in_several_ways(
    more: dict[str, Any], number: int | None, is_pull: bool
) -> None:
    """Its own address, that of a pull request, or that of the comment itself."""
    comment = read_comment(reply(COMMENT | more))
    assert (comment.issue_number, comment.is_pull) == (number, is_pull)


def test_a_ghosts_comment_has_no_author() -> None:
    """Its account is gone; the comment stays."""
    assert read_comment(reply(COMMENT | {"user": None, "body": None})).author == ""


def test_issues_are_counted_by_the_forge() -> None:
    """By the header of its list; a forge that gives none is not guessed at."""
    assert read_count(reply([], x_total_count="12")) == 12
    with pytest.raises(UnexpectedAnswer, match="X-Total-Count"):
        read_count(reply([]))
