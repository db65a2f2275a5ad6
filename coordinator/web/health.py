"""`GET /health`: whether the tree is up and the journal commits, and what is missing or piling up."""

from collections import Counter
from typing import Literal

from quart import Blueprint, Response

from coordinator.edges.journal import JournalHealth
from coordinator.web.ask import MONITOR
from coordinator.web.context import WebContext
from coordinator.web.envelope import API_HEADERS
from coordinator.web.forge import forge_body, forge_modes, sweep_body
from coordinator.web.shapes import HealthBody

__all__ = ["health_blueprint", "report"]

# "stopped" is a child somebody stopped on purpose, or one that was done; "suspended" is on purpose.
_WELL = frozenset({"running", "stopped", "suspended"})


def health_blueprint(context: WebContext) -> Blueprint:
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health")
    async def show_health() -> Response:
        body = report(context)
        status = 200 if body.status == "ok" else 503
        return Response(body.model_dump_json().encode(), status, dict(API_HEADERS))

    return blueprint


def report(context: WebContext) -> HealthBody:
    """The health at this moment, from memory alone: it answers while the disk or an actor hangs."""
    journal, counters, now = context.journal.health(), context.counters, context.now()
    statuses = {} if context.tree is None else context.tree.healthy()
    components = {id_: status for id_, status in statuses.items() if not id_.startswith(MONITOR)}
    agents = Counter(status for id_, status in statuses.items() if id_.startswith(MONITOR))
    accepted_at = journal.last_accepted_at
    forge, sweep = forge_body(context), sweep_body(context)
    return HealthBody(
        status=_status(context, components, journal),
        version=context.version,
        uptime_s=round((now - context.started_at).total_seconds(), 3),
        components=components,
        agents=dict(agents),
        degraded=[*context.degraded(), *forge_modes(forge, sweep)],
        journal_error=journal.error,
        last_delivery_age_s=None if accepted_at is None else (now - accepted_at).total_seconds(),
        queues=_queues(context, journal),
        dead_letters=journal.dead_letters,
        signature_failures=counters.signature_failures,
        rejected=counters.rejected,
        deliveries={
            "accepted": counters.accepted,
            "duplicates": counters.duplicates,
            "ignored": counters.ignored,
            "unavailable": counters.unavailable,
        },
        connections=counters.connections(),
        forge=forge,
        sweep=sweep,
    )


def _queues(context: WebContext, journal: JournalHealth) -> dict[str, int]:
    """What is waiting where; the monitors' mailboxes are added up, there may be a thousand."""
    depths = {} if context.tree is None else context.tree.depths()
    mailboxes = {
        f"mailbox:{id_}": depth for id_, depth in depths.items() if not id_.startswith(MONITOR)
    }
    monitors = sum(depth for id_, depth in depths.items() if id_.startswith(MONITOR))
    waiting = {"journal_writes": journal.queued, "open_orders": journal.open_orders}
    return waiting | mailboxes | {"mailboxes:monitors": monitors}


def _status(
    context: WebContext, components: dict[str, str], journal: JournalHealth
) -> Literal["ok", "starting", "failing"]:
    """One agent's monitor being restarted is no reason to call the whole unwell."""
    if context.tree is None or "starting" in components.values():
        return "starting"
    return "ok" if journal.commits and _WELL.issuperset(components.values()) else "failing"
