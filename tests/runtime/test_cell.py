"""What outlives an actor's lives, and how it is accounted for."""

from dataclasses import replace

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from coordinator.runtime import (
    ActorDown,
    Cast,
    CrashReport,
    Mailbox,
    MailboxFull,
    RuntimeFault,
    Tree,
    dynamic,
    open_tree,
    supervisor,
)
from coordinator.runtime import cell as module
from coordinator.runtime.spec import FullPolicy
from tests.runtime.stage import (
    Boom,
    BoomError,
    Chronicle,
    Do,
    Echo,
    Hang,
    Player,
    Say,
    Script,
    is_conserved,
    player,
    settle,
)


async def test_queued_messages_survive_a_group_restart(autojump_clock: MockClock) -> None:
    """A bystander's queue is kept in order, its cancelled message comes first, still as attempt one."""
    chronicle = Chronicle()
    spec = supervisor(
        "root", player(chronicle, "a"), player(chronicle, "b", shutdown_s=1), strategy="one_for_all"
    )
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("b").cast(Hang(for_s=3))
        for n in range(3):
            await tree.ref("b").cast(Say(str(n)))
        await settle()
        await tree.ref("a").cast(Boom(once=True))
        await trio.sleep(2)
        node = tree.dump().find("b")
        assert (node.incarnation, node.in_flight and node.in_flight.attempt) == (2, 1)
        await trio.sleep(9)
        assert [x for x in chronicle.lines if x.startswith("said")] == [f"said b {n}" for n in range(3)]
        assert chronicle.returned == []
        assert is_conserved(tree)


async def test_the_crashes_of_an_item_are_kept_without_their_circumstances() -> None:
    """A thousand items' states would fill memory; error and traceback stay, the hook has seen all."""
    kept, chronicle = list[CrashReport](), Chronicle()

    def work(actor: Player) -> None:
        kept.extend(actor.context.crashes_of("item"))
        actor.context.working_on("item")
        if not kept:
            raise BoomError("x")

    spec = player(chronicle, "a", Script(state={"open": 3}))
    async with open_tree(supervisor("root", spec), hooks=chronicle.hooks()) as tree:
        tree.ref("a").cast_nowait(Say("before"))
        tree.ref("a").cast_nowait(Do(work))
        await settle()
    (told,) = chronicle.crashes
    assert (told.state, len(told.last_messages)) == ({"open": 3}, 1)
    assert kept == [replace(told, state=None, last_messages=(), caller_stack=())]
    assert "BoomError: x" in kept[0].traceback


async def test_dropped_messages_are_reported() -> None:
    """The hook hears of each message the policy drops."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a", mailbox=Mailbox(1, "drop_oldest")))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        assert tree.ref("a").cast_nowait(Say("old"))
        assert tree.ref("a").cast_nowait(Say("new"))
        await settle()
        assert chronicle.dropped == [("a", Say("old"))]
        assert is_conserved(tree)


async def test_the_record_of_bad_items_is_bounded() -> None:
    """The oldest of more than a thousand is forgotten."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a"), intensity=10_000)
    async with open_tree(spec) as tree:
        cell = tree.ref("a")._cell
        for item in range(module.ITEMS):
            cell.crashes[item] = ()

        def fall(actor: Player) -> None:
            if actor.context.crashes_of("new"):
                return
            actor.context.working_on("new")
            raise BoomError("item")

        await tree.ref("a").cast(Do(fall))
        await settle()
        assert len(cell.crashes) == module.ITEMS
        assert 0 not in cell.crashes


async def test_closing_twice_is_closing_once() -> None:
    """What was returned is returned once."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        cell = tree.ref("a")._cell
        tree.ref("a").cast_nowait(Say("x"))
        cell.close("once")
        cell.close("twice")
        assert cell.closed == "once"
        assert chronicle.returned == [("a", Say("x"))]
        assert cell.is_conserved()
        cell.reopen()


@pytest.mark.parametrize("full", ["reject", "drop_newest"])
async def test_a_cast_does_not_wait_under_other_policies(full: FullPolicy) -> None:
    """Only "wait" waits; the mailbox of a suspended actor stays full."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a", mailbox=Mailbox(capacity=1, full=full)))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        ref = tree.ref("a")
        ref._cell.suspend()
        await ref.cast(Say("0"))
        if full == "reject":
            with pytest.raises(MailboxFull):
                await ref.cast(Say("1"))
        else:
            await ref.cast(Say("1"))
            assert chronicle.dropped == [("a", Say("1"))]
        assert is_conserved(tree)


