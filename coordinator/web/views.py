"""Between Quart and our answers: read a request, give a response. The only place that knows both."""

from pydantic import BaseModel
from quart import Response, request

from coordinator.web.asked import Asked, parse_json, parse_query
from coordinator.web.envelope import API_HEADERS, Answer, Refused

__all__ = ["read_json", "read_query", "respond", "shaped"]


def respond(answer: Answer) -> Response:
    return Response(answer.encode(), answer.status, {**API_HEADERS, **answer.headers})


def shaped(model: type[BaseModel], value: object, *, status: int = 200) -> Response:
    """An answer with the value in the model's shape; what does not fit it is our own error."""
    body = model.model_validate(value).model_dump_json().encode()
    return Response(body, status, dict(API_HEADERS))


async def read_json(model: type[Asked]) -> Asked:
    """The JSON body. Only application/json: a browser cannot send that across sites unasked."""
    if request.mimetype != "application/json":
        raise Refused(415, "unsupported_media_type", "send application/json")
    return parse_json(model, await request.get_data(cache=False, as_text=False, parse_form_data=False))


def read_query(model: type[Asked]) -> Asked:
    return parse_query(model, request.args.to_dict())
