"""What clients send is read strictly."""

import pytest

from coordinator.web.asked import AckBody, IssueQuery, RefreshAsked, parse_json, parse_query
from coordinator.web.envelope import Refused


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"\xff", 400, None),
        (b"[]", 422, "body"),
        (b'{"status": 1}', 422, "status"),
        (b'{"status": "done", "x": 1}', 422, "x"),
    ],
)
def test_bodies_that_do_not_fit_are_refused(body: bytes, status: int, field: str | None) -> None:
    """No JSON is 400; JSON of another shape is 422 with the field."""
    with pytest.raises(Refused) as caught:
        parse_json(AckBody, body)
    assert (caught.value.status, caught.value.field) == (status, field)


def test_a_body_that_fits_is_read() -> None:
    """Fields left out have their defaults."""
    assert parse_json(AckBody, b'{"status": "done"}') == AckBody(status="done")


def test_queries_are_read_from_text() -> None:
    """Numbers and switches are text in a query; unknown parameters are passed over."""
    query = parse_query(IssueQuery, {"limit": "7", "every": "true", "unknown": "x"})
    assert (query.limit, query.every, query.after) == (7, True, None)
    with pytest.raises(Refused, match="limit"):
        parse_query(IssueQuery, {"limit": "many"})


def test_a_repository_has_an_owner_and_a_name() -> None:
    """Anything else is refused with the field; none at all means every one."""
    assert parse_json(RefreshAsked, b"{}").repository is None
    with pytest.raises(Refused, match="repository"):
        parse_json(RefreshAsked, b'{"repository": "acme"}')
