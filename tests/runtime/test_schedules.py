"""The model checker finds the races planted for it, replays and shrinks them, and restores Trio."""

import random
import subprocess
import sys
from contextlib import suppress

import pytest
import trio
from trio._core import _run as scheduler

from tests.runtime.moments import any_moment
from tests.runtime.schedules import (
    DeadlockError,
    Fault,
    LeakError,
    LivelockError,
    Scenario,
    ScheduleFailure,
    aim,
    at_every_step,
    cancel,
    cancel_here,
    cancel_life,
    crash,
    explore,
    explore_all,
    replay,
    shrink,
)


class StruckError(Exception):
    """What a fault raises."""


async def lost_update() -> None:
    """Two tasks read, yield and write: right only if one is done before the other reads."""
    total = 0

    async def add(waits: int) -> None:
        nonlocal total
        for _ in range(waits):
            await trio.lowlevel.checkpoint()
        seen = total
        await trio.lowlevel.checkpoint()
        total = seen + 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(add, 0)
        nursery.start_soon(add, 1)
    assert total == 2


async def ordered_only_by_luck() -> None:
    """Right in order of birth; wrong as soon as the second task overtakes the first."""
    order: list[int] = []

    async def note(number: int) -> None:
        order.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, 1)
        nursery.start_soon(note, 2)
    assert order == [1, 2]


class Toy:
    """A supervisor with a bug: a child that starts after the stop has looked at the list is missed."""

    def __init__(self) -> None:
        self.scopes: list[trio.CancelScope] = []
        self.is_missed = False

    async def child(self) -> None:
        with trio.CancelScope() as scope:
            self.scopes.append(scope)
            await trio.sleep_forever()

    async def stop(self) -> None:
        for scope in self.scopes:
            scope.cancel()


async def leaking_stop() -> None:
    """The stop overtakes the start of the second child under some orders, which then never ends."""
    toy = Toy()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(toy.child)
        nursery.start_soon(toy.child)
        nursery.start_soon(toy.stop)


async def three_tasks() -> None:
    """Three tasks of one step each: six orders."""
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(trio.lowlevel.checkpoint_if_cancelled)


def hooks() -> tuple[object, object, object]:
    names = vars(scheduler)
    return names["_r"], names["_ALLOW_DETERMINISTIC_SCHEDULING"], random.getstate()


def test_a_lost_update_is_found() -> None:
    """A read–yield–write race fails under some seed, which is named."""
    with pytest.raises(ScheduleFailure, match=r"seed \d+: fails") as caught:
        explore(lost_update, schedules=100)
    assert isinstance(caught.value.__cause__, AssertionError)


@pytest.mark.parametrize("scenario", [ordered_only_by_luck, leaking_stop])
def test_one_bad_order_is_found_by_search(scenario: Scenario) -> None:
    """A bug that Trio's order of birth hides comes out, by chance and by enumeration alike."""
    replay(scenario, [])
    with pytest.raises(ScheduleFailure):
        explore(scenario, schedules=100)
    with pytest.raises(ScheduleFailure):
        explore_all(scenario)


def test_a_leaked_child_is_a_deadlock_with_stacks() -> None:
    """The child that was missed blocks for ever: the failure names its await."""
    with pytest.raises(ScheduleFailure) as caught:
        explore_all(leaking_stop)
    assert "sleep_forever" in "".join(map(str, flat(caught.value.__cause__)))


