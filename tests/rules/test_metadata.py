"""The bounds of metadata, whoever read it."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.events import Metadata
from coordinator.rules.ids import IssueRef
from coordinator.rules.metadata import (
    MAX_ESTIMATE_TOKENS,
    MAX_REFS,
    MAX_SUMMARY_CHARS,
    MIN_ESTIMATE_TOKENS,
    bounded_refs,
    clamp_estimate,
    clamp_metadata,
    one_line,
    read_difficulty,
)

OWN = IssueRef("acme/widgets", 1)
SANE = Metadata(
    estimated_context_tokens=50_000,
    difficulty="easy",
    suggested_agent="sonnet-1",
    blocks=(IssueRef("acme/widgets", 3),),
    blocked_by=(IssueRef("acme/api", 2),),
    summary="Fix the parser",
    confidence=0.5,
)


def test_sane_metadata_is_left_alone() -> None:
    """Metadata inside the bounds comes back equal."""
    assert clamp_metadata(SANE, OWN) == SANE
    assert clamp_metadata(SANE) == SANE


@pytest.mark.parametrize(
    ("field", "wild", "tame"),
    [
        ("estimated_context_tokens", 0, MIN_ESTIMATE_TOKENS),
        ("estimated_context_tokens", -5, MIN_ESTIMATE_TOKENS),
        ("estimated_context_tokens", 10**30, MAX_ESTIMATE_TOKENS),
        ("difficulty", "impossible", "medium"),
        ("difficulty", " HARD\n", "hard"),
        ("suggested_agent", "  ", None),
        ("suggested_agent", None, None),
        ("suggested_agent", "a\x00b\nc", "ab c"),
        ("suggested_agent", "x" * 200, "x" * 99 + "…"),
        ("blocks", (OWN, SANE.blocks[0], SANE.blocks[0]), SANE.blocks),
        ("blocked_by", (SANE.blocked_by[0], OWN), SANE.blocked_by),
        ("summary", "one\n\ttwo \x1b[31mred", "one two [31mred"),
        ("summary", "y" * 5_000, "y" * (MAX_SUMMARY_CHARS - 1) + "…"),
        ("confidence", math.nan, 0.0),
        ("confidence", -1.0, 0.0),
        ("confidence", math.inf, 1.0),
        ("confidence", 1, 1.0),
    ],
)
def test_each_field_is_held_to_its_bounds(field: str, wild: Any, tame: Any) -> None:
    """A field outside its bounds is brought inside; the others stay."""
    assert clamp_metadata(replace(SANE, **{field: wild}), OWN) == replace(SANE, **{field: tame})


@given(
    st.builds(
        Metadata,
        estimated_context_tokens=st.integers(),
        difficulty=st.sampled_from(["easy", "medium", "hard"]),
        suggested_agent=st.none() | st.text(),
        blocks=st.lists(st.builds(IssueRef, st.just("acme/widgets"), st.integers(1, 9))).map(tuple),
        blocked_by=st.just(()),
        summary=st.text(),
        confidence=st.floats(),
    )
)
def test_clamping_twice_changes_nothing_more(metadata: Metadata) -> None:
    """What was clamped once is inside every bound."""
    once = clamp_metadata(metadata, OWN)
    assert clamp_metadata(once, OWN) == once
    assert OWN not in once.blocks
    assert 0.0 <= once.confidence <= 1.0


def test_a_hundred_refs_are_enough() -> None:
    """Of too many refs the first hundred different ones stay, in order of their names."""
    refs = [IssueRef("a/b", n) for n in range(300, 0, -1)]
    assert bounded_refs([*refs[:1], *refs]) == tuple(IssueRef("a/b", n) for n in range(201, 301))
    assert len(bounded_refs(refs)) == MAX_REFS


@pytest.mark.parametrize(
    ("tokens", "clamped"),
    [
        (math.nan, MAX_ESTIMATE_TOKENS),
        (-math.inf, MIN_ESTIMATE_TOKENS),
        (math.inf, MAX_ESTIMATE_TOKENS),
        (2e4, 20_000),
    ],
)
def test_estimates_are_whole_and_finite(tokens: float, clamped: int) -> None:
    """Numbers that are none become a bound: an unknown size counts as too large."""
    assert clamp_estimate(tokens) == clamped


@pytest.mark.parametrize(("text", "difficulty"), [("Easy ", "easy"), ("", None), ("easy-ish", None)])
def test_difficulty_is_one_of_three_words(text: str, difficulty: str | None) -> None:
    """Case and blanks do not matter, anything else is none."""
    assert read_difficulty(text) == difficulty


def test_one_line_is_printable_and_short() -> None:
    """Blanks shrink, what no terminal should see goes, and the rest is cut with an ellipsis."""
    assert one_line("abc", 1) == "…"
    assert one_line(" a\r\x1b", 9) == "a"
    assert one_line("a\ud800b", 9) == "ab"
    assert one_line("x" * 10_000_000, 5) == "xxxx…"
