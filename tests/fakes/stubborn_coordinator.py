"""A real coordinator whose agents cannot be stopped: `python -m tests.fakes.stubborn_coordinator`.

Its driver waits in a shielded scope, so that no cancellation reaches it: what is left then is force.
"""

import os
import sys

import structlog
import trio

from coordinator.app import serve
from coordinator.config import load_settings
from coordinator.edges.drivers import Report
from coordinator.edges.journal import StoredOrder
from coordinator.log import configure_log
from coordinator.rules.fleet import AgentSpec

__all__ = ["StubbornDriver", "main"]


class StubbornDriver:
    """Never comes back from a poll, whatever is asked of it."""

    def __init__(self, spec: AgentSpec) -> None:
        self._name = spec.name

    async def carry_out(self, order: StoredOrder) -> None:
        """Nothing is ever ordered here."""

    async def poll(self) -> tuple[Report, ...]:
        structlog.get_logger().info("stubborn", agent=self._name)
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()
        return ()


async def main() -> int:
    """Serve with the settings of the environment until forced."""
    return await serve(load_settings(os.environ), make_driver=StubbornDriver)


if __name__ == "__main__":
    configure_log(log_format="json")
    sys.exit(trio.run(main))
