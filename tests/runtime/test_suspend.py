"""What overtakes the queue: suspending, resuming and draining, seen from the loop that obeys them."""

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import ActorDown, CallTimeout, Mailbox, Tree, open_tree, supervisor
from tests.runtime.stage import (
    Boom,
    Chronicle,
    Do,
    DoAsync,
    Echo,
    Hang,
    Player,
    Say,
    is_conserved,
    player,
    settle,
    status,
)


def said(chronicle: Chronicle) -> list[str]:
    return [line.split()[-1] for line in chronicle.lines if line.startswith("said")]


async def test_a_suspended_actor_handles_nothing_until_resumed() -> None:
    """Its mailbox goes on taking; afterwards everything is handled in order."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        tree.suspend("a")
        for word in "xyz":
            await tree.ref("a").cast(Say(word))
        await settle()
        assert (said(chronicle), tree.depths()["a"]) == ([], 3)
        tree.resume("a")
        await settle()
        assert said(chronicle) == ["x", "y", "z"]


async def test_suspending_overtakes_the_queue() -> None:
    """The message in hand is finished, those behind it in the same batch wait."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        ref = tree.ref("a")
        for message in (Say("1"), Do(lambda actor: tree.suspend("a")), Say("2"), Say("3")):
            ref.cast_nowait(message)
        await settle()
        assert (said(chronicle), tree.depths()["a"]) == (["1"], 2)
        tree.resume("a")
        await settle()
        assert said(chronicle) == ["1", "2", "3"]
        assert is_conserved(tree)


async def test_a_call_to_a_suspended_actor_runs_into_its_timeout(autojump_clock: MockClock) -> None:
    """And is never handled, for its caller has gone."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        tree.suspend("a")
        with pytest.raises(CallTimeout):
            await tree.ref("a").call(Echo("x"), timeout_s=2)
        tree.resume("a")
        await settle()
        assert tree.dump().find("a").handled == 0
        assert is_conserved(tree)


async def test_timers_wait_and_background_tasks_go_on(autojump_clock: MockClock) -> None:
    """A timer that is due meanwhile fires on resuming; what the actor has spawned does not notice."""
    chronicle = Chronicle()

    async def beat(actor: Player) -> None:
        for _ in range(3):
            await trio.sleep(1)
            actor.note("beat")

    def begin(actor: Player) -> None:
        actor.context.start_timer("t", 1, Say("due"))
        actor.context.spawn(beat, actor, name="beat")

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(begin))
        await settle()
        tree.suspend("a")
        await trio.sleep(5)
        assert chronicle.lines[1:] == ["beat a"] * 3
        tree.resume("a")
        await settle()
        assert said(chronicle) == ["due"]


async def test_it_holds_over_a_restart() -> None:
    """The next life begins suspended, with the message in hand still in hand."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        ref = tree.ref("a")
        await ref.cast(Hang())
        await ref.cast(Say("x"))
        await settle()
        tree.suspend("a")
        tree.kill("a")
        await settle()
        node = tree.dump().find("a")
        assert (node.incarnation, node.in_flight is not None, said(chronicle)) == (2, True, [])
        assert is_conserved(tree)


async def test_a_crash_while_it_is_being_suspended(autojump_clock: MockClock) -> None:
    """The handler that runs on may still crash; its second attempt waits for the resume."""
    chronicle = Chronicle()

    def fall(actor: Player) -> None:
        tree.suspend("a")
        if actor.context.attempt == 1:
            raise RuntimeError("while suspended")
        actor.note("survived")

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(fall))
        await trio.sleep(1)
        assert chronicle.lines == ["init a 1", "terminate a crash", "init a 2"]
        tree.resume("a")
        await settle()
        assert chronicle.lines[-1] == "survived a"
        assert is_conserved(tree)


async def test_a_stop_ends_a_suspension() -> None:
    """It does not wait, the queue is returned, and the actor started again is not suspended."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        tree.suspend("a")
        await tree.ref("a").cast(Say("queued"))
        await tree.terminate_child("root", "a")
        assert chronicle.returned == [("a", Say("queued"))]
        await tree.restart_child("root", "a")
        await tree.ref("a").cast(Say("later"))
        await settle()
        assert said(chronicle) == ["later"]


# draining ---------------------------------------------------------------------------------------


async def drained(tree: Tree, *, meanwhile: Say | None = None) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.drain_child, "root", "a")
        await settle()
        if meanwhile is not None:
            with pytest.raises(ActorDown, match="a is down: draining"):
                await tree.ref("a").cast(meanwhile)
            with pytest.raises(ActorDown, match="a is down: draining"):
                tree.ref("a").cast_nowait(meanwhile)
            with pytest.raises(ActorDown, match="a is down: draining"):
                await tree.ref("a").call(Echo("x"))


async def test_draining_handles_what_was_accepted_and_takes_no_more(autojump_clock: MockClock) -> None:
    """Senders hear at once that it is going; then it ends like any stop."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        for message in (Hang(for_s=1), Say("1"), Say("2")):
            await tree.ref("a").cast(message)
        await drained(tree, meanwhile=Say("late"))
        assert said(chronicle) == ["1", "2"]
        assert chronicle.lines[-1] == "terminate a shutdown"
        assert (chronicle.returned, status(tree, "a")) == ([], "stopped")
        assert is_conserved(tree)


