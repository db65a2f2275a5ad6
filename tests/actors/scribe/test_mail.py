"""What the scribe's jobs tell it is frozen, so that a redelivered message is the one that was sent."""

from typing import Any

import pytest

from coordinator.actors.scribe import mail as scribe_mail
from coordinator.actors.scribe.mail import Wrote
from coordinator.actors.scribe.pen import Outcome
from coordinator.runtime import Cast
from tests.rules.builders import ref


@pytest.mark.parametrize("name", scribe_mail.__all__)
def test_messages_are_immutable_casts(name: str) -> None:
    """Nobody waits for an answer to any of them."""
    kind: Any = getattr(scribe_mail, name)
    assert issubclass(kind, Cast)
    assert kind.__dataclass_params__.frozen


def test_a_dump_shows_no_words_of_the_forge() -> None:
    """Refusals stay out of the message's repr."""
    assert "secret" not in repr(Wrote(ref(1), Outcome(refused={"comment": "secret"})))
