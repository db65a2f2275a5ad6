"""Scenarios of the restart types under each strategy: who comes back, alone or with the group."""

import pytest
import trio

from coordinator.runtime import ReachedMaxIntensity, Tree, UnknownChild, dynamic, supervisor, task
from coordinator.runtime.restart import Restart, Strategy
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import BoomError, Chronicle, Do, player, settle, status


async def end_normally(tree: Tree, name: str, reason: str = "normal") -> None:
    """Let the actor stop itself."""
    tree.ref(name).cast_nowait(Do(lambda actor: actor.context.stop(reason)))
    await settle()


async def middle_ends(strategy: Strategy, restart: Restart, *, normally: bool) -> list[str]:
    """Who has another life after the middle one of three ended so; the others are permanent."""
    story = Chronicle()
    cast = [player(story, "a"), player(story, "b", restart=restart), player(story, "c")]
    async with given(story, supervisor("root", *cast, strategy=strategy)) as tree:
        story.clear()
        await (end_normally(tree, "b") if normally else crash_once(tree, "b"))
        assert all(tree.healthy()[n] == "running" for n in "ac")
        return [*story.of("init"), tree.healthy().get("b", "gone")]


@scenario("restart types", small=True)
async def a_permanent_child_comes_back_after_a_crash() -> None:
    """Given a permanent child that crashes, it alone has another life."""
    assert await middle_ends("one_for_one", "permanent", normally=False) == ["b", "running"]


@scenario("restart types", small=True)
async def a_permanent_child_comes_back_after_a_shutdown() -> None:
    """Given a permanent child that stops itself for "shutdown", it has another life."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        await end_normally(tree, "a", "shutdown")
        assert story.lines == ["init a 1", "terminate a shutdown", "init a 2"]


@scenario("restart types", small=True)
async def a_transient_child_rests_after_a_shutdown() -> None:
    """Given a transient child that stops itself for "shutdown", its place stays, stopped."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", restart="transient"))) as tree:
        await end_normally(tree, "a", "shutdown")
        assert (story.of("init"), status(tree, "a")) == (["a"], "stopped")
        assert story.crashes == []


@scenario("restart types", small=True)
async def a_permanent_normal_end_takes_the_group_along() -> None:
    """Given one_for_all, a permanent child that stops itself restarts everybody."""
    assert await middle_ends("one_for_all", "permanent", normally=True) == ["a", "b", "c", "running"]


@scenario("restart types", small=True)
async def a_permanent_normal_end_takes_the_rest_along() -> None:
    """Given rest_for_one, a permanent child that stops itself restarts itself and the later one."""
    assert await middle_ends("rest_for_one", "permanent", normally=True) == ["b", "c", "running"]


@scenario("restart types", small=True)
async def a_transient_normal_end_leaves_its_group_alone() -> None:
    """Given one_for_all, a transient child that stops itself rests and nobody else notices."""
    assert await middle_ends("one_for_all", "transient", normally=True) == ["stopped"]


@scenario("restart types", small=True)
async def a_transient_crash_takes_the_group_along() -> None:
    """Given one_for_all, a transient child that crashes restarts everybody."""
    assert await middle_ends("one_for_all", "transient", normally=False) == ["a", "b", "c", "running"]


@scenario("restart types", small=True)
async def a_transient_crash_takes_the_rest_along() -> None:
    """Given rest_for_one, a transient child that crashes restarts itself and the later one."""
    assert await middle_ends("rest_for_one", "transient", normally=False) == ["b", "c", "running"]


@scenario("restart types", small=True)
async def a_temporary_crash_leaves_its_group_alone() -> None:
    """Given one_for_all and a temporary child, its crash removes it and nobody else notices."""
    assert await middle_ends("one_for_all", "temporary", normally=False) == ["gone"]


@scenario("restart types", small=True)
async def a_temporary_crash_leaves_the_rest_alone() -> None:
    """Given rest_for_one and a temporary child, its crash removes it and nobody else notices."""
    assert await middle_ends("rest_for_one", "temporary", normally=False) == ["gone"]


