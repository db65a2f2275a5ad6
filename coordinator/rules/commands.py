"""What people may tell us in a comment: `/coordinator <verb> …` on its first line, and nothing else.

Quotations, code and whatever stands further down are no commands. The words are a stranger's until
the forge has said that they may write to the repository; even then they only ever become one of a few
verbs, a configured agent's name, a bounded number or a bounded line.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from coordinator.rules.events import CommandGiven, CommandRefused, Difficulty, Verb
from coordinator.rules.ids import AgentName, IssueRef, Login
from coordinator.rules.metadata import MAX_AGENT_CHARS, clamp_estimate, one_line, read_difficulty
from coordinator.rules.views import IssueView

__all__ = ["USAGE", "Command", "Refusal", "given", "is_command", "objection", "parse", "refused"]

USAGE: dict[Verb, str] = {
    "retry": "retry",
    "assign": "assign <agent>",
    "park": "park <reason>",
    "resume": "resume",
    "explain": "explain",
    "estimate": "estimate <tokens> [easy|medium|hard]",
}

# A line that fits into a table; whoever has more to say has the comment itself.
MAX_REASON_CHARS = 200
# Enough of what was written to recognise it by.
_MAX_ECHO_CHARS = 40
# Names in a refusal; who has more agents looks them up.
_MAX_NAMES = 20

# Four blanks or a tab would make it code. Bounded, so that a line of blanks costs nothing.
_COMMAND = re.compile(r" {0,3}/coordinator(?:[ \t]+(?P<words>.*))?[ \t]*", re.IGNORECASE)
_TOKENS = re.compile(r"(?P<number>[0-9][0-9_,]{0,14}(?:\.[0-9]{1,6})?)(?P<unit>[km]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it was meant; only its verb's arguments are set."""

    verb: Verb
    agent: AgentName | None = None
    reason: str = ""
    tokens: int | None = None
    difficulty: Difficulty | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command cannot be carried out, for the one who gave it; not escaped yet."""

    why: str
    verb: Verb | None = None


def is_command(body: str) -> bool:
    """Whether a comment tells us something, well put or not."""
    return _COMMAND.fullmatch(_first_line(body)) is not None


def parse(body: str) -> Command | Refusal | None:
    """What the comment tells us: None when it is none of our business."""
    match = _COMMAND.fullmatch(_first_line(body))
    if match is None:
        return None
    word, _, rest = one_line(match["words"] or "", 4 * MAX_REASON_CHARS).partition(" ")
    reader = _READERS.get(word.lower())
    if reader is None:
        said = f"{one_line(word, _MAX_ECHO_CHARS)} is not one of them" if word else "none was given"
        return Refusal(f"the commands are {', '.join(USAGE.values())}; {said}")
    return reader(rest)


def objection(command: Command, view: IssueView | None) -> Command | Refusal:
    """The command as it applies to the issue, its agent by its configured name; or why it cannot."""
    if command.verb == "explain":
        return command
    if view is None or view.state == "ignored":
        return Refusal("the issue is not assigned to one of our accounts", command.verb)
    if view.state == "closed":
        return Refusal("the issue is closed", command.verb)
    if command.verb == "assign":
        return _known_agent(command, view.agents)
    if command.verb == "retry" and view.state == "running":
        return Refusal(f"{view.agent} has it; park it first to stop that", command.verb)
    return command


def given(command: Command, ref: IssueRef, *, comment_id: int, by: Login, at: datetime) -> CommandGiven:
    """The event of a command that is carried out."""
    return CommandGiven(
        ref=ref,
        comment_id=comment_id,
        by=by,
        verb=command.verb,
        at=at,
        agent=command.agent,
        reason=command.reason,
        tokens=command.tokens,
        difficulty=command.difficulty,
    )


def refused(refusal: Refusal, ref: IssueRef, *, comment_id: int, by: Login) -> CommandRefused:
    """The event of a command that is not."""
    return CommandRefused(ref, comment_id, by, refusal.why, refusal.verb or "")


def _first_line(body: str) -> str:
    return body[: 8 * MAX_REASON_CHARS].partition("\n")[0].rstrip("\r")


def _known_agent(command: Command, agents: tuple[AgentName, ...]) -> Command | Refusal:
    wanted = str(command.agent).lower()
    for name in agents:
        if name.lower() == wanted:
            return replace(command, agent=name)
    names = ", ".join(agents[:_MAX_NAMES]) + (" …" if len(agents) > _MAX_NAMES else "")
    return Refusal(f"there is no agent {command.agent}; there are {names or 'none'}", "assign")


def _bare(verb: Verb) -> Callable[[str], Command | Refusal]:
    return lambda rest: _usage(verb) if rest else Command(verb)


def _assign(rest: str) -> Command | Refusal:
    if not rest or " " in rest or len(rest) > MAX_AGENT_CHARS:
        return _usage("assign")
    return Command("assign", agent=AgentName(rest))


def _park(rest: str) -> Command | Refusal:
    return Command("park", reason=one_line(rest, MAX_REASON_CHARS)) if rest else _usage("park")


def _estimate(rest: str) -> Command | Refusal:
    tokens, _, hardness = rest.partition(" ")
    match, difficulty = _TOKENS.fullmatch(tokens), read_difficulty(hardness)
    if match is None or (hardness and difficulty is None):
        return _usage("estimate")
    number = float(match["number"].replace(",", "").replace("_", ""))
    given_tokens = clamp_estimate(round(number * _UNITS[match["unit"].lower()]))
    return Command("estimate", tokens=given_tokens, difficulty=difficulty)


def _usage(verb: Verb) -> Refusal:
    return Refusal(f"it is written /coordinator {USAGE[verb]}", verb)


_READERS: dict[str, Callable[[str], Command | Refusal]] = {
    "retry": _bare("retry"),
    "resume": _bare("resume"),
    "explain": _bare("explain"),
    "assign": _assign,
    "park": _park,
    "estimate": _estimate,
}
