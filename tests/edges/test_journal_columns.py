"""Instants and text as columns."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.edges.journal_columns import instant, micros, storable
from coordinator.errors import JournalError


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_comes_back_to_the_microsecond(at: datetime) -> None:
    """No instant, before 1970 or far ahead, is rounded."""
    assert instant(micros(at)) == at


def test_an_instant_of_another_zone_comes_back_in_utc() -> None:
    """The same moment, told in UTC."""
    at = datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=2)))
    assert instant(micros(at)).isoformat() == "2026-01-01T01:00:00+00:00"


def test_an_instant_without_a_zone_is_refused() -> None:
    """A naive datetime is named in the refusal."""
    with pytest.raises(JournalError, match="2026-01-01T00:00:00 has no time zone"):
        micros(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


@given(st.text())
def test_any_text_becomes_storable(text: str) -> None:
    """Text that UTF-8 can hold is left alone; lone surrogates are spelled out."""
    kept = storable(text)
    kept.encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert kept == text


def test_different_surrogates_stay_different() -> None:
    """Two ids that differ in a raw byte do not become the same."""
    assert storable("a\udc80") != storable("a\udc81")
