"""Whose error comes out of a tree: its root's, its block's, or both."""

import pytest
import trio

from coordinator.runtime import (
    ActorDown,
    AdminError,
    CallTimeout,
    ReachedMaxIntensity,
    StartFailed,
    open_tree,
    supervisor,
)
from coordinator.runtime.outcome import both, outcome, raise_as_it_is
from tests.runtime.stage import Boom, BoomError, Chronicle, player

FALL = BoomError("the tree's")
TELLS_OF_IT: list[BaseException] = [
    ActorDown("a", "shutdown"),
    CallTimeout("a", "Echo()", 5),
    AdminError("root is stopping and starts nobody"),
    StartFailed("x", "it was stopped first"),
    FALL,
]


def started(cause: BaseException) -> StartFailed:
    error = StartFailed("x", "it did not")
    error.__cause__ = cause
    return error


def test_one_error_is_the_outcome() -> None:
    """No error is no error; the same one from both sides is one."""
    error = BoomError("x")
    assert outcome(None, None) is None
    assert outcome(error, None) is outcome(None, error) is outcome(error, error) is error
    assert error.__context__ is None


@pytest.mark.parametrize("users", [*TELLS_OF_IT, started(FALL)], ids=lambda e: type(e).__name__)
def test_what_only_tells_of_the_fall_gives_way(users: BaseException) -> None:
    """An answer of a falling tree is the context of the fall, bare or in a group, never in a circle."""
    for told in (users, BaseExceptionGroup("g", [users, ExceptionGroup("h", [BoomError("x")])][:1])):
        fall = FALL
        fall.__context__ = None
        assert outcome(told, fall) is fall
        is_circle = users is FALL or users.__cause__ is FALL
        assert fall.__context__ is (None if is_circle else told)


async def test_a_cancellation_gives_way() -> None:
    """A cancelled block, alone or in a group, has nothing to add."""
    outcomes = list[BaseException | None]()
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.sleep(1)
        except trio.Cancelled as cancelled:
            outcomes.append(outcome(cancelled, FALL))
            outcomes.append(outcome(BaseExceptionGroup("g", [cancelled, cancelled]), FALL))
            raise
    assert outcomes == [FALL, FALL]


def test_a_failed_start_with_another_cause_is_an_error_of_its_own() -> None:
    """A child that failed by itself has not failed because of the fall."""
    users = started(BoomError("init"))
    found = outcome(users, FALL)
    assert isinstance(found, ExceptionGroup)
    assert found.exceptions == (FALL, users)


def test_a_failed_start_behind_which_the_fall_stands_gives_way() -> None:
    """The fall of an inner supervisor, which brought the root down, is the same fall."""
    inner, root = BoomError("inner"), BoomError("root")
    root.__cause__ = inner
    assert outcome(started(inner), root) is root


def test_of_a_group_only_what_is_the_blocks_own_stays() -> None:
    """The tree's error stands once in what comes out."""
    mine = BoomError("mine")
    found = outcome(ExceptionGroup("g", [FALL, ExceptionGroup("h", [mine, ActorDown("a", "x")])]), FALL)
    assert isinstance(found, ExceptionGroup)
    trees, users = found.exceptions
    assert trees is FALL
    assert isinstance(users, ExceptionGroup)
    assert isinstance(users.exceptions[0], ExceptionGroup)
    assert users.exceptions[0].exceptions == (mine,)


@pytest.mark.parametrize("fatal", [KeyboardInterrupt(), SystemExit(3), trio.TrioInternalError("x")])
def test_what_must_end_the_program_comes_alone(fatal: BaseException) -> None:
    """The other error is its context, whichever side it is from."""
    for first, second in ((fatal, BoomError("x")), (BoomError("x"), fatal)):
        fatal.__context__ = None
        assert both(first, second) is fatal
        assert isinstance(fatal.__context__, BoomError)


def test_a_context_of_its_own_stays() -> None:
    """What an error was raised after says more than what the block made of the fall."""
    own, fall = BoomError("own"), BoomError("fall")
    fall.__context__ = own
    assert outcome(ActorDown("a", "x"), fall) is fall
    assert fall.__context__ is own
    assert isinstance(own.__context__, ActorDown)


def test_it_is_raised_with_the_context_it_has() -> None:
    """What the caller happens to handle is not its context."""
    error = BoomError("x")
    with pytest.raises(BoomError):  # noqa: PT012
        try:
            raise ActorDown("a", "x")
        except ActorDown:
            raise_as_it_is(error)
    assert error.__context__ is None


def test_errors_in_a_circle_are_walked_once() -> None:
    """`raise e from e` of a user hangs nobody."""
    users = BoomError("mine")
    users.__cause__ = users
    assert both(SystemExit(3), users).__context__ is users


def test_what_cleans_up_tells_of_the_fall_behind_its_own_error() -> None:
    """An exit with a context, also one that was cancelled with the block, leads on to the fall."""
    fall, own = BoomError("fall"), BoomError("own")
    leaving = SystemExit(3)
    leaving.__context__ = own
    assert outcome(leaving, fall) is leaving
    assert leaving.__context__ is own
    assert own.__context__ is fall
    assert outcome(leaving, fall) is leaving
    assert fall.__context__ is None


def test_a_circle_of_contexts_hangs_nobody() -> None:
    """What a user has tied into a ring is walked once."""
    first, second, leaving = BoomError("1"), BoomError("2"), SystemExit(3)
    leaving.__context__, first.__context__, second.__context__ = first, second, first
    fall = BoomError("fall")
    assert both(leaving, fall) is leaving
    assert second.__context__ is fall


async def test_a_cleanup_that_exits_hides_no_fall() -> None:
    """The Cancelled of the block gives way to what cancelled it."""
    with pytest.raises(SystemExit) as caught:  # noqa: PT012  the tree itself raises
        async with open_tree(supervisor("root", player(Chronicle(), "a"), intensity=0)) as tree:
            tree.ref("a").cast_nowait(Boom())
            try:
                await trio.sleep_forever()
            finally:
                raise SystemExit(3)
    assert isinstance(caught.value.__context__, ReachedMaxIntensity)
