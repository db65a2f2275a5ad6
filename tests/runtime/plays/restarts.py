"""Scenarios of coming back: restart types, restart loops, backoff, poison."""

from itertools import pairwise

import pytest
import trio

from coordinator.runtime import (
    Backoff,
    DeadLettered,
    ReachedMaxIntensity,
    dynamic,
    supervisor,
    task,
)
from coordinator.runtime.restart import Restart
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    Boom,
    BoomCall,
    BoomError,
    Chronicle,
    Do,
    Hang,
    Say,
    Script,
    player,
    settle,
    status,
)

STEADY = Backoff(min_s=1.0, max_s=8.0, jitter=0.0)


async def ends(story: Chronicle, restart: Restart, *, normally: bool) -> list[str]:
    """What a child of this restart type does after it ended so; its sibling must not notice."""
    spec = supervisor("root", player(story, "a", restart=restart), player(story, "b"))
    async with given(story, spec) as tree:
        story.clear()
        if normally:
            tree.ref("a").cast_nowait(Do(lambda actor: actor.context.stop()))
            await settle()
        else:
            await crash_once(tree, "a")
        return [*story.of("init"), tree.healthy().get("a", "gone")]


@scenario("restart types", small=True)
async def a_permanent_child_comes_back_after_a_normal_end() -> None:
    """Given a permanent child that stops itself, it has another life."""
    assert await ends(Chronicle(), "permanent", normally=True) == ["a", "running"]


@scenario("restart types", small=True)
async def a_transient_child_rests_after_a_normal_end() -> None:
    """Given a transient child that stops itself, its place stays, stopped."""
    assert await ends(Chronicle(), "transient", normally=True) == ["stopped"]


@scenario("restart types", small=True)
async def a_transient_child_comes_back_after_a_crash() -> None:
    """Given a transient child that crashes, it has another life."""
    assert await ends(Chronicle(), "transient", normally=False) == ["a", "running"]


@scenario("restart types", small=True)
async def a_temporary_child_is_gone_after_either_end() -> None:
    """Given a temporary child, a crash and a normal end both remove its place."""
    assert await ends(Chronicle(), "temporary", normally=False) == ["gone"]
    assert await ends(Chronicle(), "temporary", normally=True) == ["gone"]


