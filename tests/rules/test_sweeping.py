"""What a sweep makes of a list: causes, what to read, how far it got, when to look again."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.ids import Login
from coordinator.rules.sweeping import (
    OVERLAP_S,
    Listing,
    Part,
    RepositorySweep,
    differences,
    look,
    vanished,
)
from tests.rules.builders import at, facts, ref

MARIA = Login("maria")


@pytest.mark.parametrize(
    ("before", "after", "causes"),
    [
        ({}, {}, ()),
        ({}, {"updated_at": at(5)}, ()),
        ({"assignees": ()}, {}, ("assigned",)),
        ({}, {"assignees": ()}, ("unassigned",)),
        ({}, {"assignees": (MARIA,)}, ("assigned", "unassigned")),
        ({}, {"state": "closed"}, ("closed",)),
        ({"state": "closed"}, {}, ("reopened",)),
        ({}, {"title": "T"}, ("edited",)),
        ({}, {"text_key": "other"}, ("edited",)),
        ({}, {"labels": ("bug",)}, ("labels",)),
        ({}, {"milestone": "v1"}, ("milestone",)),
        ({"native_blockers": ()}, {"native_blockers": (ref(2),)}, ("dependencies",)),
        ({"native_blockers": ()}, {"native_blockers": (), "hidden_blockers": 1}, ("dependencies",)),
        ({}, {"native_blockers": ()}, ()),
        ({"native_blockers": (ref(2),)}, {"native_blockers": None}, ()),
        ({"assignees": ()}, {"state": "closed", "title": "T"}, ("assigned", "closed", "edited")),
    ],
)
def test_each_difference_has_its_cause(
    before: dict[str, Any], after: dict[str, Any], causes: tuple[str, ...]
) -> None:
    """One word for every kind of delivery that must have been lost between two views."""
    assert differences(facts(1, **before), facts(1, **after)) == causes


def test_a_new_issue_was_opened_and_perhaps_more() -> None:
    """Of an issue never seen, its opening was missed, and its assignment and closing too."""
    assert differences(None, facts(1, assignees=())) == ("opened",)
    assert differences(None, facts(1, state="closed")) == ("assigned", "closed", "opened")


@pytest.mark.parametrize(
    ("known", "seen", "step"),
    [
        (None, {}, "read"),
        (None, {"state": "closed"}, "take"),
        ({}, {}, "pass"),
        ({}, {"updated_at": at(1)}, "read"),
        ({}, {"labels": ("bug",)}, "read"),
        ({"updated_at": at(5)}, {"title": "older"}, "pass"),
        ({"updated_at": at(5), "read_at": at(6)}, {"title": "older"}, "pass"),
        ({"updated_at": at(5)}, {"title": "older", "read_at": at(7)}, "pass"),
        ({"updated_at": at(5), "read_at": at(7)}, {"title": "older", "read_at": at(7)}, "pass"),
        ({"updated_at": at(5), "read_at": at(6)}, {"title": "set back", "read_at": at(7)}, "read"),
        ({"updated_at": at(5), "read_at": at(6)}, {"read_at": at(7)}, "pass"),
        ({"native_blockers": (ref(2),)}, {}, "pass"),
    ],
)
def test_what_is_to_be_read(known: dict[str, Any] | None, seen: dict[str, Any], step: str) -> None:
    """Unknown, different or later updated is read; a list older than what is known says nothing, unless
    it was asked for later."""
    assert look(facts(1, **seen), None if known is None else facts(1, **known)) == step


def test_what_changed_just_now_is_left_to_its_delivery() -> None:
    """A change younger than the settling time is passed over, an older one is not."""
    assert look(facts(1, updated=10), None, settled_before=at(9)) == "pass"
    assert look(facts(1, updated=9), None, settled_before=at(9)) == "read"


@pytest.mark.parametrize("ahead", [-3600, 0, 3600])
def test_what_was_read_in_the_second_of_its_change_is_read_once_more(ahead: int) -> None:
    """A dependency set in that second, after the read, leaves no other trace; however far our clock is
    from the forge's. Closed issues wait for nothing."""
    seen = facts(1, updated=100, read_at=at(ahead + 160))
    settled = at(150)  # the forge's clock says 160
    early, late = (facts(1, updated=100, read_at=at(ahead + when)) for when in (101, 102))
    assert look(seen, early, settled_before=settled) == "read"
    assert look(seen, late, settled_before=settled) == "pass"
    assert look(seen, facts(1, updated=100), settled_before=settled) == "pass"
    closed: dict[str, Any] = {"updated": 100, "state": "closed"}
    seen, early = (facts(1, read_at=at(ahead + when), **closed) for when in (160, 101))
    assert look(seen, early, settled_before=settled) == "pass"


