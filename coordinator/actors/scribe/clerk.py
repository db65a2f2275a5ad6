"""Commands in comments: who wrote it, whether they may, what it means, and the answer to it.

An order names a comment and nothing else is believed of it: author, text and permission are asked of
the forge. Whoever may not command gets no answer at all, so that nobody can make us write.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import trio

from coordinator.actors.scribe.pen import Pen
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteComment
from coordinator.errors import ForgeError, ForgeForbidden, ForgeNotFound, ForgeTooLong
from coordinator.rules.commands import Command, Refusal, given, objection, parse, refused
from coordinator.rules.events import CommandGiven, CommandRefused
from coordinator.rules.ids import IssueRef, Login
from coordinator.rules.orders import RunCommand
from coordinator.rules.views import IssueView

__all__ = ["COMMAND_RESULTS", "Answer", "Clerk", "CommandResult", "NotYet"]

CommandResult = Literal[
    "accepted",
    "refused",
    "no_permission",
    "own",
    "agent",
    "edited",
    "not_a_command",
    "pull_request",
    "gone",
    "crashed",
]
COMMAND_RESULTS: tuple[CommandResult, ...] = (
    "accepted",
    "refused",
    "no_permission",
    "own",
    "agent",
    "edited",
    "not_a_command",
    "pull_request",
    "gone",
    "crashed",
)


# Rights change by the day; a minute keeps hundreds of commands from asking for the same ones.
DENIED_S = 60.0
# People remembered; each is a hundred bytes.
MAX_DENIED = 10_000


class NotYet(Exception):
    """The issue has not been read yet: what a command means for it cannot be told."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command came to; without an event nobody is told."""

    result: CommandResult
    event: CommandGiven | CommandRefused | None = None
    detail: str = ""


class Clerk:
    """`logins` are our agents' and pools' accounts; `explain` asks for an issue's view. With `is_mute`
    commands are obeyed without a reaction: nothing at all is to be written to the forge."""

    def __init__(
        self,
        forge: Forge,
        pen: Pen,
        logins: frozenset[Login],
        explain: Callable[[IssueRef], Awaitable[IssueView | None]],
        *,
        is_mute: bool = False,
    ) -> None:
        self._forge = forge
        self._pen = pen
        self._logins = logins
        self._explain = explain
        self._is_mute = is_mute
        self._denied: dict[tuple[int, Login], float] = {}

    def is_denied(self, order: RunCommand) -> bool:
        """Whether its author was told no a moment ago: nobody is to wait behind hundreds of theirs."""
        now = trio.current_time()
        return order.by is not None and self._denied.get((order.repo_id, order.by), now) > now

    async def answer(self, order: RunCommand, *, is_last_try: bool = False) -> Answer:
        """Judge the command and react to it; harmless to repeat until its event is written.

        ForgeError when the forge cannot be asked. NotYet while nothing is known of the issue, or it
        seems to be none of ours; with `is_last_try` that is taken for the truth.
        """
        if self.is_denied(order):
            return Answer("no_permission")
        now = trio.current_time()
        try:
            # Whoever has taken its old name must not say who may command here.
            repo = await self._pen.where(order.repo_id, order.repo_name, since=now)
            comment = await self._forge.comment(repo, order.comment_id, repo_id=order.repo_id)
        except ForgeNotFound:
            return Answer("gone")
        except ForgeTooLong as error:
            return Answer("not_a_command", detail=str(error))
        asked = parse(comment.body)
        if ignored := await self._ignored(comment, asked):
            return Answer(ignored)
        assert asked is not None
        if not await self._may_command(repo, order.repo_id, comment.author):
            if len(self._denied) >= MAX_DENIED:
                self._denied.clear()
            self._denied[order.repo_id, comment.author] = now + DENIED_S
            return Answer("no_permission")
        ref = IssueRef(order.ref.repo, comment.issue_number or order.ref.number)
        told = await self._weigh(asked, ref, is_last_try, comment.created_at)
        detail = await self._react(repo, order, "+1" if isinstance(told, Command) else "confused")
        if isinstance(told, Command):
            event = given(told, ref, comment_id=comment.id, by=comment.author, at=comment.created_at)
            return Answer("accepted", event, detail)
        return Answer("refused", refused(told, ref, comment_id=comment.id, by=comment.author), detail)

    async def _ignored(
        self, comment: RemoteComment, asked: Command | Refusal | None
    ) -> CommandResult | None:
        """Why the comment is passed over whoever may do what; None: it is not."""
        if asked is None:
            return "not_a_command"
        if comment.is_pull:
            return "pull_request"
        if comment.updated_at > comment.created_at:
            return "edited"  # people with write access can edit what others have written
        if comment.author in self._logins:
            return "agent"
        return "own" if comment.author == await self._pen.own_login() else None

    async def _may_command(self, repo: str, repo_id: int, login: Login) -> bool:
        """Whether the person may write to the repository. Only its administrators may ask for that;
        others ask who can be assigned, which comes as near as a forge tells them."""
        try:
            permission = await self._forge.permission(repo, login, repo_id=repo_id)
        except ForgeForbidden:
            return login in await self._forge.assignable(repo, repo_id=repo_id)
        return permission in ("write", "admin", "owner")

    async def _weigh(
        self, asked: Command | Refusal, ref: IssueRef, is_last_try: bool, at: datetime
    ) -> Command | Refusal:
        """What it comes to. An issue that was seen after the comment, which the forge counts as a
        change of it, is known; before, it may have become ours meanwhile."""
        if isinstance(asked, Refusal):
            return asked
        view = await self._explain(ref)
        is_old = view is not None and view.state == "ignored" and view.updated_at < at
        is_unknown = view is None or (is_old and asked.verb != "explain")
        if is_unknown and not is_last_try:
            raise NotYet(f"nothing is known yet of {ref}")
        return objection(asked, view)

    async def _react(self, repo: str, order: RunCommand, content: str) -> str:
        """The reaction is a courtesy, the sticky comment answers too: why there is none, or ""."""
        if self._is_mute:
            return ""
        try:
            await self._forge.react(repo, order.comment_id, content, repo_id=order.repo_id)
        except ForgeError as error:
            return f"no reaction: {error}"
        return ""
