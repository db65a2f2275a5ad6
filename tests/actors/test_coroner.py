"""Dead letters of the runtime end in the journal, with both crash reports."""

from pathlib import Path

import trio

from coordinator.actors.coroner import Coroner
from coordinator.actors.messages import PollNow
from coordinator.runtime import (
    Actor,
    Cast,
    Hooks,
    child,
    open_tree,
    supervisor,
    task,
)
from tests.fakes.patient_journal import patient_journal


class Fragile(Actor):
    """Crashes on every message."""

    async def handle(self, message: Cast) -> None:
        raise ZeroDivisionError("always")


async def test_a_message_that_crashes_twice_is_written_down(tmp_path: Path) -> None:
    """The runtime's dead letter becomes a row with the message's kind and both errors."""
    journal = patient_journal(tmp_path / "journal.sqlite3")
    coroner = Coroner(journal)
    tree = supervisor(
        "root",
        task(journal.serve, id="journal"),
        task(coroner.serve, id="coroner"),
        child(Fragile, id="fragile"),
    )
    async with open_tree(tree, hooks=Hooks(dead_letter=coroner.report)) as running:
        running.ref("fragile").cast_nowait(PollNow())
        with trio.fail_after(60):
            while not (letters := await journal.dead_letters()):  # noqa: ASYNC110
                await trio.sleep(0.01)
    [stored] = letters
    assert (stored.letter.actor, stored.letter.message) == ("fragile", "PollNow")
    assert "ZeroDivisionError: always" in stored.letter.first_error
    assert "ZeroDivisionError: always" in stored.letter.second_error
