"""The doctor's checks on this side of the wire: settings, journal, disk, coordinator, Claude."""

import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import quote

import trio

from coordinator import __version__
from coordinator.cli.doctor_patient import Patient
from coordinator.cli.findings import (
    Finding,
    Tell,
    judge_disk,
    judge_echo,
    ok,
    problem,
    skipped,
    warning,
)
from coordinator.cli.findings_running import judge_coordinator
from coordinator.cli.ping import NoCoordinator, ping, read_health
from coordinator.config import Settings
from coordinator.edges.journal_migrations import SCHEMA_VERSION, schema_version
from coordinator.edges.journal_open import APPLICATION_ID, translate
from coordinator.errors import JournalInUse, VendorRefused, VendorUnavailable
from coordinator.web.webhook import WEBHOOK_PATH

__all__ = [
    "check_claude",
    "check_coordinator",
    "check_disk",
    "check_journal",
    "check_secret",
    "check_settings",
    "file_system_of",
    "is_remote",
]

# 128 random bits in hex; what is shorter can be guessed offline from one delivery that was seen.
_MIN_SECRET_CHARS = 16
# Some 100 ms; a bigger file is checked at its first page.
_WHOLE_CHECK_BYTES = 32 * 2**20
_BUSY_S = 0.5
# SQLite's write-ahead log needs memory shared by all who have the file open: one kernel.
_REMOTE = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre", "davfs", "fuse.sshfs")


async def check_settings(patient: Patient, tell: Tell) -> None:
    settings, check = patient.settings, "settings"
    agents = settings.fleet.agents
    where = f", fleet from {settings.config_path}" if settings.config_path else ""
    agent_word = "agent" if len(agents) == 1 else "agents"
    tell(ok(check, f"complete{where}: {len(agents)} {agent_word}, logins {', '.join(patient.logins)}"))
    for finding in _unwise(settings):
        tell(finding)
    if patient.receiver is None:
        remedy = "set COORDINATOR_PUBLIC_URL, or give --url"
        what = "it is not known where the forge reaches this coordinator"
        tell(warning(check, what, seen="COORDINATOR_PUBLIC_URL is not set", remedy=remedy))


def _unwise(settings: Settings) -> list[Finding]:
    found = []
    lengths = [len(secret.get_secret_value()) for secret in settings.webhook_secrets]
    if min(lengths) < _MIN_SECRET_CHARS:
        found.append(
            warning(
                "settings",
                "a webhook secret is short",
                seen=f"GITEA_WEBHOOK_SECRET of {min(lengths)} characters",
                expected=f"{_MIN_SECRET_CHARS} or more",
                remedy="openssl rand -hex 24, then `mosaic-coordinator hook rotate`",
            )
        )
    if len(lengths) > 1:
        what = "GITEA_WEBHOOK_SECRET holds more than one secret: a rotation is under way"
        remedy = "`mosaic-coordinator hook rotate`, then take the old secret out"
        found.append(warning("settings", what, remedy=remedy))
    if settings.gitea_token is None:
        remedy = "make a token with write:issue, read:repository, read:user; set GITEA_TOKEN"
        found.append(
            warning("settings", "there is no GITEA_TOKEN: the forge is not asked", remedy=remedy)
        )
    return found


# journal and disk -------------------------------------------------------------------------------


async def check_journal(patient: Patient, tell: Tell) -> None:
    folder = patient.settings.data_dir.absolute()
    try:
        mounts = await trio.Path("/proc/self/mounts").read_text()
    except OSError:  # no Linux
        mounts = ""
    kind = file_system_of(str(folder.resolve()), mounts)
    if is_remote(kind):
        seen, expected = f"{folder} is on {kind}", "a local disk"
        remedy = "set DATA_DIR to a local disk: SQLite's write-ahead log does not work over a network"
        tell(problem("journal", "not on this machine", seen=seen, expected=expected, remedy=remedy))
    look = partial(_look_into, patient.settings.journal_path)
    tell(await trio.to_thread.run_sync(look, abandon_on_cancel=True))


