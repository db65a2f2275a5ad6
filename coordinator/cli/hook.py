"""`mosaic-coordinator hook`: an errand at the forge, from arguments and settings, told step by step."""

import argparse
import os
import sys
import textwrap
from collections.abc import Mapping

import trio

from coordinator.cli.hook_plan import receiver_url
from coordinator.cli.hook_steps import SCOPES, Errand, Refusal, run_hook
from coordinator.config import Settings, load_settings, local_url
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.gitea_remote_wire import HookScope
from coordinator.edges.web_address import web_address
from coordinator.errors import SettingsError

__all__ = ["local_url_or_none", "receiver_of", "run"]

_LABEL_CHARS = 10
_WIDTH = 100
# A person waits: two attempts, then they are told.
_PACE = RetryPace(attempts=2, min_s=0.5, max_s=1.0)
_TOTAL_TIMEOUT_S = 12.0


def run(arguments: argparse.Namespace) -> int:
    """`hook ACTION` as the command line said it."""
    settings = load_settings(os.environ)
    errand = _errand(arguments, settings)
    token = settings.gitea_token
    if token is None:
        raise SettingsError(
            "GITEA_TOKEN is not set, expected an access token of the coordinator's account with the"
            f" scope {SCOPES[errand.scope[0]]}; make one in the forge under Settings, Applications"
        )

    async def at_the_forge() -> int:
        pace, total_s = _PACE, _TOTAL_TIMEOUT_S
        async with Forge(
            settings.gitea_url, token.get_secret_value(), pace=pace, total_timeout_s=total_s
        ) as forge:
            return await run_hook(arguments.action, errand, forge, _print)

    try:
        return trio.run(at_the_forge, restrict_keyboard_interrupt_to_checkpoints=True)
    except Refusal as refusal:
        sys.stderr.write(f"mosaic-coordinator: {refusal}\n")
        return 1


def _errand(arguments: argparse.Namespace, settings: Settings) -> Errand:
    url = receiver_of(arguments.url, settings)
    if url is None:
        raise SettingsError(
            "COORDINATOR_PUBLIC_URL is not set, expected the address at which the forge reaches this"
            " coordinator; set it, or give --url"
        )
    return Errand(
        scope=_scope(arguments),
        url=url,
        secrets=tuple(secret.get_secret_value() for secret in settings.webhook_secrets),
        local_url=local_url_or_none(os.environ),
        is_dry=arguments.dry_run,
    )


def _scope(arguments: argparse.Namespace) -> HookScope:
    # An empty name is no wish for the whole forge, but a variable that was not set.
    if arguments.repo is not None:
        return ("repo", arguments.repo)
    return ("all", "") if arguments.org is None else ("org", arguments.org)


def receiver_of(given: str | None, settings: Settings) -> str | None:
    """Where the forge is to post: what was given, or the public URL with our path; None for neither."""
    base = settings.public_url if given is None else web_address("--url", given)
    return None if base is None else receiver_url(base)


def local_url_or_none(environ: Mapping[str, str]) -> str | None:
    """Where the coordinator of this machine answers; None with PORT=0, a port only it knows."""
    try:
        return local_url(environ)
    except SettingsError:
        return None


def _print(label: str, text: str) -> None:
    indent = " " * _LABEL_CHARS
    if text.startswith(" "):  # lines to be copied stay whole
        sys.stdout.write(f"{indent}  {text}\n")
        return
    lines = textwrap.wrap(text, _WIDTH - _LABEL_CHARS - 2, break_on_hyphens=False) or [""]
    for at, line in enumerate(lines):
        sys.stdout.write(f"{label if at == 0 else '':<{_LABEL_CHARS}}  {line}\n")
    sys.stdout.flush()
