"""The block of a tree: what ends it, and whose error comes out."""

import pytest
import trio

from coordinator.runtime import ReachedMaxIntensity, open_tree, supervisor
from coordinator.runtime.opening import _raise_first
from tests.runtime.stage import Boom, BoomError, Chronicle, Do, player


async def test_an_error_of_the_block_comes_out_bare_after_the_stop() -> None:
    """The tree is stopped in order and the block's own exception is what the caller sees."""
    chronicle = Chronicle()
    with pytest.raises(BoomError, match="mine"):
        async with open_tree(supervisor("root", *(player(chronicle, name) for name in "abc"))):
            raise BoomError("mine")
    assert chronicle.of("terminate") == ["c", "b", "a"]


async def test_the_block_and_the_tree_may_both_fail() -> None:
    """Two unrelated errors are both told."""
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012  the tree itself raises
        async with open_tree(supervisor("root", player(Chronicle(), "a"), intensity=0)) as tree:
            tree.ref("a").cast_nowait(Boom())
            try:
                await trio.sleep_forever()
            finally:
                raise BoomError("block")
    assert {type(e) for e in caught.value.exceptions} == {ReachedMaxIntensity, BoomError}


def test_one_error_is_raised_as_it_is() -> None:
    """No error is no error; the same one from both sides is one."""
    error = BoomError("x")
    _raise_first(None, None)
    for users, trees in ((error, None), (None, error), (error, error)):
        with pytest.raises(BoomError):
            _raise_first(users, trees)


async def test_a_tree_that_ends_by_itself_ends_the_block() -> None:
    """A root whose significant work is done takes the block along, without an error."""
    spec = supervisor(
        "root",
        player(Chronicle(), "a", restart="transient", significant=True),
        auto_shutdown="any_significant",
    )
    reached = list[str]()
    async with open_tree(spec) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.stop()))
        await trio.sleep_forever()
    reached.append("after")
    assert reached == ["after"]
