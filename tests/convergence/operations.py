"""What may happen while the coordinator watches: people, deliveries, the forge, the coordinator itself.

An operation is plain data, so that a list of them can be printed, shortened and played again. Issues
and repositories are named by a number, taken modulo those there are when its turn comes.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal

from hypothesis import strategies as st

from coordinator.demo.forge import DeliveryFault, Mishap

__all__ = [
    "Assign",
    "Away",
    "Block",
    "Close",
    "Crash",
    "Delete",
    "Label",
    "Misbehave",
    "Open",
    "Operation",
    "Pause",
    "Plan",
    "Post",
    "Rename",
    "Reopen",
    "Retitle",
    "Rewrite",
    "Say",
    "SetMilestone",
    "Unassign",
    "Unblock",
    "anything",
    "chaos",
    "losses",
]

Login = Literal["coder-bot", "agent-a", "maria"]
Watched = Literal["heard", "all", "names"]


@dataclass(frozen=True, slots=True)
class Open:
    repo: int
    assignees: tuple[Login, ...] = ("coder-bot",)
    labels: tuple[str, ...] = ()
    after: int | None = None  # its text says that it waits for this one
    is_pull: bool = False


@dataclass(frozen=True, slots=True)
class Retitle:
    issue: int


@dataclass(frozen=True, slots=True)
class Rewrite:
    issue: int
    after: int | None


@dataclass(frozen=True, slots=True)
class Assign:
    issue: int
    login: Login


@dataclass(frozen=True, slots=True)
class Unassign:
    issue: int
    login: Login


@dataclass(frozen=True, slots=True)
class Label:
    issue: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetMilestone:
    issue: int
    title: str | None


@dataclass(frozen=True, slots=True)
class Close:
    issue: int


@dataclass(frozen=True, slots=True)
class Reopen:
    issue: int


@dataclass(frozen=True, slots=True)
class Block:
    issue: int
    blocker: int


@dataclass(frozen=True, slots=True)
class Unblock:
    issue: int
    blocker: int


@dataclass(frozen=True, slots=True)
class Say:
    issue: int
    text: str
    by: Literal["maria", "rita", "coder-bot"] = "maria"


@dataclass(frozen=True, slots=True)
class Delete:
    issue: int


@dataclass(frozen=True, slots=True)
class Rename:
    repo: int


@dataclass(frozen=True, slots=True)
class Post:
    """What the next deliveries suffer."""

    fault: DeliveryFault
    count: int = 1


@dataclass(frozen=True, slots=True)
class Misbehave:
    """How the forge answers the next requests."""

    mishap: Mishap
    times: int = 1
    after: bool = False
    status: int = 503


@dataclass(frozen=True, slots=True)
class Away:
    """The forge is gone for so many operations."""

    operations: int


@dataclass(frozen=True, slots=True)
class Crash:
    """The coordinator dies at once, and comes back after so many operations."""

    operations: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """Real time for what is under way, so that the next operation meets it in another state; and how
    far the forge's clock goes on meanwhile."""

    ms: int
    seconds: int = 0


