"""Scenarios of significant children: when the end of a child is the end of its supervisor."""

import trio

from coordinator.runtime import SupervisorSpec, Tree, dynamic, supervisor, task
from coordinator.runtime.restart import Restart
from coordinator.runtime.spec import AutoShutdown
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    BoomError,
    Chronicle,
    Do,
    Hang,
    Script,
    player,
    settle,
    status,
)


def work(story: Chronicle, auto: AutoShutdown, restart: Restart = "temporary") -> SupervisorSpec:
    """A supervisor "mid" of an insignificant child and two significant transient ones."""
    return supervisor(
        "mid",
        player(story, "a"),
        player(story, "b", restart="transient", significant=True),
        player(story, "c", restart="transient", significant=True),
        restart=restart,
        auto_shutdown=auto,
    )


async def finish(tree: Tree, name: str) -> None:
    """Let the actor end normally."""
    tree.ref(name).cast_nowait(Do(lambda actor: actor.context.stop()))
    await settle()


@scenario("significant", small=True)
async def the_first_of_several_significant_ends_is_enough() -> None:
    """Given any_significant and two significant children, the end of one stops all in reverse."""
    story = Chronicle()
    async with given(story, supervisor("root", work(story, "any_significant"))) as tree:
        await finish(tree, "c")
        assert story.of("terminate") == ["c", "b", "a"]
        assert tree.healthy() == {"root": "running"}


@scenario("significant", small=True)
async def the_last_of_all_significant_ends_ends_the_work() -> None:
    """Given all_significant, the supervisor goes on after the first end and stops after the second."""
    story = Chronicle()
    async with given(story, supervisor("root", work(story, "all_significant"))) as tree:
        await finish(tree, "b")
        assert (status(tree, "mid"), story.of("terminate")) == ("running", ["b"])
        await finish(tree, "c")
        assert story.of("terminate") == ["b", "c", "a"]
        assert "mid" not in tree.healthy()


@scenario("significant", small=True)
async def without_auto_shutdown_nothing_follows() -> None:
    """Given "never", significant children may all end and their supervisor goes on."""
    story = Chronicle()
    async with given(story, supervisor("root", work(story, "never"))) as tree:
        await finish(tree, "b")
        await finish(tree, "c")
        assert status(tree, "mid") == status(tree, "a") == "running"


@scenario("significant", small=True)
async def an_insignificant_end_changes_nothing() -> None:
    """Given any_significant, a transient child that is not significant may end."""
    story = Chronicle()
    mid = supervisor(
        "mid",
        player(story, "a", restart="transient"),
        player(story, "b"),
        auto_shutdown="any_significant",
    )
    async with given(story, supervisor("root", mid)) as tree:
        await finish(tree, "a")
        assert (status(tree, "mid"), status(tree, "a")) == ("running", "stopped")


@scenario("significant", small=True)
async def a_significant_transient_crash_is_a_restart() -> None:
    """Given any_significant, a significant transient child that crashes comes back; nothing ends."""
    story = Chronicle()
    async with given(story, supervisor("root", work(story, "any_significant"))) as tree:
        await crash_once(tree, "b")
        assert story.of("init") == ["a", "b", "c", "b"]
        assert status(tree, "mid") == "running"


@scenario("significant", small=True)
async def a_significant_temporary_crash_is_an_end() -> None:
    """Given any_significant, a significant temporary child's crash ends its supervisor, normally."""
    story = Chronicle()
    mid = supervisor(
        "mid",
        player(story, "a"),
        player(story, "b", restart="temporary", significant=True),
        restart="transient",
        auto_shutdown="any_significant",
    )
    async with given(story, supervisor("root", mid)) as tree:
        await crash_once(tree, "b")
        assert status(tree, "mid") == "stopped"
        assert story.of("terminate") == ["b", "a"]
        assert tree.dump().find("root").budget_left == 3


@scenario("significant", small=True)
async def a_significant_child_stopped_by_hand_ends_nothing() -> None:
    """Given any_significant, terminate_child of a significant child leaves its supervisor running."""
    story = Chronicle()
    async with given(story, supervisor("root", work(story, "any_significant"))) as tree:
        await tree.terminate_child("mid", "b")
        assert (status(tree, "mid"), status(tree, "b")) == ("running", "stopped")
        await tree.delete_child("mid", "b")
        assert status(tree, "mid") == "running"


@scenario("significant", small=True)
async def a_significant_child_stopped_by_hand_is_not_waited_for() -> None:
    """Given all_significant and one stopped by hand, the end of the other ends the supervisor."""
    story = Chronicle()
    async with given(story, supervisor("root", work(story, "all_significant"))) as tree:
        await tree.terminate_child("mid", "b")
        await finish(tree, "c")
        assert "mid" not in tree.healthy()
        assert story.of("terminate") == ["b", "c", "a"]


