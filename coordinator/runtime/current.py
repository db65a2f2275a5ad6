"""Which child the running task belongs to: how a request that waits for its own asker is recognised."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from .child import Child

__all__ = ["CURRENT", "busy_child", "is_of", "running_child"]

CURRENT: "ContextVar[Child | None]" = ContextVar("CURRENT", default=None)


def running_child() -> "Child | None":
    """The child the running task belongs to: it is the child's own, or in a nursery below that one.

    A task that a child has started in a nursery further out inherits the variable and is not its own.
    """
    return _found(CURRENT.get(), None, trio.lowlevel.current_task())


def busy_child() -> "Child | None":
    """The child that cannot go on before the running task does: it is in its `init`, its handler or its
    last words, or in a nursery opened there. For a background task nobody waits."""
    child = CURRENT.get()
    return None if child is None else _found(child, child.body.jobs, trio.lowlevel.current_task())


def is_of(task: trio.lowlevel.Task, child: "Child") -> bool:
    """Whether the task is the child's own, or in a nursery below that one."""
    return _found(child, None, task) is not None


def _found(
    child: "Child | None", jobs: trio.Nursery | None, task: trio.lowlevel.Task | None
) -> "Child | None":
    while child is not None and task is not None:
        if task is child.task:
            return child
        nursery = task.parent_nursery
        task = None if nursery is None or nursery is jobs else nursery.parent_task
    return None
