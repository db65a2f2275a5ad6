"""The JSONL transcript a Claude Code session writes, as far as its context's fill is concerned.

The format is internal to that program; read as versions 2.1.197 to 2.1.329 write it. The fill is in
the usage of the last main-thread answer after the last compaction: side chains have windows of their
own, synthetic answers have zero usage, and numbers from before a compaction are void. One answer can
take several lines with the same message id, early ones with partial counts.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from coordinator.rules.context import ContextUsage

__all__ = ["Reading", "TranscriptTail", "read_tail"]

# Stop reasons after which the agent goes on by itself; any other ends its turn.
_GOES_ON = (None, "tool_use", "pause_turn")

_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Reading:
    """The last answer's context; `session_id` is the agent's own name of the session, "" if absent."""

    usage: ContextUsage
    model: str
    session_id: str
    at_turn_boundary: bool


@dataclass(frozen=True, slots=True)
class TranscriptTail:
    """What the tail tells.

    `reading` is None when no answer follows the last compaction (or the start). Then `messages` is
    what the context holds, to be counted, with the instant of its newest line in `written_at`;
    empty when there is nothing to count. `complete` is False when neither a compaction nor the start
    of the file was within the tail, so that nothing can be concluded from a missing reading.
    """

    reading: Reading | None
    messages: tuple[dict[str, Any], ...] = ()
    written_at: datetime | None = None
    session_id: str = ""
    complete: bool = True


def read_tail(tail: bytes, *, from_start: bool, window_tokens: int | None) -> TranscriptTail:
    """The state of the context at the end of these bytes.

    `from_start` says the bytes are the whole file; otherwise the first line is taken for cut off. A
    last line that is still being written, and lines that are not objects, are passed over.
    """
    raw = tail.split(b"\n")
    answer: list[dict[str, Any]] = []  # the lines of the last answer, newest first
    later: list[dict[str, Any]] = []  # main-thread lines behind it, newest first
    complete = from_start
    for line in _objects(reversed(raw if from_start else raw[1:])):
        if line.get("type") == "system" and line.get("subtype") == "compact_boundary":
            complete = True
            break
        if not _is_main(line):
            continue
        if not answer and not _is_answer(line):
            later.append(line)
        elif not answer or (_is_answer(line) and _id(line) == _id(answer[0])):
            answer.append(line)
        else:
            break
    if answer:
        return TranscriptTail(_reading(answer, window_tokens, is_last=not later))
    return _unanswered(later, complete)


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _is_main(line: dict[str, Any]) -> bool:
    """Whether the line is a message of the main thread: user, or an assistant that is a model."""
    message = line.get("message")
    if line.get("isSidechain") or line.get("type") not in ("user", "assistant"):
        return False
    return isinstance(message, dict) and message.get("model") != "<synthetic>"


def _is_answer(line: dict[str, Any]) -> bool:
    return line["type"] == "assistant" and isinstance(line["message"].get("usage"), dict)


def _id(line: dict[str, Any]) -> object:
    return line["message"].get("id")


def _reading(answer: list[dict[str, Any]], window_tokens: int | None, *, is_last: bool) -> Reading:
    last = answer[0]
    usages = [line["message"]["usage"] for line in answer]
    # A line written while the answer streams has partial counts; the final ones are the largest.
    fresh, read, written, output = (max(_count(u.get(name)) for u in usages) for name in _COUNTS)
    return Reading(
        usage=ContextUsage(fresh, read, written, output, window_tokens, _instant(last)),
        model=str(last["message"].get("model", "")),
        session_id=str(last.get("sessionId", "")),
        at_turn_boundary=is_last and last["message"].get("stop_reason") not in _GOES_ON,
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _instant(line: dict[str, Any]) -> datetime:
    """When the line was written; the epoch when it does not say, so that it never looks like news."""
    try:
        at = datetime.fromisoformat(str(line.get("timestamp")))
    except ValueError:
        return _EPOCH
    return at if at.tzinfo is not None else _EPOCH


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _unanswered(main: list[dict[str, Any]], complete: bool) -> TranscriptTail:
    if not main or not complete:
        return TranscriptTail(None, complete=complete)
    messages = tuple(
        {"role": line["type"], "content": line["message"].get("content", "")} for line in reversed(main)
    )
    return TranscriptTail(None, messages, _instant(main[0]), str(main[0].get("sessionId", "")))
