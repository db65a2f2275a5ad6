"""Which repositories are swept when, how many at a time, and what becomes of those that fail."""

from dataclasses import replace
from datetime import datetime

import pytest

from coordinator.rules.sweep_plan import REFRESH_PACE_S, REFUSED_STRETCH, SweepPlan, Target, Visit
from coordinator.rules.sweeping import SETTLE_S, Listing
from tests.rules.builders import at, facts

BASE_S = 60.0


def plan_of(*repo_ids: int, concurrency: int = 4) -> SweepPlan:
    plan = SweepPlan(BASE_S, concurrency=concurrency)
    plan.watch(target(repo_id) for repo_id in repo_ids)
    return plan


def target(repo_id: int) -> Target:
    return Target(repo_id, f"Acme/r{repo_id}")


def swept(visit: Visit, now: datetime, *, newest: int | None = None, max_stretch: float = 1.0) -> Visit:
    """The visit as a sweep leaves it that found an issue updated then, or nothing."""
    listing = Listing()
    if newest is not None:
        listing.add([facts(1, updated=newest)], 1)
    sweep = visit.sweep.swept(
        listing,
        now,
        settled_before=now,
        changed=newest is not None,
        base_s=BASE_S,
        max_stretch=max_stretch,
    )
    return replace(visit, sweep=sweep)


def begun(plan: SweepPlan, seconds: int) -> list[int]:
    return [visit.sweep.repo_id for visit in plan.begin(at(seconds))]


def test_so_many_at_a_time_and_each_once() -> None:
    """Room bounds what begins; what is under way does not begin again; then comes the next."""
    plan = plan_of(1, 2, 3, concurrency=2)
    assert len(plan) == 3
    assert plan.next_s(at(0)) == 0
    [first, second] = plan.begin(at(0))
    assert plan.running == {1, 2}
    assert (begun(plan, 0), plan.next_s(at(0))) == ([], None)
    plan.done(swept(first, at(1)), at(1))
    assert begun(plan, 1) == [3]
    plan.done(swept(second, at(2)), at(2))
    assert begun(plan, 3) == []
    assert plan.next_s(at(3)) == pytest.approx(BASE_S, rel=0.15)


def test_nothing_watched_is_nothing_to_wait_for() -> None:
    """Without repositories there is no next sweep."""
    assert plan_of().next_s(at(0)) is None


def test_those_longest_due_come_first() -> None:
    """A new one before all others, then by the moment they were due."""
    plan = plan_of(1, 2, concurrency=1)
    for now in (0, 10):
        [visit] = plan.begin(at(now))
        plan.done(swept(visit, at(now)), at(now))
    plan.watch([target(1), target(2), target(3)])
    order = []
    for _ in range(3):
        [visit] = plan.begin(at(500))
        order.append(visit.sweep.repo_id)
        plan.done(swept(visit, at(500)), at(500))
    assert order == [3, 1, 2]


def test_a_failure_waits_alone_and_longer_each_time() -> None:
    """Its name and reason are shown until a sweep succeeds; the others are not held up."""
    plan = plan_of(1, 2)
    plan.begin(at(0))
    plan.failed(1, "500", at(0))
    assert plan.failing == {"Acme/r1": "500"}
    assert begun(plan, 0) == []
    assert begun(plan, 1) == [1]
    plan.failed(1, "502", at(1))
    assert (begun(plan, 2), begun(plan, 3)) == ([], [1])
    plan.done(swept(Visit("Acme/r1", plan_of(1).begin(at(0))[0].sweep), at(3)), at(3))
    assert plan.failing == {}


