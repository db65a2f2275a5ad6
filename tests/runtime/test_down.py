"""Whoever watches an actor hears once that it is stopped for good, and of nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import (
    Actor,
    ActorRef,
    ActorSpec,
    Backoff,
    Cast,
    Down,
    Mailbox,
    Tree,
    child,
    dynamic,
    open_tree,
    supervisor,
)
from tests.runtime.stage import (
    Boom,
    Chronicle,
    Do,
    Hang,
    Player,
    Say,
    Script,
    is_conserved,
    player,
    settle,
)


@dataclass(frozen=True)
class Please(Cast):
    """Do this inside the handler."""

    deed: "Callable[[Watcher], object]"


@dataclass(frozen=True)
class Wait(Cast):
    until: trio.Event


@dataclass
class Heard:
    notices: list[Down] = field(default_factory=list)
    boom_at: int = 0


class Watcher(Actor):
    def __init__(self, heard: Heard, *watched: str) -> None:
        self.heard = heard
        self.watched = watched

    async def init(self) -> None:
        for name in self.watched:
            self.context.watch(self.context.whereis(name))

    async def handle(self, message: Please | Wait | Down) -> None:
        match message:
            case Down():
                self.heard.notices.append(message)
                if len(self.heard.notices) == self.heard.boom_at:
                    raise RuntimeError("a notice breaks the watcher")
            case Please(deed):
                deed(self)
            case Wait(until):
                await until.wait()


def watcher(heard: Heard, *watched: str, mailbox: Mailbox = Mailbox()) -> ActorSpec:  # noqa: B008
    return child(
        Watcher, heard, *watched, id="w", mailbox=mailbox, backoff=Backoff(min_s=0.0, max_s=0.0)
    )


def watchers_of(tree: Tree, name: str) -> int:
    return len(tree.ref(name)._cell.watchers or {})


async def test_a_watcher_hears_once_of_a_final_stop() -> None:
    """The notice has the id and the reason; the watch is used up by it."""
    heard = Heard()
    spec = supervisor("root", player(Chronicle(), "a"), watcher(heard, "a"))
    async with open_tree(spec) as tree:
        await tree.terminate_child("root", "a")
        await settle()
        assert heard.notices == [Down("a", "shutdown")]
        await tree.restart_child("root", "a")
        await tree.terminate_child("root", "a")
        await settle()
        assert len(heard.notices) == 1
        assert is_conserved(tree)


async def test_a_restart_is_not_a_death() -> None:
    """The watched actor crashes and comes back: nobody hears, and the watch goes on."""
    heard = Heard()
    spec = supervisor("root", player(Chronicle(), "a"), watcher(heard, "a"))
    async with open_tree(spec) as tree:
        tree.ref("a").cast_nowait(Boom(once=True))
        await settle()
        assert (tree.dump().find("a").incarnation, heard.notices) == (2, [])
        await tree.terminate_child("root", "a")
        await settle()
        assert [down.id for down in heard.notices] == ["a"]


async def test_the_dead_are_heard_of_at_once() -> None:
    """Watching an actor that is down already brings the notice, too."""
    heard = Heard()
    async with open_tree(supervisor("root", player(Chronicle(), "a"), watcher(heard))) as tree:
        ref = tree.ref("a")
        await tree.terminate_child("root", "a")
        await tree.ref("w").cast(Please(lambda w: w.context.watch(ref)))
        await settle()
        assert heard.notices == [Down("a", "shutdown")]


async def test_a_death_of_its_own_is_told_with_its_reason() -> None:
    """A transient actor that ends normally, and a temporary one that crashes."""
    heard = Heard()
    spec = supervisor(
        "root",
        player(Chronicle(), "a", restart="transient"),
        player(Chronicle(), "b", restart="temporary"),
        watcher(heard, "a", "b"),
    )
    async with open_tree(spec) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.stop()))
        await settle()
        await tree.ref("b").cast(Boom())
        await settle()
        assert heard.notices == [Down("a", "normal"), Down("b", "crash")]


async def test_watching_twice_is_watching_once() -> None:
    """However often it is asked for, one notice comes."""
    heard = Heard()
    spec = supervisor("root", player(Chronicle(), "a"), watcher(heard, "a", "a"))
    async with open_tree(spec) as tree:
        assert watchers_of(tree, "a") == 1
        await tree.terminate_child("root", "a")
        await settle()
        assert len(heard.notices) == 1


async def test_a_watch_can_be_taken_back() -> None:
    """Nothing comes afterwards, not even a notice that was on its way."""
    heard, until = Heard(), trio.Event()
    spec = supervisor(
        "root", player(Chronicle(), "a"), player(Chronicle(), "b"), watcher(heard, "a", "b")
    )
    async with open_tree(spec) as tree:
        a, b = tree.ref("a"), tree.ref("b")
        await tree.ref("w").cast(Please(lambda w: w.context.unwatch(a)))
        await settle()
        assert watchers_of(tree, "a") == 0
        await tree.terminate_child("root", "a")

        def take_back(w: Watcher) -> None:
            b._cell.close("in the same step")
            w.context.unwatch(b)

        await tree.ref("w").cast(Please(take_back))
        until.set()
        await settle()
        assert heard.notices == []
        await tree.ref("w").cast(Please(lambda w: w.context.unwatch(w.context.ref)))  # unknown: fine
        b._cell.reopen()


async def test_a_watch_dies_with_the_watchers_life() -> None:
    """The next life has to watch again; nothing of the old one stays in the watched actor."""
    heard = Heard()
    async with open_tree(supervisor("root", player(Chronicle(), "a"), watcher(heard))) as tree:
        a = tree.ref("a")
        await tree.ref("w").cast(Please(lambda w: w.context.watch(a)))
        await settle()
        assert watchers_of(tree, "a") == 1
        tree.kill("w")
        await settle()
        assert (tree.dump().find("w").incarnation, watchers_of(tree, "a")) == (2, 0)
        await tree.terminate_child("root", "a")
        await settle()
        assert heard.notices == []


async def test_a_notice_comes_past_a_full_queue() -> None:
    """It is never refused, and at the watcher's next turn comes before what was queued earlier."""
    heard, order = Heard(), list[str]()
    spec = supervisor("root", player(Chronicle(), "a"), watcher(heard, "a", mailbox=Mailbox(1)))
    async with open_tree(spec) as tree:
        ref = tree.ref("w")
        ref._cell.suspend()
        ref.cast_nowait(Please(lambda w: order.append(f"{len(w.heard.notices)} before")))
        await tree.terminate_child("root", "a")
        await settle()
        assert (order, heard.notices) == ([], [])
        ref._cell.resume()
        await settle()
        assert (order, len(heard.notices)) == (["1 before"], 1)
        assert is_conserved(tree)


