"""How long a server asks us to wait before the next request."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite

__all__ = ["retry_after_s", "seconds_in"]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` (RFC 9110 §10.2.3): seconds, or a date counted from the reply's own; else None.

    `headers` has names in lower case, or takes them in any.
    """
    wish = headers.get("retry-after")
    seconds = seconds_in(wish)
    if seconds is not None or wish is None:
        return seconds
    try:
        until = parsedate_to_datetime(wish) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):  # no date, or one with and one without a time zone
        return None
    return max(0.0, until.total_seconds())


def seconds_in(value: str | None) -> float | None:
    """A finite number, not negative; anything else is None."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if isfinite(number) and number >= 0 else None
