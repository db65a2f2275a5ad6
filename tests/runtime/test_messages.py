"""Replies land once, and reports of messages stay small."""

import gc
import math
import weakref

import pytest
import trio
import trio.testing

from coordinator.runtime.messages import Envelope, Reply, brief, brief_text
from tests.runtime.stage import BoomError, Say, settle


def test_brief_is_bounded() -> None:
    """A message that carries a document shows its first 200 characters."""
    assert len(brief(Say("x" * 10_000))) == 200
    assert brief(Say("x")) == "Say(word='x')"


def test_brief_survives_a_broken_repr() -> None:
    """A repr that raises is named and breaks no report."""

    class Broken:
        def __repr__(self) -> str:
            raise ValueError("no")

    assert brief(Broken()) == "<Broken: repr raised ValueError>"


def test_an_errors_own_words_are_bounded() -> None:
    """An error that carries a document is cut; one whose __str__ raises is named."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    assert len(brief_text(BoomError("x" * 10_000))) == 2000
    assert "__str__ raised" in brief_text(MuteError())


async def test_a_waiting_caller_gets_the_first_answer() -> None:
    """The first answer counts, a second one is dropped."""
    reply, got = Reply(), list[object]()

    async def ask() -> None:
        got.append(await reply.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await settle()
        reply.answer(1)
        reply.answer(2)
        reply.refuse(ValueError("late"))
    assert got == [1]


async def test_an_answer_before_the_wait_is_kept() -> None:
    """A reply that is already there is returned, an error raised."""
    reply, refused = Reply(), Reply()
    reply.answer("early")
    refused.refuse(ValueError("no"))
    assert await reply.wait() == "early"
    with pytest.raises(ValueError, match="no"):
        await refused.wait()


async def test_a_late_answer_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    """A caller that gave up leaves a slot that takes anything and does nothing."""
    reply = Reply()
    with trio.move_on_after(1):
        await reply.wait()
    reply.abandoned = True
    reply.answer("late")
    reply.refuse(ValueError("later"))
    assert not reply.done
    assert Envelope(Say("x"), 0.0, reply).abandoned
    assert not Envelope(Say("x"), 0.0).abandoned


async def test_a_caller_wakes_at_its_deadline() -> None:
    """It finds the call abandoned; an answer that was there first is not taken back."""
    late, answered, got = Reply(9.0), Reply(9.0), list[object]()

    async def ask() -> None:
        got.append(await late.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await settle()
        late.overrun()
    late.answer("too late")
    assert (got, late.done, late.abandoned, late.deadline) == ([None], False, True, math.inf)
    answered.answer("in time")
    answered.overrun()
    assert (await answered.wait(), answered.abandoned, answered.deadline) == (
        "in time",
        False,
        math.inf,
    )


def test_an_attempt_is_counted_by_its_crashes() -> None:
    """The first attempt has none behind it."""
    assert Envelope(Say("x"), 0.0).attempt == 1


async def test_what_was_answered_is_kept_by_the_caller_only() -> None:
    """The watch may hold the reply for long: it holds neither the answer nor the caller's frames."""

    class Document:
        """Something large."""

    async def ask(reply: Reply) -> "weakref.ref[object]":
        local = Document()
        with pytest.raises(ValueError, match="no"):
            await reply.wait()
        return weakref.ref(local)

    answered, refused = Reply(), Reply()
    document = Document()
    answered.answer(document)
    refused.refuse(ValueError("no"))
    gc.disable()
    try:
        assert await answered.wait() is document
        gone = weakref.ref(document)
        del document
        assert gone() is None
        frames = await ask(refused)
        assert frames() is None
    finally:
        gc.enable()