Operation = (
    Open
    | Retitle
    | Rewrite
    | Assign
    | Unassign
    | Label
    | SetMilestone
    | Close
    | Reopen
    | Block
    | Unblock
    | Say
    | Delete
    | Rename
    | Post
    | Misbehave
    | Away
    | Crash
    | Pause
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which repositories are watched, and what happens."""

    watched: Watched
    operations: tuple[Operation, ...]


_INDEX = st.integers(0, 11)
_LOGIN: st.SearchStrategy[Login] = st.sampled_from(("coder-bot", "coder-bot", "agent-a", "maria"))
_LABELS = st.lists(st.sampled_from(("priority/1", "kind/bug", "help wanted")), max_size=2, unique=True)
_TEXTS = st.sampled_from(
    (
        "Any news?",
        "/coordinator explain",
        "/coordinator park not before the release",
        "/coordinator resume",
        "/coordinator retry",
        "/coordinator estimate 40k hard",
        "/coordinator assign agent-a",
        "/coordinator assign nobody",
        "/coordinator dance",
        "> /coordinator park quoted",
    )
)
_PEOPLE: tuple[Literal["maria", "rita", "coder-bot"], ...] = ("maria", "maria", "rita", "coder-bot")

_OPEN = st.builds(
    Open,
    repo=st.integers(0, 1),
    assignees=st.lists(_LOGIN, max_size=2, unique=True).map(tuple),
    labels=_LABELS.map(tuple),
    after=st.none() | _INDEX,
    is_pull=st.sampled_from((False, False, False, True)),
)
_PEOPLES: tuple[st.SearchStrategy[Operation], ...] = (
    _OPEN,
    _OPEN,
    st.builds(Retitle, _INDEX),
    st.builds(Rewrite, _INDEX, st.none() | _INDEX),
    st.builds(Assign, _INDEX, _LOGIN),
    st.builds(Unassign, _INDEX, _LOGIN),
    st.builds(Label, _INDEX, _LABELS.map(tuple)),
    st.builds(SetMilestone, _INDEX, st.sampled_from((None, "v1", "v2"))),
    st.builds(Close, _INDEX),
    st.builds(Close, _INDEX),
    st.builds(Reopen, _INDEX),
    st.builds(Block, _INDEX, _INDEX),
    st.builds(Block, _INDEX, _INDEX),
    st.builds(Unblock, _INDEX, _INDEX),
    st.builds(Say, _INDEX, _TEXTS, st.sampled_from(_PEOPLE)),
    st.builds(Delete, _INDEX),
)
_DELIVERY_FAULTS: tuple[DeliveryFault, ...] = (
    "lose", "lose", "delay", "duplicate", "reorder", "truncate", "missign",
)  # fmt: skip
_MISHAPS: tuple[Mishap, ...] = ("slow", "status", "html", "truncate", "cut", "reset")
_TROUBLE: tuple[st.SearchStrategy[Operation], ...] = (
    st.builds(Rename, st.integers(0, 1)),
    st.builds(Post, st.sampled_from(_DELIVERY_FAULTS), st.integers(1, 3)),
    st.builds(Post, st.sampled_from(_DELIVERY_FAULTS), st.integers(1, 3)),
    st.builds(
        Misbehave,
        st.sampled_from(_MISHAPS),
        st.integers(1, 2),
        st.booleans(),
        st.sampled_from((429, 500, 502, 503)),
    ),
    st.builds(Away, st.integers(1, 2)),
    st.builds(Crash, st.integers(0, 3)),
    st.builds(Pause, st.sampled_from((0, 5, 30, 120, 250)), st.sampled_from((0, 0, 1, 7))),
    st.builds(Pause, st.sampled_from((0, 5, 30, 120, 250)), st.sampled_from((0, 0, 1, 7))),
)
_WATCHED: tuple[Watched, ...] = ("heard", "all", "names")


def chaos(most: int) -> st.SearchStrategy[Plan]:
    """Anything at any moment."""
    either = st.one_of(*_PEOPLES, *_TROUBLE)
    operations = st.lists(either, min_size=3, max_size=most).map(tuple)
    return st.builds(Plan, st.sampled_from(_WATCHED), operations)


_ALTER = (
    st.builds(Open, st.integers(0, 1), st.lists(_LOGIN, max_size=2, unique=True).map(tuple)),
    st.builds(Retitle, _INDEX),
    st.builds(Assign, _INDEX, _LOGIN),
    st.builds(Unassign, _INDEX, _LOGIN),
    st.builds(Label, _INDEX, st.just(())),
    st.builds(SetMilestone, _INDEX, st.just("")),
    st.builds(Close, _INDEX),
    st.builds(Reopen, _INDEX),
    st.builds(Block, _INDEX, _INDEX),
    st.builds(Delete, _INDEX),
)
_LOSSES: tuple[DeliveryFault, ...] = ("lose", "truncate", "missign")


def losses(most: int) -> st.SearchStrategy[Plan]:
    """One thing after the other, some of it unheard of; nothing undoes what nobody heard of."""
    lost = st.builds(Post, st.sampled_from(_LOSSES), st.integers(1, 2))
    operations = st.lists(st.one_of(*_ALTER, lost, lost), min_size=3, max_size=most).map(tuple)
    return st.builds(Plan, st.sampled_from(_WATCHED), operations)


_WORDS = ("Any news?", "/coordinator explain", "/coordinator park not before the release",
          "/coordinator resume", "/coordinator retry", "/coordinator estimate 40k hard",
          "/coordinator assign agent-a", "/coordinator dance")  # fmt: skip


def anything(draw: Random) -> Operation:
    """Something that somebody does, without hypothesis: for plays that cannot be played again."""
    issue, other = draw.randrange(1_000), draw.randrange(1_000)
    login: Login = draw.choice(("coder-bot", "coder-bot", "agent-a", "maria"))
    match draw.randrange(30):
        case 0 | 1 | 2 | 3 | 4:
            after = other if draw.random() < 0.4 else None
            return Open(draw.randrange(2), (login,), after=after, is_pull=draw.random() < 0.1)
        case 5 | 6 | 7 | 8 | 9 | 10 | 11:
            return Say(issue, draw.choice(_WORDS), draw.choice(_PEOPLE))
        case 12 | 13:
            return Rewrite(issue, other if draw.random() < 0.5 else None)
        case 14 | 15 | 16:
            return Assign(issue, login)
        case 17 | 18:
            return Unassign(issue, login)
        case 19 | 20 | 21:
            return Close(issue)
        case 22 | 23:
            return Reopen(issue)
        case 24 | 25:
            return Block(issue, other)
        case 26:
            return Unblock(issue, other)
        case 27:
            return Label(issue, tuple(draw.sample(("priority/1", "kind/bug", "help wanted"), 2)))
        case 28:
            return draw.choice((Retitle(issue), SetMilestone(issue, draw.choice((None, "v1", "v2")))))
        case _:
            return draw.choice((Delete(issue), Rename(draw.randrange(2))))
