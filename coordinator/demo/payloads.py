"""Signed webhook deliveries of a small imagined forge, byte for byte as Gitea or Forgejo sends them.

A `ForgeWorld` is a forge without a server: users and repositories are there as soon as they are
named, and each change of an issue gives the delivery that a hook would be sent. A test holds them
against one recorded delivery of each kind and product.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from coordinator.demo.forge.actions import Actions, Announcement
from coordinator.demo.forge.data import ForgeData
from coordinator.demo.forge.dialect import FORGEJO, GITEA_1_26, Product
from coordinator.demo.forge.letters import Letter, Letters, headers_of, sign
from coordinator.demo.forge.model import Issue, Label, Milestone, Repository
from coordinator.demo.forge.shapes import Shapes

__all__ = ["ForgeWorld", "Product", "SignedDelivery", "WorldIssue", "sign"]

# The versions of which deliveries were recorded. Stories end with deletions, so both products tell
# of them here, though no Forgejo does.
_RECORDED = {"gitea": GITEA_1_26, "forgejo": replace(FORGEJO, tells_deletion=True)}


@dataclass(frozen=True, slots=True)
class SignedDelivery:
    """One delivery as it goes over the wire; `headers` are all the product sets, in its order."""

    id: str
    event: str
    event_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class WorldIssue:
    """One issue of the imagined forge as it was when it was looked at."""

    repo: str
    number: int
    id: int
    title: str
    body: str
    author: str
    created_at: datetime
    updated_at: datetime
    state: Literal["open", "closed"]
    closed_at: datetime | None
    assignees: tuple[str, ...]
    labels: tuple[str, ...]
    milestone: str | None
    comments: int


@dataclass(slots=True)
class ForgeWorld:
    """An imagined forge. `now` is its clock, moved by whoever tells the story.

    All ids count up from `first_delivery`, so that a story told twice gives equal bytes; two worlds
    that post to the same coordinator need different ones.
    """

    product: Product
    secret: bytes
    url: str = "https://forge.example.org"
    now: datetime = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
    first_delivery: int = 1
    issues: dict[tuple[str, int], WorldIssue] = field(default_factory=dict)
    shapes: Shapes = field(init=False)
    _data: ForgeData = field(init=False)
    _actions: Actions = field(init=False)
    _letters: Letters = field(init=False)
    _said: list[SignedDelivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        dialect = _RECORDED[self.product]
        self._data = ForgeData(clock=lambda: self.now, ids_from=self.first_delivery - 1)
        self.shapes = Shapes(self._data, dialect, self.url)
        self._letters = Letters(self.shapes, self.first_delivery)
        self._actions = Actions(self._data, dialect, self._say)

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # what people do ---------------------------------------------------------------------------

    def open(
        self,
        repo: str,
        title: str,
        body: str = "",
        *,
        by: str = "maria",
        assignees: Iterable[str] = (),
        labels: Iterable[str] = (),
        number: int | None = None,
    ) -> tuple[WorldIssue, list[SignedDelivery]]:
        """A new issue; people assigned at its creation are announced before it is, one by one."""
        place = self._repository(repo)
        found = [self._label(place, name) for name in labels]
        issue = self._actions.open(
            place, title, body, by=by, assignees=list(assignees), labels=found, number=number
        )
        return self._keep(issue), self._take()

    def assign(self, issue: WorldIssue, login: str, *, by: str = "maria") -> SignedDelivery:
        """Assigned last; somebody who already was is assigned anew."""
        record = self._record(issue)
        record.assignees = [name for name in record.assignees if name != login]
        self._actions.assign(record, [login], by=by)
        return self._only(record)

    def unassign(self, issue: WorldIssue, login: str, *, by: str = "maria") -> SignedDelivery:
        record = self._record(issue)
        if login not in record.assignees:
            record.assignees.append(login)
        self._actions.unassign(record, [login], by=by)
        return self._only(record)

    def close(self, issue: WorldIssue, *, by: str = "maria", commit: str = "") -> SignedDelivery:
        """Closed, also when it was."""
        record = self._record(issue)
        record.closed_at = None
        self._actions.close(record, by=by, commit=commit)
        return self._only(record)

    def reopen(self, issue: WorldIssue, *, by: str = "maria") -> SignedDelivery:
        """Open again, also when it was."""
        record = self._record(issue)
        record.closed_at = record.closed_at or self.now
        self._actions.reopen(record, by=by)
        return self._only(record)

    def edit_body(self, issue: WorldIssue, body: str, *, by: str = "maria") -> SignedDelivery:
        record = self._record(issue)
        self._actions.rewrite(record, body, by=by)
        return self._only(record)

    def edit_title(self, issue: WorldIssue, title: str, *, by: str = "maria") -> SignedDelivery:
        record = self._record(issue)
        self._actions.retitle(record, title, by=by)
        return self._only(record)

    def label(self, issue: WorldIssue, labels: Iterable[str], *, by: str = "maria") -> SignedDelivery:
        """Exactly these labels."""
        record = self._record(issue)
        place = self._data.repo_of(record)
        self._actions.replace_labels(record, [self._label(place, name) for name in labels], by=by)
        return self._only(record)

    def set_milestone(
        self, issue: WorldIssue, milestone: str | None, *, by: str = "maria"
    ) -> SignedDelivery:
        record = self._record(issue)
        wanted = None if milestone is None else Milestone(self._data.next_id("milestone"), milestone)
        if wanted is not None:
            self._data.repo_of(record).milestones[wanted.id] = wanted
        self._actions.set_milestone(record, wanted, by=by)
        return self._only(record)

    def delete(self, issue: WorldIssue, *, by: str = "maria") -> SignedDelivery:
        """Gone; only Gitea 1.25 and later tells anybody, Forgejo never does."""
        del self.issues[issue.repo, issue.number]
        self._actions.delete(self._record(issue), by=by)
        return self._take()[0]

    def comment(self, issue: WorldIssue, text: str, *, by: str = "maria") -> SignedDelivery:
        record = self._record(issue)
        self._actions.comment(record, text, by=by)
        return self._only(record)

    def push(self, repo: str, *, by: str = "maria") -> SignedDelivery:
        """What the forge's button "test delivery" sends."""
        return self._sign(self._letters.push(self._repository(repo), by))

    def now_of(self, issue: WorldIssue) -> WorldIssue:
        """The issue as it is after everything that was done to it."""
        return self.issues[issue.repo, issue.number]

    # from change to delivery ------------------------------------------------------------------

    def _say(self, said: Announcement) -> None:
        self._said.append(self._sign(self._letters.write(said)))

    def _sign(self, letter: Letter) -> SignedDelivery:
        headers = headers_of(letter, self.secret, self.shapes.dialect)
        return SignedDelivery(letter.id, letter.event, letter.event_type, headers, letter.body)

    def _only(self, record: Issue) -> SignedDelivery:
        """The one delivery of a change."""
        self._keep(record)
        (delivery,) = self._take()
        return delivery

    def _take(self) -> list[SignedDelivery]:
        said, self._said = self._said, []
        return said

    # the tables -------------------------------------------------------------------------------

    def _repository(self, full_name: str) -> Repository:
        return self._data.repository(full_name) or self._data.add_repository(full_name)

    def _label(self, repo: Repository, name: str) -> Label:
        known = [label for label in repo.labels.values() if label.name == name]
        return known[0] if known else self._actions.add_label(repo, name, "ee0701")

    def _record(self, issue: WorldIssue) -> Issue:
        return self._data.issues[issue.id]

    def _keep(self, record: Issue) -> WorldIssue:
        milestone = self._data.milestone_of(record)
        repo = self._data.repo_of(record).full_name
        issue = WorldIssue(
            repo=repo,
            number=record.number,
            id=record.id,
            title=record.title,
            body=record.body,
            author=record.author,
            created_at=record.created_at,
            updated_at=record.updated_at,
            state="open" if record.is_open else "closed",
            closed_at=record.closed_at,
            assignees=tuple(record.assignees),
            labels=tuple(label.name for label in self._data.labels_of(record)),
            milestone=None if milestone is None else milestone.title,
            comments=record.comments,
        )
        self.issues[repo, record.number] = issue
        return issue
