"""Every task of a child knows whose it is."""

from coordinator.runtime import open_tree, supervisor
from coordinator.runtime.current import CURRENT
from tests.runtime.stage import Chronicle, Do, Player, player, settle


async def test_handlers_and_their_background_tasks_belong_to_their_child() -> None:
    """Inside they see their own place, outside there is none."""
    seen = list[str]()

    def whose() -> str:
        owner = CURRENT.get()
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
