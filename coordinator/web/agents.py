"""`/api/v1/agents`: the agent protocol. Any agent, on any host, reports its context usage, receives
orders by long poll and acknowledges them."""

from collections.abc import Iterable
from datetime import UTC, datetime

import structlog
import trio
from quart import Blueprint, Response

from coordinator.actors.messages import AckOrder, DescribeAgent, ReportUsage
from coordinator.edges.journal import StoredOrder
from coordinator.rules.context import ContextUsage
from coordinator.rules.ids import AgentName, RunId
from coordinator.rules.views import AgentView
from coordinator.web.ask import MONITOR, ask, find, running_tree
from coordinator.web.asked import AckBody, HistoryQuery, PollQuery, UsageReport
from coordinator.web.context import WebContext
from coordinator.web.envelope import Refused
from coordinator.web.shapes import (
    AckedBody,
    AgentBody,
    AgentsBody,
    OrderBody,
    OrdersBody,
    RecordedBody,
    SampleBody,
    SamplesBody,
    plain,
)
from coordinator.web.views import read_json, read_query, shaped

__all__ = ["agents_blueprint", "is_long_poll"]

_log = structlog.get_logger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_ORDER_ID = 2**63 - 1
# A monitor answers in a millisecond; ten of them may hang before the list is cut short.
_EACH_TIMEOUT_S = 1.0
_LIST_TIMEOUT_S = 10.0


def agents_blueprint(context: WebContext) -> Blueprint:
    blueprint = Blueprint("agents", __name__, url_prefix="/api/v1/agents")

    @blueprint.get("")
    async def list_agents() -> Response:
        monitors = sorted(id_ for id_ in running_tree(context).healthy() if id_.startswith(MONITOR))
        found = await _describe(context, monitors)
        names = {monitor.removeprefix(MONITOR) for monitor in monitors}
        unreachable = sorted(names - {view.agent for view in found})
        agents = [AgentBody.model_validate(view) for view in found]
        return shaped(AgentsBody, {"agents": agents, "unreachable": unreachable})

    @blueprint.get("/<name>")
    async def show_agent(name: str) -> Response:
        view = await ask(context, MONITOR + name, DescribeAgent())
        return shaped(AgentBody, view)

    @blueprint.get("/<name>/usage")
    async def show_usage(name: str) -> Response:
        query = read_query(HistoryQuery)
        find(context, MONITOR + name)
        samples = await context.journal.samples(AgentName(name), query.since or _EPOCH, query.limit)
        shown = [SampleBody.model_validate(sample) for sample in samples]
        return shaped(SamplesBody, {"samples": shown})

    @blueprint.post("/<name>/usage")
    async def report_usage(name: str) -> Response:
        message = _usage_message(context, name, await read_json(UsageReport))
        recorded = await ask(context, MONITOR + name, message)
        return shaped(RecordedBody, recorded)

    @blueprint.get("/<name>/orders")
    async def show_orders(name: str) -> Response:
        query = read_query(PollQuery)
        find(context, MONITOR + name)
        orders = await _wait_for_orders(context, f"agent:{name}", query)
        return shaped(OrdersBody, {"orders": [_order_body(order) for order in orders]})

    @blueprint.post("/<name>/orders/<order_id>")
    async def answer_order(name: str, order_id: str) -> Response:
        message = _ack_message(name, order_id, await read_json(AckBody))
        acked = await ask(context, MONITOR + name, message)
        _log.info("order acknowledged", agent=name, order=message.order_id, outcome=message.status)
        return shaped(AckedBody, acked)

    return blueprint


def is_long_poll(method: str, path: str) -> bool:
    """Whether the request waits for something, so that its client's leaving should end it."""
    return method == "GET" and path.startswith("/api/v1/agents/") and path.endswith("/orders")


async def _describe(context: WebContext, monitors: Iterable[str]) -> list[AgentView]:
    """What the monitors know that answer in time; those that hang cost the others nothing for long."""
    found: list[AgentView] = []
    with trio.move_on_after(_LIST_TIMEOUT_S):
        for monitor in monitors:
            try:
                found.append(await ask(context, monitor, DescribeAgent(), timeout_s=_EACH_TIMEOUT_S))
            except Refused:
                continue  # the caller sees who is missing
    return found


async def _wait_for_orders(
    context: WebContext, target: str, query: PollQuery
) -> tuple[StoredOrder, ...]:
    """Open orders above `after`; a StartRun stays open while its run goes on, so an agent that lost
    its memory asks with 0 and finds its work again."""

    def wanted() -> tuple[StoredOrder, ...]:
        return tuple(each for each in context.journal.open_orders(target) if each.id > query.after)

    with trio.move_on_after(query.wait_s) as poll, context.polling(poll):
        while not wanted():
            await context.journal.wait_orders(target, query.after)
    return wanted()


def _usage_message(context: WebContext, name: str, report: UsageReport) -> ReportUsage:
    try:
        run = None if report.run is None else RunId.parse(report.run)
    except ValueError as error:
        raise Refused(422, "invalid_request", str(error), field="run") from None
    usage = ContextUsage(
        input_tokens=report.input_tokens,
        cache_read_tokens=report.cache_read_tokens,
        cache_creation_tokens=report.cache_creation_tokens,
        output_tokens=report.output_tokens,
        window_tokens=report.window_tokens,
        sampled_at=context.now(),
    )
    return ReportUsage(
        agent=AgentName(name),
        run=run,
        session=report.session,
        usage=usage,
        at_turn_boundary=report.at_turn_boundary,
    )


def _ack_message(name: str, order_id: str, body: AckBody) -> AckOrder:
    if not (order_id.isascii() and order_id.isdigit() and len(order_id) < 20):
        raise Refused(404, "not_found", f"{order_id[:100]!r} is not an order's number")
    return AckOrder(
        agent=AgentName(name),
        order_id=min(int(order_id), _MAX_ORDER_ID),
        status=body.status,
        detail=body.detail,
        handoff=body.handoff,
        after_tokens=body.after_tokens,
    )


def _order_body(stored: StoredOrder) -> OrderBody:
    return OrderBody.model_validate(
        {
            "id": stored.id,
            "type": type(stored.order).__name__,
            "opened_at": stored.opened_at,
            "delivery": stored.delivery,
            "order": plain(stored.order),
        }
    )
