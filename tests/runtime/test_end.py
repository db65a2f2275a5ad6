"""How a life ends: what an error in nested groups comes down to."""

import trio

from coordinator.runtime.end import End, fatal_in, sole
from tests.runtime.stage import BoomError


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


def test_an_end_knows_what_must_end_the_program() -> None:
    """An interrupt, an exit and a bug of Trio are fatal; a crash and a normal end are not."""
    for error in (KeyboardInterrupt(), SystemExit(3), GeneratorExit(), trio.TrioInternalError("x")):
        assert End(error).is_fatal
    assert not End(BoomError("x")).is_fatal
    assert not End(None).is_fatal
