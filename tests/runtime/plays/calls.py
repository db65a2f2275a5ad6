"""Scenarios of calls and room, and of what a crash does to messages, items and those who wait."""

import pytest
import trio

from coordinator.runtime import (
    ActorDown,
    CallTimeout,
    DeadLettered,
    Mailbox,
    MailboxFull,
    ReachedMaxIntensity,
    WouldDeadlock,
    supervisor,
)
from tests.runtime.scenarios import given, scenario
from tests.runtime.stage import (
    Boom,
    BoomCall,
    BoomError,
    Chronicle,
    DoAsync,
    Echo,
    Hang,
    Player,
    Refuse,
    Say,
    SlowEcho,
    player,
    settle,
)


@scenario("mailbox", small=True)
async def a_call_covers_the_wait_for_room() -> None:
    """Given a full mailbox, a call gives up in time though it never got in, and is never handled."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(1)))) as tree:
        ref, begin = tree.ref("a"), trio.current_time()
        ref.cast_nowait(Hang(for_s=9))
        await settle()
        ref.cast_nowait(Say("x"))
        with pytest.raises(CallTimeout):
            await ref.call(SlowEcho("no", 0), timeout_s=3)
        assert trio.current_time() == begin + 3
        await trio.sleep(9)
        assert story.of("echoed") == []


@scenario("mailbox", small=True)
async def a_late_reply_is_dropped() -> None:
    """Given a handler slower than its caller, the answer goes nowhere, the next call gets its own."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with pytest.raises(CallTimeout):
            await tree.ref("a").call(SlowEcho("late", 3), timeout_s=2)
        assert await tree.ref("a").call(SlowEcho("next", 1)) == "next"
        assert story.of("echoed") == ["a", "a"]


@scenario("mailbox", small=True)
async def a_cancelled_caller_takes_its_call_along() -> None:
    """Given a queued call, cancelling its caller withdraws it: it is never handled."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Hang(for_s=3))
        await settle()
        with trio.move_on_after(1):
            await ref.call(SlowEcho("no", 0))
        await trio.sleep(5)
        assert story.of("echoed") == []
        state = tree.dump().find("a").mailbox
        assert state is not None
        assert state.counters["expired"] == 1


@scenario("mailbox", small=True)
async def a_call_to_a_stopped_actor_fails_at_once() -> None:
    """Given an actor stopped by hand, a call fails without its timeout; restarted, it answers."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        await tree.terminate_child("root", "a")
        begin = trio.current_time()
        with pytest.raises(ActorDown):
            await ref.call(Echo("no"))
        assert trio.current_time() == begin
        await tree.restart_child("root", "a")
        assert await ref.call(Echo("yes")) == "yes"


@scenario("mailbox", small=True)
async def a_dropped_caller_is_told() -> None:
    """Given drop_oldest and drop_newest, whoever's call is dropped hears it before the timeout."""
    story, told = Chronicle(), list[str]()
    cast = [
        player(story, "old", mailbox=Mailbox(1, full="drop_oldest")),
        player(story, "new", mailbox=Mailbox(1, full="drop_newest")),
    ]
    async with given(story, supervisor("root", *cast)) as tree:
        for name in ("old", "new"):
            tree.ref(name).cast_nowait(Hang(for_s=3))
        await settle()

        async def ask(name: str) -> None:
            with pytest.raises(MailboxFull):
                await tree.ref(name).call(Echo("dropped"))
            told.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "old")
            await settle()
            tree.ref("old").cast_nowait(Say("newer"))
            tree.ref("new").cast_nowait(Say("older"))
            await settle()
            nursery.start_soon(ask, "new")
        assert told == ["old", "new"]


@scenario("mailbox", small=True)
async def a_self_call_is_an_error_and_not_a_deadlock() -> None:
    """Given a handler that calls its own actor, it gets WouldDeadlock and can go on."""
    story = Chronicle()

    async def ask(actor: Player) -> None:
        with pytest.raises(WouldDeadlock):
            await actor.context.ref.call(Echo("me"))
        actor.note("refused")

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(ask))
        await settle()
        assert story.lines == ["init a 1", "refused a"]


@scenario("mailbox", small=True)
async def two_that_call_each_other_are_freed_by_the_timeout() -> None:
    """Given two actors that call each other, the first timeout ends it and both go on."""
    story = Chronicle()

    def asks(other: str, timeout_s: float) -> DoAsync:
        async def ask(actor: Player) -> None:
            try:
                await actor.context.whereis(other).call(Echo("you"), timeout_s=timeout_s)
                actor.note("answered")
            except CallTimeout:
                actor.note("timeout")

        return DoAsync(ask)

    async with given(story, supervisor("root", player(story, "a"), player(story, "b"))) as tree:
        tree.ref("a").cast_nowait(asks("b", 2))
        tree.ref("b").cast_nowait(asks("a", 4))
        await trio.sleep(5)
        assert story.lines[2:] == ["timeout a", "answered b"]


@scenario("mailbox", small=True)
async def a_refused_cast_is_the_last_error() -> None:
    """Given a refusal, it is kept as the actor's last error, whoever sent the message."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with pytest.raises(ValueError, match="no"):
            await tree.ref("a").call(Refuse("no"))
        error = tree.dump().find("a").last_error
        assert error is not None
        assert (error.type, error.message) == ("ValueError", "no")


@scenario("mailbox", small=True)
async def a_batch_lets_others_run() -> None:
    """Given three batches of casts, another actor's message is handled long before the last of them."""
    story = Chronicle()
    cast = [player(story, "a", mailbox=Mailbox(200)), player(story, "b")]
    async with given(story, supervisor("root", *cast)) as tree:
        for _ in range(192):
            tree.ref("a").cast_nowait(Say("x"))
        tree.ref("b").cast_nowait(Say("y"))
        await settle()
        assert story.lines[2:].index("said b y") <= 64
        assert len(story.of("said")) == 193


