"""Reading back: every query goes by an index, and damage is named."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.edges import journal_reads
from coordinator.edges.journal import Commit
from coordinator.edges.journal_open import open_connection
from coordinator.edges.journal_reads import load, read_events, read_timeline
from coordinator.edges.journal_rows import apply_commit, encode
from coordinator.errors import JournalCorrupt, JournalTooNew
from tests.edges.journal_contract import AGENT, AT, ISSUE, an_event, an_order


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_connection(tmp_path / "j.db")) as connection:
        yield connection


def test_no_read_walks_a_whole_table(connection: sqlite3.Connection) -> None:
    """Every read goes by an index; but dead letters, few by nature, which go from the end."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    load(connection)
    journal_reads.read_deliveries(connection, 5, 10)
    journal_reads.read_events(connection, 5, 10)
    journal_reads.read_timeline(connection, ISSUE, 10)
    journal_reads.read_text(connection, "k")
    journal_reads.read_cursor(connection, "a")
    journal_reads.read_snapshot(connection, "a")
    journal_reads.read_samples(connection, AGENT, AT, 10)
    connection.set_trace_callback(None)
    assert len(statements) == 12
    partial_indexes = ("delivery_collided", "dead_letter_waiting", "orders_open")
    for statement in statements:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        scans = [step for step in plan if step.startswith("SCAN")]
        first_row_only = statement.endswith("ORDER BY seq DESC LIMIT 1")
        assert first_row_only or all(step.endswith(partial_indexes) for step in scans), (
            statement,
            plan,
        )
        assert not any("TEMP B-TREE" in step for step in plan), (statement, plan)


def test_an_event_of_the_future_stops_the_reader_by_name(connection: sqlite3.Connection) -> None:
    """A kind this program does not know is said to be newer, not skipped."""
    apply_commit(connection, encode(Commit("a", AT, events=(an_event(),))))
    connection.execute("UPDATE event SET kind = 'IssueTeleported'")
    with pytest.raises(JournalTooNew, match="IssueTeleported"):
        read_events(connection, 0, 10)


def test_a_damaged_event_stops_the_reader_by_name(connection: sqlite3.Connection) -> None:
    """A body that is no JSON is corruption."""
    apply_commit(connection, encode(Commit("a", AT, events=(an_event(),))))
    connection.execute("UPDATE event SET body = 'x'")
    with pytest.raises(JournalCorrupt, match="IssueDeleted"):
        read_timeline(connection, ISSUE, 10)


def test_an_order_of_the_future_keeps_the_journal_closed(connection: sqlite3.Connection) -> None:
    """An open order nobody here can carry out must not be forgotten."""
    apply_commit(connection, encode(Commit("a", AT, opened=(an_order(),))))
    connection.execute("UPDATE orders SET kind = 'Teleport'")
    with pytest.raises(JournalTooNew, match="Teleport"):
        load(connection)
