"""Questions to actors end in an answer for the client, whatever becomes of them."""

from pathlib import Path

import pytest

from coordinator.actors.messages import DescribeAgent
from coordinator.web.ask import ask, find, running_tree
from coordinator.web.envelope import Refused
from tests.web.standins import AGENT, Hang, running


async def test_an_actor_that_answers(tmp_path: Path) -> None:
    """The reply of the actor is the reply."""
    async with running(tmp_path) as app:
        view = await ask(app.context, f"monitor:{AGENT}", DescribeAgent())
        assert view.agent == AGENT


async def test_an_actor_that_hangs_is_503(tmp_path: Path) -> None:
    """An actor that does not answer in time is unavailable, and the client may come again."""
    async with running(tmp_path) as app:
        await app.tree.ref(f"monitor:{AGENT}").cast(Hang())
        with pytest.raises(Refused) as caught:
            await ask(app.context, f"monitor:{AGENT}", DescribeAgent(), timeout_s=0.05)
        assert (caught.value.status, caught.value.code) == (503, "actor_unavailable")
        assert "retry-after" in caught.value.headers


async def test_nobody_of_that_name_is_404(tmp_path: Path) -> None:
    """Unknown actors, unknown agents and what takes no messages are not found."""
    async with running(tmp_path) as app:
        for actor_id, words in (("x", "actor"), ("monitor:x", "agent named 'x'"), ("web", "web")):
            with pytest.raises(Refused, match=words) as caught:
                find(app.context, actor_id)
            assert caught.value.status == 404


async def test_before_the_tree_everything_is_503(tmp_path: Path) -> None:
    """While the program comes up there is nobody to ask."""
    async with running(tmp_path) as app:
        app.context.tree = None
        with pytest.raises(Refused) as caught:
            running_tree(app.context)
        assert (caught.value.status, caught.value.code) == (503, "starting")
