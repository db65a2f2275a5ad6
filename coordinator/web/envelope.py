"""The shape of every answer: JSON, one error envelope, the same headers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

__all__ = ["API_HEADERS", "Answer", "Refused", "error_body", "error_bytes", "refused_answer"]

# `no-store`: answers are of this moment and some need a token. `nosniff`: issue text is untrusted.
API_HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON-able body."""

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The body as UTF-8 JSON; lone surrogates and the like are escaped, so it never fails."""
        return json.dumps(self.body, separators=(",", ":"), allow_nan=False).encode()


class Refused(Exception):
    """Ends a request with an error envelope; `code` is stable, `message` is for a person."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = dict(headers or {})


def refused_answer(refused: Refused) -> Answer:
    return Answer(
        refused.status, error_body(refused.code, refused.message, refused.field), refused.headers
    )


def error_body(code: str, message: str, field: str | None = None) -> dict[str, dict[str, str]]:
    error = {"code": code, "message": message}
    return {"error": error if field is None else error | {"field": field}}


def error_bytes(code: str, message: str) -> bytes:
    return Answer(HTTPStatus.OK, error_body(code, message)).encode()