@scenario("significant", small=True)
async def a_significant_child_on_its_way_down_by_hand_is_not_waited_for() -> None:
    """Given all_significant and one being stopped by hand, the end of the other is the last one."""
    story = Chronicle()
    async with given(story, supervisor("root", work(story, "all_significant"))) as tree:
        tree.ref("b").cast_nowait(Hang(for_s=2))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.terminate_child, "mid", "b")
            await settle()
            await finish(tree, "c")
        await settle()
        assert "mid" not in tree.healthy()


@scenario("significant", small=True)
async def an_end_and_a_crash_in_one_moment_are_not_the_end_of_the_work() -> None:
    """Given all_significant, one that ends while another falls is not the last: that one comes back."""
    go, lives = trio.Event(), list[int]()

    async def end(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await go.wait()

    async def fall_once(*, task_status: trio.TaskStatus[None]) -> None:
        lives.append(1)
        task_status.started()
        await go.wait()
        if len(lives) == 1:
            raise BoomError("fall")
        await trio.sleep_forever()

    mid = supervisor(
        "mid",
        task(end, id="a", restart="transient", significant=True),
        task(fall_once, id="b", restart="transient", significant=True),
        restart="temporary",
        auto_shutdown="all_significant",
    )
    async with given(Chronicle(), supervisor("root", mid)) as tree:
        go.set()
        await settle()
        assert (status(tree, "mid"), status(tree, "b"), len(lives)) == ("running", "running", 2)


@scenario("significant", small=True)
async def a_significant_end_during_the_start_waits_for_the_rest() -> None:
    """Given a job that is done while its sibling still starts, the start succeeds and is then over."""
    story = Chronicle()

    async def finish_at_once(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()

    mid = supervisor(
        "mid",
        task(finish_at_once, id="job", restart="transient", significant=True),
        player(story, "slow", Script(init_takes_s=2)),
        restart="temporary",
        auto_shutdown="any_significant",
    )
    async with given(story, supervisor("root", mid, player(story, "next"))) as tree:
        await settle()
        assert set(tree.healthy()) == {"root", "next"}
        assert story.of("init") == ["slow", "next"]
        assert story.of("terminate") == ["slow"]
    assert story.crashes == []


@scenario("significant", small=True)
async def a_significant_bystander_of_a_group_restart_ends_nothing() -> None:
    """Given one_for_all, a significant child stopped for its group's sake is no end of the work."""
    story = Chronicle()
    mid = supervisor(
        "mid",
        player(story, "a"),
        player(story, "b", restart="transient", significant=True),
        strategy="one_for_all",
        auto_shutdown="any_significant",
    )
    async with given(story, supervisor("root", mid)) as tree:
        await crash_once(tree, "a")
        assert story.of("init") == ["a", "b", "a", "b"]
        assert status(tree, "mid") == "running"


@scenario("significant", small=True)
async def a_permanent_supervisor_that_is_done_begins_again() -> None:
    """Given a permanent supervisor, its end by a significant child is followed by a fresh life."""
    story = Chronicle()
    async with given(story, supervisor("root", work(story, "any_significant", "permanent"))) as tree:
        await finish(tree, "b")
        assert story.of("init") == ["a", "b", "c", "a", "b", "c"]
        assert set(tree.healthy().values()) == {"running"}


@scenario("significant", small=True)
async def a_transient_supervisor_that_is_done_rests() -> None:
    """Given a transient supervisor, its end by a significant child is normal; it can be restarted."""
    story = Chronicle()
    async with given(story, supervisor("root", work(story, "any_significant", "transient"))) as tree:
        await finish(tree, "b")
        assert status(tree, "mid") == "stopped"
        await tree.restart_child("root", "mid")
        assert [status(tree, name) for name in "abc"] == ["running"] * 3


@scenario("significant", small=True)
async def the_end_of_the_work_climbs_to_the_root() -> None:
    """Given a significant supervisor below a root that ends with it, the tree ends without an error."""
    story = Chronicle()
    inner = supervisor(
        "mid",
        player(story, "a", restart="transient", significant=True),
        restart="transient",
        significant=True,
        auto_shutdown="all_significant",
    )
    spec = supervisor("root", player(story, "z"), inner, auto_shutdown="any_significant")
    async with given(story, spec) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.stop()))
        await trio.sleep_forever()
    assert story.of("terminate") == ["a", "z"]
    assert story.crashes == []


@scenario("significant", small=True)
async def a_dynamic_supervisor_ends_with_its_significant_child() -> None:
    """Given a dynamic supervisor with any_significant, a significant child's end stops the others."""
    story = Chronicle()
    cast = [player(story, "a"), player(story, "b", restart="temporary", significant=True)]
    pool = dynamic("pool", initial=cast, restart="temporary", auto_shutdown="any_significant")
    async with given(story, supervisor("root", pool)) as tree:
        await finish(tree, "b")
        assert tree.healthy() == {"root": "running"}
        assert story.of("terminate") == ["b", "a"]
