"""The demo's story as data: a dozen issues in two repositories, what people do to them, and how it must
end.

Knows nothing of HTTP, JSON or the screen. The issues state their estimate in front matter, so that
the story needs no language model and goes the same way every time.
"""

from dataclasses import dataclass, field

from coordinator.rules.events import Difficulty
from coordinator.rules.fleet import AgentSpec, ContextPolicy, Fleet
from coordinator.rules.ids import AgentName, IssueRef, Login

__all__ = [
    "ENDING",
    "ISSUES",
    "POOL",
    "SCENES",
    "Act",
    "Assign",
    "Block",
    "Close",
    "Ending",
    "Forgery",
    "Lost",
    "Malformed",
    "Open",
    "Pace",
    "Repeat",
    "Say",
    "Scene",
    "Show",
    "StoryIssue",
    "TestDelivery",
    "Unassign",
    "Until",
    "fleet_at",
]

POOL = "coder-bot"
WIDGETS, GADGETS = "acme/widgets", "acme/gadgets"
WINDOW_TOKENS = 200_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the story goes: agents and the forge's clock live `speed` times faster; `beat_s` lies
    between scenes. So often the coordinator polls its agents, sweeps the forge, rewrites a comment."""

    speed: float
    beat_s: float
    poll_s: float
    sweep_s: float
    write_s: float


@dataclass(frozen=True, slots=True)
class StoryIssue:
    """An issue as its author wrote it."""

    ref: IssueRef
    title: str
    body: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Open:
    """A new issue, assigned at once unless `login` is empty; this forge announces the assignment before
    the issue itself."""

    ref: IssueRef
    login: str


@dataclass(frozen=True, slots=True)
class Assign:
    """One more assignee."""

    ref: IssueRef
    login: str


@dataclass(frozen=True, slots=True)
class Unassign:
    """One assignee less."""

    ref: IssueRef
    login: str


@dataclass(frozen=True, slots=True)
class Close:
    ref: IssueRef


@dataclass(frozen=True, slots=True)
class Block:
    """A dependency set at the forge, of which no forge tells anybody."""

    ref: IssueRef
    blocker: IssueRef


@dataclass(frozen=True, slots=True)
class Say:
    """A comment."""

    ref: IssueRef
    text: str
    by: str = "maria"


@dataclass(frozen=True, slots=True)
class Lost:
    """The act takes place, but the forge's deliveries of it never arrive: a sweep must find it."""

    act: Assign


@dataclass(frozen=True, slots=True)
class Show:
    """Nobody does anything: we read what the coordinator wrote on the issue, once it says `word`."""

    ref: IssueRef
    word: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """Somebody presses "Replay": the newest delivery again, under a new id."""


@dataclass(frozen=True, slots=True)
class Forgery:
    """The newest delivery with a signature by somebody who does not know the secret."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A correctly signed delivery whose issue has no number."""


@dataclass(frozen=True, slots=True)
class TestDelivery:
    """What the forge's button "test delivery" sends."""

    __test__ = False  # looks like a test class to pytest


Act = (
    Open
    | Assign
    | Unassign
    | Close
    | Block
    | Say
    | Lost
    | Show
    | Repeat
    | Forgery
    | Malformed
    | TestDelivery
)


