"""Every task of a child knows whose it is."""

import trio

from coordinator.runtime import open_tree, supervisor
from coordinator.runtime.current import CURRENT, busy_child, running_child
from tests.runtime.stage import Chronicle, Do, DoAsync, Player, player, settle


async def test_handlers_and_their_background_tasks_belong_to_their_child() -> None:
    """Inside they see their own place, outside there is none."""
    seen = list[str]()

    def whose() -> str:
        owner = running_child()
        return "" if owner is None else owner.path

    async def background() -> None:
        seen.append(whose())

    def look(actor: Player) -> None:
        seen.append(whose())
        actor.context.spawn(background, name="b")

    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.ref("a").cast(Do(look))
        await settle()
    assert [*seen, whose()] == ["root/a", "root/a", ""]


async def test_a_task_started_further_out_belongs_to_nobody() -> None:
    """It inherits the context of the handler that started it, and may wait for the tree's end."""
    async with (
        trio.open_nursery() as outer,
        open_tree(supervisor("root", player(Chronicle(), "a"))) as tree,
    ):

        async def stop() -> None:
            assert CURRENT.get() is not None
            assert running_child() is None
            await tree.stop()

        await tree.ref("a").cast(Do(lambda actor: outer.start_soon(stop)))
        await tree.wait()


async def test_a_child_is_held_up_by_its_handler_and_what_that_waits_for() -> None:
    """A nursery in the handler counts, a background task and a nursery in it do not."""
    seen = list[tuple[str, str]]()

    async def look(where: str) -> None:
        owner = busy_child()
        seen.append((where, "" if owner is None else owner.id))

    async def spread(where: str) -> None:
        await look(where)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, where)

    async def handle(actor: Player) -> None:
        actor.context.spawn(spread, "job", name="job")
        await spread("handler")

    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.ref("a").cast(DoAsync(handle))
        await settle()
        await look("outside")
    assert sorted(seen) == [("handler", "a")] * 2 + [("job", "")] * 2 + [("outside", "")]
