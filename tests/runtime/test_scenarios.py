"""Every supervision scenario holds under every order of the scheduler that was tried."""

import pytest

from tests.runtime.plays import admin, lifecycle, mailbox, meetings, restarts, start_stop, strategies
from tests.runtime.scenarios import SCENARIOS, Scenario
from tests.runtime.schedules import SCHEDULES, explore, explore_all

# The orders of a small scenario are few once they are enumerated; one with more is not small.
EVERY = 500
# Nearly all races show with one or two tasks out of turn.
DEVIATIONS = 2
PLAYS = (admin, lifecycle, mailbox, meetings, restarts, start_stop, strategies)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_it_holds_under_random_schedules(scenario: Scenario) -> None:
    """Random orders drawn from seeds 0, 1, 2, … change nothing that the scenario promises."""
    explore(scenario.play, schedules=SCHEDULES)


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.is_small], ids=lambda s: s.name)
def test_it_holds_under_every_order(scenario: Scenario) -> None:
    """No order at all changes anything: there is no other than those tried."""
    assert explore_all(scenario.play, limit=EVERY).is_complete


# Those of many tasks have thousands of such orders and meet what they meet in the random ones.
LARGE = [s for s in SCENARIOS if not s.is_small and s.group != "scale"]


@pytest.mark.parametrize("scenario", LARGE, ids=lambda s: s.name)
def test_it_holds_with_two_tasks_out_of_turn(scenario: Scenario) -> None:
    """The orders that leave Trio's order of birth once or twice change nothing either."""
    explore_all(scenario.play, limit=5 * SCHEDULES, deviations=DEVIATIONS)


def test_every_scenario_is_documented_and_named_once() -> None:
    """No two scenarios share a name, and each says in a docstring what it shows."""
    names = [s.play.__name__ for s in SCENARIOS]
    assert len(set(names)) == len(names)
    assert all(s.play.__doc__ for s in SCENARIOS)
    assert {s.play.__module__ for s in SCENARIOS} == {module.__name__ for module in PLAYS}
