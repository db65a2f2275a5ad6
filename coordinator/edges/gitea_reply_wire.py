"""One answer of the REST interface, before anybody knows what it means."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from coordinator.edges.gitea_shapes_wire import first_problem, instant

__all__ = ["Reply", "UnexpectedAnswer", "read_date", "read_done", "read_shape", "read_total"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer as it came; `headers` takes names in any case or has them in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class UnexpectedAnswer(Exception):
    """The answer is not what the forge documents; `expected` names what was."""

    def __init__(self, expected: str, problem: str) -> None:
        super().__init__(f"expected {expected}, {problem}")
        self.expected = expected


def read_shape(shape: TypeAdapter[_T], reply: Reply, expected: str) -> _T:
    """The body in its shape; else UnexpectedAnswer names `expected` and the first wrong field."""
    try:
        return shape.validate_json(reply.body)
    except ValidationError as invalid:
        field, problem = first_problem(invalid)
        raise UnexpectedAnswer(expected, f"but {field}: {problem}") from None


def read_done(_reply: Reply) -> None:
    """An answer whose status says it all."""


def read_date(reply: Reply) -> datetime | None:
    """The instant of the `Date` header; None without a usable one."""
    try:
        at = parsedate_to_datetime(reply.headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return instant(at) if at.tzinfo else None


def read_total(reply: Reply) -> int | None:
    """`X-Total-Count`: how many there are over all pages; None without a usable one."""
    text = reply.headers.get("x-total-count", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
