"""The verbs of a supervisor, by OTP's names: children come, go and are counted while the tree runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from .actor import ActorRef
from .bodies import ActorBody
from .child import Child, Shown
from .current import busy_child, running_child
from .errors import (
    AdminError,
    ChildExists,
    ChildNotStopped,
    SpecError,
    StartFailed,
    TooManyChildren,
    UnknownChild,
    WouldDeadlock,
    start_failed,
)
from .spec import ActorSpec, ChildSpec, SupervisorSpec, TaskSpec, ids_in
from .supervisor import Supervisor

if TYPE_CHECKING:
    from .registry import Registry

__all__ = [
    "ChildCount",
    "ChildInfo",
    "count_children",
    "delete_child",
    "drain_child",
    "get_childspec",
    "restart_child",
    "start_child",
    "terminate_child",
    "which_children",
]


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One child as its supervisor sees it."""

    id: str
    kind: str
    status: Shown


@dataclass(frozen=True, slots=True)
class ChildCount:
    """`specs` are all places, `active` those with a live task; the rest splits `specs` by kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


async def start_child(registry: "Registry", supervisor_id: str, spec: "ChildSpec") -> Child:
    """Start a new child and wait until it is ready; StartFailed leaves nothing behind."""
    owner = _supervisor(registry, supervisor_id)
    _require_running(owner)
    _require_no_deadlock(owner, None)
    if not isinstance(spec, ActorSpec | TaskSpec | SupervisorSpec):
        raise SpecError(f"{supervisor_id}: a child is {spec!r}, must be a child specification")
    _require_free(registry, owner, spec)
    limit = owner.spec.max_children
    if limit is not None and len(owner.children) >= limit:
        raise TooManyChildren(f"{supervisor_id} has {len(owner.children)} of {limit} children")
    return await _start(owner, owner.add(spec))


async def restart_child(registry: "Registry", supervisor_id: str, named: "str | ActorRef") -> None:
    """Start a stopped child again and wait until it is ready. It does not count as a restart."""
    owner = _supervisor(registry, supervisor_id)
    child = _child(owner, named)
    if child.status not in ("stopped", "failed"):
        raise ChildNotStopped(f"{child.path} is {child.status}, only a stopped child can be restarted")
    _require_running(owner)
    _require_no_deadlock(owner, None)
    await _start(owner, child)


async def terminate_child(registry: "Registry", supervisor_id: str, named: "str | ActorRef") -> None:
    """Stop a child and wait until it is down; a dynamic or temporary one is gone then."""
    owner = _supervisor(registry, supervisor_id)
    await _stop(owner, _child(owner, named), drains=False)


async def drain_child(registry: "Registry", supervisor_id: str, named: "str | ActorRef") -> None:
    """Stop an actor once it has handled what it accepted, and wait until it is down."""
    owner = _supervisor(registry, supervisor_id)
    child = _child(owner, named)
    if not isinstance(child.body, ActorBody):
        raise AdminError(f"{child.path} is of kind {child.body.kind} and has no mailbox to drain")
    await _stop(owner, child, drains=True)


async def _stop(owner: Supervisor, child: Child, *, drains: bool) -> None:
    _require_no_deadlock(owner, child)
    is_kept = not owner.spec.is_dynamic and child.spec.restart != "temporary"
    if child.status in ("stopped", "failed") and not child.stop_wanted:
        return
    owner.plan_stop(child, "stopped" if is_kept else "removed", "shutdown", drains=drains)
    while _is_leaving(child):
        await child.changed()


def _is_leaving(child: Child) -> bool:
    return child.stop_wanted and not child.is_zombie


async def delete_child(registry: "Registry", supervisor_id: str, named: "str | ActorRef") -> None:
    """Forget a stopped child and free its id."""
    owner = _supervisor(registry, supervisor_id)
    child = _child(owner, named)
    if child.status not in ("stopped", "failed"):
        raise ChildNotStopped(f"{child.path} is {child.status}, only a stopped child can be deleted")
    owner.remove(child, "deleted")
    await trio.lowlevel.checkpoint()


def which_children(registry: "Registry", supervisor_id: str) -> tuple[ChildInfo, ...]:
    """The supervisor's children in order of start."""
    owner = _supervisor(registry, supervisor_id)
    return tuple(ChildInfo(c.id, c.body.kind, c.shown) for c in owner.children.values())


