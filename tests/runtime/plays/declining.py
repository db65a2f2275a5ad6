"""Scenarios of starts declined with Ignore, and of verbs that name their child by reference."""

import pytest
import trio

from coordinator.runtime import (
    ActorDown,
    ChildExists,
    Ignore,
    StartFailed,
    UnknownChild,
    dynamic,
    supervisor,
    task,
)
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    Chronicle,
    Do,
    Player,
    Say,
    Script,
    player,
    settle,
    status,
)


def decline(_: Player) -> None:
    """An init that wants no life."""
    raise Ignore("nothing to do here")


@scenario("start", small=True)
async def a_declined_start_is_a_success() -> None:
    """Given a second child that declines, the others come up, and it stays in its place, stopped."""
    story = Chronicle()
    cast = [player(story, "a"), player(story, "b", Script(on_init=decline)), player(story, "c")]
    async with given(story, supervisor("root", *cast, intensity=0)) as tree:
        assert story.of("init") == ["a", "c"]
        assert [status(tree, n) for n in "abc"] == ["running", "stopped", "running"]
        with pytest.raises(ActorDown):
            tree.ref("b").cast_nowait(Say("no"))
        assert story.crashes == []
    assert story.of("terminate") == ["c", "a"]


@scenario("start", small=True)
async def who_declined_may_be_asked_again() -> None:
    """Given a child that declined, restart_child tries it again: it may decline again or come up."""
    story, script = Chronicle(), Script(on_init=decline)
    async with given(story, supervisor("root", player(story, "a", script), intensity=0)) as tree:
        await tree.restart_child("root", "a")
        assert status(tree, "a") == "stopped"
        script.on_init = None
        await tree.restart_child("root", "a")
        assert status(tree, "a") == "running"
        tree.ref("a").cast_nowait(Say("here"))


@scenario("start", small=True)
async def a_temporary_child_that_declines_is_gone() -> None:
    """Given a temporary child that declines, its place and its name are free at once."""
    story = Chronicle()
    cast = player(story, "a", Script(on_init=decline), restart="temporary")
    async with given(story, supervisor("root", cast)) as tree:
        assert tree.which_children("root") == ()
        await tree.start_child("root", player(story, "a"))
        assert status(tree, "a") == "running"


@scenario("start", small=True)
async def a_dynamic_child_that_declines_is_gone() -> None:
    """Given a dynamic supervisor, a child that declines leaves no place, whoever started it."""
    story = Chronicle()
    spec = supervisor("root", dynamic("pool", initial=[player(story, "a", Script(on_init=decline))]))
    async with given(story, spec) as tree:
        assert tree.which_children("pool") == ()
        await tree.start_child("pool", player(story, "b", Script(on_init=decline)))
        assert tree.healthy() == {"root": "running", "pool": "running"}
        assert story.crashes == []


