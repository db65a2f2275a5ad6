"""What the runtime's hooks tell is added up under few labels."""

import pytest
import trio
import trio.testing

from coordinator.runtime import Actor, Call, Cast, Hooks, Mailbox, child, open_tree, supervisor
from coordinator.web.tally import BUCKETS_S, Histogram, Tally, label_of


class Breaks(Cast):
    """Crash the actor."""


class Ask(Call[int]):
    """Answered at once."""


class Worker(Actor):
    async def handle(self, message: object) -> int:
        if isinstance(message, Breaks):
            raise ValueError("broken")
        return 1


def test_monitors_share_a_label() -> None:
    """A thousand agents make one series; everybody else has an own one."""
    assert [label_of(id_) for id_ in ("monitor:a", "monitor:b", "router")] == ["monitors"] * 2 + [
        "router"
    ]


def test_a_histogram_counts_by_upper_bound() -> None:
    """A duration of exactly the bound is within it, one past the last has a place of its own."""
    histogram = Histogram()
    for seconds in (0.0, BUCKETS_S[0], BUCKETS_S[-1], BUCKETS_S[-1] + 1):
        histogram.add(seconds)
    assert histogram.counts == [2, 0, 0, 0, 0, 0, 1, 1]
    assert histogram.sum_s == pytest.approx(BUCKETS_S[0] + 2 * BUCKETS_S[-1] + 1)


async def test_the_hooks_of_a_real_tree_are_counted() -> None:
    """Messages, crashes, restarts, dead letters and what a full mailbox lost."""
    tally = Tally()
    hooks = Hooks(
        handled=tally.handled,
        crashed=tally.crashed,
        restarted=tally.restarted,
        dead_letter=tally.dead_letter,
        dropped=tally.dropped,
    )
    box = Mailbox(2, full="drop_newest")
    spec = supervisor(
        "root",
        child(Worker, id="a", mailbox=box),
        child(Worker, id="monitor:1"),
        child(Worker, id="monitor:2"),
    )
    async with open_tree(spec, hooks=hooks) as tree:
        for id_ in ("a", "monitor:1", "monitor:2"):
            assert await tree.ref(id_).call(Ask()) == 1
        for _ in range(3):
            tree.ref("a").cast_nowait(Breaks())
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(60):
            await tree.ref("a").call(Ask())
        assert tree.hook_failures == 0
    assert sorted(tally.actors) == ["a", "monitors"]
    broken, monitors = tally.actors["a"], tally.actors["monitors"]
    assert sum(monitors.handle_s.counts) == sum(monitors.wait_s.counts) == 2
    assert broken.dropped_messages == 1
    assert (broken.crashes, broken.dead_letters, broken.restarts) == (4, 2, 4)
    assert sum(broken.handle_s.counts) == 2
