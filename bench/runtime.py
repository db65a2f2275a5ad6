"""What an actor costs beside a bare channel and other actor libraries: `python -m bench.runtime`.

Everything happens in one process and takes turns (A B C, A B C, …): a ratio is the median of the
ratios within the rounds, so whatever else the machine does hits both sides.

Python's collector walks over everything alive again and again while many actors are made. It is set as
the service sets it, for every side alike; `--collector python` leaves it as Python ships it.
"""

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from bench import runtime_ours as ours
from bench.runtime_rivals import RIVALS, bare_pair, bare_round_trip, why_absent
from coordinator.app import GC_THRESHOLDS

__all__ = ["main"]

# Long enough that opening a tree and the first garbage collections do not show.
_MESSAGES = 30_000
_CALLS = 4_000
_CHILDREN = 1_000
# Ten times the work shows what is not linear, and still fits into a round.
_TENFOLD = 10
_MANY_CHILDREN = 100_000
_DUMPED = 10_000
_WEIGHED = 2_000
_FLOOD_S = 0.4
# Two minutes in all: a crowd that begins later does not get ready in time.
_CROWDS_UNTIL_S = 75.0
# An actor gives way after 5 ms and the handler in progress (0.5 ms); Trio shuffles who runs first in
# each of its rounds, so that two batches may lie between two beats.
_LONGEST_GAP_MS = 11.0
_STOP_MS = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result: a measure, or one measure divided by another."""

    label: str
    above: str
    below: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "×"

    def verdict(self, value: float) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g}: {'met' if value >= self.at_least else 'MISSED'}"
        if self.at_most is not None:
            return f"≤ {self.at_most:g}: {'met' if value <= self.at_most else 'MISSED'}"
        return ""


@dataclass(slots=True)
class Results:
    """Every measure's values, one per round it took part in."""

    of: dict[str, list[float]] = field(default_factory=dict)

    def take(self, measures: dict[str, Callable[[], float]], what: str) -> None:
        """One round: each measure once, in order."""
        for name, measure in measures.items():
            _progress(f"{what}: {name}")
            gc.collect()
            self.of.setdefault(name, []).append(measure())

    def of_row(self, row: Row) -> list[float] | None:
        """The row's value in each round; None if a side did not take part."""
        above = self.of.get(row.above)
        if above is None or row.below is None:
            return above
        below = self.of.get(row.below)
        if below is None:
            return None
        if len(above) != len(below):  # one that is measured once stands against the middle of the other
            return [statistics.median(above) / statistics.median(below)]
        return [a / b for a, b in zip(above, below, strict=True)]


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")


# what is measured ---------------------------------------------------------------------------------


def messages(scale: float) -> dict[str, Callable[[], float]]:
    """Seconds per message, by name."""
    casts, calls = int(_MESSAGES * scale), int(_CALLS * scale)
    measures: dict[str, Callable[[], float]] = {
        "cast": lambda: ours.cast(casts),
        "bare pair": lambda: bare_pair(casts),
        "call": lambda: ours.call(calls),
        "bare round trip": lambda: bare_round_trip(calls),
    }
    for name, (_, tell, ask) in RIVALS.items():
        if why_absent(name) is None:
            measures[f"{name} tell"] = lambda tell=tell: tell(casts)  # type: ignore[misc]
            measures[f"{name} ask"] = lambda ask=ask: ask(calls)  # type: ignore[misc]
    return measures | {
        "cast, counted": lambda: ours.fan_out(casts * 3, 1),
        "fan-out": lambda: ours.fan_out(casts * 3, _CHILDREN),
        "cast, 10 × as many": lambda: ours.cast(casts * _TENFOLD),
        "call, 10 × as many": lambda: ours.call(calls * _TENFOLD),
    }


