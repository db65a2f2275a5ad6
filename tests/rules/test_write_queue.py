"""Issues are written soon after a change, one at a time, ever more seldom, and around what fails."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.ids import IssueRef
from coordinator.rules.write_queue import MAX_RESTING, WriteQueue, WritingPace
from tests.rules.builders import ref

PACE = WritingPace(debounce_s=2.0, interval_s=5.0, max_interval_s=60.0, concurrency=2)
API = IssueRef("acme/api", 1)


def queue(pace: WritingPace = PACE) -> WriteQueue:
    return WriteQueue(pace)


def test_a_burst_is_one_look_two_seconds_after_its_first_event() -> None:
    """Later touches neither add a look nor put it off."""
    q = queue()
    assert (q.next_in_s(0.0), q.oldest_s(0.0), len(q)) == (None, None, 0)
    for now in (0.0, 0.5, 1.9):
        q.touch(ref(1), now)
    assert (q.next_in_s(1.5), q.oldest_s(1.5), len(q)) == (0.5, 1.5, 1)
    assert q.take(1.9) == []
    assert q.take(2.0) == [ref(1)]
    assert q.take(9.0) == []
    q.settled(ref(1))
    assert (q.next_in_s(9.0), q.oldest_s(9.0)) == (None, None)


def test_somebody_who_asks_is_served_at_once() -> None:
    """Also an issue that rests, and one that is being written."""
    q = queue()
    q.touch(ref(1), 0.0)
    q.touch(ref(1), 0.1, within_s=0.0)
    assert q.take(0.1) == [ref(1)]
    q.touch(ref(1), 0.2, within_s=0.0)
    q.written(ref(1), 0.3)
    assert q.take(0.3) == [ref(1)]


def test_who_asks_is_no_churn() -> None:
    """A person's commands are answered within a moment each, and what they lead to is shown after the
    shortest rest, however many they are."""
    q, now = queue(), 0.0
    for _ in range(6):
        q.touch(ref(1), now, within_s=1.0)
        assert q.take(now + 0.9) == []
        now += 1.0
        assert q.take(now) == [ref(1)]
        q.touch(ref(1), now)
        q.written(ref(1), now)
        assert q.next_in_s(now) == 5.0
    q.touch(ref(2), now, within_s=0.0)
    q.take(now)
    q.forget(ref(2))
    assert not q._answering


def test_what_came_too_early_is_looked_at_again_in_a_moment() -> None:
    """Nothing was written, and it is an answer still."""
    q = queue()
    q.touch(ref(1), 0.0, within_s=0.0)
    assert q.take(0.0) == [ref(1)]
    q.put_back(ref(1), 0.1, 0.0)
    assert q.next_in_s(0.0) == 0.1
    assert q.take(0.1) == [ref(1)]
    q.written(ref(1), 0.1)
    assert not q._answering


def test_an_issue_that_fails_alone_holds_up_nobody() -> None:
    """It rests ever longer, whatever touches it; its repository goes on; what ends it ends the rest."""
    q = queue()
    for number in (1, 2):
        q.touch(ref(number), 0.0)
    q.take(2.0)
    q.failed(ref(1), 2.0, "500", alone=True)
    q.written(ref(2), 2.0)
    assert list(q.failing()) == [("acme/widgets#1", 1, "500")]
    q.touch(ref(1), 2.1, within_s=0.0)
    q.touch(ref(3), 2.1, within_s=0.0)
    assert q.take(2.1) == [ref(3)]
    q.written(ref(3), 2.1)
    assert q.take(2.9) == []
    assert q.take(3.0) == [ref(1)]
    q.failed(ref(1), 3.0, "500", alone=True, wait_s=30.0)
    assert q.next_in_s(3.0) == 30.0
    assert q.take(33.0) == [ref(1)]
    q.failed(ref(1), 33.0, "500", alone=True)
    assert (q.next_in_s(33.0), list(q.failing())) == (4.0, [("acme/widgets#1", 3, "500")])
    assert q.take(37.0) == [ref(1)]
    q.written(ref(1), 37.0)
    assert list(q.failing()) == []
    for end in (q.settled, q.forget):
        q.touch(ref(4), 40.0, within_s=0.0)
        q.take(99.0)
        q.failed(ref(4), 99.0, "500", alone=True)
        q.take(200.0)
        end(ref(4))
        assert list(q.failing()) == []


def test_one_write_per_issue_at_a_time() -> None:
    """What is touched while it is written comes again, after its rest."""
    q = queue()
    q.touch(ref(1), 0.0)
    assert q.take(2.0) == [ref(1)]
    q.touch(ref(1), 2.1)
    assert q.take(60.0) == []
    q.written(ref(1), 60.0)
    assert q.next_in_s(60.0) == 5.0
    assert q.take(65.0) == [ref(1)]


def test_so_many_at_once_and_the_rest_in_line() -> None:
    """While both hands are full there is nothing to wait for."""
    q = queue()
    for number in (1, 2, 3):
        q.touch(ref(number), float(number))
    assert q.take(9.0) == [ref(1), ref(2)]
    assert q.next_in_s(9.0) is None
    q.settled(ref(2))
    assert q.next_in_s(9.0) == 0.0
    assert q.take(9.0) == [ref(3)]


def test_churn_is_written_ever_more_seldom_up_to_a_minute() -> None:
    """The interval doubles while the issue keeps changing, and is forgotten when it is calm."""
    q = queue()
    now, instants = 0.0, []
    q.touch(ref(1), now)
    for _ in range(8):
        wait_s = q.next_in_s(now)
        assert wait_s is not None
        now += wait_s
        assert q.take(now) == [ref(1)]
        q.touch(ref(1), now)
        q.written(ref(1), now)
        instants.append(now)
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    assert gaps == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]
    assert q.take(now + 60.0) == [ref(1)]
    q.settled(ref(1))
    q.touch(ref(1), now + 500.0)
    assert q.take(now + 502.0) == [ref(1)]
    q.written(ref(1), now + 502.0)
    q.touch(ref(1), now + 502.0)
    assert q.next_in_s(now + 502.0) == 5.0


def test_a_repository_that_fails_rests_alone_and_is_probed_by_one_issue() -> None:
    """The others of it are held until the probe has succeeded; other repositories go on."""
    q = queue()
    for each in (ref(1), ref(2)):
        q.touch(each, 0.0)
    assert q.take(2.0) == [ref(1), ref(2)]
    q.failed(ref(1), 2.0, "down")
    q.failed(ref(2), 2.0, "still down")
    q.touch(ref(3), 2.0)
    q.touch(API, 2.0)
    assert list(q.failing()) == [("acme/widgets", 2, "still down")]
    assert q.take(3.9) == []
    assert q.next_in_s(3.5) == 0.5
    api, probe = q.take(4.0)
    assert (api, probe.repo) == (API, "acme/widgets")
    q.settled(api)
    assert q.take(5.0) == []
    assert q.next_in_s(5.0) is None
    q.failed(probe, 5.0, "down", wait_s=30.0)
    assert q.next_in_s(5.0) == 30.0
    [probe] = q.take(35.0)
    q.written(probe, 35.0)
    assert list(q.failing()) == []
    rest = {*q.take(36.0)}
    assert len(rest) == 2
    assert rest | {probe} == {ref(1), ref(2), ref(3)}


def test_a_probe_with_nothing_to_write_passes_its_turn_on() -> None:
    """Nothing was learnt of the repository: the next one tries."""
    q = queue()
    for each in (ref(1), ref(2)):
        q.touch(each, 0.0)
    first, second = q.take(2.0)
    q.failed(first, 2.0, "down")
    q.failed(second, 2.0, "down")
    [probe] = q.take(10.0)
    q.settled(probe)
    [other] = q.take(10.0)
    assert {probe, other} == {ref(1), ref(2)}


def test_a_deleted_issue_is_out_of_the_line() -> None:
    """Due, held or about to probe: it holds nobody up."""
    q = queue(WritingPace(concurrency=1))
    for each in (ref(1), ref(2)):
        q.touch(each, 0.0)
    assert q.take(2.0) == [ref(1)]
    q.failed(ref(1), 2.0, "down")
    assert q.take(2.5) == []
    assert q.next_in_s(2.5) == 0.5
    q.touch(API, 0.0, within_s=0.0)
    assert q.take(2.5) == [API]
    assert q.take(3.0) == []  # one of the two is the probe now, and has no room
    q.forget(ref(1))
    q.settled(API)
    assert q.take(3.0) == [ref(2)]
    q.forget(ref(9))
    assert len(q) == 0


def test_held_issues_that_were_deleted_are_not_revived() -> None:
    """A recovery brings back only what is still due."""
    q = queue()
    for number in (1, 2):
        q.touch(ref(number), 0.0)
    q.take(2.0)
    q.failed(ref(1), 2.0, "down")
    q.written(ref(2), 2.1)
    q.touch(ref(3), 2.1)
    assert q.take(2.2) == [ref(1)]
    q.failed(ref(1), 2.3, "down")
    q.touch(ref(2), 2.3, within_s=0.0)
    assert q.take(2.4) == []
    q.forget(ref(2))
    assert q.take(3.3) == [ref(1)]
    q.touch(ref(4), 3.3, within_s=0.0)
    assert q.take(3.4) == []
    q.forget(ref(4))
    q.written(ref(1), 3.5)
    assert q.take(4.2) == [ref(3)]


def test_rests_that_are_over_are_forgotten() -> None:
    """Ten thousand issues once written are not remembered for ever."""
    q = queue()
    for number in range(1, MAX_RESTING + 2):
        q.touch(ref(number), 0.0, within_s=0.0)
        q.take(0.0)
        q.written(ref(number), 0.0)
    assert len(q._rest) == MAX_RESTING + 1
    q.touch(ref(1), 100.0, within_s=0.0)
    q.take(100.0)
    q.written(ref(1), 100.0)
    assert len(q._rest) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["touch", "once", "write", "settle", "fail", "stumble", "early", "forget"]),
            st.integers(0, 5),
        ),
        max_size=60,
    )
)
def test_every_touched_issue_is_looked_at_in_the_end(steps: list[tuple[str, int]]) -> None:
    """Whatever succeeds, fails or vanishes: one write at a time of each, few of all, none forgotten."""
    q, now = queue(), 0.0
    owed: set[IssueRef] = set()
    refs = [ref(1), ref(2), ref(3), API, IssueRef("acme/api", 2), IssueRef("acme/api", 3)]

    def take() -> None:
        taken = q.take(now)
        assert len(q.busy) <= PACE.concurrency
        assert len(set(taken)) == len(taken)
        owed.difference_update(taken)

    for step, number in steps:
        now += 1.0
        each = refs[number]
        match step:
            case "touch" | "once":
                q.touch(each, now, within_s=0.0 if step == "once" else None)
                owed.add(each)
            case "forget":
                q.forget(each)
                owed.discard(each)
            case _ if each in q.busy:
                if step == "write":
                    q.written(each, now)
                elif step == "settle":
                    q.settled(each)
                elif step == "early":
                    q.put_back(each, now + 0.1, now)
                    owed.add(each)
                else:
                    q.failed(each, now, "down", alone=step == "stumble")
                    owed.add(each)
        take()
    for _ in range(60):
        for each in sorted(q.busy):
            q.written(each, now)
        now += q.next_in_s(now) or 0.0
        take()
    assert not owed
    assert not len(q)


def test_a_slow_repository_leaves_room_for_others() -> None:
    """However many of its issues were due first, some places are never its own."""
    q = queue(WritingPace(debounce_s=0.0))
    for number in range(1, 11):
        q.touch(ref(number), 0.0)
    q.touch(API, 1.0)
    assert q.take(1.0) == [ref(1), ref(2), API]
    assert (q.take(2.0), q.next_in_s(2.0), len(q)) == ([], None, 8)
    q.written(ref(1), 3.0)
    assert q.take(3.0) == [ref(3)]
    q.settled(API)
    assert q.take(4.0) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("touch", "take", "settled", "written", "failed", "forget")),
            st.integers(1, 6),
        ),
        max_size=60,
    )
)
def test_nothing_waits_for_a_place_for_ever(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, all that is due is taken once everything else has ended, and
    no repository ever has more than its places."""
    q, now = queue(WritingPace(debounce_s=0.0, concurrency=3, per_repository=1)), 0.0
    refs = {number: ref(number) if number % 2 else IssueRef("acme/api", number) for number in range(7)}
    for what, number in steps:
        now += 0.5
        match what:
            case "touch":
                q.touch(refs[number], now)
            case "forget":
                q.forget(refs[number])
            case "failed" if refs[number] in q.busy:
                q.failed(refs[number], now, "away")
            case "written" if refs[number] in q.busy:
                q.written(refs[number], now)
            case "settled" if refs[number] in q.busy:
                q.settled(refs[number])
            case "take":
                q.take(now)
        assert len({each.repo for each in q.busy}) == len(q.busy)
    for _ in range(40):
        now += 200.0
        for each in sorted(q.busy):
            q.written(each, now)
        q.take(now)
    assert (len(q), q.busy, q.next_in_s(now)) == (0, set(), None)


def test_a_place_that_nobody_took_is_given_on() -> None:
    """The one that was let in is deleted before its turn: the next comes in its place."""
    q = queue(WritingPace(debounce_s=0.0, per_repository=1))
    for number in (1, 2, 3):
        q.touch(ref(number), 0.0)
    assert q.take(0.0) == [ref(1)]
    q.settled(ref(1))
    q.forget(ref(2))
    assert q.take(1.0) == [ref(3)]


def test_the_next_of_a_crowd_takes_the_place_of_one_that_is_gone() -> None:
    """Who waited for a place and was deleted does not take it."""
    q = queue(WritingPace(debounce_s=0.0, per_repository=1))
    for number in (1, 2, 3):
        q.touch(ref(number), 0.0)
    assert q.take(0.0) == [ref(1)]
    q.forget(ref(2))
    q.settled(ref(1))
    assert q.take(0.0) == [ref(3)]
