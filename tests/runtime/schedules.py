"""A small model checker for Trio: the order inside every scheduling pass comes from a list of choices.

Trio shuffles each batch of runnable tasks with its module-level `_r` when it is told to be
deterministic (trio/_core/_run.py, `unrolled_run`, read in 0.35). Ours picks task after task from a
recorded list, so a schedule can be drawn, replayed, shrunk and enumerated. The clock is virtual, there
is no I/O, and `random` starts from the same seed in each run: the choices are all there is to chance.
"""

import os
import random
from collections.abc import Awaitable, Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import outcome
import pytest
import trio
from trio._core import _run as scheduler
from trio.testing import MockClock

if not {"_r", "_ALLOW_DETERMINISTIC_SCHEDULING"} <= vars(scheduler).keys():
    pytest.skip(
        f"NOT PROVEN: Trio {trio.__version__} has no hook for the order of its tasks, as 0.35 had",
        allow_module_level=True,
    )

__all__ = [
    "SCHEDULES",
    "DeadlockError",
    "Explored",
    "Fault",
    "LeakError",
    "LivelockError",
    "Scenario",
    "ScheduleFailure",
    "aim",
    "at_every_step",
    "cancel",
    "cancel_here",
    "cancel_life",
    "choose",
    "crash",
    "explore",
    "explore_all",
    "replay",
    "run_seeded",
    "shrink",
]

Scenario = Callable[[], Awaitable[None]]
Source = Callable[[int], int]
Fault = Callable[[trio.lowlevel.Task], None]

# Enough in CI to meet most orders of two tasks over a few steps; SCHEDULES=10000 for a night's search.
SCHEDULES = int(os.environ.get("SCHEDULES", "20"))
# A scenario takes some hundred passes; one that takes so many runs in circles at one moment.
MAX_PASSES = 100_000
# For its nurseries to close once it is broken off; then it is abandoned, and Trio with it.
UNWINDING_PASSES = 1000
# A blocked task that swallows its abort gets another; one that swallows so many is broken off.
MAX_ABORTS = 20
# A shrunk list is for reading; after so many tries it is short enough or will not get shorter.
SHRINK_RUNS = 300


class DeadlockError(Exception):
    """No task can run and no deadline is ahead: nothing would ever happen again."""


class LivelockError(Exception):
    """The run did not come to an end within the permitted number of passes."""


class LeakError(AssertionError):
    """The scenario returned and left a task or a deadline behind."""


class ScheduleFailure(AssertionError):
    """A scenario fails under one schedule; `choices` replays it, `shortest` is the shrunk list."""

    def __init__(
        self, seed: int | None, choices: list[int], shortest: list[int], victim: "_Victim | None" = None
    ) -> None:
        at = "" if victim is None else f", {victim.name} struck at step {victim.step}"
        super().__init__(
            f"seed {seed}{at}: fails under {len(choices)} choices\n  {_command(shortest, victim)}\n"
            f"  replay(scenario, {shortest})  # shrunk\n  replay(scenario, {choices})"
        )
        self.seed = seed
        self.choices = choices
        self.shortest = shortest


def _command(choices: list[int], victim: "_Victim | None") -> str:
    """What to type to run the test in progress again, under this schedule alone."""
    listed = ",".join(map(str, choices)) or "0"
    step = "" if victim is None else f"STEP={victim.step} "
    test = os.environ.get("PYTEST_CURRENT_TEST", "").removesuffix(" (call)")
    return f"REPLAY={listed} {step}python -m pytest '{test}'"


def _asked() -> list[int] | None:
    """The choices of a replay that somebody has typed."""
    listed = os.environ.get("REPLAY")
    return [int(choice) for choice in listed.split(",")] if listed else None


@dataclass(frozen=True, slots=True)
class Explored:
    """What a search has seen; `is_complete` if no other order exists."""

    runs: int
    distinct: int
    longest: int
    is_complete: bool = False


