"""A transcript file on this machine, read for the fill of the context it records."""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from coordinator.edges.transcript_wire import Reading, TranscriptTail, read_tail
from coordinator.errors import VendorUnavailable
from coordinator.rules.context import ContextUsage

__all__ = ["MAX_TAIL_BYTES", "CountTokens", "Transcript"]

# Lines with images or long tool results reach a megabyte; four hold the last answer of any session
# seen, and parsing stops at that answer.
MAX_TAIL_BYTES = 4 * 1024 * 1024

CountTokens = Callable[[str, Sequence[Any]], Awaitable[int]]


class Transcript:
    """Reads one file from its end. Every failure to read is VendorUnavailable, naming the file.

    `model` is used to count the messages of a context that no answer has measured yet; without
    `count_tokens` such a context stays unknown. The count is an estimate: it lacks the system prompt
    and the tools, which the transcript does not hold.
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str,
        count_tokens: CountTokens | None = None,
        max_tail_bytes: int = MAX_TAIL_BYTES,
    ) -> None:
        self._path = path
        self._model = model
        self._count_tokens = count_tokens
        self._max_tail_bytes = max_tail_bytes
        self._seen: tuple[int, int] | None = None

    async def read(self, window_tokens: int | None) -> Reading | None:
        """The context as of the last answer; None when there has been none yet.

        A file that became another one (replaced or cut) since the last read is a failure once, so
        that a reading is never taken over from one file to the next unnoticed.
        """
        tail, from_start = await self._tail()
        found = read_tail(tail, from_start=from_start, window_tokens=window_tokens)
        if found.reading is not None:
            return found.reading
        if not found.complete:
            raise VendorUnavailable(f"{self._path}: no answer in its last {len(tail)} bytes")
        return await self._counted(found, window_tokens)

    async def _tail(self) -> tuple[bytes, bool]:
        try:
            tail, size_bytes, inode = await trio.to_thread.run_sync(self._read_end)
        except OSError as error:
            self._seen = None
            raise VendorUnavailable(f"{self._path}: {error.strerror or error}") from error
        seen, self._seen = self._seen, (inode, size_bytes)
        if seen is not None and (seen[0] != inode or size_bytes < seen[1]):
            raise VendorUnavailable(f"{self._path}: replaced by another file")
        return tail, size_bytes <= self._max_tail_bytes

    def _read_end(self) -> tuple[bytes, int, int]:
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            start = max(0, status.st_size - self._max_tail_bytes)
            file.seek(start)
            return file.read(status.st_size - start), status.st_size, status.st_ino

    async def _counted(self, found: TranscriptTail, window_tokens: int | None) -> Reading | None:
        if self._count_tokens is None or not found.messages or found.written_at is None:
            return None
        usage = ContextUsage(0, 0, 0, 0, window_tokens=window_tokens, sampled_at=found.written_at)
        counted = await self._count_tokens(self._model, found.messages)
        return Reading(replace(usage, input_tokens=counted), self._model, found.session_id, False)