async def test_draining_turns_waiting_senders_away(autojump_clock: MockClock) -> None:
    """A sender in line for room was not accepted yet."""
    chronicle, refused = Chronicle(), list[str]()
    async with open_tree(supervisor("root", player(chronicle, "a", mailbox=Mailbox(1)))) as tree:
        ref = tree.ref("a")
        await ref.cast(Hang(for_s=1))
        await settle()
        await ref.cast(Say("accepted"))

        async def send() -> None:
            with pytest.raises(ActorDown, match="draining"):
                await ref.cast(Say("in line"))
            refused.append("in line")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await settle()
            await drained(tree)
        assert (refused, said(chronicle)) == (["in line"], ["accepted"])


async def test_a_drain_past_its_deadline_returns_what_is_left(autojump_clock: MockClock) -> None:
    """The handler that takes too long is cancelled, its message is returned with those behind it."""
    chronicle, begin = Chronicle(), trio.current_time()
    spec = supervisor("root", player(chronicle, "a", shutdown_s=2))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        for message in (Say("punctual"), Hang(for_s=60), Say("left")):
            await tree.ref("a").cast(message)
        await tree.drain_child("root", "a")
        assert trio.current_time() - begin == 2
        assert said(chronicle) == ["punctual"]
        assert [m for _, m in chronicle.returned] == [Hang(for_s=60), Say("left")]
        assert is_conserved(tree)


async def test_draining_takes_the_stash_up_once() -> None:
    """What was put aside is handled again; what is put aside then is returned."""
    chronicle = Chronicle()

    def wait(actor: Player) -> None:
        actor.note("saw")
        actor.context.stash()

    put_off = Do(wait)
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(put_off)
        await settle()
        await tree.drain_child("root", "a")
        assert chronicle.of("saw") == ["a", "a"]
        assert chronicle.returned == [("a", put_off)]
        assert is_conserved(tree)


async def test_draining_wakes_a_suspended_actor_and_forgets_its_timers(
    autojump_clock: MockClock,
) -> None:
    """It cannot wait for a resume, and a timer that winds itself up again must not keep it."""
    chronicle, begin = Chronicle(), trio.current_time()

    def wind_up(actor: Player) -> None:
        actor.note("tick")
        actor.context.start_timer("t", 0, Do(wind_up))

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        tree.suspend("a")
        await tree.ref("a").cast(Say("x"))
        await tree.ref("a").cast(Do(wind_up))
        await tree.drain_child("root", "a")
        assert (said(chronicle), chronicle.of("tick")) == (["x"], ["a"])
        assert trio.current_time() == begin
        assert is_conserved(tree)


async def test_an_idle_actor_is_drained_at_once() -> None:
    """Nothing is left to do, so it ends; started again it takes messages like before."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.drain_child("root", "a")
        await tree.restart_child("root", "a")
        await tree.ref("a").cast(Say("again"))
        await settle()
        assert said(chronicle) == ["again"]


async def test_a_crash_while_draining_is_the_end() -> None:
    """Nothing is restarted for it, and what was left is returned with the message in hand."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        tree.suspend("a")
        for message in (Boom(), Say("left")):
            await tree.ref("a").cast(message)
        await tree.drain_child("root", "a")
        assert (status(tree, "a"), tree.dump().find("a").incarnation) == ("stopped", 1)
        assert [m for _, m in chronicle.returned] == [Boom(), Say("left")]
        assert is_conserved(tree)


@pytest.mark.parametrize("shutdown_s", [2, 60])
async def test_a_drain_asks_a_handler_to_end_when_its_time_is_up(
    shutdown_s: float, autojump_clock: MockClock
) -> None:
    """One that gives up on `is_stopping` is not sent home early by a drain, which wants it done."""
    chronicle, begin = Chronicle(), trio.current_time()

    async def wait(actor: Player) -> None:
        try:
            for _ in range(10):
                await trio.sleep(1)
                if actor.context.is_stopping:
                    actor.note("gave-up")
                    return
        finally:
            actor.note("asked", str(actor.context.is_stopping))

    spec = supervisor("root", player(chronicle, "a", shutdown_s=shutdown_s))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(DoAsync(wait))
        await settle()
        await tree.drain_child("root", "a")
        assert trio.current_time() - begin == min(shutdown_s, 10)
    assert chronicle.of("gave-up") == []
    assert chronicle.words("asked") == str(shutdown_s < 10)


async def test_a_stop_asks_a_handler_that_a_drain_left_in_peace(autojump_clock: MockClock) -> None:
    """A plain stop overtakes the drain, and from then on the handler is asked to end."""
    chronicle, begin = Chronicle(), trio.current_time()

    async def wait(actor: Player) -> None:
        while not actor.context.is_stopping:  # noqa: ASYNC110  that is how a handler asks
            await trio.sleep(1)

    async with open_tree(supervisor("root", player(chronicle, "a", shutdown_s=60))) as tree:
        await tree.ref("a").cast(DoAsync(wait))
        await settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.drain_child, "root", "a")
            await trio.sleep(5.5)
            await tree.terminate_child("root", "a")
            assert trio.current_time() - begin == 6
