"""The queue keeps order, bounds and books, whatever happens to its actor."""

from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coordinator.runtime import ActorDown, Cast, Mailbox, MailboxFull
from coordinator.runtime.mailbox import Queue
from coordinator.runtime.messages import Envelope, Reply
from coordinator.runtime.spec import FullPolicy
from tests.runtime.stage import Echo, Say, settle


@dataclass(frozen=True)
class Unhashable(Cast):
    words: list[str] = field(default_factory=list)


def queue(capacity: int = 2, full: FullPolicy = "wait", lost: list[object] | None = None) -> Queue:
    return Queue("a", Mailbox(capacity, full), (lost if lost is not None else []).append)


def letter(word: str, at: float = 0.0) -> Envelope:
    return Envelope(Say(word), at)


def call(word: str) -> Envelope:
    return Envelope(Echo(word), 0.0, Reply())


async def put(box: Queue, envelope: Envelope) -> None:
    """As a sender under policy "wait" does."""
    if not box.admit_if_room(envelope):
        await box.wait_for_room(envelope)


def words(box: Queue) -> list[str]:
    taken = []
    while (envelope := box.take()) is not None:
        assert isinstance(envelope.message, Say | Echo)
        taken.append(envelope.message.word)
    return taken


@pytest.mark.parametrize("full", ["wait", "reject"])
def test_a_full_queue_refuses_without_waiting(full: FullPolicy) -> None:
    """Neither policy drops anything: the sender hears that there is no room."""
    box = queue(1, full)
    box.offer(letter("first"))
    with pytest.raises(MailboxFull, match="holds 1 messages"):
        box.offer(letter("second"))
    assert (box.counters.accepted, box.counters.refused) == (1, 1)
    assert words(box) == ["first"]


def test_drop_newest_keeps_what_is_there() -> None:
    """The new message goes, is reported, and never counts as accepted."""
    lost = list[object]()
    box = queue(1, "drop_newest", lost)
    assert box.offer(letter("first"))
    assert not box.offer(letter("second"))
    assert (words(box), lost, box.counters.accepted) == (["first"], [Say("second")], 1)


def test_drop_oldest_keeps_the_newest() -> None:
    """The oldest message goes, is reported, and counts as dropped."""
    lost = list[object]()
    box = queue(2, "drop_oldest", lost)
    for word in ("first", "second", "third"):
        assert box.offer(letter(word))
    assert (words(box), lost) == (["second", "third"], [Say("first")])
    assert (box.counters.accepted, box.counters.dropped) == (3, 1)


@pytest.mark.parametrize("full", ["drop_oldest", "drop_newest"])
def test_who_hears_of_a_drop_may_cause_another(full: FullPolicy) -> None:
    """A hook that casts to the full queue drops one more, which is booked and not told again."""
    told = list[object]()

    def complain(message: object) -> None:
        told.append(message)
        box.offer(letter(f"lost {message}"))

    box = Queue("a", Mailbox(1, full), complain)
    for word in ("first", "second", "third"):
        box.offer(letter(word))
    assert len(told) == 2
    assert len(box) == 1
    lost = box.counters.dropped if full == "drop_oldest" else box.counters.refused
    assert (lost, box.counters.left_over()) == (4, 1)


async def test_a_dropped_call_is_told() -> None:
    """The caller of a message the policy drops need not wait for its timeout."""
    box, waiting = queue(1, "drop_oldest"), call("first")
    box.offer(waiting)
    box.offer(letter("second"))
    assert waiting.reply is not None
    with pytest.raises(MailboxFull):
        await waiting.reply.wait()


async def test_senders_wait_in_line() -> None:
    """Blocked senders get in first come, first served, before anybody who comes later."""
    box = queue(1)
    box.offer(letter("0"))
    async with trio.open_nursery() as nursery:
        for word in "123":
            nursery.start_soon(put, box, letter(word))
            await settle()
        assert box.senders_waiting == 3
        with pytest.raises(MailboxFull):
            box.offer(letter("pusher"))
        assert words(box) == ["0", "1", "2", "3"]


async def test_a_cancelled_sender_leaves_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """A sender that gives up is out of the line and its message was never accepted."""
    box = queue(1)
    box.offer(letter("0"))
    with trio.move_on_after(1):
        await put(box, letter("1"))
    assert box.senders_waiting == 0
    assert words(box) == ["0"]
    assert box.counters.accepted == 1


async def test_closing_returns_the_queue_and_turns_senders_away() -> None:
    """What was queued comes back in order; who waited for room hears that the actor is down."""
    box, refused = queue(1), list[str]()
    box.offer(letter("0"))

    async def send() -> None:
        with pytest.raises(ActorDown, match="shutdown"):
            await put(box, letter("1"))
        refused.append("1")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await settle()
        left = box.close("shutdown")
    assert [e.message for e in left] == [Say("0")]
    assert (refused, box.counters.returned, len(box)) == (["1"], 1, 0)


