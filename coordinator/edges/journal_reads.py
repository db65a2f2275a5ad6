"""What the journal reads back, as SQL. Runs in the writer's thread only; every query is indexed."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from coordinator.edges.event_wire import decode_event, decode_order
from coordinator.edges.journal import (
    DeadLetter,
    Sample,
    Snapshot,
    Stored,
    StoredDeadLetter,
    StoredDelivery,
    StoredOrder,
)
from coordinator.edges.journal_columns import instant, micros
from coordinator.rules.context import ContextUsage
from coordinator.rules.ids import AgentName, DeliveryId, IssueRef, RunId

__all__ = [
    "Loaded",
    "load",
    "read_cursor",
    "read_dead_letters",
    "read_deliveries",
    "read_events",
    "read_samples",
    "read_snapshot",
    "read_text",
    "read_timeline",
]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What must be in memory before the journal is ready; all of it by index, whatever the size."""

    events: int
    deliveries: int
    collisions: int
    dead_letters: int
    last_accepted_at: datetime | None
    open_orders: tuple[StoredOrder, ...]


def load(connection: sqlite3.Connection) -> Loaded:
    """The heads, the counts and the open orders of the file."""
    last = connection.execute(
        "SELECT seq, received_at FROM delivery ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    open_orders = connection.execute(
        "SELECT id, target, kind, body, opened_at, delivery FROM orders INDEXED BY orders_open"
        " WHERE closed_at IS NULL ORDER BY id"
    )
    return Loaded(
        events=_number(connection, "SELECT coalesce(max(seq), 0) FROM event"),
        deliveries=0 if last is None else last[0],
        collisions=_number(connection, "SELECT count(*) FROM delivery WHERE collided = 1"),
        dead_letters=_number(connection, "SELECT count(*) FROM dead_letter WHERE replayed_at IS NULL"),
        last_accepted_at=None if last is None else instant(last[1]),
        open_orders=tuple(
            StoredOrder(row[0], row[1], decode_order(row[2], row[3]), instant(row[4]), row[5])
            for row in open_orders
        ),
    )


def read_deliveries(connection: sqlite3.Connection, after: int, limit: int) -> list[StoredDelivery]:
    rows = connection.execute(
        "SELECT seq, id, event, event_type, received_at, body, outcome"
        " FROM delivery LEFT JOIN delivery_body USING (seq) WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    )
    return [
        StoredDelivery(row[0], DeliveryId(row[1]), row[2], row[3], instant(row[4]), row[5], row[6])
        for row in rows
    ]


def read_events(connection: sqlite3.Connection, after: int, limit: int) -> list[Stored]:
    rows = connection.execute(
        "SELECT seq, at, actor, delivery, kind, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    )
    return [_stored(row) for row in rows]


def read_timeline(connection: sqlite3.Connection, issue: IssueRef, limit: int) -> list[Stored]:
    rows = connection.execute(
        "SELECT event.seq, at, actor, delivery, kind, body FROM event_issue JOIN event USING (seq)"
        " WHERE issue = ? ORDER BY event_issue.seq DESC LIMIT ?",
        (str(issue), limit),
    ).fetchall()
    return [_stored(row) for row in reversed(rows)]


def read_text(connection: sqlite3.Connection, text_key: str) -> str | None:
    row = connection.execute("SELECT body FROM text WHERE key = ?", (text_key,)).fetchone()
    return None if row is None else row[0]


def read_cursor(connection: sqlite3.Connection, actor: str) -> int:
    row = connection.execute("SELECT position FROM cursor WHERE actor = ?", (actor,)).fetchone()
    return 0 if row is None else row[0]


def read_snapshot(connection: sqlite3.Connection, actor: str) -> Snapshot | None:
    row = connection.execute(
        "SELECT position, version, state FROM snapshot WHERE actor = ?", (actor,)
    ).fetchone()
    return None if row is None else Snapshot(*row)


def read_dead_letters(
    connection: sqlite3.Connection, actor: str | None, limit: int
) -> list[StoredDeadLetter]:
    rows = connection.execute(
        "SELECT id, at, actor, item, message, first_error, second_error, replayed_at FROM dead_letter"
        " WHERE ?1 IS NULL OR actor = ?1 ORDER BY id DESC LIMIT ?2",
        (actor, limit),
    )
    return [
        StoredDeadLetter(
            row[0],
            instant(row[1]),
            DeadLetter(*row[2:7]),
            None if row[7] is None else instant(row[7]),
        )
        for row in rows
    ]


def read_samples(
    connection: sqlite3.Connection, agent: AgentName, since: datetime, limit: int
) -> list[Sample]:
    rows = connection.execute(
        "SELECT run, session, input_tokens, cache_read_tokens, cache_creation_tokens, output_tokens,"
        " window_tokens, sampled_at FROM sample WHERE agent = ? AND sampled_at >= ?"
        " ORDER BY sampled_at DESC, number DESC LIMIT ?",
        (agent, micros(since), limit),
    ).fetchall()
    return [Sample(agent, RunId.parse(row[0]), row[1], _usage(row[2:])) for row in reversed(rows)]


def _stored(row: tuple[int, int, str, DeliveryId | None, str, str]) -> Stored:
    seq, at_micros, actor, delivery, kind, body = row
    return Stored(seq, instant(at_micros), actor, delivery, decode_event(kind, body))


def _usage(row: tuple[int, int, int, int, int | None, int]) -> ContextUsage:
    return ContextUsage(row[0], row[1], row[2], row[3], row[4], instant(row[5]))


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
