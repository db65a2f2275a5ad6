"""Scenarios of actors that watch others die, and of messages an actor does not take."""

import pytest
import trio

from coordinator.runtime import (
    Actor,
    ActorContext,
    ActorRef,
    Cast,
    Down,
    Tree,
    child,
    dynamic,
    supervisor,
)
from tests.runtime.moments import any_moment
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
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


def watch(*names: str) -> Do:
    """Watch these from now on."""

    def deed(actor: Player) -> None:
        for name in names:
            actor.context.watch(actor.context.whereis(name))

    return Do(deed)


def heard(story: Chronicle) -> list[str]:
    """The notices that were handled, as "id reason"."""
    return [" ".join(line.split()[2:]) for line in story.lines if line.startswith("heard ")]


async def beside(story: Chronicle, tree: Tree) -> None:
    """Let "w" watch "a" from now on."""
    tree.ref("w").cast_nowait(watch("a"))
    await settle()
    story.clear()


@scenario("watching", small=True)
async def a_watcher_hears_once_of_the_end() -> None:
    """Given a watched actor, its stop for good is one notice with the reason."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "w"), player(story, "a"))) as tree:
        await beside(story, tree)
        await tree.terminate_child("root", "a")
        await settle()
        assert heard(story) == ["a shutdown"]


@scenario("watching", small=True)
async def a_restart_is_not_a_death() -> None:
    """Given a watched actor that crashes and is killed, its restarts are no notice; its end is."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "w"), player(story, "a"))) as tree:
        await beside(story, tree)
        await crash_once(tree, "a")
        tree.kill("a")
        await settle()
        assert heard(story) == []
        await tree.terminate_child("root", "a")
        await settle()
        assert heard(story) == ["a shutdown"]


@scenario("watching", small=True)
async def who_is_down_already_is_a_notice_at_once() -> None:
    """Given an actor that is stopped, watching it brings the notice before what is queued."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "w"), player(story, "a"))) as tree:
        await tree.terminate_child("root", "a")
        story.clear()
        tree.ref("w").cast_nowait(watch("a"))
        await settle()
        assert heard(story) == ["a shutdown"]


@scenario("watching", small=True)
async def a_reference_to_who_is_gone_can_be_watched() -> None:
    """Given a dynamic child that is gone, a reference to it still gives its one notice."""
    story = Chronicle()
    spec = supervisor("root", player(story, "w"), dynamic("pool"))
    async with given(story, spec) as tree:
        ref = await tree.start_child("pool", player(story, "a", restart="temporary"))
        tree.kill("a")
        await settle()
        tree.ref("w").cast_nowait(Do(lambda actor: actor.context.watch(ref)))
        await settle()
        assert heard(story) == ["a crash"]


@scenario("watching", small=True)
async def watching_twice_is_watching_once() -> None:
    """Given two watches of one actor, its end is one notice."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "w"), player(story, "a"))) as tree:
        tree.ref("w").cast_nowait(watch("a", "a"))
        await beside(story, tree)
        await tree.terminate_child("root", "a")
        await settle()
        assert heard(story) == ["a shutdown"]


@scenario("watching", small=True)
async def a_watch_taken_back_is_silent() -> None:
    """Given a watch and an unwatch, the end is no notice; unwatching a stranger is fine."""
    story = Chronicle()

    def look_away(actor: Player) -> None:
        for name in ("a", "b"):
            actor.context.unwatch(actor.context.whereis(name))

    cast = [player(story, n) for n in "wab"]
    async with given(story, supervisor("root", *cast)) as tree:
        tree.ref("w").cast_nowait(watch("a"))
        tree.ref("w").cast_nowait(Do(look_away))
        await settle()
        await tree.terminate_child("root", "a")
        await settle()
        assert heard(story) == []


