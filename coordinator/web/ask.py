"""Asking an actor on behalf of a client, with every way it can fail as an answer."""

from typing import TypeVar

from coordinator.errors import JournalUnavailable, PayloadInvalid, SenderError
from coordinator.runtime import ActorDown, ActorRef, Call, CallTimeout, MailboxFull, Tree
from coordinator.web.context import WebContext
from coordinator.web.envelope import Refused
from coordinator.web.tally import MONITOR

__all__ = ["MONITOR", "ask", "find", "running_tree"]

T = TypeVar("T")

# An actor answers in milliseconds; five seconds is one that hangs, and a person waits at the other end.
_ASK_TIMEOUT_S = 5.0
_RETRY_AFTER = {"retry-after": "2"}


def running_tree(context: WebContext) -> Tree:
    """The tree, or Refused (503) while the program is coming up."""
    if context.tree is None:
        raise Refused(503, "starting", "the coordinator is starting", headers=_RETRY_AFTER)
    return context.tree


def find(context: WebContext, actor_id: str) -> ActorRef:
    """The actor of that id, or Refused (404)."""
    try:
        return running_tree(context).ref(actor_id)
    except KeyError:
        kind, name = ("agent", actor_id.removeprefix(MONITOR))
        if not actor_id.startswith(MONITOR):
            kind, name = "actor", actor_id
        raise Refused(404, "not_found", f"there is no {kind} named {name[:100]!r}") from None


async def ask(
    context: WebContext, actor_id: str, message: Call[T], *, timeout_s: float = _ASK_TIMEOUT_S
) -> T:
    """The actor's reply; Refused with 404, 409, 422 or 503 when there is none to be had."""
    try:
        return await find(context, actor_id).call(message, timeout_s=timeout_s)
    except (ActorDown, CallTimeout, MailboxFull) as error:
        raise Refused(503, "actor_unavailable", str(error), headers=_RETRY_AFTER) from error
    except JournalUnavailable as error:
        message_text = "the journal cannot store this now"
        raise Refused(503, "journal_unavailable", message_text, headers=_RETRY_AFTER) from error
    except PayloadInvalid as error:
        raise Refused(422, "invalid_request", str(error), field=error.field) from error
    except SenderError as error:
        raise Refused(409, "conflict", str(error)) from error
