"""Names are unique and free again when forgotten."""

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import ChildExists, dynamic, open_tree, supervisor
from coordinator.runtime.registry import Registry
from tests.runtime.stage import AT_ONCE, Boom, Chronicle, Do, Echo, player


async def test_names_are_added_found_and_forgotten() -> None:
    """A name has one owner, and only the owner can free it."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        a = tree.root
        registry = Registry()
        registry.add(a)
        assert "root" in registry
        assert len(registry) == 1
        with pytest.raises(ChildExists, match="root is taken"):
            registry.add(a)
        registry.forget(a)
        registry.forget(a)
        with pytest.raises(KeyError, match="nobody"):
            registry.find("nobody")


async def test_ids_are_unique_over_the_whole_tree() -> None:
    """A dynamic child cannot take an id that is in use anywhere, and can once it is free."""
    chronicle = Chronicle()
    async with open_tree(
        supervisor("root", player(chronicle, "a"), dynamic("d"), dynamic("e"))
    ) as tree:
        with pytest.raises(ChildExists, match="a is taken by root/a"):
            await tree.start_child("d", player(chronicle, "a"))
        await tree.start_child("d", player(chronicle, "x"))
        with pytest.raises(ChildExists):
            await tree.start_child("e", supervisor("group", player(chronicle, "x")))
        await tree.terminate_child("d", "x")
        await tree.start_child("e", supervisor("group", player(chronicle, "x")))
        assert await tree.ref("x").call(Echo("hi")) == "hi"
        await tree.terminate_child("e", "group")
        await tree.start_child("d", player(chronicle, "x"))


async def test_only_actors_have_references() -> None:
    """Asking for a supervisor or an unknown id is a KeyError that names it."""
    async with open_tree(supervisor("root")) as tree:
        with pytest.raises(KeyError, match="supervisor"):
            tree.ref("root")
        with pytest.raises(KeyError, match="ghost"):
            tree.ref("ghost")


async def test_a_name_reserved_twice_is_released_once(autojump_clock: MockClock) -> None:
    """A guest whose specified supervisor had gone and came back takes all its names along."""
    chronicle = Chronicle()
    middle = supervisor("middle", player(chronicle, "leaf", restart="temporary"), restart="temporary")
    guest = supervisor("guest", middle, player(chronicle, "other"), intensity=0, backoff=AT_ONCE)
    async with open_tree(supervisor("root", dynamic("hall", initial=[guest]))) as tree:

        async def end_leaf() -> None:
            await tree.ref("leaf").cast(Do(lambda actor: actor.context.stop()))
            await trio.sleep(1)

        await end_leaf()
        await tree.terminate_child("guest", "middle")  # both names wait for `guest` to begin again
        await tree.ref("other").cast(Boom(once=True))
        await trio.sleep(1)
        await end_leaf()  # and now one of them for `middle`
        await tree.terminate_child("hall", "guest")
        assert set(tree.healthy()) == {"root", "hall"}
        await tree.start_child("hall", player(chronicle, "leaf"))
