"""The report of a crash: what broke, and everything about the child that helps to see why."""

import traceback
from typing import TYPE_CHECKING

import trio

from .bodies import ActorBody
from .reports import CrashReport, LastMessage
from .shown import show, state_of
from .stacks import Stacks

if TYPE_CHECKING:
    from .cell import Cell
    from .child import Child, Phase
    from .messages import Envelope
    from .reports import Hooks, LastError
    from .restart import Window
    from .tree import Tree

__all__ = ["budget_left", "crash_report", "in_words", "last_messages"]

# Enough for a deep stack with notes; a recursion error would fill megabytes.
TRACEBACK_CHARS = 8000
# As much as for the traceback: a thousand reports may be kept for `crashes_of`.
CRASH_STATE_CHARS = 8000


def crash_report(
    child: "Child", error: BaseException, known_as: "LastError", phase: "Phase", *, charged: bool
) -> CrashReport:
    """The circumstances of the crash as plain data, taken while the broken life is still there."""
    message, attempt, item, _ = child.body.crash_context()
    now, tree = trio.current_time(), child.tree
    body = child.body if isinstance(child.body, ActorBody) else None
    return CrashReport(
        id=child.id,
        path=child.path,
        incarnation=child.incarnation,
        phase=phase,
        error=known_as,
        traceback=_traceback_of(error),
        message=None if message is None else show(tree.hooks, child.id, message),
        attempt=attempt,
        item=item,
        charged=charged,
        restarts=child.restarts,
        mailbox_depth=tree.depth_of(child),
        state=None if body is None else _state(body, tree),
        last_messages=() if body is None else last_messages(body.cell),
        caller_stack=() if body is None or message is None else _caller_stack(body.cell),
        uptime_s=None if child.started_at is None else now - child.started_at,
        budget_left=budget_left(child, now),
    )


def _traceback_of(error: BaseException) -> str:
    """The end of its traceback; an error's own notes and properties may raise while it is rendered."""
    try:
        return "".join(traceback.format_exception(error))[-TRACEBACK_CHARS:]
    except Exception as exc:  # noqa: BLE001  a report must come out whatever the error does
        return f"<no traceback: rendering it raised {type(exc).__name__}>"


def last_messages(cell: "Cell") -> tuple[LastMessage, ...]:
    """What the actor handled last, oldest first, as text."""
    return tuple(in_words(cell.tree.hooks, cell.id, envelope) for envelope in cell.last_messages)


def in_words(hooks: "Hooks", id: str, envelope: "Envelope") -> LastMessage:  # noqa: A002
    """A message that was handled, as it is shown."""
    return LastMessage(show(hooks, id, envelope.message), envelope.took_s * 1000, envelope.ok)


def budget_left(child: "Child", now: float) -> int | None:
    """Restarts left in the budget that counts here: a supervisor's own, or that of its supervisor."""
    window: Window | None = getattr(child.body, "window", None) or child.window
    if window is None:
        window = getattr(child.owner, "window", None)
    return None if window is None else window.left(now)


def _state(body: ActorBody, tree: "Tree") -> object:
    actor = None if body.incarnation is None else body.incarnation.actor
    return state_of(tree.hooks, body.cell.id, actor, attributes=True, chars=CRASH_STATE_CHARS)


def _caller_stack(cell: "Cell") -> tuple[str, ...]:
    envelope = cell.in_flight
    if envelope is None or envelope.reply is None:
        return ()
    return Stacks().of(envelope.reply.caller)
