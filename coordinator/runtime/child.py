"""One place under a supervisor: what runs there, in which state, and how its lives end.

It survives the lives it hosts. It decides nothing: the supervisor does.
"""

import math
import random
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

import trio

from .crash import crash_report
from .current import CURRENT
from .end import FATAL, End, fatal_in, is_cancellation, sole
from .errors import Ignore
from .messages import brief_text
from .reports import CrashReport, LastError, ZombieReport
from .restart import Window, backoff_delay_s, quiet_s
from .stacks import Stacks
from .stop import GRACE_S

if TYPE_CHECKING:
    from .spec import ChildSpec
    from .tree import Tree

__all__ = ["AfterStop", "Body", "Child", "Owner", "Shown", "Status"]

Status = Literal["starting", "running", "restarting", "stopping", "stopped", "failed", "zombie"]
Shown = Status | Literal["suspended"]
AfterStop = Literal["restarting", "stopped", "removed"]
Phase = Literal["start", "run", "stop", "terminate"]


class Body(Protocol):
    """What can run in a child's place: an actor, a task, a supervisor."""

    kind: str

    @property
    def is_suspended(self) -> bool:
        """Whether it runs and handles nothing."""

    @property
    def jobs(self) -> trio.Nursery | None:
        """Where its background tasks run: nobody inside waits for them."""

    @property
    def stragglers(self) -> Iterable[trio.lowlevel.Task]:
        """Background tasks that were cancelled and still run."""

    async def run(self) -> None:
        """One life. Calls `Child.mark_started` when ready; raises what broke it."""

    def ask_stop(self, reason: str, *, final: bool) -> None:
        """End soon; `final` when no restart will follow."""

    def drain(self) -> None:
        """Take nothing more and end when everything accepted is handled; only actors are asked to."""

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

    def charges(self, child: "Child") -> bool:
        """Whether a crash of it now is answered by a restart: no other costs the budget."""


