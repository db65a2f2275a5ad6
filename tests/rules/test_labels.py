"""Which labels we put on an issue, how they look, and that nobody else's are touched."""

from typing import Any

import pytest

from coordinator.rules.ids import AgentName
from coordinator.rules.labels import foreign_labels, is_ours, our_labels, spec_of, wanted
from tests.rules.builders import ref, view

SONNET = AgentName("sonnet-1")


@pytest.mark.parametrize(
    ("fields", "labels"),
    [
        ({"state": "ready"}, ("coordinator/ready",)),
        ({"state": "ready", "agent": SONNET}, ("coordinator/ready",)),
        ({"state": "running", "agent": SONNET}, ("agent/sonnet-1", "coordinator/running")),
        ({"state": "running", "agent": AgentName("x" * 60)}, ("coordinator/running",)),
        ({"state": "blocked", "reason": "open_blocker"}, ("coordinator/blocked",)),
        ({"state": "blocked", "cycle": (ref(1), ref(2))}, ("coordinator/needs-human",)),
        ({"state": "parked", "reason": "parked_by_person"}, ("coordinator/parked",)),
        ({"state": "parked", "reason": "no_agent_fits"}, ("coordinator/needs-human",)),
        ({"state": "parked", "reason": "run_failed", "agent": SONNET}, ("coordinator/needs-human",)),
        (
            {"state": "parked", "reason": "run_parked", "agent": SONNET},
            ("agent/sonnet-1", "coordinator/needs-human"),
        ),
        ({"state": "waiting"}, ()),
        ({"state": "ignored"}, ()),
        ({"state": "done", "agent": SONNET}, ()),
        ({"state": "closed", "agent": SONNET}, ()),
    ],
)
def test_the_state_decides(fields: dict[str, Any], labels: tuple[str, ...]) -> None:
    """One state label while the issue concerns us, and the agent's while it has the issue."""
    assert wanted(view(**fields)) == labels


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("coordinator/ready", True),
        ("agent/a", True),
        ("bug", False),
        ("priority/1", False),
        ("Agent/c", False),
    ],
)
def test_only_our_scopes_are_ours(name: str, ours: bool) -> None:
    """Labels of our two scopes are ours; others are somebody's and stay, in order."""
    assert is_ours(name) is ours
    assert foreign_labels(["bug", name, "zed"]) == (("bug", "zed") if ours else ("bug", name, "zed"))


def test_of_ours_a_few_are_shown() -> None:
    """Sorted, without anybody else's; a hundred are as wrong as twenty."""
    assert our_labels(["bug", "coordinator/ready", "agent/a"]) == ("agent/a", "coordinator/ready")
    assert len(our_labels(f"agent/{number}" for number in range(100))) == 20


def test_where_an_issue_stands_is_shown_among_any_number_of_jokes() -> None:
    """Else every read of the issue would seem to show that somebody has taken it off."""
    jokes = [f"agent/{number}" for number in range(100)]
    assert "coordinator/ready" in our_labels([*jokes, "coordinator/ready"])


def test_labels_are_made_with_colours() -> None:
    """Every label is exclusive, described and coloured; an agent's colour never changes."""
    specs = [
        spec_of(f"coordinator/{state}")
        for state in ("ready", "blocked", "running", "parked", "needs-human")
    ]
    assert len({spec.color for spec in specs}) == len(specs)
    mine = spec_of("agent/sonnet-1")
    assert mine == spec_of("agent/sonnet-1")
    for spec in (*specs, mine, spec_of("agent/\udcff")):
        assert spec.exclusive
        assert spec.description
        assert int(spec.color, 16) >= 0
        assert len(spec.color) == 6
