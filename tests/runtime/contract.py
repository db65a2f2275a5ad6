"""Reads SEMANTICS.md as sentences, each with the marks that lead to its cases.

A mark is a Markdown footnote: `[^order]` behind a sentence's full stop, or at the end of a table row's
first cell; the definitions `[^order]: case, case` stand together under "Cases".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import coordinator.runtime

__all__ = ["TEXT", "Sentence", "definitions", "numbers", "sentences"]

TEXT = (Path(coordinator.runtime.__file__).parent / "SEMANTICS.md").read_text(encoding="utf-8")

MARK = re.compile(r"\[\^([\w-]+)\]")
DEFINITION = re.compile(r"^\[\^([\w-]+)\]: (.+)$", re.MULTILINE)
CODE = re.compile(r"`[^`]*`")
# A full stop that ends a sentence: its marks, then a new sentence begins or nothing follows.
END = re.compile(r"[.!?]\)?\**((?:\[\^[\w-]+\])*)(?=\s+[A-Z*«(]|\s*$)")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence or table row, in the section it stands in."""

    section: str
    text: str
    marks: tuple[str, ...]


def sentences(text: str) -> Iterator[Sentence]:
    """All sentences in order; code spans count as words, headings and definitions as nothing."""
    for section, block in _blocks(text):
        if block.startswith("|"):
            yield from _row(section, block)
            continue
        # A name in code may begin a sentence and hold full stops: only its first letter is looked at.
        flat = CODE.sub(lambda span: "X" * len(span[0]), block)
        start = 0
        for end in END.finditer(flat):
            yield _sentence(section, block[start : end.end()])
            start = end.end()
        if block[start:].strip():
            yield _sentence(section, block[start:])


def _sentence(section: str, text: str) -> Sentence:
    tail = re.search(r"(?:\[\^[\w-]+\])*\s*$", text)
    assert tail is not None
    return Sentence(section, MARK.sub("", text).strip(), tuple(MARK.findall(tail[0])))


def _row(section: str, line: str) -> Iterator[Sentence]:
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if not set(line) <= set("|- ") and cells[0]:
        yield Sentence(section, MARK.sub("", cells[0]), tuple(MARK.findall(cells[0])))


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """(section, paragraph, list item or table line), with line breaks as spaces."""
    section, lines = "", list[str]()
    for line in [*text.splitlines(), ""]:
        is_new = not line.strip() or line.startswith(("#", "- ", "|", "[^"))
        if is_new and lines:
            yield section, " ".join(lines)
            lines = []
        if line.startswith("#"):
            section = re.sub(r" \(.*\)$", "", line.lstrip("# "))
        elif line.strip() and not line.startswith("[^"):
            lines.append(line.removeprefix("- ").strip())


def definitions(text: str) -> dict[str, tuple[str, ...]]:
    """Mark → the names of its cases."""
    return {mark: tuple(cases.split(", ")) for mark, cases in DEFINITION.findall(text)}


def numbers(text: str) -> dict[str, str]:
    """What → value, of the table of numbers."""
    table = text[text.index("## Every number") :].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return {cells[0].strip(): cells[1].strip() for cells in rows[2:]}