def test_issues_a_full_list_lacks_are_named() -> None:
    """What vanished is to be read again before anybody says that it was deleted."""
    assert vanished([ref(3), ref(1), ref(2)], {2}) == (ref(1), ref(3))


# listing ----------------------------------------------------------------------------------------


def test_pages_are_put_together() -> None:
    """An issue seen twice counts once, in its later view; the newest update time is known."""
    listing = Listing()
    assert Listing().newest is None
    listing.add([facts(3), facts(2, updated=5)], 3)
    listing.add([facts(2, updated=1), facts(1)], 3)
    assert (sorted(listing.issues), listing.newest, listing.is_stable) == ([1, 2, 3], at(5), True)
    listing.add([facts(1, updated=7)], None)
    assert listing.issues[1] == facts(1, updated=7)


def test_a_list_that_shrank_is_read_again() -> None:
    """A deletion while paging may have hidden an issue; a forge that gives no totals is believed."""
    listing, silent = Listing(), Listing()
    listing.add([facts(3), facts(2)], 4)
    listing.add([], 3)
    silent.add([facts(3)], None)
    assert (listing.is_stable, silent.is_stable) == (False, True)


def test_what_is_too_long_to_read_is_no_hole_in_a_list() -> None:
    """An issue that was passed over has been seen, too; the list does not wait for it."""
    listing = Listing(too_long=1)
    listing.add([facts(3)], 2)
    assert (listing.is_stable, len(listing)) == (True, 2)


@pytest.mark.parametrize(
    ("part", "smaller"),
    [
        (Part(1, 50), [Part(1, 25), Part(2, 25)]),
        (Part(3, 4), [Part(5, 2), Part(6, 2)]),
        (Part(2, 3), [Part(4, 1), Part(5, 1), Part(6, 1)]),
        (Part(7, 1), []),
    ],
)
def test_the_parts_of_a_page_hold_its_items(part: Part, smaller: list[Part]) -> None:
    """All of them, in order, and no others; a single item has no parts."""
    assert list(part.smaller()) == smaller


# watermark --------------------------------------------------------------------------------------


def listed(*updated: int) -> Listing:
    listing = Listing()
    listing.add([facts(number, updated=when) for number, when in enumerate(updated, 1)], None)
    return listing


def test_the_next_sweep_overlaps_this_one() -> None:
    """Since the newest update seen, less the overlap, in whole seconds."""
    start = RepositorySweep(7)
    assert (start.since, start.is_first, start.is_due(at(0))) == (None, True, True)
    done = start.swept(listed(5, 90), at(1000), settled_before=at(990), changed=True, base_s=60)
    assert (done.since, done.is_first) == (at(90) - timedelta(seconds=OVERLAP_S), False)
    assert done.is_due(at(1000 + 60))
    assert not done.is_due(at(1000 + 59))


def test_the_watermark_stays_behind_what_was_passed_over() -> None:
    """It never passes the settling time, never goes back by itself,
    and is not made up for an empty list."""
    done = RepositorySweep(7).swept(
        listed(995), at(1000), settled_before=at(990), changed=True, base_s=60
    )
    assert done.watermark == at(990)
    again = done.swept(listed(), at(1100), settled_before=at(1090), changed=False, base_s=60)
    back = again.swept(listed(20), at(1200), settled_before=at(1190), changed=False, base_s=60)
    assert (again.watermark, back.watermark) == (at(990), at(990))
    empty = RepositorySweep(7).swept(listed(), at(0), settled_before=at(0), changed=False, base_s=60)
    assert (empty.watermark, empty.is_first) == (None, False)


