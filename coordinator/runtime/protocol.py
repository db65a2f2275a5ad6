"""Which messages an actor takes, by the annotation of its `handle`, and the check at the sender."""

import inspect
import sys
import types
import typing
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .callables import cannot_be_awaited
from .errors import SpecError
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
    """What the class takes; everything, if its `handle` does not say so in a checkable way.

    SpecError if `handle` is not async, or if the annotation cannot be resolved: unchecked it would only
    look like a promise.
    """
    known = _KNOWN.get(actor)
    if known is None:
        if cannot_be_awaited(actor.handle):
            raise SpecError(
                f"{actor.__qualname__}.handle is not async: nothing it gives can be awaited"
            )
        known = _KNOWN[actor] = Takes(actor.__qualname__, _classes(_annotation(actor)))
    return known


# Weak: a class made for one test is not kept.
_KNOWN: "WeakKeyDictionary[type, Takes]" = WeakKeyDictionary()


def _annotation(actor: type) -> object:
    """How `handle` annotates its message, and nothing else it annotates; Any if it does not."""
    handle = inspect.unwrap(actor.handle)  # type: ignore[attr-defined]
    try:
        message = list(inspect.signature(handle).parameters.values())[1]
    except (IndexError, TypeError, ValueError):
        return Any
    if message.annotation is message.empty or message.kind in (
        message.KEYWORD_ONLY,
        message.VAR_KEYWORD,
    ):
        return Any  # it says nothing, or is some wrapper
    said = types.SimpleNamespace(__annotations__={"message": message.annotation})
    try:
        near = _closed_over(handle) | _of_its_class(actor)
        hints = typing.get_type_hints(said, _known_to(handle, actor), near)
    except Exception as exc:
        raise SpecError(
            f"{actor.__qualname__}.handle takes {message.annotation!r}, which cannot be resolved: {exc}"
        ) from exc
    return hints["message"]


def _known_to(function: Any, actor: type) -> dict[str, Any]:
    """The names of the module it was written in; of its class's, if it is no plain function."""
    module = getattr(sys.modules.get(actor.__module__), "__dict__", {})
    return getattr(function, "__globals__", module)


def _of_its_class(actor: type) -> dict[str, Any]:
    """The names beside `handle` in the class that has it: there its messages may be defined, too."""
    return next((dict(vars(each)) for each in actor.__mro__ if "handle" in vars(each)), {})


def _closed_over(function: Any) -> dict[str, object]:
    """The names of an enclosing function that this one uses: there its messages may be defined."""
    found: dict[str, object] = {}
    names = function.__code__.co_freevars if inspect.isfunction(function) else ()
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        with suppress(ValueError):  # nothing is in it yet
            found[name] = cell.cell_contents
    return found


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
