"""One answer, before anybody knows what it means."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter

from coordinator.edges.gitea_reply_wire import (
    Reply,
    UnexpectedAnswer,
    read_date,
    read_done,
    read_shape,
    read_total,
)

NUMBERS = TypeAdapter(list[int])


def test_a_shape_is_read_or_named() -> None:
    """What does not fit names what was expected and where it went wrong, never the value seen."""
    assert read_shape(NUMBERS, Reply(200, {}, b"[1, 2]"), "numbers") == [1, 2]
    with pytest.raises(UnexpectedAnswer, match=r"expected numbers, but 1: ") as caught:
        read_shape(NUMBERS, Reply(200, {}, b'[1, "PRIVATE"]'), "numbers")
    assert caught.value.expected == "numbers"
    assert "PRIVATE" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sat, 21 Nov 2026 10:00:00 GMT", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("Sat, 21 Nov 2026 12:00:00 +0200", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("Sat, 21 Nov 2026 10:00:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_the_date_is_an_instant(text: str, expected: datetime | None) -> None:
    """In UTC; one without a zone, or none at all, says nothing."""
    assert read_date(Reply(200, {"date": text}, b"")) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-total-count": "12"}, 12),
        ({"x-total-count": "0"}, 0),
        ({}, None),
        ({"x-total-count": "-1"}, None),
        ({"x-total-count": "٣"}, None),
        ({"x-total-count": "9" * 5_000}, None),
    ],
)
def test_a_total_is_a_number_or_unknown(headers: dict[str, str], expected: int | None) -> None:
    """Only plain digits of a sane length count."""
    assert read_total(Reply(200, headers, b"")) == expected


def test_a_status_may_say_it_all() -> None:
    """Then the body is not looked at."""
    read_done(Reply(204, {}, b"<html>"))
