"""`GET /openapi.json`: every route with its parameters, bodies and errors, from our own models."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from coordinator.web.asked import (
    AckBody,
    BackupAsked,
    HistoryQuery,
    IssueQuery,
    LettersQuery,
    PollQuery,
    RefreshAsked,
    StateQuery,
    UsageReport,
)
from coordinator.web.shapes import (
    AckedBody,
    AgentBody,
    AgentsBody,
    BackupBody,
    DeadLetterBody,
    DeadLettersBody,
    ErrorBody,
    HealthBody,
    IndexBody,
    IssueBody,
    IssuesBody,
    OrdersBody,
    RecordedBody,
    RefreshBody,
    SamplesBody,
    WebhookBody,
)

__all__ = ["OPERATIONS", "Operation", "document"]

_REFS = "#/components/schemas/{model}"
_ERRORS = {
    400: "not valid HTTP or JSON",
    401: "the token is missing or wrong",
    403: "no token is configured, and the request is not local",
    404: "there is no such thing",
    405: "the method does not fit the path",
    408: "the body did not arrive in time",
    409: "it does not fit what is known now",
    413: "the body is too large",
    415: "the body is not application/json",
    422: "a field is wrong; `field` names it",
    500: "the coordinator failed",
    503: "it cannot be done now; Retry-After says when to try again",
}
_ANY_REQUEST = (400, 405, 408, 413, 500, 503)
_NAMES = {"pattern": r"^[^/]+$", "type": "string"}
_PARAMETERS = {
    "owner": {"type": "string", "pattern": r"^[^/\s#]+$"},
    "repo": {"type": "string", "pattern": r"^[^/\s#]+$"},
    "number": {"type": "integer", "minimum": 1, "maximum": 9_999_999_999},
    "name": _NAMES,
    "order_id": {"type": "integer", "minimum": 0},
    "letter_id": {"type": "integer", "minimum": 0},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. `is_text`: it answers in plain text. Without `answer`: any object.

    `status` is that of success; unless `needs_body`, the body may be left out.
    """

    method: str
    path: str
    summary: str
    answer: type[BaseModel] | None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    is_open: bool = False
    is_text: bool = False
    also_answers: tuple[int, ...] = field(default=())
    status: int = 200
    needs_body: bool = True


OPERATIONS: tuple[Operation, ...] = (
    Operation("get", "/", "Where everything is", IndexBody),
    Operation(
        "post",
        "/webhook/gitea",
        "Receive one signed delivery of Gitea or Forgejo",
        WebhookBody,
        errors=(401, 415, 422),
        is_open=True,
    ),
    Operation(
        "get", "/health", "Whether all is well", HealthBody, is_open=True, also_answers=(503,)
    ),
    Operation(
        "get", "/state", "The tree of actors as it is now", None, query=StateQuery, errors=(404,)
    ),
    Operation("get", "/state/schema", "The JSON Schema of /state", None),
    Operation("get", "/metrics", "Counts for Prometheus", None, is_text=True),
    Operation("get", "/openapi.json", "This document", None),
    Operation(
        "get", "/api/v1/issues", "Issues and why they are where they are", IssuesBody, IssueQuery,
        errors=(404, 422),
    ),
    Operation(
        "get", "/api/v1/issues/{owner}/{repo}/{number}", "One issue and its timeline", IssueBody,
        errors=(404, 409),
    ),
    Operation("get", "/api/v1/agents", "All agents", AgentsBody),
    Operation("get", "/api/v1/agents/{name}", "One agent", AgentBody, errors=(404,)),
    Operation(
        "get", "/api/v1/agents/{name}/usage", "Context readings, oldest first", SamplesBody,
        HistoryQuery, errors=(404, 422),
    ),
    Operation(
        "post", "/api/v1/agents/{name}/usage", "Report a context reading", RecordedBody,
        body=UsageReport, errors=(404, 409, 415, 422),
    ),
    Operation(
        "get", "/api/v1/agents/{name}/orders", "Open orders; waits for one", OrdersBody, PollQuery,
        errors=(404, 422),
    ),
    Operation(
        "post", "/api/v1/agents/{name}/orders/{order_id}", "Acknowledge an order", AckedBody,
        body=AckBody, errors=(404, 409, 415, 422),
    ),
    Operation(
        "get", "/api/v1/deadletters", "Messages that crashed their actor twice", DeadLettersBody,
        LettersQuery, errors=(422,),
    ),
    Operation(
        "post", "/api/v1/deadletters/{letter_id}/replay", "Try one again", DeadLetterBody,
        errors=(404, 409),
    ),
    Operation(
        "post", "/api/v1/refresh", "Look for missed deliveries now", RefreshBody, body=RefreshAsked,
        errors=(404, 409, 415, 422), status=202, needs_body=False,
    ),
    Operation(
        "post", "/api/v1/backup", "Copy the journal while running", BackupBody, body=BackupAsked,
        errors=(409, 415, 422),
    ),
)  # fmt: skip


def document(version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mosaic Coordinator", "version": version},
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _operation_id(operation),
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation.query)],
        "responses": _responses(operation),
        "security": [] if operation.is_open else [{"token": []}],
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.needs_body,
            "content": _json(_ref(operation.body)),
        }
    if operation.path == "/webhook/gitea":
        described["requestBody"] = {"required": True, "content": _json({"type": "object"})}
        described["parameters"] += _WEBHOOK_HEADERS
    return described


_WEBHOOK_HEADERS = [
    {"name": name, "in": "header", "required": required, "schema": {"type": "string"}}
    for name, required in (
        ("X-Gitea-Signature", True),
        ("X-Gitea-Event", True),
        ("X-Gitea-Event-Type", False),
        ("X-Gitea-Delivery", False),
    )
]


def _responses(operation: Operation) -> dict[str, Any]:
    guarded = () if operation.is_open else (401, 403)
    errors = sorted({*_ANY_REQUEST, *operation.errors, *guarded} - {*operation.also_answers})
    success = {"type": "object"} if operation.answer is None else _ref(operation.answer)
    content = {"text/plain": {"schema": {"type": "string"}}} if operation.is_text else _json(success)
    answers = {
        str(status): {"description": operation.summary, "content": content}
        for status in (operation.status, *operation.also_answers)
    }
    return answers | {
        str(status): {"description": _ERRORS[status], "content": _json(_ref(ErrorBody))}
        for status in errors
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "schema": _PARAMETERS[name]} for name in names
    ]


def _query_parameters(query: type[BaseModel] | None) -> list[dict[str, Any]]:
    if query is None:
        return []
    properties = query.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _not_null(schema)}
        for name, schema in properties.items()
    ]


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is text or absent, so null is no value it can have."""
    if "anyOf" not in schema:
        return schema
    (kind,) = (one for one in schema["anyOf"] if one != {"type": "null"})
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    merged: dict[str, Any] = rest | kind
    return merged


def _schemas() -> dict[str, Any]:
    models = {ErrorBody} | {
        model
        for operation in OPERATIONS
        for model in (operation.answer, operation.body)
        if model is not None
    }
    wanted = [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)]
    _, schemas = models_json_schema(wanted, ref_template=_REFS)  # type: ignore[arg-type]
    defined: dict[str, Any] = schemas["$defs"]
    return defined


def _operation_id(operation: Operation) -> str:
    words = operation.path.replace("{", "").replace("}", "").replace(".", "/").split("/")
    return "_".join([operation.method, *(word for word in words if word)])


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFS.format(model=model.__name__)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
