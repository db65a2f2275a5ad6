"""How instants and text become columns and come back."""

from datetime import UTC, datetime, timedelta

from coordinator.errors import JournalError

__all__ = ["instant", "micros", "storable"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """The instant as whole microseconds since 1970; a naive datetime is a JournalError."""
    if at.tzinfo is None:
        raise JournalError(f"{at.isoformat()} has no time zone")
    return (at - _EPOCH) // _MICROSECOND


def instant(at_micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_micros)


def storable(text: str) -> str:
    """The text, with lone surrogates (raw bytes of a header, half an emoji) spelled out as \\udc80:
    UTF-8, and so SQLite, has no form for them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