class _Chooser(random.Random):
    """Stands in for Trio's `_r`: orders each batch by choices and writes them down."""

    def __init__(self, source: Source, victim: "_Victim | None") -> None:
        super().__init__(0)
        self.source = source
        self.victim = victim
        self.taken: list[int] = []
        self.options: list[int] = []
        self.passes = 0

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Order the batch, which Trio empties from its end."""
        self.passes += 1
        if self.passes > MAX_PASSES + UNWINDING_PASSES:
            raise LivelockError(f"does not even unwind after {MAX_PASSES} passes")
        waiting = list(x)
        ordered = [t for t in waiting if _is_systems_own(t)]
        waiting = [t for t in waiting if t not in ordered]
        while waiting:
            ordered.append(waiting.pop(self.choose(len(waiting))))
        if self.victim is not None:
            self.victim.see(ordered)
        if self.passes > MAX_PASSES:
            self._break_off(ordered)
        x[:] = ordered[::-1]

    def _break_off(self, batch: list[trio.lowlevel.Task]) -> None:
        """Every await raises from now on, so that the run unwinds and leaves Trio clean."""
        for task in batch:
            if not _is_systems_own(task) and task._schedule_points:
                task._next_send = outcome.Error(LivelockError(f"runs after {MAX_PASSES} passes"))

    def choose(self, options: int) -> int:
        """One of 0 … options − 1, by the source."""
        if options == 1:
            return 0
        choice = self.source(options)
        self.taken.append(choice)
        self.options.append(options)
        return choice


def _is_systems_own(task: trio.lowlevel.Task) -> bool:
    """Trio's own tasks, whose order among ours changes nothing and would only multiply schedules."""
    nursery = task.parent_nursery
    if nursery is None:
        return True
    return nursery.parent_task.parent_nursery is None and task is not _runner().main_task


def _runner() -> scheduler.Runner:
    return scheduler.GLOBAL_RUN_CONTEXT.runner


class _Recorded:
    """Choices from a list; past its end the first option."""

    def __init__(self, choices: Sequence[int]) -> None:
        self._rest = iter(choices)

    def __call__(self, options: int) -> int:
        return min(next(self._rest, 0), options - 1)


class _Victim:
    """Strikes the task of one name at its k-th step; with `asleep` at the k-th pass of its life,
    whether it runs in that one or waits for something."""

    def __init__(self, name: str, step: int, fault: Fault, *, asleep: bool = False) -> None:
        self.name = name
        self.step = step
        self.fault = fault
        self.asleep = asleep
        self.seen = 0
        self.is_spared = False

    def again(self) -> "_Victim":
        """The same one, not struck yet."""
        return _Victim(self.name, self.step, self.fault, asleep=self.asleep)

    def see(self, batch: list[trio.lowlevel.Task]) -> None:
        """Count a step that is about to happen; a task's very first step has no await to fail in."""
        if self.is_spared or self.seen >= self.step:
            return
        for task in list(_runner().tasks) if self.asleep else batch:
            if task.name != self.name or task._schedule_points == 0:
                continue
            self.seen += 1
            if self.seen == self.step:
                self.fault(task)


def crash(error: Callable[[], BaseException]) -> Fault:
    """The await the task is in raises a new `error()` instead of returning, or of waiting on."""

    def fail(task: trio.lowlevel.Task) -> None:
        broken = error()

        def give_up() -> Any:
            raise broken

        if task._abort_func is None:
            task._next_send = outcome.Error(broken)
        else:
            task._attempt_abort(give_up)

    return fail


def cancel(task: trio.lowlevel.Task) -> None:
    """Cancel the nursery the task was started in."""
    assert task.parent_nursery is not None  # only Trio's own root has none
    task.parent_nursery.cancel_scope.cancel()


def cancel_here(task: trio.lowlevel.Task) -> None:
    """Cancel the innermost scope around the await the task is in."""
    task._cancel_status._scope.cancel()


def cancel_life(task: trio.lowlevel.Task) -> None:
    """Cancel the task's own outermost scope, and with it everything it does."""
    assert task.parent_nursery is not None  # only Trio's own root has none
    outside, status = task.parent_nursery._cancel_status, task._cancel_status
    inner = status
    while status is not outside and status._parent is not None:
        inner, status = status, status._parent
    inner._scope.cancel()


