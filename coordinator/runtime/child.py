"""One place under a supervisor: what runs there, in which state, and how its lives end.

It survives the lives it hosts. It decides nothing: the supervisor does.
"""

import math
import random
import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

import trio

from .current import CURRENT
from .messages import brief
from .reports import CrashReport, LastError, ZombieReport
from .restart import Window, backoff_delay_s, quiet_s

if TYPE_CHECKING:
    from .spec import ChildSpec
    from .tree import Tree

__all__ = [
    "GRACE_S",
    "AfterStop",
    "Body",
    "Child",
    "End",
    "Owner",
    "Status",
    "brief_text",
    "fatal_in",
    "sole",
]

Status = Literal["starting", "running", "restarting", "stopping", "stopped", "failed", "zombie"]
AfterStop = Literal["restarting", "stopped", "removed"]
Phase = Literal["start", "run", "stop", "terminate"]

# What a cancelled task may take to unwind; one that takes longer is ignoring the cancellation.
GRACE_S = 1.0
# Enough for a deep stack with notes; a recursion error would fill megabytes.
TRACEBACK_CHARS = 8000
# These end the program and are nobody's to restart after.
FATAL = (KeyboardInterrupt, SystemExit, GeneratorExit, trio.TrioInternalError)


class Body(Protocol):
    """What can run in a child's place: an actor, a task, a supervisor."""

    kind: str

    async def run(self) -> None:
        """One life. Calls `Child.mark_started` when ready; raises what broke it."""

    def ask_stop(self, reason: str, *, final: bool) -> None:
        """End soon; `final` when no restart will follow."""

    def kill(self) -> None:
        """End now."""

    def crash_context(self) -> tuple[object | None, int, object | None, bool]:
        """(message in hand, attempt, item, whether a crash now is charged to the restart budget)."""

    def blame(self, report: CrashReport) -> None:
        """Book the crash on what was in hand."""

    def life_over(self) -> None:
        """The life has ended; forget what belonged to it."""

    def open(self) -> None:
        """Another life begins."""

    def close(self, reason: str) -> None:
        """There will be no other life."""


class Owner(Protocol):
    """Who is told about a child: its supervisor, or the tree for the root."""

    def touched(self, child: "Child") -> None:
        """Its state has changed."""

    def ended(self, child: "Child") -> None:
        """A life of it has ended, see `Child.end`."""


class End:
    """How a life ended. `charged`: whether a restart after it costs the budget."""

    __slots__ = ("charged", "error", "is_fatal")

    def __init__(self, error: BaseException | None, *, charged: bool = True) -> None:
        self.error = error
        self.charged = charged
        self.is_fatal = error is not None and isinstance(error, FATAL)


