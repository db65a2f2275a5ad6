"""The context hands the faces what they need, and can end what only waits."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import trio

from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.web.context import WebContext


def context(tmp_path: Path) -> WebContext:
    return WebContext(
        journal=SqliteJournal(tmp_path / "j.sqlite3"),
        secrets=(b"s",),
        version="1",
        data_dir=tmp_path,
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )


async def test_polls_end_when_asked(tmp_path: Path) -> None:
    """end_polls ends every wait under way and nothing that comes later."""
    web = context(tmp_path)
    with trio.move_on_after(60) as first, web.polling(first):
        web.end_polls()
        await trio.sleep_forever()
    assert first.cancelled_caught
    with trio.move_on_after(60) as second, web.polling(second):
        await trio.lowlevel.checkpoint()
    web.end_polls()
    assert not second.cancel_called


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    """The context in a traceback or a log line shows none of its secrets."""
    web = replace(context(tmp_path), secrets=(b"hush-1",), api_token="hush-2", hidden=("hush-3",))
    assert "hush" not in repr(web)


def test_nothing_is_degraded_unless_said(tmp_path: Path) -> None:
    """Without word of it nothing is missing, and the clock of the context dates its start."""
    web = context(tmp_path)
    assert web.degraded() == ()
    assert web.started_at == datetime(2026, 1, 1, tzinfo=UTC)
