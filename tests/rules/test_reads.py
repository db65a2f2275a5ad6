"""Reads are coalesced, bounded and retried; none is lost and no repository waits for another."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.backoff import backoff_s
from coordinator.rules.ids import IssueRef, Login
from coordinator.rules.orders import ReadIssue, ReadWhy
from coordinator.rules.reads import (
    CONCURRENCY,
    PER_REPOSITORY,
    WINDOW_S,
    Read,
    ReadQueue,
)

MARIA, AGENT = Login("maria"), Login("bot")


def order(
    number: int,
    nonce: int = 0,
    *,
    why: ReadWhy = "delivery",
    repo: str = "a/a",
    by: Login | None = None,
    action: str = "edited",
) -> ReadIssue:
    return ReadIssue(IssueRef(repo, number), 1, repo, why, str(nonce), action, by)


def numbers(reads: list[Read]) -> list[int]:
    return [read.ref.number for read in reads]


def test_a_burst_costs_one_read() -> None:
    """Ten asks within the window are answered by one read, sent a window after the first."""
    queue = ReadQueue()
    for each in range(10):
        queue.ask(each, order(1, each), each * 0.005)
    assert queue.next_s() == WINDOW_S
    assert queue.due(WINDOW_S - 0.001) == []
    [read] = queue.due(WINDOW_S)
    assert read.order_ids == tuple(range(10))
    assert queue.in_flight == (read.ref,)
    assert queue.done(read.ref) == read.order_ids
    assert queue.next_s() is None
    assert (len(queue), len(queue.in_flight)) == (0, 0)


def test_what_is_asked_during_a_read_needs_one_more() -> None:
    """The answer under way may be older than the ask, and never are two reads of one issue sent."""
    queue = ReadQueue()
    queue.ask(1, order(1), 0)
    [first] = queue.due(1)
    queue.ask(2, order(1, 2), 1)
    queue.ask(1, order(1), 1)
    assert queue.due(5) == []
    assert queue.next_s() is None
    assert queue.done(first.ref) == (1,)
    [again] = queue.due(5)
    assert again.order_ids == (2,)


def test_what_is_to_be_read_can_be_told() -> None:
    """An issue is awaited until its read is sent, and pending until that is answered."""
    queue = ReadQueue()
    ref = IssueRef("a/a", 1)
    assert (queue.awaits(ref), queue.pending("a/a")) == (False, 0)
    queue.ask(1, order(1), 0)
    queue.ask(2, order(2), 0)
    assert (queue.awaits(ref), queue.awaits(IssueRef("a/a", 3)), queue.pending("a/a")) == (
        True,
        False,
        2,
    )
    queue.due(1)
    queue.ask(3, order(1, 3), 1)
    assert queue.pending("a/a") == 2
    queue.done(ref)
    assert (queue.awaits(ref), queue.pending("a/a")) == (True, 2)


def test_room_is_bounded_and_shared() -> None:
    """No more than so many reads at once, of one repository no more than half."""
    queue = ReadQueue(window_s=0)
    for number in range(20):
        queue.ask(number, order(number), 0)
        queue.ask(100 + number, order(number, repo="b/b"), 0)
        queue.ask(200 + number, order(number, repo="c/c"), 0)
    reads = queue.due(0)
    assert len(reads) == CONCURRENCY
    assert {sum(read.ref.repo == repo for read in reads) for repo in ("a/a", "b/b", "c/c")} <= {2, 3}
    assert queue.next_s() is None
    alone = ReadQueue(window_s=0)
    for number in range(20):
        alone.ask(number, order(number), 0)
    assert len(alone.due(0)) == PER_REPOSITORY
    assert alone.next_s() is None


def test_a_failing_repository_backs_off_alone() -> None:
    """Its reads wait twice as long each time, then one tries; others go on meanwhile."""
    queue = ReadQueue(window_s=0)
    queue.ask(1, order(1), 0)
    queue.ask(2, order(2), 0)
    first = queue.due(0)
    for read in first:
        queue.failed(read.ref, 0)
    assert queue.failing == {"a/a": 1}, "failing together counts once"
    queue.ask(3, order(3, repo="b/b"), 0)
    assert numbers(queue.due(0.5)) == [3]
    assert queue.next_s() == 1.0
    [probe] = queue.due(1.0)
    assert queue.next_s() is None
    queue.failed(probe.ref, 1.0)
    assert (queue.failing, queue.next_s()) == ({"a/a": 2}, 3.0)
    [probe] = queue.due(3.0)
    queue.done(probe.ref)
    assert (queue.failing, len(queue.due(3.0))) == ({}, 1)


def test_one_unusable_answer_holds_back_one_issue() -> None:
    """When only an issue cannot be read, the rest of its repository is read as ever."""
    queue = ReadQueue(window_s=0)
    queue.ask(1, order(1), 0)
    [read] = queue.due(0)
    queue.ask(2, order(1, 2), 0)
    queue.failed(read.ref, 0, alone=True)
    queue.ask(3, order(2), 0)
    assert queue.failing == {}
    assert numbers(queue.due(0)) == [2]
    assert queue.due(0.9) == []
    [again] = queue.due(1.0)
    assert again.order_ids == (1, 2)
    queue.failed(again.ref, 1.0, alone=True)
    assert queue.next_s() == 3.0


def test_a_read_counts_as_the_delivery_that_asked_for_it() -> None:
    """Whoever else asked: what a delivery told of was not missed; and a person goes before an agent."""
    read = Read(
        IssueRef("a/a", 1),
        (
            (1, order(1, why="sweep")),
            (2, order(1, by=MARIA, action="closed")),
            (3, order(1, by=AGENT, action="label_updated")),
            (4, order(1, why="blocks")),
        ),
    )
    assert (read.why, read.action) == ("delivery", "label_updated")
    assert (read.by([AGENT]), read.by([]), read.by([AGENT, MARIA])) == (MARIA, AGENT, AGENT)
    assert read.latest.why == "blocks"
    swept = Read(read.ref, read.orders[:1])
    assert (swept.why, swept.action, swept.by([])) == ("sweep", "read", None)


steps = st.lists(
    st.tuples(st.sampled_from(["ask", "pass", "done", "fail", "alone"]), st.integers(0, 5)), max_size=60
)


@given(steps)
def test_every_ask_is_answered_by_a_read_sent_after_it(story: list[tuple[str, int]]) -> None:
    """Whatever fails in between, in the end each order was answered once, by a read sent after it."""
    queue, now, next_id = ReadQueue(concurrency=3), 0.0, 0
    asked: dict[int, int] = {}
    flying: dict[IssueRef, Read] = {}
    answered: list[int] = []

    def send() -> None:
        for read in queue.due(now):
            assert read.ref not in flying
            assert all(asked[each] <= next_id for each in read.order_ids)
            flying[read.ref] = read
        assert len(flying) <= 3

    def land(how: str, which: int) -> None:
        ref = sorted(flying)[which % len(flying)]
        read = flying.pop(ref)
        if how == "done":
            assert queue.done(ref) == read.order_ids
            answered.extend(read.order_ids)
        else:
            queue.failed(ref, now, alone=how == "alone")

    for what, number in story:
        if what == "ask":
            asked[next_id] = next_id
            queue.ask(next_id, order(number, next_id, repo=f"r/{number % 2}"), now)
            next_id += 1
        elif what == "pass":
            now += number
        elif flying:
            land(what, number)
        send()
    while len(queue):
        while flying:
            land("done", 0)
        following = queue.next_s()
        if following is not None:
            now = max(now, following)
            send()
    assert sorted(answered) == list(range(next_id))


def test_a_resting_repository_is_not_looked_through() -> None:
    """However many wait for a repository that rests, its rest says when to look again."""
    queue = ReadQueue()
    for each in range(1, 2_001):
        queue.ask(each, order(each), 0)
    for read in queue.due(1):
        queue.failed(read.ref, 1)
    assert queue.next_s() == 1 + backoff_s(1)
    assert queue.due(1.5) == []
    queue.ask(2_001, order(1, repo="b/b"), 1)
    assert queue.next_s() == 1 + WINDOW_S


def test_what_was_never_sent_is_due_as_before() -> None:
    """No back-off for anybody; what was asked for meanwhile is answered by the same read."""
    queue = ReadQueue()
    queue.ask(1, order(1), 0)
    [read] = queue.due(1)
    queue.ask(2, order(1, 2), 1)
    queue.put_back(read.ref)
    assert (queue.failing, queue.in_flight) == ({}, ())
    [again] = queue.due(1)
    assert again.order_ids == (1, 2)
