"""Scenarios of the verbs in every state of a child: running, restarting, stopped, gone, never there."""

import pytest
import trio

from coordinator.runtime import (
    ActorDown,
    AdminError,
    ChildCount,
    ChildExists,
    ChildNotStopped,
    StartFailed,
    TooManyChildren,
    UnknownChild,
    WouldDeadlock,
    dynamic,
    supervisor,
    task,
)
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import Chronicle, DoAsync, Hang, Player, Say, Script, player, settle, status


async def idle(*, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep_forever()


@scenario("admin", small=True)
async def a_dynamic_child_stopped_by_hand_is_gone() -> None:
    """Given a dynamic child, terminate removes it: the other verbs do not know it, its id is free."""
    story = Chronicle()
    async with given(story, supervisor("root", dynamic("pool"))) as tree:
        ref = await tree.start_child("pool", player(story, "a"))
        await tree.terminate_child("pool", "a")
        for verb in (tree.terminate_child, tree.restart_child, tree.delete_child):
            with pytest.raises(UnknownChild):
                await verb("pool", "a")
        assert (ref.alive, tree.which_children("pool")) == (False, ())
        again = await tree.start_child("pool", player(story, "a"))
        assert (again.alive, ref.alive) == (True, False)


@scenario("admin", small=True)
async def stopping_a_stopped_child_is_a_success() -> None:
    """Given a child stopped by hand, terminating it again returns and says nothing twice."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        await tree.terminate_child("root", "a")
        await tree.terminate_child("root", "a")
        assert (status(tree, "a"), story.of("terminate")) == ("stopped", ["a"])


@scenario("admin", small=True)
async def a_temporary_child_stopped_by_hand_is_gone() -> None:
    """Given a temporary child of a static supervisor, terminate leaves no place."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", restart="temporary"))) as tree:
        await tree.terminate_child("root", "a")
        assert tree.which_children("root") == ()
        with pytest.raises(UnknownChild):
            await tree.restart_child("root", "a")


@scenario("admin", small=True)
async def children_are_listed_in_order_with_their_states() -> None:
    """Given children of every kind, one stopped, the list has id, kind and state in order of start."""
    story = Chronicle()
    cast = [player(story, "a"), task(idle, id="t"), supervisor("mid"), dynamic("pool")]
    async with given(story, supervisor("root", *cast)) as tree:
        await tree.terminate_child("root", "a")
        assert [(i.id, i.kind, i.status) for i in tree.which_children("root")] == [
            ("a", "actor", "stopped"),
            ("t", "task", "running"),
            ("mid", "supervisor", "running"),
            ("pool", "supervisor", "running"),
        ]
        assert tree.count_children("root") == ChildCount(4, 3, 2, 2)
        await tree.delete_child("root", "a")
        assert tree.count_children("root") == ChildCount(3, 3, 2, 1)


@scenario("admin", small=True)
async def a_restarting_child_counts_and_is_not_active() -> None:
    """Given a child between two tries, it has a place and no task."""
    story, broken = Chronicle(), Script()
    spec = supervisor("root", dynamic("pool", initial=[player(story, "a", broken)], intensity=1))
    async with given(story, spec) as tree:
        broken.init_takes_s = 100
        await crash_once(tree, "a")
        assert tree.count_children("pool") == ChildCount(1, 1, 0, 1)
        assert [i.status for i in tree.which_children("pool")] == ["starting"]
        await tree.terminate_child("pool", "a")
        assert tree.count_children("pool") == ChildCount(0, 0, 0, 0)


@scenario("admin", small=True)
async def a_starting_child_is_neither_restarted_nor_deleted() -> None:
    """Given a child in a long init after a crash, restart and delete are refused, naming its state."""
    story, slow = Chronicle(), Script()
    async with given(story, supervisor("root", player(story, "a", slow))) as tree:
        slow.init_takes_s = 9
        await crash_once(tree, "a")
        for verb in (tree.restart_child, tree.delete_child):
            with pytest.raises(ChildNotStopped, match="starting"):
                await verb("root", "a")
        await tree.terminate_child("root", "a")
        assert status(tree, "a") == "stopped"


@scenario("admin", small=True)
async def a_supervisor_is_stopped_and_started_with_all_below() -> None:
    """Given an inner supervisor, terminate ends its children in reverse, restart brings all back."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a"), player(story, "b"))
    async with given(story, supervisor("root", mid)) as tree:
        ref = tree.ref("a")
        await tree.terminate_child("root", "mid")
        assert story.of("terminate") == ["b", "a"]
        assert not ref.alive
        with pytest.raises(AdminError):
            await tree.start_child("mid", player(story, "c"))
        await tree.restart_child("root", "mid")
        assert story.of("init") == ["a", "b", "a", "b"]
        ref.cast_nowait(Say("here"))


@scenario("admin", small=True)
async def a_deleted_supervisor_frees_every_name_below() -> None:
    """Given a stopped inner supervisor, delete frees its id and its children's."""
    story = Chronicle()
    async with given(story, supervisor("root", supervisor("mid", player(story, "a")))) as tree:
        with pytest.raises(ChildExists):
            await tree.start_child("root", player(story, "a"))
        await tree.terminate_child("root", "mid")
        await tree.delete_child("root", "mid")
        await tree.start_child("root", player(story, "a"))
        assert tree.healthy() == {"root": "running", "a": "running"}


