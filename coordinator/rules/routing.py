"""What an observation of an issue means, against what is already known of it."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from coordinator.rules.events import (
    Event,
    IssueDeleted,
    IssueFacts,
    IssueObserved,
    RepositoryMoved,
    Source,
)
from coordinator.rules.freshness import merge
from coordinator.rules.ids import IssueRef, Login
from coordinator.rules.labels import foreign_labels
from coordinator.rules.orders import ReadWhy
from coordinator.rules.repositories import Repositories, Repository
from coordinator.rules.sweeping import differences, is_read_later

__all__ = ["QUIET_ACTIONS", "KnownIssues", "Routed", "SavedIssues"]

# What we do at the forge ourselves all the time. Anything else counts, whoever did it: an agent may
# share our account, and closes issues with it.
QUIET_ACTIONS = frozenset(
    {"comment_created", "comment_edited", "comment_deleted", "label_updated", "label_cleared"}
)

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of one observation: a one-word outcome, why, and the event if it was news.

    `moved` is news of the repository, told before it.
    """

    outcome: str
    detail: str
    event: IssueObserved | IssueDeleted | None = None
    issue: IssueRef | None = None
    moved: RepositoryMoved | None = None

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(event for event in (self.moved, self.event) if event is not None)


@dataclass(frozen=True, slots=True)
class SavedIssues:
    """Everything `KnownIssues` knows, copied: for a snapshot."""

    facts: dict[IssueRef, IssueFacts]
    deleted: frozenset[IssueRef]
    repositories: tuple[Repository, ...]
    missed: dict[str, int]
    heard: frozenset[int] = frozenset()