@dataclass(frozen=True, slots=True)
class Until:
    """The issue is in one of these states."""

    ref: IssueRef
    states: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scene:
    """`act` happens once `when` holds; every delivery it causes must be answered with `status`, and
    `word` where the answer has one."""

    caption: str
    act: Act
    status: int = 200
    word: str | None = "accepted"
    when: Until | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How an issue must stand in the end; `agent` None where nobody did it or anybody may."""

    state: str
    reason: str
    agent: str | None = None
    compacted: bool = False
    rotated: bool = False


@dataclass(slots=True)
class _Cast:
    """Collects the issues while the story is being written down."""

    issues: dict[IssueRef, StoryIssue] = field(default_factory=dict)

    def add(
        self,
        repo: str,
        number: int,
        title: str,
        *,
        tokens: int = 30_000,
        difficulty: Difficulty = "medium",
        text: str = "",
        labels: tuple[str, ...] = (),
    ) -> IssueRef:
        ref = IssueRef(repo, number)
        front = f"---\nestimated_context_tokens: {tokens}\ndifficulty: {difficulty}\n---\n"
        self.issues[ref] = StoryIssue(ref, title, f"{front}{text}\n", labels)
        return ref


# The forge numbers the issues of a repository in the order in which they are opened.
_cast = _Cast()
_store = _cast.add(WIDGETS, 1, "Move sessions to the new key store", tokens=90_000, difficulty="hard")
_trim = _cast.add(WIDGETS, 2, "Trim blanks in the config reader", tokens=20_000, difficulty="easy")
_page = _cast.add(
    WIDGETS, 3, "Paginate the audit list", tokens=50_000, text="Needs the reader.\n\nBlocked by: #2"
)
_icons = _cast.add(WIDGETS, 4, "Redraw the icons", tokens=50_000)
_hub = _cast.add(WIDGETS, 5, "Split the event hub", text="Blocked by: acme/gadgets#1")
_year = _cast.add(WIDGETS, 6, "Change the year in the footer", tokens=10_000, difficulty="easy")
_drop = _cast.add(WIDGETS, 7, "Drop the old importer", tokens=50_000, labels=("priority/4",))
_bus = _cast.add(GADGETS, 1, "Rename the bus topics", text="Depends on: #2")
_spec = _cast.add(GADGETS, 2, "Freeze the topic list", text="Blocked by: acme/widgets#5")
_docs = _cast.add(GADGETS, 3, "Describe the new API", text="Blocked by: #99")
_port = _cast.add(GADGETS, 4, "Port everything to the new forge", tokens=150_000, difficulty="hard")
_lunch = _cast.add(GADGETS, 5, "Order lunch for the retro", tokens=1_000, difficulty="easy")
_retro = _cast.add(GADGETS, 6, "Write up the retro", tokens=10_000, difficulty="easy")
_lint = _cast.add(GADGETS, 7, "Fix the lint findings", tokens=20_000, difficulty="easy",
                  labels=("priority/1",))  # fmt: skip

ISSUES: dict[IssueRef, StoryIssue] = _cast.issues

_UNDER_WAY = frozenset({"running"})
_FINISHED = frozenset({"done"})

SCENES: tuple[Scene, ...] = (
    Scene("the admin presses 'Test delivery'", TestDelivery(), word="ignored"),
    Scene("a hard one for the pool", Open(_store, POOL)),
    Scene("an easy one for the pool", Open(_trim, POOL)),
    Scene("it waits for the one before", Open(_page, POOL)),
    Scene("which the coordinator says where people look: on the issue", Show(_page, "Blocked")),
    Scene("somebody presses 'Replay'", Repeat(), word="duplicate"),
    Scene("somebody else knocks", Forgery(), status=401, word=None),
    Scene("this one is meant for sonnet", Open(_icons, "claude-sonnet")),
    Scene("sonnet has begun, but opus shall do it", Assign(_icons, "claude-opus"),
          when=Until(_icons, _UNDER_WAY)),
    Scene("so sonnet is taken off it", Unassign(_icons, "claude-sonnet")),
    Scene("three issues that wait …", Open(_hub, POOL)),
    Scene("… for each other …", Open(_bus, POOL)),
    Scene("… across two repositories", Open(_spec, POOL)),
    Scene("the cycle is named on each of them", Show(_spec, "Cycle")),
    Scene("blocked by an issue nobody has seen", Open(_docs, POOL)),
    Scene("too large for any context window", Open(_port, POOL)),
    Scene("a person's task: none of our business", Open(_lunch, "maria")),
    Scene("nobody's yet", Open(_retro, "")),
    Scene("it depends on lunch, says a click in the forge: no webhook tells", Block(_retro, _lunch)),
    Scene("but who is told of the assignment reads all of the issue", Assign(_retro, POOL)),
    Scene("urgent and easy", Open(_lint, POOL)),
    Scene("signed, but not an issue", Malformed(), status=422, word=None),
    Scene("nobody's yet, again", Open(_year, "")),
    Scene("the forge loses the webhook of its assignment", Lost(Assign(_year, POOL)),
          when=Until(_year, frozenset({"ignored"}))),
    Scene("rita, who may only read, gives an order: ignored",
          Say(_port, "/coordinator park I do not like it", by="rita")),
    Scene("maria, who may write, corrects the estimate", Say(_port, "/coordinator estimate 60k hard"),
          when=Until(_port, frozenset({"parked"}))),
    Scene("and is answered", Show(_port, "accepted")),
    Scene("another one for sonnet", Open(_drop, "claude-sonnet")),
    Scene("on second thoughts, no", Unassign(_drop, "claude-sonnet"), when=Until(_drop, _UNDER_WAY)),
    Scene("reviewed and closed: the next may start", Close(_trim),
          when=Until(_trim, _FINISHED)),
)  # fmt: skip

ENDING: dict[IssueRef, Ending] = {
    _store: Ending("done", "completed", "opus-1", compacted=True, rotated=True),
    _trim: Ending("closed", "closed", "haiku-1"),
    _page: Ending("done", "completed", compacted=True),
    _icons: Ending("done", "completed", "opus-1", compacted=True),
    _hub: Ending("blocked", "cycle"),
    _year: Ending("done", "completed"),
    _drop: Ending("ignored", "not_ours"),
    _bus: Ending("blocked", "cycle"),
    _spec: Ending("blocked", "cycle"),
    _docs: Ending("blocked", "unknown_blocker"),
    _port: Ending("done", "completed", "opus-1"),
    _lunch: Ending("ignored", "not_ours"),
    _retro: Ending("blocked", "open_blocker"),
    _lint: Ending("done", "completed", "haiku-1"),
}


def fleet_at(pace: Pace) -> Fleet:
    """Three simulated agents that live at this pace; the thresholds are the product's own."""
    policy = ContextPolicy(
        window_tokens=WINDOW_TOKENS,
        poll_s=pace.poll_s,
        # Peace between two actions is measured in the agent's own time.
        cooldown_s=ContextPolicy().cooldown_s / pace.speed,
    )
    return Fleet(
        agents=(
            _agent("haiku-1", "claude-haiku", "claude-haiku-5-5", "easy", policy, slots=1),
            _agent("sonnet-1", "claude-sonnet", "claude-sonnet-5-5", "medium", policy, slots=1),
            _agent("opus-1", "claude-opus", "claude-opus-5-5", "hard", policy, slots=2),
        ),
        pool_logins=(Login(POOL),),
    )


def _agent(
    name: str, login: str, model: str, difficulty: Difficulty, policy: ContextPolicy, *, slots: int
) -> AgentSpec:
    return AgentSpec(
        name=AgentName(name),
        login=Login(login),
        driver="rehearsal",
        model=model,
        difficulty=difficulty,
        slots=slots,
        context=policy,
    )
