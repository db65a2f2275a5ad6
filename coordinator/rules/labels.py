"""The labels we put on issues, as people see them in lists: which agent, and where the issue stands.

All of ours are scoped and exclusive: a forge then keeps one of each scope on an issue by itself.
Whatever else is on an issue is none of our business.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from coordinator.rules.views import IssueView

__all__ = [
    "AGENT_SCOPE",
    "MAX_SHOWN",
    "STATE_SCOPE",
    "LabelSpec",
    "foreign_labels",
    "is_ours",
    "is_state",
    "our_labels",
    "spec_of",
    "wanted",
]

STATE_SCOPE = "coordinator/"
AGENT_SCOPE = "agent/"

# Legible with the forges' white or black text alike; red is kept for what waits for a person.
_COLORS = {
    "coordinator/ready": "0e8a16",
    "coordinator/blocked": "fbca04",
    "coordinator/running": "1d76db",
    "coordinator/parked": "bfbfbf",
    "coordinator/needs-human": "d93f0b",
}
_DESCRIPTIONS = {
    "coordinator/ready": "All it waits for is an agent with a free slot",
    "coordinator/blocked": "Waits for other issues to be closed",
    "coordinator/running": "An agent works on it",
    "coordinator/parked": "Held back by a person or by circumstances; see the comment",
    "coordinator/needs-human": "Goes on only when a person decides; see the comment",
}
# Dark enough for white text, far apart on the colour circle, none of them a colour of a state.
_AGENT_COLORS = ("5319e7", "006b75", "8a2be2", "0052cc", "7b4b94", "1f6f8b", "4b6584", "6a3d9a")

# Parked for want of somebody's decision; the other reasons to park were a person's own.
_BY_PERSON = frozenset({"parked_by_person"})
# A forge refuses longer names.
_MAX_LABEL_CHARS = 50
# An issue carries two of ours; more are somebody's joke.
MAX_SHOWN = 20


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """A label as it should be created; `color` is six hex digits without "#"."""

    name: str
    color: str
    description: str
    exclusive: bool = True


def is_ours(name: str) -> bool:
    """Whether a label is one that we alone put on and take off."""
    return name.startswith((STATE_SCOPE, AGENT_SCOPE))


def is_state(name: str) -> bool:
    """Whether it says where an issue stands."""
    return name.startswith(STATE_SCOPE)


def foreign_labels(names: Iterable[str]) -> tuple[str, ...]:
    """The labels that are not ours, in their order: only those are news."""
    return tuple(name for name in names if not is_ours(name))


def our_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Those that are ours, sorted; of very many a few, which are as wrong: states before agents."""
    ours = sorted(filter(is_ours, names), key=lambda name: (not is_state(name), name))
    return tuple(sorted(ours[:MAX_SHOWN]))


def wanted(view: IssueView) -> tuple[str, ...]:
    """Which of our labels the issue should carry, sorted; none when it does not concern us now."""
    state = _state_label(view)
    if state is None:
        return ()
    agent = f"{AGENT_SCOPE}{view.agent}" if view.agent is not None else ""
    holds_run = view.state == "running" or view.reason == "run_parked"
    shows_agent = holds_run and 0 < len(agent) <= _MAX_LABEL_CHARS
    return tuple(sorted({state, agent} if shows_agent else {state}))


def spec_of(name: str) -> LabelSpec:
    """How a label of ours is made when the repository has none of that name."""
    if name in _COLORS:
        return LabelSpec(name, _COLORS[name], _DESCRIPTIONS[name])
    agent = name.removeprefix(AGENT_SCOPE)
    digest = blake2b(agent.encode("utf-8", "replace"), digest_size=1).digest()[0]
    color = _AGENT_COLORS[digest % len(_AGENT_COLORS)]
    return LabelSpec(name, color, "The agent that has the issue")


def _state_label(view: IssueView) -> str | None:
    match view.state:
        case "ready" | "running":
            return f"{STATE_SCOPE}{view.state}"
        case "blocked":
            return f"{STATE_SCOPE}{'needs-human' if view.cycle else 'blocked'}"
        case "parked":
            return f"{STATE_SCOPE}{'parked' if view.reason in _BY_PERSON else 'needs-human'}"
        case _:
            return None