@scenario("start", small=True)
async def a_task_may_decline_before_it_is_ready() -> None:
    """Given tasks that raise Ignore, one before started() is stopped, one after it has crashed."""
    story = Chronicle()

    async def early(*, task_status: trio.TaskStatus[None]) -> None:
        raise Ignore("early")

    async def late(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        story.lines.append("run late")
        if len(story.lines) == 1:
            raise Ignore("late")
        await trio.sleep_forever()

    spec = supervisor("root", task(early, id="early"), task(late, id="late"))
    async with given(story, spec) as tree:
        await settle()
        assert (status(tree, "early"), status(tree, "late")) == ("stopped", "running")
        assert [(c.id, c.charged) for c in story.crashes] == [("late", True)]


@scenario("start", small=True)
async def who_declines_on_the_way_back_rests() -> None:
    """Given a child that crashes and then declines, its loop ends: stopped, its message returned."""
    story, script = Chronicle(), Script()
    async with given(story, supervisor("root", player(story, "a", script), player(story, "b"))) as tree:
        script.on_init = decline
        await crash_once(tree, "a")
        assert (status(tree, "a"), status(tree, "b")) == ("stopped", "running")
        assert len(story.returned) == 1
        await trio.sleep(60)
        assert story.of("init") == ["a", "b"]


@scenario("start", small=True)
async def one_that_declines_in_a_group_restart_does_not_hold_it_up() -> None:
    """Given one_for_all whose second child declines on the way back, the others come up without it."""
    story, script = Chronicle(), Script()
    cast = [player(story, "a"), player(story, "b", script), player(story, "c")]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        script.on_init = decline
        await crash_once(tree, "a")
        assert [status(tree, n) for n in "abc"] == ["running", "stopped", "running"]
        assert tree.dump().find("root").budget_left == 2


@scenario("start", small=True)
async def a_significant_child_that_declines_ends_nothing() -> None:
    """Given any_significant, a significant child that declines has not ended: it never began."""
    story = Chronicle()
    mid = supervisor(
        "mid",
        player(story, "a"),
        player(story, "b", Script(on_init=decline), restart="transient", significant=True),
        auto_shutdown="any_significant",
    )
    async with given(story, supervisor("root", mid)) as tree:
        await settle()
        assert (status(tree, "mid"), status(tree, "b")) == ("running", "stopped")


@scenario("admin", small=True)
async def a_child_is_named_by_its_reference() -> None:
    """Given a reference instead of an id, every verb does the same."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        assert tree.get_childspec("root", ref) == tree.get_childspec("root", "a")
        await tree.terminate_child("root", ref)
        await tree.restart_child("root", ref)
        await tree.drain_child("root", ref)
        await tree.delete_child("root", ref)
        assert tree.which_children("root") == ()


@scenario("admin", small=True)
async def a_reference_to_who_is_gone_names_nobody() -> None:
    """Given a dynamic child that was replaced under its id, a reference to the old one is unknown."""
    story = Chronicle()
    async with given(story, supervisor("root", dynamic("pool"))) as tree:
        old = await tree.start_child("pool", player(story, "a"))
        await tree.terminate_child("pool", old)
        await tree.start_child("pool", player(story, "a"))
        with pytest.raises(UnknownChild):
            await tree.terminate_child("pool", old)
        assert status(tree, "a") == "running"


@scenario("admin", small=True)
async def a_specification_is_given_back_in_every_state() -> None:
    """Given a child that runs, is stopped, or was added by hand, its specification is what it was."""
    story = Chronicle()
    spec, guest = player(story, "a"), player(story, "b", restart="transient")
    async with given(story, supervisor("root", spec)) as tree:
        assert tree.get_childspec("root", "a") is spec
        await tree.start_child("root", guest)
        await tree.terminate_child("root", "b")
        assert tree.get_childspec("root", "b") is guest
        with pytest.raises(UnknownChild):
            tree.get_childspec("root", "nobody")


@scenario("admin", small=True)
async def a_start_during_a_delete_finds_the_name_free_or_taken() -> None:
    """Given delete and start of one id at once, there is one child or a refusal, never two."""
    story, refused = Chronicle(), list[str]()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        await tree.terminate_child("root", "a")

        async def start() -> None:
            try:
                await tree.start_child("root", player(story, "a"))
            except ChildExists:
                refused.append("a")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.delete_child, "root", "a")
            nursery.start_soon(start)
        assert len(tree.which_children("root")) == 1 - len(refused)


@scenario("admin", small=True)
async def an_ended_child_asks_for_nothing() -> None:
    """Given a transient child at rest, terminate is a success, restart works, delete is final."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", restart="transient"))) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.stop()))
        await settle()
        await tree.terminate_child("root", "a")
        await tree.restart_child("root", "a")
        assert status(tree, "a") == "running"
        await tree.terminate_child("root", "a")
        await tree.delete_child("root", "a")
        with pytest.raises(UnknownChild):
            await tree.restart_child("root", "a")


@scenario("start", small=True)
async def a_declined_start_is_no_failed_start() -> None:
    """Given a child that declines before one that fails, only the second is the culprit."""
    story = Chronicle()
    cast = [
        player(story, "a", Script(on_init=decline)),
        player(story, "b", Script(failing_inits=1)),
    ]
    with pytest.raises(StartFailed) as caught:
        async with given(story, supervisor("root", *cast)):
            raise AssertionError("it must not open")
    assert caught.value.child_id == "b"
    assert story.of("terminate") == []
