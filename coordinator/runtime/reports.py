"""What the runtime tells about itself: reports as plain data, and the hooks they go through."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal

__all__ = ["CrashReport", "DeadLetterReport", "Hooks", "LastError", "ZombieReport"]


@dataclass(frozen=True, slots=True)
class LastError:
    """An error without its frames, so that keeping it does not keep a dead actor's state alive."""

    type: str
    message: str
    at: str  # UTC, ISO 8601: an operator compares it with the log


@dataclass(frozen=True, slots=True)
class CrashReport:
    """One abnormal end of a child, or an error in its `terminate` (phase "terminate").

    `charged` tells whether it cost the restart budget; `traceback` is cut to its last 8,000 characters.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Called as things happen, from inside the runtime: sync, quick, and optional one by one.

    A hook that raises changes nothing; the failure is counted in `Tree.hook_failures`.
    """

    handled: Callable[[str, object, float], None] | None = None  # id, message, seconds
    started: Callable[[str, int], None] | None = None  # id, incarnation
    restarted: Callable[[str, int], None] | None = None  # id, incarnation (≥ 2); after `started`
    stopped: Callable[[str, str], None] | None = None  # id, reason: normal, shutdown, crash
    crashed: Callable[[CrashReport], None] | None = None
    dead_letter: Callable[[DeadLetterReport], None] | None = None
    returned: Callable[[str, object], None] | None = None  # id, message still queued at the final stop
    dropped: Callable[[str, object], None] | None = None  # id, message lost to the mailbox policy
    zombie: Callable[[ZombieReport], None] | None = None
