"""What is told of a function before it is called is certain; whatever may work is left alone."""

import functools
import inspect
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import trio

from coordinator.runtime.callables import cannot_be_awaited, is_async, refusal_of


async def good(*args: object, **kwargs: object) -> None: ...


async def streams() -> AsyncIterator[int]:
    yield 1


def yields() -> Iterator[int]:
    yield 1


@types.coroutine
def old_style() -> Iterator[None]:
    yield


def nothing() -> None: ...


def constant(flag: bool) -> int:
    if flag:
        return 1
    return -1


def passes_on() -> Awaitable[None]:
    return good()


def either(flag: bool) -> Awaitable[None] | None:
    return good() if flag else None


def early(flag: bool) -> Awaitable[None] | None:
    if flag:
        return None
    return good()


def raises() -> None:
    raise ValueError


@functools.wraps(nothing)
def decorated() -> Awaitable[None]:
    return trio.to_thread.run_sync(nothing)


class Awaiting:
    async def __call__(self) -> None: ...

    async def run(self) -> None: ...

    def stop(self) -> None: ...


@pytest.mark.parametrize(
    "fn",
    [
        good,
        functools.partial(good, 1),
        Awaiting(),
        Awaiting,
        Awaiting().run,
        old_style,
        passes_on,
        either,
        early,
        decorated,
        raises,
        lambda: good(),
        print,
        "no function",
    ],
)
def test_what_may_be_awaited_is_left_alone(fn: object) -> None:
    """Async functions in any wrapping, and whatever only a call can tell about."""
    assert not cannot_be_awaited(fn)


@pytest.mark.parametrize(
    "fn",
    [nothing, constant, streams, yields, functools.partial(nothing), Awaiting().stop, lambda: None],
)
def test_what_gives_nothing_to_await_is_known(fn: object) -> None:
    """A generator, or a plain function all of whose returns are constants."""
    assert cannot_be_awaited(fn)


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (good, True),
        (functools.partial(good, 1), True),
        (Awaiting(), True),
        (Awaiting, False),
        (Awaiting().run, True),
        (streams, True),
        (nothing, False),
        (passes_on, False),
        (list[int]().append, False),
        (print, False),
    ],
)
def test_what_does_nothing_when_called_is_known(fn: object, expected: bool) -> None:
    """A coroutine or an async generator runs only if somebody awaits it."""
    assert is_async(fn) is expected


def _takes_all(fn: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(fn)
    def call(*args: object, **kwargs: object) -> object:
        return fn()

    return call


def test_arguments_are_tried_without_a_call() -> None:
    """A wrapper counts with its own arguments, not with those of what it wraps."""
    assert refusal_of(good, (1,), {"x": 2}) is None
    assert refusal_of(_takes_all(nothing), (1,), {}) is None
    assert refusal_of(nothing, (1,), {}) == "too many positional arguments"
    assert refusal_of(functools.partial(good, x=1), (), {"x": 2}) is None
    assert (
        refusal_of(functools.partial(constant, True), (False,), {}) == "too many positional arguments"
    )
    assert refusal_of(type, (1,), {}) is None


def test_a_signature_that_is_only_said_proves_nothing() -> None:
    """A decorator may copy `__signature__` of what it wraps; only a call can tell."""

    def said(*args: object) -> None: ...

    said.__signature__ = inspect.signature(nothing)  # type: ignore[attr-defined]
    for fn in (said, functools.partial(said), types.MethodType(said, 1)):
        assert refusal_of(fn, (1,), {}) is None
