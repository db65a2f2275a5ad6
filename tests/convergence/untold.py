"""What the coordinator cannot know yet, kept by the forge itself: a change counts as told once an
answer to a full read has shown it.

Independent of the coordinator's own count: it looks at nothing but deliveries that did not arrive,
changes that no forge announces, and answers that left.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from coordinator.demo.forge import Forge, Issue, Posted
from coordinator.demo.forge.rest import Answer

__all__ = ["Untold"]

_CAUSES = {
    "opened": "opened",
    "closed": "closed",
    "reopened": "reopened",
    "assigned": "assigned",
    "unassigned": "unassigned",
    "edited": "edited",
    "label_updated": "labels",
    "label_cleared": "labels",
    "milestoned": "milestone",
    "demilestoned": "milestone",
    "deleted": "deleted",
}
# Of an issue nobody heard of, these are missed; whatever else happened to it comes with it.
_OF_A_NEW_ONE = frozenset({"opened", "assigned", "closed"})
_UNDOES = {
    "assigned": "unassigned",
    "unassigned": "assigned",
    "closed": "reopened",
    "reopened": "closed",
}


@dataclass(slots=True)
class Untold:
    """Causes by issue id. Attach it before the first thing happens."""

    forge: Forge
    causes: dict[int, list[str]] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)
    deleted: int = 0

    def attach(self) -> None:
        """From now on every full read the forge answers counts as telling."""
        respond = self.forge.rest.respond

        def tapped(method: str, target: str, headers: dict[str, str], raw: bytes) -> Answer:
            answer = respond(method, target, headers, raw)
            if method == "GET" and answer.status == 200:
                self._note(target)
            return answer

        self.forge.rest.respond = tapped  # type: ignore[method-assign]

    def _note(self, target: str) -> None:
        """Only whoever reads an issue in full asks for its dependencies too, unless it is closed: then
        it waits for nothing."""
        found = self.forge.rest.find("GET", target.partition("?")[0])
        if found is None or not found[0].template.endswith(("/issues/{index}", "/dependencies")):
            return
        part: dict[str, Any] = found[1]
        repo = self.forge.data.repository(f"{part['owner']}/{part['repo']}")
        issue = None if repo is None else self.forge.data.issue(repo, int(part["index"]))
        if issue is None:
            return
        if found[0].template.endswith("/dependencies"):
            self.told.add(issue.id)
            self.causes.pop(issue.id, None)
        elif not issue.is_open:
            self.told.add(issue.id)
            left = [cause for cause in self.causes.pop(issue.id, []) if cause == "dependencies"]
            self.causes |= {issue.id: left} if left else {}

    def took_place(self, letters: Iterable[Posted]) -> None:
        """These letters announced a change; nobody was told of it yet, wherever they end."""
        for posted in letters:
            repo = self.forge.data.repository(posted.letter.repo)
            issue = None if repo is None else self.forge.data.issue(repo, posted.letter.number or 0)
            if issue is not None:
                self.causes.setdefault(issue.id, []).append(_CAUSES[posted.letter.action])

    def undoes(self, issue: Issue, cause: str) -> bool:
        """Whether this would take back, or hide, something nobody has heard of yet."""
        waiting = self.causes.get(issue.id, [])
        return cause in waiting or _UNDOES.get(cause) in waiting

    def changed_silently(self, issue: Issue, cause: str) -> None:
        """Something no forge announces."""
        self.causes.setdefault(issue.id, []).append(cause)

    def forget(self, issue: Issue, *, is_told: bool) -> None:
        """The issue is deleted: that alone was missed, if it was known and nobody said so."""
        self.causes.pop(issue.id, None)
        if issue.id in self.told and not is_told:
            self.deleted += 1

    def expected(self) -> Counter[str]:
        """By cause, what a sweep must find now."""
        found: Counter[str] = Counter()
        for issue_id, causes in self.causes.items():
            known = issue_id in self.told
            is_open = self.forge.data.issues[issue_id].is_open
            matter = {cause for cause in causes if is_open or cause != "dependencies"}
            found.update(cause for cause in matter if known or cause in _OF_A_NEW_ONE)
        if self.deleted:
            found["deleted"] = self.deleted
        return found
