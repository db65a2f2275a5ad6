"""The commands that ask a running coordinator, over its own HTTP API."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
from pydantic import ValidationError
from rich.console import Console

from coordinator.cli.show import printable, show_dead_letters, show_issue, show_state
from coordinator.config import client_token, journal_path, local_url
from coordinator.edges.connection_trouble import trouble_of
from coordinator.edges.web_address import web_address
from coordinator.errors import SettingsError
from coordinator.rules.ids import IssueRef
from coordinator.web.shapes import BackupBody, DeadLettersBody, ErrorBody, IssueBody, RefreshBody

__all__ = [
    "COMMANDS",
    "Client",
    "Unanswered",
    "run_backup",
    "run_deadletters",
    "run_explain",
    "run_refresh",
    "run_state",
]

# `/state` answers from memory and an explanation asks one actor; longer means that something hangs.
_TIMEOUT_S = 10.0
# A backup copies the whole file before it answers.
_BACKUP_TIMEOUT_S = 600.0
_PIPE_COLUMNS = 200
# The command does not know how long the coordinator keeps things, so its copy at rest drops nothing.
_KEEP_ALL = timedelta(days=36_500)


class Unanswered(Exception):
    """The coordinator did not answer, or said no; the message is one line for the operator."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Asks one coordinator. `status` of Unanswered is None when nobody was there at all."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def ask(
        self, method: str, path: str, *, sent: object = None, timeout_s: float = _TIMEOUT_S
    ) -> bytes:
        """The body of a 2xx answer to `sent` as JSON; anything else is Unanswered."""
        try:
            answer = httpx.request(
                method,
                self._url + path,
                json=sent,
                headers=self._headers,
                timeout=timeout_s,
                trust_env=False,  # a proxy for the internet has no business between us
            )
        except httpx.ConnectError as problem:
            raise Unanswered(
                f"no coordinator answers at {self._url} ({trouble_of(problem, self._url)}); start one,"
                " or set COORDINATOR_URL"
            ) from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            reason = trouble_of(problem, self._url)
            raise Unanswered(f"{self._url}{path} was not answered: {reason}", status=0) from problem
        if not answer.is_success:
            raise Unanswered(_refusal(answer), status=answer.status_code)
        return answer.content


def _refusal(answer: httpx.Response) -> str:
    try:
        error = ErrorBody.model_validate_json(answer.content).error
    except ValidationError:
        return f"{answer.request.url} answered {answer.status_code}"
    hint = {401: "; set COORDINATOR_API_TOKEN as the coordinator has it"}.get(answer.status_code, "")
    return printable(f"{answer.status_code} {error.code}: {error.message}{hint}")


# commands ---------------------------------------------------------------------------------------


