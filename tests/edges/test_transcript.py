"""A real file read from its end, and everything that can be wrong with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from coordinator.edges.transcript import Transcript
from coordinator.errors import VendorRefused, VendorUnavailable
from tests.edges.test_transcript_wire import BOUNDARY, NOON, answer, lines, user

MODEL = "claude-sonnet-5-5"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def replace(path: Path, content: bytes) -> None:
    """Another file under the same name, as log rotation leaves it."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


async def test_a_growing_file_is_read_again(path: Path) -> None:
    """Each read gives the newest answer; before the first there is none."""
    transcript = Transcript(path, model=MODEL)
    write(path, lines(user()))
    assert await transcript.read(200_000) is None
    write(path, lines(user(), answer("m1", 500)))
    first = await transcript.read(200_000)
    append(path, lines(user(), answer("m2", 900)))
    second = await transcript.read(None)
    assert first is not None
    assert second is not None
    assert (first.usage.used_tokens, first.usage.window_tokens) == (501, 200_000)
    assert (second.usage.used_tokens, second.usage.window_tokens) == (901, None)


async def test_only_the_end_of_a_long_file_is_read(path: Path) -> None:
    """Bounded bytes are enough while an answer is within them, and a failure once it is not."""
    write(path, lines(*[user("x" * 100)] * 1_000, answer("m1", 500)))
    transcript = Transcript(path, model=MODEL, max_tail_bytes=2_000)
    reading = await transcript.read(None)
    assert reading is not None
    assert reading.usage.used_tokens == 501
    append(path, lines(user("y" * 5_000)))
    with pytest.raises(VendorUnavailable, match="no answer in its last 2000 bytes"):
        await transcript.read(None)


async def test_an_absent_file_is_named(path: Path) -> None:
    """A file that is not there, or is a folder, is unavailable; it may come."""
    transcript = Transcript(path, model=MODEL)
    with pytest.raises(VendorUnavailable, match=r"session\.jsonl: No such file"):
        await transcript.read(None)
    write(path, lines(answer("m1", 500)))
    assert await transcript.read(None) is not None
    with pytest.raises(VendorUnavailable, match="directory"):
        await Transcript(path.parent, model=MODEL).read(None)


@pytest.mark.parametrize("how", ["cut", "replaced"])
async def test_another_file_in_its_place_is_noticed_once(path: Path, how: str) -> None:
    """A cut or a replacement fails one read, so no reading crosses over; the next is of the new."""
    write(path, lines(answer("m1", 500), user()))
    transcript = Transcript(path, model=MODEL)
    await transcript.read(None)
    if how == "cut":
        write(path, lines(answer("m2", 30)))
    else:
        replace(path, lines(answer("m2", 30), user(), user(), user()))
    with pytest.raises(VendorUnavailable, match="replaced by another file"):
        await transcript.read(None)
    reading = await transcript.read(None)
    assert reading is not None
    assert reading.usage.used_tokens == 31


class Counter:
    """Counts as Claude would: 7 tokens a message."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self._failure = failure

    async def __call__(self, model: str, messages: Sequence[Any]) -> int:
        self.asked.append((model, len(messages)))
        if self._failure is not None:
            raise self._failure
        return 7 * len(messages)


async def test_a_context_without_an_answer_is_counted(path: Path) -> None:
    """After a compaction the messages behind it are counted, until an answer measures them."""
    counter = Counter()
    transcript = Transcript(path, model=MODEL, count_tokens=counter)
    write(path, lines(answer("m1", 500), BOUNDARY, user("summary"), user()))
    reading = await transcript.read(1_000)
    assert reading is not None
    assert (reading.usage.predicted_tokens, reading.usage.window_tokens) == (14, 1_000)
    assert (reading.usage.sampled_at, reading.at_turn_boundary) == (NOON, False)
    append(path, lines(answer("m2", 40)))
    measured = await transcript.read(1_000)
    assert measured is not None
    assert measured.usage.used_tokens == 41
    assert counter.asked == [(MODEL, 2)]


async def test_nothing_is_counted_in_an_empty_file(path: Path) -> None:
    """No message, no question."""
    counter = Counter()
    write(path, b"")
    assert await Transcript(path, model=MODEL, count_tokens=counter).read(None) is None
    assert counter.asked == []


async def test_a_failed_count_is_the_vendors_failure(path: Path) -> None:
    """It passes through as it is, never as a count of zero."""
    counter = Counter(VendorRefused("no key"))
    write(path, lines(user()))
    with pytest.raises(VendorRefused, match="no key"):
        await Transcript(path, model=MODEL, count_tokens=counter).read(None)
