"""Errors carry what is needed to search for the cause."""

import pytest

from coordinator.runtime import ActorDown, DeadLettered, RuntimeFault, StartFailed
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


NO_FAULTS = ("Ignore", "ReplyError", "start_failed")


@pytest.mark.parametrize("name", [n for n in module.__all__ if n not in NO_FAULTS])
def test_every_fault_has_one_root(name: str) -> None:
    """One name catches all the runtime raises; Ignore and ReplyError are an author's words."""
    assert issubclass(getattr(module, name), RuntimeFault)


def test_a_dead_lettered_call_is_an_actor_that_does_not_answer() -> None:
    """A caller that handles ActorDown handles its message being put aside, too."""
    assert issubclass(DeadLettered, ActorDown)
    assert not issubclass(StartFailed, ActorDown)
