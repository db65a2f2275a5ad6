"""What an observation of an issue means, against what is already known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from coordinator.rules.events import Event, IssueDeleted, IssueFacts, IssueObserved
from coordinator.rules.freshness import merge
from coordinator.rules.ids import IssueRef, Login

__all__ = ["KnownIssues", "Routed"]


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of one observation: a one-word outcome, why, and the event if it was news."""

    outcome: str
    detail: str
    event: IssueObserved | IssueDeleted | None = None
    issue: IssueRef | None = None


class KnownIssues:
    """The newest facts of every issue seen; deleted ones are remembered, their numbers never return.

    Facts are kept of issues that do not concern us too: one of ours may name them as a blocker later,
    and then their state must be known whatever the order of arrival was.
    """

    def __init__(self, logins: frozenset[Login]) -> None:
        self.logins = logins
        self.facts: dict[IssueRef, IssueFacts] = {}
        self.deleted: set[IssueRef] = set()

    def route(
        self, facts: IssueFacts, action: str, by: Login | None, *, deleted: bool = False
    ) -> Routed:
        """Fold one observation in. Outcomes: observed, touched, late, stale, unchanged, deleted.

        Two of them are news although the newest facts stay as they are: that the issue was touched
        (without it a restart would take a late older view for the newest), and that between two
        views of it as ours it was away or closed, told late: a new wish, in whatever order it is told.
        """
        ref = facts.ref
        if ref in self.deleted:
            return Routed("stale", f"{ref} was deleted", issue=ref)
        if deleted:
            self._delete(ref)
            return Routed("deleted", f"{ref} is gone", IssueDeleted(ref), ref)
        old = self.facts.get(ref)
        newest = merge(old, facts)
        event = IssueObserved(facts, action, by=by)
        if newest is not old:
            self.facts[ref] = newest
            touched = old is not None and replace(newest, updated_at=old.updated_at) == old
            if touched:
                return Routed("touched", "only its update time moved", event, ref)
            return Routed("observed", self._relevance(newest, old), event, ref)
        if old == facts:
            return Routed("unchanged", "nothing new", issue=ref)
        older = f"older than what is known (updated {old.updated_at:%FT%TZ})"
        if self._is_open_ours(old) and not self._is_open_ours(facts):
            return Routed("late", f"{older}, but it was away or closed then", event, ref)
        return Routed("stale", older, issue=ref)

    def fold(self, event: Event) -> None:
        """Take one of the router's own events back in."""
        match event:
            case IssueObserved(facts=facts):
                self.facts[facts.ref] = merge(self.facts.get(facts.ref), facts)
            case IssueDeleted(ref=ref):
                self._delete(ref)
            case _:
                pass

    def load(self, facts: Mapping[IssueRef, IssueFacts], deleted: set[IssueRef]) -> None:
        """Start from a snapshot."""
        self.facts, self.deleted = dict(facts), set(deleted)

    def _delete(self, ref: IssueRef) -> None:
        self.facts.pop(ref, None)
        self.deleted.add(ref)

    def _is_open_ours(self, facts: IssueFacts) -> bool:
        return facts.state == "open" and not self.logins.isdisjoint(facts.assignees)

    def _relevance(self, new: IssueFacts, old: IssueFacts | None) -> str:
        """Who came and who went; no field of a payload says so (go-gitea/gitea#28038)."""
        before = self.logins.intersection(old.assignees) if old is not None else frozenset()
        after = self.logins.intersection(new.assignees)
        parts = [f"+{login}" for login in sorted(after - before)]
        parts += [f"-{login}" for login in sorted(before - after)]
        if parts:
            return f"assigned {' '.join(parts)}"
        return "ours" if after else "not ours; kept as a possible blocker"
