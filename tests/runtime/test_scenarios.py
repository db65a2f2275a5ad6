"""Every supervision scenario holds under every order in which Trio may run its tasks.

Only those of many children have more orders than can be tried and get SCHEDULES random ones. From a
thousand on, those of up to four children are tried in every order; below, the ones with hundreds of
orders are sampled. SHARD=2/3 runs the second third, so that several processes can share the work.
"""

import os

import pytest

from tests.runtime.plays import (
    admin,
    asking,
    blaming,
    budgets,
    calls,
    children,
    declining,
    endings,
    falling,
    leaving,
    lifecycle,
    limits,
    lives,
    looking,
    loops,
    mailbox,
    meetings,
    pausing,
    pictures,
    restarts,
    significant,
    start_stop,
    starting,
    stashing,
    strategies,
    types,
    watching,
)
from tests.runtime.scenarios import SCENARIOS, Scenario
from tests.runtime.schedules import SCHEDULES, explore, explore_all

# The orders of a small scenario are tried in each run, for they take half a second at most; the others
# of few children have less than the second number, which is half a minute for all of them together.
EVERY_SMALL = 500
EVERY = 5000
IS_THOROUGH = SCHEDULES >= 1000
# Nearly all races show with one or two tasks out of turn.
DEVIATIONS = 2
PLAYS = (
    admin,
    asking,
    blaming,
    budgets,
    calls,
    children,
    declining,
    endings,
    falling,
    leaving,
    lifecycle,
    limits,
    lives,
    looking,
    loops,
    mailbox,
    meetings,
    pausing,
    pictures,
    restarts,
    significant,
    start_stop,
    starting,
    stashing,
    strategies,
    types,
    watching,
)


def sharded(scenarios: list[Scenario]) -> list[Scenario]:
    """This process's share: every n-th, so that a group's slow ones are spread."""
    part, parts = map(int, os.environ.get("SHARD", "1/1").split("/"))
    return scenarios[part - 1 :: parts]


SMALL = sharded([s for s in SCENARIOS if s.is_small])
MIDDLE = sharded([s for s in SCENARIOS if not s.is_small and s.group != "scale"])
LARGE = sharded([s for s in SCENARIOS if s.group == "scale"])


@pytest.mark.parametrize("scenario", SMALL + MIDDLE * IS_THOROUGH, ids=lambda s: s.name)
def test_it_holds_under_every_order(scenario: Scenario) -> None:
    """No order changes anything: there is no other than those tried, so none is drawn at random."""
    assert explore_all(scenario.play, EVERY_SMALL if scenario.is_small else EVERY).is_complete


@pytest.mark.parametrize("scenario", LARGE + MIDDLE * (not IS_THOROUGH), ids=lambda s: s.name)
def test_it_holds_under_random_schedules(scenario: Scenario) -> None:
    """Random orders drawn from seeds 0, 1, 2, … change nothing that the scenario promises."""
    explore(scenario.play, schedules=SCHEDULES)


@pytest.mark.parametrize("scenario", MIDDLE * (not IS_THOROUGH), ids=lambda s: s.name)
def test_it_holds_with_two_tasks_out_of_turn(scenario: Scenario) -> None:
    """The orders that leave Trio's order of birth once or twice change nothing either."""
    explore_all(scenario.play, limit=5 * SCHEDULES, deviations=DEVIATIONS)


def test_every_scenario_is_documented_and_named_once() -> None:
    """No two scenarios share a name, and each says in a docstring what it shows."""
    names = [s.play.__name__ for s in SCENARIOS]
    assert len(set(names)) == len(names)
    assert all(s.play.__doc__ for s in SCENARIOS)
    assert {s.play.__module__ for s in SCENARIOS} == {module.__name__ for module in PLAYS}
