"""`mosaic-coordinator doctor`: what it finds, at real servers, and how it tells it."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from coordinator import __version__
from coordinator.cli import main
from coordinator.cli.doctor import CHECKS, document, examine
from coordinator.cli.doctor_here import file_system_of, is_remote
from coordinator.cli.doctor_patient import Check, Patient, Wishes
from coordinator.cli.doctor_proof import check_delivery
from coordinator.cli.findings import (
    Finding,
    Tell,
    judge_address,
    judge_clock,
    judge_disk,
    judge_echo,
    judge_forge,
    judge_hooks,
    judge_people,
    of_error,
    ok,
    problem,
    shown,
)
from coordinator.cli.findings_running import judge_coordinator
from coordinator.cli.hook_plan import plan_hooks
from coordinator.cli.ping import Echo, ForgeSeen, Health, Report, Sweep
from coordinator.cli.receiver import allowance
from coordinator.config import load_settings
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteComment, RemoteHook
from coordinator.edges.gitea_rest_wire import info_of
from coordinator.edges.journal_open import open_connection
from coordinator.rules.comment import MARKER
from coordinator.rules.ids import Login
from tests.fakes.claude_api import error, open_claude_api
from tests.fakes.coordinators import SECRET, environment, open_coordinator
from tests.fakes.forge import REPO, VirtualClock, furnish, open_forge
from tests.fakes.forge import Forge as FakeForge

GIB = 2**30
URL = "https://coordinator.example.org/webhook/gitea"
FAMILY = ("issues", "issue_assign", "issue_label", "issue_milestone", "issue_comment")
DIALECTS = pytest.mark.parametrize("product", ["gitea", "forgejo"])
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("GITEA_", "COORDINATOR_", "ANTHROPIC_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class Findings(list[Finding]):
    """What was found, to be asked by check and level."""

    def of(self, check: str, level: str | None = None) -> str:
        """The findings of a check as one text."""
        return "\n".join(
            " | ".join((each.what, each.seen, each.expected, each.remedy))
            for each in self
            if each.check == check and level in (None, each.level)
        )

    @property
    def problems(self) -> list[str]:
        return [each.check for each in self if each.level == "problem"]


async def find(environ: dict[str, str], *names: str, **wishes: Any) -> Findings:
    """The findings of all checks, or of those named; each that is not well has a remedy."""
    found = Findings()
    checks = tuple(check for check in CHECKS if not names or check.name in names)
    await examine(environ, Wishes(**wishes), found.append, checks)
    assert all(each.remedy for each in found if each.level in ("warning", "problem"))
    return found


@asynccontextmanager
async def open_place(
    product: Any, path: Path, *scopes: str, **forge: Any
) -> AsyncIterator[tuple[FakeForge, dict[str, str]]]:
    """A forge, a coordinator and the environment that belongs to both."""
    async with open_forge(product, **forge) as fake, open_coordinator(path) as running:
        furnish(fake)
        yield (
            fake,
            environment(
                path,
                GITEA_URL=fake.url,
                GITEA_TOKEN=fake.token("coordinator-bot", *scopes),
                GITEA_REPOSITORIES=REPO,
                COORDINATOR_URL=running.url,
                COORDINATOR_PUBLIC_URL=running.url,
            ),
        )


def receiver(environ: dict[str, str]) -> str:
    return f"{environ['COORDINATOR_URL']}/webhook/gitea"


async def proving(forge: Forge, environ: dict[str, str]) -> Patient:
    """Ready for the proof by an edit: a webhook of a higher level serves the repository."""
    here = environ["COORDINATOR_URL"]
    return Patient(
        load_settings(environ),
        environ,
        Wishes(prove=True, proof_s=0.1),
        receiver(environ),
        here,
        forge,
        info=await forge.info(),
        account=await forge.whoami(),
        hooks={REPO: None},
    )


# all of it --------------------------------------------------------------------------------------


@DIALECTS
async def test_a_sound_installation_has_no_problem(product: str, tmp_path: Path) -> None:
    """With the webhook in place every check is done, none finds a problem, and with --prove a delivery
    of the forge arrives."""
    async with open_place(product, tmp_path) as (fake, environ):
        fake.hook(REPO, receiver(environ), SECRET)
        issue = fake.open(REPO, "Rows are lost", labels=["bug"])
        await fake.wait_quiet()
        touched_at = issue.updated_at
        found = await find(environ, prove=True)
        assert found.problems == []
        assert {each.check for each in found} == {check.name for check in CHECKS}
        assert "skipped" not in {each.level for each in found}
        assert f"gave {REPO}#1 its label 'bug' once more: the delivery arrived" in found.of("delivery")
        assert "the forge posts there" in found.of("address", "ok")
        assert issue.updated_at == touched_at
        assert len(issue.label_ids) == 1
        assert SECRET not in document(found)
        assert environ["GITEA_TOKEN"] not in document(found)


async def test_a_test_delivery_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    """Forgejo 15 sends a test to any webhook: no --prove is needed."""
    async with open_place("forgejo", tmp_path) as (fake, environ):
        fake.hook(REPO, receiver(environ), SECRET)
        found = await find(environ)
        assert "asked acme/widgets for a test delivery: the delivery arrived" in found.of("delivery")


async def test_without_a_test_delivery_prove_is_offered(tmp_path: Path) -> None:
    """Gitea 1.27.0 sends none to such a webhook: the check is left out, and says what would do it; an
    address that must be allowed is a warning then."""
    async with open_place("gitea", tmp_path) as (fake, environ):
        fake.hook(REPO, receiver(environ), SECRET)
        found = await find(environ)
        told = found.of("delivery", "skipped")
        assert "this forge sends no test delivery to such a webhook, so the secret there is not" in told
        assert "give any issue of acme/widgets a label, then mosaic-coordinator doctor --prove" in told
        assert "ALLOWED_HOST_LIST = external,loopback" in found.of("address", "warning")
        proven = await find(environ, prove=True)
        assert "a label, then mosaic-coordinator" in proven.of("delivery", "skipped")
        fake.open(REPO, "Rows are lost", labels=["bug"])
        told = (await find(environ)).of("delivery", "skipped")
        assert "doctor --prove --repo acme/widgets: gives acme/widgets#1 its label 'bug'" in told


async def test_a_proof_falls_back_to_a_test_delivery(tmp_path: Path) -> None:
    """--prove never shows less than without: where no issue has a label, a test delivery must do."""
    async with open_place("forgejo", tmp_path) as (fake, environ):
        fake.hook(REPO, receiver(environ), SECRET)
        fake.open(REPO, "Rows are lost")
        await fake.wait_quiet()
        found = await find(environ, prove=True)
        assert "asked acme/widgets for a test delivery: the delivery arrived" in found.of("delivery")


async def test_our_own_comment_proves_it_where_nothing_else_does(tmp_path: Path) -> None:
    """A mark that no reader sees comes to our comment and goes with the next proof; other people's
    comments are left alone."""
    async with open_place("gitea", tmp_path) as (fake, environ):
        issue = fake.open(REPO, "Rows are lost")
        strange = fake.comment(issue, f"{MARKER}\nmine!", by="maria")
        ours = fake.comment(issue, f"{MARKER}\n**Ready**\n", by="coordinator-bot")
        fake.hook(REPO, receiver(environ), SECRET)
        told = (await find(environ)).of("delivery", "skipped")
        assert "changes a mark that no reader sees in our comment on acme/widgets#1" in told
        bodies = []
        for _ in range(2):
            found = await find(environ, prove=True)
            assert "acme/widgets#1: the delivery arrived" in found.of("delivery", "ok")
            bodies.append(ours.body)
        mark = "<!-- mosaic-coordinator:proof -->"
        assert bodies == [f"{MARKER}\n**Ready**\n{mark}", f"{MARKER}\n**Ready**\n"]
        assert strange.body == f"{MARKER}\nmine!"


async def test_a_coordinator_that_writes_beside_the_proof_is_told_of(tmp_path: Path) -> None:
    """What it writes while its comment is being marked stays, and the doctor says so."""
    async with open_place("gitea", tmp_path) as (fake, environ):
        issue = fake.open(REPO, "Rows are lost")
        ours = fake.comment(issue, f"{MARKER}\n**Ready**\n", by="coordinator-bot")

        class Beside(Forge):
            async def edit_comment(self, *given: Any, **options: Any) -> RemoteComment:
                edited = await super().edit_comment(*given, **options)
                fake.actions.edit_comment(ours, f"{MARKER}\n**Working**\n", by="coordinator-bot")
                return edited

        async with Beside(fake.url, environ["GITEA_TOKEN"], trust_env=False) as forge:
            patient = await proving(forge, environ)
            found = Findings()
            await check_delivery(patient, found.append)
        assert "acme/widgets#1 was written to while" in found.of("delivery", "warning")
        assert ours.body == f"{MARKER}\n**Working**\n"


async def test_a_comment_of_nobody_is_not_ours(tmp_path: Path) -> None:
    """Where our own account is not known, the comment of a deleted one is left as it is."""
    async with open_place("gitea", tmp_path) as (fake, environ):
        issue = fake.open(REPO, "Rows are lost")
        strange = fake.comment(issue, f"{MARKER}\nmine!", by="maria")

        class Ghosts(Forge):
            async def comments(self, *given: Any, **options: Any) -> tuple[RemoteComment, ...]:
                found = await super().comments(*given, **options)
                return tuple(replace(each, author=Login("")) for each in found)

        async with Ghosts(fake.url, environ["GITEA_TOKEN"], trust_env=False) as forge:
            patient = replace(await proving(forge, environ), account=None)
            found = Findings()
            await check_delivery(patient, found.append)
        assert "give any issue of acme/widgets a label" in found.of("delivery", "skipped")
        assert strange.body == f"{MARKER}\nmine!"


async def test_a_forge_that_may_not_post_here(tmp_path: Path) -> None:
    """Where ALLOWED_HOST_LIST was never touched nothing arrives, and the lines to add are told."""
    async with open_place("forgejo", tmp_path, allowed_hosts="external") as (fake, environ):
        fake.hook(REPO, receiver(environ), SECRET)
        found = await find(environ, proof_s=0.3)
        assert found.problems == ["delivery"]
        assert "mostly ALLOWED_HOST_LIST" in found.of("delivery")
        assert "ALLOWED_HOST_LIST = external,loopback" in found.of("address", "warning")


@DIALECTS
async def test_a_delivery_that_does_not_arrive_is_a_problem(product: str, tmp_path: Path) -> None:
    """Lost on the way, or signed with another secret: each has its own remedy."""
    async with open_place(product, tmp_path) as (fake, environ):
        made = fake.hook(REPO, receiver(environ), "another")
        fake.open(REPO, "Rows are lost", labels=["bug"])
        await fake.wait_quiet()
        found = await find(environ, prove=True)
        assert found.problems == ["delivery"]
        assert "hook remove --repo acme/widgets, then hook install" in found.of("delivery")
        made.secret = SECRET
        fake.postman.faults.next("lose")
        found = await find(environ, prove=True, proof_s=0.2)
        assert found.problems == ["delivery"]
        assert "ALLOWED_HOST_LIST, a proxy" in found.of("delivery")


# settings ---------------------------------------------------------------------------------------


async def test_unusable_settings_end_it_in_one_problem(tmp_path: Path) -> None:
    """The settings' own line is taken apart into what was seen, what was expected and the remedy."""
    found = await find(environment(tmp_path, PORT="many"))
    assert found[0] == Finding(
        "settings",
        "problem",
        "PORT is 'many'",
        expected="a whole number from 0 to 65535",
        remedy="unset it for 8000",
    )
    assert [each.level for each in found] == ["problem", "skipped"]
    assert (await find(environment(tmp_path), url="ftp://x")).problems == ["settings"]
    odd = environment(tmp_path, GITEA_URL="http://u:pw@forge.example", GITEA_TOKEN="t" * 40)
    assert (await find(odd)).problems == ["settings"]


