"""What the audience sees, on a terminal and off it."""

import io
from typing import Any

import pytest
from rich.console import Console

from coordinator.demo.stage import LiveStage, PlainStage, Stage, fill_bar, summary_table
from coordinator.web.shapes import AgentBody, HealthBody, IssueSummary


def issue(**changed: Any) -> IssueSummary:
    facts: dict[str, Any] = {
        "issue": "acme/widgets#1",
        "title": "Trim blanks",
        "html_url": "",
        "state": "running",
        "reason": "working",
        "evidence": "sonnet-1 works on it",
        "next_check_at": None,
        "assignees": [],
        "priority": 3,
        "metadata": None,
        "parsed_by": None,
        "open_blockers": [],
        "unknown_blockers": [],
        "cycle": [],
        "agent": "sonnet-1",
        "run": "acme/widgets#1@1",
        "dispatches": 1,
        "compactions": 2,
        "rotations": 1,
        "peak_tokens": 190_000,
        "updated_at": "2026-07-14T10:00:00Z",
    }
    return IssueSummary.model_validate(facts | changed)


def agent(
    *, fill: float | None = 0.5, compactions: int = 0, rotations: int = 0, **changed: Any
) -> AgentBody:
    run = {
        "run": "acme/widgets#1@1",
        "agent": "sonnet-1",
        "phase": "normal",
        "session": 1 + rotations,
        "usage": None,
        "fill": fill,
        "peak_tokens": 0,
        "compactions": compactions,
        "rotations": rotations,
        "detail": "",
    }
    facts: dict[str, Any] = {
        "agent": "sonnet-1",
        "login": "claude-sonnet",
        "driver": "rehearsal",
        "model": "claude-sonnet-5-5",
        "difficulty": "medium",
        "slots": 1,
        "status": "working",
        "detail": "",
        "window_tokens": 200_000,
        "usable_tokens": 200_000,
        "compact_at_tokens": 160_000,
        "rotate_at_tokens": 190_000,
        "runs": [run],
        "open_orders": 0,
        "last_report_at": None,
        "poll_failures": 0,
    }
    return AgentBody.model_validate(facts | changed)


def health() -> HealthBody:
    """As much of a health report as is shown."""
    shown: dict[str, Any] = {
        "status": "ok",
        "dead_letters": 0,
        "signature_failures": 1,
        "rejected": 1,
        "deliveries": {"accepted": 3, "duplicates": 0},
    }
    return HealthBody.model_construct(None, **shown)


def console(*, terminal: bool) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=120, height=50, markup=False, highlight=False
    )


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def perform(stage: Stage) -> None:
    """One short evening."""
    with stage:
        stage.welcome("http://127.0.0.1:1", "http://127.0.0.1:2")
        stage.scene("somebody knocks")
        stage.answered("opened acme/widgets#1", 200, "accepted")
        stage.answered("opened acme/widgets#1", 401, "wrong")
        stage.wrote("acme/widgets#1", ["coordinator/ready"], ["Ready · at last"])
        stage.wrote("acme/widgets#2", [], [])
        stage.repaired("found by the sweep")
        stage.show(
            [issue(compactions=0, rotations=0)],
            [agent(), agent(agent="idler", runs=[], status="idle")],
            health(),
        )
        stage.show([issue(compactions=1, rotations=0)], [agent(compactions=1)], health())
        ended = issue(state="done", reason="completed", compactions=1, rotations=1)
        stage.show([ended], [agent(fill=None)], health())
        stage.summary([])


@pytest.mark.parametrize("kind", [PlainStage, LiveStage])
def test_the_evening_is_told(kind: type[PlainStage] | type[LiveStage]) -> None:
    """URLs, captions, answers, what is on the issues and the table of endings reach either screen."""
    screen = console(terminal=kind is LiveStage)
    perform(kind(screen))
    text = text_of(screen)
    for words in ("http://127.0.0.1:1", "http://127.0.0.1:2", "Ready · at last", "[coordinator/ready]",
                  "[no label]", "found by the sweep", "somebody knocks", "401 wrong", "rotations",
                  "190,000", "every issue stands"):  # fmt: skip
        assert words in text


def test_plain_lines_come_once_per_change() -> None:
    """A state is told when it changes, compactions and rotations when they happen; nothing twice."""
    screen = console(terminal=False)
    perform(PlainStage(screen))
    text = text_of(screen)
    assert text.count("running (working)") == 1
    assert text.count("done (completed)") == 1
    assert text.count("compacted the context of acme/widgets#1@1") == 1
    assert text.count("over to session 2") == 1
    assert "\x1b" not in text


def test_the_live_screen_shows_contexts() -> None:
    """Agents appear with a bar, idle ones without; the health line sums up."""
    screen = console(terminal=True)
    perform(LiveStage(screen))
    text = text_of(screen)
    assert "█" in text
    assert "idler" in text
    assert "3 accepted" in text


def test_a_bad_end_is_spelled_out() -> None:
    """Differences are listed instead of the good news."""
    screen = console(terminal=False)
    PlainStage(screen).summary(["acme/widgets#1 is lost"])
    assert "did not end as it must:\n  acme/widgets#1 is lost" in text_of(screen)


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (None, "·" * 30),
        (0.0, "·" * 24 + "|" + "·" * 3 + "|" + "·" + "   0%"),
        (0.5, "█" * 15 + "·" * 9 + "|" + "·" * 3 + "|" + "·" + "  50%"),
        (1.2, "█" * 30 + " 120%"),
    ],
)
def test_the_bar_has_its_thresholds(fill: float | None, expected: str) -> None:
    """Thirty cells, two marks, the percentage; more than full stays within the bar."""
    assert fill_bar(fill).plain == expected


@pytest.mark.parametrize(("fill", "style"), [(0.79, "green"), (0.8, "yellow"), (0.95, "red")])
def test_the_bar_changes_colour_at_the_thresholds(fill: float, style: str) -> None:
    """Green, then yellow from compaction on, then red from rotation on."""
    assert {span.style for span in fill_bar(fill).spans} | {fill_bar(fill).style} >= {style}


def test_the_summary_has_a_row_per_issue() -> None:
    """Issues nobody worked on have blanks where others have numbers."""
    table = summary_table(
        [issue(), issue(issue="acme/widgets#2", agent=None, dispatches=0, peak_tokens=0)]
    )
    assert table.row_count == 2
    assert list(table.columns[5].cells) == ["2", ""]
