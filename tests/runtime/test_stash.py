"""Messages put aside keep their order, their callers and their place in the books, whatever happens."""

from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import (
    Actor,
    ActorDown,
    ActorSpec,
    Backoff,
    Call,
    CallTimeout,
    Cast,
    Mailbox,
    MailboxFull,
    ReplyError,
    StashFull,
    Tree,
    child,
    open_tree,
    supervisor,
)
from coordinator.runtime.messages import Envelope
from coordinator.runtime.stash import Stash
from tests.runtime.stage import BoomError, Chronicle, is_conserved, settle


@dataclass(frozen=True, slots=True)
class Knock(Cast):
    who: str
    then: str = ""


@dataclass(frozen=True, slots=True)
class Ask(Call[str]):
    who: str


@dataclass(frozen=True, slots=True)
class Open(Cast):
    """Let in who waits, and whoever comes from now on."""


@dataclass
class Log:
    let_in: list[str] = field(default_factory=list)
    is_open: bool = False


class Door(Actor):
    """Stashes who comes before it is opened; forgets in each life that it was."""

    def __init__(self, log: Log) -> None:
        self.log = log
        log.is_open = False

    async def handle(self, message: Knock | Ask | Open) -> str | None:
        match message:
            case Open():
                self.log.is_open = True
                self.context.unstash_all()
            case Knock(who, then) if not self.log.is_open:
                self.context.stash()
                self.then(who, then)
            case Knock(who) | Ask(who) if self.log.is_open:
                self.log.let_in.append(who)
                return f"welcome {who}"
            case Ask():
                self.context.stash()
        return None

    def then(self, who: str, then: str) -> None:
        if then == "boom" and self.context.attempt == 1:
            raise BoomError(who)
        if then == "refuse":
            raise ReplyError(ValueError(who))
        if then == "unstash":
            self.context.unstash_all()


def door(log: Log, capacity: int = 64) -> ActorSpec:
    return child(Door, log, id="door", mailbox=Mailbox(capacity), backoff=Backoff(min_s=0.0, max_s=0.0))


def stashed(tree: Tree) -> int:
    return len(tree.ref("door")._cell.stash)


async def test_what_was_stashed_comes_before_the_queue_in_order() -> None:
    """Unstashed messages are handled as they came, and before those that were never put aside."""
    log = Log()
    async with open_tree(supervisor("root", door(log))) as tree:
        ref = tree.ref("door")
        for message in (Knock("a"), Knock("b"), Open(), Knock("c")):
            ref.cast_nowait(message)
        await settle()
        assert log.let_in == ["a", "b", "c"]
        assert (stashed(tree), tree.depths()) == (0, {"door": 0})
        assert is_conserved(tree)


async def test_a_stashed_message_is_neither_handled_nor_lost() -> None:
    """Until it is unstashed it is in the books as accepted and not as acknowledged."""
    log = Log()
    async with open_tree(supervisor("root", door(log))) as tree:
        tree.ref("door").cast_nowait(Knock("a"))
        await settle()
        mailbox = tree.dump().find("door").mailbox
        assert mailbox is not None
        assert (mailbox.counters["accepted"], mailbox.counters["acked"]) == (1, 0)
        assert (stashed(tree), tree.dump().find("door").handled) == (1, 0)
        assert is_conserved(tree)


async def test_the_caller_of_a_stashed_call_waits_and_is_answered() -> None:
    """Its answer is that of the second time, when the message is really handled."""
    log, answers = Log(), list[str]()
    async with open_tree(supervisor("root", door(log))) as tree, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await tree.ref("door").call(Ask("x")))

        nursery.start_soon(ask)
        await settle()
        assert (answers, stashed(tree)) == ([], 1)
        await tree.ref("door").cast(Open())
        await settle()
        assert answers == ["welcome x"]


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_stashed_call_whose_caller_gave_up_is_expired(
    autojump_clock: MockClock, is_open: bool
) -> None:
    """It is never handled, whether it is still stashed or waits at the front of a suspended actor."""
    log = Log()
    async with open_tree(supervisor("root", door(log))) as tree, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(CallTimeout):
                await tree.ref("door").call(Ask("x"), timeout_s=1)

        nursery.start_soon(ask)
        await settle()
        assert stashed(tree) == 1
        if is_open:
            tree.ref("door")._cell.stash.take_up()
            tree.ref("door")._cell.suspend()
        await trio.sleep(2)
        mailbox = tree.dump().find("door").mailbox
        assert mailbox is not None
        assert (mailbox.counters["expired"], stashed(tree)) == (1, 0)
        assert is_conserved(tree)