@scenario("watching", small=True)
async def an_unwatch_takes_back_a_notice_on_its_way() -> None:
    """Given a busy watcher whose actor dies meanwhile, its unwatch comes in time: no notice."""
    story = Chronicle()

    async def work(actor: Player) -> None:
        await trio.sleep(2)
        actor.context.unwatch(actor.context.whereis("a"))

    async with given(story, supervisor("root", player(story, "w"), player(story, "a"))) as tree:
        await beside(story, tree)
        tree.ref("w").cast_nowait(DoAsync(work))
        await trio.sleep(1)
        await tree.terminate_child("root", "a")
        await trio.sleep(2)
        assert heard(story) == []


@scenario("watching", small=True)
async def a_watch_dies_with_its_watchers_life() -> None:
    """Given a watcher that crashes, its next life hears nothing of what the first one watched."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "w"), player(story, "a"))) as tree:
        await beside(story, tree)
        await crash_once(tree, "w")
        await tree.terminate_child("root", "a")
        await settle()
        assert heard(story) == []


@scenario("watching", small=True)
async def a_full_mailbox_refuses_no_notice() -> None:
    """Given a watcher with a full mailbox, the notice comes right after the message in hand."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "w"), player(story, "a"))) as tree:
        await beside(story, tree)
        tree.ref("w").cast_nowait(Hang(for_s=2))
        await settle()
        for n in range(64):
            tree.ref("w").cast_nowait(Say(str(n)))
        await tree.terminate_child("root", "a")
        await trio.sleep(3)
        assert story.lines[1] == "heard w a shutdown"
        assert len(story.of("said")) == 64


@scenario("watching", small=True)
async def a_reborn_actor_may_be_watched_again() -> None:
    """Given an actor stopped, restarted by hand and watched again, its next end is another notice."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "w"), player(story, "a"))) as tree:
        await beside(story, tree)
        await tree.terminate_child("root", "a")
        await settle()
        await tree.restart_child("root", "a")
        tree.kill("a")
        await settle()
        assert heard(story) == ["a shutdown"]
        tree.ref("w").cast_nowait(watch("a"))
        await settle()
        await tree.terminate_child("root", "a")
        await settle()
        assert heard(story) == ["a shutdown", "a shutdown"]


@scenario("watching", small=True)
async def two_that_watch_each_other_end_with_their_supervisor() -> None:
    """Given two temporary siblings that watch each other, the survivor hears of the other."""
    story = Chronicle()
    cast = [player(story, n, restart="temporary") for n in "ab"]
    async with given(story, supervisor("root", *cast)) as tree:
        tree.ref("a").cast_nowait(watch("b"))
        tree.ref("b").cast_nowait(watch("a"))
        await settle()
        tree.kill("a")
        await settle()
        assert heard(story) == ["a crash"]
    assert heard(story) == ["a crash"]


@scenario("watching", small=True)
async def anybody_may_wait_for_the_end() -> None:
    """Given two tasks that wait for down, restarts do not wake them, the end gives both its reason."""
    story, told = Chronicle(), list[str]()

    async def wait(ref: ActorRef) -> None:
        told.append(await ref.down())

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(wait, tree.ref("a"))
            await crash_once(tree, "a")
            assert told == []
            await tree.terminate_child("root", "a")
        assert told == ["shutdown", "shutdown"]
        assert await tree.ref("a").down() == "shutdown"


@scenario("watching", small=True)
async def who_waits_for_the_end_may_give_up() -> None:
    """Given a task that waits for down and is cancelled, the later end harms nobody."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with trio.move_on_after(2) as scope:
            await tree.ref("a").down()
        assert scope.cancelled_caught
        await tree.terminate_child("root", "a")
        assert status(tree, "a") == "stopped"


