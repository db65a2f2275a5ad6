"""What actors may say to each other and what a face may ask them. All frozen; replies are typed.

Dumps show messages by their repr, so fields that carry people's or agents' words are left out of it.
"""

from dataclasses import dataclass, field
from datetime import datetime

from coordinator.edges.drivers import AckStatus
from coordinator.rules.context import ContextUsage
from coordinator.rules.events import IssueParsed
from coordinator.rules.facts import IssueFacts
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId
from coordinator.rules.sweep_plan import Target, Visit
from coordinator.rules.views import AgentView, IssuePage, IssueView
from coordinator.runtime import Call, Cast

__all__ = [
    "AckOrder",
    "Acked",
    "DescribeAgent",
    "DescribeReads",
    "ExplainIssue",
    "FailingRepository",
    "KnownIssuesOf",
    "KnownOf",
    "ListIssues",
    "Look",
    "NamedRepository",
    "ParseDone",
    "PollNow",
    "ReadAgain",
    "ReadBlockers",
    "ReadsDue",
    "ReadsView",
    "Reconsider",
    "Recorded",
    "Refresh",
    "ReportUsage",
    "SaveSweeps",
    "Sighted",
    "SightedReply",
    "Sighting",
    "Stirred",
    "Survey",
    "Surveyed",
    "SweepEnded",
    "Swept",
    "Wake",
    "WatchedRepositories",
    "WatchedRepository",
    "WriteAgain",
]


@dataclass(frozen=True, slots=True)
class Wake(Cast):
    """The journal has grown: a hint, never the truth. Equal ones coalesce in the mailbox."""


@dataclass(frozen=True, slots=True)
class Reconsider(Cast):
    """To a follower: take up the event `seq` again, a dead letter that somebody replayed."""

    seq: int


@dataclass(frozen=True, slots=True)
class PollNow(Cast):
    """A monitor's own timer: look at the agent."""


# to the router, with a forge token --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadsDue(Cast):
    """A read was answered, or one is due to be sent: a hint, as `Wake` is."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One issue as a list showed it: the facts as `facts_of_issue(remote, None, sent_at)` gives them,
    with the name the repository has now, and the text they were read with."""

    facts: IssueFacts
    text: str


@dataclass(frozen=True, slots=True)
class SightedReply:
    """How many of the issues are to be read anew (`opened`), were taken as listed (`taken`), or were
    known so already or too new to judge (`passed`). All of it is on disk."""

    opened: int
    taken: int
    passed: int

    @property
    def changed(self) -> bool:
        return bool(self.opened or self.taken)


@dataclass(frozen=True, slots=True)
class Sighted(Call[SightedReply]):
    """A sweep saw these issues: what differs from what is known will be read.

    `is_first`: it is the first sweep of the repository, so nothing it finds was missed. What changed
    after `settled_before` (by the forge's clock) is left to its delivery.
    """

    items: tuple[Sighting, ...] = field(repr=False)
    is_first: bool = False
    settled_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class WatchedRepository:
    """One repository ever seen: filed under `canonical`, called `current` now.

    `is_heard`: a delivery has told of it; else it is known because one of its issues blocks one of
    ours. `concerns`: it has an open issue of ours.
    """

    repo_id: int
    canonical: str
    current: str
    is_heard: bool
    concerns: bool


@dataclass(frozen=True, slots=True)
class WatchedRepositories(Call[tuple[WatchedRepository, ...]]):
    """Every repository ever seen, in order of the ids."""


@dataclass(frozen=True, slots=True)
class NamedRepository(Call[WatchedRepository | None]):
    """The repository that is or was called `name`, in any case; None if there is none so called."""

    name: str


@dataclass(frozen=True, slots=True)
class KnownIssuesOf:
    """The issues known of a repository, sorted, without deleted ones and pull requests.

    `pending` reads are still to be answered: until then the list is not final. `canonical` is None for
    a repository never seen.
    """

    canonical: str | None
    refs: tuple[IssueRef, ...]
    pending: int


@dataclass(frozen=True, slots=True)
class KnownOf(Call[KnownIssuesOf]):
    """What is known of the repository with this id."""

    repo_id: int


@dataclass(frozen=True, slots=True)
class ReadAgain(Call[int]):
    """Read these known issues anew, because a full list did not show them; how many reads that opened.

    One that answers no more is deleted, and counted as missed.
    """

    refs: tuple[IssueRef, ...]


@dataclass(frozen=True, slots=True)
class ReadBlockers(Call[int]):
    """Read anew what blocks open issues of ours and is shown by no sweep of the repositories with these
    ids: what lies outside them, and pull requests. A few each time; how many reads that opened."""

    swept: frozenset[int]


