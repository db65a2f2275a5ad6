"""Idle actors are in the tree by name and tell why they do nothing."""

import trio

from coordinator.actors.idle import Scribe, Sweeper
from coordinator.actors.messages import PollNow
from coordinator.runtime import child, open_tree, supervisor


async def test_idle_actors_take_messages_and_say_what_is_missing() -> None:
    """Any message is taken without effect; the dump names the duty and the reason."""
    tree = supervisor("root", child(Scribe, id="scribe"), child(Sweeper, id="sweeper"))
    async with open_tree(tree) as running:
        running.ref("scribe").cast_nowait(PollNow())
        with trio.fail_after(5):
            await running.ref("sweeper").cast(PollNow())
        shown = str(running.dump().as_dict())
    assert "write back to the issue" in shown
    assert "find missed deliveries" in shown
