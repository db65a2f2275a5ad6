"""What every supervision scenario has in common: a stage, a cast, and what must hold in the end.

A scenario is an async function that sets up a tree (given), does something to it (when) and says what
has happened (then). It runs under many orders of the scheduler, so it may assert only what holds in
all of them. The stage itself asserts, at the end of each, the conservation law for every mailbox and
that every child is down; the model checker asserts that no task and no deadline is left.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from coordinator.runtime import SupervisorSpec, Tree, open_tree
from tests.runtime.stage import Boom, Chronicle, is_conserved, settle

__all__ = ["SCENARIOS", "Scenario", "crash_once", "given", "scenario"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One play: its group, and whether it is small: runs under every order."""

    group: str
    play: Callable[[], Awaitable[None]]
    is_small: bool

    @property
    def name(self) -> str:
        """How a failure calls it."""
        return f"{self.group}: {self.play.__name__}"


SCENARIOS: list[Scenario] = []


def scenario(
    group: str, *, small: bool = False
) -> Callable[[Callable[[], Awaitable[None]]], Callable[[], Awaitable[None]]]:
    """Enter the function into the list of scenarios."""

    def enter(play: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        SCENARIOS.append(Scenario(group, play, small))
        return play

    return enter


@asynccontextmanager
async def given(chronicle: Chronicle, spec: SupervisorSpec) -> AsyncIterator[Tree]:
    """The tree running; after the block everybody is down and every message accounted for."""
    opened: Tree | None = None
    try:
        async with open_tree(spec, hooks=chronicle.hooks()) as tree:
            opened = tree
            yield tree
            assert is_conserved(tree), "before the stop"
    finally:
        if opened is not None:
            assert is_conserved(opened), "after the stop"
            undead = {report.id for report in chronicle.zombies}
            up = {n: s for n, s in opened.healthy().items() if s not in ("stopped", "failed")}
            assert set(up) <= undead, up
            assert opened.dump().hook_failures == 0


async def crash_once(tree: Tree, *names: str) -> None:
    """Crash them in the same moment, each by a message it survives at the second attempt."""
    for name in names:
        tree.ref(name).cast_nowait(Boom(once=True))
    await settle()
