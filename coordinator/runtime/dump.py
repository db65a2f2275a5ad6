"""A picture of the whole tree in one sync pass: consistent, and to be had while every actor hangs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import trio

from .bodies import ActorBody
from .child import brief_text
from .mailbox import Counters
from .messages import brief
from .reports import LastError, ZombieReport
from .supervisor import Supervisor

if TYPE_CHECKING:
    from .cell import Cell
    from .child import Child

__all__ = [
    "InFlight",
    "LastMessage",
    "Latency",
    "MailboxState",
    "NodeDump",
    "TimerState",
    "TreeDump",
    "dump_tree",
]


COUNTERS = tuple(field.name for field in fields(Counters))


@dataclass(frozen=True, slots=True)
class MailboxState:
    """The queue in front of an actor; `oldest_age_s` is None when it is empty."""

    depth: int
    capacity: int
    full: str
    oldest_age_s: float | None
    senders_waiting: int
    counters: dict[str, int]


@dataclass(frozen=True, slots=True)
class InFlight:
    """The message in hand; `age_s` counts from the start of its handler, None before a redelivery."""

    message: str
    attempt: int
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Handling times of the last 128 messages; None before the first."""

    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class LastMessage:
    """A message that was handled, and whether its handler returned."""

    message: str
    ms: float
    ok: bool


@dataclass(frozen=True, slots=True)
class TimerState:
    """A timer that has not fired; a negative `due_in_s` is overdue behind a busy handler."""

    key: str
    due_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDump:
    """One child. What does not apply to its kind is None or empty."""

    id: str
    path: str
    kind: str
    status: str
    restart_due_in_s: float | None
    incarnation: int
    restarts: int
    budget_left: int | None
    uptime_s: float | None
    last_error: LastError | None
    mailbox: MailboxState | None = None
    in_flight: InFlight | None = None
    handled: int = 0
    latency: Latency | None = None
    last_messages: tuple[LastMessage, ...] = ()
    timers: tuple[TimerState, ...] = ()
    await_stack: tuple[str, ...] = ()
    state: object = None
    children: tuple["NodeDump", ...] = ()


@dataclass(frozen=True, slots=True)
class TreeDump:
    """The tree from its root, everybody who would not die, and how often a hook raised."""

    root: NodeDump
    zombies: tuple[ZombieReport, ...]
    hook_failures: int

    def as_dict(self) -> dict[str, Any]:
        """The same as dicts, lists and scalars, ready for json.dumps."""
        plain = _record(self)
        assert isinstance(plain, dict)
        return plain

    def nodes(self) -> list[NodeDump]:
        """Every node, a parent before its children."""
        found: list[NodeDump] = []
        queue = [self.root]
        while queue:
            node = queue.pop()
            found.append(node)
            queue.extend(reversed(node.children))
        return found

    def find(self, id: str) -> NodeDump:  # noqa: A002
        """The node of that id; KeyError names an unknown one."""
        for node in self.nodes():
            if node.id == id:
                return node
        raise KeyError(f"nothing in the dump is called {id!r}")


def dump_tree(root: "Child", zombies: Sequence[ZombieReport], hook_failures: int) -> TreeDump:
    """The picture of now."""
    return TreeDump(_node(root, trio.current_time()), tuple(zombies), hook_failures)


def _node(child: "Child", now: float) -> NodeDump:
    due = max(0.0, child.due - now) if child.status == "restarting" else None
    common: dict[str, Any] = {
        "id": child.id,
        "path": child.path,
        "kind": child.body.kind,
        "status": child.status,
        "restart_due_in_s": due,
        "incarnation": child.incarnation,
        "restarts": child.restarts,
        "budget_left": _budget_left(child, now),
        "uptime_s": None if child.started_at is None or not child.is_alive else now - child.started_at,
        "last_error": child.last_error,
        "await_stack": child.await_stack(),
    }
    if isinstance(child.body, ActorBody):
        return NodeDump(**common, **_actor(child.body, now))
    if isinstance(child.body, Supervisor):
        below = tuple(_node(inner, now) for inner in child.body.children.values())
        return NodeDump(**common, children=below)
    return NodeDump(**common)


def _budget_left(child: "Child", now: float) -> int | None:
    if isinstance(child.body, Supervisor):
        return child.body.window.left(now)
    if child.window is not None:
        return child.window.left(now)
    return child.owner.window.left(now) if isinstance(child.owner, Supervisor) else None


def _actor(body: ActorBody, now: float) -> dict[str, Any]:
    cell, life = body.cell, body.incarnation
    timers = () if life is None else tuple(TimerState(k, due - now) for k, due in life.timers.pending())
    return {
        "mailbox": _mailbox(cell, now),
        "in_flight": _in_flight(cell, now),
        "handled": cell.handled,
        "latency": _latency(sorted(cell.latencies)),
        "last_messages": tuple(LastMessage(brief(m), s * 1000, ok) for m, s, ok in cell.last_messages),
        "timers": timers,
        "state": _state(body),
    }


def _mailbox(cell: "Cell", now: float) -> MailboxState:
    queue = cell.queue
    return MailboxState(
        depth=len(queue),
        capacity=queue.mailbox.capacity,
        full=queue.mailbox.full,
        oldest_age_s=queue.oldest_age_s(now),
        senders_waiting=queue.senders_waiting,
        counters={name: getattr(queue.counters, name) for name in COUNTERS},
    )


def _in_flight(cell: "Cell", now: float) -> InFlight | None:
    envelope = cell.in_flight
    if envelope is None:
        return None
    age = None if cell.handling_since is None else now - cell.handling_since
    return InFlight(brief(envelope.message), envelope.attempt, age)


def _latency(seconds: list[float]) -> Latency:
    if not seconds:
        return Latency(None, None)
    last = len(seconds) - 1
    return Latency(seconds[round(last * 0.5)] * 1000, seconds[round(last * 0.99)] * 1000)


def _state(body: ActorBody) -> object:
    if body.incarnation is None or body.incarnation.actor is None:
        return None
    try:
        return _plain(body.incarnation.actor.inspect())
    except Exception as exc:  # noqa: BLE001  an actor's bug must not hide the other actors
        return {"inspect_error": f"{type(exc).__name__}: {brief_text(exc)}"[:200]}


def _record(value: object) -> object:
    """The dump's own types as dicts and lists; `asdict` copies deeply and costs a multiple."""
    if isinstance(value, tuple):
        return [_record(inner) for inner in value]
    names = RECORDS.get(type(value))
    if names is None:
        return _plain(value)
    return {name: _record(getattr(value, name)) for name in names}


RECORDS: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (
        TreeDump, NodeDump, MailboxState, InFlight, Latency,
        LastMessage, TimerState, LastError, ZombieReport,
    )
}  # fmt: skip


def _plain(value: object) -> object:
    """The same value in JSON's own types; what JSON does not know becomes its bounded repr."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON has neither infinity nor nan
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else brief(key): _plain(inner) for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    return brief(value)