@scenario("admin", small=True)
async def a_stop_by_hand_does_not_take_the_group() -> None:
    """Given one_for_all, terminate and restart of one child leave the others in their first life."""
    story = Chronicle()
    cast = [player(story, n) for n in "abc"]
    spec = supervisor("root", *cast, strategy="one_for_all", intensity=0)
    async with given(story, spec) as tree:
        await tree.terminate_child("root", "b")
        await tree.restart_child("root", "b")
        assert story.of("init") == ["a", "b", "c", "b"]
        assert story.of("terminate") == ["b"]


@scenario("admin", small=True)
async def a_failed_restart_by_hand_does_not_take_the_rest() -> None:
    """Given rest_for_one, a failed restart_child of the first leaves the later one alone."""
    story, shaky = Chronicle(), Script()
    cast = [player(story, "a", shaky), player(story, "b")]
    async with given(story, supervisor("root", *cast, strategy="rest_for_one", intensity=0)) as tree:
        await tree.terminate_child("root", "a")
        shaky.failing_inits = 1
        with pytest.raises(StartFailed):
            await tree.restart_child("root", "a")
        assert (status(tree, "a"), status(tree, "b")) == ("failed", "running")
        with pytest.raises(ActorDown):
            tree.ref("a").cast_nowait(Say("no"))
        assert story.of("terminate") == ["a"]


@scenario("admin", small=True)
async def a_free_place_can_be_taken() -> None:
    """Given max_children 1, the second start is refused until the first child is gone."""
    story = Chronicle()
    async with given(story, supervisor("root", dynamic("pool", max_children=1))) as tree:
        await tree.start_child("pool", player(story, "a"))
        with pytest.raises(TooManyChildren):
            await tree.start_child("pool", player(story, "b"))
        await tree.terminate_child("pool", "a")
        await tree.start_child("pool", player(story, "b"))
        assert [i.id for i in tree.which_children("pool")] == ["b"]


@scenario("admin", small=True)
async def verbs_ask_supervisors_only() -> None:
    """Given an actor and an unknown id in a supervisor's place, each verb says what is wrong."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with pytest.raises(AdminError):
            await tree.terminate_child("a", "b")
        with pytest.raises(AdminError):
            tree.which_children("a")
        with pytest.raises(KeyError):
            tree.count_children("nobody")
        with pytest.raises(AdminError):
            tree.kill("root")


@scenario("admin", small=True)
async def an_actor_cannot_wait_for_its_own_end() -> None:
    """Given a handler that terminates itself or a supervisor above it, it gets WouldDeadlock."""
    story, refused = Chronicle(), list[str]()

    async def ask(actor: Player) -> None:
        for owner, name in (("mid", "a"), ("root", "mid")):
            with pytest.raises(WouldDeadlock):
                await actor.context.tree.terminate_child(owner, name)
            refused.append(name)

    mid = supervisor("mid", player(story, "a"))
    async with given(story, supervisor("root", mid)) as tree:
        tree.ref("a").cast_nowait(DoAsync(ask))
        await settle()
        assert (refused, status(tree, "a")) == (["a", "mid"], "running")


@scenario("admin", small=True)
async def an_actor_may_stop_its_sibling() -> None:
    """Given a handler that terminates a sibling, it waits for it and goes on."""
    story = Chronicle()

    async def ask(actor: Player) -> None:
        await actor.context.tree.terminate_child("root", "b")
        actor.note("asked")

    async with given(story, supervisor("root", player(story, "a"), player(story, "b"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(ask))
        await settle()
        assert story.lines[2:] == ["terminate b shutdown", "asked a"]


@scenario("admin", small=True)
async def verbs_cost_nothing() -> None:
    """Given a budget of none, children are stopped, started, restarted and deleted at will."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), intensity=0)
    async with given(story, spec) as tree:
        await tree.terminate_child("root", "a")
        await tree.restart_child("root", "a")
        await tree.start_child("root", player(story, "b"))
        await tree.terminate_child("root", "b")
        await tree.delete_child("root", "b")
        assert tree.healthy() == {"root": "running", "a": "running"}


@scenario("admin", small=True)
async def a_busy_child_is_terminated_by_its_ladder() -> None:
    """Given a child that hangs, terminate_child takes its shutdown_s and returns its message."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", shutdown_s=2))) as tree:
        tree.ref("a").cast_nowait(Hang())
        await settle()
        tree.ref("a").cast_nowait(Say("queued"))
        begin = trio.current_time()
        await tree.terminate_child("root", "a")
        assert trio.current_time() == begin + 2
        assert story.returned == [("a", Hang()), ("a", Say("queued"))]


@scenario("admin", small=True)
async def terminating_a_zombie_does_not_wait_for_it() -> None:
    """Given a deaf child, terminate_child returns once it is given up; nobody takes its place."""
    story, free = Chronicle(), trio.Event()
    deaf = player(story, "a", Script(ignores_cancel_until=free), shutdown_s=2)
    async with given(story, supervisor("root", deaf)) as tree:
        tree.ref("a").cast_nowait(Hang())
        await settle()
        begin = trio.current_time()
        await tree.terminate_child("root", "a")
        assert (trio.current_time(), status(tree, "a")) == (begin + 3, "zombie")
        with pytest.raises(ChildNotStopped):
            await tree.restart_child("root", "a")
        free.set()
        await settle()
        assert status(tree, "a") == "stopped"


@scenario("admin", small=True)
async def a_start_into_a_stopped_supervisor_is_refused() -> None:
    """Given a supervisor stopped by hand, start_child below it is refused and leaves no name."""
    story = Chronicle()
    async with given(story, supervisor("root", dynamic("pool"))) as tree:
        await tree.terminate_child("root", "pool")
        with pytest.raises(AdminError):
            await tree.start_child("pool", player(story, "a"))
        assert "a" not in tree.healthy()
        assert story.lines == []