def test_a_part_that_failed_is_named_until_it_succeeds() -> None:
    """The sweep itself counts, and is due as ever."""
    plan = plan_of(1)
    [visit] = plan.begin(at(0))
    owed = replace(swept(visit, at(0)), comments_owed=at(0))
    plan.done(owed, at(0), problem="no comments")
    assert (plan.failing, plan.next_s(at(0))) == ({"Acme/r1": "no comments"}, BASE_S)
    assert [each.comments_owed for each in plan.saved()] == [at(0)]
    [visit] = plan.begin(at(60))
    assert visit.comments_owed == at(0)
    plan.done(replace(swept(visit, at(60)), comments_owed=None), at(60))
    assert plan.failing == {}


def test_what_fails_again_and_again_is_stuck() -> None:
    """Three times in a row is; what the forge refuses to show only where somebody expects to see it."""
    plan = plan_of(1, 2)
    for number in range(3):
        assert plan.stuck(with_refused=True) == 0
        plan.begin(at(number * 3600))
        plan.failed(1, "500", at(number * 3600))
        plan.failed(2, "404", at(number * 3600), is_refused=True)
    assert (plan.stuck(with_refused=True), plan.stuck(with_refused=False)) == (2, 1)
    [visit] = [each for each in plan.begin(at(20_000)) if each.sweep.repo_id == 1]
    plan.done(swept(visit, at(20_000)), at(20_000))
    assert plan.stuck(with_refused=False) == 0


def test_what_is_refused_is_asked_rarely() -> None:
    """Ten times the interval for a repository that is gone or closed to us."""
    plan = plan_of(1)
    plan.begin(at(0))
    plan.failed(1, "404", at(0), is_refused=True)
    assert plan.next_s(at(0)) == BASE_S * REFUSED_STRETCH


def test_a_forge_that_was_away_is_nobodys_failure() -> None:
    """What was put back is due as before, and was swept no less."""
    plan = plan_of(1)
    [visit] = plan.begin(at(0))
    plan.put_back(1)
    assert plan.begin(at(0)) == [visit]
    assert plan.failing == {}


def test_asking_makes_due() -> None:
    """One by its name in any case, or all; how many that are, and nothing for a name unknown."""
    plan = plan_of(1, 2)
    for visit in plan.begin(at(0)):
        plan.done(swept(visit, at(0)), at(0))
    assert (plan.ask("nobody/none", at(20)), begun(plan, 20)) == (0, [])
    assert (plan.ask("acme/R2", at(20)), begun(plan, 20)) == (1, [2])
    assert plan.ask(None, at(21)) == 2


def test_asking_again_and_again_is_paced() -> None:
    """Whoever asks without end gets a sweep in five seconds; asked during one, there is one more."""
    plan = plan_of(1)
    [visit] = plan.begin(at(0))
    for _ in range(3):
        plan.ask(None, at(0))
    plan.done(swept(visit, at(1)), at(1))
    assert plan.next_s(at(1)) == REFRESH_PACE_S - 1
    [visit] = plan.begin(at(5))
    plan.done(swept(visit, at(5)), at(5))
    later_s = plan.next_s(at(5))
    assert later_s is not None
    assert later_s > 50
    plan.ask(None, at(6))
    assert plan.next_s(at(6)) == REFRESH_PACE_S - 1


def test_asked_during_a_sweep_that_fails() -> None:
    """The wish outlives the failure."""
    plan = plan_of(1)
    plan.begin(at(0))
    plan.ask(None, at(0))
    plan.failed(1, "404", at(20), is_refused=True)
    assert plan.next_s(at(20)) == 0


@pytest.mark.parametrize("asked", [True, False])
def test_who_asked_gets_what_was_too_new(asked: bool) -> None:
    """What a sweep passed over as too new is looked at as soon as it can be judged, if somebody asked;
    else the next sweep is soon enough. The second look is the last."""
    plan = plan_of(1)
    [visit] = plan.begin(at(0))
    plan.done(swept(visit, at(0)), at(0))
    now = 1_000
    if asked:
        plan.ask(None, at(now))
    [visit] = plan.begin(at(now))
    plan.done(swept(visit, at(now)), at(now), is_unsettled=True)
    wait_s = plan.next_s(at(now))
    assert wait_s is not None
    assert (SETTLE_S < wait_s < SETTLE_S + 5) == asked
    [visit] = plan.begin(at(now + 90))
    plan.done(swept(visit, at(now + 90)), at(now + 90))
    last_s = plan.next_s(at(now + 90))
    assert last_s is not None
    assert last_s > 40


