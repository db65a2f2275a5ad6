"""The demo's story as data: a dozen issues on two forges, what happens to them, and how it must end.

Knows nothing of HTTP, JSON or the screen. The issues state their estimate in front matter, so that
the story needs no language model and goes the same way every time.
"""

from dataclasses import dataclass, field

from coordinator.demo.payloads import Product
from coordinator.rules.events import Difficulty
from coordinator.rules.fleet import AgentSpec, ContextPolicy, Fleet
from coordinator.rules.ids import AgentName, IssueRef, Login

__all__ = [
    "ENDING",
    "ISSUES",
    "SCENES",
    "Act",
    "Assign",
    "Close",
    "Ending",
    "Forgery",
    "Malformed",
    "Open",
    "Pace",
    "Repeat",
    "Scene",
    "StoryIssue",
    "TestDelivery",
    "Unassign",
    "Until",
    "fleet_at",
]

POOL = "coder-bot"
WINDOW_TOKENS = 200_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the story goes: the agents live `speed` times faster; `beat_s` lies between scenes."""

    speed: float
    beat_s: float
    poll_s: float


@dataclass(frozen=True, slots=True)
class StoryIssue:
    """An issue as its author wrote it."""

    ref: IssueRef
    forge: Product
    title: str
    body: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Open:
    """A new issue, assigned at once; forges announce the assignment before the issue itself."""

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
    """Done, reviewed and closed."""

    ref: IssueRef


@dataclass(frozen=True, slots=True)
class Repeat:
    """The last delivery once more, delivery id and all, as forges do after a time-out."""


@dataclass(frozen=True, slots=True)
class Forgery:
    """The last delivery, signed with the wrong secret."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Correctly signed, but without the number of the issue."""


@dataclass(frozen=True, slots=True)
class TestDelivery:
    """What the forge's button "Test delivery" sends: a push."""

    __test__ = False  # its name looks like a test class to pytest

    forge: Product


Act = Open | Assign | Unassign | Close | Repeat | Forgery | Malformed | TestDelivery


@dataclass(frozen=True, slots=True)
class Until:
    """The issue is in one of these states."""

    ref: IssueRef
    states: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scene:
    """`act` is posted once `when` holds; the answer must be `status`, and `word` where it has one."""

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
        forge: Product,
        number: int,
        title: str,
        *,
        tokens: int = 30_000,
        difficulty: Difficulty = "medium",
        text: str = "",
        labels: tuple[str, ...] = (),
    ) -> IssueRef:
        ref = IssueRef("acme/widgets" if forge == "gitea" else "acme/gadgets", number)
        front = f"---\nestimated_context_tokens: {tokens}\ndifficulty: {difficulty}\n---\n"
        self.issues[ref] = StoryIssue(ref, forge, title, f"{front}{text}\n", labels)
        return ref


_cast = _Cast()
_store = _cast.add("gitea", 1, "Move sessions to the new key store", tokens=90_000, difficulty="hard")
_trim = _cast.add("gitea", 2, "Trim blanks in the config reader", tokens=20_000, difficulty="easy")
_page = _cast.add(
    "gitea", 3, "Paginate the audit list", tokens=50_000, text="Needs the reader.\n\nBlocked by: #2"
)
_icons = _cast.add("gitea", 4, "Redraw the icons", tokens=50_000)
_drop = _cast.add("gitea", 5, "Drop the old importer", tokens=50_000, labels=("priority/4",))
_hub = _cast.add("gitea", 6, "Split the event hub", text="Blocked by: acme/gadgets#1")
_bus = _cast.add("forgejo", 1, "Rename the bus topics", text="Depends on: #2")
_spec = _cast.add("forgejo", 2, "Freeze the topic list", text="Blocked by: acme/widgets#6")
_docs = _cast.add("forgejo", 3, "Describe the new API", text="Blocked by: #99")
_port = _cast.add("forgejo", 4, "Port everything to the new forge", tokens=150_000, difficulty="hard")
_lint = _cast.add("forgejo", 5, "Fix the lint findings", tokens=20_000, difficulty="easy",
                  labels=("priority/1",))  # fmt: skip
_lunch = _cast.add("forgejo", 6, "Order lunch for the retro", tokens=1_000, difficulty="easy")

ISSUES: dict[IssueRef, StoryIssue] = _cast.issues

_UNDER_WAY = frozenset({"running"})
_FINISHED = frozenset({"done"})

SCENES: tuple[Scene, ...] = (
    Scene("the admin presses 'Test delivery'", TestDelivery("gitea"), word="ignored"),
    Scene("a hard one for the pool", Open(_store, POOL)),
    Scene("an easy one for the pool", Open(_trim, POOL)),
    Scene("it waits for the one before", Open(_page, POOL)),
    Scene("the forge repeats itself", Repeat(), word="duplicate"),
    Scene("somebody else knocks", Forgery(), status=401, word=None),
    Scene("this one is meant for sonnet", Open(_icons, "claude-sonnet")),
    Scene("three issues that wait …", Open(_hub, POOL)),
    Scene("… for each other …", Open(_bus, POOL)),
    Scene("… across two repositories", Open(_spec, POOL)),
    Scene("blocked by an issue nobody has seen", Open(_docs, POOL)),
    Scene("too large for any context window", Open(_port, POOL)),
    Scene("a person's task: none of our business", Open(_lunch, "maria")),
    Scene("signed, but not an issue", Malformed(), status=422, word=None),
    Scene("sonnet has begun, but opus shall do it", Assign(_icons, "claude-opus"),
          when=Until(_icons, _UNDER_WAY)),
    Scene("so sonnet is taken off it", Unassign(_icons, "claude-sonnet")),
    Scene("urgent and easy, from Forgejo", Open(_lint, POOL)),
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
    _drop: Ending("ignored", "not_ours"),
    _hub: Ending("blocked", "cycle"),
    _bus: Ending("blocked", "cycle"),
    _spec: Ending("blocked", "cycle"),
    _docs: Ending("blocked", "unknown_blocker"),
    _port: Ending("parked", "no_agent_fits"),
    _lint: Ending("done", "completed", "haiku-1"),
    _lunch: Ending("ignored", "not_ours"),
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