async def test_a_cast_notices_a_cancellation_even_with_room() -> None:
    """A cancelled sender sends nothing."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        ref = tree.ref("a")
        ref._cell.suspend()
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.cast(Say("x"))
        assert scope.cancelled_caught
        assert tree.depths() == {"a": 0}


async def test_what_is_remembered_keeps_no_answer_alive() -> None:
    """Of a call that was answered the record has the message, not the reply or who waited for it."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.ref("a").call(Echo("x"))
        (handled,) = tree.ref("a")._cell.last_messages
        assert (handled.message, handled.reply, handled.ok) == (Echo("x"), None, True)


STEPS = st.lists(
    st.sampled_from(
        ["say", "boom", "boom_once", "hang", "call", "crash_init", "wait", "restart", "kill"]
    ),
    max_size=25,
)


async def take_step(tree: Tree, step: str, script: Script) -> None:
    cast: dict[str, Cast] = {
        "say": Say("x"),
        "boom": Boom(),
        "boom_once": Boom(once=True),
        "hang": Hang(for_s=2),
    }
    try:
        if step in cast:
            tree.ref("a").cast_nowait(cast[step])
        elif step == "call":
            await tree.ref("a").call(Echo("x"), timeout_s=0.5)
        elif step == "crash_init":
            script.failing_inits = 1
        elif step == "wait":
            await trio.sleep(1)
        elif step == "restart":
            await tree.terminate_child("m", "a")
            await tree.restart_child("m", "a")
        else:
            tree._registry.find("a").scope.cancel()
    except RuntimeFault:
        script.failing_inits = 0


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_no_message_is_lost_or_doubled(steps: list[str]) -> None:
    """Whatever happens to an actor, after every step each accepted message has exactly one fate."""

    async def scenario() -> None:
        script = Script()
        inner = supervisor("m", player(Chronicle(), "a", script, mailbox=Mailbox(4)), intensity=100)
        async with open_tree(supervisor("root", inner, dynamic("d"))) as tree:
            for step in steps:
                await take_step(tree, step, script)
                assert is_conserved(tree)
            await settle()
            assert is_conserved(tree)
            tree.request_stop()
            await tree.wait()
            assert is_conserved(tree)

    trio.run(scenario, clock=MockClock(autojump_threshold=0))


async def test_a_hint_is_kept_while_its_actor_is_down() -> None:
    """Messages sent between two lives wait for the next one."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        tree.ref("a").cast_nowait(Boom(once=True))
        tree.ref("a").cast_nowait(Say("1"))
        await settle()
        assert chronicle.lines[-1] == "said a 1"


@pytest.mark.parametrize("full", ["wait", "reject", "drop_oldest", "drop_newest"])
async def test_a_cast_that_meets_the_stop_leaves_nothing_behind(full: FullPolicy) -> None:
    """A sender that yields while the actor is stopped is refused, and its message is in no queue."""
    chronicle = Chronicle()
    refused: list[ActorDown] = []
    spec = supervisor("root", player(chronicle, "a", mailbox=Mailbox(capacity=1, full=full)))
    async with open_tree(spec) as tree:
        ref = tree.ref("a")

        async def send() -> None:
            for n in range(50):
                try:
                    await ref.cast(Say(str(n)))
                except MailboxFull:
                    continue
                except ActorDown as down:
                    refused.append(down)
                    return

        for _ in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                nursery.start_soon(tree.terminate_child, "root", "a")
            assert is_conserved(tree)
            mailbox = tree.dump().find("a").mailbox
            assert mailbox is not None
            assert mailbox.depth == 0
            await tree.restart_child("root", "a")
    assert refused
