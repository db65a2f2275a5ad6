"""What holds of a tree at every moment, said from outside: messages, tasks, references, leftovers."""

import math
from collections import Counter
from collections.abc import Iterator

import trio

from coordinator.runtime import Tree
from coordinator.runtime.bodies import ActorBody
from coordinator.runtime.cell import Cell
from coordinator.runtime.child import Child
from coordinator.runtime.down import Watching
from coordinator.runtime.supervisor import Supervisor

__all__ = ["Laws", "everybody", "tasks_below"]

SETTLED = ("stopped", "failed", "restarting")


class Laws:
    """Judges one tree. Remembers each cell it has seen: the law outlives the place in the tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.cells: set[Cell] = set()

    def broken(self, root_task: trio.lowlevel.Task, errands: int) -> list[str]:
        """Every law that does not hold now; `errands` are the program's own tasks."""
        places = list(everybody(self.tree.root))
        tasks = tasks_below(root_task)
        self.cells.update(c.body.cell for c in places if isinstance(c.body, ActorBody))
        return [
            *(f"{cell.id} loses or doubles messages: {cell.queue.counters}, {len(cell.queue)} queued"
              for cell in self.cells if not cell.is_conserved()),
            *self._names(places),
            *_missing_tasks(places, tasks),
            *(text for place in places for text in _leftovers(place, tasks)),
            *(f"{cell.id}: a sender that is gone waits for room"
              for cell in self.cells if not tasks.keys() >= cell.queue._senders.keys()),
            *_watchers(places, errands),
        ]  # fmt: skip

    def overslept(self) -> list[str]:
        """To be asked when every task is blocked: who has something to do and does not do it."""
        return [
            f"{place.id} sleeps beside {len(place.body.cell.queue)} messages"
            for place in everybody(self.tree.root)
            if isinstance(place.body, ActorBody) and _is_idle(place) and place.body.cell.has_work()
        ]

    def untold(self) -> list[str]:
        """To be asked at rest: who watches somebody that is down, and has not heard of it."""
        places = {place.id: place for place in everybody(self.tree.root)}
        return [
            f"{place.id} was not told of the end of {name}"
            for place in places.values()
            for name in _watched_by(place)
            if name not in places or _is_down(places[name])
        ]

    def forgotten(self) -> list[str]:
        """To be asked when nobody waits for an end, and nobody follows messages: who is still told."""
        return [
            *(f"{cell.id} will tell somebody who is gone of its end"
              for cell in self.cells for who in cell.watchers or () if not _lives(who)),
            *(f"{cell.id} keeps a call whose caller has left"
              for cell in self.cells for envelope in cell.queue._items if envelope.abandoned),
            *(f"{cell.id} is traced by nobody" for cell in self.cells if cell.tracer is not None),
        ]  # fmt: skip

    def unsettled(self) -> list[str]:
        """To be asked when all deadlines and backoffs are over: who is still on the way somewhere."""
        return [
            f"{place.id} is still {place.status}"
            for place in everybody(self.tree.root)
            if place.status not in ("running", "stopped", "failed") or _is_down(place) == place.is_alive
        ]

    def _names(self, places: list[Child]) -> list[str]:
        known, seen = set(self.tree._registry.children()), set(places)
        return [
            *(f"{c.path} is registered and not in the tree" for c in known - seen),
            *(f"{c.path} is in the tree and not registered" for c in seen - known),
        ]


def everybody(root: Child) -> Iterator[Child]:
    """The place and all below it."""
    yield root
    if isinstance(root.body, Supervisor):
        for inner in root.body.children.values():
            yield from everybody(inner)


def tasks_below(task: trio.lowlevel.Task) -> dict[trio.lowlevel.Task, str]:
    """Every living task from this one down, with its name."""
    found, queue = {}, [task]
    while queue:
        one = queue.pop()
        found[one] = one.name
        for nursery in one.child_nurseries:
            queue.extend(nursery.child_tasks)
    return found


def _missing_tasks(places: list[Child], tasks: dict[trio.lowlevel.Task, str]) -> list[str]:
    """Each live place has one task; besides there are jobs of live actors and the program's own."""
    alive = {place.path for place in places if place.is_alive}
    jobs = tuple(f"{place.id}/job" for place in places if place.is_alive)
    names = Counter(name for name in tasks.values() if name not in jobs and name not in OWN)
    wanted = Counter(alive)
    return [
        *(f"nobody runs {name}" for name in wanted - names),
        *(f"{name} runs and should not" for name in names - wanted),
    ]


# The program itself, and the one task of a tree that belongs to no place.
OWN = ("program", "owner", "errand", "coordinator.runtime.watch.DeadlineWatch.run")


def _leftovers(place: Child, tasks: dict[trio.lowlevel.Task, str]) -> Iterator[str]:
    if place.task is not None and place.task not in tasks:
        yield f"{place.id} refers to a task that is gone"
    if place.status == "running" and not place.is_alive and place.end is None:
        yield f"{place.id} is said to run and has no life"
    if place.is_alive:
        return
    if place.end is None and place.status not in SETTLED:
        yield f"{place.id} is {place.status} and has no life"
    if isinstance(place.body, Supervisor):
        body = place.body
        if body.is_running or body.hurry or body.stop_asked is not None or len(body._agenda):
            yield f"{place.id} keeps something of a life that is over"
    if isinstance(place.body, ActorBody):
        cell = place.body.cell
        left = (
            place.body.incarnation,
            cell.loop_scope,
            cell.handling_since,
            cell.item,
            cell.stop_asked,
        )
        if any(value is not None for value in left) or cell.deadline != math.inf:
            yield f"{place.id} keeps something of a life that is over: {left}"
        if cell.bell._sleeper is not None:
            yield f"{place.id}: its bell has a sleeper and no life"


def _watchers(places: list[Child], errands: int) -> list[str]:
    waiting = sum(len(place.watchers) for place in places)
    return [f"{waiting} watch for a change, {errands} errands wait"] if waiting > errands else []


def _watched_by(place: Child) -> set[str]:
    """What the actor there says that it watches."""
    life = place.body.incarnation if isinstance(place.body, ActorBody) else None
    return set() if life is None else getattr(life.actor, "watched", set())


def _lives(watcher: object) -> bool:
    """Whether a watch belongs to a life that is not over: all others are of tasks that wait."""
    if not isinstance(watcher, Watching):
        return False
    place = watcher._watcher.child
    life = place.body.incarnation if isinstance(place.body, ActorBody) else None
    return life is not None and life.watching is watcher


def _is_down(place: Child) -> bool:
    """Whether its reference says so; the others have none, and their status does."""
    if isinstance(place.body, ActorBody):
        return place.body.cell.closed is not None
    return place.status in ("stopped", "failed")


def _is_idle(place: Child) -> bool:
    assert isinstance(place.body, ActorBody)
    cell = place.body.cell
    is_paused = getattr(cell, "is_suspended", False)
    return place.status == "running" and cell.handling_since is None and not is_paused