async def test_the_stash_is_bounded() -> None:
    """One more than the mailbox holds raises in the handler; the crash is the message's own."""
    log, chronicle = Log(), Chronicle()
    spec = supervisor("root", door(log, capacity=2))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        for who in "abc":
            await tree.ref("door").cast(Knock(who))
            await settle()
        assert chronicle.crashes[0].error.type == StashFull.__name__
        assert chronicle.crashes[0].message == "Knock(who='c', then='')"
        assert is_conserved(tree)


async def test_a_crash_after_stashing_is_a_crash() -> None:
    """The message was still in hand: it comes first in the next life, and the whole stash after it."""
    log, chronicle = Log(), Chronicle()
    async with open_tree(supervisor("root", door(log)), hooks=chronicle.hooks()) as tree:
        tree.ref("door").cast_nowait(Knock("a"))
        tree.ref("door").cast_nowait(Knock("b", then="boom"))
        tree.ref("door").cast_nowait(Knock("c"))
        await settle()
        assert (len(chronicle.crashes), stashed(tree)) == (1, 3)
        assert is_conserved(tree)
        await tree.ref("door").cast(Open())
        await settle()
        assert log.let_in == ["b", "a", "c"]
        assert is_conserved(tree)


async def test_a_restart_unstashes() -> None:
    """The next life sees again what the last one put aside, first of all, and may decide otherwise."""
    log = Log()
    async with open_tree(supervisor("root", door(log))) as tree:
        tree.ref("door").cast_nowait(Knock("a"))
        tree.ref("door").cast_nowait(Knock("b"))
        await settle()
        tree.kill("door")
        tree.ref("door").cast_nowait(Open())
        await settle()
        assert (tree.dump().find("door").incarnation, log.let_in) == (2, ["a", "b"])
        assert is_conserved(tree)


async def test_a_final_stop_returns_the_stash() -> None:
    """In order, before what is still queued; a caller is told."""
    log, chronicle, told = Log(), Chronicle(), list[str]()
    spec = supervisor("root", door(log))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(ActorDown):
                await tree.ref("door").call(Ask("caller"))
            told.append("caller")

        tree.ref("door").cast_nowait(Knock("a"))
        await settle()
        nursery.start_soon(ask)
        await settle()
        tree.ref("door")._cell.suspend()
        tree.ref("door").cast_nowait(Knock("queued"))
        await tree.terminate_child("root", "door")
        assert [m for _, m in chronicle.returned] == [Knock("a"), Ask("caller"), Knock("queued")]
        assert is_conserved(tree)
    assert told == ["caller"]


async def test_refusing_settles_a_message_that_was_to_be_stashed() -> None:
    """A handler that stashes and then raises ReplyError has answered."""
    log = Log()
    async with open_tree(supervisor("root", door(log))) as tree:
        await tree.ref("door").cast(Knock("a", then="refuse"))
        await settle()
        assert (stashed(tree), tree.dump().find("door").handled) == (0, 1)
        assert is_conserved(tree)


async def test_a_handler_that_unstashes_and_stashes_does_both() -> None:
    """What was put aside before comes back, the message in hand goes aside after it."""
    log = Log()
    async with open_tree(supervisor("root", door(log))) as tree:
        for message in (Knock("a"), Knock("b", then="unstash")):
            await tree.ref("door").cast(message)
        await settle()
        assert is_conserved(tree)
        await tree.ref("door").cast(Open())
        await settle()
        assert log.let_in == ["b", "a"]


async def test_only_a_message_in_hand_can_be_stashed() -> None:
    """Between messages there is nothing to put aside."""
    async with open_tree(supervisor("root", door(Log()))) as tree:
        with pytest.raises(RuntimeError, match="no message in hand"):
            tree.ref("door")._cell.ask_stash()


async def test_unstashed_messages_do_not_make_the_mailbox_larger() -> None:
    """The queue has its bound, the stash and its front have the same one together."""
    log = Log()
    async with open_tree(supervisor("root", door(log, capacity=2))) as tree:
        ref = tree.ref("door")
        for who in "ab":
            await ref.cast(Knock(who))
        await settle()
        ref._cell.suspend()
        ref._cell.stash.take_up()
        for who in "cd":
            ref.cast_nowait(Knock(who))
        with pytest.raises(MailboxFull):
            ref.cast_nowait(Knock("e"))
        assert tree.depths() == {"door": 4}
        ref._cell.resume()
        await settle()
        assert is_conserved(tree)


def test_taking_up_puts_the_older_before_the_younger() -> None:
    """What is put aside while others wait at the front came before them, and goes back before them."""
    stash, envelopes = Stash(), [Envelope(Knock(who), 0.0) for who in "abcd"]
    for envelope in envelopes:
        stash.put(envelope)
    stash.take_up()
    stash.put(stash.front.popleft())
    stash.put(stash.front.popleft())
    assert (len(stash), stash.held) == (2, 4)
    assert stash.clear() == envelopes
    assert (len(stash), stash.held) == (0, 0)
