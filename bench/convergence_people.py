"""The people of `bench/convergence.py`, and the forge they live on."""

from dataclasses import dataclass, field
from itertools import count
from random import Random

from coordinator.demo.forge import Forge, Issue, Refused

__all__ = ["BOT", "Crowd", "furnish"]

BOT = "coordinator-bot"
POOL = "coder-bot"
# One issue in ten is the coordinator's business, as in `bench/load.py`.
_OURS = 0.1


def furnish(forge: Forge, repositories: int) -> str:
    """So many repositories; gives the bot's token."""
    for number in range(repositories):
        access = {BOT: "admin", "maria": "write", POOL: "write", "jo": "write"}
        forge.repository(f"acme/repo-{number}", collaborators=access)  # type: ignore[arg-type]
    return forge.token(BOT)


@dataclass
class Crowd:
    """Somebody acts on one issue for a while, then on another."""

    forge: Forge
    draw: Random
    at: Issue | None = None
    _words: "count[int]" = field(default_factory=lambda: count(1))

    def fill(self, issues: int) -> None:
        """The issues there are before anybody watches; some are blocked by an older one."""
        repos = list(self.forge.data.repos.values())
        for number in range(issues):
            ours = [POOL] if self.draw.random() < _OURS else []
            issue = self.forge.open(repos[number % len(repos)], f"Issue {number}", assignees=ours)
            if self.draw.random() < 0.2:
                self._block(issue)

    def turn_to_another(self) -> None:
        self.at = None

    def act(self) -> None:
        """One change to the issue at hand; what the forge refuses is done differently."""
        issue = self.at = self.at or self.draw.choice(list(self.forge.data.issues.values()))
        match self.draw.randrange(20):
            case 0 | 1 | 2 | 3 | 4:
                self.forge.comment(issue, f"Thought {next(self._words)}", by="maria")
            case 5 | 6 | 7 | 8:
                self.forge.rewrite(issue, f"Text {next(self._words)}")
            case 9 | 10:
                self.forge.retitle(issue, f"Title {next(self._words)}")
            case 11 | 12 | 13:
                self.forge.set_labels(issue, f"kind/{self.draw.randrange(6)}", *self._ours(issue))
            case 14:
                self.forge.set_milestone(issue, f"v{self.draw.randrange(9)}")
            case 15 | 16:
                self._reassign(issue)
            case 17:
                self._close_or_open(issue)
            case 18:
                self._block(issue)
            case _:
                repo = self.forge.data.repo_of(issue)
                self.at = self.forge.open(repo, f"Issue {next(self._words)}")

    def _ours(self, issue: Issue) -> list[str]:
        names = [label.name for label in self.forge.data.labels_of(issue)]
        return [name for name in names if name.startswith(("coordinator/", "agent/"))]

    def _reassign(self, issue: Issue) -> None:
        login = POOL if self.draw.random() < _OURS else "jo"
        if login in issue.assignees:
            self.forge.unassign(issue, login)
        else:
            self.forge.assign(issue, login)

    def _close_or_open(self, issue: Issue) -> None:
        try:
            if issue.is_open:
                self.forge.close(issue)
            else:
                self.forge.reopen(issue)
        except Refused:  # it is blocked
            self.forge.comment(issue, "Later, then.", by="maria")

    def _block(self, issue: Issue) -> None:
        older = [each for each in self.forge.data.issues.values() if each.id < issue.id]
        if not older:
            return
        try:
            self.forge.block(issue, self.draw.choice(older[-50:]))
        except Refused:
            return  # it is already
