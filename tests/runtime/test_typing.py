"""The façade is complete, and mypy knows what a call returns."""

from pathlib import Path
from typing import assert_type

import coordinator.runtime as facade
from coordinator.runtime import ActorRef, Tree, child, open_tree, supervisor
from tests.runtime.stage import Chronicle, Echo, Player, player


async def test_the_reply_type_is_known() -> None:
    """`await ref.call(Echo(...))` is a str, both to mypy and at run time."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        reply = await tree.ref("a").call(Echo("x"))
        assert_type(reply, str)
        assert isinstance(reply, str)


async def test_starting_an_actor_gives_its_reference() -> None:
    """mypy knows that an actor has a reference and that another child may have none."""
    async with open_tree(supervisor("root")) as tree:
        assert_type(tree, Tree)
        ref = await tree.start_child("root", child(Player, Chronicle(), id="a"))
        assert_type(ref, ActorRef)
        other = await tree.start_child("root", supervisor("s"))
        assert_type(other, ActorRef | None)
        assert other is None


def test_the_facade_lists_exactly_what_it_offers() -> None:
    """Everything public in the package is in __all__, sorted for whoever reads it, and exists."""
    modules = {path.stem for path in Path(facade.__file__).parent.glob("*.py")} - set(facade.__all__)
    public = {name for name in vars(facade) if not name.startswith("_")} - modules
    assert public == set(facade.__all__)
    assert len(facade.__all__) == len(set(facade.__all__))
