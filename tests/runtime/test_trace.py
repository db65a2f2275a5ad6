"""A trace streams what happens to an actor's messages, and never weighs on the actor."""

from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import (
    Actor,
    AdminError,
    Call,
    CallTimeout,
    Hooks,
    Mailbox,
    MailboxFull,
    Trace,
    TraceEvent,
    child,
    dynamic,
    open_tree,
    supervisor,
)
from tests.runtime.stage import Boom, Chronicle, Do, Echo, Hang, Player, Say, player, settle


@dataclass(frozen=True)
class Keep(Call[int]):
    after_s: float


class Hoarder(Actor):
    async def handle(self, message: Keep) -> int:
        await trio.sleep(message.after_s)
        self.context.stash()
        return 0


async def _read(trace: Trace, count: int) -> list[TraceEvent]:
    """The next events, which are there already."""
    events = list[TraceEvent]()
    with trio.fail_after(60):
        while len(events) < count:
            events.append(await anext(trace))
    return events


def _kinds(events: list[TraceEvent]) -> list[str]:
    return [event.kind for event in events]


async def test_a_message_from_the_queue_to_the_end(autojump_clock: MockClock) -> None:
    """Queued, begun, handled, with times, the attempt and the message in words."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        with tree.trace("a") as trace:
            begin = trio.current_time()
            await tree.ref("a").cast(Hang(for_s=2))
            await trio.sleep(3)
            events = await _read(trace, 3)
    assert _kinds(events) == ["queued", "begun", "handled"]
    assert [event.at - begin for event in events] == [0, 0, 2]
    assert {event.message for event in events} == {"Hang(for_s=2)"}
    assert [event.attempt for event in events] == [1, 1, 1]
    assert [event.seconds for event in events] == [None, None, 2]


async def test_a_crash_and_its_second_attempt() -> None:
    """The trace goes on over a restart: the same message begins again, as attempt 2."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        with tree.trace("a") as trace:
            await tree.ref("a").cast(Boom("x", once=True))
            await settle()
            events = await _read(trace, 5)
    assert _kinds(events) == ["queued", "begun", "crashed", "begun", "handled"]
    assert [event.attempt for event in events] == [1, 1, 1, 2, 2]


async def test_what_the_mailbox_drops_is_told(autojump_clock: MockClock) -> None:
    """With the message that is lost, not the one that pushed it out."""
    spec = player(Chronicle(), "a", mailbox=Mailbox(1, full="drop_oldest"))
    async with open_tree(supervisor("root", spec)) as tree:
        tree.ref("a").cast_nowait(Hang(for_s=1))
        await settle()
        with tree.trace("a") as trace:
            tree.ref("a").cast_nowait(Say("old"))
            tree.ref("a").cast_nowait(Say("new"))
            events = await _read(trace, 3)
    assert sorted((e.kind, e.message) for e in events) == [
        ("dropped", "Say(word='old')"),
        ("queued", "Say(word='new')"),
        ("queued", "Say(word='old')"),
    ]


async def test_every_end_of_a_message_is_told(autojump_clock: MockClock) -> None:
    """A call whose caller leaves expires, a poison is dead-lettered, what a stop finds is returned."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        ref = tree.ref("a")
        with tree.trace("a") as trace:
            ref.cast_nowait(Hang(for_s=2))
            with pytest.raises(CallTimeout):
                await ref.call(Echo("late"), timeout_s=1)
            ref.cast_nowait(Boom("x"))
            ref.cast_nowait(Hang(for_s=2))
            ref.cast_nowait(Say("left"))
            await trio.sleep(2)
            await tree.terminate_child("root", "a")
            events = [event async for event in trace]
    ends = [(e.kind, e.message, e.attempt) for e in events if e.kind not in ("queued", "begun")]
    assert ends == [
        ("expired", "Echo(word='late')", 1),
        ("handled", "Hang(for_s=2)", 1),
        ("crashed", "Boom(word='x', once=False)", 1),
        ("crashed", "Boom(word='x', once=False)", 2),
        ("dead_lettered", "Boom(word='x', once=False)", 2),
        ("handled", "Hang(for_s=2)", 1),
        ("returned", "Say(word='left')", 1),
    ]


async def test_a_stashed_call_whose_caller_leaves_expires(autojump_clock: MockClock) -> None:
    """Wherever it waits, also while it is in hand."""
    async with open_tree(supervisor("root", child(Hoarder, id="a"))) as tree:
        with tree.trace("a") as trace:
            for after_s in (0.0, 2.0):
                with pytest.raises(CallTimeout):
                    await tree.ref("a").call(Keep(after_s), timeout_s=1)
            await trio.sleep(2)
            events = await _read(trace, 7)
    assert _kinds(events) == ["queued", "begun", "stashed", "expired", "queued", "begun", "expired"]


async def test_a_refused_message_is_nobodys_event(autojump_clock: MockClock) -> None:
    """It was never the actor's."""
    spec = player(Chronicle(), "a", mailbox=Mailbox(1, full="reject"))
    async with open_tree(supervisor("root", spec)) as tree:
        tree.ref("a").cast_nowait(Hang(for_s=1))
        await settle()
        tree.ref("a").cast_nowait(Say("in"))
        with tree.trace("a") as trace:
            with pytest.raises(MailboxFull):
                tree.ref("a").cast_nowait(Say("out"))
            await trio.sleep(2)
            assert _kinds(await _read(trace, 3)) == ["handled", "begun", "handled"]


