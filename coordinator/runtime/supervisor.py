"""A supervisor's life: one loop that compares what should run with what does, and steps.

Every step is sync and the loop has a single await, the bell. So an admin request, a stop or another
crash is never stuck behind a slow start or stop, and the state is consistent whenever anybody looks.
A step judges the ends (`verdict`), presses who should end (`stop`), and lets those go down and come up
whose turn it is (`agenda`).
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from .agenda import Agenda, Turns
from .bell import Bell
from .bodies import Messageless
from .child import AfterStop, Child
from .end import FATAL
from .restart import Window
from .spec import DYNAMIC_CAP, SupervisorSpec
from .stop import break_off, press, settle
from .verdict import fail_start, is_charged, is_of_first_start, judge

if TYPE_CHECKING:
    from .spec import ChildSpec
    from .tree import Tree

__all__ = ["Supervisor"]


class Supervisor(Messageless):
    """A child's body that has children of its own. Like their places it outlives its own lives."""

    kind = "supervisor"

    def __init__(self, child: Child, spec: SupervisorSpec, tree: "Tree") -> None:
        self.child = child
        self.spec = spec
        self.tree = tree
        self.children: dict[str, Child] = {}
        self.window = Window(spec.intensity * (DYNAMIC_CAP if spec.is_dynamic else 1), spec.period_s)
        self.failure: BaseException | None = None
        self.stop_asked: str | None = None
        self.is_final = False
        self.hurry = False
        self.is_running = False
        self.is_first_start = True
        self.is_winding_up = False
        self.is_done = False
        self._nursery: trio.Nursery | None = None
        self._bell = Bell()
        self._ended: deque[Child] = deque()
        self._agenda = Agenda()
        self._starts = Turns()  # while children start one after the other
        self._stops = Turns(is_reversed=True)  # of a static supervisor
        self._awaited: list[Child] = []  # whom the start, or the wind-up, waits for
        self._orders = 0
        for inner in spec.children:
            self.add(inner, is_specified=True)

    # a life -----------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Start the children, keep them, stop them in reverse whatever happens."""
        self._plan_first_start(trio.current_time())
        async with trio.open_nursery() as self._nursery:
            try:
                await self._serve()
            except BaseException as exc:
                self.child.note_cause(exc)
                raise
            finally:
                with trio.CancelScope(shield=True):
                    await self._wind_up()
        if self.failure is not None:
            raise self.failure

    async def _serve(self) -> None:
        while True:
            wake_at = self._step(trio.current_time())
            is_over = self.is_done and not self.is_first_start  # a start is finished first, as in OTP
            if self.stop_asked is not None or self.failure is not None or is_over:
                return
            if self.is_first_start and self._is_everybody_settled():
                self._end_first_start()
                continue
            await self._bell.wait(wake_at)

    async def _wind_up(self) -> None:
        self.is_winding_up = True
        try:
            self._plan_wind_up()
            wake_at = self._step(trio.current_time())
            while not self._is_everybody_down():
                await self._bell.wait(wake_at)
                wake_at = self._step(trio.current_time())
        except BaseException as exc:
            self.child.note_cause(exc)
            await break_off(self.children, self._bell)
            settle(self.children.values(), self.put_down)
            raise
        finally:
            if any(c.is_alive for c in self.children.values()):
                self.child.mark_held(self.failure)

    def _plan_first_start(self, now: float) -> None:
        self.is_running = self.is_first_start = True
        self.is_winding_up = self.is_done = False
        self.failure = None
        self._forget_plans()
        self.window.clear()
        wanted = {inner.id: inner for inner in self.spec.children}
        for child in [c for c in self.children.values() if wanted.get(c.id) is not c.spec]:
            self.remove(child, "its supervisor was restarted")
        known, self.children = self.children, {}
        for inner in self.spec.children:
            child = known.get(inner.id) or self.add(inner, is_specified=True)
            self._orders += 1
            child.order = self._orders
            self.children[child.id] = child  # in the order of the specification, also one that had gone
            child.ever_settled = child.is_requested = False
            self.plan_start(child, now)
        self._awaited = list(reversed(self.children.values()))

    def _end_first_start(self) -> None:
        self.is_first_start = False
        for child in self._starts:
            self.touched(child)  # some strategies let them go all at once from here on
        self.child.mark_started()

    def _plan_wind_up(self) -> None:
        self._awaited = list(self.children.values())
        for child in self._awaited:
            self._mark_leaving(child, "stopped", self.stop_asked or "shutdown")
        if self.spec.is_dynamic:
            for child in self._awaited:
                self._agenda.note(child)
        else:
            for child in reversed(self._awaited):
                self._stops.add(child)

    def _is_everybody_settled(self) -> bool:
        """Whether each specified child has been tried. Looks at each of them once in all."""
        while self._awaited and self._awaited[-1].ever_settled:
            self._awaited.pop()
        return not self._awaited

    def _is_everybody_down(self) -> bool:
        """Whether only zombies are left. Looks at each child once in all."""
        while self._awaited and (not self._awaited[-1].is_alive or self._awaited[-1].is_zombie):
            self._awaited.pop()
        return not self._awaited

    def _forget_plans(self) -> None:
        self._ended.clear()
        self._agenda.clear()
        self._starts.clear()
        self._stops.clear()
        self._awaited.clear()

    # one step ---------------------------------------------------------------------------------

    def _step(self, now: float) -> float:
        """Take every step that can be taken now; gives the time of the next one."""
        self._look_around(now)
        while self._ended or self._agenda.has_news:
            self._look_around(now)
        return self._agenda.next_time()

    def _look_around(self, now: float) -> None:
        while self._ended:
            self._on_end(self._ended.popleft(), now)
        changed = self._agenda.take(now)
        for child in changed:
            self._press(child, now)
        self._advance_stops(changed, now)
        self._advance_starts(changed, now)
        for child in changed:
            self._expect(child, now)

    def _on_end(self, child: Child, now: float) -> None:
        end, child.end = child.end, None
        if end is None or self.children.get(child.id) is not child:
            return
        self._agenda.note(child)
        judge(self, child, end, now)

    def _press(self, child: Child, now: float) -> None:
        press(child, now, hurry=self.hurry)
        if not child.is_zombie:
            return
        if is_of_first_start(self, child):
            fail_start(self, child, child.cause or child.forced_error)
        if isinstance(child.cause, FATAL):
            self.fail(child.cause)

    def _expect(self, child: Child, now: float) -> None:
        """Look at it again when its time comes; one whose time has come waits for its turn."""
        due = child.next_time
        self._agenda.look_at(child, due if due > now else math.inf)

    def _advance_stops(self, changed: Sequence[Child], now: float) -> None:
        if self.spec.is_dynamic:
            for child in reversed(changed):
                self._advance_stop(child, now)
            return
        for child in changed:
            if _is_leaving(child):
                self._stops.add(child)
        while (leaving := self._stops.first(_is_leaving)) is not None:
            self._advance_stop(leaving, now)
            if _is_leaving(leaving):
                return  # the next one goes when it is down

    def _advance_stop(self, child: Child, now: float) -> None:
        """Take the next step of a stop that is wanted."""
        if not _is_leaving(child):
            return
        if child.is_alive and child.status != "stopping":
            child.ask_stop(now, final=self._is_final_for(child))
            press(child, now, hurry=self.hurry)
            self._expect(child, now)
        elif not child.is_alive and child.end is None:
            self.put_down(child)

    def _advance_starts(self, changed: Sequence[Child], now: float) -> None:
        if self.is_winding_up or self.failure is not None or self.stop_asked is not None:
            return
        coming = [child for child in changed if _is_coming(child)]
        if not self._is_gated():
            for child in sorted(coming, key=lambda c: c.order):
                self._begin_if_due(child, now)
            return
        for child in coming:
            self._starts.add(child)
        if self._stops.first(_is_leaving) is None:
            first = self._starts.first(_is_coming)
            if first is not None:
                self._begin_if_due(first, now)

    def _is_gated(self) -> bool:
        """Whether children start one after the other."""
        return not self.spec.is_dynamic and (self.is_first_start or self.spec.strategy != "one_for_one")

    def _begin_if_due(self, child: Child, now: float) -> None:
        if child.status == "restarting" and child.due <= now and not child.stop_wanted:
            assert self._nursery is not None  # open while anything can start
            child.begin(now)
            self._nursery.start_soon(child.live, name=child.path)
            self._expect(child, now)

    def _is_final_for(self, child: Child) -> bool:
        return self.is_final if self.is_winding_up else child.after_stop != "restarting"

    # what a verdict, or an admin verb, leads to ---------------------------------------------------

    @property
    def takes_requests(self) -> bool:
        """Whether there is a loop that would act on a request to start somebody."""
        return self.is_running and not self.is_winding_up and self.stop_asked is None

    def add(self, spec: "ChildSpec", *, is_specified: bool = False) -> Child:
        """A new place, registered and not yet started."""
        self._orders += 1
        child = self.tree.adopt(spec, self, self.child.path, self._orders)
        child.is_specified = is_specified
        if self.spec.is_dynamic:
            child.window = Window(self.spec.intensity, self.spec.period_s)
        self.children[spec.id] = child
        return child

    def remove(self, child: Child, reason: str) -> None:
        """The place and its name are gone; references to it are down."""
        self.children.pop(child.id, None)
        self._agenda.forget(child)
        self.tree.forget(child)
        if child.is_specified:
            self.tree.reserve(child.spec, self)  # it comes back when this supervisor is restarted
        child.body.close(reason)
        child.become("stopped")

    def plan_start(self, child: Child, now: float) -> None:
        """Start it at the next step, in its turn."""
        child.stop_wanted = False
        child.streak = 0
        self.want(child, now)

    def want(self, child: Child, due: float) -> None:
        """Start it when it is due, in its turn."""
        child.due = due
        child.become("restarting")
        self.touched(child)

    def plan_stop(self, child: Child, after: AfterStop, reason: str, *, drains: bool = False) -> None:
        """Stop it at the next step, in its turn; a second request changes only what comes after.

        With `drains` it handles first what it has accepted; a plain stop overtakes that.
        """
        self._mark_leaving(child, after, reason, drains=drains)
        self.touched(child)

    def _mark_leaving(
        self, child: Child, after: AfterStop, reason: str, *, drains: bool = False
    ) -> None:
        if not child.stop_wanted:
            child.stop_reason = reason
            child.drains = drains
        elif child.drains and not drains:
            child.drains = False
            if child.status == "stopping" and child.is_alive:
                child.body.ask_stop(reason, final=True)
        child.stop_wanted = True
        child.after_stop = after

    def put_down(self, child: Child) -> None:
        """A child that was to stop is down: what was to come after comes now."""
        child.stop_wanted = False
        if child.after_stop == "restarting" and not self.is_winding_up:
            self.want(child, child.due)
            return
        is_unborn = child.is_requested and not child.ever_settled
        child.ever_settled = True
        if child.after_stop == "removed" or is_unborn:  # a start by hand that failed leaves nothing
            self.remove(child, child.stop_reason)
        else:
            child.become("failed" if child.status == "failed" else "stopped")
            if self._is_final_for(child):
                child.body.close(child.stop_reason)

    def fail(self, error: BaseException | None) -> None:
        """Go down with this error. The first one stays, but for one that must end the program."""
        if self.failure is None or (isinstance(error, FATAL) and not isinstance(self.failure, FATAL)):
            self.failure = error

    # Owner and Body -----------------------------------------------------------------------------

    def touched(self, child: Child) -> None:
        """Look at the child at the next step."""
        self._agenda.note(child)
        self._bell.ring()

    def ended(self, child: Child) -> None:
        """Judge the child's end at the next step."""
        self._ended.append(child)
        self._bell.ring()

    def charges(self, child: Child) -> bool:
        """Whether a crash of the child now costs the budget."""
        return is_charged(self, child)

    def ask_stop(self, reason: str, *, final: bool) -> None:
        """Stop everything in order; asked again it changes nothing."""
        if self.stop_asked is None:
            self.stop_asked = reason
            self.is_final = final
        self._bell.ring()

    def kill(self) -> None:
        """Skip the deadlines: the order stays, the waiting goes."""
        if not self.hurry:
            self.hurry = True
            for child in self.children.values():
                if child.status == "stopping":
                    self._agenda.note(child)
        self.ask_stop("shutdown", final=self.is_final)

    def life_over(self) -> None:
        """Ready for another life."""
        self.is_running = False
        self.stop_asked = None
        self.hurry = self.is_final = False
        self._forget_plans()
        settle(self.children.values(), self.put_down)

    def close(self, reason: str) -> None:
        """No other life: the same holds for everything below."""
        for child in self.children.values():
            child.body.close(reason)


def _is_leaving(child: Child) -> bool:
    return child.stop_wanted and not child.is_zombie


def _is_coming(child: Child) -> bool:
    return child.status in ("restarting", "starting")
