"""What the journal writes, as SQL: each function is one operation inside somebody else's transaction.

Runs in the writer's thread only. A JournalError raised here undoes this operation and no other.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from coordinator.edges.event_wire import encode_event, encode_order, issues_of
from coordinator.edges.journal import (
    Commit,
    DeadLetter,
    DeliveryOutcome,
    Draft,
    OrderClosed,
    OrderDraft,
    Sample,
    Snapshot,
    Stored,
    StoredOrder,
)
from coordinator.edges.journal_columns import micros, storable
from coordinator.errors import JournalError
from coordinator.rules.ids import DeliveryId

__all__ = ["Encoded", "Written", "apply_commit", "encode", "probe"]

_ROWS_PER_STEP = 64  # six columns of these stay below the 999 parameters of older SQLite
_PROBE_BYTES = 16_384  # about what a delivery takes: success here means the next accept has room


@dataclass(frozen=True, slots=True)
class Encoded:
    """A commit whose events and orders are already JSON, so that the transaction only inserts."""

    commit: Commit
    events: tuple[tuple[str, str], ...]
    orders: tuple[tuple[str, str], ...]

    @property
    def size_bytes(self) -> int:
        """About what it adds to the file."""
        commit = self.commit
        json_bytes = sum(len(body) for _, body in (*self.events, *self.orders))
        text_bytes = sum(len(text) for text in commit.texts.values())
        return json_bytes + text_bytes + (len(commit.snapshot.state) if commit.snapshot else 0)


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit wrote: the caller's answer, and what the memory beside the file must learn."""

    events: tuple[Stored, ...]
    opened: tuple[StoredOrder, ...]
    closed: tuple[int, ...]
    outcomes: tuple[DeliveryOutcome, ...]
    dead_letters: int


def encode(commit: Commit) -> Encoded:
    """The commit ready for `apply_commit`; a value that cannot be written is a JournalError here."""
    return Encoded(
        commit,
        tuple(encode_event(draft.event) for draft in commit.events),
        tuple(encode_order(draft.order) for draft in commit.opened),
    )


def apply_commit(connection: sqlite3.Connection, encoded: Encoded) -> Written:
    """Write the whole commit; JournalError when the actor's cursor is not where it was expected."""
    commit = encoded.commit
    at_micros = micros(commit.at)
    _move_cursor(connection, commit)
    if commit.snapshot is not None:
        _put_snapshot(connection, commit.actor, commit.snapshot)
    _put_texts(connection, commit.texts)
    events = _append_events(connection, encoded, at_micros)
    closed = tuple(order.id for order in commit.closed if _close_order(connection, order, at_micros))
    opened = [
        _open_order(connection, draft, commit.at, kind, body)
        for draft, (kind, body) in zip(commit.opened, encoded.orders, strict=True)
    ]
    _put_outcomes(connection, commit.outcomes)
    _put_samples(connection, commit.samples)
    _put_dead_letters(connection, commit.dead_letters, at_micros)
    return Written(
        events=events,
        opened=tuple(order for order in opened if order is not None),
        closed=closed,
        outcomes=commit.outcomes,
        dead_letters=len(commit.dead_letters),
    )


def probe(connection: sqlite3.Connection) -> None:
    """Write something of a delivery's size, to see whether the disk takes it."""
    connection.execute(
        "INSERT OR REPLACE INTO probe (id, pad) VALUES (1, randomblob(?))", (_PROBE_BYTES,)
    )


def _move_cursor(connection: sqlite3.Connection, commit: Commit) -> None:
    if commit.expected_cursor is not None:
        row = connection.execute(
            "SELECT position FROM cursor WHERE actor = ?", (commit.actor,)
        ).fetchone()
        found = row[0] if row else 0
        if found != commit.expected_cursor:
            raise JournalError(
                f"{commit.actor} expected its cursor at {commit.expected_cursor}, found {found}: "
                "another incarnation has moved it"
            )
    if commit.cursor is not None:
        connection.execute(
            "INSERT OR REPLACE INTO cursor (actor, position) VALUES (?, ?)",
            (commit.actor, commit.cursor),
        )


def _put_snapshot(connection: sqlite3.Connection, actor: str, snapshot: Snapshot) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO snapshot (actor, position, version, state) VALUES (?, ?, ?, ?)",
        (actor, snapshot.cursor, snapshot.version, snapshot.state),
    )