def flat(error: BaseException | None) -> list[BaseException]:
    """The leaves of nested groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in flat(inner)]
    return [] if error is None else [error]


def test_a_failing_schedule_replays() -> None:
    """The recorded choices fail again, each time, and so does the shrunk list; the rest passes."""
    with pytest.raises(ScheduleFailure) as caught:
        explore(ordered_only_by_luck, schedules=100)
    for choices in [caught.value.choices, caught.value.shortest] * 5:
        with pytest.raises(AssertionError):
            replay(ordered_only_by_luck, choices)
    assert caught.value.shortest == [1]
    assert replay(ordered_only_by_luck, []) == [0]


def typed(error: ScheduleFailure) -> dict[str, str]:
    """The variables of the command that a failure prints."""
    line = next(line for line in str(error).splitlines() if "python -m pytest" in line)
    return dict(word.split("=") for word in line.split("python")[0].split())


def test_a_failure_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names seed, test and a command; what it sets brings that failure back alone."""
    with pytest.raises(ScheduleFailure, match="test_a_failure_says_what_to_type'") as caught:
        explore(ordered_only_by_luck, schedules=100)
    assert f"seed {caught.value.seed}:" in str(caught.value)
    assert typed(caught.value) == {"REPLAY": "1"}
    monkeypatch.setenv("REPLAY", "1")
    for search in (explore, explore_all):
        with pytest.raises(AssertionError):
            search(ordered_only_by_luck)
    monkeypatch.setenv("REPLAY", "0")
    assert explore(ordered_only_by_luck).runs == explore_all(ordered_only_by_luck).runs == 1


def test_a_failing_strike_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command names the step, too, and strikes there and nowhere else."""

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fragile, name="victim")

    async def fragile() -> None:
        with suppress(StruckError):
            await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()

    with pytest.raises(ScheduleFailure) as caught:
        at_every_step(play, "victim", crash(StruckError))
    assert typed(caught.value) == {"REPLAY": "0", "STEP": "2"}
    for name, value in typed(caught.value).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ExceptionGroup):
        at_every_step(play, "victim", crash(StruckError))
    monkeypatch.setenv("STEP", "1")
    assert at_every_step(play, "victim", crash(StruckError)) == 1


def test_a_trio_without_the_hook_is_said_aloud() -> None:
    """Where Trio's order cannot be chosen, what needs it is skipped and says that nothing is proven."""
    code = "from trio._core import _run; del _run._r; import tests.runtime.schedules"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "Skipped: NOT PROVEN: Trio" in ran.stderr


def test_a_replay_takes_the_same_steps() -> None:
    """Two runs under the same choices do the same things in the same order."""
    lines: list[str] = []

    async def chatter() -> None:
        async def speak(name: str) -> None:
            for _ in range(5):
                lines.append(f"{name} {trio.current_time():.6f} {random.random()}")
                await trio.sleep(random.random() / 10)

        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(speak, name)

    choices = [3, 1, 1, 2, 0, 1, 1, 1, 0, 2, 1]
    taken = replay(chatter, choices)
    first, lines[:] = lines[:], []
    assert replay(chatter, taken) == taken
    assert lines == first
    replay(chatter, [])
    assert lines[len(first) :] != first


def test_a_failing_list_is_shrunk() -> None:
    """Choices that do not matter become zero and fall off the end."""

    async def bad_in_the_end() -> None:
        await three_tasks()
        await ordered_only_by_luck()
        await three_tasks()

    assert shrink(bad_in_the_end, [2, 1, 1, 1, 1], AssertionError) == [0, 0, 1]


def test_every_order_is_tried_once() -> None:
    """Three tasks of one step have six orders; with at most one deviation, four."""
    assert explore_all(three_tasks).runs == 6
    assert explore_all(three_tasks).is_complete
    assert not explore_all(three_tasks, limit=5).is_complete
    assert explore_all(three_tasks, deviations=1).runs == 4


def test_the_moment_is_a_choice_of_the_schedule() -> None:
    """A bug that shows only at the third pass is found, and its list says which pass it was."""
    moments: list[int] = []

    async def strike() -> None:
        moments.append(0)

        async def count() -> None:
            for _ in range(9):
                await trio.lowlevel.checkpoint()
                moments[-1] += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            await trio.lowlevel.checkpoint()
            await any_moment(4)
            assert moments[-1] != 3
            nursery.cancel_scope.cancel()

    with pytest.raises(ScheduleFailure) as caught:
        explore_all(strike)
    assert set(moments) == {0, 1, 2, 3}
    assert caught.value.shortest


def test_a_run_in_circles_is_broken_off() -> None:
    """A task that never comes to an end at one moment of the clock fails instead of hanging."""

    async def spin() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(LivelockError):
        replay(spin, [])


