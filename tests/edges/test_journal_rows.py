"""Commits as SQL: what the contract suite does not see."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.edges.journal import Commit, DeliveryOutcome, OrderClosed, Snapshot
from coordinator.edges.journal_inbox import accept_delivery
from coordinator.edges.journal_open import open_connection
from coordinator.edges.journal_rows import apply_commit, encode, probe
from coordinator.errors import JournalError
from tests.edges.journal_contract import AT, an_event, an_order, delivery


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_connection(tmp_path / "j.db")) as connection:
        yield connection


def test_a_commit_knows_its_size(connection: sqlite3.Connection) -> None:
    """Texts, snapshots and JSON all count towards what waits in memory."""
    empty = encode(Commit("a", AT))
    assert empty.size_bytes == 0
    texts = encode(Commit("a", AT, texts={"k": "x" * 1000}, snapshot=Snapshot(1, 1, bytes(500))))
    assert texts.size_bytes == 1500
    assert encode(Commit("a", AT, events=(an_event(),), opened=(an_order(),))).size_bytes > 50


def test_a_fence_without_a_move_checks_the_cursor(connection: sqlite3.Connection) -> None:
    """`expected_cursor` alone refuses a stale actor and moves nothing."""
    apply_commit(connection, encode(Commit("a", AT, cursor=4)))
    apply_commit(connection, encode(Commit("a", AT, expected_cursor=4)))
    with pytest.raises(JournalError, match="expected its cursor at 3, found 4"):
        apply_commit(connection, encode(Commit("a", AT, expected_cursor=3)))
    assert connection.execute("SELECT position FROM cursor").fetchall() == [(4,)]


def test_outcomes_and_results_keep_their_details(connection: sqlite3.Connection) -> None:
    """An operator can read why a delivery was ignored and how an order ended."""
    accept_delivery(connection, delivery())
    [order] = apply_commit(connection, encode(Commit("a", AT, opened=(an_order(),)))).opened
    written = apply_commit(
        connection,
        encode(
            Commit(
                "a",
                AT,
                outcomes=(DeliveryOutcome(1, "ignored", "not ours \ud83d"),),
                closed=(OrderClosed(order.id, "failed", "no agent"),),
            )
        ),
    )
    assert written.closed == (order.id,)
    assert connection.execute("SELECT outcome, detail FROM delivery").fetchall() == [
        ("ignored", "not ours \\ud83d")
    ]
    assert connection.execute("SELECT result, detail FROM orders").fetchall() == [
        ("failed", "no agent")
    ]


def test_an_order_closed_and_its_successor_opened_go_together(connection: sqlite3.Connection) -> None:
    """One commit may end one order and begin the next."""
    [first] = apply_commit(connection, encode(Commit("a", AT, opened=(an_order("a"),)))).opened
    written = apply_commit(
        connection,
        encode(Commit("a", AT, opened=(an_order("b"),), closed=(OrderClosed(first.id, "done"),))),
    )
    assert written.closed == (first.id,)
    assert [order.order.key for order in written.opened] == ["parse:org/repo#1:b"]


def test_the_probe_does_not_grow_the_file(connection: sqlite3.Connection) -> None:
    """However often the disk is probed, it is one row."""
    for _ in range(3):
        probe(connection)
    assert connection.execute("SELECT count(*), length(pad) FROM probe").fetchall() == [(1, 16384)]
