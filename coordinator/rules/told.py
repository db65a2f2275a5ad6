"""What people have told us about one issue, in commands: of each kind the last word counts.

Comments are numbered upwards by the forge, so the last word is the same in whatever order the
commands are folded in, and however often.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

from coordinator.rules.events import CommandGiven, CommandRefused, Metadata
from coordinator.rules.metadata import clamp_estimate

__all__ = ["Told"]

_Command = TypeVar("_Command", CommandGiven, CommandGiven | CommandRefused)


@dataclass(frozen=True, slots=True)
class Told:
    """The newest command of each kind; `holding` is a park or a resume, `answered` any at all."""

    retry: CommandGiven | None = None
    assign: CommandGiven | None = None
    holding: CommandGiven | None = None
    estimate: CommandGiven | None = None
    answered: CommandGiven | CommandRefused | None = None

    def hear(self, event: CommandGiven | CommandRefused) -> "Told":
        """With one more command, given or refused."""
        told = replace(self, answered=_later(self.answered, event))
        if isinstance(event, CommandRefused):
            return told
        match event.verb:
            case "retry":
                return replace(told, retry=_later(self.retry, event))
            case "assign":
                return replace(told, assign=_later(self.assign, event))
            case "park" | "resume":
                return replace(told, holding=_later(self.holding, event))
            case "estimate":
                return replace(told, estimate=_later(self.estimate, event))
            case _:
                return told

    @property
    def parked(self) -> CommandGiven | None:
        """The command that holds the issue back, if one does."""
        holding = self.holding
        return holding if holding is not None and holding.verb == "park" else None

    @property
    def newest_id(self) -> int:
        """The newest comment that may have asked for a run, 0 without any."""
        given = (self.retry, self.assign, self.holding)
        return max((each.comment_id for each in given if each is not None), default=0)

    def over(self, metadata: Metadata) -> Metadata:
        """The metadata with what a person said instead; whatever they left out stays as read."""
        said = self.estimate
        if said is None:
            return metadata
        tokens = metadata.estimated_context_tokens if said.tokens is None else said.tokens
        return replace(
            metadata,
            estimated_context_tokens=clamp_estimate(tokens),
            difficulty=said.difficulty or metadata.difficulty,
        )


def _later(old: _Command | None, new: _Command) -> _Command:
    return new if old is None or new.comment_id >= old.comment_id else old