class KnownIssues:
    """The newest facts of every issue seen; deleted ones are remembered, since what still says
    something of them is late. Only a read that finds one brings it back: a forge says "not found" by
    mistake, too, and may be restored from a backup.

    Facts are kept of issues that do not concern us too: one of ours may name them as a blocker later,
    and then their state must be known whatever the order of arrival was. Facts come in under the
    present names of repositories and are kept under their canonical ones. `missed` counts, by cause,
    what sweeps found that no delivery had told; `heard` are the ids of repositories deliveries told of.
    """

    def __init__(self, logins: frozenset[Login]) -> None:
        self.logins = logins
        self.facts: dict[IssueRef, IssueFacts] = {}
        self.deleted: set[IssueRef] = set()
        self.repositories = Repositories()
        self.missed: Counter[str] = Counter()
        self.heard: set[int] = set()
        # The same issues by repository: with a thousand of them nobody goes through all facts.
        self._filed: dict[str, set[IssueRef]] = {}
        self._ours: set[IssueRef] = set()  # a few among a hundred thousand

    def of(self, canonical: str) -> tuple[IssueRef, ...]:
        """The known issues of a repository, sorted, without pull requests."""
        known = (ref for ref in self._filed.get(canonical, ()) if not self.facts[ref].is_pull)
        return tuple(sorted(known, key=lambda ref: ref.number))

    def open_ours(self) -> tuple[IssueFacts, ...]:
        """The issues to work on: open, and assigned to one of our accounts; in no order."""
        return tuple(self.facts[ref] for ref in self._ours)

    def place(self, facts: IssueFacts) -> tuple[IssueFacts, RepositoryMoved | None]:
        """The same facts as they are kept: under canonical names, without labels of ours.

        A pull request is nobody's work, whoever is assigned to it: it is known only because an issue
        waits for it.
        """
        name = facts.repo_name or facts.ref.repo
        at, is_read = facts.read_at or facts.updated_at, facts.read_at is not None
        moved = self.repositories.learn(facts.repo_id, name, at, is_read=is_read)
        repository = self.repositories.get(facts.repo_id)
        assert repository is not None
        native = facts.native_blockers
        placed = replace(
            facts,
            ref=IssueRef(repository.canonical, facts.ref.number),
            repo_name=repository.current,
            assignees=() if facts.is_pull else facts.assignees,
            labels=foreign_labels(facts.labels),
            blocked_by=self._resolved(facts.blocked_by),
            blocks=self._resolved(facts.blocks),
            native_blockers=None if native is None else self._resolved(native),
        )
        return placed, moved

    def is_quiet(self, facts: IssueFacts, action: str, by: Login | None, own: Login | None) -> bool:
        """Whether a delivery is the echo of what we did ourselves, so that nothing need be read.

        `facts` are its facts as `place` gave them. It is none when they show anything we do not know:
        then an earlier delivery was lost.
        """
        if own is None or by != own or action not in QUIET_ACTIONS:
            return False
        old = self.facts.get(facts.ref)
        if old is None:
            return False
        # Addresses in payloads and in answers differ where the forge is reached by another name.
        return _same(old, replace(_completed(facts, old), html_url=old.html_url))

    def route(
        self, facts: IssueFacts, action: str, by: Login | None, *, deleted: bool = False
    ) -> Routed:
        """Fold in what a payload says. Outcomes: observed, touched, late, stale, unchanged, deleted.

        Two of them are news although the newest facts stay as they are: that the issue was touched
        (without it a restart would take a late older view for the newest), and that between two
        views of it as ours it was away or closed, told late: a new wish, in whatever order it is told.
        A payload says nothing of dependencies at the forge, so those known stay known.
        """
        placed, moved = self.place(facts)
        if deleted:
            return replace(self._gone(placed.ref, "webhook"), moved=moved)
        completed = _completed(placed, self.facts.get(placed.ref))
        return replace(self._take(IssueObserved(completed, action, by=by)), moved=moved)

    def read(
        self, facts: IssueFacts, by: Login | None, why: ReadWhy, *, action: str = "read"
    ) -> Routed:
        """Fold in what the forge answered when asked. Outcomes as of `route`, but for deleted.

        What a sweep found is marked so, and what it differs in from what was known was missed.
        """
        placed, moved = self.place(facts)
        old = self.facts.get(placed.ref)
        placed = _lifted(placed, old)
        source: Source = "sweep" if why in ("sweep", "first") else "webhook"
        routed = self._take(IssueObserved(_completed(placed, old), action, source, by))
        event = routed.event
        if why == "sweep" and routed.outcome == "observed" and isinstance(event, IssueObserved):
            missed = differences(old, event.facts)
            event = replace(event, missed=missed)
            self.missed.update(missed)
        return replace(routed, event=event, moved=moved)

    def gone(self, ref: IssueRef, why: ReadWhy) -> Routed:
        """The forge answered that there is no such issue, though it shows us the repository.

        Outcomes: deleted, stale, or missing: one never seen may yet be opened under that number, so
        nothing is said of it and whoever waits for it goes on waiting.
        """
        if ref not in self.facts and ref not in self.deleted:
            return Routed("missing", f"there is no {ref}", issue=ref)
        return self._gone(ref, "sweep" if why == "sweep" else "webhook")

    def fold(self, event: Event) -> None:
        """Take one of the router's own events back in."""
        match event:
            case IssueObserved(facts=facts):
                name, at = facts.repo_name or facts.ref.repo, facts.read_at or facts.updated_at
                is_read = facts.read_at is not None
                self.repositories.restore(facts.repo_id, facts.ref.repo, name, at, is_read=is_read)
                self._bring_back(facts)
                self._keep(merge(self.facts.get(facts.ref), facts))
                self.missed.update(event.missed)
                if event.source == "webhook" and event.action != "read":
                    self.heard.add(facts.repo_id)
            case IssueDeleted():
                self._delete(event)
            case RepositoryMoved(repo_id=repo_id, canonical=canonical, current=current):
                at = event.at or _LONG_AGO
                self.repositories.restore(repo_id, canonical, current, at, is_read=event.is_read)
            case _:
                pass

    def save(self) -> SavedIssues:
        """What a snapshot holds; cheap copies, so that others may write them down meanwhile."""
        known = self.repositories.all()
        facts, deleted, heard = dict(self.facts), frozenset(self.deleted), frozenset(self.heard)
        return SavedIssues(facts, deleted, known, dict(self.missed), heard)

    def load(self, saved: SavedIssues) -> None:
        """Start from a snapshot."""
        for facts in saved.facts.values():
            self._keep(facts)
        self.deleted = set(saved.deleted)
        self.repositories = Repositories(saved.repositories)
        self.missed = Counter(saved.missed)
        self.heard = set(saved.heard)

    def _take(self, event: IssueObserved) -> Routed:
        facts, ref = event.facts, event.facts.ref
        if not self._bring_back(facts):
            return Routed("stale", f"{ref} was deleted", issue=ref)
        old = self.facts.get(ref)
        newest = merge(old, facts)
        if newest is not old:
            self._keep(newest)
            if old is None or not _same(old, newest):
                return Routed("observed", self._relevance(newest, old), event, ref)
            if newest.updated_at != old.updated_at:
                return Routed("touched", "only its update time moved", event, ref)
            return Routed("unchanged", "read again, nothing new", issue=ref)
        if old == facts:
            return Routed("unchanged", "nothing new", issue=ref)
        older = f"older than what is known (updated {old.updated_at:%FT%TZ})"
        if self.is_open_ours(old) and not self.is_open_ours(facts):
            return Routed("late", f"{older}, but it was away or closed then", event, ref)
        return Routed("stale", older, issue=ref)

    def _gone(self, ref: IssueRef, source: Source) -> Routed:
        if ref in self.deleted:
            return Routed("stale", f"{ref} was deleted", issue=ref)
        event = IssueDeleted(ref, source)
        self._delete(event)
        return Routed("deleted", f"{ref} is gone", event, ref)

    def _keep(self, facts: IssueFacts) -> None:
        self.facts[facts.ref] = facts
        self._filed.setdefault(facts.ref.repo, set()).add(facts.ref)
        (self._ours.add if self.is_open_ours(facts) else self._ours.discard)(facts.ref)

    def _bring_back(self, facts: IssueFacts) -> bool:
        """Whether the issue is there, as far as these facts tell: of a deleted one only a read can."""
        if facts.read_at is not None:
            self.deleted.discard(facts.ref)
        return facts.ref not in self.deleted

    def _delete(self, event: IssueDeleted) -> None:
        self.facts.pop(event.ref, None)
        self._filed.get(event.ref.repo, set()).discard(event.ref)
        self._ours.discard(event.ref)
        self.deleted.add(event.ref)
        if event.source == "sweep":
            self.missed["deleted"] += 1

    def _resolved(self, refs: tuple[IssueRef, ...]) -> tuple[IssueRef, ...]:
        return tuple(sorted(set(map(self.repositories.resolve, refs))))

    def is_open_ours(self, facts: IssueFacts) -> bool:
        """Whether the issue is one to work on: open, and assigned to one of our accounts."""
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


def _completed(facts: IssueFacts, old: IssueFacts | None) -> IssueFacts:
    """What was seen, with the dependencies that only a full read can tell as last known."""
    if old is None or facts.native_blockers is not None:
        return facts
    return replace(facts, native_blockers=old.native_blockers, hidden_blockers=old.hidden_blockers)


def _lifted(facts: IssueFacts, old: IssueFacts | None) -> IssueFacts:
    """What was read, stamped no earlier than what was read before it.

    A forge whose clock ran ahead, or which was restored from a backup, stamps what it shows now with
    times gone by; the stamp would else hold the old view for the newer one for ever.
    """
    if old is None or facts.updated_at >= old.updated_at or not is_read_later(facts, old):
        return facts
    return replace(facts, updated_at=old.updated_at)


def _same(old: IssueFacts, new: IssueFacts) -> bool:
    """Whether both say the same of the issue, whenever and however they came to us."""
    return replace(new, updated_at=old.updated_at, read_at=old.read_at, repo_name=old.repo_name) == old
