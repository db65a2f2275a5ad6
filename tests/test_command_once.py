"""A command reaches the coordinator by its delivery, by a sweep, or by both: it is obeyed once."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from coordinator.demo.forge import Issue, Product
from coordinator.demo.forge.model import Comment
from coordinator.rules.comment import is_sticky
from coordinator.rules.events import CommandGiven
from tests.convergence.people import BOT, REPOSITORIES
from tests.test_convergence import Scene, scene

# Loopback and disk answer within that; when nothing happens for so long, time jumps to what is next.
IDLE_S = 0.02
COMMENTS = "GET /repos/{owner}/{repo}/issues/comments"


async def told_first(found: Scene, issue: Issue) -> Comment:
    """Its delivery arrives, and then a sweep lists the comment."""
    comment = found.forge.comment(issue, "/coordinator park until spring", by="maria")
    await found.settle()
    await found.sweep()
    await found.settle()
    return comment


async def swept_first(found: Scene, issue: Issue) -> Comment:
    """A sweep lists the comment, and its delivery comes late."""
    found.forge.postman.pause()
    comment = found.forge.comment(issue, "/coordinator park until spring", by="maria")
    await found.sweep()
    await found.life.wait_idle()
    found.forge.postman.resume()
    await found.settle()
    return comment


@pytest.mark.parametrize(("product", "tell"), [("gitea", told_first), ("forgejo", swept_first)])
def test_a_command_told_twice_is_obeyed_once(
    product: Product, tell: Callable[[Scene, Issue], Awaitable[Comment]]
) -> None:
    """Whichever comes first, and looked at again after a restart: one event, one reaction, and one
    comment of ours."""
    clock = MockClock(rate=1.0, autojump_threshold=IDLE_S)
    trio.run(give_twice, product, tell, clock=clock)


async def give_twice(product: Product, tell: Callable[[Scene, Issue], Awaitable[Comment]]) -> None:
    async with scene(product, "names") as found:
        issue = found.forge.open(REPOSITORIES[0], "Wait for spring", assignees=["coder-bot"])
        await found.settle()
        listed = found.forge.server.requests[COMMENTS]
        comment = await tell(found, issue)
        assert found.forge.server.requests[COMMENTS] > listed
        await found.life.crash()
        await found.life.start()
        found.forge.comment(issue, "and not before", by="maria")
        await found.sweep()
        await found.converge()
        given = [each.event for each in found.life.events if isinstance(each.event, CommandGiven)]
        assert [each.comment_id for each in given] == [comment.id]
        assert [(each.login, each.content) for each in comment.reactions] == [(BOT, "+1")]
        ours = [each for each in found.forge.data.comments_of(issue) if is_sticky(each.body)]
        assert len(ours) == 1
