"""The state dump keeps to its schema, hides what is secret, and comes while actors hang."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.web.state import Redaction
from tests.web.serving import eventually
from tests.web.standins import AGENT, SECRET, TOKEN, Hang, running


async def test_the_dump_keeps_to_the_published_schema(tmp_path: Path) -> None:
    """The whole state and each actor's part are valid by /state/schema, also while an actor hangs."""
    async with running(tmp_path) as app:
        schema = (await app.client.get("/state/schema")).json()
        jsonschema.Draft202012Validator.check_schema(schema)
        hanging = app.tree.ref(f"monitor:{AGENT}")
        await hanging.cast(Hang())
        await hanging.cast(Hang())
        await eventually(lambda: app.tree.dump().find(f"monitor:{AGENT}").in_flight is not None)
        for path in ("/state", "/state?actor=dispatcher", "/state?actor=web", "/state?actor=root"):
            answer = await app.client.get(path)
            assert answer.status_code == 200
            jsonschema.validate(
                answer.json(), schema, format_checker=jsonschema.FormatChecker(), cls=_Validator
            )
        answer = await app.client.get("/state", params={"actor": f"monitor:{AGENT}"})
        node = answer.json()["tree"]
        assert node["in_flight"]["message"] == "Hang()"
        assert node["mailbox"]["depth"] == 1
        assert any("sleep_forever" in line for line in node["await_stack"])


_Validator = jsonschema.Draft202012Validator


async def test_an_unknown_actor_is_404(tmp_path: Path) -> None:
    """Asking for nobody is 404 with the name asked for."""
    async with running(tmp_path) as app:
        answer = await app.client.get("/state", params={"actor": "nobody"})
        assert answer.status_code == 404
        assert "nobody" in answer.json()["error"]["message"]


async def test_secrets_never_leave(tmp_path: Path) -> None:
    """Neither configured secrets nor values under telling keys are in the dump."""
    async with running(tmp_path, hidden=("sk-ant-very-secret",)) as app:
        text = (await app.client.get("/state")).text
        assert SECRET.decode() not in text
        assert TOKEN not in text
        state = (await app.client.get("/state", params={"actor": "dispatcher"})).json()["tree"]["state"]
        assert state == {"known": 20, "api_token": "[redacted]", "note": "secret is [redacted]"}


async def test_before_the_tree_there_is_no_state(tmp_path: Path) -> None:
    """While the program comes up /state is 503 with Retry-After."""
    async with running(tmp_path) as app:
        app.context.tree = None
        answer = await app.client.get("/state")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "starting"
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("key", "hidden"),
    [
        ("secret", True),
        ("api_token", True),
        ("X_Signature", True),
        ("used_tokens", False),
        ("tokens", False),
        ("text_key", False),
    ],
)
def test_telling_keys_hide_their_values(key: str, hidden: bool) -> None:
    """Credentials are recognised by their key; counts of tokens are not credentials."""
    assert (Redaction([])({key: "value"}) == {key: "[redacted]"}) is hidden


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON, st.text(min_size=6).map("k-{}".format))
def test_no_secret_survives_anywhere(value: object, secret: str) -> None:
    """Wherever a secret stands in a structure, as key or value, it does not come out."""
    planted = {"a": [value, secret, {f"x{secret}y": f"{secret}{secret}"}]}
    shown = json.dumps(Redaction([secret])(planted), ensure_ascii=False)
    assert json.dumps(secret, ensure_ascii=False)[1:-1] not in shown.replace("[redacted]", "")


def test_odd_values_become_bounded_text() -> None:
    """What JSON does not know is written as text, and long texts are cut with their length."""
    redact = Redaction(["inner", "inner-outer"])
    assert redact({"path": Path("a/b"), "set": {1}}) == {"path": "a/b", "set": [1]}
    assert redact("x" * 5000) == "x" * 2000 + "... (5000 characters)"
    assert redact("inner-outer") == "[redacted]"
