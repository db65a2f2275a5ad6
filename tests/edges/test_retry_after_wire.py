"""How long a server asks us to wait, in all the ways it may say so."""

import pytest

from coordinator.edges.retry_after_wire import retry_after_s, seconds_in

DATE = "Sat, 21 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:30 GMT", "date": DATE}, 90.0),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:30 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:30", "date": DATE}, None),
    ],
)
def test_a_wish_is_seconds_or_a_date(headers: dict[str, str], expected: float | None) -> None:
    """Seconds count as they are, dates from the reply's own; nonsense is no wish."""
    assert retry_after_s(headers) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [(None, None), ("", None), ("nan", None), ("1.5", 1.5), ("x", None)]
)
def test_seconds_are_finite_and_not_negative(text: str | None, expected: float | None) -> None:
    """Anything else is none at all."""
    assert seconds_in(text) == expected