def lives() -> dict[str, Callable[[], float]]:
    """Seconds per actor."""
    few = _CHILDREN
    return {
        "bare nursery.start": lambda: ours.spawn_bare(few),
        "start_child": lambda: ours.spawn_one_by_one(few),
        "crash and restart": lambda: ours.crash_and_restart(few),
        "static, 1,000": lambda: ours.lifetime(few, is_dynamic=False),
        "dynamic, 1,000": lambda: ours.lifetime(few, is_dynamic=True),
        "cast, to 1,000": lambda: ours.fan_out(_MESSAGES, few),
    }


def tenfold_lives() -> dict[str, Callable[[], float]]:
    """The same with ten times as many."""
    many = _CHILDREN * _TENFOLD
    return {
        "start_child, 10,000": lambda: ours.spawn_one_by_one(many),
        "crash and restart, 10,000": lambda: ours.crash_and_restart(many),
        "static, 10,000": lambda: ours.lifetime(many, is_dynamic=False),
        "dynamic, 10,000": lambda: ours.lifetime(many, is_dynamic=True),
        "cast, to 10,000": lambda: ours.fan_out(_MESSAGES * _TENFOLD, many),
    }


def crowds() -> dict[str, Callable[[], float]]:
    """Seconds per child; half a minute each, so once."""
    return {
        "dynamic, 100,000": lambda: ours.lifetime(_MANY_CHILDREN, is_dynamic=True),
        "static, 100,000": lambda: ours.lifetime(_MANY_CHILDREN, is_dynamic=False),
    }


def weights() -> dict[str, Callable[[], float]]:
    """Kilobytes: counted by the allocator, the same in every round."""

    def above_task(count: int) -> float:
        return (ours.idle_actor_bytes(count) - ours.bare_task_bytes(count)) / 1000

    return {
        "bare task": lambda: ours.bare_task_bytes(_WEIGHED) / 1000,
        "idle actor": lambda: above_task(_WEIGHED),
        "idle actor of 10,000": lambda: above_task(_WEIGHED * 5),
    }


