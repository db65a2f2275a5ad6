"""What the runtime tells about itself: reports as plain data, and the hooks they go through."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from typing import Literal

from .callables import is_async
from .errors import SpecError
from .messages import brief

__all__ = [
    "BlockedReport",
    "CrashReport",
    "DeadLetterReport",
    "Hooks",
    "LastError",
    "LastMessage",
    "ZombieReport",
]


@dataclass(frozen=True, slots=True)
class LastError:
    """An error without its frames, so that keeping it does not keep a dead actor's state alive."""

    type: str
    message: str
    at: str  # UTC, ISO 8601: an operator compares it with the log


@dataclass(frozen=True, slots=True)
class LastMessage:
    """A message that was handled, and whether its handler returned."""

    message: str
    ms: float
    ok: bool


@dataclass(frozen=True, slots=True)
class CrashReport:
    """One abnormal end of a child, or an error in its `terminate` (phase "terminate").

    `charged` tells whether it cost the restart budget; `traceback` is cut to its last 8,000 characters.
    The rest tells what the child was at: `state` as `Tree.get_state` gives it, in about as many
    characters; the messages before the one in hand; where the caller waits, if that one is a call; the
    restarts left before this one is charged. All plain data: a kept report keeps no dead actor alive.
    """

    id: str
    path: str
    incarnation: int
    phase: Literal["start", "run", "stop", "terminate"]
    error: LastError
    traceback: str
    message: str | None
    attempt: int
    item: Hashable | None
    charged: bool
    restarts: int
    mailbox_depth: int
    state: object = None
    last_messages: tuple[LastMessage, ...] = ()
    caller_stack: tuple[str, ...] = ()
    uptime_s: float | None = None
    budget_left: int | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterReport:
    """A message that crashed its actor twice and was put aside; `message` is the object itself."""

    id: str
    path: str
    message: object
    crashes: tuple[CrashReport, ...]


@dataclass(frozen=True, slots=True)
class ZombieReport:
    """A child that outlived deadline, cancellation and grace; it still runs, at `await_stack`."""

    id: str
    path: str
    incarnation: int
    await_stack: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlockedReport:
    """An event loop that has not turned for `seconds`: where, outermost first, and in whose code."""

    actor_id: str | None
    seconds: float
    stack: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Called as things happen, from inside the runtime: sync, quick, and optional one by one.

    A hook that raises an Exception changes nothing; the failure is counted in `Tree.hook_failures`. A
    SystemExit ends the program from here as from anywhere. `redact` says what may be seen of a message
    or state before it is rendered anywhere; what it gives is shown instead, a text as it is. An error's
    own words and traceback do not pass it. `blocked` is called from the watchdog's thread.
    """

    # id, message, seconds handled, seconds waited, messages left behind it
    handled: Callable[[str, object, float, float, int], None] | None = None
    started: Callable[[str, int], None] | None = None  # id, incarnation
    restarted: Callable[[str, int], None] | None = None  # id, incarnation (≥ 2); after `started`
    stopped: Callable[[str, str], None] | None = None  # id, reason: normal, shutdown, crash, ignored
    crashed: Callable[[CrashReport], None] | None = None
    dead_letter: Callable[[DeadLetterReport], None] | None = None
    returned: Callable[[str, object], None] | None = None  # id, message still queued at the final stop
    dropped: Callable[[str, object], None] | None = None  # id, message lost to the mailbox policy
    zombie: Callable[[ZombieReport], None] | None = None
    redact: Callable[[str, object], object] | None = None  # id, value → what to show of it
    blocked: Callable[[BlockedReport], None] | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            hook = getattr(self, each.name)
            if hook is not None and (not callable(hook) or is_async(hook)):
                raise SpecError(f"Hooks: {each.name} is {brief(hook)}, must be a sync function")
