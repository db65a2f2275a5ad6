"""The names of things, as small types that cannot be swapped for one another."""

import re
from dataclasses import dataclass
from typing import NewType

__all__ = ["AgentName", "DeliveryId", "IssueRef", "Login", "RunId", "fold_login"]

AgentName = NewType("AgentName", str)
DeliveryId = NewType("DeliveryId", str)
Login = NewType("Login", str)


def fold_login(name: str) -> Login:
    """A login in the one spelling we compare by; forges tell logins apart without regard to case."""
    return Login(name.lower())


_REF = re.compile(r"(?P<repo>[^\s/#]+/[^\s/#]+)#(?P<number>[0-9]{1,10})")


@dataclass(frozen=True, slots=True, order=True)
class IssueRef:
    """One issue: `repo` is "owner/name" in lower case (forges compare names so), `number` ≥ 1."""

    repo: str
    number: int

    def __str__(self) -> str:
        return f"{self.repo}#{self.number}"

    @classmethod
    def parse(cls, text: str) -> "IssueRef":
        """The ref written as `owner/name#12`; anything else is a ValueError with the text seen."""
        match = _REF.fullmatch(text)
        if match is None or int(match["number"]) < 1:
            raise ValueError(f"{text[:80]!r} is not an issue: expected owner/name#12")
        return cls(match["repo"].lower(), int(match["number"]))


@dataclass(frozen=True, slots=True, order=True)
class RunId:
    """One agent's work on one issue; `generation` counts the dispatches of the issue from 1."""

    issue: IssueRef
    generation: int

    def __str__(self) -> str:
        return f"{self.issue}@{self.generation}"

    @classmethod
    def parse(cls, text: str) -> "RunId":
        """The run written as `owner/name#12@3`; anything else is a ValueError with the text seen."""
        issue, at, generation = text.rpartition("@")
        if not at or not generation.isascii() or not generation.isdigit() or len(generation) > 9:
            raise ValueError(f"{text[:80]!r} is not a run: expected owner/name#12@1")
        return cls(IssueRef.parse(issue), int(generation))
