"""The client's contract with the fake forge in its dialects, and with a real one where there is one.

    GITEA_TEST_URL=http://127.0.0.1:3000 GITEA_TEST_TOKEN=… pytest tests/edges/test_forge_contract.py

The real forge must be disposable: each test makes a repository `contract-…` of the token's user and
deletes it. The token needs write:repository, write:issue and write:user.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from secrets import token_hex

import httpx
import pytest

from tests.edges.forge_contract import ForgeContract
from tests.fakes.forge import (
    FORGEJO,
    GITEA,
    GITEA_1_26,
    REPO,
    Dialect,
    Forge,
    Issue,
    furnish,
    open_forge,
)

_HOW = (
    "NOT PROVEN: the client was not tried against a real forge. Start a disposable Gitea or Forgejo, "
    "set GITEA_TEST_URL and GITEA_TEST_TOKEN (scopes write:repository, write:issue, write:user), and "
    "run tests/edges/test_forge_contract.py"
)


@dataclass
class FakeWorld:
    """The fake forge, its repository furnished."""

    fake: Forge
    token: str
    repo: str = REPO
    issues: dict[int, Issue] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.fake.url

    async def open(self, title: str, body: str = "") -> int:
        issue = self.fake.open(self.repo, title, body)
        self.issues[issue.number] = issue
        return issue.number

    async def close(self, number: int) -> None:
        self.fake.close(self.issues[number])

    async def block(self, blocked: int, blocker: int) -> None:
        self.fake.block(self.issues[blocked], self.issues[blocker])

    async def rename(self, name: str) -> None:
        new = f"{self.repo.partition('/')[0]}/{name}"
        self.fake.rename(self.repo, new)
        self.repo = new


class TestFakeForge(ForgeContract):
    """The contract over the fake, in every dialect."""

    @pytest.fixture(params=[GITEA, GITEA_1_26, FORGEJO], ids=lambda dialect: dialect.version)
    async def world(self, request: pytest.FixtureRequest) -> AsyncIterator[FakeWorld]:
        dialect: Dialect = request.param
        async with open_forge(dialect) as fake:
            yield FakeWorld(fake, furnish(fake))


@dataclass
class RealWorld:
    """A repository of its own on a real forge, driven by hand, so not by the client under test."""

    http: httpx.AsyncClient
    url: str
    token: str
    repo: str

    async def _send(self, method: str, path: str, body: dict[str, object]) -> dict[str, object]:
        answer = await self.http.request(method, f"/repos/{self.repo}{path}", json=body)
        answer.raise_for_status()
        found: dict[str, object] = answer.json()
        return found

    async def open(self, title: str, body: str = "") -> int:
        number = (await self._send("POST", "/issues", {"title": title, "body": body}))["number"]
        assert isinstance(number, int)
        return number

    async def close(self, number: int) -> None:
        await self._send("PATCH", f"/issues/{number}", {"state": "closed"})

    async def block(self, blocked: int, blocker: int) -> None:
        owner, _, repo = self.repo.partition("/")
        body: dict[str, object] = {"index": blocker, "owner": owner, "repo": repo}
        await self._send("POST", f"/issues/{blocked}/dependencies", body)

    async def rename(self, name: str) -> None:
        new = f"{name}-{token_hex(6)}"
        await self._send("PATCH", "", {"name": new})
        self.repo = f"{self.repo.partition('/')[0]}/{new}"


class TestRealForge(ForgeContract):
    """The contract over a disposable real forge."""

    @pytest.fixture
    async def world(self) -> AsyncIterator[RealWorld]:
        url, token = os.environ.get("GITEA_TEST_URL"), os.environ.get("GITEA_TEST_TOKEN")
        if not url or not token:
            pytest.skip(_HOW)
        headers = {"authorization": f"token {token}"}
        base = url.rstrip("/") + "/api/v1"
        async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False) as http:
            name = f"contract-{token_hex(6)}"
            made = await http.post("/user/repos", json={"name": name, "auto_init": True})
            made.raise_for_status()
            world = RealWorld(http, url, token, made.json()["full_name"])
            yield world
            (await http.delete(f"/repos/{world.repo}")).raise_for_status()