async def test_a_stashed_message_begins_again() -> None:
    """Put aside it is told as stashed, not as handled."""
    kept = list[str]()

    def stash_once(actor: Player) -> None:
        if not kept:
            actor.context.stash()
        kept.append("seen")

    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        with tree.trace("a") as trace:
            await tree.ref("a").cast(Do(stash_once))
            await tree.ref("a").cast(Do(lambda actor: actor.context.unstash_all()))
            await settle()
            kinds = [e.kind for e in await _read(trace, 8) if "stash_once" in e.message]
    assert kinds == ["queued", "begun", "stashed", "begun", "handled"]


async def test_a_slow_reader_loses_the_oldest_and_is_told() -> None:
    """The actor does not wait; what is left is the newest, in order."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        with tree.trace("a", capacity=2) as trace:
            for word in "xyz":
                await tree.ref("a").cast(Say(word))
            await settle()
            assert trace.lost == 7
            events = await _read(trace, 2)
    assert [(e.kind, e.message) for e in events] == [
        ("begun", "Say(word='z')"),
        ("handled", "Say(word='z')"),
    ]


async def test_several_may_look_on() -> None:
    """Each has its own events and losses; one that leaves does not end the others."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        with tree.trace("a") as whole:
            with tree.trace("a", capacity=1) as short:
                await tree.ref("a").cast(Say("x"))
                await settle()
                assert short.lost == 2
            await tree.ref("a").cast(Say("y"))
            await settle()
            assert len(await _read(whole, 6)) == 6
            assert whole.lost == 0


async def test_it_ends_with_the_actor() -> None:
    """Once the actor is down for good the iteration stops, after what there was to read."""
    spec = supervisor("root", dynamic("d", initial=[player(Chronicle(), "a", restart="temporary")]))
    kinds, begun = list[str](), trio.Event()

    async with open_tree(spec) as tree, trio.open_nursery() as nursery:

        async def look_on() -> None:
            with tree.trace("a") as trace:
                begun.set()
                kinds.extend([event.kind async for event in trace])

        nursery.start_soon(look_on)
        await begun.wait()
        await tree.ref("a").cast(Say("x"))
        await settle()
        cell = tree.ref("a")._cell
        await tree.terminate_child("d", "a")
    assert kinds == ["queued", "begun", "handled"]
    assert cell.tracer is None


async def test_a_stopped_actor_has_nothing_to_tell() -> None:
    """A trace of one that is down for good is over at once."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.terminate_child("root", "a")
        with tree.trace("a") as trace, trio.fail_after(60):
            assert [event async for event in trace] == []


async def test_it_ends_with_its_block() -> None:
    """A task that still waits for an event goes on when the block is left; the actor is not traced."""
    ended = list[str]()
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        async with trio.open_nursery() as nursery:
            with tree.trace("a") as trace:

                async def look_on() -> None:
                    async for _ in trace:
                        pass
                    ended.append("over")

                nursery.start_soon(look_on)
                await settle()
                with pytest.raises(trio.BusyResourceError, match="already reads"):
                    await anext(trace)
        assert ended == ["over"]
        assert tree.ref("a")._cell.tracer is None


async def test_a_cancelled_reader_loses_no_event() -> None:
    """Giving up waiting takes nothing out of the trace."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        with tree.trace("a") as trace:
            await tree.ref("a").cast(Say("x"))
            await settle()
            with trio.CancelScope() as scope:
                scope.cancel()
                await anext(trace)
            assert scope.cancelled_caught
            assert _kinds(await _read(trace, 3)) == ["queued", "begun", "handled"]


async def test_events_are_redacted() -> None:
    """The hook says what is seen of a message; that it raises changes nothing for the actor."""

    def hidden(name: str, value: object) -> object:
        raise ValueError("secret")

    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a"))
    async with open_tree(spec, hooks=Hooks(redact=hidden)) as tree:
        with tree.trace("a") as trace:
            await tree.ref("a").cast(Say("secret"))
            await settle()
            (event,) = await _read(trace, 1)
        assert event.message == "<hidden: redact raised ValueError>"
        assert chronicle.of("said") == ["a"]


async def test_only_actors_are_traced() -> None:
    """A supervisor is an AdminError, nobody a KeyError, a capacity of 0 a ValueError."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        with pytest.raises(AdminError, match="'root' is a supervisor"):
            tree.trace("root")
        with pytest.raises(KeyError, match="ghost"):
            tree.trace("ghost")
        with pytest.raises(ValueError, match="capacity is 0"), tree.trace("a", capacity=0):
            pass