def get_childspec(registry: "Registry", supervisor_id: str, named: "str | ActorRef") -> ChildSpec:
    """What a child was described as, in whatever state it is."""
    return _child(_supervisor(registry, supervisor_id), named).spec


def count_children(registry: "Registry", supervisor_id: str) -> ChildCount:
    """How many children the supervisor has, and of which kinds."""
    children = _supervisor(registry, supervisor_id).children.values()
    supervisors = sum(c.body.kind == "supervisor" for c in children)
    active = sum(c.is_alive for c in children)
    return ChildCount(len(children), active, supervisors, len(children) - supervisors)


async def _start(owner: Supervisor, child: Child) -> Child:
    child.is_requested = True
    child.cause = None
    owner.plan_start(child, trio.current_time())
    while child.is_requested and (child.is_coming or _is_leaving(child)):
        await child.changed()
    if child.is_requested:
        raise _not_started(owner, child)
    return child


def _not_started(owner: Supervisor, child: Child) -> StartFailed:
    """With the child's own error, or the one by which a supervisor above it falls."""
    if child.cause is not None:
        failed = start_failed(child.id, child.cause)
        if not child.is_alive:
            child.cause = None  # told, and its frames are not kept
        return failed
    fall = _fall_above(owner)
    if isinstance(fall, StartFailed):  # it is another's to raise
        failed = StartFailed(fall.child_id, fall.reason)
        failed.__cause__ = fall
        return failed
    return start_failed(child.id, fall)


def _fall_above(owner: Supervisor) -> BaseException | None:
    above: Supervisor | None = owner
    while above is not None and above.failure is None:
        above = above.child.owner if isinstance(above.child.owner, Supervisor) else None
    return None if above is None else above.failure


def _supervisor(registry: "Registry", supervisor_id: str) -> Supervisor:
    child = registry.find(supervisor_id)
    if not isinstance(child.body, Supervisor):
        raise AdminError(f"{supervisor_id} is of kind {child.body.kind}, not a supervisor")
    return child.body


def _require_running(owner: Supervisor) -> None:
    if not owner.takes_requests:
        raise AdminError(f"{owner.child.id} is {owner.child.status} and starts nobody")


def _child(owner: Supervisor, named: "str | ActorRef") -> Child:
    """The child of that id; a reference names only the very one it points to."""
    child = owner.children.get(named if isinstance(named, str) else named.id)
    is_another = isinstance(named, ActorRef) and named._cell.child is not child
    if child is None or is_another:
        raise UnknownChild(f"{owner.child.id} has no child {named!r}")
    return child


def _require_free(registry: "Registry", owner: Supervisor, spec: ChildSpec) -> None:
    """Refuse ids in use, and those that a specification elsewhere will want back."""
    for name in ids_in(spec):
        if name in registry:
            known = registry.find(name)
            state = "already present" if known.status in ("stopped", "failed") else "already running"
            raise ChildExists(f"{name} is taken by {known.path}: {state} ({known.shown})")
        other = registry.reserved_for(name)
        if isinstance(other, Supervisor) and other is not owner:
            raise ChildExists(f"{name} is taken: {other.child.path} starts it when it is restarted")


def _require_no_deadlock(owner: Supervisor, target: Child | None) -> None:
    """Refuse what waits for the asking task: stopping oneself, or starting behind one's own start."""
    asking = running_child()
    is_start_waiting = busy_child() is not None and not owner.spec.is_dynamic
    while asking is not None:
        if asking is target:
            raise WouldDeadlock(f"{target.id} asks to be stopped and would wait for itself")
        if asking.owner is owner and asking.status == "starting" and is_start_waiting:
            raise WouldDeadlock(
                f"{owner.child.id} is starting {asking.id}, which asks it to start another"
            )
        asking = asking.owner.child if isinstance(asking.owner, Supervisor) else None
