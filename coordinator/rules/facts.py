"""What events speak of: an issue as the forge showed it, and what a reader found in its text."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from coordinator.rules.ids import IssueRef, Login

__all__ = ["Difficulty", "IssueFacts", "Metadata", "ParseCost"]

Difficulty = Literal["easy", "medium", "hard"]


@dataclass(frozen=True, slots=True)
class IssueFacts:
    """What the forge said of one issue at one moment.

    `assignees` and `labels` are sorted. `blocked_by` and `blocks` are the explicit lines of the
    body, sorted. `text_key` names the stored text (title and body) the facts were read with.

    `repo_name` is the repository's present full name as the forge spells it, while `ref` keeps to the
    name it was first known by ("": the same). `native_blockers` are the forge's own dependencies,
    sorted; None while they are not known. `hidden_blockers` counts those we may not see. `read_at` is
    our instant at which the read was sent; None for what a payload said. `is_pull`: it is a pull
    request, known only because somebody waits for it.
    """

    ref: IssueRef
    repo_id: int
    issue_id: int
    title: str
    text_key: str
    state: Literal["open", "closed"]
    assignees: tuple[Login, ...]
    labels: tuple[str, ...]
    milestone: str | None
    html_url: str
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    blocked_by: tuple[IssueRef, ...] = ()
    blocks: tuple[IssueRef, ...] = ()
    repo_name: str = ""
    native_blockers: tuple[IssueRef, ...] | None = None
    hidden_blockers: int = 0
    read_at: datetime | None = None
    is_pull: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an issue needs, as read from its text and clamped to sane bounds.

    `estimated_context_tokens` is the context the work will fill, in tokens. `blocked_by` and
    `blocks` are only edges that a line of the text states. `confidence` is 0..1.
    """

    estimated_context_tokens: int
    difficulty: Difficulty
    suggested_agent: str | None
    blocks: tuple[IssueRef, ...]
    blocked_by: tuple[IssueRef, ...]
    summary: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ParseCost:
    """What one parse took: tokens as billed, US dollars at list price, wall seconds."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    attempts: int = 0
