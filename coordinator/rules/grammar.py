"""What an issue's text states outright: dependency lines and front matter, read without any guessing.

The stored text of an issue is its title, a blank line and its body. In the body, these count:

    Blocked by: #12, acme/widgets#3      this issue waits for those
    Depends on: #12 and #13 (the API)    the same
    Blocks: #14                          those wait for this issue

A dependency line starts with its keyword, in any case, the two words joined by a blank, "-" or "_".
Before it may stand up to three blanks, a list bullet ("-", "*", "+", "1.") with or without a task box,
and emphasis ("**Blocked by:** #12"). After a colon the references are read up to the first thing that
is none; without a colon the line must hold nothing but references ("Blocks #3 of memory" is prose).
References are `#12`, `owner/repo#12` and full addresses of issues on the same forge, parted by commas,
semicolons, "and", "&" or blanks; a remark in parentheses may follow each. They name issues, never
anything else, so a reference to the issue itself or to number 0 is dropped, and at most 100 of a
kind are taken.

Never counted: the title, sentences that merely mention an issue, quotes ("> "), fenced and indented
code, HTML comments (templates are full of them), and anything past the first 200,000 characters.
A phantom edge would hold an issue back for ever, a missed one only costs a question.

Front matter may open the body, between two "---" lines:

    ---
    estimated_context_tokens: 60000      also 60_000 and 60k
    difficulty: easy | medium | hard
    agent: sonnet-1
    blocked_by: [#12, acme/widgets#3]    or "- #12" lines below the key
    blocks: #14
    summary: one line
    ---

Other keys are left alone. It is not YAML: one line, one value; the first of two equal keys counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from coordinator.rules.events import Metadata
from coordinator.rules.ids import IssueRef
from coordinator.rules.metadata import (
    DEFAULT_DIFFICULTY,
    bounded_refs,
    clamp_estimate,
    clamp_metadata,
    read_difficulty,
)

__all__ = ["StatedEdges", "issue_text", "parse_metadata", "stated_edges", "text_key_of"]

# Longer than any issue a person wrote; bounds the work on pasted logs.
_MAX_BODY_CHARS = 200_000
# Six keys and a list or two fit many times over; an unclosed "---" is a rule, not front matter.
_MAX_FRONT_LINES = 300

# The defaults of the rules: a working set of files and tools, plus ten times what the text takes up
# (about four characters a token). Capped at what still fits half of a 200,000-token window after a
# driver's own reserve, so that a long pasted log alone never parks an issue.
_BASE_TOKENS = 30_000
_TOKENS_PER_CHAR = 10 / 4
_MAX_GUESS_TOKENS = 60_000
# A guess from the size of a text says little; numbers a person wrote down say more.
_GUESSED_CONFIDENCE = 0.2
_STATED_CONFIDENCE = 0.8

_KEYWORDS = {"blockedby": "blocked_by", "dependson": "blocked_by", "blocks": "blocks"}
_KEYWORD = r"(?:blocked[ _-]by|depends[ _-]on|blocks)"
# Every repetition is bounded or stops at a character the next part cannot start with: no backtracking.
_LINE = re.compile(
    r" {0,3}(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]{1,4}(?:\[[ xX]\][ \t]{1,4})?)?"
    rf"[*_]{{0,3}}(?P<keyword>{_KEYWORD})"
    r"[*_]{0,3}(?:[ \t]{0,4}(?P<colon>:)[*_]{0,3}|(?![A-Za-z0-9_]))",
    re.IGNORECASE,
)
_NAME = r"[A-Za-z0-9_.-]{1,100}"
_REF = re.compile(rf"(?P<repo>{_NAME}/{_NAME})?#(?P<number>[0-9]{{1,10}})(?![A-Za-z0-9_/#-])")
_ISSUE_PATH = re.compile(
    rf"/(?P<repo>{_NAME}/{_NAME})/issues/(?P<number>[0-9]{{1,10}})/?(?:#[A-Za-z0-9_-]{{0,60}})?"
    r"(?![A-Za-z0-9_/-])"
)
_SEPARATOR = re.compile(r"(?:[\s,;&]|and(?=[\s#]))+", re.IGNORECASE)
_REMARK = re.compile(r"\s{0,4}\([^()]*\)")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)")
_CODE_OR_COMMENT = re.compile(r"`[^`]*`|(?P<comment><!--)")
_FRONT_KEY = re.compile(r"(?P<key>[A-Za-z_-]{1,40})[ \t]*:(?P<value>[^\n]*)")
_TOKENS = re.compile(r"(?P<number>[0-9][0-9_,]{0,14})[ ]?(?P<kilo>[kK]?)")


@dataclass(frozen=True, slots=True)
class StatedEdges:
    """The issues this one waits for, and those that wait for it; both sorted, without itself."""

    blocked_by: tuple[IssueRef, ...] = ()
    blocks: tuple[IssueRef, ...] = ()


def issue_text(title: str, body: str) -> str:
    """The text as it is stored and hashed; a title is one line, so the first blank line ends it."""
    return " ".join(title.splitlines()) + "\n\n" + body


def text_key_of(text: str) -> str:
    """The name of a text: SHA-256 in hex."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def stated_edges(text: str, ref: IssueRef, *, forge_url: str | None = None) -> StatedEdges:
    """The dependencies the text of issue `ref` states, in front matter or dependency lines.

    `forge_url` is where the forge's repositories live ("https://forge.example.org"); without it
    full addresses are no references.
    """
    _, _, body = text.partition("\n\n")
    front, rest = _split_front_matter(body)
    return _edges(front, rest, _Reader(ref, forge_url))


