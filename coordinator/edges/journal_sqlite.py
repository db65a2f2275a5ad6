"""The journal on SQLite: the async face of the writer's thread and of what is kept in memory.

All waiting on the disk is bounded by the machine's own clock, not by Trio's: a test's virtual clock
that jumps while the thread works must not make a healthy disk look slow.
"""

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio

from coordinator.edges.journal import (
    Commit,
    Committed,
    Delivery,
    JournalHealth,
    Receipt,
    Sample,
    Snapshot,
    Stored,
    StoredDeadLetter,
    StoredDelivery,
    StoredOrder,
)
from coordinator.edges.journal_backup import copy_in_slices, partial_path, publish_copy
from coordinator.edges.journal_inbox import (
    Accepted,
    Replayed,
    accept_delivery,
    reject_delivery,
    replay_dead_letter,
)
from coordinator.edges.journal_migrations import SCHEMA_VERSION
from coordinator.edges.journal_mirror import Mirror, Stream
from coordinator.edges.journal_reads import (
    read_cursor,
    read_dead_letters,
    read_deliveries,
    read_events,
    read_samples,
    read_snapshot,
    read_text,
    read_timeline,
)
from coordinator.edges.journal_rows import Written, apply_commit, encode
from coordinator.edges.journal_writer import Operation, Pulse, Writer
from coordinator.errors import JournalInUse, JournalUnavailable
from coordinator.rules.ids import AgentName, IssueRef

__all__ = ["SqliteJournal"]

_QUEUE_BYTES = 64 * 1024 * 1024  # eight of the largest deliveries; beyond that memory is at risk
_KIB = 1024

_log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - an edge is a shell, and tests pass their own


