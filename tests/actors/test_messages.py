"""Messages are frozen, so a redelivered one is the one that was sent."""

from typing import Any

import pytest

from coordinator.actors import messages
from coordinator.runtime import Call, Cast

# What a message is answered with, or carries.
REPLIES = {
    "Acked",
    "FailingRepository",
    "KnownIssuesOf",
    "ReadsView",
    "Recorded",
    "SightedReply",
    "Sighting",
    "Survey",
    "Swept",
    "WatchedRepository",
}


@pytest.mark.parametrize("name", messages.__all__)
def test_messages_and_replies_are_immutable(name: str) -> None:
    """Everything that crosses a mailbox is a frozen dataclass; a message is a Cast or a Call."""
    kind: Any = getattr(messages, name)
    assert issubclass(kind, Cast | Call) or name in REPLIES
    assert kind.__dataclass_params__.frozen
