"""Scenarios of the verbs: children that come and go by hand, and verbs that meet each other."""

import pytest
import trio

from coordinator.runtime import (
    ActorDown,
    AdminError,
    ChildExists,
    ChildNotStopped,
    StartFailed,
    TooManyChildren,
    UnknownChild,
    WouldDeadlock,
    dynamic,
    supervisor,
)
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import Chronicle, Player, Say, Script, player, settle, status


@scenario("admin", small=True)
async def a_child_is_stopped_and_started_by_hand() -> None:
    """Given a static child, terminate keeps its place, restart gives it another life, for free."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), intensity=0)) as tree:
        ref = tree.ref("a")
        await tree.terminate_child("root", "a")
        with pytest.raises(ActorDown):
            ref.cast_nowait(Say("no"))
        await tree.restart_child("root", "a")
        ref.cast_nowait(Say("yes"))
        await settle()
        assert story.lines == ["init a 1", "terminate a shutdown", "init a 2", "said a yes"]


@scenario("admin", small=True)
async def a_stopped_child_is_deleted_and_its_id_is_free() -> None:
    """Given a stopped child, delete forgets it; a running one is refused; the id can be used again."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with pytest.raises(ChildNotStopped):
            await tree.delete_child("root", "a")
        await tree.terminate_child("root", "a")
        await tree.delete_child("root", "a")
        assert tree.which_children("root") == ()
        await tree.start_child("root", player(story, "a"))
        assert status(tree, "a") == "running"


@scenario("admin", small=True)
async def unknown_and_duplicate_ids_are_refused() -> None:
    """Given one child, each verb answers for an unknown id and start_child for one that is taken."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        for verb in (tree.terminate_child, tree.restart_child, tree.delete_child):
            with pytest.raises(UnknownChild):
                await verb("root", "nobody")
        with pytest.raises(ChildExists):
            await tree.start_child("root", player(story, "a"))
        with pytest.raises(ChildNotStopped):
            await tree.restart_child("root", "a")
        assert story.lines == ["init a 1"]


@scenario("admin", small=True)
async def of_two_starts_of_one_id_one_wins() -> None:
    """Given two tasks that start the same id at once, one is refused and one life begins."""
    story, refused = Chronicle(), list[str]()
    async with given(story, supervisor("root", dynamic("pool"))) as tree:

        async def start() -> None:
            try:
                await tree.start_child("pool", player(story, "a", Script(init_takes_s=1)))
            except ChildExists:
                refused.append("a")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            nursery.start_soon(start)
        assert (refused, story.of("init")) == (["a"], ["a"])


@scenario("admin", small=True)
async def the_limit_holds_for_concurrent_starts() -> None:
    """Given max_children 1, of two concurrent starts one is refused."""
    story, refused = Chronicle(), list[str]()
    async with given(story, supervisor("root", dynamic("pool", max_children=1))) as tree:

        async def start(name: str) -> None:
            try:
                await tree.start_child("pool", player(story, name, Script(init_takes_s=1)))
            except TooManyChildren:
                refused.append(name)

        async with trio.open_nursery() as nursery:
            for name in "ab":
                nursery.start_soon(start, name)
        assert len(refused) == 1
        assert tree.count_children("pool").active == 1


@scenario("admin", small=True)
async def a_failed_dynamic_start_leaves_nothing_and_hurts_nobody() -> None:
    """Given a child whose init fails, start_child raises, its place is gone, its sibling lives on."""
    story = Chronicle()
    spec = supervisor("root", dynamic("pool", initial=[player(story, "a")], intensity=0), intensity=0)
    async with given(story, spec) as tree:
        with pytest.raises(StartFailed, match="b did not start"):
            await tree.start_child("pool", player(story, "b", Script(failing_inits=1)))
        assert tree.healthy() == {"root": "running", "pool": "running", "a": "running"}
        assert story.of("init") == ["a"]


@scenario("admin", small=True)
async def an_old_child_that_fails_to_restart_stays_stopped() -> None:
    """Given a stopped static child whose init now fails, restart_child raises and it stays down."""
    story, script = Chronicle(), Script()
    spec = supervisor("root", player(story, "a", script), intensity=0)
    async with given(story, spec) as tree:
        await tree.terminate_child("root", "a")
        script.failing_inits = 1
        with pytest.raises(StartFailed):
            await tree.restart_child("root", "a")
        assert status(tree, "a") == "failed"
        await tree.restart_child("root", "a")
        assert status(tree, "a") == "running"


@scenario("admin", small=True)
async def terminate_meets_the_crash_of_the_same_child() -> None:
    """Given a child that crashes as it is terminated, it ends stopped, whichever came first."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), player(story, "b"))) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash_once, tree, "a")
            nursery.start_soon(tree.terminate_child, "root", "a")
        assert (status(tree, "a"), status(tree, "b")) == ("stopped", "running")
        assert story.of("terminate").count("a") == story.of("init").count("a")


