"""Dead letters of the runtime, written into the journal where an operator will look for them.

A poisonous journal item is written by its actor together with the cursor that passes it over. This is
for the rest: a question, a report or a timer that crashed its actor twice.
"""

from collections import deque
from collections.abc import Sequence

import trio

from coordinator.actors.clocks import Clock, utc_now
from coordinator.edges.journal import Commit, DeadLetter, Journal
from coordinator.errors import JournalUnavailable
from coordinator.runtime import CrashReport, DeadLetterReport

__all__ = ["Coroner", "letter_of"]

# More dead letters than this at once means a storm; the newest are the ones worth keeping.
QUEUE = 1_000


# How long between tries while the journal cannot commit; it probes itself once a second.
RETRY_S = 0.5


def letter_of(actor: str, item: int | None, message: str, crashes: Sequence[CrashReport]) -> DeadLetter:
    """The dead letter for what crashed its actor, with the last two crash reports."""
    first, second = [
        f"{each.error.type}: {each.error.message}\n{each.traceback}" for each in crashes[-2:]
    ]
    return DeadLetter(actor, item, message, first, second)


class Coroner:
    """`report` may be called from anywhere at any time; `serve` is a task of the tree."""

    def __init__(self, journal: Journal, clock: Clock = utc_now) -> None:
        self._journal = journal
        self._clock = clock
        self._letters: deque[DeadLetter] = deque(maxlen=QUEUE)
        self._reported = trio.Event()

    def report(self, report: DeadLetterReport) -> None:
        """Have it written as soon as the journal can; fits `Hooks.dead_letter`."""
        what = type(report.message).__name__
        self._letters.append(letter_of(report.id, None, what, report.crashes))
        self._reported.set()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what is reported until cancelled."""
        task_status.started()
        while True:
            await self._reported.wait()
            self._reported = trio.Event()
            while self._letters:
                letter = self._letters.popleft()
                await self._write(letter)

    async def _write(self, letter: DeadLetter) -> None:
        commit = Commit(actor="coroner", at=self._clock(), dead_letters=(letter,))
        while True:
            try:
                await self._journal.commit(commit)
                return
            except JournalUnavailable:
                await trio.sleep(RETRY_S)
