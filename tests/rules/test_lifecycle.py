"""The life of a run: every transition, every deadline, and what must hold after any inputs."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.rules.context import ContextAction, ContextPolicy
from coordinator.rules.events import (
    CompactionEnded,
    CompactionStarted,
    RotationStarted,
    RunEnded,
    RunParked,
    RunStarted,
    SessionRotated,
)
from coordinator.rules.lifecycle import next_poll_after_s, step
from coordinator.rules.orders import CompactContext, RotateSession
from coordinator.rules.run_inputs import (
    Acked,
    Close,
    Input,
    PollFailed,
    Sampled,
    Step,
    Tick,
    Withdrawn,
)
from coordinator.rules.run_state import ASKING, RunState, begin, cancel_key, dump, load
from tests.rules.runs import AGENT, EPOCH, POLICY, RUN, START, Walk, at, usage

CANCEL = f"cancel:{RUN}"


def started(policy: ContextPolicy = POLICY) -> Walk:
    walk = Walk(policy)
    walk.accept()
    return walk


# taking up --------------------------------------------------------------------------------------


def test_an_accepted_run_starts_once() -> None:
    """The first acceptance is an event, the second is no news."""
    walk = Walk()
    assert walk.accept().events == (RunStarted(RUN, AGENT, 1),)
    assert walk.state.phase == "normal"
    before = walk.state
    assert walk.accept() == Step(before)


def test_an_agent_that_reports_has_started() -> None:
    """A reading before the acceptance takes the run up, and counts."""
    walk = Walk()
    done = walk.read(850)
    assert [type(event) for event in done.events] == [RunStarted, CompactionStarted]
    assert walk.state.peak_tokens == 850


# the limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "boundary", "action"),
    [
        (790, True, ContextAction.CONTINUE),
        (799, True, ContextAction.CONTINUE),
        (800, True, ContextAction.COMPACT),
        (800, False, ContextAction.CONTINUE),
        (949, True, ContextAction.COMPACT),
        (949, False, ContextAction.CONTINUE),
        (950, True, ContextAction.ROTATE),
        (950, False, ContextAction.ROTATE),
        (1_200, False, ContextAction.ROTATE),
    ],
)
def test_a_reading_leads_to_its_action(tokens: int, boundary: bool, action: ContextAction) -> None:
    """The soft limit waits for a turn boundary, the hard limit does not."""
    assert started().read(tokens, boundary=boundary).action is action


def test_a_compaction_asks_and_waits() -> None:
    """Order and event carry the reading that led to it; nothing more is asked meanwhile."""
    walk = started()
    done = walk.compact(810)
    assert done.orders == (CompactContext(RUN, AGENT, 1, 1),)
    assert done.events == (CompactionStarted(RUN, AGENT, 1, usage(810, walk.seconds)),)
    assert (walk.state.phase, walk.state.before_tokens) == ("compacting", 810)
    assert walk.state.pending_key == done.orders[0].key
    quiet = walk.read(990)
    assert (quiet.orders, quiet.events) == ((), ())
    assert walk.state.peak_tokens == 990


def test_the_soft_limit_is_acted_on_at_the_boundary_that_follows() -> None:
    """The same reading, now said to stand at a boundary, is enough."""
    walk = started()
    reading = usage(850, 10)
    assert walk.give(Sampled(reading, 1, at_boundary=False), 10).orders == ()
    assert walk.give(Sampled(reading, 1, at_boundary=True)).action is ContextAction.COMPACT


def test_a_hard_limit_rotates_with_the_facts() -> None:
    """The order carries the mechanical half of the handoff and the reason in words."""
    walk = started()
    done = walk.rotate(960)
    (order,) = done.orders
    assert isinstance(order, RotateSession)
    assert (order.from_session, order.to_session) == (1, 2)
    assert order.reason == "the context is at 96.0 % of 1000 tokens"
    assert START.html_url in order.facts
    assert order.reason in order.facts
    assert done.events == (RotationStarted(RUN, AGENT, 1, order.reason, usage(960, walk.seconds)),)


def test_an_unknown_window_is_never_acted_on() -> None:
    """Without a window and without caps a reading is recorded and nothing else."""
    walk = started()
    done = walk.give(Sampled(usage(10**9, 10, window=None), None, at_boundary=True), 10)
    assert (done.orders, done.state.peak_tokens) == ((), 10**9)


# after a compaction -----------------------------------------------------------------------------


def test_a_finished_compaction_leaves_the_fill_unknown() -> None:
    """Until the next reading there is no usage; the event says what the agent measured."""
    walk = started()
    key = walk.compact(800).orders[0].key
    done = walk.answer(after_tokens=150, detail="fine")
    assert done.events == (CompactionEnded(RUN, AGENT, 1, 800, 150, True, "fine", compactions=1),)
    assert done.closed == (Close(key, "done", "fine"),)
    assert (walk.state.phase, walk.state.usage, walk.state.at_boundary) == ("normal", None, False)


def test_a_helpful_compaction_lets_the_run_go_on() -> None:
    """Low enough after it: the run continues and may be compacted again."""
    walk = started()
    walk.compact()
    walk.answer()
    assert walk.read(250).orders == ()
    assert (walk.state.rotate_because, walk.state.armed) == ("", True)
    assert walk.read(820, after_s=200).orders == (CompactContext(RUN, AGENT, 1, 2),)


@pytest.mark.parametrize(
    ("after", "because"),
    [
        (640, "the context was still too full after the compaction: 640 tokens"),
        (641, "the compaction gained too little: 800 to 641 tokens"),
        (501, "the context was still too full after the compaction: 501 tokens"),
        (500, ""),
    ],
)
def test_a_compaction_that_helped_too_little_means_rotate(after: int, because: str) -> None:
    """Under 20 % gained, or over half full right after it: a new session, once things have cooled."""
    walk = started()
    walk.compact(800)
    walk.answer()
    assert walk.read(after).orders == ()
    assert walk.state.rotate_because == because
    later = walk.read(after, after_s=120)
    assert [order.reason for order in later.orders if isinstance(order, RotateSession)] == (
        [because] if because else []
    )


def test_without_a_window_a_compaction_is_judged_by_its_gain_and_the_cap() -> None:
    """Half of what the cap implies counts as too full, although no window is known."""
    walk = started(ContextPolicy(compact_cap_tokens=800))
    walk.give(Sampled(usage(800, 1, window=None), 1, at_boundary=True), 1)
    walk.answer()
    walk.give(Sampled(usage(501, 20, window=None), 1, at_boundary=True), 20)
    assert "still too full" in walk.state.rotate_because


def test_with_no_limit_left_only_the_gain_is_judged() -> None:
    """When the window became unknown after a compaction, any real gain is accepted."""
    walk = started()
    walk.compact()
    walk.answer()
    walk.give(Sampled(usage(600, 100, window=None), 1, at_boundary=True), 100)
    assert (walk.state.rotate_because, walk.state.before_tokens) == ("", None)


def test_the_third_compaction_of_a_session_is_a_rotation() -> None:
    """Two are allowed; the next time the soft limit is reached a new session is due."""
    walk = started()
    for _ in range(2):
        walk.read(800, after_s=130)
        walk.answer()
        walk.read(200)
    done = walk.read(800, after_s=130)
    (order,) = done.orders
    assert isinstance(order, RotateSession)
    assert order.reason == "compacted 2 times in this session"
    assert walk.state.compactions_total == 2


@pytest.mark.parametrize("how", ["failed", "late"])
def test_a_compaction_that_failed_means_rotate(how: str) -> None:
    """Said to have failed, or without a record in time: the reading stands and a rotation follows."""
    walk = started()
    key = walk.compact(800).orders[0].key
    if how == "failed":
        done = walk.answer("failed", after_s=130)
        detail = "the agent could not compact"
    else:
        assert walk.give(Tick(), 299.9).events == ()
        done = walk.give(Tick(), 0.1)
        detail = "no record within 300 s"
    assert done.events[0] == CompactionEnded(RUN, AGENT, 1, 800, None, False, detail, compactions=1)
    assert done.closed == (Close(key, "failed", detail),)
    assert done.action is ContextAction.ROTATE
    assert isinstance(done.events[1], RotationStarted)
    assert done.events[1].reason == f"the compaction failed: {detail}"
    walk.answer(handoff="go on")
    assert walk.read(100, after_s=200).orders == ()


def test_not_rearmed_until_fifteen_points_below() -> None:
    """A context hovering at the limit is compacted once; 65 % of the window arms it again."""
    walk = started(ContextPolicy(min_gain=0.0, max_fill_after=1.0))
    walk.compact(800)
    walk.answer()
    for tokens in (700, 800, 651, 800):
        assert walk.read(tokens, after_s=200).orders == ()
    assert walk.read(650, after_s=200).orders == ()
    assert walk.read(800).action is ContextAction.COMPACT


# cooldown ---------------------------------------------------------------------------------------


def test_actions_keep_their_distance() -> None:
    """The next compaction waits for the cooldown and then happens on a mere tick."""
    walk = started()
    walk.compact()
    walk.answer()
    walk.read(300)
    assert walk.read(800).orders == ()
    assert walk.give(Tick(), 94.9).orders == ()
    assert walk.give(Tick(), 0.1).action is ContextAction.COMPACT


def test_the_hard_limit_overrides_the_cooldown_of_a_compaction() -> None:
    """Full again seconds after a compaction: rotate now, and say what came first."""
    walk = started()
    walk.compact()
    walk.answer()
    (order,) = walk.read(960, after_s=1).orders
    assert isinstance(order, RotateSession)
    assert order.reason == "the compaction gained too little: 800 to 960 tokens"


def test_a_rotation_is_not_followed_by_another_at_once() -> None:
    """A successor that starts full waits for the cooldown: no burning through sessions."""
    walk = started()
    walk.rotate()
    walk.answer(handoff="go on")
    assert walk.read(990).orders == ()
    assert walk.give(Tick(), 120).action is ContextAction.ROTATE


# rotation ---------------------------------------------------------------------------------------


def test_a_rotation_is_acknowledged_with_a_handoff() -> None:
    """The successor session begins with nothing counted but the totals."""
    walk = started()
    walk.compact(800)
    walk.answer()
    key = walk.read(970).orders[0].key
    done = walk.answer(handoff="Tests pass; next: docs.")
    assert done.events == (SessionRotated(RUN, AGENT, 1, 2, "Tests pass; next: docs."),)
    assert done.closed == (Close(key, "done"),)
    state = walk.state
    assert (state.phase, state.session, state.rotations) == ("normal", 2, 1)
    assert (state.compactions, state.compactions_total, state.usage) == (0, 1, None)
    assert (state.armed, state.at_boundary) == (True, False)


@pytest.mark.parametrize(
    ("handoff", "problem"),
    [
        (None, "the agent wrote none"),
        ("", "the agent wrote none"),
        (" \n\t", "the agent wrote none"),
        ("é" * 16_385, "it has 32770 bytes, more than 32768"),
    ],
)
def test_an_unusable_handoff_degrades_to_the_facts(handoff: str | None, problem: str) -> None:
    """The successor gets what is certain, and both the handoff and the state say so."""
    walk = started()
    (order,) = walk.rotate().orders
    assert isinstance(order, RotateSession)
    (event,) = walk.answer(handoff=handoff).events
    assert isinstance(event, SessionRotated)
    assert problem in event.handoff
    assert order.facts in event.handoff
    assert walk.state.detail == f"handoff degraded: {problem}"


@pytest.mark.parametrize(
    ("given_", "after_s", "result", "reason"),
    [
        (
            Acked(f"rotate:{RUN}:2", "failed"),
            1,
            "failed",
            "the rotation failed: the agent gave no reason",
        ),
        (
            Acked(f"rotate:{RUN}:2", "failed", "no disk"),
            1,
            "failed",
            "the rotation failed: no disk",
        ),
        (Tick(), 600, "expired", "no successor session within 600 s"),
    ],
)
def test_a_rotation_that_fails_parks_the_run(
    given_: Input, after_s: float, result: str, reason: str
) -> None:
    """A person decides; the order is closed, and readings change nothing but the numbers."""
    walk = started()
    (order,) = walk.rotate().orders
    done = walk.give(given_, after_s)
    assert done.events == (RunParked(RUN, AGENT, reason),)
    assert [(close.key, close.result) for close in done.closed] == [(order.key, result)]
    assert (walk.state.phase, walk.state.detail) == ("parked", reason)
    walk.give(PollFailed("no route"))
    assert walk.read(999, after_s=1_000).orders == ()
    assert walk.give(Tick(), 10_000).state.stalled is False
    assert (walk.state.peak_tokens, walk.state.detail) == (999, reason)


def test_a_late_answer_of_an_expired_rotation_changes_nothing() -> None:
    """The run is a person's by then."""
    walk = started()
    (order,) = walk.rotate().orders
    walk.give(Tick(), 600)
    before = walk.state
    assert walk.give(Acked(order.key, "done", handoff="late")) == Step(before)


