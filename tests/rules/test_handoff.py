"""What passes from one session to the next."""

from dataclasses import replace

import pytest

from coordinator.rules.handoff import (
    MAX_HANDOFF_BYTES,
    degraded_handoff,
    handoff_problem,
    mechanical_facts,
)
from coordinator.rules.run_state import begin
from tests.rules.runs import EPOCH, START, at, usage


@pytest.mark.parametrize("text", ["x", "é" * (MAX_HANDOFF_BYTES // 2), " next: docs \ud800"])
def test_a_text_within_bounds_is_usable(text: str) -> None:
    """Up to 32 KiB of UTF-8, whatever a JSON escape may have put in."""
    assert handoff_problem(text) == ""


@pytest.mark.parametrize("text", [None, "", "\n \t", "x" * (MAX_HANDOFF_BYTES + 1)])
def test_an_empty_or_endless_text_is_not(text: str | None) -> None:
    """Nothing to read, or too much of it."""
    assert handoff_problem(text)


def test_the_facts_stand_alone() -> None:
    """Run, reason, numbers and issue: enough to begin from, with and without a reading."""
    state = replace(begin(START, EPOCH), usage=usage(950), peak_tokens=970, compactions=2)
    facts = mechanical_facts(state, "too full", at(5))
    for part in ("acme/tool#12@3", "session 1", "too full", "950 tokens", "peak 970", START.html_url):
        assert part in facts
    assert "Context: unknown" in mechanical_facts(begin(START, EPOCH), "x", EPOCH)
    assert facts in degraded_handoff("none", facts)
