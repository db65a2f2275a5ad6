"""What the coordinator writes on a public issue tells strangers nothing of private repositories."""

from pathlib import Path

import httpx
import trio
from pydantic import SecretStr

from coordinator.app import Running, serve
from coordinator.config import Settings
from coordinator.config_file import default_fleet
from coordinator.demo.forge import Forge, Issue, open_forge
from coordinator.rules.comment import is_sticky
from tests.fakes.forge import BOT, REPO, furnish

VAULT = "vault/plans"
OPEN = "open/plans"


def written_on(forge: Forge, issue: Issue) -> str:
    """Our comment as it is now, "" before there is one."""
    return "".join(each.body for each in forge.data.comments_of(issue) if is_sticky(each.body))


async def until_written(forge: Forge, issue: Issue, *words: str) -> str:
    with trio.fail_after(30):
        while not all(word in written_on(forge, issue) for word in words):  # noqa: ASYNC110
            await trio.sleep(0.02)
    return written_on(forge, issue)


def town(forge: Forge) -> tuple[str, Issue, Issue]:
    """A public issue behind a private and a public one, and another in a cycle with the private one."""
    token = furnish(forge)
    forge.repository(REPO).private = False
    for name in (VAULT, OPEN):
        people = {BOT: "write", "coder-bot": "write"}
        forge.repository(name, private=name == VAULT, collaborators=people)  # type: ignore[arg-type]
    roof, round_ = (forge.open(REPO, title, assignees=["coder-bot"]) for title in ("Roof", "Round"))
    secret, known = forge.open(VAULT, "Secret walls"), forge.open(OPEN, "Known walls")
    turn = forge.open(VAULT, "Secret turn", body=f"Blocked by: {REPO}#{round_.number}")
    forge.block(roof, secret)
    forge.block(roof, known)
    forge.block(round_, turn)
    return token, roof, round_


async def look(running: Running, forge: Forge, roof: Issue, round_: Issue) -> None:
    text = await until_written(forge, roof, "an issue in another repository", f"{OPEN}#1")
    assert f"| Waits for | {OPEN}#1, an issue in another repository |" in text
    circle = await until_written(forge, round_, "| Cycle |")
    assert f"| Cycle | #{round_.number} → an issue in another repository → #" in circle
    for said in (text, circle):
        assert "vault" not in said.lower()
        assert "secret" not in said.lower()
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as http:
        answer = await http.get(f"/api/v1/issues/{REPO}/{roof.number}")
    assert answer.json()["open_blockers"] == [f"{OPEN}#1", f"{VAULT}#1"]


async def test_private_blockers_and_cycles_are_not_named_to_strangers(tmp_path: Path) -> None:
    """From the read to the comment: a public blocker is a link, a private one has no name; the API, for
    operators, shows both."""
    async with open_forge() as forge:
        token, roof, round_ = town(forge)
        settings = Settings(
            webhook_secrets=(SecretStr("hook-secret"),),
            gitea_url=forge.url,
            gitea_token=SecretStr(token),
            repositories=(REPO, VAULT, OPEN),
            data_dir=tmp_path,
            host="127.0.0.1",
            port=0,
            parser="rules",
            fleet=default_fleet(),
        )

        async def on_ready(running: Running) -> None:
            try:
                await look(running, forge, roof, round_)
            finally:
                await running.tree.stop()

        with trio.fail_after(60):
            assert await serve(settings, on_ready=on_ready) == 0
