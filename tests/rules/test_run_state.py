"""A run's data: its beginning, its snapshot, and what its agent's status follows from."""

import json
from dataclasses import replace

import pytest

from coordinator.rules.context import ContextPolicy
from coordinator.rules.run_state import (
    RunState,
    agent_status,
    begin,
    cancel_key,
    dump,
    enter,
    is_over,
    load,
    start_key,
)
from tests.rules.runs import EPOCH, POLICY, RUN, START, Walk, at, usage


def test_a_run_begins_with_what_its_order_says() -> None:
    """Session one, nothing known, and a brief of the issue for later handoffs."""
    state = begin(START, EPOCH)
    assert (state.run, state.phase, state.session, state.usage) == (RUN, "starting", 1, None)
    assert state.brief == f"{START.title}\n{START.html_url}\n{START.summary}"
    assert state.estimated_context_tokens == 40_000
    assert (start_key(state), cancel_key(state)) == (START.key, f"cancel:{RUN}")


@pytest.mark.parametrize(
    "state",
    [
        begin(START, EPOCH),
        replace(
            begin(START, EPOCH),
            usage=usage(5, 3),
            read_at=at(3),
            last_action="compact",
            last_action_at=at(2),
        ),
        replace(begin(START, EPOCH), usage=usage(5, 3, window=None), pending_key="k", stalled=True),
    ],
)
def test_a_snapshot_gives_back_the_same_state(state: RunState) -> None:
    """Through JSON and back, instants and readings included."""
    assert load(json.loads(json.dumps(dump(state)))) == state


def test_an_older_snapshot_takes_defaults() -> None:
    """A field added since is filled in, one removed since is refused."""
    plain = dump(begin(START, EPOCH))
    del plain["usage"], plain["last_action_at"], plain["stalled"]
    assert load(plain) == begin(START, EPOCH)
    with pytest.raises(TypeError, match="mood"):
        load({**plain, "mood": 1})


def test_entering_a_phase_forgets_the_pending_order() -> None:
    """The new phase counts from now and explains itself."""
    entered = enter(replace(begin(START, EPOCH), pending_key="k"), "parked", at(5), detail="why")
    assert (entered.phase, entered.since, entered.pending_key) == ("parked", at(5), None)
    assert entered.detail == "why"
    assert not is_over(entered)


LIVE = begin(START, EPOCH)
OVER = replace(LIVE, phase="ended", stalled=True)
SILENT = replace(LIVE, stalled=True, detail="no report for 1800 s")


@pytest.mark.parametrize(
    ("runs", "failures", "expected"),
    [
        ([], 0, ("idle", "")),
        ([OVER], 2, ("idle", "")),
        ([OVER, LIVE], 0, ("working", "")),
        ([LIVE], 3, ("unknown", "3 polls in a row failed")),
        ([], 4, ("unknown", "4 polls in a row failed")),
        ([LIVE, SILENT], 0, ("unknown", f"{RUN}: no report for 1800 s")),
    ],
)
def test_an_agent_is_as_its_runs_and_polls_say(
    runs: list[RunState], failures: int, expected: tuple[str, str]
) -> None:
    """Three failed polls in a row, or a silent run, make it unknown; a live run makes it busy."""
    assert agent_status(runs, failures, ContextPolicy()) == expected


def test_a_walked_state_survives_its_snapshot() -> None:
    """Also in the middle of a rotation, with its facts."""
    walk = Walk(POLICY)
    walk.accept()
    walk.rotate()
    assert load(dump(walk.state)) == walk.state
