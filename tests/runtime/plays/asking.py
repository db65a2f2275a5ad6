"""Scenarios of those who ask from inside: a handler, a nursery in it, a background task, a start."""

import pytest
import trio

from coordinator.runtime import ActorDown, Mailbox, WouldDeadlock, supervisor
from tests.runtime.scenarios import given, scenario
from tests.runtime.stage import (
    Chronicle,
    Do,
    DoAsync,
    Echo,
    Hang,
    Player,
    Say,
    Script,
    player,
    settle,
    status,
)


@scenario("asking", small=True)
async def a_self_call_from_a_nursery_in_the_handler_is_an_error() -> None:
    """Given a handler that waits for tasks which call or cast to itself, each gets WouldDeadlock."""
    story = Chronicle()

    async def ask(actor: Player) -> None:
        with pytest.raises(WouldDeadlock):
            await actor.context.ref.call(Echo("me"))
        with pytest.raises(WouldDeadlock):
            await actor.context.ref.cast(Say("no room"))
        actor.note("refused")

    async def spread(actor: Player) -> None:
        actor.context.ref.cast_nowait(Say("last"))
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(ask, actor)
            inner.start_soon(ask, actor)

    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(1)))) as tree:
        tree.ref("a").cast_nowait(DoAsync(spread))
        await settle()
        assert story.lines == ["init a 1", "refused a", "refused a", "said a last"]


@scenario("asking", small=True)
async def a_background_task_may_call_its_actor() -> None:
    """Given background tasks, and what a handler starts in a nursery of one, all may call the actor."""
    story = Chronicle()
    nurseries = list[trio.Nursery]()

    async def ask(actor: Player, word: str) -> None:
        actor.note("heard", await actor.context.ref.call(Echo(word)))

    async def work(actor: Player) -> None:
        async with trio.open_nursery() as nursery:
            nurseries.append(nursery)
            nursery.start_soon(ask, actor, "y")
            await ask(actor, "x")
            await trio.sleep_forever()

    script = Script(on_init=lambda actor: actor.context.spawn(work, actor, name="work"))
    async with given(story, supervisor("root", player(story, "a", script))) as tree:
        await settle()
        tree.ref("a").cast_nowait(Do(lambda actor: nurseries[0].start_soon(ask, actor, "z")))
        await settle()
        assert sorted(story.words("heard")) == ["x", "y", "z"]


@scenario("asking", small=True)
async def who_would_wait_for_its_own_end_is_refused() -> None:
    """Given an actor that waits for itself or its tree to be down, in a handler or not, it is told."""
    story = Chronicle()

    async def wait(actor: Player) -> None:
        with pytest.raises(WouldDeadlock):
            await actor.context.ref.down()
        with pytest.raises(WouldDeadlock):
            await actor.context.tree.wait()
        with pytest.raises(WouldDeadlock):
            await actor.context.tree.stop()
        actor.note("refused")

    def employ(actor: Player) -> None:
        actor.context.spawn(wait, actor, name="wait")

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(wait))
        tree.ref("a").cast_nowait(Do(employ))
        await settle()
        assert story.of("refused") == ["a", "a"]


@scenario("asking", small=True)
async def a_background_task_may_ask_while_its_actor_starts() -> None:
    """Given one spawned in a slow init, it starts a sibling: nobody waits for it, so it can wait."""
    story = Chronicle()

    async def ask(actor: Player) -> None:
        await actor.context.tree.start_child("root", player(story, "b"))
        actor.note("started")

    script = Script(on_init=lambda actor: actor.context.spawn(ask, actor, name="ask"), init_takes_s=2)
    async with given(story, supervisor("root", player(story, "a", script), player(story, "c"))) as tree:
        await settle()
        assert story.lines == ["init a 1", "init c 1", "init b 1", "started a"]
        assert status(tree, "b") == "running"


@scenario("asking", small=True)
async def an_actor_under_drain_may_cast_to_itself() -> None:
    """Given an actor that works in steps it casts to itself, a drain handles all of them."""
    story = Chronicle()

    def step(actor: Player) -> None:
        actor.note("said", str(len(story.of("said"))))
        if len(story.of("said")) < 4:
            actor.context.ref.cast_nowait(Do(step))

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Hang(for_s=1))
        await settle()
        tree.ref("a").cast_nowait(Do(step))
        await tree.drain_child("root", "a")
        assert (story.words(), story.returned, story.crashes) == ("0123", [], [])


@scenario("asking", small=True)
async def a_background_task_under_drain_keeps_its_place() -> None:
    """Given a background task that waits for room in its own actor, a drain refuses only the others."""
    story, refused = Chronicle(), list[str]()

    async def feed(actor: Player) -> None:
        for word in "xy":
            await actor.context.ref.cast(Say(word))

    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(1)))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Do(lambda actor: actor.context.spawn(feed, actor, name="feed")))
        await settle()
        story.clear()

        async def send() -> None:
            with pytest.raises(ActorDown):
                await ref.cast(Say("no"))
            refused.append("no")

        def begin(actor: Player) -> None:
            actor.context.spawn(feed, actor, name="feed")

        async def work(actor: Player) -> None:
            begin(actor)
            await trio.sleep(2)

        async with trio.open_nursery() as nursery:
            ref.cast_nowait(DoAsync(work))
            await trio.sleep(1)
            nursery.start_soon(send)
            await settle()
            await tree.drain_child("root", "a")
        assert (story.words(), refused, story.crashes) == ("xy", ["no"], [])


@scenario("asking", small=True)
async def a_task_outside_gets_nothing_in_under_a_drain() -> None:
    """Given a task that the actor began in a nursery further out, its drain turns that one away."""
    story, refused = Chronicle(), list[str]()

    async def send(actor: Player) -> None:
        for word in "xyz":  # the second one waits for room, the third one comes too late
            try:
                await actor.context.ref.cast(Say(word))
            except ActorDown as exc:
                refused.append(exc.reason)

    async def employ(actor: Player) -> None:
        outer.start_soon(send, actor)
        await trio.sleep(3)

    async with trio.open_nursery() as outer:
        cast = player(story, "a", mailbox=Mailbox(1))
        async with given(story, supervisor("root", cast)) as tree:
            tree.ref("a").cast_nowait(DoAsync(employ))
            await trio.sleep(1)
            await tree.drain_child("root", "a")
            assert (refused, story.words()) == (["draining", "draining"], "x")
