"""Scenarios of messages that wait: put aside by the actor, and taken up again later."""

import pytest
import trio

from coordinator.runtime import (
    ActorDown,
    ActorSpec,
    CallTimeout,
    Mailbox,
    StashFull,
    child,
    supervisor,
)
from tests.runtime.scenarios import given, scenario
from tests.runtime.stage import (
    AT_ONCE,
    Boom,
    Chronicle,
    Do,
    Echo,
    Hang,
    Player,
    Say,
    player,
    settle,
)


class Door(Player):
    """Puts aside what is said to it until it is opened."""

    is_open = False

    async def handle(self, message: object) -> object:
        match message:
            case Say("open"):
                self.is_open = True
                self.context.unstash_all()
                self.note("opened")
            case Say() | Echo() if not self.is_open:
                self.context.stash()
                self.note("stashed", message.word)
            case _:
                return await super().handle(message)
        return None


def door(story: Chronicle, *, capacity: int = 64, shutdown_s: float = 5.0) -> ActorSpec:
    """A specification of a door named "a"."""
    return child(Door, story, id="a", mailbox=Mailbox(capacity), backoff=AT_ONCE, shutdown_s=shutdown_s)


@scenario("stash", small=True)
async def stashed_messages_come_before_the_queue_in_their_order() -> None:
    """Given three messages put aside and one queued behind the opening, the three come first."""
    story = Chronicle()
    async with given(story, supervisor("root", door(story))) as tree:
        for word in ("x", "y", "z", "open", "last"):
            tree.ref("a").cast_nowait(Say(word))
        await settle()
        assert (story.words("stashed"), story.words()) == ("xyz", "xyzlast")


@scenario("stash", small=True)
async def a_stashed_message_is_neither_queued_nor_acknowledged() -> None:
    """Given a message put aside, the dump counts it as stashed: its place in the mailbox is free."""
    story = Chronicle()
    async with given(story, supervisor("root", door(story, capacity=1))) as tree:
        await tree.ref("a").cast(Say("x"))
        await settle()
        await tree.ref("a").cast(Hang(for_s=1))
        state = tree.dump().find("a").mailbox
        assert state is not None
        assert (state.stashed, state.counters["acked"]) == (1, 0)
        await trio.sleep(2)
        tree.ref("a").cast_nowait(Say("open"))
        await settle()
        assert story.words() == "x"


@scenario("stash", small=True)
async def a_stashed_call_is_answered_later() -> None:
    """Given a call put aside, its caller goes on waiting and is answered once it is taken up again."""
    story = Chronicle()
    async with given(story, supervisor("root", door(story))) as tree, trio.open_nursery() as nursery:

        async def open_later() -> None:
            await trio.sleep(2)
            await tree.ref("a").cast(Say("open"))

        nursery.start_soon(open_later)
        begin = trio.current_time()
        assert await tree.ref("a").call(Echo("hello")) == "hello"
        assert trio.current_time() == begin + 2


@scenario("stash", small=True)
async def a_stashed_call_whose_caller_left_is_expired() -> None:
    """Given a call put aside and given up, it is never handled and is in no stash."""
    story = Chronicle()
    async with given(story, supervisor("root", door(story))) as tree:
        with pytest.raises(CallTimeout):
            await tree.ref("a").call(Echo("hello"), timeout_s=1)
        state = tree.dump().find("a").mailbox
        assert state is not None
        assert (state.stashed, state.counters["expired"]) == (0, 1)
        tree.ref("a").cast_nowait(Say("open"))
        await settle()
        assert tree.dump().find("a").handled == 1


@scenario("stash", small=True)
async def a_full_stash_is_the_handlers_error() -> None:
    """Given a capacity of two, the third message put aside raises StashFull in the handler, at once."""
    story, full = Chronicle(), list[str]()

    def put_aside(actor: Player) -> None:
        try:
            actor.context.stash()
        except StashFull:
            full.append(actor.context.id)

    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(2)))) as tree:
        for _ in range(3):
            await tree.ref("a").cast(Do(put_aside))
        await settle()
        assert full == ["a"]
        state = tree.dump().find("a").mailbox
        assert state is not None
        assert (state.stashed, state.counters["acked"]) == (2, 1)


@scenario("stash", small=True)
async def a_restart_takes_up_the_stash() -> None:
    """Given messages put aside and a kill, the next life meets them first, before what was queued."""
    story = Chronicle()
    async with given(story, supervisor("root", door(story))) as tree:
        for word in "xy":
            tree.ref("a").cast_nowait(Say(word))
        await settle()
        story.clear()
        tree.kill("a")
        tree.ref("a").cast_nowait(Say("z"))
        await settle()
        assert story.lines == ["init a 2", "stashed a x", "stashed a y", "stashed a z"]


@scenario("stash", small=True)
async def a_crash_comes_before_its_stash() -> None:
    """Given a crash with messages put aside, the message in hand comes first in the next life."""
    story = Chronicle()
    async with given(story, supervisor("root", door(story))) as tree:
        for message in (Say("x"), Boom(once=True), Say("y")):
            tree.ref("a").cast_nowait(message)
        await settle()
        assert story.lines[-3:] == ["survived a boom", "stashed a x", "stashed a y"]


@scenario("stash", small=True)
async def a_handler_that_stashes_and_crashes_has_crashed() -> None:
    """Given a handler that puts its message aside and raises, the message is poison all the same."""
    story = Chronicle()

    def put_aside_and_break(actor: Player) -> None:
        actor.context.stash()
        raise ValueError("after the stash")

    async with given(story, supervisor("root", player(story, "a"), intensity=1)) as tree:
        tree.ref("a").cast_nowait(Do(put_aside_and_break))
        await settle()
        assert len(story.dead) == 1
        state = tree.dump().find("a").mailbox
        assert state is not None
        assert state.stashed == 0


@scenario("stash", small=True)
async def a_final_stop_returns_the_stash_first() -> None:
    """Given messages put aside and queued ones, a stop returns all, those put aside first."""
    story = Chronicle()
    async with given(story, supervisor("root", door(story, shutdown_s=1))) as tree:
        for message in (Say("x"), Say("y"), Hang(), Say("z")):
            tree.ref("a").cast_nowait(message)
        await settle()
        await tree.stop()
    assert story.returned == [("a", Hang()), ("a", Say("x")), ("a", Say("y")), ("a", Say("z"))]


@scenario("stash", small=True)
async def a_stashed_caller_hears_of_the_stop() -> None:
    """Given a call put aside, the final stop tells its caller at once."""
    story, told_at = Chronicle(), list[float]()
    async with given(story, supervisor("root", door(story))) as tree:

        async def ask() -> None:
            with pytest.raises(ActorDown):
                await tree.ref("a").call(Echo("hello"))
            told_at.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(1)
            begin = trio.current_time()
            await tree.terminate_child("root", "a")
        assert told_at == [begin]


@scenario("stash", small=True)
async def an_unstash_while_stashing_again_loses_nothing() -> None:
    """Given a handler that takes all up and puts its own message aside, the older ones come first."""
    story = Chronicle()

    def rotate(actor: Player) -> None:
        if len(story.of("rotated")) < 3:
            actor.note("rotated")
            actor.context.unstash_all()
            actor.context.stash()

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(rotate))
        tree.ref("a").cast_nowait(Do(rotate))
        await settle()
        state = tree.dump().find("a").mailbox
        assert state is not None
        assert (len(story.of("rotated")), state.stashed, state.counters["acked"]) == (3, 1, 1)
