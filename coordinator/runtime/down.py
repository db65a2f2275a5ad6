"""Who hears that an actor is stopped for good: other actors while they live, and waiting tasks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import trio

from .messages import Down

if TYPE_CHECKING:
    from .cell import Cell
    from .timers import Timers

__all__ = ["Teller", "Watching", "wait_down"]

Teller: TypeAlias = Callable[[str], None]


class Watching:
    """The actors one life watches. A notice is a timer due at once, and so comes past the queue;
    its key is the cell, so that two of one id do not replace each other."""

    __slots__ = ("_watched", "_watcher")

    def __init__(self, watcher: "Cell") -> None:
        self._watcher = watcher
        self._watched: set[Cell] = set()

    def watch(self, other: "Cell", timers: "Timers") -> None:
        """Bring one Down when the other is stopped for good; at once if it is."""

        def tell(reason: str) -> None:
            self._watched.discard(other)
            timers.set(other, trio.current_time(), Down(other.id, reason))
            self._watcher.bell.ring()

        if other.closed is not None:
            tell(other.closed)
        else:
            self._watched.add(other)
            _register(other, self, tell)

    def unwatch(self, other: "Cell", timers: "Timers") -> None:
        """Bring no Down, also not one that is on its way."""
        self._watched.discard(other)
        _forget(other, self)
        timers.cancel(other)

    def end(self) -> None:
        """The life is over and watches nobody."""
        for other in self._watched:
            _forget(other, self)
        self._watched.clear()


async def wait_down(cell: "Cell") -> str:
    """Wait until the actor is stopped for good; gives the reason."""
    if cell.closed is not None:
        await trio.lowlevel.checkpoint()
        return cell.closed or "down"
    heard, reasons = trio.Event(), list[str]()

    def tell(reason: str) -> None:
        reasons.append(reason)
        heard.set()

    _register(cell, heard, tell)
    try:
        await heard.wait()
    finally:
        _forget(cell, heard)
    return reasons[0]


def _register(cell: "Cell", who: object, tell: Teller) -> None:
    if cell.watchers is None:
        cell.watchers = {}
    cell.watchers[who] = tell


def _forget(cell: "Cell", who: object) -> None:
    if cell.watchers is not None:
        cell.watchers.pop(who, None)
