"""The bounds every piece of metadata is held to, whoever read it: the rules, Claude or a cache.

Issue text is untrusted. Whatever it talks a reader into, it changes metadata only within the
bounds below; nothing here knows who did the reading.
"""

import math
from collections.abc import Iterable

from coordinator.rules.events import Difficulty, Metadata
from coordinator.rules.ids import IssueRef

__all__ = [
    "DEFAULT_DIFFICULTY",
    "MAX_AGENT_CHARS",
    "MAX_ESTIMATE_TOKENS",
    "MAX_REFS",
    "MAX_SUMMARY_CHARS",
    "MIN_ESTIMATE_TOKENS",
    "bounded_refs",
    "clamp_estimate",
    "clamp_metadata",
    "one_line",
    "read_difficulty",
]

# Even a one-line fix loads a system prompt, tool definitions and a file or two.
MIN_ESTIMATE_TOKENS = 1_000
# Twice the largest window sold today: anything above is a misreading, and this already fits nobody.
MAX_ESTIMATE_TOKENS = 2_000_000
# A hundred blockers are a project, not a task; the cap keeps one text from knitting the whole graph.
MAX_REFS = 100
# Three sentences; it is shown in tables and in the first prompt of a run.
MAX_SUMMARY_CHARS = 500
# Longer than any login or agent name a forge or our configuration accepts.
MAX_AGENT_CHARS = 100
DEFAULT_DIFFICULTY: Difficulty = "medium"
_DIFFICULTIES: dict[str, Difficulty] = {"easy": "easy", "medium": "medium", "hard": "hard"}


def one_line(text: str, limit: int) -> str:
    """The text on one line, printable, at most `limit` (≥ 1) characters, cut with an ellipsis.

    Control characters and lone surrogates go, because the result reaches terminals and stores.
    """
    # Only so much is looked at, so that a megabyte costs as little as the line that is kept.
    head = text[: limit * 8]
    clean = " ".join("".join(char for char in head if char.isprintable() or char.isspace()).split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def read_difficulty(text: str) -> Difficulty | None:
    """The difficulty named by the text, in any case and with blanks around it; else None."""
    return _DIFFICULTIES.get(text.strip().lower())


def clamp_estimate(tokens: float) -> int:
    """A whole number of tokens within the bounds; NaN counts as too many, since nobody knows."""
    if math.isnan(tokens):
        return MAX_ESTIMATE_TOKENS
    return int(min(max(tokens, MIN_ESTIMATE_TOKENS), MAX_ESTIMATE_TOKENS))


def bounded_refs(refs: Iterable[IssueRef], own: IssueRef | None = None) -> tuple[IssueRef, ...]:
    """The first `MAX_REFS` different refs other than the issue's own, sorted."""
    seen: set[IssueRef] = set()
    for ref in refs:
        if ref != own:
            seen.add(ref)
            if len(seen) == MAX_REFS:
                break
    return tuple(sorted(seen))


def clamp_metadata(metadata: Metadata, ref: IssueRef | None = None) -> Metadata:
    """The same metadata, every field inside its bounds and no edge to `ref` itself; idempotent."""
    agent = one_line(metadata.suggested_agent or "", MAX_AGENT_CHARS)
    confidence = metadata.confidence
    return Metadata(
        estimated_context_tokens=clamp_estimate(metadata.estimated_context_tokens),
        difficulty=read_difficulty(metadata.difficulty) or DEFAULT_DIFFICULTY,
        suggested_agent=agent or None,
        blocks=bounded_refs(metadata.blocks, ref),
        blocked_by=bounded_refs(metadata.blocked_by, ref),
        summary=one_line(metadata.summary, MAX_SUMMARY_CHARS),
        confidence=0.0 if math.isnan(confidence) else min(max(float(confidence), 0.0), 1.0),
    )
