"""Stacks in words, whatever a task waits in."""

import sys
from collections.abc import AsyncIterator

import trio

from coordinator.runtime.stacks import Stacks, place
from tests.runtime.stage import settle


async def _sleeping(started: list[trio.lowlevel.Task]) -> None:
    started.append(trio.lowlevel.current_task())
    await trio.sleep_forever()


async def _numbers() -> AsyncIterator[int]:
    await trio.sleep_forever()
    yield 1


async def _reading(started: list[trio.lowlevel.Task]) -> None:
    started.append(trio.lowlevel.current_task())
    async for _ in _numbers():
        pass


def _names(stack: tuple[str, ...]) -> list[str]:
    return [line.split(":")[1] for line in stack]


async def test_a_waiting_task_says_where() -> None:
    """Outermost first, with file and line; the same for a task that waits inside an async generator."""
    tasks = list[trio.lowlevel.Task]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_sleeping, tasks)
        await settle()
        nursery.start_soon(_reading, tasks)
        await settle()
        sleeping, reading = (Stacks().of(task) for task in tasks)
        nursery.cancel_scope.cancel()
    line = _sleeping.__code__.co_firstlineno + 2
    assert sleeping[0] == f"test_stacks.py:_sleeping:{line}"
    assert _names(sleeping)[:2] == ["_sleeping", "sleep_forever"]
    assert _names(reading)[:3] == ["_reading", "_numbers", "sleep_forever"]


async def test_every_line_is_the_one_trio_tells() -> None:
    """Looking places up by address changes nothing of what is seen."""
    tasks = list[trio.lowlevel.Task]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_sleeping, tasks)
        await settle()
        told = tuple(place(frame) for frame, _ in tasks[0].iter_await_frames())
        assert Stacks().of(tasks[0]) == told
        nursery.cancel_scope.cancel()


async def _at_one_of_two(first: bool, started: list[trio.lowlevel.Task]) -> None:
    started.append(trio.lowlevel.current_task())
    if first:
        await trio.sleep_forever()
    await trio.sleep_forever()


async def test_two_places_of_one_function_are_told_apart() -> None:
    """What is remembered is the place, not the function."""
    tasks, stacks = list[trio.lowlevel.Task](), Stacks()
    async with trio.open_nursery() as nursery:
        for first in (True, False):
            nursery.start_soon(_at_one_of_two, first, tasks)
            await settle()
        lines = [int(stacks.of(task)[0].rpartition(":")[2]) for task in tasks]
        nursery.cancel_scope.cancel()
    assert lines[1] == lines[0] + 1


async def test_equal_stacks_are_one_object() -> None:
    """Ten thousand idle actors cost one stack."""
    tasks, stacks = list[trio.lowlevel.Task](), Stacks()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(_sleeping, tasks)
        await settle()
        assert stacks.of(tasks[0]) is stacks.of(tasks[1])
        nursery.cancel_scope.cancel()


async def test_who_does_not_wait_has_no_stack() -> None:
    """No task, or one that is over."""
    tasks = list[trio.lowlevel.Task]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_sleeping, tasks)
        await settle()
        nursery.cancel_scope.cancel()
    assert Stacks().of(tasks[0]) == ()
    assert Stacks().of(None) == ()


def test_a_place_has_no_folders() -> None:
    """A report never tells where on a machine the program lies."""
    assert place(sys._getframe()).startswith("test_stacks.py:test_a_place_has_no_folders:")