def parse_metadata(text: str, ref: IssueRef, *, forge_url: str | None = None) -> Metadata:
    """The rules parser: what the text states, and documented defaults for what it does not.

    Estimate: 30,000 tokens and 2.5 for each character, at most 60,000. Difficulty: medium. Summary:
    the title. Confidence: 0.2, or 0.8 when front matter states both estimate and difficulty.
    """
    title, _, body = text.partition("\n\n")
    front, rest = _split_front_matter(body)
    edges = _edges(front, rest, _Reader(ref, forge_url))
    stated_tokens = _read_tokens(front.get("estimated_context_tokens", ""))
    guess = min(_BASE_TOKENS + int(len(text) * _TOKENS_PER_CHAR), _MAX_GUESS_TOKENS)
    difficulty = read_difficulty(front.get("difficulty", ""))
    certain = stated_tokens is not None and difficulty is not None
    return clamp_metadata(
        Metadata(
            estimated_context_tokens=clamp_estimate(guess if stated_tokens is None else stated_tokens),
            difficulty=difficulty or DEFAULT_DIFFICULTY,
            suggested_agent=front.get("agent") or None,
            blocks=edges.blocks,
            blocked_by=edges.blocked_by,
            summary=front.get("summary") or title,
            confidence=_STATED_CONFIDENCE if certain else _GUESSED_CONFIDENCE,
        ),
        ref,
    )


def _edges(front: dict[str, str], rest: str, reader: "_Reader") -> StatedEdges:
    found: dict[str, list[IssueRef]] = {"blocked_by": [], "blocks": []}
    for key, refs in found.items():
        refs.extend(reader.leading_refs(front.get(key, "").lstrip("["))[0])
    for key, line in _dependency_lines(rest):
        found[key].extend(reader.line_refs(line))
    return StatedEdges(
        bounded_refs(found["blocked_by"], reader.own), bounded_refs(found["blocks"], reader.own)
    )


def _read_tokens(value: str) -> int | None:
    match = _TOKENS.fullmatch(value)
    if match is None:
        return None
    number = int(match["number"].replace("_", "").replace(",", ""))
    return number * 1_000 if match["kilo"] else number