async def test_without_a_token_the_forge_is_left_out(tmp_path: Path) -> None:
    """What cannot be looked at is skipped with the reason; what is unwise is a warning."""
    environ = environment(tmp_path, GITEA_WEBHOOK_SECRET="short,other", COORDINATOR_URL=NOWHERE)
    found = await find(environ)
    assert found.problems == ["coordinator"]
    told = found.of("settings", "warning")
    for words in ("GITEA_WEBHOOK_SECRET of 5 characters", "a rotation is under way", "no GITEA_TOKEN",
                  "COORDINATOR_PUBLIC_URL is not set"):  # fmt: skip
        assert words in told
    for check in CHECKS:
        if check.at_forge or check.name == "forge":
            assert "there is no GITEA_TOKEN" in found.of(check.name, "skipped")
    assert "our own address is not known" in found.of("address", "skipped")
    assert "no coordinator at" in found.of("secret", "skipped")


async def test_a_port_of_its_own_choice_is_not_known(tmp_path: Path) -> None:
    """With PORT=0 only COORDINATOR_URL tells where the coordinator is."""
    found = await find(environment(tmp_path), "coordinator", "secret")
    assert "set COORDINATOR_URL" in found.of("coordinator", "skipped")
    assert found.of("secret") == ""


# journal, disk ----------------------------------------------------------------------------------