@scenario("watching")
async def a_watch_at_any_moment_of_the_end_is_one_notice() -> None:
    """Given a watch that begins at any pass of the watched one's stop, it brings exactly one notice."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "w"), player(story, "a"))) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.terminate_child, "root", "a")
            await any_moment()
            tree.ref("w").cast_nowait(watch("a"))
        await settle()
        assert heard(story) == ["a shutdown"]


@scenario("watching", small=True)
async def the_fall_of_a_supervisor_is_heard_of_guests_only() -> None:
    """Given a restarted supervisor, a guest's end is a notice, a specified child's restart is none."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a"), intensity=0)
    async with given(story, supervisor("root", player(story, "w"), mid)) as tree:
        await tree.start_child("mid", player(story, "guest"))
        tree.ref("w").cast_nowait(watch("a", "guest"))
        await settle()
        await crash_once(tree, "a")
        assert [line.split()[0] for line in heard(story)] == ["guest"]


class Strict(Actor):
    """Takes what is said to it, and nothing else."""

    def __init__(self, story: Chronicle) -> None:
        self.story = story

    async def handle(self, message: Say) -> None:
        if message.word == "watch":
            self.context.watch(self.context.ref)
        self.story.lines.append(f"said {self.context.id} {message.word}")


@scenario("protocol", small=True)
async def a_strange_message_is_refused_at_the_sender() -> None:
    """Given an actor that takes Say, other messages are TypeErrors at the sender and never queued."""
    story = Chronicle()
    async with given(story, supervisor("root", child(Strict, story, id="a"))) as tree:
        ref = tree.ref("a")
        for strange in (Hang(), Down("x", "y")):
            with pytest.raises(TypeError, match=r"Strict .*Say"):
                ref.cast_nowait(strange)
            with pytest.raises(TypeError, match=r"Strict .*Say"):
                await ref.cast(strange)
        with pytest.raises(TypeError):
            await ref.call(Echo("no"))
        await ref.cast(Say("x"))
        await settle()
        assert (story.lines, story.crashes) == (["said a x"], [])


@scenario("protocol", small=True)
async def the_wrong_way_of_sending_is_refused() -> None:
    """Given a cast sent by call and a call sent by cast, both are TypeErrors at any actor."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with pytest.raises(TypeError):
            await tree.ref("a").call(Say("x"))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            tree.ref("a").cast_nowait(Echo("x"))  # type: ignore[arg-type]
        assert tree.depths() == {"a": 0}


@scenario("protocol", small=True)
async def who_takes_no_notice_may_not_watch() -> None:
    """Given a handle that does not list Down, its watch is a TypeError in the handler."""
    story = Chronicle()
    async with given(story, supervisor("root", child(Strict, story, id="a"), intensity=1)) as tree:
        tree.ref("a").cast_nowait(Say("watch"))
        await settle()
        assert [c.error.type for c in story.crashes] == ["TypeError", "TypeError"]


class Louder(Say):
    """A Say by descent."""


class Lax(Actor):
    """Says nothing of what it takes."""

    context: ActorContext

    async def handle(self, message):  # type: ignore[no-untyped-def]
        """Take anything."""


@scenario("protocol", small=True)
async def a_descendant_is_taken_and_without_annotation_everything() -> None:
    """Given a subclass of what is taken it is taken; an actor without annotation takes any cast."""

    class Unheard(Cast):
        pass

    story = Chronicle()
    cast = [child(Strict, story, id="a"), child(Lax, id="b")]
    async with given(story, supervisor("root", *cast)) as tree:
        await tree.ref("a").cast(Louder("x"))
        await tree.ref("b").cast(Unheard())
        await settle()
        assert story.lines == ["said a x"]
        assert tree.dump().find("b").handled == 1


@scenario("protocol", small=True)
async def a_reference_is_asked_for_by_class() -> None:
    """Given a place that holds another class, asking for it by class is a TypeError, not a surprise."""
    story = Chronicle()
    async with given(story, supervisor("root", child(Strict, story, id="a"))) as tree:
        await tree.ref("a", Strict).cast(Say("x"))
        with pytest.raises(TypeError):
            tree.ref("a", Lax)
        with pytest.raises(KeyError):
            tree.ref("root")
