"""`GET /metrics`: the counts of this process in the Prometheus text format, version 0.0.4.

Labels are the tree's own ids and words of this program, never something a sender wrote
(https://prometheus.io/docs/instrumenting/exposition_formats/, read 2026-11).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Literal

from quart import Blueprint, Response

from coordinator.web.context import WebContext
from coordinator.web.envelope import API_HEADERS
from coordinator.web.forge import counts, number_in, told_by
from coordinator.web.tally import BUCKETS_S, Histogram, label_of

__all__ = ["METRICS_PATH", "exposition", "metrics_blueprint"]

METRICS_PATH = "/metrics"
_HEADERS = API_HEADERS | {"content-type": "text/plain; version=0.0.4; charset=utf-8"}


def metrics_blueprint(context: WebContext) -> Blueprint:
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get(METRICS_PATH)
    async def show_metrics() -> Response:
        return Response(exposition(context).encode(), 200, dict(_HEADERS))

    return blueprint


def exposition(context: WebContext) -> str:
    """All metrics, each with its help and type; from memory alone, like the health."""
    lines = [*_actors(context), *_loop(context), *_deliveries(context), *_forge(context)]
    return "\n".join(lines) + "\n"


def _actors(context: WebContext) -> Iterator[str]:
    actors = sorted(context.tally.actors.items())
    yield from _histograms(
        "actor_handle_seconds",
        "Time in the handler, per message.",
        ((label, counted.handle_s) for label, counted in actors),
    )
    yield from _histograms(
        "actor_wait_seconds",
        "Time a message waited for its handler.",
        ((label, counted.wait_s) for label, counted in actors),
    )
    for field, text in _COUNTS:
        counts = [("actor", label, getattr(counted, field)) for label, counted in actors]
        yield from _metric(f"actor_{field}_total", "counter", text, counts)
    depths = Counter[str]()
    for id_, depth in ({} if context.tree is None else context.tree.depths()).items():
        depths[label_of(id_)] += depth
    told = (("actor", label, depth) for label, depth in sorted(depths.items()))
    yield from _metric("actor_mailbox_depth", "gauge", "Messages queued now.", told)


_COUNTS = (
    ("crashes", "Abnormal ends, and errors while cleaning up."),
    ("restarts", "Lives after the first."),
    ("dead_letters", "Messages that crashed their actor twice."),
    ("dropped_messages", "Messages lost to a full mailbox."),
)


def _loop(context: WebContext) -> Iterator[str]:
    blocked = [("", "", context.tally.loop_blocked)]
    text = "Times the event loop did not turn for a second or more."
    yield from _metric("event_loop_blocked_total", "counter", text, blocked)
    failures = 0 if context.tree is None else context.tree.hook_failures
    text = "Observers of the runtime that raised."
    yield from _metric("runtime_hook_failures_total", "counter", text, [("", "", failures)])


def _deliveries(context: WebContext) -> Iterator[str]:
    counters = context.counters
    outcomes = ("accepted", "duplicates", "ignored", "rejected", "unavailable")
    told = (("outcome", outcome, getattr(counters, outcome)) for outcome in outcomes)
    yield from _metric("deliveries_total", "counter", "Webhook deliveries by outcome.", told)
    failures = [("", "", counters.signature_failures)]
    text = "Deliveries whose signature was missing or wrong."
    yield from _metric("signature_failures_total", "counter", text, failures)
    health = context.journal.health()
    text = "Dead letters in the journal."
    yield from _metric("journal_dead_letters", "gauge", text, [("", "", health.dead_letters)])
    text = "Writes that wait for the disk."
    yield from _metric("journal_writes_queued", "gauge", text, [("", "", health.queued)])


def _forge(context: WebContext) -> Iterator[str]:
    """Nothing without a token: what is not asked is neither up nor down."""
    if context.forge_health is None:
        return
    health, router = context.forge_health(), told_by(context, "router")
    sweeper, scribe = told_by(context, "sweeper"), told_by(context, "scribe")
    numbers: tuple[tuple[str, Literal["counter", "gauge"], str, float | None], ...] = (
        ("forge_requests_total", "counter", "Requests sent to the forge.", health.requests),
        ("forge_up", "gauge", "1 if requests are let through.", int(health.state == "closed")),
        ("sweep_seconds", "gauge", "How long the last sweeps took.", number_in(sweeper, "took_s")),
        ("sweep_repositories", "gauge", "Watched repositories.", number_in(sweeper, "repositories")),
        ("reads_pending", "gauge", "Issues to be read anew.", number_in(router, "reads_pending")),
    )
    for name, kind, text, value in numbers:
        yield from _metric(name, kind, text, [] if value is None else [("", "", value)])
    for name, text, label, counted in (
        ("missed_deliveries_total", "What only a sweep found.", "cause", counts(router, "missed")),
        ("commands_total", "Commands in comments.", "result", counts(scribe, "commands")),
        ("forge_writes_total", "What was written to issues.", "kind", counts(scribe, "writes")),
    ):
        yield from _metric(name, "counter", text, [(label, of, n) for of, n in counted.items()])


def _metric(
    name: str, kind: str, text: str, samples: Iterable[tuple[str, str, float]]
) -> Iterator[str]:
    """Samples are (label's name or nothing, its value, the number)."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for label, value, number in samples:
        yield f"{name}{_labels((label, value)) if label else ''} {number}"


def _histograms(name: str, text: str, of: Iterable[tuple[str, Histogram]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    for actor, histogram in of:
        totals = list(accumulate(histogram.counts))
        bounds = [*map(str, BUCKETS_S), "+Inf"]
        for bound, total in zip(bounds, totals, strict=True):
            yield f"{name}_bucket{_labels(('actor', actor), ('le', bound))} {total}"
        yield f"{name}_sum{_labels(('actor', actor))} {histogram.sum_s:.6f}"
        yield f"{name}_count{_labels(('actor', actor))} {totals[-1]}"


def _labels(*pairs: tuple[str, str]) -> str:
    told = (f'{name}="{_escaped(value)}"' for name, value in pairs)
    return "{" + ",".join(told) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
