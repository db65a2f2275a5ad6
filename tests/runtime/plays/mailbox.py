"""Scenarios of the mailbox: order, room, calls, what becomes of messages when lives end."""

import pytest
import trio

from coordinator.runtime import (
    ActorDown,
    CallTimeout,
    Mailbox,
    MailboxFull,
    ReplyError,
    supervisor,
)
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    Boom,
    BoomError,
    Chronicle,
    DoAsync,
    Echo,
    Hang,
    Refuse,
    Say,
    SlowEcho,
    player,
    settle,
)


def words(story: Chronicle) -> str:
    """What was said, in order."""
    return "".join(line.split()[-1] for line in story.lines if line.startswith("said"))


@scenario("mailbox", small=True)
async def each_sender_keeps_its_order() -> None:
    """Given two senders and room for one message, each one's messages arrive in its order."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(1)))) as tree:

        async def send(letters: str) -> None:
            for letter in letters:
                await tree.ref("a").cast(Say(letter))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, "abcd")
            nursery.start_soon(send, "WXYZ")
        await settle()
        said = words(story)
        assert "".join(c for c in said if c.islower()) == "abcd"
        assert "".join(c for c in said if c.isupper()) == "WXYZ"


@scenario("mailbox", small=True)
async def waiting_senders_get_in_first_come_first_served() -> None:
    """Given a full mailbox, senders that came one after the other get in in that order."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(1)))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Hang(for_s=5))
        await settle()
        async with trio.open_nursery() as nursery:
            for word in "vwxyz":
                nursery.start_soon(ref.cast, Say(word))
                await settle()
        await settle()
        assert words(story) == "vwxyz"


@scenario("mailbox", small=True)
async def a_sender_that_gives_up_has_sent_nothing() -> None:
    """Given a full mailbox, a cast cancelled while it waits is never handled."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(1)))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Hang(for_s=5))
        await settle()
        ref.cast_nowait(Say("x"))
        with trio.move_on_after(1) as scope:
            await ref.cast(Say("never"))
        assert scope.cancelled_caught
        await trio.sleep(5)
        assert words(story) == "x"


@scenario("mailbox", small=True)
async def waiting_senders_are_told_of_the_stop() -> None:
    """Given senders that wait for room, a final stop turns each away with ActorDown."""
    story, told = Chronicle(), list[str]()
    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(1)))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Hang(for_s=2))
        await settle()
        ref.cast_nowait(Say("queued"))

        async def send(word: str) -> None:
            try:
                await ref.cast(Say(word))
            except ActorDown:
                told.append(word)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, "x")
            nursery.start_soon(send, "y")
            await settle()
            nursery.start_soon(tree.stop)
        assert sorted(told) == ["x", "y"]
    assert story.returned == [("a", Say("queued"))]


@scenario("mailbox", small=True)
async def each_policy_does_what_it_says_when_full() -> None:
    """Given three full mailboxes of two, oldest or newest is dropped, or the sender refused."""
    story = Chronicle()
    cast = [
        player(story, "old", mailbox=Mailbox(2, full="drop_oldest")),
        player(story, "new", mailbox=Mailbox(2, full="drop_newest")),
        player(story, "no", mailbox=Mailbox(2, full="reject")),
    ]
    async with given(story, supervisor("root", *cast)) as tree:
        for name in ("old", "new", "no"):
            tree.ref(name).cast_nowait(Hang(for_s=1))
        await settle()
        for word in "xyz":
            await tree.ref("old").cast(Say(word))
            await tree.ref("new").cast(Say(word))
        await tree.ref("no").cast(Say("x"))
        await tree.ref("no").cast(Say("y"))
        with pytest.raises(MailboxFull):
            await tree.ref("no").cast(Say("z"))
        await trio.sleep(2)
        said = {
            n: [x.split()[2] for x in story.lines if x.startswith(f"said {n} ")] for n in tree.depths()
        }
        assert said == {"old": ["y", "z"], "new": ["x", "y"], "no": ["x", "y"]}
        assert sorted(story.dropped, key=str) == [("new", Say("z")), ("old", Say("x"))]


@scenario("mailbox", small=True)
async def messages_survive_a_crash_in_order() -> None:
    """Given a crash in the middle of a queue, the message comes first again and the rest follows."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        for message in (Say("x"), Boom(once=True), Say("y"), Say("z")):
            tree.ref("a").cast_nowait(message)
        await settle()
        assert story.lines == [
            "init a 1",
            "said a x",
            "boom a boom 1",
            "terminate a crash",
            "init a 2",
            "survived a boom",
            "said a y",
            "said a z",
        ]


