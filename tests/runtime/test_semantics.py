"""SEMANTICS.md is the contract: sentences have cases, scenarios have sentences, numbers are true."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import coordinator.runtime
from coordinator.runtime import Backoff, Mailbox, supervisor
from coordinator.runtime.actor import CALL_TIMEOUT_S
from coordinator.runtime.cell import ITEMS, LAST_MESSAGES, LATENCIES
from coordinator.runtime.crash import CRASH_STATE_CHARS, TRACEBACK_CHARS
from coordinator.runtime.incarnation import BATCH, BATCH_S, LAST_WORDS_S
from coordinator.runtime.messages import ERROR_CHARS, REPR_CHARS
from coordinator.runtime.restart import backoff_delay_s, quiet_s
from coordinator.runtime.shown import STATE_CHARS
from coordinator.runtime.spec import (
    ALIKE,
    DYNAMIC_CAP,
    HANDLER_TIMEOUT_S,
    INTENSITY,
    PERIOD_S,
    SHUTDOWN_S,
    START_TIMEOUT_S,
)
from coordinator.runtime.stop import GRACE_S
from coordinator.runtime.trace import CAPACITY
from coordinator.runtime.tree import ZOMBIES
from coordinator.runtime.watchdog import FRAMES, JOIN_S, LOOKS
from tests.runtime.contract import TEXT, Sentence, definitions, numbers, sentences
from tests.runtime.scenarios import SCENARIOS
from tests.runtime.test_scenarios import PLAYS

TESTS = Path(__file__).parent.parent
SOURCES = Path(coordinator.runtime.__file__).parent

# Sections whose sentences need no case, and why.
EXEMPT_SECTIONS = {
    "What the runtime promises": "says how to read the rest",
    "Words": "defines words and promises nothing",
    "Never guaranteed": "what is not promised cannot be shown",
    "Every number": "is compared with the code",
}
EXEMPT_SENTENCES = {"end of the process": "nothing is left that could be asked"}

ROW = Backoff()
NUMBERS = {
    "mailbox capacity": f"{Mailbox().capacity}",
    "batch": f"{BATCH} messages or {BATCH_S * 1000:g} ms",
    "call timeout": f"{CALL_TIMEOUT_S:g} s",
    "handler timeout": f"{HANDLER_TIMEOUT_S:g} s",
    "start timeout": f"{START_TIMEOUT_S:g} s",
    "shutdown": f"{SHUTDOWN_S:g} s; supervisors: unlimited",
    "grace after cancel": f"{GRACE_S:g} s",
    "misspelt option": f"{ALIKE * 100:g} % alike",
    "`terminate` after cancel": f"{LAST_WORDS_S:g} s",
    "intensity / period": f"{INTENSITY} in {PERIOD_S:g} s",
    "dynamic cap": f"{DYNAMIC_CAP} × intensity",
    "backoff": f"at once, then {ROW.min_s:g} s·2ⁿ to {ROW.max_s:g} s, + ≤ {ROW.jitter * 100:g} %",
    "backoff reset": "(min + max) / 2 of quiet running",
    "attempts": "2",
    "last messages / latencies / items": f"{LAST_MESSAGES} / {LATENCIES} / {ITEMS:,}",
    "zombie reports kept": f"{ZOMBIES}",
    "repr in reports": f"{REPR_CHARS} characters",
    "error text in reports": f"{ERROR_CHARS:,} characters",
    "state in a dump / in a crash report": f"about {STATE_CHARS:,} / {CRASH_STATE_CHARS:,} characters",
    "traceback in reports": f"{TRACEBACK_CHARS:,} characters",
    "stash": "the mailbox's capacity",
    "trace": f"{CAPACITY} events",
    "watchdog": f"off; {LOOKS} looks per limit; {FRAMES} frames; {JOIN_S:g} s for its thread to end",
}
# Numbers that nobody outside can notice: how often a heap is swept, how deep plain data may nest.
INTERNAL = {"SWEPT_FROM", "FEW", "DEPTH"}


def promises() -> list[Sentence]:
    """What must have a case."""
    found = [s for s in sentences(TEXT) if s.section not in EXEMPT_SECTIONS]
    return [s for s in found if s.text not in EXEMPT_SENTENCES]


def defined(tests: Path) -> Iterator[str]:
    """The names of all test functions below a folder."""
    for path in tests.rglob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                yield node.name


def scenario_names() -> set[str]:
    assert PLAYS  # importing them has filled the list
    return {s.play.__name__ for s in SCENARIOS}


@pytest.mark.parametrize("sentence", promises(), ids=lambda s: f"{s.section}: {s.text[:40]}")
def test_every_sentence_has_its_cases(sentence: Sentence) -> None:
    """A promise nobody shows is no promise: it has a mark, and the mark has cases."""
    cases = definitions(TEXT)
    assert sentence.marks, f"no mark behind: {sentence.text}"
    assert all(cases.get(mark) for mark in sentence.marks), f"marks without cases: {sentence.marks}"


def test_every_case_exists() -> None:
    """A case is a scenario or a test; one that was renamed or removed is found here."""
    known = scenario_names() | set(defined(TESTS / "runtime")) | set(defined(TESTS / "typing"))
    named = {case for cases in definitions(TEXT).values() for case in cases}
    assert named - known == set()


def test_every_scenario_shows_a_sentence() -> None:
    """A scenario of something the contract does not say would be a promise in secret."""
    named = {case for cases in definitions(TEXT).values() for case in cases}
    assert scenario_names() - named == set()


def test_every_mark_is_used_once_and_defined_once() -> None:
    """No definition is left over, and no two sentences share a mark by mistake."""
    used = Counter(mark for s in sentences(TEXT) for mark in s.marks)
    assert set(used) == set(definitions(TEXT))
    assert set(used.values()) == {1}
    assert TEXT.count("\n[^") == len(definitions(TEXT))


def test_the_exemptions_are_needed() -> None:
    """An exempt section or sentence that is no longer there, or has a case, is no exemption."""
    found = list(sentences(TEXT))
    assert {s.section for s in found} >= set(EXEMPT_SECTIONS)
    assert {s.text for s in found if not s.marks} >= set(EXEMPT_SENTENCES)


def test_every_number_is_the_codes() -> None:
    """The table has each row the code has, with the code's value."""
    assert numbers(TEXT) == NUMBERS


