"""What the faces need from the rest of the program, passed by argument."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import trio

from coordinator.edges.gitea_remote_wire import ForgeHealth
from coordinator.edges.journal import Journal
from coordinator.runtime import Tree
from coordinator.web.counters import Counters
from coordinator.web.limits import Limits
from coordinator.web.tally import Tally

__all__ = ["WebContext"]


def _not_degraded() -> tuple[str, ...]:
    return ()


@dataclass(slots=True, kw_only=True)
class WebContext:
    """One per process. `tree` is bound once it runs; until then /health says so.

    `secrets` are the webhook's, newest first; `api_token` is None when none is configured;
    `hidden` are further values that must never leave through /state. `degraded` names what is missing
    ("no-forge-token"). `forge_health` is the forge client's own view, None without a token. `now` is
    the wall clock in UTC. `tally` counts what the tree's hooks tell it.
    """

    journal: Journal
    secrets: tuple[bytes, ...] = field(repr=False)
    version: str
    data_dir: Path
    now: Callable[[], datetime]
    api_token: str | None = field(default=None, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)
    bind_is_loopback: bool = False
    degraded: Callable[[], tuple[str, ...]] = _not_degraded
    forge_health: Callable[[], ForgeHealth] | None = None
    limits: Limits = field(default_factory=Limits)
    counters: Counters = field(default_factory=Counters)
    tally: Tally = field(default_factory=Tally)
    tree: Tree | None = None
    started_at: datetime = field(init=False)
    _polls: set[trio.CancelScope] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.started_at = self.now()

    @contextmanager
    def polling(self, poll: trio.CancelScope) -> Iterator[None]:
        """While inside, `end_polls` ends the scope: a waiting client never holds up a stop."""
        self._polls.add(poll)
        try:
            yield
        finally:
            self._polls.discard(poll)

    def end_polls(self) -> None:
        for poll in self._polls:
            poll.cancel()
