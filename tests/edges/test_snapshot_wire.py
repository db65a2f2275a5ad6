"""Snapshots read back equal, and a world restored from one decides the same."""

import json

import pytest

from coordinator.edges.snapshot_wire import (
    dump_known,
    dump_pages,
    dump_parses,
    dump_sweeps,
    dump_world,
    load_known,
    load_pages,
    load_parses,
    load_sweeps,
    load_world,
)
from coordinator.errors import JournalCorrupt
from coordinator.rules.dispatch import Gate
from coordinator.rules.events import AssigneeWritten, IssueDeleted, RepositoryMoved
from coordinator.rules.ids import DeliveryId, Login
from coordinator.rules.repositories import Repository
from coordinator.rules.routing import SavedIssues
from coordinator.rules.sweep_plan import SavedSweep
from coordinator.rules.written import Page, Pages
from tests.rules.builders import (
    POOL,
    agent,
    at,
    blocked,
    ended,
    facts,
    fleet,
    given,
    observed,
    parsed,
    ref,
    unblocked,
    up,
)


def test_the_routers_facts_come_back() -> None:
    """Facts, deletions, repositories and counts survive, with instants and optional fields."""
    read = facts(2, native_blockers=(), read_at=at(3), repo_name="Acme/Widgets")
    known = SavedIssues(
        facts={ref(1): facts(1, blocked_by=(ref(2),), milestone="v1"), ref(2): read},
        deleted=frozenset({ref(9)}),
        repositories=(Repository(41, "acme/widgets", "Acme/Widgets", at(0), at(3), ("acme/old",)),),
        missed={"closed": 2},
        heard=frozenset({41}),
    )
    assert load_known(dump_known(known)) == known


@pytest.mark.parametrize("count", [0, 1, 500, 501, 1_000, 1_201])
def test_many_rows_come_back_whatever_the_slices(count: int) -> None:
    """However many rows there are, as many come back, in order."""
    known = SavedIssues(
        {ref(n): facts(n) for n in range(1, count + 1)}, frozenset(), (), {}, frozenset()
    )
    assert list(load_known(dump_known(known)).facts) == [ref(n) for n in range(1, count + 1)]


def test_the_parsers_cache_comes_back_in_order() -> None:
    """The order is what the cache evicts by."""
    cache = [parsed(2), parsed(1)]
    assert load_parses(dump_parses(cache)) == cache


def test_the_scribes_pages_come_back() -> None:
    """What stands at the forge, by issue, and the repositories' ids."""
    page = Page(5, "m", ("coordinator/ready",), (POOL,), Login("claude"), 7, is_asked=True)
    pages = Pages(fleet(), {ref(1): page, ref(2): Page()}, {"acme/widgets": 41})
    assert load_pages(dump_pages(pages), fleet()) == pages


def test_a_restored_world_is_the_same_world() -> None:
    """Records, verdicts of both kinds, runs and agents come back; nothing new is decided."""
    gate = Gate(fleet(agent("sonnet-1"), agent("opus-1")))
    for event in (
        up("sonnet-1"), observed(1), parsed(1), unblocked(1, 4), observed(2), parsed(2), blocked(2, 3),
        observed(5), parsed(5), unblocked(5), IssueDeleted(ref(6)), AssigneeWritten(ref(1), POOL),
        given(2, 7, "estimate", tokens=5_000), RepositoryMoved(41, "acme/widgets", "Acme/Gadgets"),
    ):  # fmt: skip
        gate.fold(event, DeliveryId("d1"))
    gate.decide()
    gate.fold(ended(1, 1, "sonnet-1"))
    gate.decide()
    world = load_world(dump_world(gate.world), gate.world.fleet)
    assert world.issues == gate.world.issues
    assert world.agents == gate.world.agents
    assert world.names == gate.world.names == {"acme/widgets": "Acme/Gadgets"}
    later = Gate(gate.world.fleet)
    later.adopt(world)
    assert later.queue == gate.queue
    later.recheck()
    assert later.decide() == []


def test_a_world_saved_before_people_could_command_is_loaded() -> None:
    """The dispatcher's older snapshots lack only fields that have defaults."""
    gate = Gate(fleet(agent("sonnet-1")))
    gate.fold(observed(1))
    older = json.loads(dump_world(gate.world))
    del older["names"], older["issues"][0]["told"], older["issues"][0]["written"]
    world = load_world(json.dumps(older).encode(), gate.world.fleet)
    assert world.issues == gate.world.issues


def test_agents_configured_no_more_are_left_out() -> None:
    """A snapshot of a larger fleet loads into a smaller one."""
    gate = Gate(fleet(agent("sonnet-1"), agent("opus-1")))
    assert set(load_world(dump_world(gate.world), fleet(agent("opus-1"))).agents) == {"opus-1"}


def test_a_snapshot_of_another_layout_is_refused_without_its_words() -> None:
    """The error names what is wrong with the layout and shows nothing of the titles inside."""
    with pytest.raises(JournalCorrupt, match="cannot be read back") as refused:
        load_known(b'{"facts": [{"title": "a secret title"}], "deleted": 3}')
    assert "secret" not in str(refused.value)


def test_how_far_sweeps_got_comes_back() -> None:
    """With and without a watermark, and what configured names meant."""
    sweeps = [
        SavedSweep(1, "Acme/Widgets", at(5), True, (3, 4), at(1)),
        SavedSweep(2, "acme/new", None, False, None, None),
    ]
    assert load_sweeps(dump_sweeps(sweeps, {"acme/widgets": 1})) == (sweeps, {"acme/widgets": 1})
