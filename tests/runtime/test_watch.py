"""Many deadlines, one watcher."""

import trio
from trio.testing import MockClock

from coordinator.runtime import open_tree, supervisor
from tests.runtime.stage import Chronicle, Hang, Say, player, settle


async def test_each_actor_has_its_own_deadline(autojump_clock: MockClock) -> None:
    """Three hung handlers are cut each at its own time, the shortest first, though started last."""
    chronicle, begin = Chronicle(), trio.current_time()
    cut = list[tuple[str, float]]()
    spec = supervisor(
        "root", *(player(chronicle, n, handler_timeout_s=t) for n, t in (("a", 9), ("b", 5), ("c", 2)))
    )
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        for name in "abc":
            await tree.ref(name).cast(Hang())
        while len(cut) < 3:
            await trio.sleep(0.5)
            known = {name for name, _ in cut}
            cut += [
                (c.id, trio.current_time() - begin) for c in chronicle.crashes if c.id not in known
            ][:1]
    assert [name for name, _ in cut] == ["c", "b", "a"]


async def test_an_idle_actor_costs_no_wakeup(autojump_clock: MockClock) -> None:
    """After its message is handled nothing is watched any more."""
    async with open_tree(supervisor("root", player(Chronicle(), "a", handler_timeout_s=3))) as tree:
        await tree.ref("a").cast(Say("x"))
        await settle()
        assert len(tree.watch._heap) == 1
        await trio.sleep(10)
        assert tree.watch._heap == []
