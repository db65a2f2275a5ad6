"""One place in the tree: its identity, its waits, its errors."""

import gc
import weakref
from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import Backoff, Ignore, StartFailed, child, open_tree, supervisor
from tests.runtime.stage import Boom, BoomError, Chronicle, Hang, Player, Script, player, settle


async def test_a_stop_while_starting_cancels_at_once(autojump_clock: MockClock) -> None:
    """An init in progress is not waited for, when its restart is called off."""
    chronicle, script = Chronicle(), Script()
    async with open_tree(supervisor("root", player(chronicle, "a", script))) as tree:
        script.init_takes_s = 25
        tree.ref("a").cast_nowait(Boom(once=True))
        await settle()
        assert tree.healthy()["a"] == "starting"
        begin = trio.current_time()
    assert trio.current_time() == begin
    assert chronicle.of("init") == ["a"]


async def test_a_restart_that_hangs_in_init_is_retried(autojump_clock: MockClock) -> None:
    """A start timeout on the way back counts as another crash and the next try may work."""
    chronicle, script = Chronicle(), Script()
    spec = player(chronicle, "a", script, start_timeout_s=2, backoff=Backoff(jitter=0))
    async with open_tree(supervisor("root", spec), hooks=chronicle.hooks()) as tree:
        script.init_takes_s = 25
        tree.ref("a").cast_nowait(Boom(once=True))
        await trio.sleep(1)
        script.init_takes_s = 0
        await trio.sleep(3)
        assert tree.healthy()["a"] == "running"
        assert [c.phase for c in chronicle.crashes] == ["run", "start"]
        assert "not ready after 2 s" in chronicle.crashes[1].error.message


async def test_a_handler_that_ignores_its_deadline_is_named(autojump_clock: MockClock) -> None:
    """After deadline and grace it is reported with its stack; ending at last it is a crash like any."""
    chronicle, free = Chronicle(), trio.Event()
    script = Script(ignores_cancel_until=free)
    spec = player(chronicle, "a", script, handler_timeout_s=2)
    async with open_tree(supervisor("root", spec), hooks=chronicle.hooks()) as tree:
        tree.ref("a").cast_nowait(Hang())
        await trio.sleep(2.5)
        early = list(chronicle.zombies)
        await trio.sleep(60)
        named = [report.id for report in chronicle.zombies]
        free.set()
        await settle()
        assert (early, named) == ([], ["a"])
        assert "hang" in " ".join(chronicle.zombies[0].await_stack)
        assert tree.healthy()["a"] == "running"


async def test_long_last_words_after_a_timeout_are_no_survival(autojump_clock: MockClock) -> None:
    """A handler that gave way to its cancellation is not named for what its actor does then."""
    chronicle = Chronicle()
    spec = player(chronicle, "a", Script(terminate_takes_s=4), handler_timeout_s=2)
    async with open_tree(supervisor("root", spec), hooks=chronicle.hooks()) as tree:
        tree.ref("a").cast_nowait(Hang())
        await trio.sleep(5)
        assert chronicle.of("terminate") == ["a"]
        await tree.stop()
    assert chronicle.zombies == []


async def test_who_is_ready_in_spite_of_the_cancellation_is_late(autojump_clock: MockClock) -> None:
    """An init that swallows the end of its time has not started; what it opened is cleaned up."""
    chronicle = Chronicle()

    async def late(actor: Player) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(2.5)

    spec = player(chronicle, "a", Script(on_init=late), start_timeout_s=2)
    with pytest.raises(StartFailed, match="a was not ready after 2 s"):
        async with open_tree(supervisor("root", spec), hooks=chronicle.hooks()):
            pass
    assert [(c.id, c.phase) for c in chronicle.crashes] == [("a", "start"), ("root", "start")]
    assert chronicle.of("terminate") == ["a"]
    assert chronicle.zombies == []


class Remembered(Player):
    """Counts the instances that are still there."""

    alive: ClassVar["weakref.WeakSet[Remembered]"] = weakref.WeakSet()

    async def init(self) -> None:
        self.alive.add(self)
        if self.context.incarnation > 1 or self.script.failing_inits:
            raise BoomError("init")
        if self.script.state == "declines":
            raise Ignore("not today")


@pytest.mark.parametrize("case", ["declines", "retries", "start by hand", "restart by hand"])
async def test_who_did_not_start_is_not_kept(case: str, autojump_clock: MockClock) -> None:
    """The error of a start that failed, or declined, holds no frames once its asker knows it."""
    Remembered.alive.clear()
    script = Script(state=case, failing_inits=case == "start by hand")
    spec = child(Remembered, Chronicle(), script, id="a", backoff=Backoff(min_s=60, max_s=90))
    initial = [] if case == "start by hand" else [spec]
    async with open_tree(supervisor("root", *initial)) as tree:
        keeps = None if not initial else tree.ref("a")
        if case == "retries":
            tree.ref("a").cast_nowait(Boom())
        elif case == "start by hand":
            with pytest.raises(StartFailed) as caught:
                await tree.start_child("root", spec)
            del caught
        elif case == "restart by hand":
            await tree.terminate_child("root", "a")
            with pytest.raises(StartFailed) as caught:
                await tree.restart_child("root", "a")
            del caught
        await trio.sleep(30)
        gc.collect()
        assert (keeps is None, len(Remembered.alive)) == (not initial, 0)
