"""A crash or a cancellation at any await of any task of the tree ends in order, with nothing left."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio

from coordinator.runtime import (
    AdminError,
    Ignore,
    RuntimeFault,
    SpecError,
    StartFailed,
    SupervisorSpec,
    dynamic,
    open_tree,
    supervisor,
)
from tests.runtime.arena import is_struck
from tests.runtime.machine import strike
from tests.runtime.moments import any_moment
from tests.runtime.scenarios import crash_once, given
from tests.runtime.schedules import SCHEDULES, at_every_step, cancel, crash, explore
from tests.runtime.stage import AT_ONCE, BoomError, Chronicle, Echo, Player, Say, Script, player

# Each step is struck under so many orders: steps × orders is what a test costs.
ORDERS = max(3, SCHEDULES // 4)
CRASH = crash(lambda: BoomError("struck"))


def cast(story: Chronicle) -> SupervisorSpec:
    """Two levels, a slow stop, a dynamic part."""
    slow = Script(terminate_takes_s=1)
    mid = supervisor("mid", player(story, "b"), player(story, "c", slow), strategy="one_for_all")
    pool = dynamic("pool", initial=[player(story, "d"), player(story, "e")])
    return supervisor("root", player(story, "a"), mid, pool)


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


async def administrate() -> None:
    """A child that declines, a drain, a suspension, a restart by hand; the fault may come out of it."""
    story = Chronicle()

    def decline(_: Player) -> None:
        raise Ignore("not today")

    async def user() -> None:
        shy = player(story, "b", Script(on_init=decline))
        mid = supervisor("mid", player(story, "a"), shy, player(story, "c"), strategy="rest_for_one")
        async with given(story, supervisor("root", mid, dynamic("pool"))) as tree:
            tree.suspend("c")
            tree.ref("c").cast_nowait(Say("hello"))
            await crash_once(tree, "a")
            await tree.start_child("pool", player(story, "d", Script(on_init=decline)))
            e = await tree.start_child("pool", player(story, "e"))
            e.cast_nowait(Say("hello"))
            await tree.drain_child("pool", e)
            await tree.drain_child("mid", "c")
            await tree.restart_child("mid", "c")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(user, name="user")


async def administrate_until_struck() -> None:
    """The same; a verb refused, or a reference down, is how the user hears of a fault elsewhere."""
    try:
        await administrate()
    except* (RuntimeFault, KeyError) as group:
        for error in group.exceptions:
            assert not isinstance(error, SpecError)
    except* Exception as group:
        if not is_struck(group):
            raise


@pytest.mark.parametrize("victim", ["root", "root/mid", "root/pool", "root/mid/c", "root/pool/e"])
def test_a_crash_at_any_await_while_verbs_are_at_work(victim: str) -> None:
    """Whoever is struck during a drain, a declined start or a suspension, everything ends in order."""
    assert at_every_step(administrate_until_struck, victim, CRASH, schedules=ORDERS) > 1


def test_a_user_cancelled_in_the_middle_of_a_verb() -> None:
    """Whichever verb its user is cancelled in, the tree stops in order."""
    assert at_every_step(administrate, "user", cancel, schedules=ORDERS) > 2


async def end_the_program() -> None:
    """The tree runs for a while; only the exit may come out, bare."""
    story = Chronicle()
    with suppress(SystemExit):
        async with open_tree(cast(story), hooks=story.hooks()) as tree:
            await crash_once(tree, "b")
    assert are_unpaired(story) == []


@pytest.mark.parametrize("victim", ["root/a", "root/mid", "root/mid/b", "root/pool"])
def test_an_exit_at_any_await_ends_the_program_in_order(victim: str) -> None:
    """SystemExit out of an actor or out of a supervisor's own code is no crash: it stops everything."""
    assert at_every_step(end_the_program, victim, crash(lambda: SystemExit(3)), schedules=ORDERS) > 1


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


async def drop(request: Callable[..., Awaitable[object]], *args: str) -> None:
    """Ask for something and take any answer; none at all would be a deadlock."""
    with suppress(AdminError, KeyError):
        await request(*args)


async def drain_and_crash() -> None:
    """A supervisor crashes at some moment of a drain; everybody is to be back afterwards."""
    story = Chronicle()
    spec = supervisor("s", player(story, "a"), player(story, "b"), backoff=AT_ONCE)
    async with trio.open_nursery() as nursery, given(story, supervisor("root", spec)) as tree:
        tree.ref("a").cast_nowait(Say("hello"))
        nursery.start_soon(drop, tree.drain_child, "s", "a")
        await any_moment()
        if strike(tree, "s"):
            await trio.sleep(10)
            assert await tree.ref("a").call(Echo("here")) == "here"
            assert tree.dump().find("a").restarts == 0


def test_a_crash_in_a_drain_is_followed_by_a_whole_life() -> None:
    """The child whose drain was cut short takes messages again, and is not asked to stop for it."""
    explore(drain_and_crash, schedules=ORDERS * 20)


async def terminate_and_crash_twice() -> None:
    """Two levels crash at some moments of a stop that somebody waits for."""
    story = Chronicle()
    spec = supervisor("s", *(player(story, name) for name in "abc"), backoff=AT_ONCE)
    async with trio.open_nursery() as nursery:
        with suppress(BoomError):
            async with given(story, supervisor("root", spec)) as tree:
                nursery.start_soon(drop, tree.terminate_child, "s", "b")
                await any_moment()
                strike(tree, "root")
                await any_moment()
                strike(tree, "s")


def test_who_waits_for_a_stop_is_told_whatever_breaks() -> None:
    """A stop that crashes at two levels still answers a request that waits for one of the children."""
    explore(terminate_and_crash_twice, schedules=ORDERS * 20)