def run_state(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Show the supervision tree, or one actor of it."""
    query = f"?actor={quote(arguments.actor, safe='')}" if arguments.actor else ""
    body = client.ask("GET", f"/state{query}")
    if arguments.json:
        sys.stdout.write(body.decode(errors="replace") + "\n")
    else:
        show_state(body, console, whole=arguments.actor is not None)
    return 0


def run_explain(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Show why an issue is where it is."""
    try:
        ref = IssueRef.parse(arguments.issue)
    except ValueError as problem:
        raise Unanswered(str(problem)) from problem
    body = client.ask("GET", f"/api/v1/issues/{quote(ref.repo)}/{ref.number}")
    if arguments.json:
        sys.stdout.write(body.decode(errors="replace") + "\n")
    else:
        show_issue(IssueBody.model_validate_json(body), console)
    return 0


def run_deadletters(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """List the dead letters, or have one tried again."""
    if arguments.action == "replay":
        if arguments.id is None:
            raise Unanswered(
                "deadletters replay needs the number of the letter: deadletters shows them"
            )
        client.ask("POST", f"/api/v1/deadletters/{arguments.id}/replay", sent={})
        console.print(f"dead letter {arguments.id} will be tried again")
        return 0
    body = client.ask("GET", "/api/v1/deadletters")
    show_dead_letters(DeadLettersBody.model_validate_json(body).dead_letters, console)
    return 0


def run_refresh(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Have missed webhooks looked for now; what was found shows in /health."""
    asked = {} if arguments.repo is None else {"repository": arguments.repo}
    body = RefreshBody.model_validate_json(client.ask("POST", "/api/v1/refresh", sent=asked))
    many = "1 repository" if body.repositories == 1 else f"{body.repositories} repositories"
    console.print(f"looking at {many} now")
    return 0


def run_backup(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Have the running coordinator copy its journal; with none running, copy the file here."""
    target = None if arguments.to is None else Path(arguments.to)
    if target is not None and target.exists():
        raise Unanswered(f"{target} exists, expected a new file: a backup never overwrites")
    try:
        body = client.ask("POST", "/api/v1/backup", sent={}, timeout_s=_BACKUP_TIMEOUT_S)
    except Unanswered as problem:
        if problem.status is not None or not _is_here(arguments.url, os.environ):
            raise
        made = _copy_at_rest(journal_path(os.environ), target, problem)
        size_bytes = made.stat().st_size
    else:
        answer = BackupBody.model_validate_json(body)
        made, size_bytes = _collect(Path(answer.path), target), answer.size_bytes
    console.print(f"{made} ({size_bytes:,} bytes)", soft_wrap=True)
    return 0


def _collect(made: Path, target: Path | None) -> Path:
    """Move the copy the coordinator made to where it was asked for."""
    if target is None:
        return made
    if not os.access(made, os.R_OK):
        raise Unanswered(
            f"the copy is at {made} on the coordinator's machine; --to cannot reach it here"
        )
    try:
        shutil.move(made, target)
    except OSError as problem:
        raise Unanswered(
            f"{target} cannot be written ({problem.strerror}); the copy was made at {made}"
        ) from problem
    return target


def _copy_at_rest(journal: Path, target: Path | None, unanswered: Unanswered) -> Path:
    """Copy the journal of a coordinator that is not running, by opening it the way that one would."""
    if not journal.exists():
        raise Unanswered(
            f"{unanswered}; and there is no journal at {journal}: set DATA_DIR"
        ) from unanswered
    if target is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")  # noqa: TID251 - the command line is a shell
        target = journal.parent / "backups" / f"journal-{stamp}.sqlite3"
        try:
            target.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as problem:
            raise Unanswered(f"{target.parent} cannot be made ({problem.strerror})") from problem
    import trio

    trio.run(_copy, journal, target, restrict_keyboard_interrupt_to_checkpoints=True)
    return target


async def _copy(path: Path, target: Path) -> None:
    from coordinator.edges.journal_sqlite import SqliteJournal
    from coordinator.runtime import open_tree, supervisor, task

    journal = SqliteJournal(path, retention=_KEEP_ALL)
    async with open_tree(supervisor("root", task(journal.serve, id="journal"))) as tree:
        await journal.backup(target)
        await tree.stop()


# dispatch ---------------------------------------------------------------------------------------

Command = Callable[[Client, argparse.Namespace, Console], int]


def _asking(command: Command) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        try:
            client = Client(_url(arguments.url, os.environ), client_token(os.environ))
            return command(client, arguments, _console())
        except Unanswered as problem:
            line = str(problem)
        except ValidationError:
            line = "the answer has a shape this version does not know; are both sides the same version?"
        sys.stderr.write(f"mosaic-coordinator: {line}\n")
        return 1

    return run


def _console() -> Console:
    """As wide as the terminal; where there is none, wide enough for one line per actor, so that the
    output can be searched."""
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    return Console(markup=False, highlight=False, width=width)


def _url(given: str | None, environ: Mapping[str, str]) -> str:
    if given is None:
        return local_url(environ)
    try:
        return web_address("--url", given)
    except SettingsError as problem:
        raise Unanswered(str(problem)) from problem


def _is_here(given: str | None, environ: Mapping[str, str]) -> bool:
    """Whether the coordinator that was asked is this machine's, so that the journal here is its own."""
    if given is None and not environ.get("COORDINATOR_URL", "").strip():
        return True
    name = urlsplit(_url(given, environ)).hostname or ""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "state": _asking(run_state),
    "explain": _asking(run_explain),
    "deadletters": _asking(run_deadletters),
    "refresh": _asking(run_refresh),
    "backup": _asking(run_backup),
}
