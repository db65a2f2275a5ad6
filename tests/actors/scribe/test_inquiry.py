"""Nothing is written of an issue before the dispatcher has said what."""

from pathlib import Path

from coordinator.rules.events import CommentWritten
from tests.actors.scribing import desk


async def test_a_dispatcher_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """What it would say is asked for until it says it."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        at.on.tree.suspend("dispatcher")
        await at.until(lambda: at.state().get("in_flight"))
        at.on.tree.resume("dispatcher")
        await at.on.wait_for(CommentWritten)


async def test_a_review_waits_for_a_dispatcher_that_is_away(tmp_path: Path) -> None:
    """A life that begins before it asks until it is told."""
    async with desk(tmp_path) as at:
        issue = at.issue()
        await at.ready(issue)
        await at.on.wait_for(CommentWritten)
        await at.quiet()
        at.on.tree.suspend("dispatcher")
        at.on.tree.kill("scribe")
        at.on.tree.resume("dispatcher")
        await at.quiet()
        assert len(at.sticky(issue)) == 1
