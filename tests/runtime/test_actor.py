"""What references and contexts promise."""

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import (
    ActorDown,
    CallTimeout,
    Mailbox,
    MailboxFull,
    WouldDeadlock,
    open_tree,
    supervisor,
)
from tests.runtime.stage import (
    Boom,
    Chronicle,
    Do,
    DoAsync,
    Echo,
    Hang,
    Player,
    Say,
    Script,
    SlowEcho,
    is_conserved,
    player,
    settle,
)


async def test_call_returns_the_handlers_value() -> None:
    """A call is answered by what handle returns."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        assert await tree.ref("a").call(Echo("hi")) == "hi"
        assert repr(tree.ref("a")) == "<ActorRef a>"


async def test_references_to_one_actor_are_equal() -> None:
    """References are equal over restarts; one to a later actor of the same id is another."""
    async with open_tree(
        supervisor("root", player(Chronicle(), "a"), player(Chronicle(), "b"))
    ) as tree:
        first = tree.ref("a")
        assert {first, tree.ref("a")} == {first}
        assert first not in (tree.ref("b"), "a")
        await tree.terminate_child("root", "a")
        await tree.delete_child("root", "a")
        assert await tree.start_child("root", player(Chronicle(), "a")) != first


async def test_a_late_reply_is_dropped(autojump_clock: MockClock) -> None:
    """The caller times out; the answer that comes later harms nobody."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        with pytest.raises(CallTimeout, match="a did not answer SlowEcho"):
            await tree.ref("a").call(SlowEcho("x", after_s=10), timeout_s=3)
        await trio.sleep(10)
        assert chronicle.of("echoed") == ["a"]
        assert await tree.ref("a").call(Echo("alive")) == "alive"
        assert is_conserved(tree)


async def test_an_expired_call_is_never_handled(autojump_clock: MockClock) -> None:
    """A call whose caller gave up leaves the queue."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Hang(for_s=10))
        await settle()
        with pytest.raises(CallTimeout):
            await tree.ref("a").call(SlowEcho("x", after_s=0), timeout_s=3)
        await trio.sleep(20)
        assert chronicle.of("echoed") == []
        mailbox = tree.dump().find("a").mailbox
        assert mailbox is not None
        assert mailbox.counters["expired"] == 1
        assert is_conserved(tree)


async def test_a_cancelled_caller_withdraws_its_call(autojump_clock: MockClock) -> None:
    """Cancelling the caller is giving up."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.ref("a").cast(Hang(for_s=10))
        await settle()
        with trio.move_on_after(1):
            await tree.ref("a").call(Echo("x"))
        mailbox = tree.dump().find("a").mailbox
        assert mailbox is not None
        assert (mailbox.depth, mailbox.counters["expired"]) == (0, 1)


async def test_the_timeout_covers_the_wait_for_room(autojump_clock: MockClock) -> None:
    """A call to a full mailbox gives up in time and leaves the line."""
    spec = supervisor("root", player(Chronicle(), "a", mailbox=Mailbox(capacity=1)))
    async with open_tree(spec) as tree:
        ref = tree.ref("a")
        await ref.cast(Hang(for_s=60))
        await settle()
        await ref.cast(Say("fills it"))
        begin = trio.current_time()
        with pytest.raises(CallTimeout):
            await ref.call(Echo("x"), timeout_s=2)
        assert trio.current_time() == begin + 2
        mailbox = tree.dump().find("a").mailbox
        assert mailbox is not None
        assert mailbox.senders_waiting == 0


async def test_a_call_waits_for_a_restart(autojump_clock: MockClock) -> None:
    """A call to an actor that is being restarted is answered by the next life."""
    script = Script()
    async with open_tree(supervisor("root", player(Chronicle(), "a", script))) as tree:
        script.init_takes_s = 3
        await tree.ref("a").cast(Boom(once=True))
        await settle()
        begin = trio.current_time()
        assert await tree.ref("a").call(Echo("x")) == "x"
        assert trio.current_time() == begin + 3


async def test_callers_hear_at_once_of_a_final_stop(autojump_clock: MockClock) -> None:
    """The one being served, the queued one and the one waiting for room are told when it is down."""
    told = list[str]()
    spec = supervisor("root", player(Chronicle(), "a", mailbox=Mailbox(capacity=1), shutdown_s=1))
    async with open_tree(spec) as tree:
        ref = tree.ref("a")

        async def ask(word: str) -> None:
            with pytest.raises(ActorDown, match="a is down: shutdown"):
                await ref.call(SlowEcho(word, after_s=1000), timeout_s=500)
            told.append(word)

        async with trio.open_nursery() as nursery:
            for word in "xyz":
                nursery.start_soon(ask, word)
                await settle()
            begin = trio.current_time()
            await tree.terminate_child("root", "a")
            await settle()
            assert sorted(told) == ["x", "y", "z"]
            assert trio.current_time() == begin + 1
        assert not ref.alive
        with pytest.raises(ActorDown):
            await ref.call(Echo("x"))
        with pytest.raises(ActorDown):
            ref.cast_nowait(Say("x"))
        with pytest.raises(ActorDown):
            ref.cast_nowait(Say("x"), coalesce=True)
        with pytest.raises(ActorDown):
            await ref.cast(Say("x"))
        await tree.restart_child("root", "a")
        assert await ref.call(Echo("back")) == "back"