def test_a_deadlock_is_reported_at_once() -> None:
    """A task that waits for nobody fails, even shielded, and is not waited for."""

    async def stuck() -> None:
        with trio.CancelScope(shield=True):
            await trio.Event().wait()

    with pytest.raises(DeadlockError, match=r"stuck:\d+ > wait"):
        replay(stuck, [])


def test_a_task_or_deadline_left_behind_is_reported() -> None:
    """A scenario that returns before what it started fails."""

    async def sloppy() -> None:
        trio.lowlevel.spawn_system_task(trio.sleep, 5)

    with pytest.raises(LeakError, match="1 tasks are left"):
        replay(sloppy, [])


def test_a_crash_reaches_every_await_of_the_chosen_task() -> None:
    """Each await of the victim raises once, and only the victim's."""
    cuts: list[int] = []

    async def victim() -> None:
        done = 0
        try:
            for _ in range(4):
                await trio.lowlevel.checkpoint()
                done += 1
        except StruckError:
            cuts.append(done)

    async def scene() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(victim, name="victim")
            nursery.start_soon(trio.sleep, 1, name="bystander")

    assert at_every_step(scene, "victim", crash(StruckError)) == 4
    assert cuts == [0, 1, 2, 3]


def test_a_cancellation_reaches_every_await_of_the_chosen_task() -> None:
    """The nursery of the victim is cancelled before each of its steps."""
    cuts: list[int] = []

    async def victim() -> None:
        done = 0
        try:
            for _ in range(3):
                await trio.sleep(1)
                done += 1
        finally:
            cuts.append(done)

    async def scene() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(victim, name="victim")

    assert at_every_step(scene, "victim", cancel) == 3
    assert cuts == [0, 1, 2, 3]


def test_a_sleeping_victim_is_struck_at_every_pass() -> None:
    """One that waits for the whole time is met once per pass, and its wait is over then."""
    cuts: list[int] = []

    async def scene() -> None:
        passes = 0
        over = trio.Event()

        async def victim() -> None:
            with suppress(StruckError):
                await over.wait()
            cuts.append(passes)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(victim, name="victim")
            for _ in range(4):
                await trio.lowlevel.checkpoint()
                passes += 1
            over.set()

    assert at_every_step(scene, "victim", crash(StruckError)) == 1
    cuts.clear()
    assert at_every_step(scene, "victim", crash(StruckError), asleep=True) == 4
    assert cuts == [3, 4, 4, 4, 4]  # the last two: woken with the others, and not struck at all


@pytest.mark.parametrize(("fault", "lines"), [(cancel_here, ["one", "all"]), (cancel_life, ["one"])])
def test_one_scope_or_all_of_the_victims_are_cancelled(fault: Fault, lines: list[str]) -> None:
    """Cancelled is the scope around the one await, or everything the task does, past its shields."""
    runs: list[list[str]] = []

    async def victim() -> None:
        with trio.CancelScope():
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            runs[-1].append("one")
            await trio.lowlevel.checkpoint()
            runs[-1].append("all")

    async def scene() -> None:
        runs.append([])
        aim(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(victim, name="victim")
            await trio.lowlevel.checkpoint()
            aim(True)
            await trio.lowlevel.checkpoint()
            aim(False)

    assert at_every_step(scene, "victim", fault, asleep=True) == 1
    assert runs == [lines, ["one", "all"]]


def test_a_fault_that_breaks_the_scenario_names_its_step() -> None:
    """A cleanup that is missed only when the second await fails is found there."""
    open_files: list[str] = []

    async def victim() -> None:
        await trio.lowlevel.checkpoint()
        open_files.append("log")
        await trio.lowlevel.checkpoint()
        open_files.clear()

    async def scene() -> None:
        open_files.clear()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(victim, name="victim")
        except* StruckError:
            pass
        assert not open_files

    with pytest.raises(ScheduleFailure, match="victim struck at step 2"):
        at_every_step(scene, "victim", crash(StruckError))


@pytest.mark.parametrize("scenario", [three_tasks, lost_update, leaking_stop])
def test_trio_is_as_before(scenario: Scenario) -> None:
    """Whatever a search ends with, Trio's scheduling and Python's `random` are untouched."""
    before = hooks()
    with suppress(ScheduleFailure):
        explore(scenario, schedules=10)
    assert hooks() == before
