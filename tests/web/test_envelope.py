"""Every answer has one shape."""

import json

from hypothesis import given
from hypothesis import strategies as st

from coordinator.web.envelope import Answer, Refused, error_body, error_bytes, refused_answer


def test_a_refusal_becomes_the_envelope() -> None:
    """Status, code, message, the wrong field and extra headers all arrive."""
    answer = refused_answer(Refused(422, "bad", "it is bad", field="a.b", headers={"retry-after": "1"}))
    assert (answer.status, answer.headers) == (422, {"retry-after": "1"})
    assert answer.body == {"error": {"code": "bad", "message": "it is bad", "field": "a.b"}}


def test_without_a_field_none_is_named() -> None:
    """The field is only there when one is wrong."""
    assert error_body("c", "m") == {"error": {"code": "c", "message": "m"}}
    assert json.loads(error_bytes("c", "m")) == error_body("c", "m")


@given(st.text(st.characters()))
def test_any_text_can_be_encoded(text: str) -> None:
    """Whatever text a message quotes, lone surrogates included, comes out as the same JSON text."""
    assert json.loads(Answer(200, text).encode()) == text