def test_a_run_has_a_bounded_number_of_sessions() -> None:
    """After the fifth session a person decides."""
    walk = started()
    for session in range(2, 6):
        walk.rotate()
        walk.answer(handoff="go on")
        assert walk.state.session == session
    done = walk.read(950, after_s=130)
    assert done.orders == ()
    (parked,) = done.events
    assert isinstance(parked, RunParked)
    assert parked.reason.endswith("all 5 sessions of the run are used up")


# fences -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_",
    [
        Sampled(usage(999, 500), 2, at_boundary=True),
        Sampled(usage(999, 500), 4, at_boundary=True),
        Sampled(usage(999, 5), 3, at_boundary=True),
        Acked(f"compact:{RUN}:1:1", "done"),
        Acked(f"compact:{RUN}:3:1", "done"),
        Acked(f"rotate:{RUN}:3", "done", handoff="again"),
        Acked("start:acme/tool#12@2", "done"),
        Acked("nonsense", "failed"),
        Acked(CANCEL, "accepted"),
        Acked(START.key, "accepted"),
    ],
    ids=str,
)
def test_what_belongs_elsewhere_is_no_news(given_: Input) -> None:
    """Other sessions, older readings, answers to orders not pending: the state as it was."""
    read = replace(begin(START, EPOCH), phase="normal", session=3, usage=usage(300, 10), read_at=at(10))
    assert step(read, given_, POLICY, at(501)) == Step(read)