@scenario("mailbox", small=True)
async def a_stop_near_ends_a_batch() -> None:
    """Given a full mailbox whose first handler asks for the stop, the batch is not worked off."""
    story = Chronicle()

    async def leave(actor: Player) -> None:
        actor.context.tree.request_stop()

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(leave))
        for word in "vwxyz":
            tree.ref("a").cast_nowait(Say(word))
        await tree.wait()
        assert len(story.of("said")) <= 1
        assert len(story.returned) >= 4


@scenario("mailbox", small=True)
async def a_crash_in_a_call_whose_caller_left_is_not_repeated() -> None:
    """Given a call that crashes after its caller gave up, there is no second attempt."""
    story = Chronicle()

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        with pytest.raises(CallTimeout):
            await ref.call(SlowEcho("long", 4), timeout_s=2)
        tree.kill("a")
        await trio.sleep(9)
        assert (story.of("init"), story.of("echoed")) == (["a", "a"], [])
        assert await ref.call(Echo("on")) == "on"


@scenario("poison", small=True)
async def a_poison_call_and_a_poison_cast_fit_in_one_budget() -> None:
    """Given intensity 2, one poison of each kind costs two restarts and the others are handled."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), intensity=2)) as tree:
        tree.ref("a").cast_nowait(Boom())
        tree.ref("a").cast_nowait(Say("x"))
        with pytest.raises(DeadLettered):
            await tree.ref("a").call(BoomCall())
        await settle()
        assert [c.charged for c in story.crashes] == [True, False, True, False]
        assert story.of("said") == ["a"]


@scenario("poison", small=True)
async def the_attempt_is_remembered_over_the_supervisors_restart() -> None:
    """Given a budget of none, the first crash restarts the supervisor, the second is the message's."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "a"), intensity=0)
    async with given(story, supervisor("root", mid)) as tree:
        tree.ref("a").cast_nowait(Boom())
        tree.ref("a").cast_nowait(Say("next"))
        await settle()
        assert [line for line in story.lines if "boom" in line] == ["boom a boom 1", "boom a boom 2"]
        assert [letter.id for letter in story.dead] == ["a"]
        assert story.of("said") == ["a"]


def working_on(item: str, *, skip_after: int = 1000) -> DoAsync:
    """Crash on an item, unless it is known to have broken so often."""

    async def work(actor: Player) -> None:
        if len(actor.context.crashes_of(item)) >= skip_after:
            actor.note("skipped", item)
            return
        actor.context.working_on(item)
        actor.note("tried", item)
        raise BoomError(item)

    return DoAsync(work)


@scenario("poison", small=True)
async def a_bad_item_is_skipped_after_two_crashes() -> None:
    """Given an actor that skips what broke twice, it costs one restart and the message is handled."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), intensity=1)) as tree:
        tree.ref("a").cast_nowait(working_on("x", skip_after=2))
        await settle()
        assert (story.of("tried"), story.of("skipped"), story.dead) == (["a", "a"], ["a"], [])
        assert [(c.item, c.charged) for c in story.crashes] == [("x", True), ("x", False)]


@scenario("poison", small=True)
async def an_item_nobody_skips_ends_as_a_dead_letter() -> None:
    """Given an item that breaks again and again, from the third crash on message and budget pay."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"), intensity=100)) as tree:
        tree.ref("a").cast_nowait(working_on("x"))
        await settle()
        assert [c.charged for c in story.crashes] == [True, False, True, True]
        assert len(story.dead) == 1


@scenario("poison", small=True)
async def a_mark_ends_with_its_handler() -> None:
    """Given a mark of an earlier message, a later crash is its own message's."""
    story = Chronicle()

    async def mark(actor: Player) -> None:
        actor.context.working_on("x")

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(mark))
        tree.ref("a").cast_nowait(Boom())
        await settle()
        assert [(c.item, c.attempt) for c in story.crashes] == [(None, 1), (None, 2)]


@scenario("poison", small=True)
async def a_kill_is_not_an_attempt() -> None:
    """Given a message in hand through three kills, it is still at its first attempt and is handled."""
    story, attempts = Chronicle(), list[int]()

    async def wait(actor: Player) -> None:
        attempts.append(actor.context.attempt)
        await trio.sleep(1)
        actor.note("waited")

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(wait))
        await settle()
        for _ in range(3):
            tree.kill("a")
            await settle()
        await trio.sleep(2)
        assert attempts == [1, 1, 1, 1]
        assert (story.of("waited"), story.dead) == (["a"], [])


@scenario("poison", small=True)
async def poison_beyond_the_budget_climbs() -> None:
    """Given intensity 1, the second poison's first crash is one too many."""
    story = Chronicle()

    async def play() -> None:
        async with given(story, supervisor("root", player(story, "a"), intensity=1)) as tree:
            for _ in range(2):
                tree.ref("a").cast_nowait(Boom())
            await trio.sleep_forever()

    with pytest.raises(ReachedMaxIntensity):
        await play()
    assert (len(story.dead), story.returned) == (1, [("a", Boom())])


@scenario("poison", small=True)
async def poison_in_a_group_takes_it_along_each_time() -> None:
    """Given one_for_all, a poison message restarts the group twice, for one of the budget."""
    story = Chronicle()
    cast = [player(story, "a"), player(story, "b")]
    async with given(story, supervisor("root", *cast, strategy="one_for_all", intensity=1)) as tree:
        tree.ref("a").cast_nowait(Boom())
        await settle()
        assert story.of("init").count("a") == 3
        assert set(tree.healthy().values()) == {"running"}
        assert tree.dump().find("root").budget_left == 0
