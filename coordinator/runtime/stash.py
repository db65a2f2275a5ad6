"""Messages an actor has put aside for later, and those it has taken up again, before the queue."""

from collections import deque

from .messages import Envelope

__all__ = ["Stash"]

# Stands for a deque nobody has needed yet: a real one takes 600 bytes, and most actors never stash.
NOTHING: deque[Envelope] = deque(maxlen=0)


class Stash:
    """Two rows of envelopes. Its length is how many are put aside."""

    __slots__ = ("_aside", "front")

    def __init__(self) -> None:
        self._aside = NOTHING
        self.front = NOTHING  # taken up again: handled before the queue

    def __len__(self) -> int:
        return len(self._aside)

    @property
    def held(self) -> int:
        """Put aside or taken up again, and not in hand."""
        return len(self._aside) + len(self.front)

    def put(self, envelope: Envelope) -> None:
        """Keep the message for later."""
        if self._aside is NOTHING:
            self._aside = deque()
        self._aside.append(envelope)

    def take_up(self) -> None:
        """Move what was put aside to the front, before what is left there: it came earlier."""
        if self._aside:
            self._aside.extend(self.front)
            self.front, self._aside = self._aside, NOTHING

    def withdraw(self, envelope: Envelope) -> bool:
        """Remove one message whose caller gave up; False if it is not here."""
        for row in (self._aside, self.front):
            if envelope in row:
                row.remove(envelope)
                return True
        return False

    def clear(self) -> list[Envelope]:
        """Everything, in the order it came; nothing is left."""
        self.take_up()
        left, self.front = list(self.front), NOTHING
        return left
