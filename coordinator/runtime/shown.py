"""What may be seen of messages and states: past the `redact` hook, bounded, as text or plain data.

Everything the runtime shows of an actor's data goes through here, so a secret is hidden in one place.
"""

from typing import TYPE_CHECKING

from .actor import Actor
from .messages import REPR_CHARS, brief, brief_text, cut

if TYPE_CHECKING:
    from .reports import Hooks

__all__ = ["STATE_CHARS", "plain", "redacted", "show", "state_of"]

# A state worth looking at fits; ten thousand of them in one dump still fit into memory.
STATE_CHARS = 64_000
# Deeper than any state one would read, and far from the interpreter's own limit.
DEPTH = 20


def redacted(hooks: "Hooks", id: str, value: object) -> object:  # noqa: A002
    """What the `redact` hook lets through; a hook that raises hides everything."""
    if hooks.redact is None:
        return value
    try:
        return hooks.redact(id, value)
    except Exception as exc:  # noqa: BLE001  a broken redaction must hide, never leak
        return f"<hidden: redact raised {type(exc).__name__}>"


def show(hooks: "Hooks", id: str, value: object) -> str:  # noqa: A002
    """The value in at most 200 characters, after redaction; a text put in its place stands as it is."""
    seen = redacted(hooks, id, value)
    if seen is not value and isinstance(seen, str):
        return cut(seen, REPR_CHARS)
    return brief(seen)


def state_of(
    hooks: "Hooks",
    id: str,  # noqa: A002
    actor: Actor | None,
    *,
    attributes: bool,
    chars: int = STATE_CHARS,
) -> object:
    """The actor's `inspect()` as plain data, or an account of why there is none.

    `attributes`: whether an actor that does not say what to show of itself shows its public attributes.
    """
    if actor is None:
        return None
    try:
        if attributes and type(actor).inspect is Actor.inspect:
            state: object = _public(actor)
        else:
            state = actor.inspect()
        return plain(redacted(hooks, id, state), chars=chars) if state is not None else None
    except Exception as exc:  # noqa: BLE001  an actor's bug must not hide the other actors
        return {"inspect_error": f"{type(exc).__name__}: {brief_text(exc)}"[:REPR_CHARS]}


def _public(actor: Actor) -> dict[str, object]:
    """The attributes its author did not mark as private; the context is ours."""
    held = dict(getattr(actor, "__dict__", {}))
    held.pop("context", None)
    return {name: value for name, value in held.items() if not name.startswith("_")}


def plain(value: object, *, chars: int = STATE_CHARS) -> object:
    """The same value in JSON's own types; what JSON does not know becomes its bounded repr.

    At about `chars` characters it ends: what is left out of a container is counted in its place.
    """
    if type(value) is float:
        return value if value - value == 0 else None  # JSON has neither infinity nor nan
    return _Plain(chars).of(value, DEPTH)


class _Plain:
    """One value on its way into plain data, and how many characters may still come."""

    __slots__ = ("_left",)

    def __init__(self, chars: int) -> None:
        self._left = chars

    def of(self, value: object, depth: int) -> object:
        if value is None or isinstance(value, bool):
            self._left -= 8
            return value
        if isinstance(value, int):
            return self._int(value)
        if isinstance(value, float):
            self._left -= 8
            return value if value - value == 0 else None
        if isinstance(value, str):
            return self._text(value)
        if depth == 0 and isinstance(value, dict | list | tuple | set | frozenset):
            return self._text(f"<{type(value).__name__} too deep to show>")
        if isinstance(value, dict):
            return self._dict(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._list(value, depth)
        return self._text(brief(value))

    def _int(self, value: int) -> object:
        if value.bit_length() > 3 * REPR_CHARS:  # json and str refuse one of thousands of digits
            return self._text(brief(value))
        self._left -= max(8, value.bit_length() // 3)
        return value

    def _text(self, text: str) -> str:
        room = max(0, self._left)
        self._left -= len(text) + 2
        return text if len(text) <= room else f"{text[:room]}… ({len(text)} characters)"

    def _dict(self, value: "dict[object, object]", depth: int) -> dict[str, object]:
        shown: dict[str, object] = {}
        self._left -= 2
        for key, inner in value.items():
            if self._left <= 0:
                shown["…"] = f"{len(value) - len(shown)} more"
                break
            name = self._text(key if isinstance(key, str) else brief(key))
            shown[name] = self.of(inner, depth - 1)
        return shown

    def _list(
        self, value: "list[object] | tuple[object, ...] | set[object] | frozenset[object]", depth: int
    ) -> list[object]:
        shown: list[object] = []
        self._left -= 2
        for inner in value:
            if self._left <= 0:
                shown.append(f"… {len(value) - len(shown)} more")
                break
            shown.append(self.of(inner, depth - 1))
        return shown
