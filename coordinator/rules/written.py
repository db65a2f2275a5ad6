"""What we have written on issues, as the journal tells, and what of it has to change.

A fold over events, owned by one actor. It knows only issues that concern us, or on which we have left
something, or where a person has told us something.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Literal, TypeGuard

from coordinator.rules.comment import Comment, render
from coordinator.rules.events import (
    AssigneeWritten,
    CommandGiven,
    CommandRefused,
    CommentWritten,
    Event,
    IssueAssessed,
    IssueDeleted,
    IssueDispatched,
    IssueObserved,
    LabelsWritten,
    RepositoryMoved,
    RunEnded,
    WithdrawalRequested,
)
from coordinator.rules.fleet import Fleet
from coordinator.rules.ids import IssueRef, Login
from coordinator.rules.labels import AGENT_SCOPE, MAX_SHOWN, is_state, wanted
from coordinator.rules.views import IssueView

__all__ = ["PARTS", "Page", "Pages", "Part", "Wish", "keys_of", "wish_of"]

Part = Literal["comment", "labels", "assignee"]
PARTS: tuple[Part, ...] = ("comment", "labels", "assignee")


@dataclass(slots=True)
class Page:
    """What stands at the forge about one issue; None: never written.

    `ours` are those of our logins the forge last showed as assigned. `owed` is the account of the
    agent that has the issue and is still to be assigned. `assigned_seq` is the event that told of the
    last assignment, `lent` its account for as long as it may stand there. `is_asked`: a person has told
    us something here, so that they get an answer.
    """

    comment_id: int | None = None
    meaning: str | None = None
    labels: tuple[str, ...] | None = None
    ours: tuple[Login, ...] = ()
    owed: Login | None = None
    assigned_seq: int = 0
    is_asked: bool = False
    lent: Login | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be written now; what is None is left alone.

    `comment_id` is where the comment stood; `must_look`: there may be another, or another text.
    `may_begin`: where there is no comment, one is made. `removable` are labels that nobody but us has
    put there. With `assignee` goes `former`, whom we assigned before.
    """

    ref: IssueRef
    repo_id: int
    repo_name: str
    comment: Comment | None = None
    comment_id: int | None = None
    must_look: bool = False
    may_begin: bool = True
    labels: tuple[str, ...] | None = None
    removable: frozenset[str] = frozenset()
    assignee: Login | None = None
    former: Login | None = None

    def __bool__(self) -> bool:
        return any(self.key_of(part) is not None for part in PARTS)

    def key_of(self, part: Part) -> str | None:
        """What a part is about to say: a refusal holds for as long as this stays the same."""
        match part:
            case "comment":
                return None if self.comment is None else self.comment.meaning
            case "labels":
                return None if self.labels is None else " ".join(self.labels)
            case _:
                return self.assignee

    def without(self, part: Part) -> "Wish":
        """The same, with that part left alone."""
        match part:
            case "comment":
                return replace(self, comment=None)
            case "labels":
                return replace(self, labels=None)
            case _:
                return replace(self, assignee=None)


