"""Scenarios of actors that pause or work off what they have: suspensions and drains."""

import pytest
import trio

from coordinator.runtime import ActorDown, CallTimeout, Mailbox, dynamic, supervisor
from tests.runtime.moments import any_moment
from tests.runtime.scenarios import given, scenario
from tests.runtime.stage import (
    Boom,
    Chronicle,
    Do,
    DoAsync,
    Echo,
    Hang,
    Player,
    Say,
    player,
    settle,
    status,
)


@scenario("suspend", small=True)
async def a_suspended_actor_handles_nothing_until_resumed() -> None:
    """Given a suspended actor, casts queue and nothing is handled; resumed, they come in order."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.suspend("a")
        for word in "xyz":
            tree.ref("a").cast_nowait(Say(word))
        await trio.sleep(5)
        assert (story.of("said"), tree.depths(), status(tree, "a")) == ([], {"a": 3}, "suspended")
        tree.resume("a")
        await settle()
        assert (story.words(), status(tree, "a")) == ("xyz", "running")


@scenario("suspend", small=True)
async def a_suspension_lets_the_message_in_hand_end() -> None:
    """Given a handler in progress with a queue behind it, it finishes, the next one waits."""
    story = Chronicle()

    async def work(actor: Player) -> None:
        await trio.sleep(2)
        actor.note("worked")

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(work))
        tree.ref("a").cast_nowait(Say("x"))
        await settle()
        tree.suspend("a")
        await trio.sleep(5)
        assert story.lines == ["init a 1", "worked a"]
        tree.resume("a")
        await settle()
        assert story.lines[-1] == "said a x"


@scenario("suspend", small=True)
async def a_suspended_actor_lets_calls_run_out() -> None:
    """Given a suspended actor, a call gets its timeout and is not handled after the resume."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.suspend("a")
        with pytest.raises(CallTimeout):
            await tree.ref("a").call(Echo("no"), timeout_s=2)
        tree.resume("a")
        assert await tree.ref("a").call(Echo("yes")) == "yes"


@scenario("suspend", small=True)
async def timers_wait_for_the_resume_and_jobs_go_on() -> None:
    """Given a suspended actor, a timer due meanwhile fires at the resume, a background task runs on."""
    story = Chronicle()

    async def hum(actor: Player) -> None:
        await trio.sleep(2)
        actor.note("hummed")

    def wind(actor: Player) -> None:
        actor.context.start_timer("k", 1, Say("timer"))
        actor.context.spawn(hum, actor, name="hum")

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(wind))
        await settle()
        tree.suspend("a")
        await trio.sleep(4)
        assert story.lines == ["init a 1", "hummed a"]
        tree.resume("a")
        await settle()
        assert story.lines[-1] == "said a timer"


@scenario("suspend", small=True)
async def a_suspension_holds_over_a_restart() -> None:
    """Given a suspended actor that is killed, its next life is suspended too, its queue kept."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.suspend("a")
        tree.ref("a").cast_nowait(Say("x"))
        tree.kill("a")
        await settle()
        assert (status(tree, "a"), story.of("init"), story.of("said")) == ("suspended", ["a", "a"], [])
        tree.resume("a")
        await settle()
        assert story.of("said") == ["a"]


@scenario("suspend", small=True)
async def a_stop_ends_a_suspension() -> None:
    """Given a suspended actor, a stop does not wait for its resume; restarted, it is not suspended."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.suspend("a")
        tree.ref("a").cast_nowait(Say("x"))
        begin = trio.current_time()
        await tree.terminate_child("root", "a")
        assert (trio.current_time(), story.returned) == (begin, [("a", Say("x"))])
        await tree.restart_child("root", "a")
        tree.ref("a").cast_nowait(Say("y"))
        await settle()
        assert story.words() == "y"


@scenario("suspend", small=True)
async def a_suspension_overtakes_the_queue() -> None:
    """Given a full queue, an actor suspended by its first message handles none of the others."""
    story = Chronicle()

    def pause(actor: Player) -> None:
        actor.context.tree.suspend("a")

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(pause))
        for word in "xyz":
            tree.ref("a").cast_nowait(Say(word))
        await settle()
        assert (story.of("said"), tree.depths()) == ([], {"a": 3})
        tree.resume("a")
        await settle()
        assert story.words() == "xyz"


