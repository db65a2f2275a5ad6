"""Writing to one issue at the forge: the comment, the labels, the assignment.

Nothing here decides what to say. Every write may be repeated: it looks for what stands there before it
creates anything, unless it knows. Whose comment it is decides the forge, never the text.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from coordinator.actors.scribe.label_rack import LabelRack, write_labels
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteComment
from coordinator.errors import (
    ForgeArchived,
    ForgeNotAsked,
    ForgeNotFound,
    ForgeRateLimited,
    ForgeRefused,
    ForgeUnavailable,
)
from coordinator.rules.comment import is_sticky
from coordinator.rules.events import AssigneeWritten, CommentWritten, Event, LabelsWritten
from coordinator.rules.ids import Login
from coordinator.rules.written import PARTS, Part, Wish

__all__ = ["Outcome", "Pen"]

# How long a repository's name and state are taken for granted before they are looked up again: a minute
# of writing costs one question then, and a name that another repository has taken is noticed.
PLACE_S = 60.0
# Names kept; each is a few hundred bytes.
MAX_PLACES = 10_000


@dataclass(slots=True)
class Outcome:
    """What became of a wish: what was written, in events and parts, what the forge refused and why, and
    the failure that ended it early. `is_unsure`: a comment may have been created unseen."""

    events: list[Event] = field(default_factory=list)
    written: list[Part] = field(default_factory=list)
    refused: dict[Part, str] = field(default_factory=dict)
    failure: ForgeUnavailable | None = None
    is_unsure: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    is_archived: bool
    seen_at: float


class Pen:
    """One forge, written to with one account. Safe for concurrent calls about different issues."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._rack = LabelRack(forge)
        self._own: Login | None = None
        self._places: dict[int, _Place] = {}

    async def own_login(self) -> Login:
        """Our own account's; asked once."""
        if self._own is None:
            self._own = (await self._forge.whoami()).login
        return self._own

    async def where(self, repo_id: int, repo_name: str) -> str:
        """What the repository is called now: its old name alone may be another repository's."""
        return (await self._look_up(repo_id, repo_name)).name

    async def write(self, wish: Wish) -> Outcome:
        """Write each part; one that is refused does not keep the others from being written."""
        outcome = Outcome()
        for part in PARTS:
            if wish.key_of(part) is None:
                continue
            try:
                outcome.events += await self._at_the_right_place(wish, _WRITERS[part], outcome)
                outcome.written.append(part)
            except ForgeRefused as refused:
                outcome.refused[part] = str(refused)
            except ForgeUnavailable as unavailable:
                if part == "assignee" and unavailable.status == 500:
                    # What a forge answers when the account has no access to the repository.
                    outcome.refused[part] = str(unavailable)
                    continue
                outcome.failure = unavailable
                break
        return outcome

    async def _at_the_right_place(
        self,
        wish: Wish,
        write: "Callable[[Pen, Wish, str, Outcome], Awaitable[list[Event]]]",
        outcome: Outcome,
    ) -> list[Event]:
        """Once more at the place looked up anew when it is not there."""
        known = self._places.get(wish.repo_id)
        place = await self._place(wish)
        try:
            return await write(self, wish, place.name, outcome)
        except ForgeNotFound:
            if known is None or known is not place:
                raise  # it was looked up just now
            del self._places[wish.repo_id]
            return await write(self, wish, (await self._place(wish)).name, outcome)

    async def _place(self, wish: Wish) -> _Place:
        place = await self._look_up(wish.repo_id, wish.repo_name)
        if place.is_archived:
            raise ForgeArchived(f"{place.name} is archived: it can be read, not written")
        return place

    async def _look_up(self, repo_id: int, repo_name: str) -> _Place:
        place, now = self._places.get(repo_id), trio.current_time()
        if place is None or now - place.seen_at > PLACE_S:
            found = await self._forge.repository(repo_name, repo_id=repo_id)
            if len(self._places) >= MAX_PLACES:
                self._places.clear()
            place = self._places[repo_id] = _Place(found.full_name, found.archived, now)
        return place

    # the comment --------------------------------------------------------------------------------

    async def _comment(self, wish: Wish, repo: str, outcome: Outcome) -> list[Event]:
        comment = wish.comment
        assert comment is not None
        comment_id = await self._put(wish, repo, comment.body, outcome)
        return [CommentWritten(wish.ref, comment_id, comment.meaning)]

    async def _put(self, wish: Wish, repo: str, body: str, outcome: Outcome) -> int:
        """The id of the comment that now has this text."""
        if wish.comment_id is not None and not wish.must_look:
            try:
                edited = await self._forge.edit_comment(
                    repo, wish.comment_id, body, repo_id=wish.repo_id
                )
            except ForgeNotFound:
                pass  # somebody has deleted it, or the repository is elsewhere
            else:
                return edited.id
        kept = await self._look(wish, repo)
        if kept is None:
            return await self._create(wish, repo, body, outcome)
        if kept.body != body:
            await self._forge.edit_comment(repo, kept.id, body, repo_id=wish.repo_id)
        return kept.id

    async def _look(self, wish: Wish, repo: str) -> RemoteComment | None:
        """Our oldest comment with the marker; younger ones are deleted. Anybody can write a marker:
        only our own account's count."""
        own = await self.own_login()
        found = await self._forge.comments(repo, wish.ref.number, repo_id=wish.repo_id)
        ours = sorted(
            (each for each in found if each.author == own and is_sticky(each.body)),
            key=lambda each: each.id,
        )
        for double in ours[1:]:
            await self._delete(wish, repo, double.id)
        return ours[0] if ours else None

    async def _delete(self, wish: Wish, repo: str, comment_id: int) -> None:
        with suppress(ForgeNotFound):  # gone as it should be
            await self._forge.delete_comment(repo, comment_id, repo_id=wish.repo_id)

    async def _create(self, wish: Wish, repo: str, body: str, outcome: Outcome) -> int:
        try:
            created = await self._forge.create_comment(
                repo, wish.ref.number, body, repo_id=wish.repo_id
            )
        except (ForgeRateLimited, ForgeNotAsked):
            raise
        except ForgeUnavailable:
            outcome.is_unsure = True  # it may stand there all the same, or still come to
            raise
        return created.id

    # the rest -----------------------------------------------------------------------------------

    async def _labels(self, wish: Wish, repo: str, outcome: Outcome) -> list[Event]:
        labels = wish.labels
        assert labels is not None
        await write_labels(self._rack, wish, repo)
        return [LabelsWritten(wish.ref, labels)]

    async def _assignee(self, wish: Wish, repo: str, outcome: Outcome) -> list[Event]:
        login = wish.assignee
        assert login is not None
        number, repo_id = wish.ref.number, wish.repo_id
        now = await self._forge.set_assignees(repo, number, [login], (), repo_id=repo_id)
        if login not in now:
            raise ForgeRefused(f"{login} was not assigned: has it write access to {repo}?")
        return [AssigneeWritten(wish.ref, login)]


_WRITERS: dict[Part, Callable[[Pen, Wish, str, Outcome], Awaitable[list[Event]]]] = {
    "comment": Pen._comment,
    "labels": Pen._labels,
    "assignee": Pen._assignee,
}
