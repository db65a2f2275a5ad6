"""Reading the fill of a context out of the end of a transcript."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.edges.transcript_wire import Reading, read_tail
from coordinator.rules.context import ContextUsage

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def answer(
    message_id: str,
    read: int = 0,
    *,
    written: int = 0,
    output: int = 10,
    stop: str | None = "end_turn",
    model: str = "claude-sonnet-5-5",
    at: str = "2026-11-21T12:00:00Z",
    **more: Any,
) -> dict[str, Any]:
    usage = {
        "input_tokens": 1,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": output,
    }
    message = {
        "id": message_id,
        "model": model,
        "role": "assistant",
        "usage": usage,
        "stop_reason": stop,
    }
    return {
        "type": "assistant",
        "isSidechain": False,
        "sessionId": "s-1",
        "timestamp": at,
        "message": message,
    } | more


def user(content: Any = "go on", **more: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "sessionId": "s-1",
        "timestamp": "2026-11-21T12:00:00Z",
        "message": {"role": "user", "content": content},
    } | more


BOUNDARY = {"type": "system", "subtype": "compact_boundary", "compactMetadata": {"trigger": "manual"}}


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def reading_of(tail: bytes, *, from_start: bool = True) -> Reading | None:
    return read_tail(tail, from_start=from_start, window_tokens=200_000).reading


def test_the_last_answer_is_the_reading() -> None:
    """Its four counts, its instant, its session; the window is what the caller knows."""
    tail = lines(answer("m1", 500), user(), answer("m2", 150_000, written=700, output=20))
    assert reading_of(tail) == Reading(
        usage=ContextUsage(1, 150_000, 700, 20, 200_000, NOON),
        model="claude-sonnet-5-5",
        session_id="s-1",
        at_turn_boundary=True,
    )


@pytest.mark.parametrize(
    ("after", "read"),
    [
        ([answer("m9", 99_999, isSidechain=True)], 500),
        ([answer("m9", 0, model="<synthetic>", output=0)], 500),
        ([{"type": "queue-operation"}, {"type": "cost-state", "totalCostUSD": 1}], 500),
        ([{"type": "system", "subtype": "status"}], 500),
        ([["not", "an", "object"], {"type": "assistant", "message": "odd"}], 500),
        ([user(), answer("m9", 700)], 700),
    ],
)
def test_only_main_thread_answers_of_a_model_count(after: list[Any], read: int) -> None:
    """Side chains, synthetic answers and housekeeping lines are passed over."""
    reading = reading_of(lines(answer("m1", 500), *after))
    assert reading is not None
    assert reading.usage.cache_read_tokens == read


def test_one_answer_over_several_lines_counts_once_and_in_full() -> None:
    """The first line of a message has a partial output count; the largest of each count holds."""
    tail = lines(
        answer("m1", 9_999),
        answer("m2", 500, output=1, stop=None),
        answer("m9", 77, isSidechain=True),
        answer("m2", 500, output=321, stop="tool_use"),
        answer("m2", 500, output=300, stop="end_turn"),
    )
    reading = reading_of(tail)
    assert reading is not None
    assert (reading.usage.used_tokens, reading.usage.output_tokens) == (501, 321)


@pytest.mark.parametrize(
    ("stop", "after", "boundary"),
    [
        ("end_turn", [], True),
        ("max_tokens", [], True),
        ("tool_use", [], False),
        ("pause_turn", [], False),
        (None, [], False),
        ("end_turn", [user()], False),
        ("end_turn", [user(isSidechain=True)], True),
        ("end_turn", [{"type": "last-prompt"}], True),
    ],
)
def test_a_turn_has_ended_when_its_answer_is_the_last_word(
    stop: str | None, after: list[Any], boundary: bool
) -> None:
    """A tool call, or a prompt behind the answer, means the agent is at work."""
    reading = reading_of(lines(answer("m1", 5, stop=stop), *after))
    assert reading is not None
    assert reading.at_turn_boundary is boundary


def test_a_compaction_voids_what_was_before() -> None:
    """Until the next answer there is no reading, only messages that can be counted."""
    summary = user("what happened so far", isCompactSummary=True)
    found = read_tail(
        lines(answer("m1", 150_000), BOUNDARY, summary, user([{"type": "text", "text": "x"}])),
        from_start=False,
        window_tokens=None,
    )
    assert (found.reading, found.complete, found.written_at, found.session_id) == (
        None,
        True,
        NOON,
        "s-1",
    )
    assert found.messages == (
        {"role": "user", "content": "what happened so far"},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
    )
    assert reading_of(lines(answer("m1", 150_000), BOUNDARY, answer("m2", 300))) is not None


@pytest.mark.parametrize(
    ("from_start", "complete"),
    [(True, True), (False, False)],
)
def test_a_missing_answer_is_told_from_one_out_of_sight(from_start: bool, complete: bool) -> None:
    """A cut tail without an answer proves nothing, so there is nothing to count either."""
    found = read_tail(lines(user("a"), user("b")), from_start=from_start, window_tokens=None)
    assert (found.reading, found.complete) == (None, complete)
    assert len(found.messages) == (2 if from_start else 0)
    assert read_tail(b"", from_start=True, window_tokens=None).messages == ()


def test_torn_lines_are_passed_over() -> None:
    """The first line of a cut tail, the last one being written, and bytes that are no text."""
    whole = lines(answer("m1", 500))
    assert reading_of(whole + b'{"type":"assistant","mess') == reading_of(whole)
    assert reading_of(whole + b"\xff\xfe\n") == reading_of(whole)
    assert reading_of(whole, from_start=False) is None


@pytest.mark.parametrize("stamp", [None, "yesterday", "2026-11-21T12:00:00"])
def test_an_undated_answer_is_never_news(stamp: str | None) -> None:
    """Without a real instant it counts as ancient: it may be a first reading, not a newer one."""
    reading = reading_of(lines(answer("m1", 5, timestamp=stamp)))
    assert reading is not None
    assert reading.usage.sampled_at == datetime(1970, 1, 1, tzinfo=UTC)


def test_odd_counts_are_zero() -> None:
    """A count that is missing, negative or no number adds nothing."""
    odd = answer("m1")
    odd["message"]["usage"] = {"input_tokens": "many", "output_tokens": -3}
    reading = reading_of(lines(odd))
    assert reading is not None
    assert reading.usage.predicted_tokens == 0


@given(
    st.lists(
        st.sampled_from(
            [
                answer("m1", 5),
                answer("m2", 7, stop="tool_use"),
                answer("m3", 9, isSidechain=True),
                user(),
                BOUNDARY,
                {"type": "x"},
                None,
            ]
        )
    ),
    st.integers(0, 2_000),
    st.booleans(),
)
def test_any_cut_of_a_transcript_is_read_or_unknown(values: list[Any], cut: int, start: bool) -> None:
    """Cut anywhere at the end, it still reads, and never invents a count."""
    raw = lines(*values)
    found = read_tail(raw[: max(0, len(raw) - cut)], from_start=start, window_tokens=None)
    assert found.reading is None or found.reading.usage.used_tokens in (6, 8)