@dataclass(frozen=True, slots=True)
class FailingRepository:
    """A repository that cannot be read: how often in a row, and why not the last time."""

    canonical: str
    failures: int
    last_error: str


@dataclass(frozen=True, slots=True)
class ReadsView:
    """Reads asked for and not answered yet, those on their way, and the age of the oldest."""

    pending: int
    in_flight: int
    oldest_age_s: float | None
    failing: tuple[FailingRepository, ...]


@dataclass(frozen=True, slots=True)
class DescribeReads(Call[ReadsView]):
    """How reading the forge goes."""


# to the sweeper ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refresh(Call[int]):
    """Sweep the repository now called so, None: every one; how many those are. Asked again while that
    is under way, it is done once more."""

    repo: str | None = None


@dataclass(frozen=True, slots=True)
class WriteAgain(Call[int]):
    """To the scribe: try now what the forge has refused to take; on how many issues."""


@dataclass(frozen=True, slots=True)
class Look(Cast):
    """The sweeper's own timer: begin what is due."""


@dataclass(frozen=True, slots=True)
class SaveSweeps(Cast):
    """The sweeper's own timer: write down how far it has looked."""


@dataclass(frozen=True, slots=True)
class Stirred(Cast):
    """Deliveries told of the repositories with these ids."""

    repo_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Survey:
    """What is to be watched, and the forge's clock: it showed `forge_at` when ours showed `asked_s`.

    `named` is which repository each configured name means, `lost` the names that mean none, and why.
    `is_partial`: more names are still to be looked up. `own` is the token's account, None if unknown.
    """

    targets: tuple[Target, ...]
    forge_at: datetime
    asked_s: float
    named: tuple[tuple[str, int], ...] = ()
    lost: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    is_partial: bool = False
    own: Login | None = None


@dataclass(frozen=True, slots=True)
class Surveyed(Cast):
    """A survey is over; without `survey` it failed, and `error` says why."""

    survey: Survey | None
    error: str = ""
    retry_in_s: float = 0.0
    is_forge: bool = True


@dataclass(frozen=True, slots=True)
class Swept:
    """One repository was swept: where the next sweep begins, and what this one came upon. `problem` is
    why its comments were not looked through, "" if they were; `too_long` are issues and comments that
    nobody can read."""

    visit: Visit
    changed: bool
    is_unsettled: bool
    commands: int = 0
    problem: str = ""
    too_long: int = 0


@dataclass(frozen=True, slots=True)
class SweepEnded(Cast):
    """A repository's sweep is over; without `swept` it failed: `is_refused` by the forge's word,
    `is_down` because there is no forge to be reached."""

    repo_id: int
    swept: Swept | None
    error: str = ""
    is_refused: bool = False
    is_down: bool = False


# to the parser ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParseDone(Cast):
    """A parse job's result, to be committed by the parser itself."""

    order_id: int
    parsed: IssueParsed = field(repr=False)


# to the dispatcher ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExplainIssue(Call[IssueView | None]):
    """Why the issue is where it is, by the function that decides dispatch. None: never heard of it."""

    issue: IssueRef


@dataclass(frozen=True, slots=True)
class ListIssues(Call[IssuePage]):
    """Issues that concern us (all known ones with `every`), by ref, after `after`, at most `limit`."""

    after: IssueRef | None = None
    limit: int = 100
    state: str | None = None
    every: bool = False


# to a monitor -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """The report is on disk; `action` is what the monitor decided: continue, compact or rotate."""

    action: str
    fill: float | None


@dataclass(frozen=True, slots=True)
class ReportUsage(Call[Recorded]):
    """An agent's own reading. Unknown or fenced runs are answered with SenderError."""

    agent: AgentName
    run: RunId | None
    session: int | None
    usage: ContextUsage
    at_turn_boundary: bool


@dataclass(frozen=True, slots=True)
class Acked:
    """The acknowledgement is on disk; `known` is False when the order was closed before."""

    known: bool


@dataclass(frozen=True, slots=True)
class AckOrder(Call[Acked]):
    """An agent's answer to an order, or the end of its run.

    `status` is one of "accepted" (StartRun taken up), "done" (compaction, rotation or cancellation
    carried out; for StartRun: the work is complete), "failed". `handoff` belongs to RotateSession,
    `after_tokens` to CompactContext.
    """

    agent: AgentName
    order_id: int
    status: AckStatus
    detail: str = field(default="", repr=False)
    handoff: str | None = field(default=None, repr=False)
    after_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class DescribeAgent(Call[AgentView]):
    """What the monitor knows of its agent now."""
