"""Facts and metadata are plain values that cannot be changed."""

import dataclasses

import pytest

from coordinator.rules.facts import IssueFacts, Metadata, ParseCost
from tests.rules.builders import facts


@pytest.mark.parametrize("kind", [IssueFacts, Metadata, ParseCost])
def test_what_events_speak_of_cannot_be_changed(kind: type) -> None:
    """An event holds these values for ever, so they are as frozen as the event."""
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_what_only_a_read_can_tell_is_unknown_at_first() -> None:
    """Facts out of a payload say nothing of dependencies at the forge, which is not "none"."""
    given = facts(1)
    assert (given.native_blockers, given.hidden_blockers, given.read_at) == (None, 0, None)
    assert {field.name for field in dataclasses.fields(given)} >= {"repo_name", "native_blockers"}
