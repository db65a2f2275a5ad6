"""Scenarios of the stop and its ladder: reasons, deadlines, last words, hurry, who will not go."""

import pytest
import trio

from coordinator.runtime import ActorDown, AdminError, dynamic, supervisor, task
from tests.runtime.scenarios import given, scenario
from tests.runtime.stage import (
    Boom,
    BoomError,
    Chronicle,
    DoAsync,
    Hang,
    Player,
    Say,
    Script,
    player,
    settle,
    status,
)


@scenario("stop", small=True)
async def the_reason_of_a_stop_reaches_everybodys_last_words() -> None:
    """Given a tree stopped for "upgrade", actors at every depth are told that reason."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "b"), dynamic("pool", initial=[player(story, "c")]))
    async with given(story, supervisor("root", player(story, "a"), mid)) as tree:
        story.clear()
        await tree.stop("upgrade")
    assert story.lines == ["terminate c upgrade", "terminate b upgrade", "terminate a upgrade"]


@scenario("stop", small=True)
async def a_stopped_tree_takes_nothing() -> None:
    """Given a tree that has stopped, casts and starts are refused, another stop is a success."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        await tree.stop()
        with pytest.raises(ActorDown):
            ref.cast_nowait(Say("no"))
        with pytest.raises(AdminError):
            await tree.start_child("root", player(story, "b"))
        await tree.stop()
        assert not ref.alive
    assert story.lines == ["init a 1", "terminate a shutdown"]


@scenario("stop", small=True)
async def a_task_is_cancelled_and_cleans_up() -> None:
    """Given a task with a slow, shielded cleanup, the stop waits for it within its time."""
    story = Chronicle()

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            story.lines.append("cleaned t")

    async with given(story, supervisor("root", player(story, "a"), task(run, id="t"))) as tree:
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 3
    assert story.lines[1:] == ["cleaned t", "terminate a shutdown"]


@scenario("stop", small=True)
async def a_stop_finds_a_child_that_ended_by_itself() -> None:
    """Given children that rest or have gone, a stop passes over them and ends the others in reverse."""
    story = Chronicle()
    cast = [
        player(story, "a"),
        player(story, "b", restart="transient"),
        player(story, "c", restart="temporary"),
        player(story, "d"),
    ]
    async with given(story, supervisor("root", *cast)) as tree:
        for name in "bc":
            tree.kill(name) if name == "c" else await tree.terminate_child("root", name)
        await settle()
        story.clear()
    assert story.of("terminate") == ["d", "a"]


@scenario("stop", small=True)
async def a_requested_stop_happens_while_its_asker_goes_on() -> None:
    """Given a block that asks for the stop and does not wait, the children go down beside it."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.request_stop("enough")
        await settle()
        assert story.lines == ["init a 1", "terminate a enough"]
        assert status(tree, "root") == "stopped"
        story.lines.append("block root")
    assert story.lines[-1] == "block root"


@scenario("shutdown", small=True)
async def each_child_has_a_deadline_of_its_own() -> None:
    """Given two that hang with 2 s and 3 s, the stop takes five: each time begins in its turn."""
    story = Chronicle()
    cast = [player(story, "a", shutdown_s=2), player(story, "b", shutdown_s=3)]
    async with given(story, supervisor("root", *cast)) as tree:
        for name in "ab":
            tree.ref(name).cast_nowait(Hang())
        await settle()
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 5
    assert story.of("terminate") == ["b", "a"]


@scenario("shutdown", small=True)
async def a_shutdown_of_no_time_cancels_at_once() -> None:
    """Given shutdown_s 0, a hanging handler is cancelled in the moment of the stop."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", shutdown_s=0))) as tree:
        tree.ref("a").cast_nowait(Hang())
        await settle()
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin
    assert story.returned == [("a", Hang())]


@scenario("shutdown", small=True)
async def last_words_end_at_the_deadline() -> None:
    """Given last words that take longer than shutdown_s, they are cut at the deadline."""
    story = Chronicle()
    slow = player(story, "b", Script(terminate_takes_s=60), shutdown_s=3)
    async with given(story, supervisor("root", player(story, "a"), slow)) as tree:
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 3
    assert story.of("terminated") == []
    assert story.of("terminate") == ["b", "a"]


@scenario("shutdown", small=True)
async def last_words_after_a_cancellation_have_half_a_second() -> None:
    """Given a handler cancelled at its deadline and slow last words, these are cut after 0.5 s."""
    story = Chronicle()
    slow = player(story, "a", Script(terminate_takes_s=60), shutdown_s=3)
    async with given(story, supervisor("root", slow)) as tree:
        tree.ref("a").cast_nowait(Hang())
        await settle()
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 3.5
    assert (story.of("terminate"), story.of("terminated"), story.zombies) == (["a"], [], [])


