"""A real coordinator that writes to issues at once: `python -m tests.convergence.brisk_coordinator`.

All else is as shipped. What a life of seconds would never come to write, this one writes in tenths.
"""

import os
import sys

import trio

from coordinator.app import serve
from coordinator.config import load_settings
from coordinator.log import configure_log
from coordinator.rules.write_queue import WritingPace

__all__ = ["PACE", "main"]

PACE = WritingPace(debounce_s=0.1, interval_s=0.2, max_interval_s=2.0, suspect_s=3.5)


async def main() -> int:
    """Serve with the settings of the environment."""
    return await serve(load_settings(os.environ), writing_pace=PACE)


if __name__ == "__main__":
    configure_log(log_format="json")
    sys.exit(trio.run(main))