@dataclass(slots=True)
class Pages:
    """All pages, and the ids of repositories by their canonical names."""

    fleet: Fleet
    pages: dict[IssueRef, Page] = field(default_factory=dict)
    repositories: dict[str, int] = field(default_factory=dict)

    def page(self, ref: IssueRef) -> Page:
        return self.pages.setdefault(ref, Page())

    def holds(self, event: Event) -> bool:
        """Whether something we have written is known to stand there: a look has found no more."""
        match event:
            case CommentWritten(ref=ref, comment_id=comment_id, meaning=meaning):
                page = self.page(ref)
                return (page.comment_id, page.meaning) == (comment_id, meaning)
            case LabelsWritten(ref=ref, labels=labels):
                return self.page(ref).labels == labels
            case _:
                return False

    def contradicts(self, event: Event) -> TypeGuard[IssueObserved]:
        """Whether a read has shown an issue without labels that we have put on, or with another state.

        More labels like those of agents may be people's own.
        """
        if not isinstance(event, IssueObserved) or event.facts.read_at is None:
            return False
        page, shown = self.pages.get(event.facts.ref) or Page(), set(event.our_labels)
        if page.labels is None:
            return False
        more, missing = shown.difference(page.labels), set(page.labels) - shown
        if len(shown) >= MAX_SHOWN:  # an agent's may be among those that are not shown
            missing = set(filter(is_state, missing))
        return bool(missing) or any(map(is_state, more))

    def holds_comment(self, ref: IssueRef, comment_id: int) -> bool:
        """Whether that is the comment we keep there."""
        page = self.pages.get(ref)
        return page is not None and page.comment_id == comment_id

    def fold(self, event: Event, seq: int) -> None:
        """Take one event in. Our own may come before older ones of others, as after a restart."""
        match event:
            case IssueObserved():
                self._observed(event)
            case IssueDeleted(ref=ref):
                self.pages.pop(ref, None)
            case IssueAssessed(ref=ref):
                self.page(ref)
            case IssueDispatched():
                self._dispatched(event, seq)
            case RunEnded(run=run) | WithdrawalRequested(run=run):
                self.page(run.issue).owed = None
            case CommandGiven(ref=ref) | CommandRefused(ref=ref):
                self.page(ref).is_asked = True
            case CommentWritten(ref=ref):
                page = self.page(ref)
                page.comment_id, page.meaning = event.comment_id, event.meaning
            case LabelsWritten(ref=ref, labels=labels):
                self.page(ref).labels = labels
            case AssigneeWritten(ref=ref):
                page = self.page(ref)
                page.owed, page.lent, page.assigned_seq = None, event.login, seq
            case RepositoryMoved(canonical=canonical, repo_id=repo_id):
                self.repositories[canonical] = repo_id
            case _:
                pass

    def _observed(self, event: IssueObserved) -> None:
        facts = event.facts
        self.repositories[facts.ref.repo] = facts.repo_id
        ours = tuple(login for login in facts.assignees if login in self.fleet.logins)
        if ours or facts.ref in self.pages:
            page = self.page(facts.ref)
            if page.lent in page.ours and page.lent not in ours:
                page.lent = None  # somebody took it off; who puts it back means it
            page.ours = ours

    def _dispatched(self, event: IssueDispatched, seq: int) -> None:
        """An agent whose account somebody has assigned needs no assignment of ours."""
        page, spec = self.page(event.run.issue), self.fleet.agent(event.agent)
        if spec is not None and seq > page.assigned_seq:
            page.owed = None if spec.login in page.ours else spec.login


def keys_of(wish: Wish | None) -> tuple[tuple[Part, str], ...]:
    """Every part that is to be written, with what it is about to say."""
    keys = () if wish is None else ((part, wish.key_of(part)) for part in PARTS)
    return tuple((part, key) for part, key in keys if key is not None)


def wish_of(
    view: IssueView,
    pages: Pages,
    parts: Collection[Part],
    *,
    must_look: Collection[Part] = (),
    in_full: bool = False,
) -> Wish:
    """What is to be written so that the forge says what we know; a false one when it does.

    `must_look`: make sure of these parts though they should be right. `in_full`: write it whatever it
    said before, with all of the evidence.
    """
    ref = view.issue
    page = pages.pages.get(ref) or Page()
    nothing = Wish(ref, pages.repositories.get(ref.repo, 0), view.repo_name or ref.repo)
    if view.reason == "deleted" or not nothing.repo_id:
        return nothing
    labels = _labels(view, page, "labels" in must_look) if "labels" in parts else None
    assignee = page.owed if "assignee" in parts and view.state == "running" else None
    look = "comment" in must_look
    return Wish(
        ref=ref,
        repo_id=nothing.repo_id,
        repo_name=nothing.repo_name,
        comment=_comment(view, page, look, in_full) if "comment" in parts else None,
        comment_id=page.comment_id,
        must_look=bool(must_look),
        may_begin=_may_begin(view, page),
        labels=labels,
        removable=_removable(view, page),
        assignee=assignee,
        former=None if page.lent == assignee else page.lent,
    )


def _may_begin(view: IssueView, page: Page) -> bool:
    """Whether there is to be a comment: where we have nothing to say we begin none."""
    is_theirs = view.state in ("ignored", "closed")
    return not is_theirs or page.is_asked or page.comment_id is not None


def _comment(view: IssueView, page: Page, must_look: bool, in_full: bool) -> Comment | None:
    if not (must_look or _may_begin(view, page)):
        return None
    comment = render(view, in_full=in_full)
    return comment if must_look or in_full or comment.meaning != page.meaning else None


def _labels(view: IssueView, page: Page, must_look: bool) -> tuple[str, ...] | None:
    names = wanted(view)
    if must_look:
        return names
    if names == page.labels:
        return None
    # One that waits will get some; one we never wrote on carries none of ours.
    is_bare = page.labels is None and (page.comment_id is None or view.state == "waiting")
    return None if not names and is_bare else names


def _removable(view: IssueView, page: Page) -> frozenset[str]:
    """People may have labels like `agent/browser` of their own."""
    agents = {f"{AGENT_SCOPE}{name}" for name in view.agents}
    return frozenset(agents.union(page.labels or ()))