@scenario("restart types", small=True)
async def a_temporary_bystander_of_rest_for_one_is_gone() -> None:
    """Given a temporary child after the fallen one, it goes down with it and does not come back."""
    story = Chronicle()
    cast = [player(story, "a"), player(story, "b", restart="temporary"), player(story, "c")]
    async with given(story, supervisor("root", *cast, strategy="rest_for_one")) as tree:
        story.clear()
        await crash_once(tree, "a")
        assert story.of("terminate") == ["a", "c", "b"]
        assert story.of("init") == ["a", "c"]
        assert "b" not in tree.healthy()


@scenario("restart types", small=True)
async def a_transient_bystander_comes_back() -> None:
    """Given a transient sibling under one_for_all, it is brought back though its own end was normal."""
    story = Chronicle()
    cast = [player(story, "a"), player(story, "b", restart="transient")]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        await crash_once(tree, "a")
        assert story.of("init") == ["a", "b", "a", "b"]
        assert status(tree, "b") == "running"


@scenario("restart types", small=True)
async def a_resting_child_is_not_woken_by_its_group() -> None:
    """Given a transient child that has stopped itself, a group restart leaves it stopped."""
    story = Chronicle()
    cast = [player(story, "a"), player(story, "b", restart="transient")]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        await end_normally(tree, "b")
        await crash_once(tree, "a")
        assert story.of("init") == ["a", "b", "a"]
        assert status(tree, "b") == "stopped"


@scenario("restart types", small=True)
async def a_temporary_child_leaves_no_specification() -> None:
    """Given a temporary child that ended, it cannot be restarted, and its id can be used again."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", restart="temporary"))) as tree:
        await end_normally(tree, "a")
        with pytest.raises(UnknownChild):
            await tree.restart_child("root", "a")
        await tree.start_child("root", player(story, "a"))
        assert tree.count_children("root").specs == 1


@scenario("restart types", small=True)
async def a_killed_temporary_child_is_gone() -> None:
    """Given a temporary child, a kill is an abnormal end like any other: no second life."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", restart="temporary"))) as tree:
        tree.kill("a")
        await settle()
        assert tree.healthy() == {"root": "running"}
        assert story.lines == ["init a 1"]
        assert [c.error.type for c in story.crashes] == ["Killed"]


@scenario("restart types", small=True)
async def a_task_that_crashes_comes_back() -> None:
    """Given a transient task that raises, it runs again, and its crash is charged."""
    story = Chronicle()

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        story.lines.append("run t")
        await trio.sleep(1)
        if len(story.lines) == 1:
            raise BoomError("task")
        await trio.sleep_forever()

    async with given(story, supervisor("root", task(run, id="t", restart="transient"))) as tree:
        await trio.sleep(2)
        assert (story.of("run"), status(tree, "t")) == (["t", "t"], "running")
        assert tree.dump().find("root").budget_left == 2


@scenario("restart types", small=True)
async def normal_ends_of_a_permanent_child_count() -> None:
    """Given a permanent child that stops itself over and over, the budget ends it like crashes do."""
    story = Chronicle()

    async def play() -> None:
        async with given(story, supervisor("root", player(story, "a"), intensity=1)) as tree:
            await end_normally(tree, "a")
            await end_normally(tree, "a")
            await trio.sleep_forever()

    with pytest.raises(ReachedMaxIntensity):
        await play()
    assert story.of("init") == ["a", "a"]
    assert [c.id for c in story.crashes] == ["root"]


@scenario("restart types", small=True)
async def a_dynamic_child_that_rests_is_gone() -> None:
    """Given a transient dynamic child that stops itself, it leaves no place: nobody could name it."""
    story = Chronicle()
    spec = supervisor("root", dynamic("pool", initial=[player(story, "a", restart="transient")]))
    async with given(story, spec) as tree:
        await end_normally(tree, "a")
        assert tree.which_children("pool") == ()
        assert "a" not in tree.healthy()


@scenario("restart types", small=True)
async def dynamic_children_come_back_by_type() -> None:
    """Given one dynamic child of each type, a crash of all brings back all but the temporary one."""
    story = Chronicle()
    types: dict[str, Restart] = {"p": "permanent", "t": "transient", "x": "temporary"}
    cast = [player(story, name, restart=kind) for name, kind in types.items()]
    async with given(story, supervisor("root", dynamic("pool", initial=cast))) as tree:
        for name in types:
            await crash_once(tree, name)
        assert {info.id: info.status for info in tree.which_children("pool")} == {
            "p": "running",
            "t": "running",
        }
