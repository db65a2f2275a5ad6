"""Which child the running task belongs to: how a request that waits for its own asker is recognised."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from .child import Child

__all__ = ["CURRENT", "running_child"]

CURRENT: "ContextVar[Child | None]" = ContextVar("CURRENT", default=None)


def running_child() -> "Child | None":
    """The child the running task belongs to: it is the child's own, or in a nursery below that one.

    A task that a child has started in a nursery further out inherits the variable and is not its own.
    """
    child = CURRENT.get()
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
    while child is not None and task is not None:
        if task is child.task:
            return child
        task = None if task.parent_nursery is None else task.parent_nursery.parent_task
    return None
