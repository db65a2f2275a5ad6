"""What people call a repository, and what it is: by the name it has now or had before, in any case."""

from coordinator.actors.messages import NamedRepository, WatchedRepository
from coordinator.web.ask import ask
from coordinator.web.context import WebContext
from coordinator.web.envelope import Refused

__all__ = ["repository_called"]


async def repository_called(context: WebContext, name: str) -> WatchedRepository | None:
    """The repository that is or was called so. None if there is none, or nobody can say just now: then
    the name must do."""
    try:
        return await ask(context, "router", NamedRepository(name))
    except Refused:
        return None