def test_an_accepted_order_is_still_pending() -> None:
    """Only done and failed answer it."""
    walk = started()
    walk.compact()
    before = walk.state
    assert walk.answer("accepted", after_s=0) == Step(before)


def test_a_reading_taken_twice_counts_once() -> None:
    """The reading from before a compaction, polled again after it, does not come back to life."""
    walk = started()
    reading = usage(800, 10)
    walk.give(Sampled(reading, 1, at_boundary=True), 10)
    walk.answer()
    walk.give(Sampled(reading, None, at_boundary=True), 200)
    assert walk.state.usage is None
    assert walk.state.last_report_at == at(15)


# polls and silence ------------------------------------------------------------------------------


def test_poll_failures_are_counted_and_forgotten() -> None:
    """They leave the reading alone, hold back actions from the third on, and end with a reading."""
    walk = started()
    walk.read(850, boundary=False)
    for n in range(1, 4):
        walk.give(PollFailed("no route"))
        assert (walk.state.poll_failures, walk.state.detail) == (n, "no route")
    assert walk.state.usage == usage(850, walk.seconds)
    walk.give(Sampled(walk.state.usage, None, at_boundary=True))
    assert walk.state.phase == "normal"
    assert walk.read(860).action is ContextAction.COMPACT
    assert (walk.state.poll_failures, walk.state.detail) == (0, "")