def _put_texts(connection: sqlite3.Connection, texts: Mapping[str, str]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO text (key, body) VALUES (?, ?)",
        [(key, storable(text)) for key, text in texts.items()],
    )


def _append_events(
    connection: sqlite3.Connection, encoded: Encoded, at_micros: int
) -> tuple[Stored, ...]:
    commit = encoded.commit
    if not commit.events:
        return ()
    (head,) = connection.execute("SELECT ifnull(max(seq), 0) FROM event").fetchone()
    at = commit.at.astimezone(UTC)
    stored = tuple(
        Stored(seq, at, commit.actor, _delivery_of(draft), draft.event)
        for seq, draft in enumerate(commit.events, start=head + 1)
    )
    rows = [
        (each.seq, at_micros, each.actor, each.delivery, kind, body)
        for each, (kind, body) in zip(stored, encoded.events, strict=True)
    ]
    _many(connection, "INSERT INTO event (seq, at, actor, delivery, kind, body) VALUES {}", rows)
    issues = [(str(issue), each.seq) for each in stored for issue in issues_of(each.event)]
    _many(connection, "INSERT INTO event_issue (issue, seq) VALUES {}", issues)
    return stored


def _delivery_of(draft: Draft) -> DeliveryId | None:
    return None if draft.delivery is None else DeliveryId(storable(draft.delivery))


def _put_outcomes(connection: sqlite3.Connection, outcomes: tuple[DeliveryOutcome, ...]) -> None:
    rows = [(one.seq, storable(one.outcome), storable(one.detail)) for one in outcomes]
    _many(
        connection,
        "UPDATE delivery SET outcome = noted.column2, detail = noted.column3"
        " FROM (VALUES {}) AS noted WHERE delivery.seq = noted.column1",
        rows,
    )


def _many(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Run the statement with all rows at its {}, in as few steps as SQLite's parameters allow.

    A step per row would give the interpreter's lock away and wait for it again for each: under load
    that wait, not SQLite, is the cost.
    """
    for start in range(0, len(rows), _ROWS_PER_STEP):
        chunk = rows[start : start + _ROWS_PER_STEP]
        row = f"({', '.join('?' * len(chunk[0]))})"
        values = ", ".join([row] * len(chunk))
        connection.execute(statement.format(values), [value for each in chunk for value in each])


def _open_order(
    connection: sqlite3.Connection, draft: OrderDraft, at: datetime, kind: str, body: str
) -> StoredOrder | None:
    delivery = None if draft.delivery is None else DeliveryId(storable(draft.delivery))
    inserted = connection.execute(
        "INSERT INTO orders (key, target, kind, body, opened_at, delivery) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (key) DO NOTHING",
        (draft.order.key, draft.target, kind, body, micros(at), delivery),
    )
    if inserted.rowcount == 0:
        return None
    return StoredOrder(inserted.lastrowid or 0, draft.target, draft.order, at.astimezone(UTC), delivery)


def _close_order(connection: sqlite3.Connection, order: OrderClosed, at_micros: int) -> bool:
    updated = connection.execute(
        "UPDATE orders SET closed_at = ?, result = ?, detail = ? WHERE id = ? AND closed_at IS NULL",
        (at_micros, storable(order.result), storable(order.detail), order.id),
    )
    return updated.rowcount > 0


def _put_samples(connection: sqlite3.Connection, samples: tuple[Sample, ...]) -> None:
    connection.executemany(
        "INSERT INTO sample (agent, run, session, sampled_at, input_tokens, cache_read_tokens,"
        " cache_creation_tokens, output_tokens, window_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                sample.agent,
                str(sample.run),
                sample.session,
                micros(sample.usage.sampled_at),
                sample.usage.input_tokens,
                sample.usage.cache_read_tokens,
                sample.usage.cache_creation_tokens,
                sample.usage.output_tokens,
                sample.usage.window_tokens,
            )
            for sample in samples
        ],
    )


def _put_dead_letters(
    connection: sqlite3.Connection, letters: tuple[DeadLetter, ...], at_micros: int
) -> None:
    connection.executemany(
        "INSERT INTO dead_letter (at, actor, item, message, first_error, second_error)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                at_micros,
                letter.actor,
                letter.item,
                storable(letter.message),
                storable(letter.first_error),
                storable(letter.second_error),
            )
            for letter in letters
        ],
    )
