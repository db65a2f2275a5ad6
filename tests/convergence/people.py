"""Carries operations out at the forge, and remembers what each text says about blockers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import trio

from coordinator.actors.clocks import utc_now
from coordinator.demo.forge import Forge, Issue, Refused
from coordinator.rules.labels import is_ours
from tests.convergence.operations import (
    Assign,
    Block,
    Close,
    Delete,
    Label,
    Open,
    Operation,
    Rename,
    Reopen,
    Retitle,
    Rewrite,
    Say,
    SetMilestone,
    Unassign,
    Unblock,
)

__all__ = ["BOT", "REPOSITORIES", "ForgeClock", "People"]

BOT = "coordinator-bot"
REPOSITORIES = ("acme/widgets", "acme/gadgets")
AGENTS = ("coder-bot", "agent-a")
# A forge whose clock is behind ours: what it stamps now looks old to us. The test moves it on.
_BEHIND = timedelta(hours=1)


@dataclass(slots=True)
class ForgeClock:
    """The forge's own clock: an hour behind ours, and as fast as time goes in the test. It can be
    moved on alone."""

    offset: timedelta = -_BEHIND
    _began: tuple[datetime, float] = field(default_factory=lambda: (utc_now(), trio.current_time()))

    def __call__(self) -> datetime:
        at, began_s = self._began
        return (at + timedelta(seconds=trio.current_time() - began_s) + self.offset).astimezone(UTC)

    def advance(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)


@dataclass(slots=True)
class People:
    """Everybody on the forge but the coordinator's own account."""

    forge: Forge
    # issue id → (repository id, number) of the issue its text says it waits for
    stated: dict[int, tuple[int, int]] = field(default_factory=dict)
    # (issue id, comment id, author, text)
    said: list[tuple[int, int, str, str]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def furnish(self) -> str:
        """Two repositories with an issue each; gives the bot's token."""
        access = {BOT: "admin", "maria": "write", "coder-bot": "write", "agent-a": "write"}
        for name in REPOSITORIES:
            self.forge.repository(name, collaborators={**access, "rita": "read"})  # type: ignore[dict-item]
        return self.forge.token(BOT)

    @property
    def repositories(self) -> list[int]:
        return sorted(self.forge.data.repos)

    @property
    def issues(self) -> list[Issue]:
        """Issues and pull requests, oldest first."""
        return sorted(self.forge.data.issues.values(), key=lambda issue: issue.id)

    def pick(self, index: int) -> Issue | None:
        issues = self.issues
        return issues[index % len(issues)] if issues else None

    def act(self, operation: Operation) -> None:
        """Do it, if it can be done now and the forge allows it."""
        try:
            self._act(operation)
        except Refused:
            return  # open blockers, a duplicate edge, a two-cycle: nothing happened

    def _act(self, operation: Operation) -> None:
        match operation:
            case Open():
                self._open(operation)
            case Rename(repo):
                place = self.forge.data.repos[self.repositories[repo % len(self.repositories)]]
                self.forge.rename(place, f"acme/renamed-{next(self._numbers)}")
            case Block(at, other) | Unblock(at, other):
                issue, blocker = self.pick(at), self.pick(other)
                if issue is not None and blocker is not None and issue is not blocker:
                    do = self.forge.block if isinstance(operation, Block) else self.forge.unblock
                    do(issue, blocker)
            case _:
                issue = self.pick(getattr(operation, "issue", 0))
                if issue is not None:
                    self._change(issue, operation)

    def _change(self, issue: Issue, operation: Operation) -> None:
        forge = self.forge
        match operation:
            case Retitle():
                forge.retitle(issue, f"Title {next(self._numbers)}")
            case Rewrite(after=after):
                blocker = None if after is None else self.pick(after)
                forge.rewrite(issue, self._text(issue, blocker))
            case Assign(login=login):
                forge.assign(issue, login)
            case Unassign(login=login):
                forge.unassign(issue, login)
            case Label(names=names):
                self._label(issue, names)
            case SetMilestone(title=title):
                forge.set_milestone(issue, title)
            case Close():
                forge.close(issue)
            case Reopen():
                forge.reopen(issue)
            case Say(text=text, by=by):
                comment = forge.comment(issue, text, by=by)
                self.said.append((issue.id, comment.id, by, text))
            case Delete():
                forge.delete(issue)
            case _:
                raise AssertionError(f"{operation} is nothing people do")

    def _open(self, operation: Open) -> None:
        repo = self.forge.data.repos[self.repositories[operation.repo % len(self.repositories)]]
        blocker = None if operation.after is None else self.pick(operation.after)
        issue = self.forge.open(
            repo,
            f"Title {next(self._numbers)}",
            self._body(repo.id, blocker),
            assignees=operation.assignees,
            labels=operation.labels,
            is_pull=operation.is_pull,
        )
        self._state(issue, blocker)

    def _label(self, issue: Issue, names: Sequence[str]) -> None:
        """People's labels become these; nobody touches ours."""
        own = [each.name for each in self.forge.data.labels_of(issue) if is_ours(each.name)]
        self.forge.set_labels(issue, *names, *own)

    def _text(self, issue: Issue, blocker: Issue | None) -> str:
        self._state(issue, blocker)
        return self._body(issue.repo_id, None if blocker is issue else blocker)

    def _body(self, repo_id: int, blocker: Issue | None) -> str:
        text = f"Text {next(self._numbers)}"
        if blocker is None:
            return text
        place = "" if blocker.repo_id == repo_id else self.forge.data.repo_of(blocker).full_name
        return f"{text}\n\nBlocked by: {place}#{blocker.number}"

    def _state(self, issue: Issue, blocker: Issue | None) -> None:
        self.stated.pop(issue.id, None)
        if blocker is not None and blocker is not issue:
            self.stated[issue.id] = (blocker.repo_id, blocker.number)
