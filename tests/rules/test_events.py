"""Every event is listed, immutable and made of plain values."""

import dataclasses
from typing import get_args

import pytest

from coordinator.rules import events
from coordinator.rules.events import EVENT_TYPES, Event


def test_every_kind_is_listed_under_its_own_name() -> None:
    """The table the journal decodes by holds the whole union, each under its class name."""
    assert set(EVENT_TYPES.values()) == set(get_args(Event))
    assert all(kind.__name__ == name for name, kind in EVENT_TYPES.items())


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.__name__)
def test_an_event_cannot_be_changed(kind: type[Event]) -> None:
    """Events are frozen dataclasses that the façade of the module exports."""
    assert kind.__name__ in events.__all__
    assert kind.__dataclass_params__.frozen  # type: ignore[union-attr]
    assert dataclasses.fields(kind)
