"""The bell wakes its sleeper, or the clock does."""

import trio
import trio.testing

from coordinator.runtime.bell import Bell
from tests.runtime.stage import settle


async def test_a_ring_wakes_the_sleeper() -> None:
    """Whoever waits goes on after a ring; ringing with nobody there is nothing."""
    bell, woken = Bell(), list[str]()

    async def sleep() -> None:
        await bell.wait()
        woken.append("up")

    bell.ring()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep)
        await settle()
        assert woken == []
        bell.ring()
        bell.ring()
    assert woken == ["up"]


async def test_the_clock_wakes_the_sleeper(autojump_clock: trio.testing.MockClock) -> None:
    """With a time the wait ends then at the latest, and the bell can be waited for again."""
    bell, begin = Bell(), trio.current_time()
    await bell.wait(begin + 3)
    assert trio.current_time() == begin + 3
    bell.ring()
    await bell.wait(begin + 4)
    assert trio.current_time() == begin + 4