@scenario("mailbox", small=True)
async def a_call_waits_for_the_restart() -> None:
    """Given a call queued behind a crash, its answer comes from the next life."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Boom(once=True))
        assert await tree.ref("a").call(Echo("hello")) == "hello"
        assert story.of("init") == ["a", "a"]


@scenario("mailbox", small=True)
async def a_call_that_expires_in_the_queue_is_never_handled() -> None:
    """Given a busy actor, a call that times out is withdrawn; the next one is answered."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Hang(for_s=3))
        with pytest.raises(CallTimeout):
            await ref.call(SlowEcho("late", 0), timeout_s=2)
        assert await ref.call(Echo("next")) == "next"
        assert story.of("echoed") == []


@scenario("mailbox", small=True)
async def the_answer_meets_the_timeout() -> None:
    """Given an answer due as the call expires, the caller gets one of the two, and the law holds."""
    story, got = Chronicle(), list[str]()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        try:
            got.append(await tree.ref("a").call(SlowEcho("hi", 2), timeout_s=2))
        except CallTimeout:
            got.append("timeout")
        await settle()
        assert got in (["hi"], ["timeout"])
        assert await tree.ref("a").call(Echo("on")) == "on"


@scenario("mailbox", small=True)
async def callers_are_told_of_the_stop_at_once() -> None:
    """Given queued and waiting callers, a final stop tells each of them without their timeout."""
    story, told = Chronicle(), list[float]()
    async with given(story, supervisor("root", player(story, "a", shutdown_s=1))) as tree:
        ref, begin = tree.ref("a"), trio.current_time()

        async def ask() -> None:
            with pytest.raises(ActorDown):
                await ref.call(SlowEcho("x", 100), timeout_s=50)
            told.append(trio.current_time() - begin)

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(ask)
            nursery.start_soon(tree.stop)
        assert len(told) == 2
        assert max(told) <= 1.5


@scenario("mailbox", small=True)
async def a_refusal_is_the_callers_and_the_actor_goes_on() -> None:
    """Given a handler that raises ReplyError, the caller gets the error and no life ends."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with pytest.raises(ValueError, match="no"):
            await tree.ref("a").call(Refuse("no"))
        assert await tree.ref("a").call(Echo("yes")) == "yes"
        assert (story.crashes, story.of("init")) == ([], ["a"])


@scenario("mailbox", small=True)
async def a_handler_past_its_deadline_crashes() -> None:
    """Given a handler that hangs twice, it is cancelled at its deadline both times, then given up."""
    story, begin = Chronicle(), trio.current_time()
    async with given(story, supervisor("root", player(story, "a", handler_timeout_s=3))) as tree:
        tree.ref("a").cast_nowait(Hang())
        assert await tree.ref("a").call(Echo("after"), timeout_s=20) == "after"
        assert trio.current_time() == begin + 6
        assert [letter.message for letter in story.dead] == [Hang()]
        assert [c.error.type for c in story.crashes] == ["HandlerTimeout", "HandlerTimeout"]


@scenario("mailbox")
async def senders_meet_a_crash_and_nothing_is_lost() -> None:
    """Given two senders during a crash, every message is handled exactly once."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a", mailbox=Mailbox(2)))) as tree:

        async def send(letters: str) -> None:
            for letter in letters:
                await tree.ref("a").cast(Say(letter))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, "abc")
            nursery.start_soon(tree.ref("a").cast, Boom(once=True))
            nursery.start_soon(send, "xyz")
        await settle()
        assert sorted(words(story)) == list("abcxyz")
        assert story.of("survived") == ["a"]


@scenario("mailbox", small=True)
async def a_coalesced_cast_is_queued_once() -> None:
    """Given three senders of an equal cast to a busy actor, it is handled once."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Hang(for_s=1))
        await settle()
        assert [ref.cast_nowait(Say("x"), coalesce=True) for _ in range(3)] == [True, False, False]
        await crash_once(tree)
        await trio.sleep(2)
        assert words(story) == "x"


@scenario("mailbox", small=True)
async def a_reply_error_is_not_a_crash_for_a_cast() -> None:
    """Given a cast whose handler raises ReplyError, it counts as handled and is not repeated."""
    story = Chronicle()

    async def refuse(_: object) -> None:
        story.lines.append("refused a")
        raise ReplyError(BoomError("no"))

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(refuse))
        await settle()
        assert story.lines == ["init a 1", "refused a"]