class Child:
    """The place, its status and its record. Slots, because a tree may have a hundred thousand.

    starting     alive, its body is not ready; `is_killed` once the time for that is up
    running      alive and ready; with `stop_wanted` its turn to be asked has not come yet
    stopping     alive, asked to end, or (without `stop_wanted`) leaving unasked
    restarting   not alive, to be started at `due`; a first start waits in this state, too
    stopped      not alive, and nobody wants it up; `failed`: the same after an abnormal end
    zombie       alive, given up

    `end` is set from the end of a life until the supervisor's next step has judged it. `after_stop`
    says what follows a stop that is wanted. `is_requested`: a verb waits for this start, which fails
    alone. `cause`: what is known to end this life before it has ended, or kept it from starting.
    `ever_settled`: it has been up, or was tried, since its supervisor began.
    """

    __slots__ = (
        "after_stop", "body", "cause", "deadline", "drains", "due", "end", "ever_settled",
        "forced_error", "id", "incarnation", "is_alive", "is_held", "is_killed", "is_reported",
        "is_requested", "is_specified", "last_error", "order", "owner", "path", "restarts", "scope",
        "spec", "started_at", "status", "stop_reason", "stop_wanted", "streak", "task", "tree",
        "watchers", "window",
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
        self.watchers: tuple[trio.Event, ...] = ()  # empty it costs nothing, and it seldom is not
        self.is_requested = False
        self.is_specified = False
        self.ever_settled = False
        self.due = 0.0
        self._reset()

    def _reset(self) -> None:
        self.scope = trio.CancelScope(shield=True)
        self.task: trio.lowlevel.Task | None = None
        self.end: End | None = None
        self.cause: BaseException | None = None
        self.forced_error: BaseException | None = None
        self.started_at: float | None = None
        self.stop_wanted = False
        self.drains = False
        self.stop_reason = "shutdown"
        self.after_stop: AfterStop = "stopped"
        self.is_alive = False
        self.is_killed = False
        self.is_held = False
        self.is_reported = False
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
        self.end = end = self._end_of(error)
        try:
            if end.error is not None and not end.is_fatal:
                end.charged = self._report(end.error)
            self.body.life_over()
            if end.error is None or not self.is_requested:
                self.cause = None  # its end says it, and its frames are not kept
        finally:  # a supervisor that is never told would wait for ever
            self.is_alive = False
            self.task = None
            self.owner.ended(self)
        self.tree.tell(self.tree.hooks.stopped, self.id, self._end_reason(end))

    def _end_of(self, error: BaseException | None) -> End:
        declined = error if isinstance(error, Ignore) and self.started_at is None else None
        if declined is not None or error is None:
            forced = self.cause or self.forced_error
            if declined is not None and (forced is None or forced is declined):
                return End(None, ignored=brief_text(declined))
            error = forced
        if error is None and self.started_at is None and not self._is_asked():
            error = RuntimeError(f"{self.id} ended before it was ready")
        return End(error)

    def _is_asked(self) -> bool:
        return self.stop_wanted or self.scope.cancel_called

    def _end_reason(self, end: End) -> str:
        if end.error is not None:
            return "crash"
        if end.ignored is not None:
            return "ignored"
        return self.stop_reason if self.stop_wanted else "normal"

    def mark_started(self) -> None:
        """The body is ready. One that swallowed its cancellation on the way is not: it is late."""
        if self.started_at is not None or self.is_killed:
            return
        self.started_at = trio.current_time()
        self.ever_settled = True
        self.is_requested = False
        if self.status == "starting":
            self.become("running")
        self.tree.tell(self.tree.hooks.started, self.id, self.incarnation)
        if self.incarnation > 1:
            self.tree.tell(self.tree.hooks.restarted, self.id, self.incarnation)
        self.owner.touched(self)

    def mark_leaving(self, now: float) -> None:
        """The life ends unasked: what is left of it, its last words too, is on the ladder from here."""
        if self.is_killed or self.status not in ("starting", "running"):
            return
        latest = math.inf if self.status == "running" else self.deadline
        self.deadline = min(latest, now + self.spec.shutdown_s)
        if self.status == "running":
            self.become("stopping")
        self.owner.touched(self)

    def mark_held(self, error: BaseException | None) -> None:
        """The body is done but cannot leave: something inside it ignores its cancellation."""
        self.note_cause(error)
        self.is_held = True
        self.owner.touched(self)

    def note_cause(self, error: BaseException | None) -> None:
        """This life will end by the error. The first one stays, but for what must end the program."""
        if error is None or is_cancellation(error):
            return
        known = fatal_in(error) or sole(error)
        if self.cause is None or isinstance(known, FATAL):
            self.cause = known

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
        charged = is_charged and self.owner.charges(self)
        report = self._crash_report(error, self._phase(), charged=charged)
        self.tree.tell(self.tree.hooks.crashed, report)
        self.body.blame(report)
        return charged

    def _phase(self) -> Phase:
        if self.started_at is None:
            return "start"
        return "stop" if self.stop_wanted else "run"

    def _crash_report(self, error: BaseException, phase: Phase, *, charged: bool) -> CrashReport:
        return crash_report(self, error, self.note_error(error), phase, charged=charged)

    @property
    def shown(self) -> Shown:
        """The status as who looks should see it."""
        is_suspended = self.status == "running" and self.body.is_suspended
        return "suspended" if is_suspended else self.status

    @property
    def is_zombie(self) -> bool:
        """It was given up and still runs."""
        return self.status == "zombie"

    @property
    def is_coming(self) -> bool:
        """Whether it is on its way up, or down only to come up again with its group."""
        if self.stop_wanted:
            return self.after_stop == "restarting" and not self.is_zombie
        return self.status in ("restarting", "starting")

    @property
    def next_time(self) -> float:
        """When the supervisor must look at it again if nothing happens before."""
        if self.status == "restarting":
            return self.due
        return self.deadline if self.status in ("starting", "stopping") else math.inf

    # what the supervisor does to it ---------------------------------------------------------------

    def become(self, status: Status) -> None:
        """Change the status and wake whoever watches it."""
        self.status = status
        watchers, self.watchers = self.watchers, ()
        for watcher in watchers:
            watcher.set()

    async def changed(self) -> None:
        """Wait for the next change of status."""
        event = trio.Event()
        self.watchers = (*self.watchers, event)
        try:
            await event.wait()
        finally:
            if event in self.watchers:  # whoever waited has given up
                self.watchers = tuple(other for other in self.watchers if other is not event)

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
        if self.drains:
            self.body.drain()
        else:
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
        if not self.is_alive or self.forced_error is not None:
            return
        self.forced_error = error
        if self.status == "running":
            self.become("stopping")
        if not self.is_killed and not self.is_zombie:
            self.kill(trio.current_time())
            self.owner.touched(self)

    def give_up(self) -> None:
        """Last rung: name the survivor and go on without it."""
        self.become("zombie")
        if self.cause is not None:
            self.note_error(self.cause)  # its end, and so its report, may never come
        self.report_survivor()

    def report_survivor(self) -> None:
        """Tell once that it ignores its cancellation, and where."""
        if self.is_reported:
            return
        self.is_reported = True
        self.tree.report_zombie(ZombieReport(self.id, self.path, self.incarnation, self.await_stack()))

    def await_stack(self) -> tuple[str, ...]:
        """Where the task waits, outermost first, as "file:function:line"; then where background tasks
        do that ignore their cancellation."""
        tasks = [self.task, *self.body.stragglers]
        return tuple(place for task in tasks for place in Stacks().of(task))