@pytest.mark.parametrize(
    ("failures", "after_s"),
    [(-1, 10), (0, 10), (1, 20), (2, 40), (4, 160), (5, 300), (6, 300), (10_000, 300)],
)
def test_polls_back_off_up_to_five_minutes(failures: int, after_s: float) -> None:
    """Doubling from the configured interval, never below it."""
    assert next_poll_after_s(failures, POLICY) == after_s
    assert next_poll_after_s(failures, ContextPolicy(poll_s=900)) == 900


def test_a_silent_agent_is_unknown_and_not_killed() -> None:
    """After half an hour its reading is forgotten and it says so; a new report heals it."""
    walk = started()
    walk.read(790)
    walk.give(Tick(), 1_799)
    assert not walk.state.stalled
    assert walk.give(Tick(), 1).events == ()
    assert (walk.state.phase, walk.state.stalled, walk.state.usage) == ("normal", True, None)
    assert (walk.state.detail, walk.state.at_boundary) == ("no report for 1800 s", False)
    before = walk.state
    assert walk.give(Tick(), 9_999) == Step(before)
    walk.read(100)
    assert (walk.state.stalled, walk.state.detail) == (False, "")


# the end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "phase", "outcome"),
    [
        ("done", "starting", "completed"),
        ("failed", "starting", "failed"),
        ("done", "normal", "completed"),
        ("failed", "normal", "failed"),
        ("done", "rotating", "completed"),
        ("done", "parked", "completed"),
        ("done", "cancelling", "completed"),
        ("failed", "cancelling", "withdrawn"),
    ],
)
def test_the_start_order_ends_the_run(status: str, phase: str, outcome: str) -> None:
    """Done and failed in any phase; a run asked to stop that gives up has been withdrawn."""
    state = replace(
        begin(START, EPOCH),
        phase=phase,  # type: ignore[arg-type]
        session=2,
        rotations=1,
        compactions_total=3,
        peak_tokens=700,
    )
    done = step(state, Acked(START.key, status, "so"), POLICY, at(9))  # type: ignore[arg-type]
    assert done.events == (
        RunEnded(RUN, AGENT, outcome, "so", 2, 3, 1, 700, 40_000),  # type: ignore[arg-type]
    )
    assert done.closed == (Close(START.key, outcome, "so"), Close(CANCEL, outcome, "so"))
    assert (done.state.phase, done.state.usage) == ("ended", None)


