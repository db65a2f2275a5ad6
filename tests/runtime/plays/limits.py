"""Scenarios of the runtime's limits: what it leaves to whoever asks, what nobody can help."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from coordinator.runtime import Actor, ActorDown, Backoff, Tree, child, supervisor
from tests.runtime.scenarios import given, scenario
from tests.runtime.stage import (
    Boom,
    Chronicle,
    Do,
    Echo,
    Hang,
    Player,
    Say,
    Script,
    player,
    settle,
    status,
)


@scenario("limits", small=True)
async def a_block_hears_of_a_stop_in_wait_only() -> None:
    """Given an actor that asks for the stop, the block goes on until it looks, and `wait` returns."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.tree.request_stop()))
        await trio.sleep(100)
        assert status(tree, "a") == "stopped"
        await tree.wait()


@scenario("limits", small=True)
async def background_tasks_end_before_the_last_words() -> None:
    """Given a background task with a cleanup, `terminate` finds it ended."""
    story = Chronicle()

    async def job(actor: Player) -> None:
        try:
            await trio.sleep_forever()
        finally:
            actor.note("cleaned")

    def spawn(actor: Player) -> None:
        actor.context.spawn(job, actor, name="job")

    async with given(story, supervisor("root", player(story, "a", Script(on_init=spawn)))):
        await settle()
    assert story.lines == ["init a 1", "cleaned a", "terminate a shutdown"]


@asynccontextmanager
async def a_zombie(story: Chronicle, free: trio.Event) -> AsyncIterator[Tree]:
    """A tree whose actor `a` is a zombie until `free`, with a message in its queue."""
    deaf = player(story, "a", Script(ignores_cancel_until=free), shutdown_s=0)
    async with given(story, supervisor("root", deaf)) as tree:
        tree.ref("a").cast_nowait(Hang())
        await settle()
        tree.ref("a").cast_nowait(Say("queued"))
        await tree.terminate_child("root", "a")
        assert status(tree, "a") == "zombie"
        yield tree
        free.set()


@scenario("limits", small=True)
async def what_waits_at_a_zombie_waits_until_it_ends() -> None:
    """Given a zombie, its queue is not returned and its callers are not told before it has ended."""
    story, free = Chronicle(), trio.Event()
    heard = list[str]()

    async def ask(tree: Tree) -> None:
        with pytest.raises(ActorDown):
            await tree.ref("a").call(Echo("x"), timeout_s=1000)
        heard.append("down")

    async with a_zombie(story, free) as tree, trio.open_nursery() as nursery:
        nursery.start_soon(ask, tree)
        await trio.sleep(100)
        assert (story.returned, heard) == ([], [])
        free.set()
    assert heard == ["down"]
    assert [message for _, message in story.returned] == [Say("queued"), Echo("x")]


@scenario("limits", small=True)
async def verbs_on_a_zombie_return_at_once() -> None:
    """Given a zombie, stopping it again, draining and killing it end at once and change nothing."""
    story, free = Chronicle(), trio.Event()
    async with a_zombie(story, free) as tree:
        begin = trio.current_time()
        await tree.terminate_child("root", "a")
        await tree.drain_child("root", "a")
        tree.kill("a")
        await settle()
        assert (status(tree, "a"), trio.current_time()) == ("zombie", begin)
        assert len(story.zombies) == 1


@scenario("limits", small=True)
async def a_kill_of_who_does_not_run_changes_nothing() -> None:
    """Given a child that is stopped and one that waits for its restart, a kill changes nothing."""
    story = Chronicle()
    slow = Script(failing_inits=0)
    late = player(story, "b", slow, backoff=Backoff(min_s=10, max_s=10, jitter=0))
    async with given(story, supervisor("root", player(story, "a"), late)) as tree:
        await tree.terminate_child("root", "a")
        slow.failing_inits = 1
        tree.ref("b").cast_nowait(Boom(once=True))
        await settle()
        assert (status(tree, "a"), status(tree, "b")) == ("stopped", "restarting")
        tree.kill("a")
        tree.kill("b")
        await trio.sleep(15)
        assert (status(tree, "a"), status(tree, "b")) == ("stopped", "running")
        assert [c.error.type for c in story.crashes] == ["BoomError", "BoomError"]


@scenario("limits", small=True)
async def a_reference_that_was_down_lives_again() -> None:
    """Given a child whose end was told, a restart by hand makes the same reference work again."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        await tree.terminate_child("root", "a")
        assert await ref.down() == "shutdown"
        await tree.restart_child("root", "a")
        assert ref.alive
        assert await ref.call(Echo("back")) == "back"


class Slotted(Actor):
    __slots__ = ("_hidden", "held")

    async def init(self) -> None:
        self.held = self._hidden = 1
        self.seen = 2
        self._private = 3

    async def handle(self, message: Say) -> None: ...


@scenario("limits", small=True)
async def a_state_without_inspect_is_what_the_instance_holds_in_public() -> None:
    """Given an actor with slots and private attributes, only the public ones of its dictionary show."""
    async with given(Chronicle(), supervisor("root", child(Slotted, id="a"))) as tree:
        assert tree.get_state("a") == {"seen": 2}