async def test_a_notice_that_breaks_its_watcher_is_delivered_again() -> None:
    """Once in hand it is a message like others: its second attempt is made by the next life."""
    heard = Heard(boom_at=1)
    spec = supervisor("root", player(Chronicle(), "a"), watcher(heard))
    async with open_tree(spec) as tree:
        a = tree.ref("a")
        await tree.ref("w").cast(Please(lambda w: w.context.watch(a)))
        await settle()
        await tree.terminate_child("root", "a")
        await settle()
        assert heard.notices == [Down("a", "shutdown"), Down("a", "shutdown")]
        assert is_conserved(tree)


async def test_a_watch_of_one_who_dies_in_the_same_step() -> None:
    """Whether the watch or the death comes first within a step, one notice comes."""
    heard = Heard()
    spec = supervisor("root", player(Chronicle(), "a"), player(Chronicle(), "b"), watcher(heard))
    async with open_tree(spec) as tree:
        a, b = tree.ref("a"), tree.ref("b")

        def before_and_after(w: Watcher) -> None:
            w.context.watch(a)
            a._cell.close("after")
            b._cell.close("before")
            w.context.watch(b)

        await tree.ref("w").cast(Please(before_and_after))
        await settle()
        assert heard.notices == [Down("a", "after"), Down("b", "before")]
        a._cell.reopen()
        b._cell.reopen()


