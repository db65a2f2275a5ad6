"""Spans of time as people say them."""

__all__ = ["lasting"]

_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60))


def lasting(seconds: float) -> str:
    """The span in the largest unit of which there are two or more: "90 s", "5 minutes", "30 days"."""
    for name, unit_s in _UNITS:
        if round(seconds / unit_s) >= 2:
            return f"{round(seconds / unit_s):,} {name}"
    return f"{seconds:.0f} s"
