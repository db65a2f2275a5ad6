"""The story as data: complete, consistent, and what the product promises to show."""

import pytest

from coordinator.demo.run import FAST, LEISURELY
from coordinator.demo.story import (
    ENDING,
    ISSUES,
    SCENES,
    Block,
    Close,
    Forgery,
    Lost,
    Malformed,
    Open,
    Repeat,
    Say,
    Show,
    TestDelivery,
    Unassign,
    fleet_at,
)
from coordinator.rules.context import COMPACT_THRESHOLD, ROTATE_THRESHOLD


def test_every_issue_is_opened_and_ends() -> None:
    """About a dozen issues; each is opened once and has an ending."""
    opened = [scene.act.ref for scene in SCENES if isinstance(scene.act, Open)]
    assert len(opened) == len(set(opened)) == 14
    assert set(opened) == set(ISSUES) == set(ENDING)


@pytest.mark.parametrize("repo", ["acme/widgets", "acme/gadgets"])
def test_issues_are_opened_in_the_order_of_their_numbers(repo: str) -> None:
    """A forge gives the numbers, so the story must ask for them in turn."""
    acts = (scene.act for scene in SCENES)
    numbers = [act.ref.number for act in acts if isinstance(act, Open) and act.ref.repo == repo]
    assert numbers == list(range(1, 8))


def test_nothing_that_was_promised_is_missing() -> None:
    """A repetition, a forgery, a malformed payload, a test delivery, an unassignment, a close; and with
    the forge: a lost delivery, a dependency nobody is told of, commands, comments to look at."""
    acts = {type(scene.act) for scene in SCENES}
    assert {Repeat, Forgery, Malformed, TestDelivery, Unassign, Close} <= acts
    assert {Lost, Block, Say, Show} <= acts
    assert {scene.status for scene in SCENES} == {200, 401, 422}
    assert sum(ending.reason == "cycle" for ending in ENDING.values()) == 3
    assert any(ending.compacted and ending.rotated for ending in ENDING.values())


def test_the_thresholds_are_the_products_own() -> None:
    """The demo compresses time, never the thresholds."""
    for pace in (FAST, LEISURELY):
        fleet = fleet_at(pace)
        assert len(fleet.agents) == 3
        for agent in fleet.agents:
            assert agent.driver == "rehearsal"
            assert agent.context.compact_at == COMPACT_THRESHOLD
            assert agent.context.rotate_at == ROTATE_THRESHOLD


def test_monitors_look_several_times_per_turn() -> None:
    """A turn takes ten seconds of an agent's time; polling slower would miss its end."""
    for pace in (FAST, LEISURELY):
        assert pace.poll_s * 2 <= 10 / pace.speed
