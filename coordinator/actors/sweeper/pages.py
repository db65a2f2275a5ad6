"""One page of a list, in parts where it is too long: a few long texts must not hide all the others."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from coordinator.errors import ForgeTooLong
from coordinator.rules.sweeping import Part

__all__ = ["PageRead", "in_parts"]


@dataclass(frozen=True, slots=True)
class PageRead:
    """`is_end`: nothing comes behind it. `too_long` are the single items that nobody can read."""

    is_end: bool
    too_long: int


async def in_parts(page: Part, read: Callable[[Part], Awaitable[bool]]) -> PageRead:
    """Have the page read, and where the answer is too long its parts, down to single items.

    `read` takes in what came, and tells whether the list ends there.
    """
    todo, too_long = [page], 0
    while todo:
        part = todo.pop()
        try:
            if await read(part):
                return PageRead(True, too_long)
        except ForgeTooLong:
            smaller = part.smaller()
            too_long += not smaller
            todo += reversed(smaller)
    return PageRead(False, too_long)
