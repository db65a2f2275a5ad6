"""Which observation is the newer one: a total order, and the fold is its maximum."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.events import IssueFacts
from coordinator.rules.freshness import freshness, merge
from coordinator.rules.ids import IssueRef, Login

AT = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
FACTS = IssueFacts(
    ref=IssueRef("acme/widgets", 1),
    repo_id=41,
    issue_id=9,
    title="t",
    text_key="k",
    state="open",
    assignees=(),
    labels=(),
    milestone=None,
    html_url="",
    created_at=AT,
    updated_at=AT,
)
ONE, TWO = Login("one"), Login("two")

observations = st.builds(
    replace,
    st.just(FACTS),
    title=st.sampled_from(["t", "u"]),
    state=st.sampled_from(["open", "closed"]),
    assignees=st.sampled_from([(), (ONE,), (TWO,), (ONE, TWO)]),
    labels=st.sampled_from([(), ("a",), ("b",)]),
    updated_at=st.sampled_from(
        [AT, AT + timedelta(seconds=1), AT.astimezone(timezone(timedelta(hours=2)))]
    ),
    closed_at=st.sampled_from([None, AT]),
    read_at=st.sampled_from([None, AT, AT + timedelta(milliseconds=1)]),
    native_blockers=st.sampled_from([None, (), (IssueRef("acme/widgets", 2),)]),
    hidden_blockers=st.sampled_from([0, 1]),
)


def test_newest_first_then_the_usual_end_of_a_burst() -> None:
    """A later second always wins; within one, closed, then later closed, more people, more labels."""
    later = AT + timedelta(seconds=1)
    rising = [
        replace(FACTS, updated_at=AT - timedelta(days=1), state="closed", closed_at=AT),
        FACTS,
        replace(FACTS, labels=("a",)),
        replace(FACTS, assignees=(ONE,)),
        replace(FACTS, assignees=(ONE, TWO)),
        replace(FACTS, state="closed"),
        replace(FACTS, state="closed", closed_at=AT),
        replace(FACTS, state="closed", closed_at=later),
        replace(FACTS, updated_at=later),
    ]
    for older, newer in pairwise(rising):
        assert freshness(older) < freshness(newer)
        assert merge(older, newer) is newer
        assert merge(newer, older) is newer


def test_within_a_second_the_read_sent_last_is_the_truth() -> None:
    """A read beats every payload of the same second, a later read the earlier one; time beats both."""
    first = replace(FACTS, read_at=AT + timedelta(seconds=60))
    rising = [
        replace(FACTS, state="closed", assignees=(ONE, TWO)),
        first,
        replace(FACTS, read_at=AT + timedelta(seconds=60, microseconds=1)),
        replace(FACTS, updated_at=AT + timedelta(seconds=1)),
    ]
    for older, newer in pairwise(rising):
        assert freshness(older) < freshness(newer)
        assert merge(older, newer) is newer
        assert merge(newer, older) is newer


def test_the_first_observation_stands() -> None:
    """With nothing known, whatever is seen is the newest."""
    assert merge(None, FACTS) is FACTS


def test_the_same_instant_in_another_zone_is_no_news() -> None:
    """An observation that differs only in the offset of its times is the one already known."""
    elsewhere = replace(FACTS, updated_at=AT.astimezone(timezone(timedelta(hours=5))))
    assert freshness(elsewhere) == freshness(FACTS)
    assert merge(FACTS, elsewhere) is FACTS


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-timedelta(hours=2))),
    ],
)
def test_instants_outside_the_calendar_compare(at: datetime) -> None:
    """Times that have no UTC spelling still have their place in the order."""
    facts = replace(FACTS, updated_at=at)
    assert (freshness(facts) > freshness(FACTS)) == (at.year > 2026)


def fold(seen: list[IssueFacts]) -> IssueFacts | None:
    known: IssueFacts | None = None
    for facts in seen:
        known = merge(known, facts)
    return known


@given(st.lists(observations, min_size=1, max_size=6), st.data())
def test_the_fold_is_a_maximum(seen: list[IssueFacts], data: st.DataObject) -> None:
    """Any order and any repetition of the same observations folds to the same facts."""
    again = data.draw(st.permutations([*seen, *seen[: len(seen) // 2]]))
    assert fold(again) == fold(seen)


@given(observations, observations)
def test_equal_freshness_means_equal_facts(one: IssueFacts, other: IssueFacts) -> None:
    """No two different observations tie."""
    assert (freshness(one) == freshness(other)) == (one == other)
