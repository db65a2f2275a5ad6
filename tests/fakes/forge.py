"""A Gitea or Forgejo on loopback, for tests: the one the package ships, with a small world in it.

async with open_forge("forgejo") as forge:
    token = furnish(forge)
    issue = forge.open(REPO, "Rows are lost", assignees=["coder-bot"])
    forge.misbehave("status", route="GET /repos", status=503, times=3)
    forge.postman.faults.next("lose")
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from coordinator.demo.forge import (
    FORGEJO,
    GITEA,
    GITEA_1_26,
    Dialect,
    Forge,
    Issue,
    Posted,
    Product,
    VirtualClock,
    open_forge,
)
from coordinator.edges.request_body import send_in_one_piece

__all__ = [
    "BOT",
    "FORGEJO",
    "GITEA",
    "GITEA_1_26",
    "REPO",
    "Dialect",
    "Forge",
    "Issue",
    "Posted",
    "Product",
    "VirtualClock",
    "furnish",
    "open_forge",
    "rest_client",
]

REPO = "acme/widgets"
BOT = "coordinator-bot"


def furnish(forge: Forge) -> str:
    """One repository with people in it: maria writes, rita reads, the bot is its admin; gives the
    bot's token, which may everything."""
    forge.repository(
        REPO,
        collaborators={BOT: "admin", "maria": "write", "coder-bot": "write", "rita": "read"},
    )
    forge.user("stranger")
    return forge.token(BOT)


@asynccontextmanager
async def rest_client(forge: Forge, token: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the REST interface; without a token nobody in particular."""
    headers = {"Authorization": f"token {token}"} if token else {}
    url = f"{forge.url}/api/v1"
    hooks = {"request": [send_in_one_piece]}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, timeout=60, event_hooks=hooks
    ) as http:
        yield http
