"""What is shown of messages and states is redacted, bounded and never raises."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.runtime import Actor, Hooks
from coordinator.runtime.shown import plain, redacted, show, state_of
from tests.runtime.stage import Say


class Quiet(Actor):
    """Has no account of itself."""

    def __init__(self) -> None:
        self.total = 3
        self._secret = "hidden"
        self.by_key = {1: object}


class Open(Quiet):
    def inspect(self) -> object:
        return {"total": self.total}


def _raising(name: str, value: object) -> object:
    raise ValueError(name)


def test_without_a_hook_a_message_shows_its_repr() -> None:
    """Bounded, as everywhere."""
    assert show(Hooks(), "a", Say("x")) == "Say(word='x')"
    assert len(show(Hooks(), "a", Say("x" * 999))) == 200


def test_the_hook_decides_what_is_seen() -> None:
    """It is asked with the id; a text stands as it is, anything else shows its repr; both bounded."""
    asked = list[str]()

    def kind_only(name: str, value: object) -> object:
        asked.append(name)
        return type(value).__name__

    assert show(Hooks(redact=kind_only), "a", Say("secret")) == "Say"
    assert asked == ["a"]
    assert show(Hooks(redact=lambda name, value: Say("***")), "a", Say("secret")) == "Say(word='***')"
    assert len(show(Hooks(redact=lambda name, value: "x" * 999), "a", Say(""))) == 200


def test_a_redaction_that_raises_hides_everything() -> None:
    """Rather nothing than a leak; the error is named, its words may hold the secret."""
    hooks = Hooks(redact=_raising)
    assert show(hooks, "a", Say("secret")) == "<hidden: redact raised ValueError>"
    assert redacted(hooks, "a", {"k": 1}) == "<hidden: redact raised ValueError>"
    assert state_of(hooks, "a", Open(), attributes=False) == "<hidden: redact raised ValueError>"


def test_a_state_is_the_actors_own_account() -> None:
    """`inspect()` wins over attributes; without it the public ones, on request only."""
    assert state_of(Hooks(), "a", Open(), attributes=True) == {"total": 3}
    assert state_of(Hooks(), "a", Quiet(), attributes=False) is None
    shown = state_of(Hooks(), "a", Quiet(), attributes=True)
    assert shown == {"total": 3, "by_key": {"1": "<class 'object'>"}}
    assert state_of(Hooks(), "a", None, attributes=True) is None


def test_a_state_passes_the_redaction() -> None:
    """The hook sees the state as the actor gives it."""
    hooks = Hooks(redact=lambda name, value: {"for": name, "keys": list(value)})  # type: ignore[call-overload]
    assert state_of(hooks, "a", Open(), attributes=False) == {"for": "a", "keys": ["total"]}


def test_anything_becomes_json() -> None:
    """What JSON does not know becomes a bounded repr, infinity becomes null."""
    value = {1: {"a"}, "f": math.inf, "t": (1, 2.5, None, True), "o": object}
    assert plain(value) == {"1": ["a"], "f": None, "t": [1, 2.5, None, True], "o": "<class 'object'>"}
    assert plain(math.nan) is None


def test_a_value_that_holds_itself_ends() -> None:
    """At a depth nobody reads there is a note instead."""
    loop = list[object]()
    loop.append(loop)
    assert "<list too deep to show>" in json.dumps(plain(loop))


@pytest.mark.parametrize(
    "value",
    [
        ["x" * 10] * 100_000,
        dict.fromkeys(range(100000), "x" * 10),
        "x" * 1_000_000,
        [[[0] * 9_999] * 99],
        [[]] * 1_000_000,
        [{}] * 1_000_000,
        [10**170] * 100_000,
        [10**5_000] * 100_000,
    ],
    ids=["list", "dict", "text", "nested", "empty lists", "empty dicts", "digits", "many digits"],
)
def test_plain_data_is_bounded(value: object) -> None:
    """A state of megabytes is cut near the limit and says so."""
    text = json.dumps(plain(value, chars=8_000), ensure_ascii=False)
    assert 1_000 < len(text) < 20_000
    assert "more" in text or "(1000000 characters)" in text


_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.integers(0, 5_000).map(lambda digits: 10**digits)
    | st.floats()
    | st.text()
    | st.just(object()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(_ANYTHING, st.integers(0, 500))
def test_plain_data_is_always_json_within_its_bound(value: object, chars: int) -> None:
    """Whatever comes in, what comes out is JSON, and not much longer than asked for."""
    text = json.dumps(plain(value, chars=chars), allow_nan=False, ensure_ascii=False)
    assert len(text) < 30 * (chars + 100)