async def test_the_end_of_the_tree_leaves_no_watch() -> None:
    """Everybody goes: watchers first or watched first, no record stays."""
    heard, refs = Heard(), list[ActorRef]()
    first = supervisor("one", player(Chronicle(), "a"))
    async with open_tree(supervisor("root", first, watcher(heard, "a"))) as tree:
        refs.append(tree.ref("a"))
        await tree.ref("w").cast(Please(lambda w: w.context.watch(w.context.ref)))
        await settle()
    assert heard.notices == []
    assert not refs[0]._cell.watchers


# who is not an actor ----------------------------------------------------------------------------


async def test_a_task_can_wait_for_the_end_of_an_actor() -> None:
    """It gets the reason, however many restarts later; at once from one that is down."""
    reasons = list[str]()
    async with open_tree(supervisor("root", dynamic("d"), player(Chronicle(), "a"))) as tree:
        ref = tree.ref("a")

        async def wait() -> None:
            reasons.append(await ref.down())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            ref.cast_nowait(Boom(once=True))
            await settle()
            assert reasons == []
            await tree.terminate_child("root", "a")
        assert reasons == ["shutdown"]
        assert await ref.down() == "shutdown"


async def test_who_stops_waiting_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    """A wait that is cancelled is out of the actor's record."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        with trio.move_on_after(1) as scope:
            await tree.ref("a").down()
        assert scope.cancelled_caught
        assert watchers_of(tree, "a") == 0


async def test_a_zombie_is_not_down_before_it_ends(autojump_clock: MockClock) -> None:
    """It has been given up and may still act; the notice comes when it cannot any more."""
    script = Script(ignores_cancel_until=trio.Event())
    heard = Heard()
    spec = supervisor("root", player(Chronicle(), "a", script, shutdown_s=1), watcher(heard, "a"))
    async with open_tree(spec) as tree:
        await tree.ref("a").cast(Hang())
        await settle()
        with trio.move_on_after(20):
            await tree.terminate_child("root", "a")
        await settle()
        assert heard.notices == []
        assert script.ignores_cancel_until is not None
        script.ignores_cancel_until.set()
        await settle()
        assert heard.notices == [Down("a", "shutdown")]
        assert is_conserved(tree)


async def test_an_actors_own_timers_have_other_keys() -> None:
    """A timer named like a watched actor is neither replaced nor cancelled by its notice."""
    chronicle = Chronicle()

    def set_timers(actor: Player) -> None:
        actor.context.start_timer("down", 0, Say("mine"))
        actor.context.start_timer("a", 0, Say("mine, too"))
        actor.context.watch(actor.context.whereis("a"))
        actor.context.unwatch(actor.context.whereis("a"))

    spec = supervisor("root", player(chronicle, "a"), player(chronicle, "w"))
    async with open_tree(spec) as tree:
        await tree.ref("w").cast(Do(set_timers))
        await settle()
        assert [line for line in chronicle.lines if "mine" in line] == [
            "said w mine",
            "said w mine, too",
        ]


@pytest.mark.parametrize("is_named", [True, False])
async def test_notices_are_not_shown_as_the_actors_timers(is_named: bool) -> None:
    """The dump lists what the author set."""
    heard, until = Heard(), trio.Event()
    spec = supervisor("root", player(Chronicle(), "a"), watcher(heard, "a"))
    async with open_tree(spec) as tree:
        if is_named:
            await tree.ref("w").cast(
                Please(lambda w: w.context.start_timer("own", 9, Down("x", "not yet")))
            )
        await tree.ref("w").cast(Wait(until))
        await settle()
        await tree.terminate_child("root", "a")
        assert [t.key for t in tree.dump().find("w").timers] == ["own"] * is_named
        until.set()
        await settle()
        assert heard.notices == [Down("a", "shutdown")]


async def test_two_that_had_the_same_id_are_two() -> None:
    """Their notices do not replace each other."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "w"), dynamic("d"))) as tree:
        gone = list[ActorRef]()
        for _ in range(2):
            gone.append(await tree.start_child("d", player(chronicle, "a")))
            await tree.terminate_child("d", "a")

        def watch_both(actor: Player) -> None:
            for ref in gone:
                actor.context.watch(ref)

        await tree.ref("w").cast(Do(watch_both))
        await settle()
        assert chronicle.of("heard") == ["w", "w"]
