"""A supervisor's life: one loop that compares what should run with what does, and steps.

Every step is sync and the loop has a single await, the bell. So an admin request, a stop or another
crash is never stuck behind a slow start or stop, and the state is consistent whenever anybody looks.
"""

import math
from collections import deque
from typing import TYPE_CHECKING

import trio

from .bell import Bell
from .bodies import Messageless
from .child import AfterStop, Child
from .errors import ReachedMaxIntensity, start_failed
from .restart import Window, is_restarted, sharing_fate
from .spec import DYNAMIC_CAP, SupervisorSpec
from .stop import press, settle

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
        self._nursery: trio.Nursery | None = None
        self._bell = Bell()
        self._ended: deque[Child] = deque()
        self._busy: dict[Child, None] = {}
        self._orders = 0
        self._coming: deque[Child] = deque()  # of a static first start, whose turn has not come
        self._leaving: list[Child] = []  # of a static wind-up, likewise, the next one last
        self._is_first_start = True
        self._is_winding_up = False
        self._is_done = False
        for inner in spec.children:
            self.add(inner)

    # a life -----------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Start the children, keep them, stop them in reverse whatever happens."""
        self._plan_first_start(trio.current_time())
        async with trio.open_nursery() as self._nursery:
            try:
                await self._serve()
            finally:
                with trio.CancelScope(shield=True):
                    await self._wind_up()
        if self.failure is not None:
            raise self.failure

    async def _serve(self) -> None:
        while True:
            wake_at = self._step(trio.current_time())
            if self.stop_asked is not None or self.failure is not None or self._is_done:
                return
            if (
                self._is_first_start
                and not self._coming
                and all(c.ever_settled for c in self.children.values())
            ):
                self._is_first_start = False
                self.child.mark_started()
                continue
            await self._bell.wait(wake_at)

    async def _wind_up(self) -> None:
        self._is_winding_up = True
        try:
            for child in self.children.values():
                self._mark_leaving(child, "stopped", self.stop_asked or "shutdown")
            if self.spec.is_dynamic:
                self._busy.update(dict.fromkeys(self.children.values()))
            else:
                self._leaving = list(self.children.values())
            wake_at = self._step(trio.current_time())
            while any(c.is_alive and c.status != "zombie" for c in self._busy):
                await self._bell.wait(wake_at)
                wake_at = self._step(trio.current_time())
        except BaseException:
            for child in self.children.values():
                if child.is_alive:
                    child.kill(trio.current_time())
            raise
        if any(c.is_alive for c in self.children.values()):
            self.child.mark_held()

    def _plan_first_start(self, now: float) -> None:
        self.is_running = True
        self._is_first_start = True
        self._is_winding_up = self._is_done = False
        self.failure = None
        self._busy.clear()
        self._ended.clear()
        self._coming.clear()
        self.window.clear()
        wanted = {inner.id: inner for inner in self.spec.children}
        for child in [c for c in self.children.values() if c.id not in wanted]:
            self.remove(child, "its supervisor was restarted")
        known, self.children = self.children, {}
        for inner in self.spec.children:
            child = known.get(inner.id) or self.add(inner)
            self._orders += 1
            child.order = self._orders
            self.children[child.id] = child  # in the order of the specification, also one that had gone
            child.ever_settled = child.is_requested = False
            self.plan_start(child, now)
        if not self.spec.is_dynamic:
            self._busy.clear()
            self._coming.extend(self.children.values())

    # one step ---------------------------------------------------------------------------------

    def _step(self, now: float) -> float:
        """Take every step that can be taken now; gives the time of the next one."""
        while self._ended:
            self._on_end(self._ended.popleft(), now)
        busy = self._busy_in_order()
        for child in busy:
            self._press(child, now)
        self._advance_stops(busy, now)
        self._advance_starts(now)
        return self._next_time(now)

    def _busy_in_order(self) -> list[Child]:
        for child in [c for c in self._busy if not c.is_busy]:
            del self._busy[child]
        if self.spec.is_dynamic:
            return list(self._busy)
        return sorted(self._busy, key=lambda c: c.order)

    def _press(self, child: Child, now: float) -> None:
        press(child, now, hurry=self.hurry)
        if child.status == "zombie" and self._is_starting_up(child):
            self._fail_start(child, child.start_error)

    def _advance_stops(self, busy: list[Child], now: float) -> None:
        for child in reversed(busy):
            if self._leaving and child.order <= self._leaving[-1].order:
                break  # its turn is still to come
            if self._is_awaited_after_stop(child, now):
                return
        while self._leaving:
            child = self._leaving.pop()
            self._busy[child] = None
            if self._is_awaited_after_stop(child, now):
                return

    def _is_awaited_after_stop(self, child: Child, now: float) -> bool:
        """Take the next step of a stop that is wanted; whether the others must wait for its end."""
        if not child.stop_wanted or child.status == "zombie":
            return False
        if child.status != "stopping" and child.is_alive:
            child.ask_stop(now, final=self._is_final_for(child))
            press(child, now, hurry=self.hurry)
        elif not child.is_alive and child.end is None:
            self._put_down(child)
        return not self.spec.is_dynamic and child.is_alive and not child.is_zombie

    def _advance_starts(self, now: float) -> None:
        if self._is_winding_up or self.failure is not None or self.stop_asked is not None:
            return
        while self._coming and self._coming[0].status != "restarting":
            self._coming.popleft()
        if self._coming:
            self._busy[self._coming[0]] = None
        busy = self._busy_in_order()
        is_gated = self._is_gated()
        if is_gated and any(c.stop_wanted and c.status != "zombie" for c in busy):
            return
        for child in busy:
            if child.status == "restarting" and child.due <= now and not child.is_alive:
                assert self._nursery is not None  # open while anything can start
                child.begin(now)
                self._nursery.start_soon(child.live, name=child.path)
            if is_gated and child.status in ("restarting", "starting"):
                return

    def _is_gated(self) -> bool:
        """Whether children start one after the other."""
        return not self.spec.is_dynamic and (
            self._is_first_start or self.spec.strategy != "one_for_one"
        )

    def _next_time(self, now: float) -> float:
        times = (c.next_time for c in self._busy)
        return min((t for t in times if t > now), default=math.inf)

    # what an end means --------------------------------------------------------------------------

    def _on_end(self, child: Child, now: float) -> None:
        end, child.end = child.end, None
        if end is None or self.children.get(child.id) is not child:
            return
        self._busy[child] = None
        if end.is_fatal:
            self.failure = end.error
        if child.stop_wanted or self._is_winding_up:
            self._put_down(child)
        elif end.is_fatal:
            child.become("failed")
        elif child.started_at is None and self._is_starting_up(child):
            self._fail_start(child, end.error)
        elif child.is_requested:
            self._refuse_request(child, end.error)
        elif is_restarted(child.spec.restart, abnormal=end.error is not None):
            child.ever_settled = True
            self._plan_restart(child, end.error, now, charged=end.charged)
        else:
            child.ever_settled = True
            self._let_go(child, abnormal=end.error is not None)

    def _is_starting_up(self, child: Child) -> bool:
        is_specified = not self.spec.is_dynamic and not child.is_requested
        return self._is_first_start and is_specified and not child.ever_settled

    def _fail_start(self, child: Child, cause: BaseException | None) -> None:
        if child.status != "zombie":
            child.become("failed")
        if self.failure is None:
            self.failure = start_failed(child.id, cause)

    def _refuse_request(self, child: Child, cause: BaseException | None) -> None:
        """A child somebody asked for did not come up: a new one is gone, an old one stays stopped."""
        child.start_error = cause
        if not child.ever_settled:
            self.remove(child, "it did not start")
        else:
            child.body.close("it did not start")
            child.become("failed")

    def _let_go(self, child: Child, *, abnormal: bool) -> None:
        is_significant = child.spec.significant
        if self.spec.is_dynamic or child.spec.restart == "temporary":
            self.remove(child, "crash" if abnormal else "normal")
        else:
            child.become("failed" if abnormal else "stopped")
            child.body.close("crash" if abnormal else "normal")
        if is_significant and self.spec.auto_shutdown != "never":
            rest = [
                c for c in self.children.values() if c.spec.significant and (c.is_alive or c.is_busy)
            ]
            self._is_done = self.spec.auto_shutdown == "any_significant" or not rest

    def _plan_restart(
        self, child: Child, cause: BaseException | None, now: float, *, charged: bool
    ) -> None:
        due = now + child.next_delay_s(now)
        if charged and not self.window.charge(now):
            self._reach_max(child, cause)
            return
        if charged and child.window is not None and not child.window.charge(now):
            child.window.clear()
            due = now + child.spec.backoff.max_s
        group = self._group(child)
        due = max([due, *(c.due for c in group if c.status == "restarting")])
        self._want(child, due)
        for sibling in group:
            # One that has ended but was not judged yet fell in the same moment: one restart for both.
            is_there = sibling.is_alive or sibling.end is not None
            if is_there and not sibling.stop_wanted and not sibling.is_zombie:
                is_kept = sibling.spec.restart != "temporary"
                self.plan_stop(sibling, "restarting" if is_kept else "removed", "restart")
                sibling.due = due
            elif sibling.status == "restarting" or sibling.after_stop == "restarting":
                sibling.due = due

    def _reach_max(self, child: Child, cause: BaseException | None) -> None:
        child.become("failed")
        failure = ReachedMaxIntensity(
            self.child.id, child.id, self.window.intensity, self.window.period_s
        )
        failure.__cause__ = cause
        self.failure = failure

    def _group(self, child: Child) -> list[Child]:
        """The children that share the fate of this one, itself not among them."""
        if self.spec.is_dynamic or self.spec.strategy == "one_for_one":
            return []
        orders = [c.order for c in self.children.values()]
        shared = set(sharing_fate(self.spec.strategy, child.order, orders))
        return [c for c in self.children.values() if c.order in shared]

    def _put_down(self, child: Child) -> None:
        child.stop_wanted = False
        if child.after_stop == "restarting" and not self._is_winding_up:
            child.become("restarting")
            return
        child.ever_settled = True
        if child.after_stop == "removed":
            self.remove(child, child.stop_reason)
        else:
            child.become("failed" if child.status == "failed" else "stopped")
            if self._is_final_for(child):
                child.body.close(child.stop_reason)

    def _is_final_for(self, child: Child) -> bool:
        return self.is_final if self._is_winding_up else child.after_stop != "restarting"

    @property
    def takes_requests(self) -> bool:
        """Whether there is a loop that would act on a request to start somebody."""
        return self.is_running and not self._is_winding_up and self.stop_asked is None

    # for admin verbs ----------------------------------------------------------------------------

    def add(self, spec: "ChildSpec") -> Child:
        """A new place, registered and not yet started."""
        self._orders += 1
        child = self.tree.adopt(spec, self, self.child.path, self._orders)
        if self.spec.is_dynamic:
            child.window = Window(self.spec.intensity, self.spec.period_s)
        self.children[spec.id] = child
        return child

    def remove(self, child: Child, reason: str) -> None:
        """The place and its name are gone; references to it are down."""
        self.children.pop(child.id, None)
        self._busy.pop(child, None)
        self.tree.forget(child)
        child.body.close(reason)
        child.become("stopped")

    def plan_start(self, child: Child, now: float) -> None:
        """Start it at the next step, in its turn."""
        child.stop_wanted = False
        child.streak = 0
        self._want(child, now)

    def _want(self, child: Child, due: float) -> None:
        child.due = due
        child.become("restarting")
        self.touched(child)

    def plan_stop(self, child: Child, after: AfterStop, reason: str) -> None:
        """Stop it at the next step, in its turn; a second request changes only what comes after."""
        self._mark_leaving(child, after, reason)
        self.touched(child)

    def _mark_leaving(self, child: Child, after: AfterStop, reason: str) -> None:
        if not child.stop_wanted:
            child.stop_reason = reason
        child.stop_wanted = True
        child.after_stop = after

    # Owner and Body -----------------------------------------------------------------------------

    def touched(self, child: Child) -> None:
        """Look at the child at the next step."""
        self._busy[child] = None
        self._bell.ring()

    def ended(self, child: Child) -> None:
        """Judge the child's end at the next step."""
        self._ended.append(child)
        self._bell.ring()

    def ask_stop(self, reason: str, *, final: bool) -> None:
        """Stop everything in order; asked again it changes nothing."""
        if self.stop_asked is None:
            self.stop_asked = reason
            self.is_final = final
        self._bell.ring()

    def kill(self) -> None:
        """Skip the deadlines: the order stays, the waiting goes."""
        self.hurry = True
        self.ask_stop("shutdown", final=self.is_final)

    def life_over(self) -> None:
        """Ready for another life."""
        self.is_running = False
        self.stop_asked = None
        self.hurry = self.is_final = False
        settle(self.children.values(), self._put_down)

    def close(self, reason: str) -> None:
        """No other life: the same holds for everything below."""
        for child in self.children.values():
            child.body.close(reason)