def test_a_sweep_due_sooner_stays_so() -> None:
    """What is due before the new things can be judged is not put off."""
    plan = SweepPlan(5.0)
    plan.watch([target(1)])
    plan.ask(None, at(0))
    [visit] = plan.begin(at(0))
    sweep = visit.sweep.swept(Listing(), at(0), settled_before=at(0), changed=True, base_s=5.0)
    plan.done(replace(visit, sweep=sweep), at(0), is_unsettled=True)
    wait_s = plan.next_s(at(0))
    assert wait_s is not None
    assert wait_s < 6


@pytest.mark.parametrize(("many", "stretch"), [(0, 1), (1, 1), (60, 1), (120, 2), (1_000, 1_000 / 60)])
def test_idle_sweeps_are_two_requests_a_second_at_most(many: int, stretch: float) -> None:
    """As many repositories as that allows are all swept at every interval; more wait in proportion."""
    assert plan_of(*range(1, many + 1)).max_stretch == pytest.approx(stretch)


def test_deliveries_keep_a_repository_busy() -> None:
    """One that was swept less and less is swept at the full pace again, and never put off; one that is
    not known yet is told apart."""
    plan = plan_of(1, 2)
    now = 0
    for _ in range(20):
        for visit in plan.begin(at(now)):
            plan.done(swept(visit, at(now), max_stretch=10.0), at(now))
        now += 660
    for visit in plan.begin(at(now)):
        plan.done(swept(visit, at(now), max_stretch=10.0), at(now))
    idle_s = plan.next_s(at(now))
    assert idle_s is not None
    assert idle_s > 8 * BASE_S
    assert not plan.heard([1], at(now))
    assert plan.next_s(at(now)) == BASE_S
    assert plan.heard([1, 7], at(now + 30))
    assert plan.next_s(at(now + 30)) == BASE_S - 30
    fresh = plan_of(1)
    fresh.heard([1], at(0))
    assert fresh.next_s(at(0)) == 0


def test_how_far_it_got_outlives_a_restart() -> None:
    """What is saved says whether a sweep found anything; a new life looks everywhere at once."""
    plan = plan_of(1, 2)
    [first, second] = plan.begin(at(100))
    assert plan.done(replace(swept(first, at(100), newest=50), commands_from=at(99)), at(100))
    assert plan.done(swept(second, at(100)), at(100))
    again = SweepPlan(BASE_S)
    again.load(plan.saved())
    assert again.saved() == plan.saved()
    assert len(again) == 0
    again.watch([target(1), Target(2, "Acme/new")])
    assert again.watched == {1, 2}
    visits = again.begin(at(200))
    assert [visit.name for visit in visits] == ["Acme/r1", "Acme/new"]
    assert [again.name_of(repo_id) for repo_id in (1, 2)] == ["Acme/r1", "Acme/new"]
    assert [visit.sweep.is_first for visit in visits] == [False, False]
    assert (visits[0].sweep.watermark, visits[0].commands_from) == (at(50), at(99))
    assert not again.done(swept(visits[1], at(200)), at(200))


def test_what_is_watched_no_more_is_left_alone() -> None:
    """It fails no more and is not begun, but should it come back it goes on from where it was."""
    plan = plan_of(1, 2)
    plan.begin(at(0))
    plan.failed(1, "500", at(0))
    plan.watch([target(2)])
    assert plan.failing == {}
    assert begun(plan, 900) == []
    plan.watch([])
    plan.failed(2, "500", at(0))
    assert plan.failing == {}
    plan.watch([target(1)])
    assert begun(plan, 901) == [1]