def test_no_number_is_missing_in_the_table() -> None:
    """A constant of the package that this file does not compare is one the table does not tell."""
    here = {
        name.id
        for name in ast.walk(ast.parse(Path(__file__).read_text()))
        if isinstance(name, ast.Name)
    }
    assert set(_constants()) - here - INTERNAL == set()


def _constants() -> Iterator[str]:
    for path in SOURCES.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=name)], value=ast.Constant(value=int() | float())
                ) if name.isupper():
                    yield name


def test_the_formulas_of_the_table_are_the_codes() -> None:
    """Backoff doubles from its minimum, its reset is half way, supervisors have no deadline."""
    waits = [backoff_delay_s(n, min_s=0.1, max_s=30, jitter=0, roll=0) for n in range(1, 5)]
    assert waits == [0, 0.1, 0.2, 0.4]
    assert quiet_s(min_s=1, max_s=9) == (1 + 9) / 2
    assert supervisor("s").shutdown_s == float("inf")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One.[^a-1] Two.[^b]", [("One.", ("a-1",)), ("Two.", ("b",))]),
        ("It is `x. Y` here; so.", [("It is `x. Y` here; so.", ())]),
        ("- *One* (see\n  there).[^a][^b]\n- Two", [("*One* (see there).", ("a", "b")), ("Two", ())]),
        ("| | x |\n| --- | --- |\n| row[^a] | 1.5 |", [("row", ("a",))]),
        ("One.[^a] **Two**: three.", [("One.", ("a",)), ("**Two**: three.", ())]),
    ],
)
def test_sentences_are_told_apart(text: str, expected: list[tuple[str, tuple[str, ...]]]) -> None:
    """Code spans hide their full stops, list items and table rows stand for themselves."""
    assert [(s.text, s.marks) for s in sentences(text)] == expected
