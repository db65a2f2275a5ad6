"""Scenarios of a fallen tree and the block around which it was opened: whose error comes out."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from coordinator.runtime import (
    ActorDown,
    ReachedMaxIntensity,
    StartFailed,
    Tree,
    supervisor,
)
from tests.runtime.scenarios import given, scenario
from tests.runtime.stage import (
    AT_ONCE,
    Boom,
    BoomCall,
    BoomError,
    Chronicle,
    Do,
    Echo,
    Player,
    Script,
    player,
    settle,
)


def leave(_: Player) -> None:
    raise SystemExit(3)


async def fall(block: Callable[[Tree], Awaitable[None]]) -> None:
    """A tree that any crash or exit of `a` brings down, around this block."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), intensity=0)) as tree:
        await block(tree)


async def in_start_child(tree: Tree) -> None:
    await tree.start_child("root", player(Chronicle(), "slow", Script(init_takes_s=60)))


async def in_a_call(tree: Tree) -> None:
    await tree.ref("a").call(Echo("behind the exit"))


async def in_a_nursery(tree: Tree) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_a_call, tree)
        nursery.start_soon(tree.wait)


async def exits(wait: Callable[[Tree], Awaitable[None]]) -> None:
    """An exit of an actor is neither hidden nor in company, wherever the block waits."""

    async def block(tree: Tree) -> None:
        tree.ref("a").cast_nowait(Do(leave))
        await wait(tree)

    with pytest.raises(SystemExit) as caught:
        await fall(block)
    assert caught.value.code == 3


async def gives_up(wait: Callable[[Tree], Awaitable[None]]) -> None:
    """A root that gives up comes out once and bare, wherever the block waits."""

    async def block(tree: Tree) -> None:
        tree.ref("a").cast_nowait(Boom())
        await wait(tree)

    with pytest.raises(ReachedMaxIntensity) as caught:
        await fall(block)
    assert isinstance(caught.value.__cause__, BoomError)


@scenario("falls", small=True)
async def an_exit_while_the_block_starts_a_child() -> None:
    """Given a block that waits for a start, an actor's exit comes out bare."""
    await exits(in_start_child)


@scenario("falls", small=True)
async def an_exit_while_the_block_waits_in_a_call() -> None:
    """Given a block that waits in a call, the exit comes out bare."""
    await exits(in_a_call)


@scenario("falls", small=True)
async def an_exit_while_the_block_waits_in_a_nursery() -> None:
    """Given a block with a call and a `wait` in a nursery, the exit comes out bare."""
    await exits(in_a_nursery)


@scenario("falls", small=True)
async def a_fall_while_the_block_starts_a_child() -> None:
    """Given a block that waits for a start, the root's error comes out bare."""
    await gives_up(in_start_child)


@scenario("falls", small=True)
async def a_fall_while_the_block_waits_for_the_tree() -> None:
    """Given a block in `wait`, which raises the root's error, it comes out once."""
    await gives_up(Tree.wait)


@scenario("falls", small=True)
async def a_fall_while_the_block_waits_in_a_nursery() -> None:
    """Given a block with a call and a `wait` in a nursery, the root's error comes out once."""
    await gives_up(in_a_nursery)


@scenario("falls", small=True)
async def an_exit_in_a_start_by_hand_comes_out_bare() -> None:
    """Given a child whose init exits, its StartFailed does not hide the exit."""

    async def block(tree: Tree) -> None:
        await tree.start_child("root", player(Chronicle(), "x", Script(on_init=leave)))

    with pytest.raises(SystemExit):
        await fall(block)


@scenario("falls", small=True)
async def the_caller_of_the_crash_hears_of_the_fall_only() -> None:
    """Given a call that brings the tree down, its ActorDown is the context of the fall."""

    async def block(tree: Tree) -> None:
        await tree.ref("a").call(BoomCall())

    with pytest.raises(ReachedMaxIntensity) as caught:
        await fall(block)
    assert isinstance(caught.value.__context__, ActorDown)


@scenario("falls", small=True)
async def an_error_of_the_blocks_own_stays_beside_the_fall() -> None:
    """Given a block that turns the news into an error of its own, both come out, each once."""

    async def block(tree: Tree) -> None:
        try:
            await tree.ref("a").call(BoomCall())
        except ActorDown as exc:
            raise BoomError("mine") from exc

    with pytest.raises(ExceptionGroup) as caught:
        await fall(block)
    assert [type(e) for e in caught.value.exceptions] == [ReachedMaxIntensity, BoomError]


@scenario("falls", small=True)
async def an_exit_comes_before_an_error_of_the_blocks_own() -> None:
    """Given an exit and an error of the block's own, the exit is alone and the other its context."""

    async def block(tree: Tree) -> None:
        tree.ref("a").cast_nowait(Do(leave))
        try:
            await in_a_call(tree)
        except ActorDown as exc:
            raise BoomError("mine") from exc

    with pytest.raises(SystemExit) as caught:
        await fall(block)
    assert isinstance(caught.value.__context__, BoomError)


@scenario("falls", small=True)
async def a_start_that_a_fall_cuts_short_tells_of_the_fall() -> None:
    """Given a supervisor that falls and comes back, who waited for a start below it hears why."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a"), intensity=0, backoff=AT_ONCE)
    async with given(story, supervisor("root", mid)) as tree:
        tree.ref("a").cast_nowait(Boom(once=True))
        with pytest.raises(StartFailed, match="mid gave up") as caught:
            await tree.start_child("mid", player(story, "slow", Script(init_takes_s=60)))
        assert isinstance(caught.value.__cause__, ReachedMaxIntensity)
        await settle()
        assert tree.healthy() == {"root": "running", "mid": "running", "a": "running"}