def test_the_end_settles_a_compaction_under_way() -> None:
    """Its order is closed and its event written, before the run's own."""
    walk = started()
    key = walk.compact().orders[0].key
    done = walk.give(Acked(START.key, "done"))
    assert done.events[0] == CompactionEnded(
        RUN, AGENT, 1, 800, None, False, "left unfinished", compactions=1
    )
    assert isinstance(done.events[1], RunEnded)
    assert [close.key for close in done.closed] == [START.key, CANCEL, key]


@pytest.mark.parametrize(
    "given_",
    [
        Sampled(usage(999, 99), None, at_boundary=True),
        PollFailed("x"),
        Acked(START.key, "done"),
        Acked(CANCEL, "done"),
        Withdrawn("closed"),
        Tick(),
    ],
    ids=str,
)
def test_nothing_changes_an_ended_run(given_: Input) -> None:
    """Whatever comes late stays outside."""
    ended = replace(begin(START, EPOCH), phase="ended")
    assert step(ended, given_, POLICY, at(10**6)) == Step(ended)


def test_a_run_never_started_is_withdrawn_at_once() -> None:
    """Nobody has to be asked; both of its orders are closed."""
    done = Walk().give(Withdrawn("the issue was closed"))
    (event,) = done.events
    assert isinstance(event, RunEnded)
    assert (event.outcome, event.detail) == ("withdrawn", "the issue was closed; never started")
    assert [close.key for close in done.closed] == [START.key, CANCEL]


def test_a_withdrawn_run_ends_when_the_agent_says_so() -> None:
    """The cancel order is not ours to open, only to wait for; asking twice is no news."""
    walk = started()
    key = walk.compact().orders[0].key
    done = walk.give(Withdrawn("unassigned"))
    assert done.orders == ()
    assert done.events == (
        CompactionEnded(RUN, AGENT, 1, 800, None, False, "left unfinished", compactions=1),
    )
    assert done.closed == (Close(key, "withdrawn", "unassigned"),)
    assert (walk.state.phase, walk.state.pending_key) == ("cancelling", CANCEL)
    before = walk.state
    assert walk.give(Withdrawn("closed")) == Step(before)
    (event,) = walk.answer(detail="branch pushed").events
    assert isinstance(event, RunEnded)
    assert (event.outcome, event.detail) == ("withdrawn", "branch pushed")


def test_an_agent_may_stop_before_we_hear_of_the_withdrawal() -> None:
    """It reads its orders by itself, so its answer can overtake the news."""
    walk = started()
    (event,) = walk.give(Acked(cancel_key(walk.state), "done", "stopped")).events
    assert isinstance(event, RunEnded)
    assert event.outcome == "withdrawn"


def test_a_cancel_never_acknowledged_frees_the_slot() -> None:
    """After the rotation timeout the run ends, and its detail says how; a silent agent too."""
    walk = started()
    assert walk.give(Withdrawn("unassigned")).closed == ()
    walk.give(PollFailed("no route"))
    walk.give(Tick(), 599)
    assert walk.state.phase == "cancelling"
    (event,) = walk.give(Tick(), 1).events
    assert isinstance(event, RunEnded)
    assert (event.outcome, event.detail) == (
        "withdrawn",
        "unassigned; not acknowledged within 600 s",
    )


# what must hold after any inputs ------------------------------------------------------------------

NASTY = ContextPolicy(max_sessions=3, stall_after_s=900, compact_cap_tokens=850)
KEYS = (
    START.key,
    CANCEL,
    *(f"compact:{RUN}:{session}:{attempt}" for session in (1, 2) for attempt in (1, 2)),
    *(f"rotate:{RUN}:{session}" for session in (2, 3, 4)),
)
PENDING = "the pending one"

