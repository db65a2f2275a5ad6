"""What a comment says without its Markdown: as a forge would show it, in lines of text."""

import re
from html import unescape

__all__ = ["plain_lines"]

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FOLDED = re.compile(r"<details>\s*<summary>(?P<summary>[^<]*)</summary>.*?</details>", re.DOTALL)
_TAG = re.compile(r"</?[a-z]+[^>]*>")
_ROW = re.compile(r"\|(?P<cells>.*)\|\s*")
_RULE = re.compile(r"[\s|:-]+")
# Put where a forge would make a link or ping somebody.
_NO_WIDTH = "\u200b"


def plain_lines(markdown: str) -> list[str]:
    """The lines, without empty ones; a row of two cells reads "name: value", what is folded away shows
    its heading."""
    text = _FOLDED.sub(lambda match: f"▸ {match['summary']}", _COMMENT.sub("", markdown))
    lines = (_line(line) for line in text.splitlines())
    return [line for line in lines if line]


def _line(line: str) -> str:
    if _RULE.fullmatch(line):
        return ""
    row = _ROW.fullmatch(line)
    if row is not None:
        cells = (cell.strip() for cell in row["cells"].split(" | "))
        line = ": ".join(cell for cell in cells if cell)
    return unescape(_TAG.sub("", line).replace("**", "")).replace(_NO_WIDTH, "").strip()
