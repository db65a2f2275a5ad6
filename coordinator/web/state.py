"""`GET /state`: the tree as it is this moment, also while actors hang, with a published schema."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quart import Blueprint, Response

from coordinator.web.ask import running_tree
from coordinator.web.asked import StateQuery
from coordinator.web.context import WebContext
from coordinator.web.envelope import Answer, Refused
from coordinator.web.views import read_query, respond

__all__ = ["SCHEMA_PATH", "Redaction", "redaction_of", "state_blueprint"]

SCHEMA_PATH = "/state/schema"
_SCHEMA = json.loads((Path(__file__).parent / "state_schema.json").read_text())
_HIDDEN = "[redacted]"
# A value under such a key is a credential whatever it looks like; "used_tokens" and the like are not.
_TELLING_KEY = re.compile(
    r"(^|_)(secret|password|authorization|api_key|token|signature)$", re.IGNORECASE
)
# Texts longer than this are issue bodies or handoffs; the dump shows that they are there.
_MAX_TEXT_CHARS = 2_000


def state_blueprint(context: WebContext) -> Blueprint:
    blueprint = Blueprint("state", __name__)
    redact = redaction_of(context)

    @blueprint.get("/state")
    async def show_state() -> Response:
        picture = _picture(context, read_query(StateQuery).actor)
        body = {
            "schema": SCHEMA_PATH,
            "version": context.version,
            "at": context.now().isoformat(),
            "tree": picture["root"],
            "zombies": picture["zombies"],
            "hook_failures": picture["hook_failures"],
        }
        return respond(Answer(200, redact(body)))

    @blueprint.get(SCHEMA_PATH)
    async def show_schema() -> Response:
        return respond(Answer(200, _SCHEMA))

    return blueprint


class Redaction:
    """Blackens known secrets wherever they stand, and whole values under telling keys."""

    def __init__(self, secrets: Sequence[str]) -> None:
        # Longest first: a secret that contains another must not leave its tail behind.
        ordered = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, value: object) -> object:
        match value:
            case str():
                return self._text(value)
            case Mapping():
                return {
                    self._text(str(key)): self._under(str(key), item) for key, item in value.items()
                }
            case Sequence() | set() | frozenset():
                return [self(item) for item in value]
            case None | bool() | int() | float():
                return value
            case _:
                return self._text(str(value))

    def _under(self, key: str, value: object) -> object:
        return _HIDDEN if value and _TELLING_KEY.search(key) else self(value)

    def _text(self, text: str) -> str:
        shown = text if self._known is None else self._known.sub(_HIDDEN, text)
        if len(shown) <= _MAX_TEXT_CHARS:
            return shown
        return f"{shown[:_MAX_TEXT_CHARS]}... ({len(shown)} characters)"


def _picture(context: WebContext, actor_id: str | None) -> dict[str, Any]:
    """The dump of now; with an actor's id, of it and what is below it. Refused (404) for nobody."""
    dump = running_tree(context).dump()
    if actor_id is None:
        return dump.as_dict()
    try:
        return replace(dump, root=dump.find(actor_id)).as_dict()
    except KeyError:
        raise Refused(404, "not_found", f"there is no actor named {actor_id[:100]!r}") from None


def redaction_of(context: WebContext) -> Redaction:
    """What hides everything this process was told in confidence."""
    held = [secret.decode(errors="replace") for secret in context.secrets]
    return Redaction([*held, *context.hidden, *([context.api_token] if context.api_token else [])])