def looks() -> dict[str, Callable[[], float]]:
    """Milliseconds. A flood measures two things at once, so the second one only fetches its half."""
    floods: list[ours.Flood] = []

    def longest_gap_ms() -> float:
        floods.append(ours.flood(_FLOOD_S))
        return floods[-1].longest_gap_ms

    return {
        "dump, 1,000": lambda: ours.dump_ms(_DUMPED // _TENFOLD),
        "dump, 10,000": lambda: ours.dump_ms(_DUMPED),
        "longest gap": longest_gap_ms,
        "stop": lambda: floods[-1].stop_ms,
    }


# what is made of it -------------------------------------------------------------------------------

# A quotient of times is the other way round a quotient of rates: `bare pair` ÷ `cast` is cast's rate
# in bare pairs.
ROWS = {
    "Messages": [
        Row("cast, in bare awaited pairs", "bare pair", "cast", at_least=2.0),
        Row("cast, in Pykka's tell", "Pykka tell", "cast", at_least=1.0),
        Row("cast, in Thespian's in-process tell", "Thespian tell", "cast", at_least=2.0),
        Row("cast, in triotp's cast", "triotp tell", "cast", at_least=2.0),
        Row("time of call ÷ bare round trip", "call", "bare round trip", at_most=1.5),
        Row("call, in Pykka's ask", "Pykka ask", "call", at_least=1.5),
        Row("call, in Thespian's in-process ask", "Thespian ask", "call"),
        Row("call, in triotp's call", "triotp ask", "call"),
        Row("cast to 1,000 actors, in casts to one", "cast, counted", "fan-out", at_least=0.9),
        Row("time per cast, ten times as many", "cast, 10 × as many", "cast"),
        Row("time per call, ten times as many", "call, 10 × as many", "call"),
        Row("time per cast, 10,000 actors ÷ 1,000", "cast, to 10,000", "cast, to 1,000"),
    ],
    "Lives": [
        Row("time of start_child ÷ nursery.start", "start_child", "bare nursery.start"),
        Row("time of start_child, 10,000 ÷ 1,000", "start_child, 10,000", "start_child"),
        Row("crash until handled ÷ nursery.start", "crash and restart", "bare nursery.start"),
        Row("the same, 10,000 ÷ 1,000", "crash and restart, 10,000", "crash and restart"),
        *(
            Row(f"start + stop of each {kind} child, {crowd} ÷ 1,000", f"{kind}, {crowd}",
                f"{kind}, 1,000", at_most=2)
            for kind in ("static", "dynamic") for crowd in ("10,000", "100,000")
        ),
    ],
    "Size": [
        Row("a bare task with a channel", "bare task", unit="KB"),
        Row("an idle actor above it", "idle actor", at_most=6, unit="KB"),
        Row("the same, 10,000 ÷ 2,000", "idle actor of 10,000", "idle actor"),
        Row("dump of 10,000 actors", "dump, 10,000", at_most=200, unit="ms"),
        Row("time of a dump, 10,000 ÷ 1,000 (linear: 10)", "dump, 10,000", "dump, 1,000"),
    ],
    "Flood (a sync handler of 0.5 ms, four senders, the mailbox always full)": [
        Row("longest wait of another task", "longest gap", at_most=_LONGEST_GAP_MS, unit="ms"),
        Row("stop of the tree", "stop", at_most=_STOP_MS, unit="ms"),
    ],
}  # fmt: skip


def show(results: Results) -> None:
    """Every row with its spread and its goal, then what the quotients were made of."""
    for title, rows in ROWS.items():
        print(f"\n{title}\n  {'':53} {'median':>9} {'from … to':>17}  goal")
        for row in rows:
            values = results.of_row(row)
            if values is None:
                print(f"  {row.label:53} not measured")
                continue
            middle = statistics.median(values)
            spread = f"{min(values):.2f} … {max(values):.2f}"
            print(f"  {row.label:53} {middle:6.2f} {row.unit:2} {spread:>17}  {row.verdict(middle)}")
    print("\nTimes in µs, per message or child (medians)")
    for name, values in results.of.items():
        if name not in _NOT_SECONDS:
            middle = statistics.median(values)
            print(f"  {name:28} {middle * 1e6:9.2f} {1 / middle:12,.0f} per s")


_NOT_SECONDS = {row.above for row in [*ROWS["Size"], *list(ROWS.values())[-1]]} | {"dump, 1,000"}


def measure(rounds: int, scale: float, *, is_quick: bool) -> Results:
    """Rounds of what is quick, then once what is not; the crowds only while there is time for them."""
    began_s = time.perf_counter()
    results = Results()
    for number in range(rounds):
        results.take(messages(scale) | lives() | looks(), f"round {number + 1} of {rounds}")
    results.take(tenfold_lives() | weights(), "once")
    for name, crowd in crowds().items():
        if is_quick or time.perf_counter() - began_s > _CROWDS_UNTIL_S:
            print(f"!!! {name} children: SKIPPED, {'--quick' if is_quick else 'no time left'}")
        else:
            results.take({name: crowd}, "crowds")
    _progress("")
    print(
        f"Python {sys.version.split()[0]}, Trio {trio.__version__}, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}, collector at {gc.get_threshold()},"
        f" {rounds} rounds in {time.perf_counter() - began_s:.0f} s"
    )
    return results


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.runtime", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each message measure (3)")
    parser.add_argument(
        "--quick", action="store_true", help="one round, a third of the messages, no 100,000 children"
    )
    parser.add_argument(
        "--collector",
        choices=("service", "python"),
        default="service",
        help="thresholds of the garbage collector: as the service sets them (default), or Python's own",
    )
    chosen = parser.parse_args(argv)
    if chosen.collector == "service":
        gc.set_threshold(*GC_THRESHOLDS)
    for name in RIVALS:
        if (why := why_absent(name)) is not None:
            print(f"!!! {name} is SKIPPED: {why}")
    rounds, scale = (1, 1 / 3) if chosen.quick else (chosen.rounds, 1.0)
    show(measure(rounds, scale, is_quick=chosen.quick))


if __name__ == "__main__":
    main()
