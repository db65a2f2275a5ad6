"""Scenarios of two things at once: one begins at any pass of the scheduler during the other."""

import pytest
import trio

from coordinator.runtime import ActorDown, AdminError, StartFailed, Tree, dynamic, supervisor
from tests.runtime.moments import any_moment
from tests.runtime.scenarios import given, scenario
from tests.runtime.stage import Boom, Chronicle, Echo, Say, Script, player, settle, status


async def crash_some_time(tree: Tree, name: str, passes: int = 8) -> None:
    """Crash it at a moment the schedule chooses."""
    await any_moment(passes)
    tree.ref(name).cast_nowait(Boom(once=True))


async def blink(_: object) -> None:
    """An init that takes one pass of the scheduler."""
    await trio.lowlevel.checkpoint()


@scenario("meetings", small=True)
async def a_stop_at_any_moment_of_a_group_restart() -> None:
    """Given one_for_all coming back, a stop at any pass ends every life once, and none begins after."""
    story = Chronicle()
    cast = [player(story, n, Script(on_init=blink)) for n in "abc"]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        tree.ref("b").cast_nowait(Boom(once=True))
        await any_moment(16)
        await tree.stop()
        ended = list(story.lines)
        await settle()
        assert story.lines == ended
    for name in "abc":
        assert story.of("terminate").count(name) == story.of("init").count(name)


@scenario("meetings")
async def terminate_at_any_moment_of_a_group_restart() -> None:
    """Given one_for_all coming back, a child terminated at any pass stays down, the others come up."""
    story = Chronicle()
    cast = [player(story, n, Script(on_init=blink)) for n in "abc"]
    spec = supervisor("root", *cast, strategy="one_for_all")
    async with given(story, spec) as tree:
        tree.ref("a").cast_nowait(Boom(once=True))
        await any_moment(16)
        await tree.terminate_child("root", "b")
        await settle()
        assert [status(tree, n) for n in "abc"] == ["running", "stopped", "running"]


@scenario("meetings")
async def two_crashes_at_any_moments_of_one_for_all() -> None:
    """Given two children that crash at any two passes, everybody has as many lives, all run again."""
    story = Chronicle()
    cast = [player(story, n, Script(on_init=blink)) for n in "abc"]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash_some_time, tree, "a", 2)
            nursery.start_soon(crash_some_time, tree, "c")
        await settle()
        assert set(tree.healthy().values()) == {"running"}
        assert sorted(story.of("survived")) == ["a", "c"]
        assert len(story.of("terminate")) == len(story.of("init")) - 3


@scenario("meetings")
async def two_crashes_at_any_moments_of_rest_for_one() -> None:
    """Given a child that crashes at any pass of an earlier one's fall, the first falls once."""
    story = Chronicle()
    cast = [player(story, n, Script(on_init=blink)) for n in "abc"]
    async with given(story, supervisor("root", *cast, strategy="rest_for_one")) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash_some_time, tree, "a", 1)
            nursery.start_soon(crash_some_time, tree, "b")
        await settle()
        assert set(tree.healthy().values()) == {"running"}
        assert story.of("init").count("a") == 2
        assert sorted(story.of("survived")) == ["a", "b"]