# references -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads references as they are meant in one issue."""

    own: IssueRef
    forge_url: str | None

    def line_refs(self, line: "re.Match[str]") -> list[IssueRef]:
        """The references of a dependency line; none when it is prose after all."""
        rest = line.string[line.end() :]
        refs, end = self.leading_refs(rest)
        is_whole = not rest[end:].rstrip(" \t.*_")
        return refs if line["colon"] or is_whole else []

    def leading_refs(self, text: str) -> tuple[list[IssueRef], int]:
        """The references at the start of the text, and where the first other thing begins."""
        refs: list[IssueRef] = []
        at = 0
        while True:
            gap = _SEPARATOR.match(text, at)
            start = gap.end() if gap else at
            match = self._match(text, start)
            if match is None or (refs and gap is None):
                return refs, at
            number = int(match["number"])
            if number:
                refs.append(IssueRef((match["repo"] or self.own.repo).lower(), number))
            remark = _REMARK.match(text, match.end())
            at = remark.end() if remark else match.end()

    def _match(self, text: str, at: int) -> "re.Match[str] | None":
        base = (self.forge_url or "").rstrip("/")
        if base and text[at : at + len(base)].lower() == base.lower():
            return _ISSUE_PATH.match(text, at + len(base))
        return _REF.match(text, at)


# lines ----------------------------------------------------------------------------------------


def _dependency_lines(body: str) -> Iterator[tuple[str, "re.Match[str]"]]:
    """Each dependency line outside quotes, code and comments, with the kind of edge it states."""
    # Most texts state no edge; two substring searches tell, at a tenth of a case-blind pattern's cost.
    folded = body.lower()
    if "block" not in folded and "depend" not in folded:
        return
    for line in _plain_lines(body):
        match = _LINE.match(line)
        if match is not None:
            yield _KEYWORDS[re.sub(r"[ _-]", "", match["keyword"].lower())], match


def _plain_lines(body: str) -> Iterator[str]:
    """The lines a reader sees as text; quotes and indented code drop out later, by their indent."""
    fence = ""
    in_comment = False
    for line in body.split("\n"):
        if not in_comment:
            mark = _FENCE.match(line)
            if fence:
                if mark and mark["fence"].startswith(fence) and not mark["info"].strip():
                    fence = ""
                continue
            # A backtick in the info string makes it inline code, not a fence.
            if mark and not (mark["fence"][0] == "`" and "`" in mark["info"]):
                fence = mark["fence"]
                continue
        visible, in_comment = _without_comments(line, in_comment)
        if visible:
            yield visible


def _without_comments(line: str, in_comment: bool) -> tuple[str, bool]:
    parts: list[str] = []
    at = 0
    while True:
        if in_comment:
            end = line.find("-->", at)
            if end < 0:
                return "".join(parts), True
            at, in_comment = end + len("-->"), False
        begin = _comment_start(line, at)
        if begin is None:
            return "".join((*parts, line[at:])), False
        parts.append(line[at:begin])
        at, in_comment = begin + len("<!--"), True


def _comment_start(line: str, at: int) -> int | None:
    """Where the next comment opens, leaving out what is inline code."""
    for match in _CODE_OR_COMMENT.finditer(line, at):
        if match["comment"]:
            return match.start()
    return None


# front matter ---------------------------------------------------------------------------------


def _split_front_matter(body: str) -> tuple[dict[str, str], str]:
    """The front matter's values by key, and the rest of the body."""
    text = body[:_MAX_BODY_CHARS].replace("\r\n", "\n").removeprefix("\ufeff")
    if not text.startswith("---"):
        return {}, text
    lines = text.split("\n", _MAX_FRONT_LINES)
    if lines[0].rstrip() != "---":
        return {}, text
    for at, line in enumerate(lines[1:_MAX_FRONT_LINES], start=1):
        if line.rstrip() == "---":
            return _read_front(lines[1:at]), "\n".join(lines[at + 1 :])
    return {}, text


def _read_front(lines: list[str]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    items: list[str] = []
    for line in lines:
        match = _FRONT_KEY.match(line)
        if match is not None:
            key = match["key"].lower().replace("-", "_")
            items = [_bare(match["value"])]
            values.setdefault(key, items)
        elif line.lstrip().startswith("- "):
            items.append(_bare(line.lstrip()[2:]))
    return {key: " ".join(filter(None, parts)) for key, parts in values.items()}


def _bare(value: str) -> str:
    return value.strip().strip("\"'")
