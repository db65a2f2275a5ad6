"""The ladder a child that should end is pressed down: ask, deadline, cancel, grace, zombie."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import trio

from .errors import RuntimeFault

if TYPE_CHECKING:
    from .bell import Bell
    from .child import Child

__all__ = ["GRACE_S", "break_off", "press", "settle"]

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
        child.cause = child.cause or RuntimeFault(
            f"{child.id} was not ready after {child.spec.start_timeout_s:g} s"
        )
        child.kill(now)
    elif child.is_killed and now >= child.deadline:
        child.give_up()


async def break_off(children: "Mapping[str, Child]", bell: "Bell") -> None:
    """Cancel every child at once: the stop in order has failed. Returns when only zombies are left."""
    for child in filter(_is_up, children.values()):
        child.become("stopping")
        child.kill(trio.current_time())
    with trio.CancelScope(shield=True):  # what broke the stop off may be a cancellation
        while True:
            for child in children.values():
                press(child, trio.current_time(), hurry=True)
            left = list(filter(_is_up, children.values()))
            if not left:
                return
            graces = (child.deadline for child in left if child.is_killed)
            await bell.wait(min(graces, default=math.inf))


def _is_up(child: "Child") -> bool:
    return child.is_alive and not child.is_zombie


def settle(children: Iterable["Child"], put_down: Callable[["Child"], None]) -> None:
    """Book the ends that nobody has booked, because the supervisor's own code broke off in its stop."""
    for child in list(children):
        if not child.is_alive and (child.stop_wanted or child.status not in ("stopped", "failed")):
            child.end = None
            put_down(child)
