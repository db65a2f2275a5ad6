"""The examples in the package's docstring are short and do what they say."""

import ast
import inspect
import textwrap
from dataclasses import dataclass
from itertools import groupby

import pytest
import trio

import coordinator.runtime

# An example that does not fit on a screen is not read.
MAX_LINES = 30


def examples() -> list[str]:
    """The indented blocks of the docstring; an empty line between indented ones is theirs."""
    lines = inspect.cleandoc(coordinator.runtime.__doc__ or "").splitlines()
    blocks: list[list[str]] = []
    for is_prose, group in groupby(lines, key=lambda line: bool(line) and not line.startswith(" ")):
        text = textwrap.dedent("\n".join(group)).strip("\n")
        if not is_prose and text:
            blocks.append(text.splitlines())
    return ["\n".join(block) for block in blocks]


EXAMPLES = dict(zip(("counter", "pool", "web"), examples(), strict=True))


@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_example_runs(name: str) -> None:
    """Its own assertions hold, with real time and, for the server, a real socket."""
    names = {name: getattr(coordinator.runtime, name) for name in coordinator.runtime.__all__}
    names |= {"trio": trio, "dataclass": dataclass, "__name__": "example"}
    code = compile(EXAMPLES[name], name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with trio.fail_after(60):
        await eval(code, names)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_is_short(name: str) -> None:
    """It has less than 30 lines and asserts something."""
    assert len(EXAMPLES[name].splitlines()) < MAX_LINES
    assert "assert " in EXAMPLES[name]
