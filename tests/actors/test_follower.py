"""What every follower of the journal does: catch up, survive poison, wait for a full disk, snapshot."""

from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from coordinator.actors import follower
from coordinator.actors.clocks import utc_now
from coordinator.actors.follower import Follower, Output, wake
from coordinator.actors.messages import PollNow, Reconsider
from coordinator.edges.journal import Draft, Stored
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.rules.events import CycleFound, IssueDeleted, IssueObserved
from coordinator.runtime import ChildSpec, child
from tests.actors.stage import Stage, stage
from tests.rules.builders import observed, ref


class Counting(Follower):
    """Answers every observation with a deletion of the same issue; chokes on what it is told to."""

    name = "counting"
    poison: int | None = None
    seen: list[int]

    def __init__(self, journal: SqliteJournal, poison: set[int], saved: list[bytes]) -> None:
        super().__init__(journal)
        self.poisons = poison
        self.saved = saved
        self.folded: list[int] = []

    def fold(self, stored: Stored) -> None:
        match stored.event:
            case IssueObserved(facts=facts):
                self._choke(facts.ref.number)
                self.folded.append(facts.ref.number)
            case _:
                pass

    def _choke(self, number: int) -> None:
        if number in self.poisons:
            raise ZeroDivisionError(f"poison {number}")

    async def consider(self, stored: Stored, output: Output) -> None:
        match stored.event:
            case IssueObserved(facts=facts):
                self._choke(facts.ref.number)
                self.folded.append(facts.ref.number)
                output.events.append(Draft(IssueDeleted(facts.ref), stored.delivery))
            case _:
                pass

    def save(self) -> bytes:
        state = ",".join(map(str, self.folded)).encode()
        self.saved.append(state)
        return state

    def load(self, state: bytes) -> None:
        self.folded = [int(each) for each in state.decode().split(",") if each]

    def inspect(self) -> object:
        return {"folded": list(self.folded)}


def counting(
    poison: set[int], saved: list[bytes] | None = None
) -> Callable[[SqliteJournal], Sequence[ChildSpec]]:
    kept = saved if saved is not None else []
    return lambda journal: [child(Counting, journal, poison, kept, id="counting")]


async def answered(on: Stage) -> list[int]:
    return [e.event.ref.number for e in await on.events() if isinstance(e.event, IssueDeleted)]


async def test_a_poisonous_event_is_a_dead_letter_and_the_rest_goes_on(tmp_path: Path) -> None:
    """The event that crashes the actor twice is put aside with both reports; nothing else is lost."""
    async with stage(tmp_path, extra=counting({2})) as on:
        await on.tell("router", observed(1), observed(2), observed(3))
        await on.wait_for(IssueDeleted, lambda each: each.ref == ref(3))
        [letter] = await on.journal.dead_letters(actor="counting")
        assert letter.letter.item == 2
        assert "poison 2" in letter.letter.first_error
        assert "ZeroDivisionError" in letter.letter.second_error
        assert await answered(on) == [1, 3]


async def test_a_restart_passes_over_what_is_dead(tmp_path: Path) -> None:
    """A dead letter stays aside in later lives, where folding it would crash the start."""
    async with stage(tmp_path, extra=counting({2})) as on:
        await on.tell("router", observed(2), observed(3))
        await on.wait_for(IssueDeleted)
    async with stage(tmp_path, extra=counting({2})) as on:
        await on.tell("router", observed(4))
        await on.wait_for(IssueDeleted, lambda each: each.ref == ref(4))
        assert len(await on.journal.dead_letters()) == 1
        assert await answered(on) == [3, 4]


async def test_a_replayed_letter_is_considered_again(tmp_path: Path) -> None:
    """Once its cause is mended, the event is taken up on demand."""
    poison = {2}
    async with stage(tmp_path, extra=counting(poison)) as on:
        await on.tell("router", observed(2), observed(3))
        await on.wait_for(IssueDeleted)
        poison.clear()
        on.tree.ref("counting").cast_nowait(Reconsider(1))
        await on.wait_for(IssueDeleted, lambda each: each.ref == ref(2))
    async with stage(tmp_path, extra=counting(poison)) as on:
        await on.tell("router", observed(4))
        await on.wait_for(IssueDeleted, lambda each: each.ref == ref(4))
        assert sorted(await answered(on)) == [2, 3, 4]


