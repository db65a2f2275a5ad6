"""A picture of the whole tree in one sync pass: consistent, and to be had while every actor hangs."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import trio

from .bodies import ActorBody
from .crash import budget_left, in_words
from .errors import UnknownChild
from .mailbox import Counters
from .reports import LastError, LastMessage, ZombieReport
from .shown import plain, show, state_of
from .stacks import Stacks
from .supervisor import Supervisor

if TYPE_CHECKING:
    from .cell import Cell
    from .child import Child
    from .reports import Hooks

__all__ = [
    "InFlight",
    "LastMessages",
    "Latency",
    "MailboxState",
    "NodeDump",
    "TimerState",
    "TreeDump",
    "dump_tree",
]


COUNTERS = tuple(field.name for field in fields(Counters))
counts_of = attrgetter(*COUNTERS)


class MailboxState(NamedTuple):
    """What waits in front of an actor; `oldest_age_s` is None when the queue is empty.

    `depth` counts what is handled next, `stashed` what the actor has put aside.
    """

    depth: int
    stashed: int
    capacity: int
    full: str
    oldest_age_s: float | None
    senders_waiting: int
    counts: tuple[int, ...]

    @property
    def counters(self) -> dict[str, int]:
        """What became of every message, by the names of Counters."""
        return dict(zip(COUNTERS, self.counts, strict=True))


@dataclass(frozen=True, slots=True)
class InFlight:
    """The message in hand; `age_s` counts from the start of its handler, None before a redelivery."""

    message: str
    attempt: int
    age_s: float | None


class Latency(NamedTuple):
    """Handling times of the last 128 messages; None before the first."""

    seconds: tuple[float, ...]

    @property
    def p50_ms(self) -> float | None:
        """Half of the messages took no longer."""
        return self._percentile_ms(0.5)

    @property
    def p99_ms(self) -> float | None:
        """All but one in a hundred took no longer."""
        return self._percentile_ms(0.99)

    def _percentile_ms(self, share: float) -> float | None:
        if not self.seconds:
            return None
        return sorted(self.seconds)[round((len(self.seconds) - 1) * share)] * 1000


class LastMessages(Sequence[LastMessage]):
    """What an actor handled last, oldest first; put into words when somebody looks.

    Messages are frozen, so that they read the same later; ten reprs per actor would be most of a dump.
    """

    __slots__ = ("_hooks", "_id", "_noted")

    def __init__(self, cell: "Cell") -> None:
        self._id = cell.id
        self._hooks: Hooks = cell.tree.hooks
        self._noted = tuple(cell.last_messages)

    def __len__(self) -> int:
        return len(self._noted)

    @overload
    def __getitem__(self, index: int) -> LastMessage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LastMessage]: ...
    def __getitem__(self, index: int | slice) -> LastMessage | Sequence[LastMessage]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        return in_words(self._hooks, self._id, self._noted[index])

    def __iter__(self) -> Iterator[LastMessage]:
        return (in_words(self._hooks, self._id, envelope) for envelope in self._noted)


@dataclass(frozen=True, slots=True)
class TimerState:
    """A timer that has not fired; a negative `due_in_s` is overdue behind a busy handler."""

    key: str
    due_in_s: float


class NodeDump(NamedTuple):
    """One child. What does not apply to its kind is None or empty.

    A tuple, like all of which there is one per actor: it is made in a third of a dataclass's time.
    """

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
    last_messages: Sequence[LastMessage] = ()
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
        with _no_collection():
            record = _record(self)
        assert isinstance(record, dict)
        return record

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
        """The node of that id; UnknownChild names an unknown one."""
        for node in self.nodes():
            if node.id == id:
                return node
        raise UnknownChild(f"nothing in the dump is called {id!r}")


def dump_tree(root: "Child", zombies: Sequence[ZombieReport], hook_failures: int) -> TreeDump:
    """The picture of now."""
    with _no_collection():
        node = _node(root, trio.current_time(), Stacks())
    return TreeDump(node, tuple(zombies), hook_failures)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Everything made in one pass is kept: looking for garbage meanwhile is a quarter of its time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _node(child: "Child", now: float, stacks: Stacks) -> NodeDump:
    """One child and what is below it. Positional, because keywords cost as much as all the rest."""
    body, status = child.body, child.shown
    started_at = child.started_at if child.is_alive else None
    common = (
        child.id,
        child.path,
        body.kind,
        status,
        max(0.0, child.due - now) if status == "restarting" else None,
        child.incarnation,
        child.restarts,
        budget_left(child, now),
        None if started_at is None else now - started_at,
        child.last_error,
    )
    stack = stacks.of(child.task)
    if isinstance(body, ActorBody):
        return NodeDump(*common, *_actor(body, now), stack, _state(body))
    if isinstance(body, Supervisor):
        below = tuple([_node(inner, now, stacks) for inner in body.children.values()])
        return NodeDump(*common, await_stack=stack, children=below)
    return NodeDump(*common, await_stack=stack)


def _actor(
    body: ActorBody, now: float
) -> tuple[MailboxState, InFlight | None, int, Latency, Sequence[LastMessage], tuple[TimerState, ...]]:
    """What only an actor has, in the order of NodeDump's fields."""
    cell = body.cell
    return (
        _mailbox(cell, now),
        _in_flight(cell, now),
        cell.handled,
        Latency(tuple(cell.latencies)),
        LastMessages(cell),
        _timers(body, now),
    )


def _timers(body: ActorBody, now: float) -> tuple[TimerState, ...]:
    if body.incarnation is None or not len(body.incarnation.timers):
        return ()
    return tuple(TimerState(key, due - now) for key, due in body.incarnation.timers.pending())


def _mailbox(cell: "Cell", now: float) -> MailboxState:
    queue = cell.queue
    return MailboxState(
        cell.depth,
        len(cell.stash),
        queue.mailbox.capacity,
        queue.mailbox.full,
        queue.oldest_age_s(now),
        queue.senders_waiting,
        counts_of(queue.counters),
    )


def _in_flight(cell: "Cell", now: float) -> InFlight | None:
    envelope = cell.in_flight
    if envelope is None:
        return None
    age = None if cell.handling_since is None else now - cell.handling_since
    return InFlight(show(cell.tree.hooks, cell.id, envelope.message), envelope.attempt, age)


def _state(body: ActorBody) -> object:
    if body.incarnation is None:
        return None
    return state_of(body.cell.tree.hooks, body.cell.id, body.incarnation.actor, attributes=False)


def _record(value: object) -> object:
    """The dump's own types as dicts and lists; `asdict` copies deeply and costs a multiple."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is float:
        return plain(value)
    names = RECORDS.get(kind)
    if names is not None:
        return {name: _record(getattr(value, name)) for name in names}
    if isinstance(value, tuple | LastMessages):
        return [_record(inner) for inner in value]
    return plain(value)


RECORDS: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (
        TreeDump, InFlight, LastMessage, TimerState, LastError, ZombieReport,
    )
}  # fmt: skip
RECORDS |= {
    NodeDump: NodeDump._fields,
    MailboxState: (*MailboxState._fields[:-1], "counters"),
    Latency: ("p50_ms", "p99_ms"),
}
# What is plain as it is: scalars, the counters, and a state, which `state_of` has made so.
PLAIN = frozenset({type(None), bool, int, str, dict, list})