samples = st.builds(
    lambda tokens, back, session, window, boundary: Sampled(
        usage(tokens, -back, window=window), session, boundary
    ),
    st.sampled_from([50, 200, 500, 640, 700, 799, 800, 850, 949, 950, 1_100]),
    st.sampled_from([0, 0, 0, 30]),
    st.sampled_from([None, None, 1, 2, 3]),
    st.sampled_from([1_000, 1_000, 1_000, None]),
    st.booleans(),
)
answers = st.builds(
    Acked,
    st.sampled_from((PENDING, PENDING, PENDING, PENDING, *KEYS)),
    st.sampled_from(["done", "done", "failed", "accepted"]),
    handoff=st.sampled_from([None, "go on", "  "]),
    after_tokens=st.none() | st.integers(0, 900),
)
inputs = st.one_of(
    samples, samples, samples, answers, st.just(Tick()), st.builds(PollFailed, st.just("gone"))
)
walks = st.lists(
    st.tuples(inputs | st.just(Withdrawn("closed")), st.sampled_from([0.0, 10.0, 60.0, 130.0, 700.0])),
    max_size=60,
)


@settings(max_examples=300)
@given(walks, st.sampled_from([POLICY, NASTY]))
def test_any_inputs_keep_the_promises(
    inputs_: list[tuple[Input, float]], policy: ContextPolicy
) -> None:
    """One pending order at most, keys never used twice, sessions only forward, actions only where
    the thresholds and the cooldown allow them, silence after the end, and snapshots that are exact."""
    walk = Walk(policy)
    keys: list[str] = []
    open_keys: set[str] = set()
    for given_, after_s in inputs_:
        before = walk.state
        done = walk.give(_aimed(given_, before, walk.seconds + after_s), after_s)
        keys += [order.key for order in done.orders]
        open_keys |= {order.key for order in done.orders}
        open_keys -= {close.key for close in done.closed}
        _check_step(before, done, walk, policy)
        assert open_keys == ({walk.state.pending_key} - {None, CANCEL})
    assert len(keys) == len(set(keys))


def _aimed(given_: Input, state: RunState, seconds: float) -> Input:
    """The drawn input, with its instant and its order made to fit the walk."""
    if isinstance(given_, Sampled):
        reading = replace(given_.usage, sampled_at=given_.usage.sampled_at + (at(seconds) - EPOCH))
        return replace(given_, usage=reading)
    if isinstance(given_, Acked) and given_.order_key == PENDING:
        return replace(given_, order_key=state.pending_key or START.key)
    return given_


def _check_step(before: RunState, done: Step, walk: Walk, policy: ContextPolicy) -> None:
    after, now = done.state, at(walk.seconds)
    assert load(dump(after)) == after
    assert (after.pending_key is not None) == (after.phase in ASKING)
    assert before.session <= after.session <= policy.max_sessions
    assert before.peak_tokens <= after.peak_tokens
    assert after.compactions <= policy.max_compactions
    assert len(done.orders) <= 1
    ends = [event for event in done.events if isinstance(event, RunEnded)]
    assert len(ends) == (before.phase != "ended" and after.phase == "ended")
    if before.phase == "ended":
        assert done == Step(before)
    for order in done.orders:
        assert before.phase in ("starting", "normal", "compacting")
        cool = (
            before.last_action_at is None
            or (now - before.last_action_at).total_seconds() >= policy.cooldown_s
        )
        if isinstance(order, CompactContext):
            assert cool
            assert after.usage is not None
            assert after.at_boundary
            assert 800 <= after.usage.predicted_tokens < 950 or after.usage.window_tokens is None
        else:
            hard = after.usage is not None and after.usage.predicted_tokens >= 950
            assert (hard and before.last_action != "rotate") or cool


@given(walks)
def test_the_same_input_twice_is_the_same_as_once(inputs_: list[tuple[Input, float]]) -> None:
    """Repeating a reading, an answer, a withdrawal or a tick at once opens and says nothing more."""
    walk = Walk()
    for given_, after_s in inputs_:
        aimed = _aimed(given_, walk.state, walk.seconds + after_s)
        walk.give(aimed, after_s)
        if not isinstance(aimed, PollFailed):
            again = step(walk.state, aimed, POLICY, at(walk.seconds))
            assert (again.events, again.orders, again.closed) == ((), (), ())


def test_a_reading_dated_in_the_future_fences_nothing() -> None:
    """One absurd instant must not void every honest reading after it; older ones stay no news."""
    walk = Walk()
    walk.give(Sampled(usage(100, 1_000_000), None, at_boundary=True))
    walk.read(200)
    assert walk.state.usage == usage(200, 10)
    walk.give(Sampled(usage(300, 5), None, at_boundary=True))
    assert walk.state.usage == usage(200, 10)
