"""The command line: what may be said, and how a failed start becomes one line.

Heavy imports wait until a command needs them: the health check of a container runs twice a minute.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from coordinator import __version__
from coordinator.config import VARIABLES
from coordinator.errors import (
    JournalCorrupt,
    JournalInUse,
    JournalTooNew,
    JournalUnavailable,
    SettingsError,
)

__all__ = ["complaint", "main"]

PROGRAM = "mosaic-coordinator"
EXIT_UNUSABLE = 2  # a setting or the journal: starting again as it is cannot help
EXIT_INTERRUPTED = 130  # what shells report after Ctrl-C

_USABLE_WORDS = (SettingsError, JournalCorrupt, JournalInUse, JournalTooNew, JournalUnavailable)

DESCRIPTION = """\
Coordinates AI coding agents from the issues of a Gitea or Forgejo.

A forge sends a webhook when an issue is assigned to a bot account. The coordinator reads the issue,
waits for what blocks it, gives it to the cheapest agent that can do it, and keeps that agent's
context window from running full.
"""

NO_SETTINGS = (
    "no settings found, so this is the demo: a story told to a server of its own, nothing of yours."
    " GITEA_URL, GITEA_WEBHOOK_SECRET and ANTHROPIC_API_KEY make it the real thing."
)

EXAMPLES = """\
to look around, no settings needed:
  mosaic-coordinator demo
  mosaic-coordinator demo --keep          leave it running and look at the URLs it prints

for real (all settings: README.md, .env.example, coordinator.example.toml):
  export GITEA_URL=https://forge.example.org GITEA_WEBHOOK_SECRET=... ANTHROPIC_API_KEY=...
  mosaic-coordinator serve

into the forge, and whether all is well (both need GITEA_TOKEN):
  mosaic-coordinator hook install --repo acme/widgets
  mosaic-coordinator doctor               every finding comes with its remedy

ask a running one:
  mosaic-coordinator state                the supervision tree
  mosaic-coordinator state --actor router
  mosaic-coordinator explain acme/widgets#12
  mosaic-coordinator deadletters          messages that crashed their actor twice
  mosaic-coordinator deadletters replay 7
  mosaic-coordinator refresh              look for missed webhooks now
  mosaic-coordinator backup --to copy.sqlite3

