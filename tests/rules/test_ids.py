"""Names of things are written one way and read back strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.ids import IssueRef, RunId


def test_refs_and_runs_read_back_what_they_write() -> None:
    """`parse` is the inverse of `str`, and repositories compare in lower case."""
    run = RunId(IssueRef("acme/widgets", 12), 3)
    assert str(run) == "acme/widgets#12@3"
    assert RunId.parse(str(run)) == run
    assert IssueRef.parse("Acme/Widgets#12") == run.issue


@pytest.mark.parametrize(
    "text", ["", "#1", "acme#1", "acme/w#0", "acme/w#x", "a/b/c#1", "a b/c#1", "a/b#٣"]
)
def test_what_is_no_issue_is_refused_with_the_text_seen(text: str) -> None:
    """The error shows what was seen and what was expected."""
    with pytest.raises(ValueError, match="expected owner/name#12"):
        IssueRef.parse(text)


@pytest.mark.parametrize("text", ["acme/w#1", "acme/w#1@", "acme/w#1@x", "acme/w#1@1234567890", "@1"])
def test_what_is_no_run_is_refused(text: str) -> None:
    """A run needs its issue and a whole generation of at most nine digits."""
    with pytest.raises(ValueError, match="expected owner/name#12"):
        RunId.parse(text)


@given(st.text(max_size=300))
def test_any_text_either_parses_or_is_a_short_value_error(text: str) -> None:
    """Whatever a URL or a report holds, nothing else is raised, nor is the text repeated whole."""
    problems = []
    for parse in (IssueRef.parse, RunId.parse):
        try:
            parse(text)
        except ValueError as error:
            problems.append(str(error))
    assert all(len(problem) < 500 for problem in problems)
