"""The two leaves of a tree: what runs in a child's place when it is not a supervisor."""

from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any

import trio

from .cell import Cell
from .incarnation import Incarnation
from .reports import CrashReport

if TYPE_CHECKING:
    from .child import Child
    from .spec import ActorSpec, TaskSpec
    from .tree import Tree

__all__ = ["ActorBody", "Messageless", "TaskBody"]


class ActorBody:
    """An actor: the cell that lasts, and the incarnation of the moment."""

    __slots__ = ("cell", "child", "incarnation")

    kind = "actor"

    def __init__(self, child: "Child", spec: "ActorSpec", tree: "Tree") -> None:
        self.child = child
        self.cell = Cell(child, spec, tree)
        self.incarnation: Incarnation | None = None

    def run(self) -> Coroutine[Any, Any, None]:
        """One incarnation. No coroutine of its own, for each would have one as long as it lives."""
        self.incarnation = Incarnation(self.cell, self.child)
        return self.incarnation.run()

    def ask_stop(self, reason: str, *, final: bool) -> None:
        """End after the handler in progress; queued messages stay where they are."""
        self.cell.stop_asked = reason
        self.cell.bell.ring()

    @property
    def is_suspended(self) -> bool:
        """Whether it handles nothing until resumed."""
        return self.cell.is_suspended

    @property
    def jobs(self) -> trio.Nursery | None:
        """The nursery of its background tasks, if it lives."""
        return None if self.incarnation is None else self.incarnation.jobs

    @property
    def stragglers(self) -> Iterable[trio.lowlevel.Task]:
        """Background tasks that were cancelled and still run."""
        return () if self.incarnation is None else self.incarnation.stragglers

    def drain(self) -> None:
        """Handle what was accepted, then end."""
        self.cell.drain()

    def kill(self) -> None:
        """The scope is cancelled; a `terminate` in progress is cut, too."""
        if self.incarnation is not None:
            self.incarnation.cut_last_words()

    def crash_context(self) -> tuple[object | None, int, object | None, bool]:
        """What was in hand, if a handler is to blame; otherwise only that the crash is charged."""
        cell, envelope = self.cell, self.cell.in_flight
        broken = None if self.incarnation is None else self.incarnation.broken_item
        if broken is not None:
            return None, 1, broken, not cell.is_repeat(broken, 1)
        if self.incarnation is None or not self.incarnation.in_handler_crash or envelope is None:
            return None, 1, None, True
        charged = not cell.is_repeat(cell.item, envelope.attempt)
        return envelope.message, envelope.attempt, cell.item, charged

    def blame(self, report: CrashReport) -> None:
        """Charge the message or item in hand, if a handler crashed, or the item of a broken job."""
        if self.incarnation is None:
            return
        if self.incarnation.broken_item is not None:
            self.cell.blame_job(report)
        elif self.incarnation.in_handler_crash:
            self.cell.blame(report)

    def life_over(self) -> None:
        """Let the actor object go; its state dies here."""
        self.incarnation = None
        self.cell.life_over()

    def open(self) -> None:
        """References work."""
        self.cell.reopen()

    def close(self, reason: str) -> None:
        """References raise ActorDown; the queue is returned."""
        self.cell.close(reason)


class Messageless:
    """What tasks and supervisors have in common: no mailbox, and so no message to blame."""

    __slots__ = ()

    is_suspended = False
    jobs: trio.Nursery | None = None
    stragglers: Iterable[trio.lowlevel.Task] = ()

    def drain(self) -> None:
        """There is no mailbox to empty."""

    def crash_context(self) -> tuple[object | None, int, object | None, bool]:
        """Nothing is in hand; every crash is charged."""
        return None, 1, None, True

    def blame(self, report: CrashReport) -> None:
        """There is no message to blame."""

    def open(self) -> None:
        """There are no references to open."""


class TaskBody(Messageless):
    """An async function. It has no mailbox, so a stop is a cancellation and cleaning up is its own."""

    __slots__ = ("child", "spec")

    kind = "task"

    def __init__(self, child: "Child", spec: "TaskSpec") -> None:
        self.child = child
        self.spec = spec

    @trio.lowlevel.disable_ki_protection
    async def run(self) -> None:
        """The function's one run."""
        await self.spec.fn(*self.spec.args, task_status=self)

    def started(self, value: object = None) -> None:
        """The function is ready (trio.TaskStatus); the value serves nobody here."""
        self.child.mark_started()

    def ask_stop(self, reason: str, *, final: bool) -> None:
        """Cancel at once; `shutdown_s` is for its `finally` blocks."""
        self.child.scope.cancel()

    def kill(self) -> None:
        """Nothing is stronger than the cancellation it already has."""

    def life_over(self) -> None:
        """Nothing to forget."""

    def close(self, reason: str) -> None:
        """Nothing to close."""