@scenario("restart types", small=True)
async def a_killed_child_has_no_last_words_and_comes_back() -> None:
    """Given a child killed in mid-message, it restarts without terminate and handles it again."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", restart="transient"))) as tree:
        tree.ref("a").cast_nowait(Hang(for_s=3))
        tree.ref("a").cast_nowait(Say("next"))
        await settle()
        tree.kill("a")
        await trio.sleep(4)
        assert story.lines == ["init a 1", "init a 2", "said a next"]


@scenario("restart types", small=True)
async def a_task_that_returns_ended_normally() -> None:
    """Given a transient task that returns, it rests; a permanent one runs again."""
    story = Chronicle()

    async def run(name: str, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        story.lines.append(f"run {name}")
        await trio.sleep(1 if story.of("run").count(name) == 1 else 100)

    spec = supervisor("root", task(run, "p", id="p"), task(run, "t", id="t", restart="transient"))
    async with given(story, spec) as tree:
        await trio.sleep(5)
        assert sorted(story.of("run")) == ["p", "p", "t"]
        assert (status(tree, "p"), status(tree, "t")) == ("running", "stopped")


@scenario("restart loop", small=True)
async def each_failed_start_counts() -> None:
    """Given intensity 3 and inits that fail for ever, the fourth restart is not taken."""
    story, broken = Chronicle(), Script()

    async def play() -> None:
        async with given(story, supervisor("root", player(story, "a", broken))) as tree:
            broken.failing_inits = 100
            await crash_once(tree, "a")
            await trio.sleep_forever()

    with pytest.raises(ReachedMaxIntensity) as caught:
        await play()
    assert story.of("init-failed") == ["a"] * 3
    assert isinstance(caught.value.__cause__, BoomError)


@scenario("restart loop", small=True)
async def a_child_is_terminated_out_of_its_loop() -> None:
    """Given a child that waits for its next start, terminate_child gets in between and stays."""
    story, broken = Chronicle(), Script()
    cast = player(story, "a", broken, backoff=STEADY)
    async with given(story, supervisor("root", cast, intensity=100)) as tree:
        broken.failing_inits = 100
        await crash_once(tree, "a")
        await trio.sleep(2)
        await tree.terminate_child("root", "a")
        tries = len(story.of("init-failed"))
        await trio.sleep(60)
        assert len(story.of("init-failed")) == tries
        assert status(tree, "a") == "stopped"
        assert story.returned == [("a", Boom(once=True))]


@scenario("restart loop", small=True)
async def a_stop_gets_into_the_loop() -> None:
    """Given a child that restarts for ever, a stop does not wait for its next start."""
    story, broken = Chronicle(), Script()
    cast = player(story, "b", broken, backoff=STEADY)
    async with given(story, supervisor("root", player(story, "a"), cast, intensity=100)) as tree:
        broken.failing_inits = 100
        await crash_once(tree, "b")
        await trio.sleep(10.5)
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin
    assert story.lines[-1] == "terminate a shutdown"


@scenario("backoff", small=True)
async def restarts_are_spaced_by_doubling() -> None:
    """Given 1 s to 8 s, a row of failures comes after 0, 1, 2, 4, 8, 8 s."""
    story, times = Chronicle(), list[float]()
    script = Script(on_init=lambda _: times.append(trio.current_time()))
    cast = player(story, "a", script, backoff=STEADY)
    async with given(story, supervisor("root", cast, intensity=100)) as tree:
        times.clear()
        script.failing_inits = 5
        await crash_once(tree, "a")
        await trio.sleep(30)
        assert [b - a for a, b in pairwise(times)] == [1, 2, 4, 8, 8]


@scenario("backoff", small=True)
async def a_quiet_time_ends_the_row() -> None:
    """Given 1 s to 8 s, a child that ran for more than 4.5 s restarts at once again."""
    story, times = Chronicle(), list[float]()
    script = Script(on_init=lambda _: times.append(trio.current_time()))
    cast = player(story, "a", script, backoff=STEADY)
    async with given(story, supervisor("root", cast, intensity=100)) as tree:
        for pause in (1.0, 2.0, 7.0):
            await crash_once(tree, "a")
            await trio.sleep(pause)
        begin = trio.current_time()
        await crash_once(tree, "a")
        assert times[-1] == begin


@scenario("backoff", small=True)
async def a_dynamic_child_over_its_budget_waits() -> None:
    """Given intensity 1, the second crash is followed by the longest wait, not by a fall."""
    story = Chronicle()
    cast = player(story, "a", backoff=STEADY)
    spec = supervisor("root", dynamic("pool", initial=[cast, player(story, "b")], intensity=1))
    async with given(story, spec) as tree:
        await crash_once(tree, "a")
        await crash_once(tree, "a")
        assert status(tree, "a") == "restarting"
        await trio.sleep(7.9)
        assert status(tree, "a") == "restarting"
        await trio.sleep(0.2)
        assert status(tree, "a") == "running"
        assert story.of("init").count("b") == 1


@scenario("poison", small=True)
async def a_poison_message_costs_one_restart_and_nobody_else() -> None:
    """Given intensity 1, a message that always crashes is dead-lettered, the next ones are handled."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), intensity=1)) as tree:
        ref = tree.ref("a")
        for message in (Say("x"), Boom(), Say("y"), Say("z")):
            ref.cast_nowait(message)
        await settle()
        assert [line for line in story.lines if "said" in line] == ["said a x", "said a y", "said a z"]
        assert [letter.message for letter in story.dead] == [Boom()]
        assert [c.attempt for c in story.dead[0].crashes] == [1, 2]
        assert [c.charged for c in story.crashes] == [True, False]
        assert tree.dump().find("root").budget_left == 0


@scenario("poison", small=True)
async def a_caller_hears_of_the_dead_letter() -> None:
    """Given a call that crashes twice, the caller is told at once and the actor goes on."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with pytest.raises(DeadLettered):
            await tree.ref("a").call(BoomCall())
        await settle()
        assert status(tree, "a") == "running"
        assert story.of("init") == ["a", "a", "a"]


@scenario("poison")
async def two_poisons_in_two_actors_do_not_add_up() -> None:
    """Given intensity 2, one poison in each of two actors at once is within the budget."""
    story = Chronicle()
    spec = supervisor("root", player(story, "a"), player(story, "b"), intensity=2)
    async with given(story, spec) as tree:
        tree.ref("a").cast_nowait(Boom())
        tree.ref("b").cast_nowait(Boom())
        await settle()
        assert set(tree.healthy().values()) == {"running"}
        assert sorted(letter.id for letter in story.dead) == ["a", "b"]
