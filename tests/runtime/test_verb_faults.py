"""Whatever is asked of a running tree, a fault at any await of any task taking part breaks no law."""

import ast
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from coordinator.runtime import Tree
from coordinator.runtime.bodies import ActorBody
from coordinator.runtime.current import CURRENT
from coordinator.runtime.errors import Killed
from coordinator.runtime.supervisor import Supervisor
from tests.runtime import deeds
from tests.runtime.arena import Arena, Deed
from tests.runtime.deeds import DEEDS
from tests.runtime.schedules import (
    SCHEDULES,
    Fault,
    ScheduleFailure,
    at_every_step,
    cancel_here,
    cancel_life,
    crash,
    replay,
)
from tests.runtime.stage import BoomError, Echo, Say

CALLER, USER = "errand", "owner"
# Each pass is struck under so many orders, of which Trio's order of birth is the first.
ORDERS = 1 + SCHEDULES // 200
IS_THOROUGH = SCHEDULES >= 1000
CRASH = crash(lambda: BoomError("struck"))


def kill(task: trio.lowlevel.Task) -> None:
    """What `Tree.kill` does, which is for actors and tasks; whoever else it is, is cancelled."""
    place = task.context.get(CURRENT)
    if place is None or isinstance(place.body, Supervisor):
        cancel_life(task)
    else:
        place.end_with(Killed("struck"))


# What a stop cancels of an actor is its life; of our own code it is whatever stands around one await.
FAULTS: dict[str, Fault] = {"crash": CRASH, "cancel": cancel_life}
OUR_FAULTS: dict[str, Fault] = {"crash": CRASH, "cancel": cancel_here}
ALL_FAULTS: dict[str, Fault] = {"crash": CRASH, "cancel": cancel_here, "end": cancel_life, "kill": kill}
SUPERVISORS = {"root", "root/mid", "root/pool", "root/pool/s"}


def faults_for(victim: str) -> dict[str, Fault]:
    """What is tried on it: everything, if there is time."""
    if victim == USER:
        return {"cancel": cancel_life}
    if IS_THOROUGH:
        return ALL_FAULTS
    return OUR_FAULTS if victim in SUPERVISORS else FAULTS


BLOWS = [
    pytest.param(deed, victim, fault, id=f"{deed.name}-{victim}-{name}")
    for deed in DEEDS
    for victim in (CALLER, USER, *deed.victims)
    for name, fault in faults_for(victim).items()
]


def strike(deed: Deed, victim: str, fault: Fault) -> int:
    """Do the deed once for each pass; gives how many there were."""

    async def play() -> None:
        await Arena(deed).perform()

    return at_every_step(play, victim, fault, schedules=ORDERS, asleep=True)


@pytest.mark.parametrize(("deed", "victim", "fault"), BLOWS)
def test_a_fault_at_any_await_of_a_verb(deed: Deed, victim: str, fault: Fault) -> None:
    """Whoever is struck, asleep or awake, in whichever pass: every law holds afterwards."""
    assert strike(deed, victim, fault) > 0


def test_every_verb_of_a_tree_is_struck() -> None:
    """A verb that is added to the tree needs a deed that uses it."""
    inner = {"adopt", "forget", "reserve", "depth_of", "tell", "show", "report_zombie", "touched"}
    inner |= {"charges", "ended", "run_root", "wind_down"}
    verbs = {name for name in vars(Tree) if not name.startswith("_")} - inner
    source = ast.parse(Path(deeds.__file__).read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute)}
    assert verbs - used - {"start_child"} == set()


# that the laws can be broken ------------------------------------------------------------------------


def cell_of(arena: Arena, name: str) -> ActorBody:
    body = arena.tree._registry.find(name).body
    assert isinstance(body, ActorBody)
    return body


async def never_answer(arena: Arena) -> None:
    await trio.sleep(1000)


async def lose_a_message(arena: Arena) -> None:
    cell_of(arena, "b").cell.queue.counters.accepted += 1


async def forget_a_fate(arena: Arena) -> None:
    arena.send("b", Say("x"))
    cell_of(arena, "b").cell.queue._items.clear()


async def charge_too_much(arena: Arena) -> None:
    mid = arena.tree._registry.find("mid").body
    assert isinstance(mid, Supervisor)
    mid.window.charge(trio.current_time())


async def keep_a_watcher(arena: Arena) -> None:
    cell_of(arena, "b").cell.watchers = {trio.Event(): print}


async def keep_a_task(arena: Arena) -> None:
    arena._nursery.start_soon(trio.sleep, 1, name="ghost")


async def lose_a_name(arena: Arena) -> None:
    arena.tree._registry.forget(arena.tree._registry.find("b"))


async def close_who_runs(arena: Arena) -> None:
    cell_of(arena, "b").cell.close("for no reason")


HARMS: dict[Callable[[Arena], Awaitable[None]], str] = {
    never_answer: "the caller was never told",
    lose_a_message: "b loses or doubles messages",
    forget_a_fate: r"Say\(word='x'\) was taken 1 times and settled 0",
    charge_too_much: "the budget of mid has paid 1 and not 0",
    keep_a_watcher: "b will tell somebody who is gone of its end",
    keep_a_task: "ghost runs and should not",
    lose_a_name: "root/mid/b is in the tree and not registered",
    close_who_runs: "b is still running",
}


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_what_a_bug_would_leave_is_named(harm: Callable[[Arena], Awaitable[None]]) -> None:
    """An answer, message, charge, watcher, trace, task or name gone wrong fails the deed."""

    async def play() -> None:
        await Arena(Deed(harm, Arena.troupe, ())).perform()

    with pytest.raises(AssertionError, match=HARMS[harm]):
        replay(play, [])


async def careless(arena: Arena) -> None:
    """A caller with a bug: its trace stays open if the call in between does not return."""
    trace = arena.tree.trace("b")
    trace.__enter__()
    with arena.under_fire():
        await arena.tree.ref("b").call(Echo("x"))
    trace.__exit__(None, None, None)


def test_a_planted_bug_is_found_by_a_strike_alone() -> None:
    """A cleanup that is missed only when one await fails: undisturbed it passes, struck it is named."""
    deed = Deed(careless, Arena.troupe, ("root/mid/b",))
    assert strike(deed, "root/mid/b", CRASH) > 0
    with pytest.raises(ScheduleFailure, match="errand struck at step 1") as caught:
        strike(deed, CALLER, CRASH)
    assert "b is traced by nobody" in str(caught.value.__cause__)
