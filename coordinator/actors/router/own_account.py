"""Whose token it is: asked until it is known, which may be only when something was written with it."""

from typing import TYPE_CHECKING

import structlog
import trio

from coordinator.errors import ForgeError
from coordinator.rules.backoff import backoff_s
from coordinator.rules.ids import Login

if TYPE_CHECKING:
    from coordinator.edges.gitea import Forge

__all__ = ["own_login"]


async def own_login(forge: "Forge", log: structlog.stdlib.BoundLogger) -> Login:
    """Our account's login. A token without read:user may never tell; that is said once and harms
    nothing: until it is known nothing counts as our own doing."""
    failures, told = 0, ""
    while True:
        try:
            return (await forge.whoami()).login
        except ForgeError as error:
            failures += 1
            if str(error) != told:
                told = str(error)
                log.warning("own_account_unknown", why=told)
        await trio.sleep(backoff_s(failures))
