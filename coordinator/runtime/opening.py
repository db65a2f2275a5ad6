"""Opening a tree around a block, and what comes out of the block in the end: whose error, and when."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from .end import fatal_in, sole
from .outcome import both, outcome, raise_as_it_is
from .reports import BlockedReport, Hooks
from .spec import ChildSpec
from .tree import Tree
from .watchdog import Watchdog

__all__ = ["open_tree"]


@asynccontextmanager
@trio.lowlevel.enable_ki_protection  # of what is around the block, not of the block
async def open_tree(
    spec: ChildSpec,
    *,
    hooks: Hooks = Hooks(),  # noqa: B008  frozen
    watchdog_s: float | None = None,
) -> AsyncIterator[Tree]:
    """Run the tree around the block: started before it, stopped in reverse after it.

    Raises StartFailed if it does not come up. A root that gives up cancels the block, and its error
    comes out here, bare; an error of the block itself, or its cancellation, comes out once everything
    is stopped. If both fail they come out as a group, but what must end the program comes out alone,
    and a block that only tells of the fall is the `__context__`. A stop somebody else asks for does not
    end the block: one that wants to end with the tree waits in `tree.wait()`. A zombie keeps it open
    until it ends: a task cannot be abandoned. `watchdog_s`: a thread calls the hook `blocked` when the
    event loop has not turned for so long; None is no thread.
    """
    tree = Tree(spec, hooks)
    with _watched(tree, watchdog_s):
        async with _opened(tree):
            yield tree


@contextmanager
def _watched(tree: Tree, limit_s: float | None) -> Iterator[None]:
    if limit_s is None:
        yield
        return

    def tell(report: BlockedReport) -> None:
        tree.tell(tree.hooks.blocked, report)

    watchdog = Watchdog(limit_s, tell)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def _opened(tree: Tree) -> AsyncIterator[None]:
    failure: BaseException | None = None
    try:
        async with tree.watch.running(), trio.open_nursery() as nursery:
            try:
                with tree.user_scope:
                    await tree.run_root(nursery)
                    yield
            except BaseException as exc:  # noqa: BLE001  raised again below, bare, after the stop
                failure = exc
            with trio.CancelScope(shield=True):
                await tree.wind_down()
    except BaseException as exc:  # noqa: BLE001  the stop was interrupted
        broken = fatal_in(exc) or sole(exc)
        failure = broken if failure is None else both(broken, failure)
    fault = outcome(failure, tree.failure)
    if fault is not None:
        raise_as_it_is(fault)
