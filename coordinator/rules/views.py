"""What a face may show of an issue or an agent: plain values, without bodies or secrets."""

from dataclasses import dataclass
from datetime import datetime

from coordinator.rules.context import ContextUsage
from coordinator.rules.events import CommandGiven, CommandRefused, Metadata
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId

__all__ = ["AgentView", "IssuePage", "IssueView", "RunView"]


@dataclass(frozen=True, slots=True)
class RunView:
    """One run as the faces show it; `fill` is what the next request starts
    from / usable, None while unknown."""

    run: RunId
    agent: AgentName
    phase: str
    session: int
    usage: ContextUsage | None
    fill: float | None
    peak_tokens: int
    compactions: int
    rotations: int
    detail: str


@dataclass(frozen=True, slots=True)
class IssueView:
    """One issue, why it is where it is, and when that will be looked at again (None: on an event).

    `state` is one of ignored, waiting, blocked, ready, running, parked, done, closed. `reason` is a
    reason code of `assess`, `evidence` the same in words. `repo_name` is the repository's present
    name as the forge spells it; `names` has the present names, by canonical ones, of those named in
    blockers and cycle. `agents` are all that are configured, `pinned` is the one a person asked for
    and `estimated_by` the person whose estimate `metadata` holds.

    `run_phase` is assigned, working, compacting, rotating, parked, withdrawing or ended, and None as
    long as there was no run; of one that is over, `session` is its last. `fill_percent` is the share of
    the usable window when it was last told, rounded to ten so that it seldom changes.

    `public` are the other repositories, by canonical names, that are known to be open to everybody;
    only what is written for strangers asks.
    """

    issue: IssueRef
    title: str
    html_url: str
    state: str
    reason: str
    evidence: str
    next_check_at: datetime | None
    assignees: tuple[Login, ...]
    priority: int
    metadata: Metadata | None
    parsed_by: str | None
    open_blockers: tuple[IssueRef, ...]
    unknown_blockers: tuple[IssueRef, ...]
    cycle: tuple[IssueRef, ...]
    agent: AgentName | None
    run: RunId | None
    dispatches: int
    compactions: int
    rotations: int
    peak_tokens: int
    updated_at: datetime
    hidden_blockers: int = 0
    repo_name: str = ""
    names: tuple[tuple[str, str], ...] = ()
    agents: tuple[AgentName, ...] = ()
    pinned: AgentName | None = None
    estimated_by: Login | None = None
    run_phase: str | None = None
    session: int | None = None
    fill_percent: int | None = None
    last_command: CommandGiven | CommandRefused | None = None
    public: frozenset[str] = frozenset()

    @property
    def newest_command_id(self) -> int:
        """The comment that held the newest command it knows of, 0 without one."""
        return 0 if self.last_command is None else self.last_command.comment_id


@dataclass(frozen=True, slots=True)
class IssuePage:
    """Issues in order of their refs; `next_after` is the last ref of a page that has more behind it."""

    issues: tuple[IssueView, ...]
    next_after: IssueRef | None


@dataclass(frozen=True, slots=True)
class AgentView:
    """One agent as its monitor sees it."""

    agent: AgentName
    login: Login
    driver: str
    model: str
    difficulty: str
    slots: int
    status: str
    detail: str
    window_tokens: int | None
    usable_tokens: int | None
    compact_at_tokens: int | None
    rotate_at_tokens: int | None
    runs: tuple[RunView, ...]
    open_orders: int
    last_report_at: datetime | None
    poll_failures: int