class _DeadlockBreaker(trio.abc.Instrument):
    """Turns a run in which nothing can happen any more into a failure that names every await."""

    def __init__(self) -> None:
        self.aborts = 0
        self.stacks = ""

    def before_io_wait(self, timeout: float) -> None:
        runner = _runner()
        if runner.runq or runner.waiting_for_idle or runner.main_task is None:
            return
        if runner.deadlines.next_deadline() != float("inf") or runner.main_task not in runner.tasks:
            return
        tasks = list(_below(runner.main_task))
        self.stacks = self.stacks or "\n".join(_where(task) for task in tasks)
        self.aborts += 1
        if self.aborts > MAX_ABORTS:
            _chooser().passes = MAX_PASSES
        for task in tasks:
            if task._abort_func is not None:
                task._attempt_abort(self._raise)

    def _raise(self) -> Any:
        raise DeadlockError(f"every task waits:\n{self.stacks}")


def _chooser() -> _Chooser:
    chooser = vars(scheduler)["_r"]
    assert isinstance(chooser, _Chooser)
    return chooser


def _below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    yield task
    for nursery in task.child_nurseries:
        for inner in nursery.child_tasks:
            yield from _below(inner)


def _where(task: trio.lowlevel.Task) -> str:
    frames = [f"{f.f_code.co_name}:{line}" for f, line in task.iter_await_frames()]
    return f"  {task.name}: {' > '.join(frames)}"


@contextmanager
def _in_place_of_trios(chooser: _Chooser) -> Iterator[None]:
    """Trio's scheduling and Python's `random` are ours in the block, and as they were after it."""
    names, state = vars(scheduler), random.getstate()
    before = {name: names[name] for name in ("_r", "_ALLOW_DETERMINISTIC_SCHEDULING")}
    names.update(_r=chooser, _ALLOW_DETERMINISTIC_SCHEDULING=True)
    random.seed(0)
    try:
        yield
    finally:
        names.update(before)
        random.setstate(state)


def _run(scenario: Scenario, source: Source, victim: _Victim | None = None) -> "_Run":
    chooser, breaker = _Chooser(source, victim), _DeadlockBreaker()
    error: BaseException | None = None

    async def main() -> None:
        living = trio.lowlevel.current_statistics().tasks_living
        await scenario()
        left = trio.lowlevel.current_statistics()
        if left.tasks_living != living:
            raise LeakError(f"{left.tasks_living - living} tasks are left")
        if left.seconds_to_next_deadline != float("inf"):
            raise LeakError(f"a deadline is left, in {left.seconds_to_next_deadline:g} s")

    with _in_place_of_trios(chooser):
        try:
            trio.run(main, clock=MockClock(autojump_threshold=0), instruments=[breaker])
        except (Exception, BaseExceptionGroup) as exc:  # noqa: BLE001  any failure is a finding
            error = exc
    if error is None and breaker.aborts:
        error = DeadlockError(f"every task waited:\n{breaker.stacks}")
    return _Run(chooser.taken, chooser.options, error)


def choose(options: int) -> int:
    """One of 0 … options − 1 as the schedule will have it; 0 outside of a search."""
    chooser = vars(scheduler)["_r"]
    return chooser.choose(options) if isinstance(chooser, _Chooser) else 0


def aim(is_on: bool) -> None:
    """Whether the victim's steps count from here on; in a scenario that does not say they all do."""
    chooser = vars(scheduler)["_r"]
    if isinstance(chooser, _Chooser) and chooser.victim is not None:
        chooser.victim.is_spared = not is_on


@dataclass(frozen=True, slots=True)
class _Run:
    choices: list[int]
    options: list[int]
    error: BaseException | None


def replay(scenario: Scenario, choices: Sequence[int], victim: "_Victim | None" = None) -> list[int]:
    """Run under the recorded choices; raises what the scenario raises, gives the choices it took."""
    run = _run(scenario, _Recorded(choices), victim)
    if run.error is not None:
        raise run.error
    return run.choices


def run_seeded(scenario: Scenario, seed: int) -> None:
    """Run under the one schedule that `seed` stands for; raises what the scenario raises."""
    run = _run(scenario, _source(seed))
    if run.error is not None:
        raise run.error


def _source(seed: int) -> Source:
    """The choices of a seed; 0 is Trio's own order of birth."""
    return random.Random(seed).randrange if seed else _Recorded(())


