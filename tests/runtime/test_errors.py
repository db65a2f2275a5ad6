"""Errors carry what is needed to search for the cause."""

from collections.abc import Callable

import pytest

from coordinator.runtime import (
    ActorDown,
    AdminError,
    DeadLettered,
    ReplyError,
    RuntimeFault,
    StartFailed,
    UnknownChild,
    open_tree,
    supervisor,
)
from coordinator.runtime import errors as module
from coordinator.runtime.errors import start_failed


def test_the_innermost_culprit_is_named() -> None:
    """The failed start of a supervisor is that of the child that failed inside it."""
    leaf = start_failed("leaf", ValueError("no port"))
    assert start_failed("outer", leaf) is leaf
    assert leaf.child_id == "leaf"
    assert isinstance(leaf.__cause__, ValueError)
    assert "no port" in str(leaf)


def test_a_start_that_was_stopped_says_so() -> None:
    """A child stopped before it was ready has no error of its own to show."""
    assert "stopped first" in str(start_failed("leaf", None))


def test_the_culprits_words_are_bounded_and_may_fail() -> None:
    """An error that carries a document, or cannot say what it is, still makes a failed start."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    assert len(str(start_failed("a", ValueError("x" * 100_000)))) < 2_100
    mute = MuteError()
    assert str(start_failed("a", mute)) == (
        "a did not start: MuteError: <no message: its __str__ raised>"
    )
    assert start_failed("a", mute).__cause__ is mute


@pytest.mark.parametrize("error", ["text", ValueError, None, KeyboardInterrupt()])
def test_a_reply_error_takes_an_exception(error: object) -> None:
    """Anything else could not be raised at the caller, or would end the program there."""
    with pytest.raises(TypeError, match="takes an exception"):
        ReplyError(error)  # type: ignore[arg-type]


async def test_an_unknown_name_is_one_error_everywhere() -> None:
    """It is the administration's, and a KeyError for whoever thinks of a mapping; in plain words."""
    async with open_tree(supervisor("root")) as tree:
        asked: list[Callable[[], object]] = [
            lambda: tree.ref("ghost"),
            lambda: tree.ref("root"),
            lambda: tree.get_state("ghost"),
            lambda: tree.suspend("ghost"),
            lambda: tree.kill("ghost"),
            lambda: tree.which_children("ghost"),
            lambda: tree.get_childspec("root", "ghost"),
            lambda: tree.dump().find("ghost"),
        ]
        for ask in asked:
            with pytest.raises(UnknownChild) as caught:
                ask()
            assert isinstance(caught.value, KeyError)
            assert isinstance(caught.value, AdminError)
            assert str(caught.value) == caught.value.args[0]
        for verb in (tree.terminate_child, tree.restart_child, tree.delete_child, tree.drain_child):
            for names in (("ghost", "x"), ("root", "ghost")):
                with pytest.raises(UnknownChild):
                    await verb(*names)


NO_FAULTS = ("Ignore", "ReplyError", "start_failed")


@pytest.mark.parametrize("name", [n for n in module.__all__ if n not in NO_FAULTS])
def test_every_fault_has_one_root(name: str) -> None:
    """One name catches all the runtime raises; Ignore and ReplyError are an author's words."""
    assert issubclass(getattr(module, name), RuntimeFault)


def test_a_dead_lettered_call_is_an_actor_that_does_not_answer() -> None:
    """A caller that handles ActorDown handles its message being put aside, too."""
    assert issubclass(DeadLettered, ActorDown)
    assert not issubclass(StartFailed, ActorDown)
