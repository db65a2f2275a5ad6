"""Snapshots read back equal, and a world restored from one decides the same."""

import pytest

from coordinator.edges.snapshot_wire import (
    dump_facts,
    dump_parses,
    dump_world,
    load_facts,
    load_parses,
    load_world,
)
from coordinator.errors import JournalCorrupt
from coordinator.rules.dispatch import Gate
from coordinator.rules.events import IssueDeleted
from coordinator.rules.ids import DeliveryId
from tests.rules.builders import (
    agent,
    blocked,
    ended,
    facts,
    fleet,
    observed,
    parsed,
    ref,
    unblocked,
    up,
)


def test_the_routers_facts_come_back() -> None:
    """Facts and deletions survive, with instants, refs and optional fields."""
    known = {ref(1): facts(1, blocked_by=(ref(2),), milestone="v1"), ref(2): facts(2)}
    assert load_facts(dump_facts(known, {ref(9)})) == (known, {ref(9)})


def test_the_parsers_cache_comes_back_in_order() -> None:
    """The order is what the cache evicts by."""
    cache = [parsed(2), parsed(1)]
    assert load_parses(dump_parses(cache)) == cache


def test_a_restored_world_is_the_same_world() -> None:
    """Records, verdicts of both kinds, runs and agents come back; nothing new is decided."""
    gate = Gate(fleet(agent("sonnet-1"), agent("opus-1")))
    for event in (
        up("sonnet-1"), observed(1), parsed(1), unblocked(1, 4), observed(2), parsed(2), blocked(2, 3),
        observed(5), parsed(5), unblocked(5), IssueDeleted(ref(6)),
    ):  # fmt: skip
        gate.fold(event, DeliveryId("d1"))
    gate.decide()
    gate.fold(ended(1, 1, "sonnet-1"))
    gate.decide()
    world = load_world(dump_world(gate.world), gate.world.fleet)
    assert world.issues == gate.world.issues
    assert world.agents == gate.world.agents
    later = Gate(gate.world.fleet)
    later.adopt(world)
    assert later.queue == gate.queue
    later.recheck()
    assert later.decide() == []


def test_agents_configured_no_more_are_left_out() -> None:
    """A snapshot of a larger fleet loads into a smaller one."""
    gate = Gate(fleet(agent("sonnet-1"), agent("opus-1")))
    assert set(load_world(dump_world(gate.world), fleet(agent("opus-1"))).agents) == {"opus-1"}


def test_a_snapshot_of_another_layout_is_refused_without_its_words() -> None:
    """The error names what is wrong with the layout and shows nothing of the titles inside."""
    with pytest.raises(JournalCorrupt, match="cannot be read back") as refused:
        load_facts(b'{"facts": [{"title": "a secret title"}], "deleted": 3}')
    assert "secret" not in str(refused.value)
