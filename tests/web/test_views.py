"""What views read and answer, seen from a client."""

import pytest
import trio
from pydantic import BaseModel
from quart import Response
from quart_trio import QuartTrio

from coordinator.web.asked import AckBody
from coordinator.web.envelope import Answer, Refused
from coordinator.web.views import read_json, respond, shaped


class Size(BaseModel):
    size_bytes: int


async def test_a_shaped_answer_has_the_models_fields_alone() -> None:
    """Only what the model names gets out, as JSON with the protective headers."""
    async with QuartTrio("views").app_context():
        answer = shaped(Size, {"size_bytes": 3, "secret": "x"})
        assert await answer.get_data() == b'{"size_bytes":3}'
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_answers_own_headers_are_added() -> None:
    """Status and headers of the answer are those of the response."""
    async with QuartTrio("views").app_context():
        response = respond(Answer(503, {}, {"retry-after": "1"}))
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(
    ("media_type", "status"), [("application/json", 200), ("text/plain", 415), ("", 415)]
)
async def test_only_json_bodies_are_read(media_type: str, status: int) -> None:
    """A body of another media type is refused before it is looked at."""
    app = QuartTrio("views")

    @app.post("/")
    async def view() -> Response:
        try:
            return shaped(AckBody, await read_json(AckBody))
        except Refused as refused:
            return respond(Answer(refused.status, {}))

    with trio.fail_after(60):
        answer = await app.test_client().post(
            "/", data=b'{"status": "done"}', headers={"content-type": media_type}
        )
    assert answer.status_code == status