async def test_coalescing_keeps_one_of_equal_hints() -> None:
    """While an equal one is queued nothing is added; once it is taken the next one gets in."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        ref = tree.ref("a")
        assert [ref.cast_nowait(Say("wake"), coalesce=True) for _ in range(3)] == [True, False, False]
        assert ref.cast_nowait(Say("other"), coalesce=True)
        await settle()
        assert ref.cast_nowait(Say("wake"), coalesce=True)
        await settle()
    assert [line.split()[-1] for line in chronicle.lines if line.startswith("said")] == [
        "wake", "other", "wake",
    ]  # fmt: skip


async def test_cast_nowait_does_not_wait() -> None:
    """A full mailbox is an error at once under the policy that lets `cast` wait."""
    spec = supervisor("root", player(Chronicle(), "a", mailbox=Mailbox(capacity=2)))
    async with open_tree(spec) as tree:
        tree.ref("a").cast_nowait(Say("1"))
        tree.ref("a").cast_nowait(Say("2"))
        with pytest.raises(MailboxFull):
            tree.ref("a").cast_nowait(Say("3"))


async def test_the_wrong_kind_of_message_is_refused_at_the_sender() -> None:
    """A call is not cast, a cast not called, and anything else is neither."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        ref = tree.ref("a")
        with pytest.raises(TypeError, match=r"Echo.*use call"):
            ref.cast_nowait(Echo("x"))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"Say.*use cast"):
            await ref.call(Say("x"))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="'x' is not a Cast"):
            await ref.cast("x")  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
async def test_a_call_needs_a_finite_timeout(timeout_s: float) -> None:
    """Waiting for ever is not offered."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        with pytest.raises(ValueError, match="must be finite"):
            await tree.ref("a").call(Echo("x"), timeout_s=timeout_s)


async def test_calling_oneself_is_an_error_not_a_deadlock() -> None:
    """An actor that calls itself from its handler is told so; its background task may call it."""
    chronicle = Chronicle()

    async def selfish(actor: Player) -> None:
        with pytest.raises(WouldDeadlock, match="a calls itself"):
            await actor.context.ref.call(Echo("x"))
        actor.context.spawn(outsider, actor, name="outsider")

    async def outsider(actor: Player) -> None:
        actor.note(await actor.context.ref.call(Echo("answered")))

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(DoAsync(selfish))
        await settle()
        assert chronicle.lines[-1] == "answered a"


async def test_the_context_knows_where_it_is() -> None:
    """Id, life, tree, others by name, and attempt one when nothing is being retried."""
    seen = list[object]()

    def look(actor: Player) -> None:
        context = actor.context
        seen.extend([context.id, context.incarnation, context.attempt, context.whereis("b").id])
        with pytest.raises(KeyError, match="nobody"):
            context.whereis("nobody")

    script = Script(on_init=lambda actor: seen.append(actor.context.attempt))
    spec = supervisor("root", player(Chronicle(), "a", script), player(Chronicle(), "b"))
    async with open_tree(spec) as tree:
        await tree.ref("a").cast(Do(look))
        await settle()
    assert seen == [1, "a", 1, 1, "b"]


async def test_a_timer_takes_casts_only() -> None:
    """There is nobody to answer a timer's call."""

    def wrong(actor: Player) -> None:
        with pytest.raises(TypeError):
            actor.context.start_timer("t", 1, Echo("x"))  # type: ignore[arg-type]
        actor.note("refused")

    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(wrong))
        await settle()
        assert chronicle.of("refused") == ["a"]


async def test_the_context_of_an_earlier_life_stops_nobody(autojump_clock: MockClock) -> None:
    """Whoever kept a context over a restart cannot end the life that came after it."""
    story: Chronicle = Chronicle()
    kept: list[Player] = []
    async with open_tree(supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(kept.append))
        await settle()
        tree.kill("a")
        await settle()
        kept[0].context.stop()
        await settle()
        assert tree.dump().find("a").incarnation == 2


async def test_an_actor_does_not_wait_for_itself_to_make_room() -> None:
    """A cast to itself that finds the mailbox full is an error at once, and not a hung handler."""
    chronicle = Chronicle()

    async def fill(actor: Player) -> None:
        await actor.context.ref.cast(Say("1"))
        with pytest.raises(WouldDeadlock, match="a casts to itself with a full mailbox"):
            await actor.context.ref.cast(Say("2"))

    async with open_tree(supervisor("root", player(chronicle, "a", mailbox=Mailbox(1)))) as tree:
        await tree.ref("a").cast(DoAsync(fill))
        await settle()
        assert chronicle.words() == "1"
        assert is_conserved(tree)


async def test_a_job_may_wait_for_room_in_its_own_actor() -> None:
    """It runs beside the handlers, which make room."""
    chronicle = Chronicle()

    def spawn(actor: Player) -> None:
        async def fill() -> None:
            for word in "123":
                await actor.context.ref.cast(Say(word))

        actor.context.spawn(fill, name="fill")

    async with open_tree(supervisor("root", player(chronicle, "a", mailbox=Mailbox(1)))) as tree:
        await tree.ref("a").cast(Do(spawn))
        await settle()
        assert chronicle.words() == "123"
