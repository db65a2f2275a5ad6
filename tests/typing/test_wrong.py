"""mypy refuses every wrong use of the runtime that is written down here, and none of the right ones."""

import re
from pathlib import Path

import pytest
from mypy import api

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
MARK = re.compile(r"# error: ([a-z -]+)$")
FOUND = re.compile(r"^tests/typing/(\w+)\.py:(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)

Complaints = dict[int, set[str]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Complaints]:
    """What mypy says of each file: line → codes. The cache is our own, so that runs do not meet."""
    cache = tmp_path_factory.mktemp("mypy")
    files = [str(FOLDER / name) for name in ("right.py", "wrong.py")]
    said, trouble, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache), *files]
    )
    assert not trouble, trouble
    complaints: dict[str, Complaints] = {"right": {}, "wrong": {}}
    for name, line, code in FOUND.findall(said):
        complaints[name].setdefault(int(line), set()).add(code)
    return complaints


def marked(name: str) -> Complaints:
    lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
    marks = {number: MARK.search(line) for number, line in enumerate(lines, start=1)}
    return {number: set(mark[1].split()) for number, mark in marks.items() if mark is not None}


@pytest.mark.parametrize("name", ["right", "wrong"])
def test_mypy_reports_exactly_what_is_marked(name: str, found: dict[str, Complaints]) -> None:
    """Each marked line has its error, by code; an unmarked one has none."""
    assert found[name] == marked(name)


def test_there_is_enough_to_refuse() -> None:
    """The comparison would also hold for an empty file."""
    assert len(marked("wrong")) > 30
