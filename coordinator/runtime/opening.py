"""Opening a tree around a block, and what comes out of the block in the end: whose error, and when."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from .end import FATAL
from .errors import StartFailed, start_failed
from .reports import BlockedReport, Hooks
from .spec import ChildSpec
from .tree import Tree
from .watchdog import Watchdog

__all__ = ["open_tree"]


@asynccontextmanager
async def open_tree(
    spec: ChildSpec,
    *,
    hooks: Hooks = Hooks(),  # noqa: B008  frozen
    watchdog_s: float | None = None,
) -> AsyncIterator[Tree]:
    """Run the tree around the block: started before it, stopped in reverse after it.

    Raises StartFailed if it does not come up. A root that gives up cancels the block, and its error
    comes out here, bare; an error of the block itself, or its cancellation, comes out once everything
    is stopped. A zombie keeps the block open until it ends: a task cannot be abandoned. `watchdog_s`: a
    thread calls the hook `blocked` when the event loop has not turned for so long; None is no thread.
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
async def _opened(tree: Tree) -> AsyncIterator[None]:
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                with tree.user_scope:
                    await tree.run_root(nursery)
                    yield
            except BaseException as exc:  # noqa: BLE001  raised again below, bare, after the stop
                failure = exc
            try:
                with trio.CancelScope(shield=True):
                    await tree.wind_down()
            finally:
                tree.watch.close()
            nursery.cancel_scope.cancel()
    except BaseException as exc:  # noqa: BLE001
        failure = failure or exc
    error = tree.root_error()
    is_fatal = isinstance(error, FATAL)
    if isinstance(error, Exception) and not is_fatal and tree.root.started_at is None:
        error = start_failed(tree.root.id, error)
    _raise_first(failure, error)


def _raise_first(users: BaseException | None, trees: BaseException | None) -> None:
    """Raise the error of the block or of the tree; of two unrelated ones, both."""
    if trees is None or trees is users or isinstance(users, StartFailed):
        if users is not None:
            raise users
    elif users is None or isinstance(users, trio.Cancelled):
        raise trees
    else:
        raise BaseExceptionGroup("the tree failed, and so did its user", [trees, users])