async def test_the_journal_is_looked_at_and_left_alone(tmp_path: Path) -> None:
    """Missing, sound, in use and damaged files are told apart; none is written to."""
    environ = environment(tmp_path)
    look = partial(find, environ, "journal")
    assert "is not there yet" in (await look()).of("journal", "ok")
    path = tmp_path / "data" / "journal.sqlite3"
    with closing(open_connection(path)):
        assert "is open in a running coordinator" in (await look()).of("journal", "ok")
        log = path.with_name("journal.sqlite3-wal")
        size_kib = (path.stat().st_size + log.stat().st_size) / 1024
        assert log.stat().st_size > 0
        assert f"({size_kib:,.0f} KiB)" in (await look()).of("journal", "ok")
    assert "is sound" in (await look()).of("journal", "ok")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "schema 99, this version knows up to" in (await look()).of("journal", "problem")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 7")
    assert "another program's database" in (await look()).of("journal", "problem")
    path.write_bytes(b"no database" * 1000)
    assert "is not a sound journal" in (await look()).of("journal", "problem")
    assert path.read_bytes() == b"no database" * 1000


MOUNTS = (
    "/dev/sda1 / ext4 rw 0 0\nbox:/x /mnt/far\\040away nfs4 rw 0 0\ntmpfs /mnt tmpfs rw 0 0\nbroken\n"
)


