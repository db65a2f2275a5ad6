"""`serve` under cProfile, from the moment it is up: `python -m bench.profiled FILE`.

The main thread and the journal's are profiled, each on its own processor clock, so that waiting for
the disk, for a client or for the interpreter lock costs nothing here. Writes FILE.<thread> for each.
"""

import cProfile
import os
import signal
import sys
import threading
import time
from pathlib import Path

import trio

from coordinator.app import Running, serve
from coordinator.config import load_settings
from coordinator.log import configure_log

__all__ = ["main"]


class _Profiles:
    """One profile per thread, started by the thread itself at its first call."""

    def __init__(self) -> None:
        self.by_thread: dict[str, cProfile.Profile] = {}

    def watch_new_threads(self) -> None:
        threading.setprofile(lambda *_: self.start_here())

    def watches(self, thread: str) -> bool:
        """Trio's pool threads sleep in a lock that another thread's clock would be charged for."""
        return not thread.startswith("Trio")

    def start_here(self) -> None:
        name = threading.current_thread().name
        if not self.watches(name):
            sys.setprofile(None)
            return
        profile = self.by_thread[name] = cProfile.Profile(time.thread_time)
        profile.enable()

    def write(self, path: str) -> None:
        for name, profile in self.by_thread.items():
            if name == threading.current_thread().name:
                profile.disable()
            profile.dump_stats(f"{path}.{name.replace(' ', '-')}")


def main(path: str) -> int:
    """Serve until SIGTERM; the load's part of the life is what the main thread's profile holds."""
    settings = load_settings(os.environ)
    configure_log(level=settings.log_level, log_format="json", secrets=settings.secret_values())
    profiles = _Profiles()
    profiles.watch_new_threads()

    async def up(_running: Running) -> None:
        profiles.start_here()

    async def run() -> int:
        return await serve(settings, on_ready=up)

    code = trio.run(run)
    profiles.write(path)
    return code


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(str(Path(sys.argv[1]))))
