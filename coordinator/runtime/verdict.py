"""What the end of a child's life means: it is let go, started again, or brings its supervisor down.

Only decisions: what they lead to is planned here and done in the supervisor's next step.
"""

from typing import TYPE_CHECKING

from .errors import ReachedMaxIntensity, start_failed
from .restart import is_restarted, sharing_fate

if TYPE_CHECKING:
    from .child import Child
    from .end import End
    from .supervisor import Supervisor

__all__ = ["fail_start", "is_charged", "is_of_first_start", "judge"]


def judge(owner: "Supervisor", child: "Child", end: "End", now: float) -> None:
    """Book the end of a life and plan what follows from it."""
    if end.is_fatal:
        owner.fail(end.error)
    if child.stop_wanted or owner.is_winding_up:
        owner.put_down(child)
    elif end.is_fatal:
        child.cause = end.error  # if somebody waits for the start, this is why there is none
        child.become("failed")
    elif end.ignored is not None:
        _accept_ignore(owner, child, end.ignored)
    elif child.started_at is None and is_of_first_start(owner, child):
        fail_start(owner, child, end.error)
    elif child.is_requested:
        _refuse_request(owner, child, end.error)
    elif is_restarted(child.spec.restart, abnormal=end.error is not None):
        child.ever_settled = True
        _plan_restart(owner, child, end, now)
    else:
        child.ever_settled = True
        _let_go(owner, child, abnormal=end.error is not None)


def is_charged(owner: "Supervisor", child: "Child") -> bool:
    """Whether a crash of the child now is answered by a restart: no other costs the budget."""
    if child.stop_wanted or owner.is_winding_up or child.is_requested:
        return False
    fails_the_start = child.started_at is None and is_of_first_start(owner, child)
    return not fails_the_start and child.spec.restart != "temporary"


def is_of_first_start(owner: "Supervisor", child: "Child") -> bool:
    """Whether a failure of its start is one of the supervisor's own."""
    is_awaited = not owner.spec.is_dynamic and not child.is_requested
    return owner.is_first_start and is_awaited and not child.ever_settled


def fail_start(owner: "Supervisor", child: "Child", cause: BaseException | None) -> None:
    """The supervisor does not come up, and the child is the culprit."""
    if child.status != "zombie":
        child.become("failed")
    owner.fail(start_failed(child.id, cause))


def _accept_ignore(owner: "Supervisor", child: "Child", why: str) -> None:
    """The child has declined, which is a start that worked; significance is for those who began."""
    child.ever_settled = True
    child.is_requested = False
    reason = f"ignored: {why}"
    if owner.spec.is_dynamic or child.spec.restart == "temporary":
        owner.remove(child, reason)
    else:
        child.body.close(reason)
        child.become("stopped")


def _refuse_request(owner: "Supervisor", child: "Child", cause: BaseException | None) -> None:
    """A child somebody asked for did not come up: a new one is gone, an old one stays stopped."""
    child.cause = cause
    if not child.ever_settled:
        owner.remove(child, "it did not start")
    else:
        child.body.close("it did not start")
        child.become("failed")


def _let_go(owner: "Supervisor", child: "Child", *, abnormal: bool) -> None:
    reason = "crash" if abnormal else "normal"
    if owner.spec.is_dynamic or child.spec.restart == "temporary":
        owner.remove(child, reason)
    else:
        child.become("failed" if abnormal else "stopped")
        child.body.close(reason)
    if child.spec.significant and owner.spec.auto_shutdown != "never":
        owner.is_done = owner.spec.auto_shutdown == "any_significant" or not _significant_left(owner)


def _significant_left(owner: "Supervisor") -> bool:
    return any(c.spec.significant and _is_waited_for(c) for c in owner.children.values())


def _is_waited_for(child: "Child") -> bool:
    """Whether it runs, will run again, or has an end that is still to be judged."""
    if child.stop_wanted:
        return child.after_stop == "restarting"  # by hand, or for its group's sake
    if child.end is not None:
        return child.end.ignored is None
    return child.is_alive or child.status == "restarting"


def _plan_restart(owner: "Supervisor", child: "Child", end: "End", now: float) -> None:
    due = now + child.next_delay_s(now)
    if end.charged and not owner.window.charge(now):
        _reach_max(owner, child, end.error)
        return
    if end.charged and child.window is not None and not child.window.charge(now):
        child.window.clear()
        due = now + child.spec.backoff.max_s
    group = _group(owner, child)
    due = max([due, *(c.due for c in group if c.status == "restarting")])
    owner.want(child, due)
    for sibling in group:
        _take_along(owner, sibling, due)


def _take_along(owner: "Supervisor", sibling: "Child", due: float) -> None:
    """Restart a sibling together with the child that fell."""
    # One that has ended but was not judged yet fell in the same moment: one restart for both.
    is_there = sibling.is_alive or sibling.end is not None
    if is_there and not sibling.stop_wanted and not sibling.is_zombie:
        is_kept = sibling.spec.restart != "temporary"
        owner.plan_stop(sibling, "restarting" if is_kept else "removed", "restart")
        sibling.due = due
    elif sibling.status == "restarting":
        owner.want(sibling, due)
    elif sibling.after_stop == "restarting":
        sibling.due = due


def _group(owner: "Supervisor", child: "Child") -> "list[Child]":
    """The children that share the fate of this one, itself not among them."""
    if owner.spec.is_dynamic or owner.spec.strategy == "one_for_one":
        return []
    orders = [c.order for c in owner.children.values()]
    shared = set(sharing_fate(owner.spec.strategy, child.order, orders))
    return [c for c in owner.children.values() if c.order in shared]


def _reach_max(owner: "Supervisor", child: "Child", cause: BaseException | None) -> None:
    child.become("failed")
    failure = ReachedMaxIntensity(
        owner.child.id, child.id, owner.window.intensity, owner.window.period_s
    )
    failure.__cause__ = cause
    owner.fail(failure)
