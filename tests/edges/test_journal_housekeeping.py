"""Checkpoints and retention, a little at a time."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from coordinator.edges.journal_housekeeping import BATCH_ROWS, Checkpointer, Pruner
from coordinator.edges.journal_inbox import accept_delivery, replay_dead_letter
from coordinator.edges.journal_open import open_connection
from coordinator.edges.journal_rows import probe
from tests.edges.journal_contract import AT, delivery

OLD = AT - timedelta(days=31)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_connection(tmp_path / "j.db")) as connection:
        yield connection


def _frames(connection: sqlite3.Connection) -> int:
    """Pages of the log not yet in the file; counting moves them, as SQLite tells it no other way."""
    return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])


def test_a_short_log_is_left_alone(connection: sqlite3.Connection) -> None:
    """Below the threshold nothing is moved."""
    checkpointer = Checkpointer()
    checkpointer.wrote(10, 10 * 4096)
    assert not checkpointer.run_if_due(connection, 0.0)


def test_a_long_log_is_moved_once(connection: sqlite3.Connection) -> None:
    """Past the threshold the log goes into the file, and then there is nothing to do."""
    checkpointer = Checkpointer()
    probe(connection)
    checkpointer.wrote(1, 1000 * 4096)
    assert checkpointer.run_if_due(connection, 0.0)
    assert not checkpointer.run_if_due(connection, 0.0)


def test_a_failed_checkpoint_is_tried_later(tmp_path: Path) -> None:
    """An error is not the caller's: commits go on in the log, and the next try waits a while."""
    closed = open_connection(tmp_path / "j.db")
    checkpointer = Checkpointer()
    checkpointer.wrote(1, 1000 * 4096)
    closed.close()
    assert not checkpointer.run_if_due(closed, 0.0)
    with closing(open_connection(tmp_path / "j.db")) as connection:
        assert not checkpointer.run_if_due(connection, 9.0)
        assert checkpointer.run_if_due(connection, 10.0)


def _fill(
    connection: sqlite3.Connection, number: int, received_at: datetime, outcome: str | None
) -> None:
    accept_delivery(connection, delivery(f"d{number}", b"%d" % number, received_at=received_at))
    connection.execute("UPDATE delivery SET outcome = ? WHERE id = ?", (outcome, f"d{number}"))


def _bodies(connection: sqlite3.Connection) -> list[int]:
    return [seq for (seq,) in connection.execute("SELECT seq FROM delivery_body ORDER BY seq")]


def _round(pruner: Pruner, connection: sqlite3.Connection, now_s: float = 0.0) -> list[int]:
    """Prune until the round is over; what each batch took."""
    taken = []
    while pruner.due_in_s(now_s) == 0.0:
        taken.append(pruner.prune_batch(connection, now_s))
    return taken


def _pruner() -> Pruner:
    return Pruner(retention=timedelta(days=30), clock=lambda: AT)


def test_only_old_settled_bodies_go(connection: sqlite3.Connection) -> None:
    """A fresh body stays, and so does an old one without an outcome: nobody has dealt with it."""
    _fill(connection, 1, OLD, "ignored")
    _fill(connection, 2, OLD, None)
    _fill(connection, 3, AT, "ignored")
    assert sum(_round(_pruner(), connection)) == 1
    assert _bodies(connection) == [2, 3]


def test_a_dead_letter_keeps_its_body_until_it_is_replayed(connection: sqlite3.Connection) -> None:
    """A delivery the router gave up has an outcome, but its replay needs the bytes; a monitor's letter
    about an event of the same number keeps nothing."""
    for number in (1, 2):
        _fill(connection, number, OLD, "dead_letter")
    for actor, item in (("router", 1), ("monitor:a", 2)):
        connection.execute(
            "INSERT INTO dead_letter (at, actor, item, message, first_error, second_error)"
            " VALUES (0, ?, ?, '', '', '')",
            (actor, item),
        )
    _round(_pruner(), connection)
    assert _bodies(connection) == [1]
    replay_dead_letter(connection, 1, AT)
    _round(_pruner(), connection)
    assert _bodies(connection) == [3]


def test_a_round_goes_in_batches(connection: sqlite3.Connection) -> None:
    """However much is old, no batch takes more than its bound, and the round takes it all."""
    for number in range(2 * BATCH_ROWS + 10):
        _fill(connection, number, OLD, "ignored")
    taken = _round(_pruner(), connection)
    assert max(taken) == BATCH_ROWS
    assert sum(taken) == 2 * BATCH_ROWS + 10
    assert _bodies(connection) == []


def test_unsettled_bodies_do_not_hide_what_lies_behind(connection: sqlite3.Connection) -> None:
    """A batch full of unread deliveries is walked past."""
    for number in range(BATCH_ROWS):
        _fill(connection, number, OLD, None)
    _fill(connection, BATCH_ROWS, OLD, "ignored")
    assert sum(_round(_pruner(), connection)) == 1
    assert len(_bodies(connection)) == BATCH_ROWS


def test_the_next_round_comes_after_a_while(connection: sqlite3.Connection) -> None:
    """With nothing left to take it rests, then looks again from the start."""
    pruner = _pruner()
    _round(pruner, connection)
    assert 0 < pruner.due_in_s(1.0) <= 60
    _fill(connection, 1, OLD, "ignored")
    assert sum(_round(pruner, connection, now_s=61.0)) == 1


def test_a_failed_round_is_undone_and_tried_later(connection: sqlite3.Connection) -> None:
    """An error in between leaves no half of a batch and no open transaction."""
    _fill(connection, 1, OLD, "ignored")
    connection.execute("ALTER TABLE sample RENAME TO elsewhere")
    pruner = _pruner()
    assert _round(pruner, connection) == [0]
    assert _bodies(connection) == [1]
    assert not connection.in_transaction
    connection.execute("ALTER TABLE elsewhere RENAME TO sample")
    assert sum(_round(pruner, connection, now_s=61.0)) == 1


def test_a_round_that_cannot_begin_is_tried_later(connection: sqlite3.Connection) -> None:
    """A transaction somebody else has left open is not taken for one's own."""
    connection.execute("BEGIN")
    assert _round(_pruner(), connection) == [0]
