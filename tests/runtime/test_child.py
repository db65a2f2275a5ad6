"""One place in the tree: its identity, its waits, its errors."""

import trio
from trio.testing import MockClock

from coordinator.runtime import Backoff, open_tree, supervisor
from coordinator.runtime.child import brief_text, fatal_in, sole
from tests.runtime.stage import Boom, BoomError, Chronicle, Script, player, settle


def test_the_sole_error_is_unwrapped() -> None:
    """Groups of one say nothing; a group of two is kept."""
    one, two = BoomError("1"), BoomError("2")
    assert sole(ExceptionGroup("g", [ExceptionGroup("h", [one])])) is one
    both = ExceptionGroup("g", [one, two])
    assert sole(both) is both


def test_fatal_errors_are_found_at_any_depth() -> None:
    """An interrupt hidden in nested groups ends the program all the same."""
    fatal = KeyboardInterrupt()
    hidden = BaseExceptionGroup("g", [BoomError("x"), BaseExceptionGroup("h", [fatal])])
    assert fatal_in(hidden) is fatal
    assert fatal_in(ExceptionGroup("g", [BoomError("x")])) is None
    assert fatal_in(trio.TrioInternalError("x")) is not None


def test_error_texts_are_bounded() -> None:
    """An error that carries a document is cut; one whose __str__ raises is named."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    assert len(brief_text(BoomError("x" * 10_000))) == 2000
    assert "__str__ raised" in brief_text(Mute())


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
