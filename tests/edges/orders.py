"""Stored orders for the tests of the drivers."""

from coordinator.edges.journal import StoredOrder
from coordinator.rules.ids import AgentName, IssueRef, RunId
from coordinator.rules.orders import CancelRun, CompactContext, Order, RotateSession, StartRun
from tests.rules.runs import EPOCH

AGENT = AgentName("sonnet-1")


def run(number: int = 1) -> RunId:
    return RunId(IssueRef("acme/tool", number), 1)


def stored(order_id: int, order: Order) -> StoredOrder:
    return StoredOrder(order_id, f"agent:{AGENT}", order, EPOCH, None)


def start(order_id: int, number: int = 1, estimate: int = 20_000) -> StoredOrder:
    return stored(order_id, StartRun(run(number), AGENT, "t", "u", "s", estimate))


def compact(order_id: int, number: int = 1) -> StoredOrder:
    return stored(order_id, CompactContext(run(number), AGENT, 1, 1))


def rotate(order_id: int, number: int = 1, to_session: int = 2) -> StoredOrder:
    order = RotateSession(run(number), AGENT, to_session - 1, to_session, "full", "the facts")
    return stored(order_id, order)


def cancel(order_id: int, number: int = 1) -> StoredOrder:
    return stored(order_id, CancelRun(run(number), AGENT, "closed"))
