"""Which messages an actor takes, by the annotation of its `handle`, and the check at the sender."""

import inspect
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .messages import Call, Cast

if TYPE_CHECKING:
    from .actor import Actor

__all__ = ["Takes", "takes_of"]


class Takes:
    """What one class of actors takes. One set lookup tells that a message is fine."""

    __slots__ = ("_accepted", "_actor_name", "calls", "casts")

    def __init__(self, actor_name: str, accepted: tuple[type, ...] | None) -> None:
        self._actor_name = actor_name
        self._accepted = accepted  # None: everything
        self.casts: set[type] = set()  # seen and found good
        self.calls: set[type] = set()

    def accepts(self, kind: type) -> bool:
        """Whether its `handle` says that it takes messages of this class."""
        return self._accepted is None or issubclass(kind, self._accepted)

    def require_cast(self, message: object, to: str, show: Callable[[str, object], str]) -> None:
        """Raise TypeError unless actor `to` takes the message as a cast."""
        self._require(message, Cast, "call", to, show)
        self.casts.add(type(message))

    def require_call(self, message: object, to: str, show: Callable[[str, object], str]) -> None:
        """Raise TypeError unless actor `to` takes the message as a call."""
        self._require(message, Call, "cast", to, show)
        self.calls.add(type(message))

    def _require(
        self, message: object, kind: type, other: str, to: str, show: Callable[[str, object], str]
    ) -> None:
        if not isinstance(message, kind):
            shown = show(to, message)
            raise TypeError(f"{shown} is not a {kind.__name__}: use {other}() or subclass it")
        if not self.accepts(type(message)):
            names = " | ".join(taken.__qualname__ for taken in self._accepted or ())
            shown = show(to, message)
            raise TypeError(f"{to} is a {self._actor_name} and takes {names}, not {shown}")


def takes_of(actor: "type[Actor]") -> Takes:
    """What the class takes; everything, if its `handle` does not say so in a checkable way."""
    known = _KNOWN.get(actor)
    if known is None:
        known = _KNOWN[actor] = Takes(actor.__qualname__, _classes(_annotation(actor)))
    return known


# Weak: a class made for one test is not kept.
_KNOWN: "WeakKeyDictionary[type, Takes]" = WeakKeyDictionary()


def _annotation(actor: type) -> object:
    """How `handle` annotates its message; Any if it does not, or if the name means nothing here."""
    try:
        message = list(inspect.signature(actor.handle).parameters.values())[1]  # type: ignore[attr-defined]
        if message.kind in (message.KEYWORD_ONLY, message.VAR_KEYWORD):  # `handle` is some wrapper
            return Any
        return typing.get_type_hints(actor.handle).get(message.name, Any)  # type: ignore[attr-defined]
    except (AttributeError, IndexError, NameError, SyntaxError, TypeError, ValueError):
        return Any


def _classes(hint: Any) -> tuple[type, ...] | None:
    """The classes a message may be of; None if any class, or one `issubclass` cannot decide about."""
    origin = typing.get_origin(hint)
    if origin is typing.Union or origin is types.UnionType:
        return _all_of(typing.get_args(hint))
    if hasattr(hint, "__value__"):  # a `type` statement
        return _classes(hint.__value__)
    if isinstance(hint, typing.TypeVar):
        return _all_of(hint.__constraints__ or (hint.__bound__ or Any,))
    known = origin if isinstance(origin, type) else hint
    if known in (Any, object) or not isinstance(known, type) or getattr(known, "_is_protocol", False):
        return None
    return (known,)


def _all_of(hints: tuple[Any, ...]) -> tuple[type, ...] | None:
    found: list[type] = []
    for hint in hints:
        classes = _classes(hint)
        if classes is None:
            return None
        found += classes
    return tuple(found)
