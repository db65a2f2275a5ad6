"""What the restart budgets should have paid, worked out anew from how the lives below them ended."""

from collections import Counter

from coordinator.runtime import CrashReport, Tree
from coordinator.runtime.child import Child
from coordinator.runtime.restart import is_restarted, sharing_fate
from coordinator.runtime.supervisor import Supervisor
from tests.runtime.laws import everybody

__all__ = ["Dues"]


class Dues:
    """Hears of each crash and of each end; an account for the present life of each supervisor."""

    def __init__(self) -> None:
        self._paid: Counter[Supervisor] = Counter()
        self._last: dict[str, CrashReport] = {}
        self._unjudged: list[Child] = []
        self._lies: list[str] = []

    def crashed(self, report: CrashReport) -> None:
        """Its end follows."""
        if report.phase != "terminate":
            self._last[report.id] = report

    def ended(self, child: Child, reason: str) -> None:
        """A life is over; its supervisor has not judged it yet."""
        report = self._last.pop(child.id, None)
        if isinstance(child.body, Supervisor):
            del self._paid[child.body]  # a new life has its whole budget
        if not isinstance(child.owner, Supervisor):
            return
        is_due = self._is_due(child, child.owner, reason, report)
        if report is not None and report.charged != is_due:
            self._lies.append(f"the report of {child.id} says charged={report.charged} at its {reason}")
        if is_due and not self._falls_with_another(child, child.owner):
            self._unjudged.append(child)
            self._paid[child.owner] += 1

    def wrong(self, tree: Tree, now: float) -> list[str]:
        """Whose budget has paid more or less than was due, and which report tells another sum."""
        living = [c.body for c in everybody(tree.root) if c.is_alive]
        running = [body for body in living if isinstance(body, Supervisor)]
        spent = {s: s.window.intensity - s.window.left(now) for s in running}
        return self._lies + [
            f"the budget of {one.child.id} has paid {paid} and not {self._paid[one]}"
            for one, paid in spent.items()
            if paid != self._paid[one]
        ]

    def _is_due(self, child: Child, owner: Supervisor, reason: str, report: CrashReport | None) -> bool:
        if child.stop_wanted or owner.is_winding_up or child.is_requested or reason == "ignored":
            return False  # a stop, the end of all, a start by hand, or no fall at all
        if owner.is_first_start and not owner.spec.is_dynamic and not child.ever_settled:
            return False  # which fails as a whole
        if report is not None and report.attempt > 1:
            return False  # the message pays
        return is_restarted(child.spec.restart, abnormal=reason == "crash")

    def _falls_with_another(self, child: Child, owner: Supervisor) -> bool:
        """Whether one whose group it belongs to has fallen before it and is not judged yet."""
        self._unjudged = [c for c in self._unjudged if c.end is not None]
        fallen = [c.order for c in self._unjudged if c.owner is owner]
        if owner.spec.is_dynamic:
            return False
        return any(sharing_fate(owner.spec.strategy, order, [child.order]) for order in fallen)