def file_system_of(folder: str, mounts: str) -> str:
    """The kind of file system below an absolute path, as `/proc/self/mounts` has it; "" if unknown."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ").rstrip("/")
        if len(point) >= best and (folder + "/").startswith(point + "/"):
            best, kind = len(point), fields[2]
    return kind


def is_remote(kind: str) -> bool:
    return kind.startswith(_REMOTE)


def _look_into(path: Path) -> Finding:
    """Opens the file for reading alone; a coordinator that runs has it locked, as it should."""
    if not path.exists():
        return ok("journal", f"{path} is not there yet; the coordinator makes it")
    size = f"{_size_bytes(path) / 2**10:,.0f} KiB"
    try:
        with closing(sqlite3.connect(_read_only(path), uri=True, timeout=_BUSY_S)) as connection:
            trouble = _trouble(connection, path)
    except sqlite3.Error as error:
        reason = translate(error, path)
        if isinstance(reason, JournalInUse):
            return ok("journal", f"{path} ({size}) is open in a running coordinator")
        return problem("journal", str(reason), remedy="restore a backup: see the README")
    if trouble:
        remedy = "run the version that wrote it, or move it aside and restore a backup"
        return problem("journal", f"{path} cannot be used", seen=trouble, remedy=remedy)
    return ok("journal", f"{path} ({size}) is sound; no coordinator has it open")


def _size_bytes(path: Path) -> int:
    """The file and its write-ahead log, which holds what was not moved into it yet."""
    log = path.with_name(f"{path.name}-wal")
    try:
        return path.stat().st_size + log.stat().st_size
    except FileNotFoundError:  # no log: nobody has the journal open
        return path.stat().st_size


def _read_only(path: Path) -> str:
    return f"file:{quote(str(path.absolute()))}?mode=ro"


def _trouble(connection: sqlite3.Connection, path: Path) -> str:
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    version = schema_version(connection)
    if version and found != APPLICATION_ID:
        return f"it is another program's database, application id {found:#x}"
    if version > SCHEMA_VERSION:
        return f"schema {version}, this version knows up to {SCHEMA_VERSION}"
    if path.stat().st_size <= _WHOLE_CHECK_BYTES:
        verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        return "" if verdict == "ok" else verdict
    return ""


async def check_disk(patient: Patient, tell: Tell) -> None:
    look = partial(shutil.disk_usage, patient.settings.data_dir)
    usage = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
    tell(judge_disk(usage.free, usage.total, str(patient.settings.data_dir)))


# coordinator ------------------------------------------------------------------------------------


async def check_coordinator(patient: Patient, tell: Tell) -> None:
    if patient.local_url is None:
        remedy = "set COORDINATOR_URL to where it runs"
        tell(skipped("coordinator", "PORT is 0, so its port is not known", remedy=remedy))
        return
    try:
        health = await read_health(patient.local_url)
    except NoCoordinator as nobody:
        remedy = "start it: mosaic-coordinator serve; or set COORDINATOR_URL to where it runs"
        tell(problem("coordinator", str(nobody), remedy=remedy))
        return
    for finding in judge_coordinator(patient.local_url, health, __version__):
        tell(finding)


async def check_secret(patient: Patient, tell: Tell) -> None:
    """Does the running coordinator take what the newest secret signed, here and from outside?"""
    secret = patient.settings.webhook_secrets[0].get_secret_value()
    here = patient.local_url + WEBHOOK_PATH if patient.local_url else None
    for place in dict.fromkeys(filter(None, (here, patient.receiver))):
        echo = await ping(place, secret)
        if place == here and place != patient.receiver and echo.status is None:
            tell(skipped("secret", f"no coordinator at {place}"))
        else:
            tell(judge_echo(echo, is_public=place == patient.receiver))


# Claude -----------------------------------------------------------------------------------------


async def check_claude(patient: Patient, tell: Tell) -> None:
    settings, check = patient.settings, "claude"
    if settings.parser == "rules" or settings.anthropic_api_key is None:
        tell(ok(check, "not used: PARSER=rules reads explicit lines only"))
        return
    from coordinator.edges.claude import ClaudeClient  # takes two seconds: only where it is used

    key, model = settings.anthropic_api_key.get_secret_value(), settings.parser_model
    async with ClaudeClient(key, base_url=settings.anthropic_base_url) as claude:
        try:
            window = await claude.check_model(model)
        except VendorRefused as no:
            remedy = "401, 403: mend ANTHROPIC_API_KEY; 404: mend PARSER_MODEL; or set PARSER=rules"
            tell(
                problem(
                    check, "Claude does not accept the key or the model", seen=str(no), remedy=remedy
                )
            )
        except VendorUnavailable as silent:
            remedy = "try again; until Claude answers, issues are read by rules"
            tell(warning(check, "Claude does not answer", seen=str(silent), remedy=remedy))
        else:
            tell(ok(check, f"the key is accepted; {model} has a window of {window:,} tokens"))
