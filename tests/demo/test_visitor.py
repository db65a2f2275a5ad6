"""The visitor's judgement; its play is shown by the demo itself."""

import pytest

from coordinator.demo.story import Ending
from coordinator.demo.visitor import agree, difference
from coordinator.rules.ids import IssueRef
from tests.demo.test_stage import issue

REF = IssueRef("acme/widgets", 1)


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (Ending("running", "working", "sonnet-1", compacted=True, rotated=True), None),
        (Ending("done", "completed"), "acme/widgets#1 is running (working), not done (completed)"),
        (Ending("running", "parsing"), "acme/widgets#1 is running (working), not running (parsing)"),
        (Ending("running", "working", "opus-1"), "acme/widgets#1 was done by sonnet-1, not opus-1"),
    ],
)
def test_an_issue_is_held_against_its_ending(ending: Ending, expected: str | None) -> None:
    """State, reason and agent must be the story's."""
    assert difference(REF, issue(), ending) == expected


def test_an_issue_must_have_been_looked_after() -> None:
    """A compaction or rotation that never came is a difference, and so is an issue nobody knows."""
    plain = issue(compactions=0, rotations=0)
    compacted = Ending("running", "working", compacted=True)
    rotated = Ending("running", "working", rotated=True)
    assert difference(REF, plain, compacted) == "acme/widgets#1 was never compacted"
    assert difference(REF, plain, rotated) == "acme/widgets#1 was never rotated"
    assert difference(REF, None, compacted) == "acme/widgets#1 is not known"


@pytest.mark.parametrize(
    ("labels", "line", "fits"),
    [
        (["agent/opus-1", "coordinator/running"], "Running · opus-1 works on it", True),
        (["coordinator/needs-human"], "Running · opus-1 works on it", False),
        ([], "Blocked · waits for #2", False),
        (["coordinator/blocked"], "Blocked · waits for #2", True),
        (["coordinator/needs-human"], "Blocked · in a cycle", True),
        (["coordinator/needs-human"], "Parked · too large", True),
        (["bug"], "Done · completed", True),
        (["coordinator/running"], "Done · completed", False),
    ],
)
def test_labels_and_comment_must_say_the_same(labels: list[str], line: str, fits: bool) -> None:
    """They are written one after the other; a page between the two is not shown."""
    assert agree(labels, [line]) is fits