def test_the_watermark_follows_a_clock_that_is_set_back() -> None:
    """One ahead of the forge's clock is void, so everything is listed; the next is behind the clock."""
    sweep = RepositorySweep(7, watermark=at(990), sweeps=3)
    assert (sweep.by_clock(at(990)), RepositorySweep(7).by_clock(at(0))) == (sweep, RepositorySweep(7))
    back = sweep.by_clock(at(989))
    assert (back.since, back.is_first) == (None, False)
    for start in (sweep, back):
        done = start.swept(listed(985), at(1000), settled_before=at(979), changed=False, base_s=60)
        assert done.watermark == at(979)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 60)), max_size=10))
def test_nothing_is_ever_behind_the_next_sweep(steps: list[tuple[int, int]]) -> None:
    """Whatever was updated, once settled, is listed by that sweep or a later one."""
    sweep, now, unseen = RepositorySweep(7), 1000, set[int]()
    for updated, passed in steps:
        now += passed
        unseen.add(now - min(updated, passed))
        since = sweep.since
        shown = [each for each in unseen if since is None or at(each) >= since]
        assert set(shown) == unseen
        settled = now - 10
        sweep = sweep.swept(
            listed(*shown), at(now), settled_before=at(settled), changed=True, base_s=60
        )
        unseen = {each for each in unseen if each > settled}


# interval ---------------------------------------------------------------------------------------


def test_every_repository_is_swept_at_each_interval() -> None:
    """However quiet it is, as long as nothing needs to be stretched."""
    sweep = RepositorySweep(7)
    assert {sweep.interval_s(60, quiet) for quiet in range(40)} == {60}
    for _ in range(20):
        sweep = sweep.swept(listed(), at(0), settled_before=at(0), changed=False, base_s=60)
    assert (sweep.quiet, sweep.due_at) == (20, at(60))


def test_among_very_many_an_idle_repository_is_swept_less_and_less_often() -> None:
    """After a few quiet sweeps the interval grows to what is polite, never beyond, and a change resets
    it."""
    sweep = RepositorySweep(7)
    waits = [sweep.interval_s(60, quiet, 16.5) for quiet in range(40)]
    assert waits == sorted(waits)
    assert waits[0] == waits[3] < waits[4]
    assert 60 <= waits[0] <= 66
    assert waits[-1] == waits[12] == pytest.approx(16.5 * waits[0])
    quiet = sweep.swept(
        listed(), at(0), settled_before=at(0), changed=False, base_s=60, max_stretch=16.5
    )
    assert quiet.quiet == 1
    assert quiet.stirred(at(3)).due_at == at(3)
    assert quiet.stirred(at(3)).stirred(at(9)).due_at == at(3)
    assert sweep.stirred(at(3)).due_at == at(3)
    changed = quiet.swept(listed(), at(0), settled_before=at(0), changed=True, base_s=60)
    assert (changed.quiet, changed.sweeps) == (0, 2)


def test_neighbours_drift_apart() -> None:
    """A thousand repositories started together do not stay together."""
    waits = {round(RepositorySweep(repo_id).interval_s(60, 0, 16.0), 3) for repo_id in range(1000)}
    assert len(waits) > 900


def test_a_failed_sweep_keeps_its_place() -> None:
    """What could not be read to its end is read again from where it was."""
    sweep = RepositorySweep(7, watermark=at(5), sweeps=1)
    failed = sweep.failed(at(10), 30)
    assert (failed.watermark, failed.due_at, failed.sweeps) == (at(5), at(40), 1)


def test_a_count_that_does_not_agree_is_looked_into_once() -> None:
    """A full list explains a difference or it does not; only another difference calls for another."""
    sweep = RepositorySweep(7)
    assert sweep.suspects(9, 10)
    assert not sweep.suspects(10, 10)
    looked = sweep.listed(9, 10)
    assert not looked.suspects(9, 10)
    assert not looked.suspects(10, 11), "one more of both is no other difference"
    assert looked.suspects(8, 10)
    assert looked.suspects(10, 10), "what was explained has gone, or two differences cancel out"
    assert looked.listed(10, 10).suspects(9, 10)
