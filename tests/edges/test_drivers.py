"""The seam between a monitor and its agent, as every driver must keep it."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from coordinator.edges.driver_external import ExternalDriver
from coordinator.edges.driver_rehearsal import RehearsalDriver
from coordinator.edges.drivers import Driver, OrderAcked, PollFault, UsageReported
from coordinator.edges.transcript import Transcript
from coordinator.rules.fleet import AgentSpec
from coordinator.rules.ids import Login
from tests.edges.orders import AGENT, cancel, compact, rotate, start
from tests.rules.runs import EPOCH


def drivers(tmp_path: Path) -> list[Driver]:
    spec = AgentSpec(AGENT, Login("bot"))
    return [
        ExternalDriver(),
        ExternalDriver(Transcript(tmp_path / "none.jsonl", model="m")),
        RehearsalDriver(spec, now_s=lambda: 0.0, started_at=EPOCH),
    ]


@pytest.mark.parametrize("which", range(3))
async def test_every_driver_takes_any_order_any_number_of_times(tmp_path: Path, which: int) -> None:
    """Orders come oldest first but may repeat, and may concern runs it never heard of."""
    driver = drivers(tmp_path)[which]
    for order in (cancel(9, 5), rotate(8, 5), start(1), start(1), compact(2), compact(2), rotate(3)):
        await driver.carry_out(order)
    for report in await driver.poll() + await driver.poll():
        assert isinstance(report, UsageReported | OrderAcked | PollFault)


def test_reports_are_values() -> None:
    """Frozen and comparable: they cross from a driver to a monitor."""
    assert PollFault("x") == PollFault("x")
    with pytest.raises(FrozenInstanceError):
        OrderAcked(1, "done").status = "failed"  # type: ignore[misc]
