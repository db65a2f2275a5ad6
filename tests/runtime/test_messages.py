"""Replies land once, and reports of messages stay small."""

import pytest
import trio
import trio.testing

from coordinator.runtime.messages import Envelope, Reply, brief
from tests.runtime.stage import Say, settle


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
