"""`mosaic-coordinator doctor`: all the checks in turn, each bounded, none able to end the rest."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

import trio

from coordinator import __version__
from coordinator.cli.doctor_forge import (
    check_bots,
    check_clock,
    check_commands,
    check_forge,
    check_repositories,
    check_scopes,
    check_token,
    check_webhooks,
)
from coordinator.cli.doctor_here import (
    check_claude,
    check_coordinator,
    check_disk,
    check_journal,
    check_secret,
    check_settings,
)
from coordinator.cli.doctor_patient import Check, Patient, Wishes
from coordinator.cli.doctor_proof import check_address, check_delivery
from coordinator.cli.findings import Finding, Tell, of_error, problem, shown, skipped, summary
from coordinator.cli.hook import local_url_or_none, receiver_of
from coordinator.config import Settings, load_settings
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.errors import SettingsError, VendorError
from coordinator.rules.metadata import one_line

__all__ = ["CHECKS", "document", "examine", "run"]

CHECKS: tuple[Check, ...] = (
    Check("settings", check_settings, 5),
    Check("journal", check_journal, 10),
    Check("disk", check_disk, 5),
    Check("coordinator", check_coordinator, 10),
    Check("claude", check_claude, 20),
    Check("forge", check_forge, 20),
    Check("clock", check_clock, 15, at_forge=True),
    Check("token", check_token, 15, at_forge=True),
    Check("repositories", check_repositories, 45, at_forge=True),
    Check("scopes", check_scopes, 30, at_forge=True),
    Check("bots", check_bots, 45, at_forge=True),
    Check("webhooks", check_webhooks, 60, at_forge=True),
    Check("commands", check_commands, 20, at_forge=True),
    Check("secret", check_secret, 15),
    Check("delivery", check_delivery, 45, at_forge=True),
    Check("address", check_address, 10),
)
# One more attempt rides out a hiccup; a person waits for each.
_PACE = RetryPace(attempts=2, min_s=0.5, max_s=1.0)
_REQUEST_TIMEOUT_S = 6.0
_TOTAL_TIMEOUT_S = 12.0
_MAX_CHARS = 300


async def examine(
    environ: Mapping[str, str], wishes: Wishes, tell: Tell, checks: tuple[Check, ...] = CHECKS
) -> None:
    """Runs all the checks over the settings of `environ` and tells each finding as it is made."""
    try:
        settings = load_settings(environ)
        receiver = receiver_of(wishes.url, settings)
        forge = _forge(settings)
    except SettingsError as unusable:
        tell(_of_settings(unusable))
        tell(skipped("settings", "everything else, until this is mended"))
        return
    async with AsyncExitStack() as stack:
        if forge is not None:
            await stack.enter_async_context(forge)
        here = local_url_or_none(environ)
        patient = Patient(settings, environ, wishes, receiver, here, forge)
        patient.obstacle = "there is no GITEA_TOKEN" if forge is None else ""
        for check in checks:
            await _carry_out(check, patient, tell)


def _forge(settings: Settings) -> Forge | None:
    if settings.gitea_token is None:
        return None
    return Forge(
        settings.gitea_url,
        settings.gitea_token.get_secret_value(),
        pace=_PACE,
        request_timeout_s=_REQUEST_TIMEOUT_S,
        total_timeout_s=_TOTAL_TIMEOUT_S,
    )


async def _carry_out(check: Check, patient: Patient, tell: Tell) -> None:
    """One check; whatever ends it is a finding."""
    if patient.obstacle and (check.at_forge or check.run is check_forge):
        tell(skipped(check.name, patient.obstacle))
        return
    try:
        with trio.fail_after(check.deadline_s):
            await check.run(patient, tell)
    except trio.TooSlowError:
        remedy = "try again; if it stays, look at what answers so slowly"
        tell(problem(check.name, f"not done within {check.deadline_s:g} s", remedy=remedy))
    except VendorError as error:
        tell(of_error(check.name, error))
    except Exception as error:  # noqa: BLE001 - the barrier: a check that breaks is a finding, too
        seen = _without_secrets(f"{type(error).__name__}: {error}", patient.settings)
        tell(problem(check.name, "the check itself failed", seen=seen, remedy="report this line"))


def _without_secrets(text: str, settings: Settings) -> str:
    for secret in settings.secret_values():
        text = text.replace(secret, "[secret]")
    return one_line(text, _MAX_CHARS)


def _of_settings(error: SettingsError) -> Finding:
    """Its one line, in the parts it is made of: "NAME seen, expected what; remedy"."""
    said, _, remedy = str(error).partition("; ")
    seen, _, expected = said.partition(", expected ")
    return problem("settings", one_line(seen, _MAX_CHARS), expected=expected, remedy=remedy)


# the command line -------------------------------------------------------------------------------


def run(arguments: argparse.Namespace) -> int:
    """`doctor` as the command line said it; 0 without a problem, else 1."""
    wishes = Wishes(tuple(arguments.repo), arguments.url, arguments.prove)
    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not arguments.json:
            sys.stdout.write(shown(finding) + "\n")
            sys.stdout.flush()  # a line as soon as it is known: later checks take their time

    # Ctrl-C between the making of a coroutine and its awaiting would leave a complaint on the terminal.
    trio.run(examine, os.environ, wishes, tell, restrict_keyboard_interrupt_to_checkpoints=True)
    counts = summary(findings)
    if arguments.json:
        sys.stdout.write(document(findings) + "\n")
    else:
        words = (f"{number} {level}" for level, number in counts.items() if number)
        sys.stdout.write(f"\n{', '.join(words)}\n")
    return 1 if counts["problem"] else 0


def document(findings: list[Finding]) -> str:
    """The findings as the one JSON object `--json` prints."""
    counts = summary(findings)
    return json.dumps(
        {
            "version": __version__,
            "is_well": not counts["problem"],
            "counts": counts,
            "findings": [
                {name: getattr(finding, name) for name in Finding.__slots__} for finding in findings
            ],
        },
        indent=2,
    )
