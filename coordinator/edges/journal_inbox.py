"""The journal's inbox as SQL: what comes in, what is turned away, what is put in again.

Each function is one operation inside somebody else's transaction, in the writer's thread.
"""

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from coordinator.edges.journal import (
    DeadLetter,
    Delivery,
    Receipt,
    StoredDeadLetter,
    StoredDelivery,
)
from coordinator.edges.journal_columns import instant, micros, storable
from coordinator.errors import JournalError
from coordinator.rules.ids import DeliveryId

__all__ = [
    "INBOX_READER",
    "REJECTED_KEPT",
    "REJECTED_KEPT_BYTES",
    "Accepted",
    "Replayed",
    "accept_delivery",
    "reject_delivery",
    "replay_dead_letter",
]

INBOX_READER = "router"
"""The actor whose items are deliveries; every other actor's items are events."""

REJECTED_KEPT = 1_000  # enough to diagnose a misconfigured hook
REJECTED_KEPT_BYTES = 64 * 1024 * 1024  # a thousand of the largest size would take 8 GB of the disk


@dataclass(frozen=True, slots=True)
class Accepted:
    """What `accept_delivery` did; `stored` is None for a duplicate."""

    receipt: Receipt
    stored: StoredDelivery | None
    collided: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replayed letter, whether it was waiting until now, and the copy put into the inbox, if any."""

    letter: StoredDeadLetter
    was_waiting: bool
    copy: StoredDelivery | None


def accept_delivery(connection: sqlite3.Connection, delivery: Delivery) -> Accepted:
    """Store the delivery unless its content is known; a taken id gets a suffix.

    A new delivery takes two statements: each gives the interpreter's lock away and has to get it back
    from a busy thread, which costs more than the statement. Needs no savepoint: what fails
    leaves nothing behind.
    """
    content_key = _content_key(delivery)
    wanted = free = storable(delivery.id)
    seq = _insert_delivery(connection, delivery, wanted, content_key, collided=False)
    if seq is None:
        known = connection.execute(
            "SELECT seq FROM delivery WHERE content_key = ?", (content_key,)
        ).fetchone()
        if known is not None:
            connection.execute("UPDATE delivery SET duplicates = duplicates + 1 WHERE seq = ?", known)
            return Accepted(Receipt(known[0], duplicate_of=known[0]), None)
        free = _free_id(connection, wanted, "collision")
        seq = _insert_delivery(connection, delivery, free, content_key, collided=True)
        assert seq is not None
    stored = StoredDelivery(
        seq=seq,
        id=DeliveryId(free),
        event=storable(delivery.event),
        event_type=storable(delivery.event_type),
        received_at=delivery.received_at.astimezone(UTC),
        body=delivery.body,
        outcome=None,
    )
    return Accepted(Receipt(seq), stored, collided=free != wanted)


def reject_delivery(connection: sqlite3.Connection, delivery: Delivery, reason: str) -> None:
    """Keep the delivery for diagnosis and drop the oldest past REJECTED_KEPT or its bytes."""
    number = connection.execute(
        "INSERT INTO rejected (id, event, event_type, received_at, reason, headers, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            storable(delivery.id),
            storable(delivery.event),
            storable(delivery.event_type),
            micros(delivery.received_at),
            storable(reason),
            json.dumps(delivery.headers),
            delivery.body,
        ),
    ).lastrowid
    connection.execute("DELETE FROM rejected WHERE number <= ?", ((number or 0) - REJECTED_KEPT,))
    connection.execute(
        "DELETE FROM rejected WHERE number <= (SELECT max(number) FROM (SELECT number,"
        " sum(length(body)) OVER (ORDER BY number DESC) AS newer FROM rejected) WHERE newer > ?)",
        (REJECTED_KEPT_BYTES,),
    )


def replay_dead_letter(connection: sqlite3.Connection, letter_id: int, at: datetime) -> Replayed | None:
    """Mark the letter and copy its delivery to the end of the inbox; a second time changes nothing."""
    row = connection.execute(
        "SELECT at, actor, item, message, first_error, second_error, replayed_at"
        " FROM dead_letter WHERE id = ?",
        (letter_id,),
    ).fetchone()
    if row is None:
        return None
    letter = DeadLetter(*row[1:6])
    if row[6] is not None:
        known = StoredDeadLetter(letter_id, instant(row[0]), letter, instant(row[6]))
        return Replayed(known, was_waiting=False, copy=None)
    connection.execute("UPDATE dead_letter SET replayed_at = ? WHERE id = ?", (micros(at), letter_id))
    copy = None
    if letter.actor == INBOX_READER and letter.item is not None:
        copy = _copy_delivery(connection, letter.item, at)
    replayed = StoredDeadLetter(letter_id, instant(row[0]), letter, at.astimezone(UTC))
    return Replayed(replayed, was_waiting=True, copy=copy)


def _content_key(delivery: Delivery) -> bytes:
    digest = hashlib.sha256(storable(delivery.event).encode())
    digest.update(b"\0")
    digest.update(delivery.body)
    return digest.digest()


def _free_id(connection: sqlite3.Connection, wanted: str, suffix: str) -> str:
    candidate, number = wanted, 1
    while connection.execute("SELECT 1 FROM delivery WHERE id = ?", (candidate,)).fetchone():
        number += 1
        candidate = f"{wanted}~{suffix}{number}"
    return candidate


def _insert_delivery(
    connection: sqlite3.Connection, delivery: Delivery, free: str, content_key: bytes, *, collided: bool
) -> int | None:
    """The new delivery's seq; None, and nothing written, when its id or its content is known."""
    headers = json.dumps(delivery.headers)
    inserted = connection.execute(
        "INSERT INTO delivery (id, content_key, event, event_type, received_at, collided)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            free,
            content_key,
            storable(delivery.event),
            storable(delivery.event_type),
            micros(delivery.received_at),
            collided,
        ),
    )
    if inserted.rowcount == 0:
        return None
    try:
        connection.execute(
            "INSERT INTO delivery_body (seq, headers, body) VALUES (?, ?, ?)",
            (inserted.lastrowid, headers, delivery.body),
        )
    except sqlite3.Error:
        connection.execute("DELETE FROM delivery WHERE seq = ?", (inserted.lastrowid,))
        raise
    return inserted.lastrowid


def _copy_delivery(connection: sqlite3.Connection, seq: int, at: datetime) -> StoredDelivery:
    row = connection.execute(
        "SELECT id, event, event_type, headers, body FROM delivery JOIN delivery_body USING (seq)"
        " WHERE seq = ?",
        (seq,),
    ).fetchone()
    if row is None:
        raise JournalError(f"delivery {seq} cannot be replayed: its body is past retention")
    free = _free_id(connection, f"{row[0]}~replay", "")
    copy_seq = connection.execute(
        "INSERT INTO delivery (id, event, event_type, received_at, replay_of) VALUES (?, ?, ?, ?, ?)",
        (free, row[1], row[2], micros(at), seq),
    ).lastrowid
    connection.execute(
        "INSERT INTO delivery_body (seq, headers, body) VALUES (?, ?, ?)", (copy_seq, row[3], row[4])
    )
    return StoredDelivery(
        copy_seq or 0, DeliveryId(free), row[1], row[2], at.astimezone(UTC), row[4], None
    )
