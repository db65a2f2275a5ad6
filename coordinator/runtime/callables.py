"""What can be told of a function before it is called: only what is certain is told.

A decorator, a partial or an object with `__call__` may do anything, and gets the benefit of the doubt.
"""

import dis
import functools
import inspect
from collections.abc import Mapping
from itertools import pairwise
from types import CodeType

__all__ = ["cannot_be_awaited", "is_async", "refusal_of"]


def is_async(fn: object) -> bool:
    """Whether calling it does nothing yet: somebody must await what comes back, or iterate it."""
    called = None if inspect.isclass(fn) else getattr(fn, "__call__", None)  # noqa: B004  its own
    return any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in (fn, called))


def cannot_be_awaited(fn: object) -> bool:
    """Whether what it gives back is certain to be nothing that `await` takes."""
    fn = _innermost(fn)
    if not inspect.isfunction(fn) or inspect.iscoroutinefunction(fn):
        return False
    if inspect.isasyncgenfunction(fn):
        return True
    if inspect.isgeneratorfunction(fn):
        return not fn.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE
    return _gives_constants(fn.__code__)


def _innermost(fn: object) -> object:
    """What a partial or a method calls."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return getattr(fn, "__func__", fn)


def _gives_constants(code: CodeType) -> bool:
    """Whether every `return` of a plain function is that of a constant, None where there is none."""
    returns = [
        each.opname == "RETURN_CONST" or (before.opname == "LOAD_CONST" and not each.is_jump_target)
        for before, each in pairwise(dis.get_instructions(code))
        if each.opname in ("RETURN_VALUE", "RETURN_CONST")
    ]
    return bool(returns) and all(returns)


def refusal_of(fn: object, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str | None:
    """Why it does not take these arguments; None if it does, or if only a call can tell."""
    if "__signature__" in getattr(_innermost(fn), "__dict__", {}):  # copied from anywhere
        return None
    try:
        signature = inspect.signature(fn, follow_wrapped=False)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError as exc:
        return str(exc)
    return None
