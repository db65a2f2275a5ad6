"""The block of a tree: what ends it, and whose error comes out."""

import functools
import signal
import threading

import pytest
import trio

from coordinator.runtime import (
    Hooks,
    ReachedMaxIntensity,
    StartFailed,
    Tree,
    open_tree,
    supervisor,
)
from tests.runtime.stage import Boom, BoomError, Chronicle, Do, Script, player


async def test_an_error_of_the_block_comes_out_bare_after_the_stop() -> None:
    """The tree is stopped in order and the block's own exception is what the caller sees."""
    chronicle = Chronicle()
    with pytest.raises(BoomError, match="mine"):
        async with open_tree(supervisor("root", *(player(chronicle, name) for name in "abc"))):
            raise BoomError("mine")
    assert chronicle.of("terminate") == ["c", "b", "a"]


async def test_the_block_and_the_tree_may_both_fail() -> None:
    """Two unrelated errors are both told."""
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012  the tree itself raises
        async with open_tree(supervisor("root", player(Chronicle(), "a"), intensity=0)) as tree:
            tree.ref("a").cast_nowait(Boom())
            try:
                await trio.sleep_forever()
            finally:
                raise BoomError("block")
    assert {type(e) for e in caught.value.exceptions} == {ReachedMaxIntensity, BoomError}


async def test_a_tree_that_ends_by_itself_ends_the_block() -> None:
    """A root whose significant work is done takes the block along, without an error."""
    spec = supervisor(
        "root",
        player(Chronicle(), "a", restart="transient", significant=True),
        auto_shutdown="any_significant",
    )
    reached = list[str]()
    async with open_tree(spec) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.stop()))
        await trio.sleep_forever()
    reached.append("after")
    assert reached == ["after"]


def test_an_interrupt_of_the_stop_is_not_hidden_by_the_blocks_error() -> None:
    """Given a Ctrl-C while the tree stops after an error of the block, it comes out, bare."""

    def interrupt(name: str, _: str) -> None:
        if name == "b":
            signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        spec = supervisor("root", *(player(chronicle, name) for name in "ab"))
        async with open_tree(spec, hooks=Hooks(stopped=interrupt)):
            raise BoomError("mine")

    chronicle = Chronicle()
    with pytest.raises(KeyboardInterrupt) as caught:
        trio.run(main)
    assert isinstance(caught.value.__context__, BoomError)
    assert chronicle.of("terminate") == ["b", "a"]


@pytest.mark.parametrize("verb", ["request_stop", "dump", "suspend", "resume", "kill"])
async def test_another_thread_is_refused(verb: str) -> None:
    """Nothing is changed there half-way; by way of Trio the same verb works."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        ask = functools.partial(
            getattr(tree, verb), *(["a"] if verb in ("suspend", "resume", "kill") else [])
        )
        refusals = list[str]()

        def ask_there() -> None:
            try:
                ask()
            except RuntimeError as exc:
                refusals.append(str(exc))

        thread = threading.Thread(target=ask_there)
        thread.start()
        thread.join()
        assert ["from_thread" in refusal for refusal in refusals] == [True]
        assert tree.healthy() == {"root": "running", "a": "running"}
        await trio.to_thread.run_sync(trio.from_thread.run_sync, ask)


@pytest.mark.parametrize("is_first", [True, False])
def test_an_interrupt_at_the_end_of_the_block_stops_the_tree(
    is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a Ctrl-C before the stop is asked for, or while it is, it comes out after the stop."""
    chronicle, strikes = Chronicle(), [True]
    step = "wind_down" if is_first else "request_stop"
    original = getattr(Tree, step)

    def struck(tree: Tree, *args: object, **kwargs: object) -> object:
        if strikes:
            strikes.clear()
            signal.raise_signal(signal.SIGINT)
        return original(tree, *args, **kwargs)

    async def main() -> None:
        async with open_tree(supervisor("root", player(chronicle, "a"))):
            monkeypatch.setattr(Tree, step, struck)

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert chronicle.of("terminate") == ["a"]


def test_the_block_itself_may_be_interrupted() -> None:
    """A Ctrl-C in its own code is raised there, at once."""
    reached = list[str]()

    async def main() -> None:
        async with open_tree(supervisor("root", player(Chronicle(), "a"))):
            assert not trio.lowlevel.currently_ki_protected()
            try:
                signal.raise_signal(signal.SIGINT)
                reached.append("after")
            except KeyboardInterrupt:
                reached.append("in the block")
                raise

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert reached == ["in the block"]


async def test_an_exit_of_the_roots_last_hook_ends_the_block() -> None:
    """Given a tree that is down and a block that does not wait for it, the exit comes out."""

    def leave(name: str, _: str) -> None:
        if name == "root":
            raise SystemExit(3)

    with pytest.raises(SystemExit), trio.fail_after(60):  # noqa: PT012  the tree itself raises
        async with open_tree(
            supervisor("root", player(Chronicle(), "a")), hooks=Hooks(stopped=leave)
        ) as tree:
            tree.request_stop()
            await trio.sleep_forever()


async def test_an_exit_of_the_blocked_hook_comes_out() -> None:
    """It is raised in a thread of its own, and stops the tree from there."""
    free = threading.Event()

    def leave(_: object) -> None:
        free.set()
        raise SystemExit(3)

    chronicle = Chronicle()
    with pytest.raises(SystemExit), trio.fail_after(60):  # noqa: PT012  the tree itself raises
        async with open_tree(
            supervisor("root", player(chronicle, "a")), hooks=Hooks(blocked=leave), watchdog_s=0.05
        ):
            free.wait(30)
            await trio.sleep_forever()
    assert chronicle.of("terminate") == ["a"]


@pytest.mark.parametrize("ending", ["wait", "start"])
async def test_the_fall_is_not_said_to_come_of_what_the_block_handled(ending: str) -> None:
    """Who waits while it handles an error hears of the fall as it was."""
    script = Script(failing_inits=ending == "start")
    spec = supervisor("root", player(Chronicle(), "a", script), intensity=0)
    with pytest.raises((ReachedMaxIntensity, StartFailed)) as caught:  # noqa: PT012  the tree raises
        try:
            raise OSError("handled")
        except OSError:
            async with open_tree(spec) as tree:
                tree.ref("a").cast_nowait(Boom())
                await tree.wait()
    assert not isinstance(caught.value.__context__, OSError)


@pytest.mark.parametrize("verb", ["request_stop", "dump", "suspend", "resume", "kill"])
async def test_another_loop_is_another_thread(verb: str) -> None:
    """A thread that runs a Trio of its own is refused like any other."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:

        async def ask() -> None:
            getattr(tree, verb)(*(["a"] if verb in ("suspend", "resume", "kill") else []))

        def run() -> None:
            with pytest.raises(RuntimeError, match="from_thread"):
                trio.run(ask)

        await trio.to_thread.run_sync(run)
        assert tree.healthy() == {"root": "running", "a": "running"}