@scenario("suspend")
async def a_suspension_at_any_moment_loses_nothing() -> None:
    """Given suspend and resume at any two passes of a busy actor, casts are handled once, in order."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:

        async def send() -> None:
            for word in "xyz":
                await tree.ref("a").cast(Say(word))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await any_moment(4)
            tree.suspend("a")
            await any_moment(4)
            tree.resume("a")
        await settle()
        assert story.words() == "xyz"


@scenario("drain", small=True)
async def a_drained_child_works_off_its_mailbox() -> None:
    """Given a busy actor with a queue, drain handles all of it in order, then it is stopped."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Hang(for_s=2))
        for word in "xyz":
            tree.ref("a").cast_nowait(Say(word))
        await tree.drain_child("root", "a")
        assert (story.words(), story.returned, status(tree, "a")) == ("xyz", [], "stopped")
        assert story.lines[-1] == "terminate a shutdown"
        await tree.restart_child("root", "a")
        assert await tree.ref("a").call(Echo("back")) == "back"


@scenario("drain", small=True)
async def a_draining_child_accepts_nothing() -> None:
    """Given a drain in progress, casts and calls are refused, also of who waits for room."""
    story, refused = Chronicle(), list[str]()
    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(1)))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Hang(for_s=3))
        await settle()
        ref.cast_nowait(Say("x"))

        async def wait_for_room() -> None:
            with pytest.raises(ActorDown):
                await ref.cast(Say("no"))
            refused.append("waiting")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_room)
            await trio.sleep(1)
            nursery.start_soon(tree.drain_child, "root", "a")
            await trio.sleep(1)
            with pytest.raises(ActorDown):
                ref.cast_nowait(Say("no"))
            with pytest.raises(ActorDown):
                await ref.call(Echo("no"))
        assert (refused, story.words()) == (["waiting"], "x")


@scenario("drain", small=True)
async def a_drain_ends_at_its_deadline() -> None:
    """Given more work than shutdown_s allows, the drain ends then and returns what is left."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", shutdown_s=3))) as tree:
        for message in (Hang(for_s=2), Hang(for_s=2), Say("x")):
            tree.ref("a").cast_nowait(message)
        begin = trio.current_time()
        await tree.drain_child("root", "a")
        assert trio.current_time() == begin + 3
        assert story.returned == [("a", Hang(for_s=2)), ("a", Say("x"))]
        assert (story.of("said"), story.dead) == ([], [])


@scenario("drain", small=True)
async def a_suspended_actor_is_drained_all_the_same() -> None:
    """Given a suspended actor with a queue, drain handles the queue: the suspension ends with it."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.suspend("a")
        for word in "xy":
            tree.ref("a").cast_nowait(Say(word))
        await tree.drain_child("root", "a")
        assert (story.words(), story.returned) == ("xy", [])


@scenario("drain", small=True)
async def a_drained_dynamic_child_is_gone() -> None:
    """Given a dynamic child, drain works off its mailbox and removes it."""
    story = Chronicle()
    async with given(story, supervisor("root", dynamic("pool"))) as tree:
        ref = await tree.start_child("pool", player(story, "a"))
        ref.cast_nowait(Say("x"))
        await tree.drain_child("pool", "a")
        assert (story.of("said"), tree.which_children("pool")) == (["a"], ())


@scenario("drain", small=True)
async def a_crash_in_a_drain_returns_the_rest() -> None:
    """Given a message that crashes during a drain, nobody is restarted and each message has a fate."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        for message in (Say("x"), Hang(for_s=1), Boom(), Say("y")):
            tree.ref("a").cast_nowait(message)
        await tree.drain_child("root", "a")
        assert (story.words(), story.of("init"), status(tree, "a")) == ("x", ["a"], "stopped")
        assert story.returned == [("a", Boom()), ("a", Say("y"))]


@scenario("drain")
async def a_drain_meets_senders() -> None:
    """Given casts at any pass of a drain, each is handled, returned or refused, in the order sent."""
    story, refused = Chronicle(), list[str]()
    async with given(story, supervisor("root", player(story, "a"))) as tree:

        async def send() -> None:
            for word in "xy":
                await any_moment(3)
                try:
                    await tree.ref("a").cast(Say(word))
                except ActorDown:
                    refused.append(word)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await any_moment(4)
            await tree.drain_child("root", "a")
        assert story.words() + "".join(refused) == "xy"
        assert story.returned == []
