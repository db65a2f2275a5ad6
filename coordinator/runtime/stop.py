"""The ladder a child that should end is pressed down: ask, deadline, cancel, grace, zombie."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .errors import RuntimeFault

if TYPE_CHECKING:
    from .child import Child

__all__ = ["GRACE_S", "press", "settle"]

# What a cancelled task may take to unwind; one that takes longer is ignoring the cancellation.
GRACE_S = 1.0


def press(child: "Child", now: float, *, hurry: bool) -> None:
    """Take the next rung if its time has come. `hurry` skips the deadline, never the order."""
    if not child.is_alive or child.status == "zombie":
        return
    if child.is_held:
        child.give_up()
    elif child.status == "stopping" and not child.is_killed and (hurry or now >= child.deadline):
        child.kill(now)
    elif child.status == "starting" and not child.is_killed and now >= child.deadline:
        child.start_error = RuntimeFault(
            f"{child.id} was not ready after {child.spec.start_timeout_s:g} s"
        )
        child.kill(now)
    elif child.is_killed and now >= child.deadline:
        child.give_up()


def settle(children: Iterable["Child"], put_down: Callable[["Child"], None]) -> None:
    """Book the ends that nobody has booked, because the supervisor's own code broke off in its stop."""
    for child in list(children):
        if not child.is_alive and (child.stop_wanted or child.status not in ("stopped", "failed")):
            child.end = None
            put_down(child)