exit codes: 0 done, 1 the coordinator said no or did not answer, 2 a setting or the journal is unusable
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code. A failed start is one line on stderr."""
    arguments = _arguments().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except BaseException as problem:
        if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(problem)):
            return EXIT_INTERRUPTED
        line = complaint(problem)
        if line is None:
            raise
        sys.stderr.write(f"{PROGRAM}: {line}\n")
        return EXIT_UNUSABLE


def complaint(problem: BaseException) -> str | None:
    """The one line an operator needs, found among the error's causes; None when it is no error of
    theirs and deserves its traceback."""
    for cause in _causes(problem):
        if isinstance(cause, _USABLE_WORDS):
            return " ".join(str(cause).split())
    return None


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """The error, the members of groups and everything it was raised from, outermost first."""
    waiting: list[BaseException | None] = [problem]
    seen: set[int] = set()
    while waiting:
        error = waiting.pop(0)
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        waiting += [error.__cause__, None if error.__suppress_context__ else error.__context__]


# commands ---------------------------------------------------------------------------------------


def _serve(_arguments: argparse.Namespace) -> int:
    import trio

    from coordinator.app import serve
    from coordinator.config import load_settings
    from coordinator.log import configure_log

    settings = load_settings(os.environ)
    configure_log(
        level=settings.log_level, log_format=settings.log_format, secrets=settings.secret_values()
    )
    return trio.run(serve, settings)


def _demo(arguments: argparse.Namespace) -> int:
    from coordinator.demo.run import run_demo

    return run_demo(fast=arguments.fast, keep=arguments.keep, port=arguments.port)


def _start(arguments: argparse.Namespace) -> int:
    """Serve with any setting that names a forge, a secret or a fleet; without one, show the demo."""
    from coordinator.config import host_and_port, is_configured
    from coordinator.demo.run import run_demo

    if is_configured(os.environ):
        return _serve(arguments)
    host, port = host_and_port(os.environ)
    sys.stderr.write(f"{PROGRAM}: {NO_SETTINGS}\n")
    return run_demo(keep=True, host=host, port=port, unattended=True)


def _client(name: str) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        from coordinator.cli import client

        return client.COMMANDS[name](arguments)

    return run


def _health(arguments: argparse.Namespace) -> int:
    from coordinator.cli.health import check_health

    return check_health(arguments.url, os.environ)


def _hook(arguments: argparse.Namespace) -> int:
    from coordinator.cli.hook import run

    return run(arguments)


def _doctor(arguments: argparse.Namespace) -> int:
    from coordinator.cli.doctor import run

    return run(arguments)


# arguments --------------------------------------------------------------------------------------


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_running(commands)
    _add_installing(commands)
    _add_asking(commands)
    return parser


def _add_running(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The commands that are a coordinator themselves."""
    serve = commands.add_parser(
        "serve",
        help="run the coordinator; settings come from the environment",
        description="Runs until SIGTERM or Ctrl-C; a second signal hurries, a third forces.",
        epilog=_variables(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.set_defaults(run=_serve)

    start = commands.add_parser(
        "start",
        help="what the image runs: `serve` if there are settings, else the demo",
        description="For a first look at the image. With a half-set environment it is `serve`, which"
        " says what is missing; only without any setting it plays the demo and stays.",
    )
    start.set_defaults(run=_start)

    demo = commands.add_parser("demo", help="play a small story against a real server, about a minute")
    demo.add_argument("--fast", action="store_true", help="compress the clock: a few seconds, for CI")
    demo.add_argument("--keep", action="store_true", help="leave the server running until Ctrl-C")
    demo.add_argument("--port", type=_port, default=0, help="port to listen on (default: a free one)")
    demo.set_defaults(run=_demo)


HOOK_EXAMPLES = """\
examples:
  mosaic-coordinator hook install --repo acme/widgets
  mosaic-coordinator hook install --org acme --url https://coordinator.example.org
  mosaic-coordinator hook status --repo acme/widgets
  mosaic-coordinator hook rotate --repo acme/widgets      with GITEA_WEBHOOK_SECRET=NEW,OLD
  mosaic-coordinator hook remove --all --dry-run

The token needs write:repository for --repo, write:organization for --org, write:admin for --all.
exit codes: 0 done, 1 refused, or no webhook works, 2 a setting is unusable
"""

DOCTOR_EXAMPLES = """\
examples:
  mosaic-coordinator doctor
  mosaic-coordinator doctor --repo acme/widgets --prove
  mosaic-coordinator doctor --json | jq '.findings[] | select(.level == "problem")'

--json: {"version", "is_well", "counts": {"ok", "warning", "problem", "skipped"}, "findings": [
  {"check", "level", "what", "seen", "expected", "remedy"}]}; texts, "" where there is nothing to say
exit codes: 0 no problem, 1 a problem
"""


def _add_installing(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The commands that look at the forge."""
    hook = commands.add_parser(
        "hook",
        help="install, show, rotate or remove the webhook in the forge",
        description="Installs the webhook, or mends it; shows it; gives it the new secret, with both\n"
        "valid in between; removes it. Other webhooks are left alone.",
        epilog=HOOK_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hook.add_argument("action", choices=["install", "status", "rotate", "remove"])
    place = hook.add_mutually_exclusive_group(required=True)
    place.add_argument("--repo", metavar="OWNER/REPO", help="the webhook of a repository")
    place.add_argument("--org", metavar="ORG", help="of an organisation, for all its repositories")
    place.add_argument("--all", action="store_true", help="of the whole forge")
    hook.add_argument("--url", help="where the forge is to post (default: from COORDINATOR_PUBLIC_URL)")
    hook.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    hook.set_defaults(run=_hook)

    doctor = commands.add_parser(
        "doctor",
        help="check settings, forge, webhooks and Claude; every finding has a remedy",
        description="Checks everything between the forge and the agents, from this machine.",
        epilog=DOCTOR_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument(
        "--repo", metavar="OWNER/REPO", action="append", default=[], help="look at this one; repeatable"
    )
    doctor.add_argument(
        "--prove",
        action="store_true",
        help="have the forge send a real delivery also where it sends no test: an issue gets a label it"
        " has already, or our own comment a mark that no reader sees",
    )
    doctor.add_argument("--url", help="where the forge posts (default: from COORDINATOR_PUBLIC_URL)")
    doctor.add_argument("--json", action="store_true", help="the findings as one JSON object")
    doctor.set_defaults(run=_doctor)


def _add_asking(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The commands that ask a running one."""
    state = _asking(commands, "state", "the supervision tree of a running coordinator")
    state.add_argument("--actor", metavar="ID", help="one actor only, with its state")
    state.add_argument("--json", action="store_true", help="the dump as it came")

    explain = _asking(commands, "explain", "why an issue is where it is")
    explain.add_argument("issue", metavar="OWNER/REPO#N")
    explain.add_argument("--json", action="store_true", help="the answer as it came")

    letters = _asking(commands, "deadletters", "messages that crashed their actor twice")
    letters.add_argument("action", nargs="?", choices=["list", "replay"], default="list")
    letters.add_argument("id", nargs="?", type=int, help="which one to replay")

    refresh = _asking(commands, "refresh", "look for missed webhooks now")
    refresh.add_argument("--repo", metavar="OWNER/REPO", help="one repository (default: all watched)")

    backup = _asking(commands, "backup", "a consistent copy of the journal, also while it runs")
    backup.add_argument(
        "--to", metavar="FILE", help="the copy; must not exist (default: named by the time)"
    )

    health = _asking(commands, "health", "exit 0 when the coordinator is healthy, else 1")
    health.set_defaults(run=_health)


def _variables() -> str:
    """The environment variables as a list for the help."""
    shown = [f"  {known.name:<24}{known.meaning}{_default(known.default)}" for known in VARIABLES]
    files = "Each secret may come from a file: append _FILE to its name and give the path."
    return "\n".join(["environment variables:", *shown, "", files])


def _default(value: str) -> str:
    return f" (default: {value})" if value else ""


def _asking(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    """A command that asks a running coordinator."""
    command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    command.add_argument("--url", help="where it runs (default: COORDINATOR_URL, or HOST and PORT)")
    command.set_defaults(run=_client(name))
    return command


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: expected 0 to 65535")
    return int(text)
