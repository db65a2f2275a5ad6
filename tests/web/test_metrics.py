"""The metrics keep to Prometheus' text format and name nothing a sender wrote."""

import re
from pathlib import Path

import pytest

from coordinator.runtime import BlockedReport
from coordinator.web.metrics import exposition
from tests.web.standins import SECRET, deliver, running

_SAMPLE = re.compile(
    r'^(?P<name>[a-z_]+)(?P<labels>\{[a-z]+="(?:[^"\\\n]|\\.)*"(?:,[a-z]+="(?:[^"\\\n]|\\.)*")*\})? '
    r"(?P<number>-?\d+(?:\.\d+)?)$"
)


def samples_of(text: str) -> dict[str, float]:
    """Name with labels → number; every other line must be the help or type of what follows."""
    samples = dict[str, float]()
    typed = set[str]()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        if line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        assert match is not None, line
        assert re.sub(r"_(bucket|sum|count)$", "", match["name"]) in typed or match["name"] in typed
        assert match["name"] + (match["labels"] or "") not in samples
        samples[match["name"] + (match["labels"] or "")] = float(match["number"])
    return samples


async def test_every_line_is_prometheus_text(tmp_path: Path) -> None:
    """Help, type and samples; histograms are cumulative and end with all of them."""
    async with running(tmp_path) as app:
        tally = app.context.tally
        for seconds in (0.0005, 0.003, 60.0):
            tally.handled("dispatcher", object(), seconds, 0.0, 0)
        answer = await app.client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.text.endswith("\n")
        samples = samples_of(answer.text)
    within = [n for name, n in samples.items() if name.startswith("actor_handle_seconds_bucket")]
    assert within == [1, 2, 2, 2, 2, 2, 2, 3]
    assert samples['actor_handle_seconds_bucket{actor="dispatcher",le="+Inf"}'] == 3
    assert samples['actor_handle_seconds_count{actor="dispatcher"}'] == 3
    assert samples['actor_handle_seconds_sum{actor="dispatcher"}'] == pytest.approx(60.0035)


async def test_what_happens_is_counted(tmp_path: Path) -> None:
    """Deliveries by outcome, depths with all monitors as one, a blocked loop."""
    async with running(tmp_path) as app:
        await deliver(app.client, b"{}", x_gitea_signature="0" * 64)
        app.context.tally.blocked(BlockedReport("dispatcher", 1.0, ()))
        samples = samples_of((await app.client.get("/metrics")).text)
    assert samples["signature_failures_total"] == 1
    assert samples['deliveries_total{outcome="accepted"}'] == 0
    assert samples["event_loop_blocked_total"] == 1
    assert samples['actor_mailbox_depth{actor="monitors"}'] == 0
    assert not any("monitor:" in name for name in samples)


async def test_before_the_tree_the_metrics_answer(tmp_path: Path) -> None:
    """A scrape while the program comes up gets what there is."""
    async with running(tmp_path) as app:
        app.context.tree = None
        assert samples_of(exposition(app.context))["runtime_hook_failures_total"] == 0


async def test_metrics_need_the_token(tmp_path: Path) -> None:
    """Like everything but the webhook and the health."""
    async with running(tmp_path) as app:
        answer = await app.client.get("/metrics", headers={"authorization": "Bearer wrong"})
        assert answer.status_code == 401


async def test_labels_are_escaped_and_hold_no_secret(tmp_path: Path) -> None:
    """An id with quotes cannot break out of its label."""
    async with running(tmp_path) as app:
        app.context.tally.restarted('a"b\\c\nd', 2)
        text = exposition(app.context)
    assert samples_of(text)[r'actor_restarts_total{actor="a\"b\\c\nd"}'] == 1
    assert SECRET.decode() not in text