@pytest.mark.parametrize(
    ("folder", "kind", "remote"),
    [
        ("/srv/data", "ext4", False),
        ("/mnt/data", "tmpfs", False),
        ("/mnt/far away/data", "nfs4", True),
        ("/mnt/far awayer", "tmpfs", False),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str, remote: bool) -> None:
    """The longest mount point that holds it counts, by whole names."""
    assert file_system_of(folder, MOUNTS) == kind
    assert is_remote(kind) is remote


def test_a_folder_of_no_known_file_system() -> None:
    """Where the system tells nothing, nothing is known, and nothing is held against it."""
    assert file_system_of("/data", "") == ""
    assert not is_remote("")


@pytest.mark.parametrize(
    ("free", "level"), [(50 * 2**20, "problem"), (GIB // 2, "warning"), (2 * GIB, "ok")]
)
def test_room_on_the_disk(free: int, level: str) -> None:
    """Below 100 MiB is a problem, below 1 GiB a warning."""
    assert judge_disk(free, 10 * GIB, "/data").level == level


# the coordinator --------------------------------------------------------------------------------


def test_a_coordinator_that_is_unwell() -> None:
    """The components that fail, another version, degraded modes and dead letters each have a word."""
    report = Report(
        status="failing",
        version="9.9.9",
        components={"router": "restarting", "web": "running"},
        degraded=["no-api-token", "parser-rules", "new-mode"],
        journal_error="disk full",
        dead_letters=2,
    )
    found = list(judge_coordinator("http://here", Health(503, report), __version__))
    assert [each.level for each in found] == ["problem", *["warning"] * 4]
    assert found[0].seen == "router restarting, disk full"
    told = " ".join(f"{each.what} {each.seen} {each.remedy}" for each in found)
    for words in ("9.9.9 runs", "set COORDINATOR_API_TOKEN", "new-mode", "2 messages crashed"):
        assert words in told
    assert "parser-rules" not in told


@pytest.mark.parametrize(
    ("mode", "seen", "remedy"),
    [
        ("forge-unreachable", "GET /version: 502", "GITEA_URL, a proxy or a firewall differs"),
        ("reads-failing", "", "`mosaic-coordinator state --actor router` names the repositories"),
        (
            "sweep-failing",
            "GET /user/repos: 401",
            "`mosaic-coordinator state --actor sweeper` says why",
        ),
    ],
)
def test_a_coordinator_that_cannot_see_its_forge_is_a_problem(
    mode: str, seen: str, remedy: str
) -> None:
    """Healthy as it is, it does not do what it is there for; each case says what to do."""
    report = Report(
        status="ok",
        version=__version__,
        degraded=[mode],
        forge=ForgeSeen(last_error="GET /version: 502"),
        sweep=Sweep(problem="GET /user/repos: 401"),
    )
    well, found = judge_coordinator("http://here", Health(200, report), __version__)
    assert (well.level, found.level, found.seen) == ("ok", "problem", seen)
    assert remedy in found.remedy


def test_what_a_sweep_cannot_see_is_told() -> None:
    """Repositories that fail and texts that are too long are counted, with a remedy each."""
    seen = Sweep(failing=2, too_long=1)
    report = Report(status="ok", version=__version__, sweep=seen)
    _, failing, long = judge_coordinator("http://here", Health(200, report), __version__)
    assert (failing.level, long.level) == ("warning", "warning")
    assert "2 repositories cannot be searched" in failing.what
    assert "1 issue or comment was too long" in long.what
    assert all("state --actor sweeper" in each.remedy for each in (failing, long))
    one = Report(status="ok", version=__version__, sweep=Sweep(failing=1, too_long=2))
    _, failing, long = judge_coordinator("http://here", Health(200, one), __version__)
    assert "1 repository cannot" in failing.what
    assert "2 issues or comments were too long" in long.what


async def test_a_stranger_at_the_coordinators_address(tmp_path: Path) -> None:
    """Another server's answer is no report, and its webhook no coordinator's."""
    async with open_forge("gitea") as fake:
        found = await find(environment(tmp_path, COORDINATOR_URL=fake.url), "coordinator", "secret")
    assert found.problems == ["coordinator", "secret"]
    assert "not as a coordinator does" in found.of("coordinator")


async def test_a_running_coordinator_with_another_secret(tmp_path: Path) -> None:
    """What is signed with our secret must be accepted by the one that runs."""
    async with open_coordinator(tmp_path, GITEA_WEBHOOK_SECRET="the-one-before-it") as running:
        environ = environment(tmp_path, COORDINATOR_URL=running.url)
        found = await find(environ, "secret")
        assert found.problems == ["secret"]
        assert "restart the coordinator with the present" in found.of("secret")


def test_a_public_address_may_be_out_of_reach_from_here() -> None:
    """Only the forge must reach it: silence is a warning there, and a problem nearby."""
    silent = Echo(URL, None, trouble="timeout")
    assert judge_echo(silent, is_public=True).level == "warning"
    assert judge_echo(silent, is_public=False).level == "problem"
    moved = judge_echo(Echo(URL, 301), is_public=True)
    assert (moved.level, "without a redirect" in moved.remedy) == ("problem", True)


# Claude -----------------------------------------------------------------------------------------


async def test_claude_is_asked_for_its_model(tmp_path: Path) -> None:
    """Key and model are tried free of charge; refusals and silence are told apart."""
    async with open_claude_api() as api:
        environ = environment(
            tmp_path, PARSER="claude", ANTHROPIC_API_KEY="key", ANTHROPIC_BASE_URL=api.url
        )
        found = await find(environ, "claude")
        assert "claude-sonnet-5-5 has a window of 1,000,000 tokens" in found.of("claude", "ok")
        unknown = await find(environ | {"PARSER_MODEL": "claude-none"}, "claude")
        assert "404" in unknown.of("claude", "problem")
        api.script(error(401, "authentication_error"), endpoint="models")
        assert "mend ANTHROPIC_API_KEY" in (await find(environ, "claude")).of("claude", "problem")
        busy = error(529, "overloaded_error", headers={"retry-after-ms": "1"})
        api.script(*[busy] * 4, endpoint="models")
        assert "does not answer" in (await find(environ, "claude")).of("claude", "warning")
        assert api.asked("messages") == []


# the forge --------------------------------------------------------------------------------------


async def test_a_forge_that_is_away(tmp_path: Path) -> None:
    """One problem with its remedy, and the rest is skipped."""
    async with open_place("gitea", tmp_path) as (fake, environ):
        fake.go_away()
        found = await find(environ)
        assert found.problems == ["forge"]
        assert "GITEA_URL" in found.of("forge")
        assert "the forge does not answer" in found.of("webhooks", "skipped")


@DIALECTS
async def test_a_token_that_is_not_accepted(product: str, tmp_path: Path) -> None:
    """401 ends the questions to the forge."""
    async with open_place(product, tmp_path) as (_, environ):
        found = await find(environ | {"GITEA_TOKEN": "f" * 40})
        assert found.problems == ["token"]
        assert "make a new token" in found.of("token")
        assert "the token is not accepted" in found.of("scopes", "skipped")


@DIALECTS
@pytest.mark.parametrize(
    ("scopes", "problems", "words"),
    [
        (("read:issue", "read:repository", "read:user"), ["scopes"], "write:issue"),
        (("write:issue", "read:user"), ["repositories"], "read:repository"),
    ],
)
async def test_a_missing_scope_is_named(
    product: str, scopes: tuple[str, ...], problems: list[str], words: str, tmp_path: Path
) -> None:
    """Each scope is tried without changing anything, and the one that lacks is named."""
    async with open_place(product, tmp_path, *scopes) as (fake, environ):
        fake.hook(REPO, receiver(environ), SECRET)
        found = await find(environ, "forge", "token", "repositories", "scopes")
        assert found.problems == problems
        assert f"the token lacks the scope {words}" in found.of(problems[0])
        assert len(fake.data.hooks) == 1


@DIALECTS
async def test_a_token_limited_to_what_is_public(product: str, tmp_path: Path) -> None:
    """A private repository is out of its sight, and the remedy is another token, not another right."""
    async with open_place(product, tmp_path, "all", "public-only") as (_, environ):
        found = await find(environ, "forge", "token", "repositories")
        assert found.problems == ["repositories"]
        told = found.of("repositories")
        assert "token scope is limited to public repos" in told
        assert "make a token that is not limited to public repositories" in told


@DIALECTS
async def test_the_scope_to_ask_for_the_account_is_no_must(product: str, tmp_path: Path) -> None:
    """Without read:user all works, with a few reads more."""
    async with open_place(product, tmp_path, "write:issue", "read:repository") as (_, environ):
        found = await find(environ, "forge", "token", "repositories", "scopes")
        assert found.problems == []
        assert "lacks the scope read:user" in found.of("token", "warning")
        assert "the token has read:issue, read:repository, write:issue" in found.of("scopes", "ok")


async def test_an_account_that_may_do_nothing_is_a_problem(tmp_path: Path) -> None:
    """A refusal that no scope explains is no matter of a few reads."""
    async with open_place("gitea", tmp_path) as (fake, environ):
        fake.misbehave("status", route="GET /user", status=403, times=None)
        assert "token" in (await find(environ, "forge", "token")).problems


async def test_the_scope_to_install_is_no_must(tmp_path: Path) -> None:
    """Without write:repository all works but `hook install`."""
    async with open_place("gitea", tmp_path, "write:issue", "read:repository", "read:user") as (_, env):
        found = await find(env, "forge", "token", "repositories", "scopes")
        assert found.problems == []
        assert "`hook install` needs" in found.of("scopes", "warning")
        assert "read:issue, read:repository, read:user, write:issue" in found.of("scopes", "ok")


async def test_clocks_that_differ(tmp_path: Path) -> None:
    """A forge whose clock is a minute behind is a warning."""
    behind = VirtualClock(datetime.now(UTC) - timedelta(seconds=60))  # noqa: TID251
    async with open_place("gitea", tmp_path, clock=behind) as (_, environ):
        told = (await find(environ, "forge", "clock")).of("clock", "warning")
        assert "s ahead of the forge" in told


@pytest.mark.parametrize(
    ("ahead_s", "level", "words"),
    [
        (None, "warning", "does not tell"),
        (0.4, "ok", "within 1 s"),
        (-30.0, "ok", "within 30 s"),
        (-31.0, "warning", "31 s behind"),
        (2_592_000.0, "warning", "30 days ahead of the forge"),
    ],
)
def test_how_far_clocks_may_differ(ahead_s: float | None, level: str, words: str) -> None:
    """Half a minute either way; a forge that does not tell its time is worth a word."""
    found = judge_clock(ahead_s)
    assert (found.level, words in found.what) == (level, True)


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("1.27.0", "ok"),
        ("1.19.4", "warning"),
        ("15.0.3+gitea-1.22.0", "ok"),
        ("6.0.1+gitea-1.21.0", "warning"),
    ],
)
def test_versions_that_were_read(version: str, level: str) -> None:
    """Older forges than those this was written for may work: a warning."""
    assert judge_forge("http://forge", info_of(version, None)).level == level


# repositories and people ------------------------------------------------------------------------


async def test_repositories_that_cannot_be_served(tmp_path: Path) -> None:
    """Unknown, archived, without issues, read-only: each by name with its remedy; without native
    dependencies is fine."""
    async with open_place("gitea", tmp_path) as (fake, environ):
        bot = {"coordinator-bot": "read"}
        fake.repository("acme/locked", collaborators=bot)  # type: ignore[arg-type]
        fake.repository("acme/old").archived = True
        fake.repository("acme/old").collaborators.update(fake.repository(REPO).collaborators)
        fake.repository("acme/mute", collaborators=bot).has_issues = False  # type: ignore[arg-type]
        fake.repository(REPO).dependencies_enabled = False
        names = ("acme/none", "acme/old", "acme/mute", "acme/locked", REPO)
        found = await find(environ, "forge", "token", "repositories", repos=names)
        told = found.of("repositories", "problem")
        for words in ("acme/none", "acme/mute has no issues", "may not write to acme/locked"):
            assert words in told
        assert "acme/old is archived" in found.of("repositories", "warning")
        assert "without native dependencies" in found.of("repositories", "ok")


@DIALECTS
async def test_which_repositories_are_looked_at(product: str, tmp_path: Path) -> None:
    """Those heard of, all the account may write to, or those named; no more than a person reads."""
    async with open_place(product, tmp_path) as (fake, environ):
        look = ("forge", "token", "repositories")
        heard = environ | {"GITEA_REPOSITORIES": ""}
        assert "none is watched yet" in (await find(heard, *look)).of("repositories", "warning")
        fake.hook(REPO, receiver(environ), SECRET)
        fake.open(REPO, "Rows are lost", assignees=["coder-bot"])
        await fake.wait_quiet()
        told = ""
        while "can be read" not in told:  # the coordinator takes a moment to know the issue
            told = (await find(heard, *look)).of("repositories", "ok")
        everything = environ | {"GITEA_REPOSITORIES": "all"}
        assert REPO in (await find(everything, *look)).of("repositories", "ok")
        for number in range(21):
            fake.repository(f"acme/r{number}", collaborators={"coordinator-bot": "write"})
        found = await find(everything, *look)
        assert (
            len([each for each in found if each.check == "repositories" and each.level == "ok"]) == 20
        )
        assert "those beyond 20" in found.of("repositories", "skipped")
        named = await find(environ, *look, repos=tuple(f"acme/r{number}" for number in range(21)))
        assert "1 more" in named.of("repositories", "skipped")
        nobody = everything | {"GITEA_TOKEN": fake.token("stranger")}
        assert "may write to none" in (await find(nobody, *look)).of("repositories", "problem")


async def test_a_coordinator_that_has_heard_of_nothing(tmp_path: Path) -> None:
    """Before the first delivery nothing is watched: what needs a repository is left out, and that is no
    problem."""
    async with open_place("gitea", tmp_path) as (_, environ):
        found = await find(environ | {"GITEA_REPOSITORIES": ""})
        assert found.problems == []
        left_out = {each.check for each in found if each.level == "skipped"}
        assert left_out == {"scopes", "webhooks", "commands", "delivery"}


def test_who_can_be_assigned() -> None:
    """All is well, some is a warning, none is a problem."""
    wanted = ("coder-bot", "sonnet")
    assert judge_people(REPO, wanted, wanted).level == "ok"
    assert judge_people(REPO, wanted, ("sonnet",)).what == f"{REPO}: coder-bot cannot be assigned"
    assert judge_people(REPO, wanted, ()).level == "problem"


@DIALECTS
async def test_commands_are_judged_one_way_or_the_other(product: str, tmp_path: Path) -> None:
    """Where only administrators are told what people may do, the list of assignable people serves."""
    async with open_place(product, tmp_path) as (fake, environ):
        look = ("forge", "token", "repositories", "commands", "bots")
        assert "tells what people may do" in (await find(environ, *look)).of("commands", "ok")
        writer = environ | {"GITEA_TOKEN": fake.token("maria")}
        found = await find(writer, *look)
        assert "assignable people is used instead" in found.of("commands", "ok")
        own = await find(environ | {"GITEA_TOKEN": fake.token("coder-bot")}, *look)
        assert "coder-bot is also assigned to by people" in own.of("token", "warning")
        assert "no account but our own" in own.of("commands", "skipped")


# webhooks ---------------------------------------------------------------------------------------


def hook(number: int = 1, **changed: Any) -> RemoteHook:
    parts: dict[str, Any] = {"url": URL, "active": True, "events": FAMILY, "content_type": "json"}
    return RemoteHook(number, **(parts | changed))


@pytest.mark.parametrize(
    ("here", "near", "hidden", "is_heard", "level", "words"),
    [
        ([hook()], [], [], False, "ok", "hook 1 of repository acme/widgets is active"),
        ([hook(1), hook(2)], [], [], False, "warning", "more than once"),
        ([hook(active=False)], [], [], False, "problem", "hook 1: it is inactive"),
        ([], [hook(url="https://old/webhook/gitea")], [], False, "problem", "posts to https://old/"),
        ([], [], [("all", "")], True, "warning", "it has sent deliveries"),
        ([], [], [("all", "")], True, "warning", "else `mosaic-coordinator hook install --repo acme/w"),
        ([], [], [("all", "")], False, "problem", "hook install --repo acme/widgets"),
        ([], [], [("repo", REPO)], False, "problem", "give the token write:repository"),
    ],
)
def test_what_serves_a_repository(
    here: Any, near: Any, hidden: Any, is_heard: bool, level: str, words: str
) -> None:
    """Right, double, wrong, elsewhere, or out of sight: each has its word and remedy."""
    plans: Any = [] if ("repo", REPO) in hidden else [(("repo", REPO), plan_hooks(here, URL))]
    found = judge_hooks(REPO, plans, near, hidden, is_heard=is_heard)
    assert found.level == level
    assert words in f"{found.what} {found.seen} {found.remedy}"


@DIALECTS
async def test_webhooks_of_any_level_serve(product: str, tmp_path: Path) -> None:
    """The repository's, its organisation's and the whole forge's are looked at, as far as the token
    may."""
    async with open_place(product, tmp_path) as (fake, environ):
        look = ("forge", "token", "repositories", "webhooks")
        assert "no webhook" in (await find(environ, *look)).of("webhooks", "problem")
        account = fake.data.account("coordinator-bot")
        assert account is not None
        account.is_admin = True
        whole = fake.hook(None, receiver(environ), SECRET)
        assert f"hook {whole.id} of the whole forge" in (await find(environ, *look)).of(
            "webhooks", "ok"
        )
        fake.hook(REPO, receiver(environ), SECRET)
        assert "more than once" in (await find(environ, *look)).of("webhooks", "warning")
        reader = environ | {"GITEA_TOKEN": fake.token("maria")}
        assert "may not be read with this token" in (await find(reader, *look)).of(
            "webhooks", "problem"
        )
        lost = {name: value for name, value in environ.items() if name != "COORDINATOR_PUBLIC_URL"}
        assert "address is not known" in (await find(lost, *look)).of("webhooks", "skipped")


@DIALECTS
async def test_a_webhook_out_of_sight_can_be_proven_too(product: str, tmp_path: Path) -> None:
    """Of the whole forge's webhook only its deliveries are seen; the finding names the command and the
    issue, and with it the secret is proven."""
    async with open_place(product, tmp_path) as (fake, environ):
        fake.hook(None, receiver(environ), SECRET)
        fake.open(REPO, "Rows are lost", assignees=["coder-bot"], labels=["bug"])
        await fake.wait_quiet()
        told = ""
        while "it has sent deliveries" not in told:  # the coordinator takes a moment to know the issue
            found = await find(environ)
            told = found.of("webhooks", "warning")
        remedy = "mosaic-coordinator doctor --prove --repo acme/widgets: gives acme/widgets#1 its label"
        assert remedy in found.of("delivery", "skipped")
        proven = await find(environ, prove=True)
        assert "acme/widgets#1 its label 'bug' once more: the del" in proven.of("delivery", "ok")
        assert proven.problems == []


async def test_a_proof_needs_somebody_who_counts(tmp_path: Path) -> None:
    """Without a coordinator to watch, nothing is asked of the forge."""
    async with open_place("forgejo", tmp_path) as (fake, environ):
        fake.hook(REPO, receiver(environ), SECRET)
        found = await find(environ | {"COORDINATOR_URL": NOWHERE})
        assert "does not answer" in found.of("delivery", "skipped")
        del environ["COORDINATOR_URL"]
        assert "where the coordinator runs" in (await find(environ)).of("delivery", "skipped")
        assert fake.deliveries == []


@pytest.mark.parametrize(
    ("address", "has_arrived", "level", "words"),
    [
        ("10.0.0.5", False, "warning", "ALLOWED_HOST_LIST = external,10.0.0.5/32"),
        ("10.0.0.5", True, "ok", "the forge posts there"),
        ("100.64.0.1", False, "warning", "from Gitea 1.26.3 on"),
        ("8.8.8.8", False, "ok", "unless forbidden"),
        ("", False, "warning", "has no address"),
    ],
)
def test_the_address_the_forge_is_to_post_to(
    address: str, has_arrived: bool, level: str, words: str
) -> None:
    """What needs an entry is a warning until a delivery has shown that it is there."""
    needs = allowance([address], info_of("1.26.0", None)) if address else None
    found = judge_address("box", needs, has_arrived=has_arrived)
    assert found.level == level
    assert words in f"{found.what} {found.remedy}"


# the frame --------------------------------------------------------------------------------------


async def test_a_check_that_breaks_is_a_finding(tmp_path: Path) -> None:
    """A crash and a hang each become a problem, without secrets, and the next check is done."""

    async def crash(_patient: Patient, _tell: Tell) -> None:
        raise RuntimeError(f"no such thing as {SECRET}")

    async def hang(_patient: Patient, tell: Tell) -> None:
        tell(ok("hang", "as far as it came"))
        await trio.sleep_forever()

    async def last(_patient: Patient, tell: Tell) -> None:
        tell(ok("last", "done"))

    found = Findings()
    checks = (Check("crash", crash, 5), Check("hang", hang, 0.01), Check("last", last, 5))
    await examine(environment(tmp_path), Wishes(), found.append, checks)
    assert found.of("crash", "problem").startswith(
        "the check itself failed | RuntimeError: no such thing as [secret]"
    )
    assert "not done within 0.01 s" in found.of("hang", "problem")
    assert "as far as it came" in found.of("hang", "ok")
    assert found.of("last", "ok")


def test_an_error_without_words_has_its_name() -> None:
    """A finding is never empty."""
    assert of_error("x", ValueError()).what == "ValueError"


def test_findings_read_as_columns() -> None:
    """Long texts are wrapped below themselves, lines to be copied stay whole."""
    found = problem("address", "word " * 30, remedy="do:\n    [webhook]\nthen restart")
    lines = shown(found).splitlines()
    assert lines[0].startswith("problem  address       word word")
    assert lines[1].startswith(" " * 23 + "word")
    assert lines[-3:] == [
        "         remedy        do:",
        " " * 27 + "[webhook]",
        " " * 23 + "then restart",
    ]
    assert shown(replace(found, what="short", remedy="")) == "problem  address       short"


async def test_the_command_line_tells_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text has a line per finding and a summary; --json has the same as documented; the exit code says
    whether there is a problem."""
    for name, value in environment(tmp_path, COORDINATOR_URL=NOWHERE).items():
        monkeypatch.setenv(name, value)
    ask = partial(trio.to_thread.run_sync, main)
    assert await ask(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "problem  coordinator   http://127.0.0.1:1 does not answer" in text
    assert ", 1 problem, " in text.splitlines()[-1]
    assert await ask(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"version", "is_well", "counts", "findings"}
    assert report["version"] == __version__
    assert report["is_well"] is False
    assert report["counts"]["problem"] == 1
    assert set(report["findings"][0]) == {"check", "level", "what", "seen", "expected", "remedy"}
    async with open_coordinator(tmp_path) as running:
        monkeypatch.setenv("COORDINATOR_URL", running.url)
        assert await ask(["doctor"]) == 0


def test_ctrl_c_is_silent(tmp_path: Path) -> None:
    """Somebody who stops waiting gets the shell's exit code and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asking = subprocess.Popen(
            [sys.executable, "-m", "coordinator", "doctor"],
            env=os.environ | environment(tmp_path, COORDINATOR_URL=url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(10)
            asking.send_signal(signal.SIGINT)
            told, errors = asking.communicate(timeout=60)
    assert (asking.returncode, errors) == (130, "")
    assert told.startswith("ok       settings")


def test_ctrl_c_waits_until_the_program_waits(tmp_path: Path) -> None:
    """Whatever step it strikes in is done to its end, so that nothing half-done is left to complain."""
    script = """
        import signal, sys
        from coordinator.cli import main

        class Struck:
            def write(self, text):
                signal.raise_signal(signal.SIGINT)
                sys.__stdout__.write(text)

            def flush(self):
                sys.__stdout__.flush()

        sys.stdout = Struck()
        sys.exit(main(["doctor"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | environment(tmp_path) | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout.startswith("ok       settings")