@scenario("meetings")
async def a_call_at_any_moment_of_a_restart() -> None:
    """Given an actor that falls, a call at any pass is answered, by one life or the next."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a", Script(on_init=blink)))
    async with given(story, spec) as tree, trio.open_nursery() as nursery:
        nursery.start_soon(crash_some_time, tree, "a")
        await any_moment()
        assert await tree.ref("a").call(Echo("here")) == "here"


@scenario("meetings", small=True)
async def a_kill_at_any_moment_of_a_group_restart() -> None:
    """Given one_for_all coming back, a child killed at any pass comes back, and so does its group."""
    story = Chronicle()
    cast = [player(story, n, Script(on_init=blink)) for n in "ab"]
    spec = supervisor("root", *cast, strategy="one_for_all", intensity=5)
    async with given(story, spec) as tree:
        tree.ref("a").cast_nowait(Boom(once=True))
        await any_moment(14)
        tree.kill("b")
        await settle()
        assert set(tree.healthy().values()) == {"running"}
        assert story.of("survived") == ["a"]


@scenario("meetings")
async def a_start_child_at_any_moment_of_its_supervisors_restart() -> None:
    """Given a supervisor that falls and returns, start_child succeeds or says why not."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "b", Script(on_init=blink)), intensity=0)
    async with given(story, supervisor("root", mid)) as tree:
        tree.ref("b").cast_nowait(Boom(once=True))
        await any_moment(16)
        expected: tuple[str, ...]
        try:
            await tree.start_child("mid", player(story, "new", Script(on_init=blink)))
            expected = ("running", "gone")  # it may fall with the others after it was ready
        except (StartFailed, AdminError):
            expected = ("gone",)
        await settle()
        assert (status(tree, "mid"), status(tree, "b")) == ("running", "running")
        assert tree.healthy().get("new", "gone") in expected


@scenario("meetings")
async def a_cancellation_at_any_moment_of_the_start() -> None:
    """Given a tree coming up, its user cancelled at any pass leaves every life that was ready ended."""
    story = Chronicle()
    cast = [player(story, n, Script(on_init=blink)) for n in "ab"]
    pool = dynamic("pool", initial=[player(story, n, Script(on_init=blink)) for n in "cd"])
    async with trio.open_nursery() as nursery:

        async def user() -> None:
            async with given(story, supervisor("root", *cast, pool)):
                await trio.sleep_forever()

        nursery.start_soon(user)
        await any_moment(16)
        nursery.cancel_scope.cancel()
    assert sorted(story.of("terminate")) == sorted(story.of("init"))
    static = [n for n in story.of("init") if n in "ab"]
    assert [n for n in story.of("terminate") if n in "ab"] == static[::-1]


@scenario("meetings")
async def casts_at_any_moment_of_a_stop_and_start_by_hand() -> None:
    """Given a child stopped and started by hand, each cast is refused, returned or handled."""
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
            await tree.terminate_child("root", "a")
            await any_moment(3)
            await tree.restart_child("root", "a")
        await settle()
        said = [line.split()[2] for line in story.lines if line.startswith("said")]
        returned = [m.word for _, m in story.returned if isinstance(m, Say)]
        assert sorted([*refused, *returned, *said]) == list("xy")


@scenario("meetings")
async def terminate_at_any_moment_of_a_dynamic_start() -> None:
    """Given a dynamic child coming up, terminate at any pass removes it; its starter gets an answer."""
    story, answers = Chronicle(), list[str]()
    async with given(story, supervisor("root", dynamic("pool"))) as tree:

        async def start() -> None:
            try:
                await tree.start_child("pool", player(story, "a", Script(on_init=blink)))
                answers.append("started")
            except StartFailed:
                answers.append("failed")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await trio.lowlevel.checkpoint()
            await any_moment()
            if "a" in tree.healthy():
                await tree.terminate_child("pool", "a")
        await settle()
        assert len(answers) == 1
        if answers == ["failed"]:
            assert "a" not in tree.healthy()
        assert story.of("terminate").count("a") == story.of("init").count("a") - ("a" in tree.healthy())


@scenario("meetings", small=True)
async def a_restart_by_hand_at_any_moment_of_the_stop_by_hand() -> None:
    """Given a child being terminated, restart_child at any pass is refused or brings it back."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.terminate_child, "root", "a")
            await any_moment()
            try:
                await tree.restart_child("root", "a")
                expected = "running"
            except AdminError:
                expected = "stopped"
        await settle()
        assert status(tree, "a") in (expected, "stopped")
        if status(tree, "a") == "stopped":
            with pytest.raises(ActorDown):
                tree.ref("a").cast_nowait(Say("no"))
