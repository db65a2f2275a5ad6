"""The journal's protocol and its engines agree."""

import inspect
from pathlib import Path

from coordinator.edges import journal as contract
from coordinator.edges.journal import Journal
from coordinator.edges.journal_sqlite import SqliteJournal
from tests.edges.journal_contract import JournalContract


def test_the_sqlite_engine_is_a_journal(tmp_path: Path) -> None:
    """The engine has every method of the protocol, with the same parameters."""
    engine: Journal = SqliteJournal(tmp_path / "j.db")
    for name, method in vars(Journal).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            wanted = list(inspect.signature(method).parameters)[1:]
            assert list(inspect.signature(getattr(engine, name)).parameters) == wanted, name


def test_what_the_journal_speaks_is_public() -> None:
    """Every record of the contract is listed in its `__all__`."""
    own = {
        name
        for name, value in vars(contract).items()
        if getattr(value, "__module__", "") == contract.__name__
    }
    assert own == set(contract.__all__)


def test_the_contract_suite_covers_every_method() -> None:
    """Each method of the protocol is called by at least one test of the suite."""
    source = "".join(inspect.getsource(part) for part in JournalContract.__mro__[:-1])
    for name in vars(Journal):
        if not name.startswith("_"):
            assert f".{name}(" in source or f".{name}," in source, name