class Child:
    """The place, its status and its record. Slots, because a tree may have a hundred thousand."""

    __slots__ = (
        "after_stop",
        "body",
        "deadline",
        "due",
        "end",
        "ever_settled",
        "forced_error",
        "id",
        "incarnation",
        "is_alive",
        "is_held",
        "is_killed",
        "is_requested",
        "last_error",
        "order",
        "owner",
        "path",
        "restarts",
        "scope",
        "spec",
        "start_error",
        "started_at",
        "status",
        "stop_reason",
        "stop_wanted",
        "streak",
        "task",
        "tree",
        "watchers",
        "window",
    )  # fmt: skip

    body: Body

    def __init__(
        self, spec: "ChildSpec", owner: Owner, tree: "Tree", parent_path: str, order: int
    ) -> None:
        self.spec = spec
        self.id = spec.id
        self.path = f"{parent_path}/{spec.id}" if parent_path else spec.id
        self.owner = owner
        self.tree = tree
        self.order = order
        self.status: Status = "stopped"
        self.incarnation = 0
        self.restarts = 0
        self.streak = 0
        self.window: Window | None = None  # only where the budget is per child
        self.last_error: LastError | None = None
        self.watchers: list[trio.Event] = []
        self.is_requested = False
        self.ever_settled = False
        self.due = 0.0
        self._reset()

    def _reset(self) -> None:
        self.scope = trio.CancelScope(shield=True)
        self.task: trio.lowlevel.Task | None = None
        self.end: End | None = None
        self.start_error: BaseException | None = None
        self.forced_error: BaseException | None = None
        self.started_at: float | None = None
        self.stop_wanted = False
        self.stop_reason = "shutdown"
        self.after_stop: AfterStop = "stopped"
        self.is_alive = False
        self.is_killed = False
        self.is_held = False
        self.deadline = math.inf

    # a life -----------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Set up the next life; `live` must be running soon after."""
        self._reset()
        self.is_alive = True
        self.incarnation += 1
        self.deadline = now + self.spec.start_timeout_s
        self.body.open()
        self.become("starting")

    @trio.lowlevel.enable_ki_protection
    async def live(self) -> None:
        """One life, as a task of the supervisor's nursery. Never raises: the owner reads `end`."""
        self.task = trio.lowlevel.current_task()
        CURRENT.set(self)
        error: BaseException | None = None
        try:
            with self.scope:
                await self.body.run()
        except BaseException as exc:  # noqa: BLE001  the one broad barrier; every end becomes a fact
            error = fatal_in(exc) or sole(exc)
        self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        if error is None:
            error = self.start_error or self.forced_error
        if error is None and self.started_at is None and not self._is_asked():
            error = RuntimeError(f"{self.id} ended before it was ready")
        end = End(error)
        if error is not None and not end.is_fatal:
            end.charged = self._report(error)
        self.body.life_over()
        self.end = end
        self.is_alive = False
        self.task = None
        self.tree.tell(self.tree.hooks.stopped, self.id, self._end_reason(error))
        self.owner.ended(self)

    def _is_asked(self) -> bool:
        return self.stop_wanted or self.scope.cancel_called

    def _end_reason(self, error: BaseException | None) -> str:
        if error is not None:
            return "crash"
        return self.stop_reason if self._is_asked() else "normal"

    def mark_started(self) -> None:
        """The body is ready."""
        if self.started_at is not None:
            return
        self.started_at = trio.current_time()
        self.ever_settled = True
        self.is_requested = False
        if self.status == "starting" and not self.is_killed:
            self.become("running")
        self.tree.tell(self.tree.hooks.started, self.id, self.incarnation)
        if self.incarnation > 1:
            self.tree.tell(self.tree.hooks.restarted, self.id, self.incarnation)
        self.owner.touched(self)

    def mark_leaving(self, now: float) -> None:
        """A life that ends unasked says its last words; the ladder watches them, too."""
        if self.status == "running":
            self.deadline = now + self.spec.shutdown_s
            self.become("stopping")
            self.owner.touched(self)

    def mark_held(self) -> None:
        """The body is done but cannot leave: something inside it ignores its cancellation."""
        self.is_held = True
        self.owner.touched(self)

    # reports ------------------------------------------------------------------------------------

    def note_error(self, error: BaseException) -> LastError:
        """Remember the error without its frames."""
        at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
        self.last_error = LastError(type(error).__name__, brief_text(error), at)
        return self.last_error

    def report_terminate_error(self, error: BaseException) -> None:
        """Tell of an error in `terminate`; it changes nothing else."""
        self.tree.tell(self.tree.hooks.crashed, self._crash_report(error, "terminate", charged=False))

    def _report(self, error: BaseException) -> bool:
        """Tell of a crash and book it; gives whether it is charged to the budget."""
        _, _, _, is_charged = self.body.crash_context()
        charged = is_charged and not self.stop_wanted
        report = self._crash_report(error, self._phase(), charged=charged)
        self.tree.tell(self.tree.hooks.crashed, report)
        self.body.blame(report)
        return charged

    def _phase(self) -> Phase:
        if self.started_at is None:
            return "start"
        return "stop" if self.stop_wanted else "run"

    def _crash_report(self, error: BaseException, phase: Phase, *, charged: bool) -> CrashReport:
        message, attempt, item, _ = self.body.crash_context()
        return CrashReport(
            id=self.id,
            path=self.path,
            incarnation=self.incarnation,
            phase=phase,
            error=self.note_error(error),
            traceback="".join(traceback.format_exception(error))[-TRACEBACK_CHARS:],
            message=None if message is None else brief(message),
            attempt=attempt,
            item=item,
            charged=charged,
            restarts=self.restarts,
            mailbox_depth=self.tree.depth_of(self),
        )

    @property
    def is_zombie(self) -> bool:
        """It was given up and still runs."""
        return self.status == "zombie"

    @property
    def is_busy(self) -> bool:
        """Whether the supervisor still has something to do about it."""
        in_between = self.status in ("starting", "restarting", "stopping", "zombie")
        return in_between or self.stop_wanted or self.is_held

    @property
    def next_time(self) -> float:
        """When the supervisor must look at it again if nothing happens before."""
        if self.is_zombie:
            return math.inf
        return self.due if self.status == "restarting" else self.deadline

    # what the supervisor does to it ---------------------------------------------------------------

    def become(self, status: Status) -> None:
        """Change the status and wake whoever watches it."""
        self.status = status
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher.set()

    async def changed(self) -> None:
        """Wait for the next change of status."""
        event = trio.Event()
        self.watchers.append(event)
        await event.wait()

    def next_delay_s(self, now: float) -> float:
        """Book one more restart in a row and give the wait before it; a quiet time ends the row."""
        backoff = self.spec.backoff
        quiet = quiet_s(min_s=backoff.min_s, max_s=backoff.max_s)
        if self.started_at is not None and now - self.started_at >= quiet:
            self.streak = 0
        self.streak += 1
        self.restarts += 1
        roll = random.random()  # noqa: S311  spreads restarts, guards nothing
        return backoff_delay_s(
            self.streak, min_s=backoff.min_s, max_s=backoff.max_s, jitter=backoff.jitter, roll=roll
        )

    def ask_stop(self, now: float, *, final: bool) -> None:
        """First rung of the ladder: end in your own time, up to the deadline."""
        was_starting = self.status == "starting"
        self.deadline = now + self.spec.shutdown_s
        self.become("stopping")
        self.body.ask_stop(self.stop_reason, final=final)
        if was_starting and self.body.kind != "supervisor":
            self.kill(now)  # nothing is in hand yet, and an init may take half a minute

    def kill(self, now: float) -> None:
        """Second rung: cancel."""
        if self.body.kind != "supervisor":
            self.is_killed = True
            self.deadline = now + GRACE_S
            self.scope.cancel()
        self.body.kill()

    def end_with(self, error: BaseException) -> None:
        """End this life now, abnormally and without last words; its owner decides what follows."""
        if self.is_alive and self.forced_error is None:
            self.forced_error = error
            self.scope.cancel()
            self.body.kill()

    def give_up(self) -> None:
        """Last rung: name the survivor and go on without it."""
        self.become("zombie")
        self.tree.report_zombie(ZombieReport(self.id, self.path, self.incarnation, self.await_stack()))

    def await_stack(self) -> tuple[str, ...]:
        """Where the task waits, outermost first, as "file:function:line"."""
        if self.task is None:
            return ()
        return tuple(
            f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_code.co_name}:{line}"
            for frame, line in self.task.iter_await_frames()
        )


def sole(error: BaseException) -> BaseException:
    """The one error inside nested groups of one; a group of several stays."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def fatal_in(error: BaseException) -> BaseException | None:
    """The error inside that must end the program, if there is one."""
    if isinstance(error, FATAL):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(fatal_in, error.exceptions)), None)
    return None


def brief_text(error: BaseException) -> str:
    """The error's own words, bounded like a message's repr."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  reports must come out whatever an error's __str__ does
        text = "<no message: its __str__ raised>"
    return text if len(text) <= 2000 else text[:1999] + "…"
