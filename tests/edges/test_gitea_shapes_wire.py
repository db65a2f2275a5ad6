"""The shapes that webhooks and REST answers share."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from coordinator.edges.gitea_shapes_wire import (
    IssueShape,
    RepositoryShape,
    UserShape,
    first_problem,
    instant,
    people_of,
    unless_never,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ISSUE = (
    '{"id": 9, "number": 7, "title": "t", "state": "open", "created_at": "2026-01-02T05:04:05+02:00", '
    '"updated_at": "2026-01-02T03:04:05Z"%s}'
)


def test_an_issue_needs_little() -> None:
    """Everything the products leave out or send as null may be missing; more is left alone."""
    issue = IssueShape.model_validate_json(ISSUE % ', "labels": null, "pin_order": 0')
    assert (issue.number, issue.body, issue.labels, issue.pull_request) == (7, None, None, None)
    assert instant(issue.created_at) == instant(issue.updated_at) == AT


@pytest.mark.parametrize(
    ("more", "people"),
    [
        ("", ()),
        (', "assignees": null, "assignee": {"login": "Ann"}', ("ann",)),
        (', "assignees": [{"login": "Bob"}, {"username": "Ann"}, {"login": ""}]', ("bob", "ann")),
        (', "assignees": [], "assignee": {"login": "ann"}', ()),
    ],
)
def test_assignees_come_in_several_ways(more: str, people: tuple[str, ...]) -> None:
    """The list counts, the single one stands in for a missing list, ghosts are left out."""
    assert people_of(IssueShape.model_validate_json(ISSUE % more)) == people


def test_a_user_has_a_login() -> None:
    """The oldest payloads call it username."""
    assert UserShape(login="ann", username="x").name == "ann"
    assert UserShape(username="ann").name == "ann"


@pytest.mark.parametrize("name", ["acme", "acme/rocket/x", "../..x/y z", "a/" + "x" * 101, ""])
def test_a_repository_has_an_owner_and_a_name(name: str) -> None:
    """Anything else is refused, and the value is not told."""
    with pytest.raises(ValidationError) as caught:
        RepositoryShape(id=1, full_name=name)
    field, problem = first_problem(caught.value)
    assert field == "full_name"
    assert not name or name not in problem


def test_a_problem_of_the_whole_is_called_body() -> None:
    """What is no JSON at all has no field to name."""
    with pytest.raises(ValidationError) as caught:
        RepositoryShape.model_validate_json(b"<html>")
    assert first_problem(caught.value)[0] == "body"


def test_instants_are_utc_in_whole_seconds() -> None:
    """Zones and fractions go; what UTC cannot express becomes its nearest edge."""
    zone = timezone(timedelta(hours=2))
    assert instant(AT.astimezone(zone).replace(microsecond=7)) == AT
    assert instant(datetime(1, 1, 1, tzinfo=zone)) == datetime(1, 1, 1, tzinfo=UTC)
    west = timezone(-timedelta(hours=2))
    assert instant(datetime(9999, 12, 31, 23, tzinfo=west)).year == 9999


def test_never_is_said_in_three_ways() -> None:
    """Null, and the zero times of Go and of Unix, in any zone."""
    zone = timezone(timedelta(hours=2))
    assert unless_never(None) is None
    assert unless_never(datetime(1, 1, 1, tzinfo=UTC)) is None
    assert unless_never(datetime(1970, 1, 1, 2, tzinfo=zone)) is None
    assert unless_never(AT) == AT
