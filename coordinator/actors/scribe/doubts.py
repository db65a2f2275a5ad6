"""Where more may stand at the forge than the journal knows, or may still come to stand there.

A request whose answer never came may have been carried out, or be carried out long after whoever sent
it is gone. Of a process that was killed nothing tells which requests those were; but what it was
writing follows from what the journal told last.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from coordinator.actors.follower import patiently
from coordinator.edges.event_wire import issues_of
from coordinator.edges.journal import Journal, Stored
from coordinator.rules.ids import IssueRef
from coordinator.runtime import Actor

__all__ = ["Doubts", "stirred_lately"]

# Some ten milliseconds each; a journal with more to tell of its last minutes is read so far.
PAGE = 1_000
MAX_PAGES = 20


@dataclass(slots=True)
class Doubts:
    """Issues to be looked at before they are written to, and once more when a doubt has lasted for
    `lasts_s`. Mutable, owned by one actor."""

    lasts_s: float
    _until: dict[IssueRef, float] = field(default_factory=dict)
    # Where the last life may have sent a first comment that the forge has not carried out yet.
    _unwritten: set[IssueRef] = field(default_factory=set)

    def __contains__(self, ref: IssueRef) -> bool:
        return ref in self._until

    def __bool__(self) -> bool:
        return bool(self._until)

    def inherit(self, unwritten: Iterable[IssueRef], stirred: Iterable[IssueRef], now: float) -> None:
        """What a new life has to doubt: those without a comment when they get one, those that were
        stirred lately at once."""
        self._unwritten = set(unwritten)
        self._until |= dict.fromkeys(stirred, now + self.lasts_s)

    def written(self, ref: IssueRef, now: float, *, has_comment: bool, is_unsure: bool) -> None:
        """The issue was written to; or perhaps it was."""
        if is_unsure or (has_comment and ref in self._unwritten):
            self._unwritten.discard(ref)
            self._until[ref] = now + self.lasts_s

    def next_look(self, ref: IssueRef, now: float) -> float | None:
        """When to look once more at an issue that was looked at now; None: there is no doubt left."""
        until = self._until.get(ref)
        if until is not None and now >= until:
            del self._until[ref]
            return None
        return until

    def forget(self, ref: IssueRef) -> None:
        """There is no such issue any more."""
        self._until.pop(ref, None)
        self._unwritten.discard(ref)


async def stirred_lately(actor: Actor, journal: Journal, window_s: float) -> set[IssueRef]:
    """The issues of which the journal's last so many seconds tell, however long ago they were."""
    found: set[IssueRef] = set()
    until = journal.head("events")
    newest: Stored | None = None
    for _ in range(MAX_PAGES):
        after = max(until - PAGE, 0)
        page = await patiently(actor, partial(journal.read_events, after, until - after))
        if not page:
            return found
        newest = newest or page[-1]
        since = newest.at - timedelta(seconds=window_s)
        found.update(ref for each in page if each.at >= since for ref in issues_of(each.event))
        if page[0].at < since:
            return found
        until = after
    return found