class SqliteJournal:
    """`Journal` in one SQLite file at `path`; usable while `serve` runs.

    An accept is answered within `accept_deadline_s`: when the disk is slower than that, or more than
    `queue_limit` operations (or 64 MiB) wait already, with JournalUnavailable. An accept that had
    begun by then may still reach the disk; sent again it is a duplicate. Reads and commits have
    `commit_deadline_s` (an actor's handler has 30 s: it must hear of a stuck disk before that), but a
    commit that has begun is seen through: a caller that stays always learns its outcome. `retention`
    is for raw bodies and samples; events are kept.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime] = _utc_now,
        retention: timedelta = timedelta(days=30),
        accept_deadline_s: float = 1.5,
        commit_deadline_s: float = 10.0,
        queue_limit: int = 1024,
        synchronous: str = "FULL",
    ) -> None:
        self._path = path
        self._clock = clock
        self._retention = retention
        self._accept_deadline_s = accept_deadline_s
        self._commit_deadline_s = commit_deadline_s
        self._queue_limit = queue_limit
        self._synchronous = synchronous
        self._mirror = Mirror()
        self._writer: Writer | None = None
        self._waiting: set[Operation] = set()
        self._waiting_bytes = 0
        self._pulse = Pulse("not open", 0)
        self._stalled = False
        self._backing_up = trio.Lock()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Journal.serve`. The thread is joined and the file closed when this returns or raises."""
        if self._writer is not None:
            raise JournalInUse(f"{self._path} is being served already by this process")
        writer = self._writer = Writer(
            self._path,
            opening=self._mirror.load,
            report=self._answered,
            retention=self._retention,
            clock=self._clock,
            synchronous=self._synchronous,
        )
        writer.start()
        try:
            await writer.opened.wait()
            if writer.failure is None:
                task_status.started()
                await writer.ended.wait()
        finally:
            with trio.CancelScope(shield=True):
                await writer.stop()
            self._closed()
        if writer.failure is not None:
            raise writer.failure

    async def accept(self, delivery: Delivery) -> Receipt:
        accepted: Accepted = await self._submit(
            Operation(
                "write",
                partial(accept_delivery, delivery=delivery),
                size_bytes=len(delivery.body) + _KIB,
                undo=False,
                publish=self._mirror.accepted,
            ),
            within_s=self._accept_deadline_s,
        )
        if accepted.collided:
            _log.warning("journal_id_collision", delivery=delivery.id, seq=accepted.receipt.seq)
        return accepted.receipt

    async def reject(self, delivery: Delivery, reason: str) -> None:
        await self._submit(
            Operation(
                "write",
                partial(reject_delivery, delivery=delivery, reason=reason),
                size_bytes=len(delivery.body) + _KIB,
            ),
            within_s=self._accept_deadline_s,
        )

    async def commit(self, commit: Commit) -> Committed:
        encoded = encode(commit)
        written: Written = await self._submit(
            Operation(
                "write",
                partial(apply_commit, encoded=encoded),
                size_bytes=encoded.size_bytes,
                publish=self._mirror.committed,
            ),
            see_through=True,
        )
        return Committed(events=written.events, opened=written.opened)

    async def read_deliveries(self, after: int, limit: int) -> list[StoredDelivery]:
        kept = self._mirror.deliveries.read(after, limit, head=self.head("deliveries"))
        if kept is not None:
            await trio.lowlevel.checkpoint()
            return kept
        read: list[StoredDelivery] = await self._read(
            partial(read_deliveries, after=after, limit=limit)
        )
        return read

    async def read_events(self, after: int, limit: int) -> list[Stored]:
        kept = self._mirror.events.read(after, limit, head=self.head("events"))
        if kept is not None:
            await trio.lowlevel.checkpoint()
            return kept
        read: list[Stored] = await self._read(partial(read_events, after=after, limit=limit))
        return read

    async def timeline(self, issue: IssueRef, limit: int) -> list[Stored]:
        read: list[Stored] = await self._read(partial(read_timeline, issue=issue, limit=limit))
        return read

    async def text(self, text_key: str) -> str | None:
        read: str | None = await self._read(partial(read_text, text_key=text_key))
        return read

    async def cursor(self, actor: str) -> int:
        read: int = await self._read(partial(read_cursor, actor=actor))
        return read

    async def snapshot(self, actor: str) -> Snapshot | None:
        read: Snapshot | None = await self._read(partial(read_snapshot, actor=actor))
        return read

    async def dead_letters(
        self, *, actor: str | None = None, limit: int = 1000
    ) -> list[StoredDeadLetter]:
        read: list[StoredDeadLetter] = await self._read(
            partial(read_dead_letters, actor=actor, limit=limit)
        )
        return read

    async def replay_dead_letter(self, letter_id: int, at: datetime) -> StoredDeadLetter | None:
        replayed: Replayed | None = await self._submit(
            Operation(
                "write",
                partial(replay_dead_letter, letter_id=letter_id, at=at),
                publish=self._mirror.replayed,
            ),
            see_through=True,
        )
        return None if replayed is None else replayed.letter

    async def samples(self, agent: AgentName, since: datetime, limit: int) -> list[Sample]:
        read: list[Sample] = await self._read(
            partial(read_samples, agent=agent, since=since, limit=limit)
        )
        return read

    async def backup(self, path: Path) -> None:
        """See `Journal.backup`. One at a time; it takes as long as the disk needs."""
        writer = self._open_writer()

        def copy(source: sqlite3.Connection) -> None:
            copy_in_slices(source, path, lambda: writer.give_way(source))

        async with self._backing_up:  # two of one name would take each other's unfinished file
            try:
                await self._submit(Operation("backup", copy), see_through=True)
                await trio.to_thread.run_sync(publish_copy, path)
            except trio.Cancelled:
                partial_path(path).unlink(missing_ok=True)  # perhaps whole, and never to be named
                raise

    def open_orders(self, target: str) -> tuple[StoredOrder, ...]:
        return self._mirror.open_orders(target)

    def head(self, stream: Stream) -> int:
        return self._mirror.head(stream)

    async def wait_past(self, stream: Stream, seq: int) -> None:
        await trio.lowlevel.checkpoint()
        await self._mirror.wait_past(stream, seq)

    async def wait_orders(self, target: str, after: int = 0) -> None:
        await trio.lowlevel.checkpoint()
        await self._mirror.wait_orders(target, after)

    def health(self) -> JournalHealth:
        error = self._pulse.error
        if error is None and self._stalled:
            error = "the disk has not answered within the deadline"
        return JournalHealth(
            commits=error is None,
            error=error,
            queued=len(self._waiting),
            head=self._mirror.head("events"),
            deliveries=self._mirror.head("deliveries"),
            last_accepted_at=self._mirror.last_accepted_at,
            dead_letters=self._mirror.dead_letters,
            open_orders=self._mirror.open_order_count(),
            size_bytes=self._pulse.size_bytes,
            schema_version=SCHEMA_VERSION,
            collisions=self._mirror.collisions,
        )

    async def _read(self, run: Callable[[sqlite3.Connection], Any]) -> Any:
        return await self._submit(Operation("read", run))

    async def _submit(
        self, operation: Operation, *, within_s: float | None = None, see_through: bool = False
    ) -> Any:
        """Queue the operation and wait for its value, or raise its error.

        `within_s` (the commit deadline if None) bounds the wait; with `see_through` only until the
        operation has begun.
        """
        within_s = self._commit_deadline_s if within_s is None else within_s
        writer = self._open_writer()
        self._refuse_if_hopeless(operation)
        self._waiting.add(operation)
        self._waiting_bytes += operation.size_bytes
        writer.put(operation)
        try:
            if not await _wait(operation.done, within_s):
                operation.dropped = True
                if see_through and operation.begun:
                    await operation.done.wait()
        finally:
            operation.dropped = True
        if not operation.done.is_set():
            raise self._too_slow(operation, within_s)
        if operation.error is not None:
            raise operation.error
        return operation.value

    def _open_writer(self) -> Writer:
        writer = self._writer
        if writer is None or not writer.opened.is_set() or writer.ended.is_set():
            raise JournalUnavailable(f"{self._path} is not open")
        return writer

    def _refuse_if_hopeless(self, operation: Operation) -> None:
        if operation.kind == "write" and self._pulse.error is not None:
            raise JournalUnavailable(f"{self._path} cannot commit: {self._pulse.error}")
        if len(self._waiting) >= self._queue_limit:
            raise JournalUnavailable(f"{self._path}: {len(self._waiting)} operations wait already")
        if self._waiting_bytes + operation.size_bytes > max(_QUEUE_BYTES, operation.size_bytes):
            raise JournalUnavailable(f"{self._path}: {self._waiting_bytes} bytes wait already")

    def _too_slow(self, operation: Operation, within_s: float) -> JournalUnavailable:
        self._stalled = True
        fate = (
            "may still be stored, and is recognised when repeated"
            if operation.begun
            else "is not stored"
        )
        return JournalUnavailable(f"{self._path} has not answered within {within_s} s; this {fate}")

    def _answered(self, operations: list[Operation], pulse: Pulse) -> None:
        self._pulse = pulse
        self._stalled = False
        for operation in operations:
            self._waiting.discard(operation)
            self._waiting_bytes -= operation.size_bytes
            if operation.error is None and operation.publish is not None:
                operation.publish(operation.value)
            operation.done.set()

    def _closed(self) -> None:
        self._writer = None
        for operation in list(self._waiting):
            operation.refuse(JournalUnavailable(f"{self._path} was closed"))
        self._answered(list(self._waiting), Pulse("not open", self._pulse.size_bytes))


async def _wait(done: trio.Event, within_s: float) -> bool:
    """Wait until `done` or until so many seconds have passed on the machine's clock.

    What has happened by the time anybody can look counts: it is not late if it was we who stood still.
    """
    until_s = time.monotonic() + within_s
    while not done.is_set() and (left_s := until_s - time.monotonic()) > 0:
        with trio.move_on_after(left_s):
            await done.wait()
    await trio.lowlevel.cancel_shielded_checkpoint()
    return done.is_set()
