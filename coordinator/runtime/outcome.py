"""What comes out of a tree in the end: the error of its root, of its block, or of both."""

import trio

from .end import fatal_in
from .errors import ActorDown, AdminError, CallTimeout, StartFailed

__all__ = ["both", "outcome", "raise_as_it_is"]

# By these answers a block that asks a falling tree for something learns of the fall.
ANSWERS = (ActorDown, AdminError, CallTimeout, StartFailed)


def outcome(users: BaseException | None, trees: BaseException | None) -> BaseException | None:
    """The error to raise after block and tree.

    What of the block's error only tells that the tree has fallen gives way to the root's own error and
    stays as its context.
    """
    if users is None or trees is None:
        return trees if users is None else users
    own = _own_part(users, trees)
    return _during(trees, users) if own is None else both(trees, own)


def both(first: BaseException, second: BaseException) -> BaseException:
    """Two errors that have nothing to do with each other; one that ends the program comes alone."""
    if fatal_in(first) is not None:
        return _during(first, second)
    if fatal_in(second) is not None:
        return _during(second, first)
    return BaseExceptionGroup("the tree failed, and so did its user", [first, second])


def raise_as_it_is(error: BaseException) -> None:
    """Raise it with the context it has: not with what happens to be handled by whoever waits for it."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context  # its traceback has this frame, and nobody should need the collector


def _own_part(users: BaseException, trees: BaseException) -> BaseException | None:
    """What of the block's error is its own."""
    if isinstance(users, BaseExceptionGroup):
        return users.subgroup(lambda e: not isinstance(e, BaseExceptionGroup) and _is_own(e, trees))
    return users if _is_own(users, trees) else None


def _is_own(error: BaseException, trees: BaseException) -> bool:
    if isinstance(error, ANSWERS):
        return error.__cause__ is not None and not _leads_to(trees, error.__cause__)
    return error is not trees and not isinstance(error, trio.Cancelled)


def _during(error: BaseException, other: BaseException) -> BaseException:
    """The error as if all that led to it had begun while the other one was handled; never in a circle.

    A Cancelled on the way is the end: it tells of the fall, and less of it.
    """
    if _leads_to(other, error) or _leads_to(error, other):
        return error
    last, seen = error, [error]
    while (before := last.__context__) is not None and not isinstance(before, trio.Cancelled):
        if any(before is known for known in seen):
            break
        seen.append(before)
        last = before
    last.__context__ = other
    return error


def _leads_to(start: BaseException, goal: BaseException) -> bool:
    """Whether `goal` is inside or behind `start`."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [start]
    while waiting:
        error = waiting.pop()
        if error is goal:
            return True
        if error is None or any(error is known for known in seen):
            continue
        seen.append(error)
        waiting += [error.__cause__, error.__context__]
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
    return False
