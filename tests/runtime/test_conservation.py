"""Programs of random steps over a running tree: after each step no message, task or name is lost.

Hypothesis draws the steps and the schedule, and shrinks a failing program to the few steps that matter.
CI takes a fixed set of programs; `STEPS=1000000 pytest tests/runtime/test_conservation.py` searches on,
from a new place each time, until so many steps are taken. A failure prints the program as a call of
`play` with its seed, which runs it again.
"""

import os
from collections.abc import Callable

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.runtime.laws import Laws
from tests.runtime.machine import ALL_DONE_S, DEEDS, PLACES, VERBS, Ledger, Step, World
from tests.runtime.schedules import run_seeded

# What CI can pay for: programs of some 30 steps each, in about half a minute.
EXAMPLES = 450
STEPS = int(os.environ.get("STEPS", "0"))
# Programs are short enough to be read and long enough for a budget to be used up.
LENGTH = 60

steps = st.builds(
    Step,
    verb=st.sampled_from(VERBS),
    who=st.integers(0, len(PLACES) - 1),
    deed=st.sampled_from(DEEDS),
    n=st.integers(0, 5),
    passes=st.integers(0, 3),
)
# Lists of any length would mostly be short; a length that is drawn shrinks to 0 and then they do, too.
programs = st.sampled_from([0, LENGTH // 2, LENGTH]).flatmap(
    lambda least: st.lists(steps, min_size=least, max_size=LENGTH)
)


class Program:
    """One run of a program, and what was wrong at the first step that broke a law."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.taken = 0
        self.wrong: list[str] = []

    async def run(self) -> None:
        """Take the steps, let everything come to rest, stop; raises the first law that was broken."""
        self.task = trio.lowlevel.current_task()
        self.task.name = "program"
        async with trio.open_nursery() as nursery:
            world = self.world = World(nursery)
            nursery.start_soon(world.live, name="owner")
            await world.up.wait()
            self.laws = Laws(world.tree)
            await self._take_steps()
            await self._come_to_rest()
            world.over.set()
        self._judge(world.ledger.unsettled(), "after the end")
        assert not self.wrong, "\n".join(self.wrong)

    async def _take_steps(self) -> None:
        for step in self.steps:
            if self.wrong:
                return
            await self.world.take(step)
            self.check(step)
            for _ in range(step.passes):
                await trio.lowlevel.checkpoint()
                self.check(step)
            self.taken += 1

    async def _come_to_rest(self) -> None:
        """With nobody held and no fault ahead every child settles and every message is handled."""
        world = self.world
        world.calm()
        await trio.sleep(ALL_DONE_S)
        await trio.testing.wait_all_tasks_blocked()
        self.check("rest")
        self._judge([*self.laws.overslept(), *self.laws.unsettled(), *self.laws.untold()], "at rest")
        if world.errands and not self.wrong:
            self._judge([f"{name} never returned" for name in world.errands.values()], "at rest")

    def check(self, at: object) -> None:
        """Hold the tree against the laws."""
        world = self.world
        self._judge([*self.laws.broken(self.task, len(world.errands)), *world.ledger.wrong], at)

    def _judge(self, broken: list[str], at: object) -> None:
        if broken and not self.wrong:
            self.wrong = [f"after {at}: {text}" for text in broken]


def play(steps: list[Step], seed: int) -> int:
    """Run the program under one schedule; gives the steps it took."""
    program = Program(steps)
    try:
        run_seeded(program.run, seed)
    except BaseException as exc:
        listed = "".join(f"    {step},\n" for step in steps)
        exc.add_note(f"replay: play([\n{listed}], seed={seed})")
        raise
    return program.taken


def test_no_program_breaks_a_law() -> None:
    """After every step of any program, under any schedule, all laws hold."""
    taken = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=not STEPS,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(steps=programs, seed=st.integers(0, 2**16))
    def try_out(steps: list[Step], seed: int) -> None:
        nonlocal taken
        taken += play(steps, seed)

    try_out()
    while taken < STEPS:
        try_out()
    assert taken > EXAMPLES * LENGTH // 4, "most programs are empty or broken off"


def lose_a_message(world: World) -> str:
    world.tree._registry.find("a").body.cell.queue.counters.accepted += 1  # type: ignore[attr-defined]
    return "a loses or doubles messages"


def lose_a_name(world: World) -> str:
    world.tree._registry.forget(world.tree._registry.find("b"))
    return "root/all/b is in the tree and not registered"


def lose_a_task(world: World) -> str:
    world.tree._registry.find("c").path = "elsewhere"
    return "nobody runs elsewhere"


def start_a_task(world: World) -> str:
    world.nursery.start_soon(trio.sleep, 0, name="ghost")
    return "ghost runs and should not"


def watch_for_ever(world: World) -> str:
    world.tree._registry.find("d").watchers = (trio.Event(),)
    return "1 watch for a change, 0 errands wait"


@pytest.mark.parametrize(
    "harm", [lose_a_message, lose_a_name, lose_a_task, start_a_task, watch_for_ever]
)
async def test_a_broken_law_is_named(harm: Callable[[World], str], autojump_clock: MockClock) -> None:
    """What a bug would do to a tree is seen at the next look."""
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        nursery.start_soon(world.live, name="owner")
        await world.up.wait()
        here, laws = trio.lowlevel.current_task(), Laws(world.tree)
        here.name = "program"
        assert laws.broken(here, 0) == []
        wrong = harm(world)
        assert wrong in "\n".join(laws.broken(here, 0))
        nursery.cancel_scope.cancel()


def test_a_broken_ledger_is_named() -> None:
    """A message that is lost, settled twice or handled too late is told by its number."""
    ledger = Ledger()
    first, second = ledger.order("note", 0, "program"), ledger.order("note", 0, "program")
    ledger.accepted[first] += 1
    assert ledger.unsettled() == [f"{first} is lost"]
    ledger.begin(second, "a")
    ledger.begin(first, "a")
    ledger.settle(first)
    ledger.settle(first)
    ledger.begin(first, "a")
    assert [text.removeprefix(str(first)) for text in ledger.wrong] == [
        " is handled after number 2",
        " was settled 2 times",
        " is handled though it was settled",
    ]