async def test_a_replayed_letter_that_is_still_poison_is_buried_again(tmp_path: Path) -> None:
    """A replay without a mended cause costs two crashes and a second letter, and no later start."""
    async with stage(tmp_path, extra=counting({2})) as on:
        await on.tell("router", observed(2), observed(3))
        await on.wait_for(IssueDeleted)
        [letter] = await on.journal.dead_letters(actor="counting")
        await on.journal.replay_dead_letter(letter.id, utc_now())
        on.tree.ref("counting").cast_nowait(Reconsider(1))
        with trio.fail_after(60):
            while len(await on.journal.dead_letters(actor="counting")) < 2:  # noqa: ASYNC110
                await trio.sleep(0.01)
        await on.tell("router", observed(4))
        await on.wait_for(IssueDeleted, lambda each: each.ref == ref(4))
        newest = (await on.journal.dead_letters(actor="counting"))[0]
        assert (newest.letter.item, newest.replayed_at) == (1, None)
    async with stage(tmp_path, extra=counting({2})) as on:
        await on.tell("router", observed(5))
        await on.wait_for(IssueDeleted, lambda each: each.ref == ref(5))


async def test_a_hint_to_an_actor_that_is_stopped_for_good_is_lost_quietly(tmp_path: Path) -> None:
    """On the way down, actors wake others that are down already; that is no error."""
    async with stage(tmp_path, extra=counting(set())) as on:
        counted = on.tree.ref("counting")
        await on.tree.terminate_child("actors", "counting")
        wake(counted)
        assert not counted.alive


async def test_snapshots_shorten_the_way_back(tmp_path: Path) -> None:
    """A clean stop leaves a snapshot, and the next life starts from it, not from the first event."""
    saved: list[bytes] = []
    async with stage(tmp_path, extra=counting(set(), saved)) as on:
        await on.tell("router", *(observed(n) for n in range(1, 6)))
        await on.wait_for(IssueDeleted, lambda each: each.ref == ref(5))
    assert saved[-1] == b"1,2,3,4,5"
    async with stage(tmp_path, extra=counting(set())) as on:
        snapshot = await on.journal.snapshot("counting")
        assert snapshot is not None
        assert snapshot.cursor >= 5
        await on.tell("router", observed(6))
        await on.wait_for(IssueDeleted, lambda each: each.ref == ref(6))
        assert await answered(on) == [1, 2, 3, 4, 5, 6]


async def test_many_events_force_a_snapshot_while_running(tmp_path: Path) -> None:
    """Behind SNAPSHOT_EVERY events a snapshot is written without waiting for a stop."""
    saved: list[bytes] = []
    cycle = CycleFound((ref(1), ref(2)))
    async with stage(tmp_path, extra=counting(set(), saved)) as on:
        for _ in range(follower.SNAPSHOT_EVERY // 1_000 + 1):
            await on.tell("router", *([cycle] * 1_000))
        with trio.fail_after(60):
            while not saved:  # noqa: ASYNC110
                await trio.sleep(0.01)


async def test_an_unknown_message_is_refused_by_name(tmp_path: Path) -> None:
    """A message a follower does not know is dead-lettered, and the actor lives on."""
    async with stage(tmp_path, extra=counting(set())) as on:
        on.tree.ref("counting").cast_nowait(PollNow())
        await on.tell("router", observed(1))
        await on.wait_for(IssueDeleted)


async def test_a_crash_in_the_middle_of_a_batch_leaves_no_snapshot(tmp_path: Path) -> None:
    """A state that folded part of a batch it never committed is thrown away, not saved."""
    saved: list[bytes] = []
    async with stage(tmp_path, extra=counting({2}, saved)) as on:
        await on.tell("router", observed(1), observed(2), observed(3))
        await on.wait_for(IssueDeleted, lambda each: each.ref == ref(3))
        assert saved == []
    assert saved[-1] == b"1,3"