@scenario("admin", small=True)
async def terminate_meets_terminate() -> None:
    """Given two tasks that terminate the same child, both return and it has its last words once."""
    story = Chronicle()
    slow = Script(terminate_takes_s=1)
    async with given(story, supervisor("root", player(story, "a", slow))) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.terminate_child, "root", "a")
            nursery.start_soon(tree.terminate_child, "root", "a")
        assert story.lines == ["init a 1", "terminate a shutdown", "terminated a"]


@scenario("admin", small=True)
async def a_start_meets_the_stop_of_the_tree() -> None:
    """Given a start_child in progress, a stop cancels it: the asker is told, nothing is left."""
    story, told = Chronicle(), list[str]()

    async with given(story, supervisor("root", dynamic("pool"))) as tree:

        async def start() -> None:
            try:
                await tree.start_child("pool", player(story, "a", Script(init_takes_s=10)))
            except (StartFailed, AdminError) as exc:
                told.append(type(exc).__name__)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            nursery.start_soon(tree.stop)
    assert len(told) == 1
    assert story.of("init") == []


@scenario("admin")
async def a_start_meets_a_restart_of_its_supervisor() -> None:
    """Given a start_child in progress below a supervisor that falls, the asker is told at once."""
    story, told = Chronicle(), list[str]()
    pool = supervisor("mid", player(story, "b"), intensity=0)
    async with given(story, supervisor("root", pool)) as tree:

        async def start() -> None:
            try:
                await tree.start_child("mid", player(story, "a", Script(init_takes_s=10)))
            except (StartFailed, AdminError) as exc:
                told.append(type(exc).__name__)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            nursery.start_soon(crash_once, tree, "b")
        assert len(told) == 1
        assert tree.healthy() == {"root": "running", "mid": "running", "b": "running"}


@scenario("admin", small=True)
async def a_cancelled_asker_leaves_a_child_that_is_looked_after() -> None:
    """Given a start_child whose caller gives up, the child comes up and stops with the tree."""
    story = Chronicle()
    async with given(story, supervisor("root", dynamic("pool"))) as tree:
        with trio.move_on_after(1):
            await tree.start_child("pool", player(story, "a", Script(init_takes_s=3)))
        await trio.sleep(3)
        assert tree.healthy().get("a", "gone") in ("running", "gone")
    assert story.of("terminate") == story.of("init")


@scenario("admin", small=True)
async def an_init_that_asks_its_own_supervisor_is_refused() -> None:
    """Given an init that starts a sibling, it gets WouldDeadlock and not a deadlock."""
    story, refused = Chronicle(), list[str]()

    async def ask(actor: Player) -> None:
        with pytest.raises(WouldDeadlock):
            await actor.context.tree.start_child("root", player(story, "b"))
        refused.append(actor.context.id)

    async with given(story, supervisor("root", player(story, "a", Script(on_init=ask)))) as tree:
        assert refused == ["a"]
        assert tree.healthy() == {"root": "running", "a": "running"}


@scenario("admin", small=True)
async def a_started_child_takes_part_in_the_order() -> None:
    """Given a child started by hand, it stops first and falls with its group."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), strategy="rest_for_one")
    async with given(story, spec) as tree:
        await tree.start_child("root", player(story, "b"))
        await crash_once(tree, "a")
        assert story.of("terminate") == ["a", "b"]
        assert story.of("init") == ["a", "b", "a", "b"]
        story.clear()
    assert story.of("terminate") == ["b", "a"]
