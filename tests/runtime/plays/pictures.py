"""Scenarios of the dump, and of many: what can be seen at any time, what holds for any number."""

import json

import trio

from coordinator.runtime import dynamic, supervisor
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import Boom, BoomError, Chronicle, Say, Script, player, settle


@scenario("dump", small=True)
async def a_dump_shows_what_waits_for_its_restart() -> None:
    """Given an actor between two tries, the dump has when the next is due, its queue and last error."""
    story, broken = Chronicle(), Script()
    spec = supervisor("root", dynamic("pool", initial=[player(story, "a", broken)]))
    async with given(story, spec) as tree:
        broken.init_takes_s = 50
        tree.ref("a").cast_nowait(Boom(once=True))
        await settle()
        tree.ref("a").cast_nowait(Say("queued"))
        node = tree.dump().find("a")
        assert (node.status, node.incarnation, node.restarts) == ("starting", 2, 1)
        assert node.in_flight is not None
        assert node.mailbox is not None
        assert node.last_error is not None
        assert (node.in_flight.attempt, node.in_flight.age_s, node.mailbox.depth) == (2, None, 1)
        assert node.last_error.type == "BoomError"


@scenario("dump", small=True)
async def a_broken_inspect_hides_nobody_else() -> None:
    """Given an actor whose inspect raises, its error stands there and its sibling's state is shown."""
    story = Chronicle()
    cast = [
        player(story, "a", Script(state=BoomError("inspect"))),
        player(story, "b", Script(state={"n": 1})),
    ]
    async with given(story, supervisor("root", *cast)) as tree:
        dump = tree.dump()
        assert "BoomError" in str(dump.find("a").state)
        assert dump.find("b").state == {"n": 1}
        json.dumps(dump.as_dict())


@scenario("dump", small=True)
async def a_dump_is_cut_to_what_one_can_read() -> None:
    """Given twenty messages of a page each, the dump has the last ten, in 200 characters each."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        for n in range(20):
            tree.ref("a").cast_nowait(Say(f"{n} " + "x" * 5000))
        await settle()
        node = tree.dump().find("a")
        assert [m.message.split("word='")[1].split()[0] for m in node.last_messages] == [
            str(n) for n in range(10, 20)
        ]
        assert all(len(m.message) <= 200 for m in node.last_messages)
        assert node.handled == 20


@scenario("dump", small=True)
async def a_dump_after_the_end_shows_who_did_what() -> None:
    """Given a tree that has stopped, the dump still has every place with its counters, all down."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), player(story, "b"))) as tree:
        tree.ref("a").cast_nowait(Say("x"))
        await settle()
        await tree.stop()
        assert {n.status for n in tree.dump().nodes()} == {"stopped"}
        assert tree.dump().find("a").handled == 1


@scenario("scale")
async def a_stop_meets_fifty_crashes() -> None:
    """Given fifty children that crash as the stop begins, each life ends once, nobody comes after."""
    story = Chronicle()
    names = [f"n{i}" for i in range(50)]
    async with given(
        story, supervisor("root", dynamic("pool", initial=[player(story, n) for n in names]))
    ) as tree:
        for name in names:
            tree.ref(name).cast_nowait(Boom(once=True))
        await trio.lowlevel.checkpoint()
        await tree.stop()
    assert sorted(story.of("init")) == sorted(story.of("terminate"))


@scenario("scale")
async def thirty_static_children_fall_and_come_back_as_one() -> None:
    """Given thirty children under one_for_all, a crash of each third costs one restart, in order."""
    story = Chronicle()
    names = [f"n{i:02}" for i in range(30)]
    spec = supervisor("root", *(player(story, n) for n in names), strategy="one_for_all", intensity=1)
    async with given(story, spec) as tree:
        await crash_once(tree, *names[::3])
        assert set(tree.healthy().values()) == {"running"}
        assert story.of("init") == names * 2


@scenario("scale")
async def ten_actors_talk_through_crashes_and_lose_nothing() -> None:
    """Given ten actors and a hundred casts with a crash in each, every cast is handled once."""
    story = Chronicle()
    names = [f"n{i}" for i in range(10)]
    spec = supervisor("root", *(player(story, n) for n in names), intensity=10)
    async with given(story, spec) as tree:

        async def send(name: str) -> None:
            for n in range(10):
                await tree.ref(name).cast(Boom(once=True) if n == 5 else Say(f"{n}"))

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(send, name)
        await settle()
        assert len(story.of("said")) == 90
        assert sorted(story.of("survived")) == names