async def test_who_may_stay_keeps_its_place_in_the_line() -> None:
    """Of those who wait for room the others are turned away, and its message gets in next."""
    box, ends, tasks = queue(1), list[str](), list[trio.lowlevel.Task]()
    box.offer(letter("0"))

    async def send(word: str) -> None:
        tasks.append(trio.lowlevel.current_task())
        try:
            await put(box, letter(word))
            ends.append(f"{word} is in")
        except ActorDown:
            ends.append(f"{word} is refused")

    async with trio.open_nursery() as nursery:
        for word in "12":
            nursery.start_soon(send, word)
            await settle()
        box.turn_away("draining", but=lambda task: task is tasks[1])
        await settle()
        assert (ends, box.senders_waiting) == (["1 is refused"], 1)
        box.take()
    assert ends[1:] == ["2 is in"]


async def test_withdrawing_a_call_makes_room() -> None:
    """A call whose caller gave up leaves the queue, and the next sender gets its place."""
    box, given_up = queue(1), call("given up")
    box.offer(given_up)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, box, letter("next"))
        await settle()
        assert box.withdraw(given_up)
    assert not box.withdraw(given_up)
    assert words(box) == ["next"]
    assert box.counters.expired == 1


def test_equal_casts_are_recognised() -> None:
    """An equal cast counts while it is queued, an equal call never does."""
    box = queue(9)
    box.offer(letter("x"))
    box.offer(call("y"))
    assert box.holds_equal(Say("x"))
    assert not box.holds_equal(Echo("y"))
    box.offer(letter("x"))
    box.take()
    assert box.holds_equal(Say("x"))
    words(box)
    assert not box.holds_equal(Say("x"))


def test_unhashable_messages_are_compared_one_by_one() -> None:
    """A message that cannot be hashed is still found, and does not disturb the count of others."""
    box = queue(9)
    assert not box.holds_equal(Say("x"))
    box.offer(Envelope(Unhashable(["x"]), 0.0))
    assert box.holds_equal(Unhashable(["x"]))
    assert not box.holds_equal(Unhashable(["y"]))


def test_the_oldest_age() -> None:
    """It is that of the head of the queue."""
    box = queue()
    assert box.oldest_age_s(9.0) is None
    box.offer(letter("x", 3.0))
    box.offer(letter("y", 5.0))
    assert box.oldest_age_s(9.0) == 6.0


class QueueMachine(RuleBasedStateMachine):
    """Whatever is put, taken, withdrawn and dropped: the queue agrees with a list and its books."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: list[object] = []
        self.box: Queue | None = None
        self.model: list[Envelope] = []
        self.taken = 0

    @precondition(lambda self: self.box is None)
    @rule(
        capacity=st.integers(1, 4),
        full=st.sampled_from(["wait", "reject", "drop_oldest", "drop_newest"]),
    )
    def create(self, capacity: int, full: FullPolicy) -> None:
        self.box = Queue("a", Mailbox(capacity, full), self.lost.append)

    @precondition(lambda self: self.box is not None)
    @rule(word=st.sampled_from("xyz"), is_call=st.booleans())
    def offer(self, word: str, is_call: bool) -> None:
        assert self.box is not None
        envelope = call(word) if is_call else letter(word)
        is_full = len(self.model) >= self.box.mailbox.capacity
        match self.box.mailbox.full:
            case "wait" | "reject" if is_full:
                with pytest.raises(MailboxFull):
                    self.box.offer(envelope)
                return
            case "drop_newest" if is_full:
                assert not self.box.offer(envelope)
                return
            case "drop_oldest" if is_full:
                self.model.pop(0)
        assert self.box.offer(envelope)
        self.model.append(envelope)

    @precondition(lambda self: self.box is not None)
    @rule()
    def take(self) -> None:
        assert self.box is not None
        expected = self.model.pop(0) if self.model else None
        assert self.box.take() is expected
        self.taken += expected is not None

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        assert self.box is not None
        assert self.box.withdraw(self.model.pop(data.draw(st.integers(0, len(self.model) - 1))))

    @precondition(lambda self: self.box is not None)
    @rule(word=st.sampled_from("xyz"))
    def coalesce(self, word: str) -> None:
        assert self.box is not None
        expected = any(e.message == Say(word) for e in self.model)
        assert self.box.holds_equal(Say(word)) == expected

    @invariant()
    def law_of_conservation(self) -> None:
        if self.box is not None:
            assert len(self.box) == len(self.model) <= self.box.mailbox.capacity
            assert self.box.counters.left_over() == len(self.box) + self.taken

    def teardown(self) -> None:
        if self.box is not None:
            assert self.box.close("end") == self.model
            assert self.box.counters.left_over() == self.taken


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestQueue = QueueMachine.TestCase


class Fickle(Cast):
    """Its hash can be taken so often, and then raises."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __hash__(self) -> int:
        self.times -= 1
        if self.times < 0:
            raise RuntimeError("hash")
        return 7

    def __eq__(self, other: object) -> bool:
        return self is other


@pytest.mark.parametrize("times", range(6))
def test_a_hash_that_raises_loses_no_message(times: int) -> None:
    """Whenever the hash of a message breaks, all messages come out, in order."""
    box = queue(8)
    assert not box.holds_equal(Say("one"))  # from here on equal messages are counted
    sent = [Envelope(message, 0.0) for message in (Say("one"), Fickle(times), Say("two"))]
    assert all(box.admit_if_room(envelope) for envelope in sent)
    assert [box.take() for _ in sent] == sent
    assert (len(box), box.counters.accepted) == (0, 3)
