"""The effects to perform: imperative, durable before they are carried out, closed by an event.

An order has a `key` that names the effect itself. The journal refuses a second open order with the
same key, and whoever carries an order out must make a repetition with the same key harmless.
"""

from dataclasses import dataclass
from typing import Literal

from coordinator.rules.ids import AgentName, IssueRef, Login, RunId

__all__ = [
    "ORDER_TYPES",
    "AgentOrder",
    "CancelRun",
    "CompactContext",
    "LookAgain",
    "Order",
    "ParseIssue",
    "ReadIssue",
    "ReadWhy",
    "RotateSession",
    "RunCommand",
    "StartRun",
]


@dataclass(frozen=True, slots=True)
class ParseIssue:
    """Read the text `text_key` of the issue into metadata."""

    ref: IssueRef
    text_key: str

    @property
    def key(self) -> str:
        return f"parse:{self.ref}:{self.text_key}"


@dataclass(frozen=True, slots=True)
class StartRun:
    """Take up the issue in a fresh session; `title`, `html_url` and `summary` say what it is about."""

    run: RunId
    agent: AgentName
    title: str
    html_url: str
    summary: str
    estimated_context_tokens: int

    @property
    def key(self) -> str:
        return f"start:{self.run}"


@dataclass(frozen=True, slots=True)
class CompactContext:
    """Summarise the context in place at the next turn boundary."""

    run: RunId
    agent: AgentName
    session: int
    attempt: int

    @property
    def key(self) -> str:
        return f"compact:{self.run}:{self.session}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class RotateSession:
    """Write a handoff, end the session, start the next from the handoff and acknowledge it.

    `facts` is the mechanical half of the handoff: what the coordinator knows for certain.
    """

    run: RunId
    agent: AgentName
    from_session: int
    to_session: int
    reason: str
    facts: str

    @property
    def key(self) -> str:
        return f"rotate:{self.run}:{self.to_session}"


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Stop working on the run, keep what is worth keeping, and acknowledge."""

    run: RunId
    agent: AgentName
    reason: str

    @property
    def key(self) -> str:
        return f"cancel:{self.run}"


# "first" is the first sweep of a repository: nobody was expected to tell us what it finds.
ReadWhy = Literal["delivery", "sweep", "first", "blocks", "blocker", "command"]


@dataclass(frozen=True, slots=True)
class ReadIssue:
    """Read the issue and its dependencies at the forge; `nonce` tells this read from earlier ones.

    `repo_name` is where the repository was last seen, `repo_id` finds it when it has moved. `action`
    and `by` are the delivery's, if one asked for the read.
    """

    ref: IssueRef
    repo_id: int
    repo_name: str
    why: ReadWhy
    nonce: str
    action: str = "read"
    by: Login | None = None

    @property
    def key(self) -> str:
        return f"read:{self.ref}:{self.nonce}"


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Carry out the command in a comment, after asking the forge who wrote it and whether they may.

    `by` is who wrote it as far as a delivery told: enough to say no, never to say yes.
    """

    ref: IssueRef
    repo_id: int
    repo_name: str
    comment_id: int
    by: Login | None = None

    @property
    def key(self) -> str:
        return f"command:{self.repo_id}:{self.comment_id}"


@dataclass(frozen=True, slots=True)
class LookAgain:
    """`by` has changed or deleted the comment: if it is the one we keep, put it right. `nonce` tells
    this change from earlier ones."""

    ref: IssueRef
    comment_id: int
    by: Login | None = None
    nonce: str = ""

    @property
    def key(self) -> str:
        return f"look:{self.ref}:{self.comment_id}:{self.nonce}"


# What an agent's monitor carries out; the rest is for the parser, the router and the scribe.
AgentOrder = StartRun | CompactContext | RotateSession | CancelRun
Order = AgentOrder | ParseIssue | ReadIssue | RunCommand | LookAgain

ORDER_TYPES: dict[str, type[Order]] = {kind.__name__: kind for kind in Order.__args__}
