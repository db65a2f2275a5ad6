"""`python -m coordinator.demo.forge`: the forge on its own, to try a coordinator against by hand."""

import argparse
import signal
import sys

import trio

from coordinator.demo.forge.allow_list import EVERYTHING
from coordinator.demo.forge.dialect import DIALECTS
from coordinator.demo.forge.forge import Forge, open_forge
from coordinator.demo.forge.model import Access

__all__ = ["furnish", "main"]

_REPO = "acme/widgets"
_BOT = "coordinator-bot"


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m coordinator.demo.forge", description=__doc__)
    parser.add_argument("--product", choices=sorted(DIALECTS), default="gitea")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--hook", metavar="URL", help="send deliveries there")
    parser.add_argument("--secret", default="", help="and sign them with this")
    parser.add_argument(
        "--allowed-host-list",
        metavar="LIST",
        default=EVERYTHING,
        help="as ALLOWED_HOST_LIST in app.ini, whose default is external (here: %(default)s)",
    )
    trio.run(_serve, parser.parse_args(arguments))


def furnish(forge: Forge) -> str:
    """One repository with an issue, and people in it; gives the bot's token."""
    people: dict[str, Access] = {_BOT: "admin", "maria": "write", "coder-bot": "write", "rita": "read"}
    repo = forge.repository(_REPO, collaborators=people)
    forge.open(repo, "Rows are lost", "The importer drops every tenth row.")
    return forge.token(_BOT)


async def _serve(options: argparse.Namespace) -> None:
    place = open_forge(
        options.product,
        host=options.host,
        port=options.port,
        allowed_hosts=options.allowed_host_list,
    )
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as stops:
        async with place as forge:
            token = furnish(forge)
            if options.hook:
                forge.hook(None, options.hook, options.secret)
            sys.stdout.write(f"{forge.url}/api/v1/repos/{_REPO}/issues\ntoken of {_BOT}: {token}\n")
            sys.stdout.flush()
            await anext(stops)


if __name__ == "__main__":
    main()