def explore(scenario: Scenario, schedules: int = SCHEDULES, seed: int = 0) -> Explored:
    """Run under `schedules` random schedules, the first being Trio's order of birth."""
    asked = _asked()
    if asked is not None:
        return Explored(1, 1, len(replay(scenario, asked)))
    seen, longest = set(), 0
    for number in range(seed, seed + schedules):
        run = _run(scenario, _source(number))
        _require_success(scenario, run, seed=number)
        seen.add(tuple(run.choices))
        longest = max(longest, len(run.choices))
    return Explored(schedules, len(seen), longest)


def explore_all(scenario: Scenario, limit: int = 10_000, deviations: int | None = None) -> Explored:
    """Run under every order, depth first, up to `limit`; gives how far it came.

    With `deviations` only the orders that leave Trio's order of birth at most so often: nearly all
    races need one or two, and their number grows with a power of the length instead of exponentially.
    """
    asked = _asked()
    if asked is not None:
        return Explored(1, 1, len(replay(scenario, asked)))
    prefix: list[int] | None = []
    runs = longest = 0
    while prefix is not None and runs < limit:
        run = _run(scenario, _Recorded(prefix))
        runs += 1
        _require_success(scenario, run, seed=None)
        longest = max(longest, len(run.choices))
        prefix = _next_prefix(run, deviations)
    return Explored(runs, runs, longest, is_complete=prefix is None)


def _next_prefix(run: _Run, deviations: int | None) -> list[int] | None:
    """The choices to try after these: the last one that has another option takes it."""
    for at in reversed(range(len(run.choices))):
        if run.choices[at] + 1 >= run.options[at]:
            continue
        prefix = [*run.choices[:at], run.choices[at] + 1]
        if deviations is None or sum(map(bool, prefix)) <= deviations:
            return prefix
    return None


def at_every_step(
    scenario: Scenario,
    task_name: str,
    fault: Fault,
    schedules: int = 1,
    limit: int = 1000,
    *,
    asleep: bool = False,
) -> int:
    """Run once for each step of the task and strike it there; gives the steps that were struck.

    The scenario must hold whatever is struck. Steps are counted over all tasks of that name. With
    `asleep` each scheduling pass counts as one, so that the task is struck while it waits, too.
    """
    asked = _asked()
    if asked is not None:
        victim = _Victim(task_name, int(os.environ["STEP"]), fault, asleep=asleep)
        replay(scenario, asked, victim)
        return victim.step
    steps = 0
    for step in range(1, limit + 1):
        was_struck = False
        for seed in range(schedules):
            victim = _Victim(task_name, step, fault, asleep=asleep)
            run = _run(scenario, _source(seed), victim)
            _require_success(scenario, run, seed=seed, victim=victim)
            was_struck |= victim.seen >= step
        if not was_struck:
            return steps
        steps = step
    return steps


def _require_success(
    scenario: Scenario, run: _Run, *, seed: int | None, victim: _Victim | None = None
) -> None:
    if run.error is None:
        return
    shortest = shrink(scenario, run.choices, type(run.error), victim)
    raise ScheduleFailure(seed, run.choices, shortest, victim) from run.error


def shrink(
    scenario: Scenario,
    choices: Sequence[int],
    error: type[BaseException],
    victim: _Victim | None = None,
) -> list[int]:
    """A simpler list of choices that fails with the same error: shorter first, then more zeros."""
    best = _without_last_zeros(choices)
    tried = 0

    def fails(candidate: list[int]) -> bool:
        nonlocal tried
        tried += 1
        again = None if victim is None else victim.again()
        return type(_run(scenario, _Recorded(candidate), again).error) is error

    size = len(best)
    while size and tried < SHRINK_RUNS:
        for start in range(max(0, len(best) - size), -1, -size):
            zeroed = [*best[:start], *([0] * len(best[start : start + size])), *best[start + size :]]
            candidate = _without_last_zeros(zeroed)
            if candidate != best and tried < SHRINK_RUNS and fails(candidate):
                best = candidate
        size //= 2
    return best


def _without_last_zeros(choices: Sequence[int]) -> list[int]:
    kept = list(choices)
    while kept and kept[-1] == 0:
        kept.pop()
    return kept
