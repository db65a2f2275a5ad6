"""Writing to one issue at the forge: the comment, the labels, the assignment.

Nothing here decides what to say. Every write may be repeated: it looks for what stands there before it
creates anything, unless it knows. Whose comment it is decides the forge, never the text.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import trio

from coordinator.actors.scribe.label_rack import LabelRack, write_labels
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteComment
from coordinator.errors import (
    ForgeArchived,
    ForgeError,
    ForgeForbidden,
    ForgeNotAsked,
    ForgeNotFound,
    ForgeRateLimited,
    ForgeRefused,
    ForgeTooLong,
    ForgeUnavailable,
)
from coordinator.rules.comment import is_sticky
from coordinator.rules.discretion import foreign
from coordinator.rules.events import AssigneeWritten, CommentWritten, Event, LabelsWritten
from coordinator.rules.ids import Login
from coordinator.rules.labels import is_ours
from coordinator.rules.views import IssueView
from coordinator.rules.written import PARTS, Part, Wish

__all__ = ["Outcome", "Pen"]

# How long a repository's name and state are taken for granted before they are looked up again: what is
# changed by its id is changed there or nowhere, so a minute of editing costs one question.
PLACE_S = 60.0
# Before something is made, its place is asked for, and again when that took longer: it would be made in
# whatever repository has the name.
SURE_S = 2.0
# Names kept; each is a few hundred bytes.
MAX_PLACES = 10_000


@dataclass(slots=True)
class Outcome:
    """What became of a wish: what was written, in events and parts, what the forge refused and why, and
    the last failure. `is_created`: a first comment was made; `is_unsure`: it may have been made unseen.
    `began` is when the part at hand was begun."""

    events: list[Event] = field(default_factory=list)
    written: list[Part] = field(default_factory=list)
    refused: dict[Part, str] = field(default_factory=dict)
    failure: ForgeUnavailable | None = None
    is_created: bool = False
    is_unsure: bool = False
    began: float = 0.0

    @property
    def is_alone(self) -> bool:
        """Whether the forge was there and stumbled over this issue: that says nothing of others."""
        status = None if self.failure is None else self.failure.status
        return status is not None and (status == 500 or status < 300)


@dataclass(frozen=True, slots=True)
class _Place:
    """`asked` is the name by which it was looked up, `seen_at` when."""

    name: str
    asked: str
    is_archived: bool
    is_public: bool
    seen_at: float


class Pen:
    """One forge, written to with one account. Safe for concurrent calls about different issues."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._rack = LabelRack(forge)
        self.own: Login | None = None  # as far as it was asked
        self._places: dict[int, _Place] = {}
        # Repositories that could not be looked up: until when they are left alone, and whether they
        # count as public.
        self._unseen: dict[int, tuple[float, bool]] = {}

    async def own_login(self) -> Login | None:
        """Our own account's. None while the token may not ask for it and no comment has told it yet."""
        if self.own is None:
            with suppress(ForgeForbidden):
                self.own = (await self._forge.whoami()).login
        return self.own

    async def where(self, repo_id: int, repo_name: str, *, since: float | None = None) -> str:
        """What the repository is called now: its old name alone may be another repository's. `since`:
        what was learned before that instant has proved wrong."""
        return (await self._look_up(repo_id, repo_name, since)).name

    def forget_places(self) -> None:
        """Somebody says that much has changed."""
        self._places.clear()
        self._unseen.clear()

    async def for_strangers(self, view: IssueView, ids: Mapping[str, int]) -> IssueView:
        """The view, knowing which of the other repositories in it are public. `ids` has the
        repositories' ids by their canonical names."""
        public, names = set(), dict(view.names)
        for repo in foreign(view).intersection(ids):
            if await self._is_public(ids[repo], names.get(repo, repo)):
                public.add(repo)
        return replace(view, public=frozenset(public))

    async def _is_public(self, repo_id: int, repo_name: str) -> bool:
        """As the forge says; while it is away, as it said last. Nobody asks twice a minute in vain."""
        now = trio.current_time()
        until, is_public = self._unseen.get(repo_id, (now, False))
        if now < until:
            return is_public
        try:
            is_public = (await self._look_up(repo_id, repo_name)).is_public
        except ForgeError as error:
            if not isinstance(error, ForgeUnavailable):
                self._places.pop(repo_id, None)
            place = self._places.get(repo_id)
            is_public = place is not None and place.is_public
            if len(self._unseen) >= MAX_PLACES:
                self._unseen.clear()
            self._unseen[repo_id] = now + PLACE_S, is_public
        return is_public

    async def write(self, wish: Wish) -> Outcome:
        """Write each part; one that is refused does not keep the others from being written."""
        outcome = Outcome()
        for part in PARTS:
            if wish.key_of(part) is None:
                continue
            try:
                outcome.events += await self._at_the_right_place(wish, _WRITERS[part], outcome)
                outcome.written.append(part)
            except (ForgeRefused, ForgeTooLong) as refused:
                outcome.refused[part] = str(refused)
            except ForgeUnavailable as unavailable:
                if part == "assignee" and unavailable.status == 500:
                    # What a forge answers when the account has no access to the repository.
                    outcome.refused[part] = str(unavailable)
                    continue
                outcome.failure = unavailable
                if not outcome.is_alone:
                    break
        return outcome

    async def _at_the_right_place(
        self,
        wish: Wish,
        write: "Callable[[Pen, Wish, str, Outcome], Awaitable[list[Event]]]",
        outcome: Outcome,
    ) -> list[Event]:
        """Once more at the place looked up anew when it is not there."""
        outcome.began = trio.current_time()
        place = await self._place(wish)
        try:
            return await write(self, wish, place.name, outcome)
        except ForgeNotFound:
            if place.seen_at >= outcome.began:
                raise  # it was looked up just now
            return await write(self, wish, (await self._place(wish, outcome.began)).name, outcome)

    async def _sure(self, wish: Wish, outcome: Outcome) -> str:
        """What the repository is called at this moment."""
        since = max(outcome.began, trio.current_time() - SURE_S)
        return (await self._place(wish, since)).name

    async def _place(self, wish: Wish, since: float | None = None) -> _Place:
        place = await self._look_up(wish.repo_id, wish.repo_name, since)
        if place.is_archived:
            raise ForgeArchived(f"{place.name} is archived: it can be read, not written")
        return place

    async def _look_up(self, repo_id: int, repo_name: str, since: float | None = None) -> _Place:
        place, now = self._places.get(repo_id), trio.current_time()
        oldest = now - PLACE_S if since is None else since
        if place is None or place.seen_at < oldest or repo_name not in (place.name, place.asked):
            found = await self._forge.repository(repo_name, repo_id=repo_id)
            if len(self._places) >= MAX_PLACES:
                self._places.clear()
            place = self._places[repo_id] = _Place(
                found.full_name, repo_name, found.archived, found.is_public, now
            )
        return place

    # the comment --------------------------------------------------------------------------------

    async def _comment(self, wish: Wish, repo: str, outcome: Outcome) -> list[Event]:
        comment = wish.comment
        assert comment is not None
        comment_id = await self._put(wish, repo, comment.body, outcome)
        return [] if comment_id is None else [CommentWritten(wish.ref, comment_id, comment.meaning)]

    async def _put(self, wish: Wish, repo: str, body: str, outcome: Outcome) -> int | None:
        """The id of the comment that now has this text; None where there is none and none is wanted."""
        if wish.comment_id is not None and not wish.must_look:
            try:
                edited = await self._forge.edit_comment(
                    repo, wish.comment_id, body, repo_id=wish.repo_id
                )
            except ForgeNotFound:
                pass  # somebody has deleted it, or the repository is elsewhere
            else:
                return edited.id
        repo = await self._sure(wish, outcome)
        kept = await self._look(wish, repo)
        if kept is None:
            if not wish.may_begin:
                return None
            kept = await self._create(wish, body, outcome)
        if kept.body != body:
            await self._forge.edit_comment(repo, kept.id, body, repo_id=wish.repo_id)
        return kept.id

    async def _look(self, wish: Wish, repo: str) -> RemoteComment | None:
        """Our oldest comment with the marker, or the one that the journal names; younger ones are
        deleted. Anybody can write a marker: only our own account's count, which is the one that wrote
        what the journal names if nothing else tells."""
        own = await self.own_login()
        found = await self._forge.comments(repo, wish.ref.number, repo_id=wish.repo_id)
        if own is None:
            own = next((each.author for each in found if each.id == wish.comment_id), None)
        ours = sorted(
            (
                each
                for each in found
                if each.author == own and (is_sticky(each.body) or each.id == wish.comment_id)
            ),
            key=lambda each: each.id,
        )
        for double in ours[1:]:
            await self._delete(wish, repo, double.id)
        return ours[0] if ours else None

    async def _delete(self, wish: Wish, repo: str, comment_id: int) -> None:
        with suppress(ForgeNotFound):  # gone as it should be
            await self._forge.delete_comment(repo, comment_id, repo_id=wish.repo_id)

    async def _create(self, wish: Wish, body: str, outcome: Outcome) -> RemoteComment:
        """A new comment; or an older one, if its author has turned out to be us by that."""
        is_unknown = await self.own_login() is None
        repo = await self._sure(wish, outcome)
        try:
            created = await self._forge.create_comment(
                repo, wish.ref.number, body, repo_id=wish.repo_id
            )
        except (ForgeRateLimited, ForgeNotAsked):
            raise
        except ForgeUnavailable:
            outcome.is_unsure = True  # it may stand there all the same, or still come to
            raise
        outcome.is_created = True
        return (await self._look(wish, repo) or created) if is_unknown else created

    # the rest -----------------------------------------------------------------------------------

    async def _labels(self, wish: Wish, repo: str, outcome: Outcome) -> list[Event]:
        labels = wish.labels
        assert labels is not None
        if not (wish.must_look and await self._carries(wish, repo, labels)):
            await write_labels(self._rack, wish, repo)
        return [LabelsWritten(wish.ref, labels)]

    async def _carries(self, wish: Wish, repo: str, labels: tuple[str, ...]) -> bool:
        issue = await self._forge.issue(repo, wish.ref.number, repo_id=wish.repo_id)
        return {name for name in issue.labels if is_ours(name)} == set(labels)

    async def _assignee(self, wish: Wish, repo: str, outcome: Outcome) -> list[Event]:
        login = wish.assignee
        assert login is not None
        number, repo_id = wish.ref.number, wish.repo_id
        former = () if wish.former is None else (wish.former,)
        now = await self._forge.set_assignees(repo, number, [login], former, repo_id=repo_id)
        if login not in now:
            raise ForgeRefused(f"{login} was not assigned: has it write access to {repo}?")
        return [AssigneeWritten(wish.ref, login)]


_WRITERS: dict[Part, Callable[[Pen, Wish, str, Outcome], Awaitable[list[Event]]]] = {
    "comment": Pen._comment,
    "labels": Pen._labels,
    "assignee": Pen._assignee,
}