@scenario("shutdown", small=True)
async def last_words_after_a_crash_are_on_the_ladder() -> None:
    """Given slow last words after a crash, they are cut after shutdown_s and the child comes back."""
    story = Chronicle()
    slow = player(story, "a", Script(terminate_takes_s=60), shutdown_s=3)
    async with given(story, supervisor("root", slow)) as tree:
        tree.ref("a").cast_nowait(Boom(once=True))
        await trio.sleep(2.9)
        assert status(tree, "a") == "stopping"
        await trio.sleep(0.2)
        assert status(tree, "a") == "running"
        assert story.of("survived") == ["a"]


@scenario("shutdown", small=True)
async def a_stop_hurried_from_the_start_waits_for_nobody() -> None:
    """Given two that hang, a hurried stop cancels each in its turn, in reverse, at once."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), player(story, "b"))) as tree:
        for name in "ab":
            tree.ref(name).cast_nowait(Hang())
        await settle()
        begin = trio.current_time()
        await tree.stop(hurry=True)
        assert trio.current_time() == begin
    assert story.of("terminate") == ["b", "a"]
    assert [name for name, _ in story.returned] == ["b", "a"]


@scenario("shutdown", small=True)
async def a_handler_that_swallows_its_cancellation_is_done() -> None:
    """Given a handler that is cancelled at the deadline and still returns, it is acknowledged."""
    story = Chronicle()

    async def deaf(_: Player) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 3.5):
            await trio.sleep_forever()

    async with given(story, supervisor("root", player(story, "a", shutdown_s=3))) as tree:
        tree.ref("a").cast_nowait(DoAsync(deaf))
        await settle()
        await tree.stop()
        assert tree.dump().find("a").handled == 1
    assert (story.returned, story.crashes, story.zombies) == ([], [], [])


@scenario("shutdown", small=True)
async def a_handler_that_looks_ends_early() -> None:
    """Given a handler that watches is_stopping while it waits, the stop does not need its deadline."""
    story = Chronicle()

    async def wait(actor: Player) -> None:
        for _ in range(100):
            await trio.sleep(1)
            if actor.context.is_stopping:
                return

    async with given(story, supervisor("root", player(story, "a", shutdown_s=60))) as tree:
        tree.ref("a").cast_nowait(DoAsync(wait))
        await trio.sleep(5.5)
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 0.5
    assert story.returned == []


@scenario("shutdown", small=True)
async def a_crash_on_the_way_out_is_reported_and_free() -> None:
    """Given a task whose cleanup raises, its crash is reported uncharged and the stop goes on."""
    story = Chronicle()

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            raise BoomError("cleanup")

    async with given(story, supervisor("root", player(story, "a"), task(run, id="t"))):
        pass
    assert [(c.id, c.phase, c.charged) for c in story.crashes] == [("t", "stop", False)]
    assert story.of("terminate") == ["a"]


@scenario("shutdown", small=True)
async def a_deaf_dynamic_child_holds_nobody() -> None:
    """Given one deaf child of a dynamic supervisor, its sibling and those before go down without it."""
    story, free = Chronicle(), trio.Event()
    deaf = player(story, "b", Script(ignores_cancel_until=free), shutdown_s=2)
    pool = dynamic("pool", initial=[deaf, player(story, "c")])
    async with given(story, supervisor("root", player(story, "a"), pool)) as tree:
        tree.ref("b").cast_nowait(Hang())
        await settle()
        tree.request_stop()
        await trio.sleep(2.9)
        assert story.of("terminate") == ["c"]
        await trio.sleep(0.2)
        assert story.of("terminate") == ["c", "a"]
        assert "b" in [report.id for report in story.zombies]
        free.set()


@scenario("shutdown", small=True)
async def a_zombie_is_not_replaced_until_it_ends() -> None:
    """Given a deaf bystander of a group restart, it is given up, and replaced once it ends."""
    story, free = Chronicle(), trio.Event()
    deaf = player(story, "b", Script(ignores_cancel_until=free), shutdown_s=2)
    spec = supervisor("root", player(story, "a"), deaf, strategy="one_for_all")
    async with given(story, spec) as tree:
        tree.ref("b").cast_nowait(Hang())
        await settle()
        tree.ref("a").cast_nowait(Boom(once=True))
        await trio.sleep(10)
        assert (status(tree, "a"), status(tree, "b")) == ("running", "zombie")
        assert [report.id for report in tree.dump().zombies] == ["b"]
        free.set()
        await settle()
        assert status(tree, "b") == "running"
        assert story.of("init") == ["a", "b", "a", "b"]
