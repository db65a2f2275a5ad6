"""The inbox as SQL: what the contract suite does not see."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.edges.journal import Commit, DeadLetter, Delivery
from coordinator.edges.journal_inbox import (
    INBOX_READER,
    REJECTED_KEPT,
    REJECTED_KEPT_BYTES,
    accept_delivery,
    reject_delivery,
    replay_dead_letter,
)
from coordinator.edges.journal_open import open_connection
from coordinator.edges.journal_rows import apply_commit, encode
from coordinator.errors import JournalError
from coordinator.rules.ids import DeliveryId
from tests.edges.journal_contract import AT, delivery


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_connection(tmp_path / "j.db")) as connection:
        yield connection


def test_headers_are_kept_in_their_order(connection: sqlite3.Connection) -> None:
    """An operator finds every header as it came, also a repeated one or one of odd bytes."""
    headers = (("B", "2"), ("A", "\udc80\x00"), ("B", "1"))
    accept_delivery(connection, Delivery(DeliveryId("d"), "issues", "issues", headers, b"x", AT))
    [(kept,)] = connection.execute("SELECT headers FROM delivery_body").fetchall()
    assert tuple(map(tuple, json.loads(kept))) == headers


def test_duplicates_are_counted(connection: sqlite3.Connection) -> None:
    """The first copy's row tells how often it came again."""
    for name in ("d1", "d1", "d2"):
        accept_delivery(connection, delivery(name))
    assert connection.execute("SELECT duplicates FROM delivery").fetchall() == [(2,)]


def test_event_and_body_cannot_run_into_each_other(connection: sqlite3.Connection) -> None:
    """Moving a byte from the event's name to the body makes another content."""
    accept_delivery(connection, delivery("d1", b"sx", event="issue"))
    other = accept_delivery(connection, delivery("d2", b"x", event="issues"))
    assert other.receipt.duplicate_of is None


def test_an_id_that_looks_like_a_suffix_is_no_obstacle(connection: sqlite3.Connection) -> None:
    """A sender may already have used the suffixed id: the next free one is taken."""
    names = ["d", "d~collision2", "d"]
    kept = [
        accept_delivery(connection, delivery(name, b"%d" % n)).stored for n, name in enumerate(names)
    ]
    assert [one.id for one in kept if one] == ["d", "d~collision2", "d~collision3"]


def test_the_newest_rejected_deliveries_are_kept(connection: sqlite3.Connection) -> None:
    """The table of rejected deliveries stops growing at its bound; each row has its reason."""
    for number in range(REJECTED_KEPT + 5):
        reject_delivery(connection, delivery(f"d{number}"), f"reason {number}")
    rows = connection.execute("SELECT id, reason, body FROM rejected ORDER BY number").fetchall()
    assert len(rows) == REJECTED_KEPT
    assert rows[0] == ("d5", "reason 5", delivery().body)
    assert rows[-1][0] == f"d{REJECTED_KEPT + 4}"


def test_rejected_deliveries_are_bounded_in_bytes(connection: sqlite3.Connection) -> None:
    """Large ones push the oldest out before they are a thousand."""
    size_bytes = REJECTED_KEPT_BYTES // 8
    for number in range(10):
        reject_delivery(connection, delivery(f"d{number}", bytes(size_bytes)), "too odd")
    rows = connection.execute("SELECT id FROM rejected ORDER BY number").fetchall()
    assert rows == [(f"d{number}",) for number in range(2, 10)]


def test_a_copy_names_its_original(connection: sqlite3.Connection) -> None:
    """A replayed delivery's row points to the first one and carries its headers."""
    accept_delivery(connection, delivery())
    letter = DeadLetter(INBOX_READER, 1, "m", "a", "b")
    apply_commit(connection, encode(Commit("router", AT, dead_letters=(letter,))))
    replay_dead_letter(connection, 1, AT)
    rows = connection.execute(
        "SELECT replay_of, content_key, headers = (SELECT headers FROM delivery_body WHERE seq = 1)"
        " FROM delivery JOIN delivery_body USING (seq) WHERE seq = 2"
    )
    assert rows.fetchall() == [(1, None, 1)]


def test_a_letter_of_no_delivery_cannot_be_replayed(connection: sqlite3.Connection) -> None:
    """An item the inbox does not hold is a refusal that names it."""
    letter = DeadLetter(INBOX_READER, 77, "m", "a", "b")
    apply_commit(connection, encode(Commit("router", AT, dead_letters=(letter,))))
    with pytest.raises(JournalError, match="delivery 77"):
        replay_dead_letter(connection, 1, AT)


def test_a_body_that_cannot_be_stored_leaves_nothing_behind(connection: sqlite3.Connection) -> None:
    """Without a savepoint around it, an accept that fails half-way takes its first half back."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000)
    with pytest.raises(sqlite3.DataError):
        accept_delivery(connection, delivery("large", b"x" * 2_000))
    assert connection.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
    assert accept_delivery(connection, delivery("small", b"x")).receipt.seq == 1
