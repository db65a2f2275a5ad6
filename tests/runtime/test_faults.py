"""A crash or a cancellation at any await of any task of the tree ends in order, with nothing left."""

import pytest
import trio

from coordinator.runtime import StartFailed, SupervisorSpec, dynamic, open_tree, supervisor
from tests.runtime.scenarios import crash_once, given
from tests.runtime.schedules import SCHEDULES, at_every_step, cancel, crash
from tests.runtime.stage import BoomError, Chronicle, Echo, Say, Script, player

# Each step is struck under so many orders: steps × orders is what a test costs.
ORDERS = max(3, SCHEDULES // 4)
CRASH = crash(lambda: BoomError("struck"))


def cast(story: Chronicle) -> SupervisorSpec:
    """Two levels, a slow stop, a dynamic part."""
    slow = Script(terminate_takes_s=1)
    mid = supervisor("mid", player(story, "b"), player(story, "c", slow), strategy="one_for_all")
    pool = dynamic("pool", initial=[player(story, "d"), player(story, "e")])
    return supervisor("root", player(story, "a"), mid, pool)


def is_struck(error: BaseException | None) -> bool:
    """Whether the fault is in it: itself, in each part of a group, or as a cause."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_struck, error.exceptions))
    return isinstance(error, BoomError) or (error is not None and is_struck(error.__cause__))


def are_unpaired(story: Chronicle) -> list[str]:
    """Who had more last words than lives, or a life that did not end."""
    lives, ends = story.of("init"), [name for name, _ in story.stopped]
    return [
        name
        for name in "abcde"
        if story.of("terminate").count(name) > lives.count(name) or ends.count(name) < lives.count(name)
    ]


async def play() -> None:
    """Start, crash once, ask, stop; the fault may come out of it, and nothing else."""
    story = Chronicle()

    async def user() -> None:
        async with given(story, cast(story)) as tree:
            await crash_once(tree, "b")
            tree.ref("a").cast_nowait(Say("hello"))
            await tree.ref("e").call(Echo("hello"))

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(user, name="user")
    except* Exception as group:
        if not is_struck(group):
            raise
    assert are_unpaired(story) == []


@pytest.mark.parametrize("victim", ["root/a", "root/mid/b", "root/mid/c", "root/pool/e"])
def test_an_actor_that_crashes_at_any_await(victim: str) -> None:
    """Whichever await of an actor's life raises, the tree goes on or stops in order."""
    assert at_every_step(play, victim, CRASH, schedules=ORDERS) > 1


@pytest.mark.parametrize("victim", ["root", "root/mid", "root/pool"])
def test_a_supervisor_that_crashes_at_any_await(victim: str) -> None:
    """Whichever await of a supervisor's own code raises, all of its children end, each once."""
    assert at_every_step(play, victim, CRASH, schedules=ORDERS) > 3


def test_a_user_who_is_cancelled_at_any_await() -> None:
    """Whenever the task that opened the tree is cancelled, everything stops in order."""
    assert at_every_step(play, "user", cancel, schedules=ORDERS) > 2


@pytest.mark.parametrize("victim", ["root", "root/mid", "root/pool"])
def test_an_interrupted_stop_shows_its_children_down(victim: str) -> None:
    """After a crash inside a stop the dump says of every dead child that it is down."""
    at_every_step(play, victim, CRASH)


async def ask_from_outside() -> None:
    """Somebody outside the tree's block waits for a child to be down while the tree goes down."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a", Script(terminate_takes_s=3)))
    async with trio.open_nursery() as outside:
        try:
            async with open_tree(spec) as tree:
                outside.start_soon(tree.terminate_child, "root", "a")
                await trio.sleep(1)
        except (BoomError, StartFailed):
            pass


def test_an_interrupted_stop_answers_who_waits() -> None:
    """Whoever waits for a child to be down is told, also when its supervisor crashes in the stop."""
    at_every_step(ask_from_outside, "root", CRASH)


async def open_only() -> None:
    """The tree comes up, or the start fails by its name; once it is up, the fault comes out."""
    is_open = False
    try:
        async with open_tree(cast(Chronicle())):
            is_open = True
    except StartFailed:
        assert not is_open
    except BoomError:
        assert is_open, "a failed start came out bare"


def test_a_root_that_crashes_in_its_start_is_a_failed_start() -> None:
    """Whatever breaks before the tree is up comes out as StartFailed."""
    at_every_step(open_only, "root", CRASH)
