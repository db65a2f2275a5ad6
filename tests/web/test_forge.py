"""Health and metrics say how the forge fares and what the webhooks missed."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from coordinator.web.forge import counts, forge_modes, number_in, told_by
from coordinator.web.metrics import exposition
from coordinator.web.shapes import ForgeBody, SweepBody
from tests.web.standins import forge_health, running
from tests.web.test_metrics import samples_of


async def test_health_shows_the_forge_and_the_sweep(tmp_path: Path) -> None:
    """Product and version, what is still to be read, when sweeps end and begin, what was missed."""
    async with running(tmp_path) as app:
        body = (await app.client.get("/health")).json()
    assert body["forge"] == {
        "state": "closed",
        "product": "gitea",
        "version": "1.27.0",
        "last_error": None,
        "retry_in_s": None,
        "requests": 42,
        "reads_pending": 4,
        "reads_failing": 0,
        "writes_refused": 2,
    }
    assert body["sweep"] == {
        "last_at": "2026-11-21T12:00:00Z",
        "took_s": 1.5,
        "next_in_s": 58.5,
        "repositories": 3,
        "failing": 1,
        "stuck": 0,
        "too_long": 3,
        "problem": None,
        "missed": {"closed": 2},
    }
    assert body["degraded"] == []


@pytest.mark.parametrize("state", ["open", "half-open"])
async def test_a_forge_that_is_away_degrades(
    state: Literal["open", "half-open"], tmp_path: Path
) -> None:
    """It has a name and a reason, and the answer stays 200: deliveries are accepted all the same."""
    async with running(tmp_path, forge_health=lambda: forge_health(state)) as app:
        answer = await app.client.get("/health")
        assert (answer.status_code, answer.json()["degraded"]) == (200, ["forge-unreachable"])
        assert answer.json()["forge"]["last_error"]
        assert answer.json()["forge"]["retry_in_s"] == 2
        assert samples_of(exposition(app.context))["forge_up"] == 0


@pytest.mark.parametrize(("failing", "modes"), [(0, ()), (2, ("reads-failing",))])
def test_repositories_that_cannot_be_read_degrade(failing: int, modes: tuple[str, ...]) -> None:
    """Where the payload has to be believed, health says so; which repositories, only /state does."""
    body = ForgeBody(
        state="closed", product="gitea", version="1.27.0", last_error=None, retry_in_s=None,
        requests=1, reads_pending=0, reads_failing=failing, writes_refused=0,
    )  # fmt: skip
    assert forge_modes(body, None) == modes


@pytest.mark.parametrize(
    ("stuck", "problem", "modes"),
    [(0, None, ()), (1, None, ("sweep-failing",)), (0, "401", ("sweep-failing",))],
)
def test_sweeps_that_fail_again_and_again_degrade(
    stuck: int, problem: str | None, modes: tuple[str, ...]
) -> None:
    """Where nobody looks for missed webhooks, in one repository or in all, health says so; a single
    failure is told by its count alone."""
    body = SweepBody(
        last_at=None, took_s=None, next_in_s=None, repositories=2, failing=1, stuck=stuck, too_long=0,
        problem=problem, missed={},
    )  # fmt: skip
    assert forge_modes(None, body) == modes


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("GET /repos/acme/secret/issues: 500", "GET /repos/.../issues: 500"),
        (
            "GET /repos/secret/labels/issues/17/dependencies: 500: user secret [uid: 1] has no access "
            "to acme/secret; see the forge's log",
            "GET /repos/.../issues/.../dependencies: 500",
        ),
        (
            "POST /repos/acme/secret/labels: 429 too many requests: slow down, secret",
            "POST /repos/.../labels: 429",
        ),
        (
            "GET /repos/labels/version/collaborators/secret/permission: 502: as secret says",
            "GET /repos/.../collaborators/.../permission: 502",
        ),
        ("GET /repos/acme/secret: 503: acme/secret", "GET /repos/...: 503"),
        ("GET /orgs/secret/hooks: 500: no", "GET /orgs/.../hooks: 500"),
        ("GET /repositories/41: 500: secret", "GET /repositories/...: 500"),
        (
            "GET /repos/acme/secret/issues: the answer is larger than 16 MiB; an issue there",
            "GET /repos/.../issues: the answer is larger than 16 MiB",
        ),
        ("GET /version: the connection failed: secret", "GET /version: the connection failed"),
        (
            "acme/secret: its list shrank 3 times while it was read",
            "something else failed; the state, shown with a token, says what",
        ),
    ],
)
async def test_private_names_are_not_shown_to_everybody(error: str, shown: str, tmp_path: Path) -> None:
    """Health needs no token, so an error there says what went wrong and not in which repository, nor in
    the words of the forge."""
    health = replace(forge_health("open"), last_error=error)
    async with running(tmp_path, forge_health=lambda: health) as app:
        answer = await app.client.get("/health")
        assert answer.json()["forge"]["last_error"] == shown
        assert "secret" not in answer.text


async def test_without_a_token_there_is_neither(tmp_path: Path) -> None:
    """Nothing is shown of a forge that nobody asks."""
    async with running(tmp_path, forge_health=None) as app:
        body = (await app.client.get("/health")).json()
        assert (body["forge"], body["sweep"]) == (None, None)
        assert not any("forge" in name for name in samples_of(exposition(app.context)))


async def test_metrics_count_what_goes_on_at_the_forge(tmp_path: Path) -> None:
    """Requests, sweeps, missed deliveries by cause, commands and writes, by words of this program."""
    async with running(tmp_path) as app:
        samples = samples_of(exposition(app.context))
    expected = {
        "forge_requests_total": 42,
        "forge_up": 1,
        "sweep_seconds": 1.5,
        "sweep_repositories": 3,
        "reads_pending": 4,
        'missed_deliveries_total{cause="closed"}': 2,
        'commands_total{result="done"}': 1,
        'forge_writes_total{kind="comment"}': 7,
    }
    assert expected.items() <= samples.items()


async def test_what_an_actor_does_not_say_is_not_made_up(tmp_path: Path) -> None:
    """An unknown actor, a tree that is not there yet, and values of another kind give nothing."""
    async with running(tmp_path) as app:
        assert told_by(app.context, "nobody") == {}
        assert number_in({"a": "1"}, "a") is None
        assert counts({"a": 1}, "a") == {}
        app.context.tree = None
        assert told_by(app.context, "router") == {}
        body = (await app.client.get("/health")).json()
        assert body["sweep"]["last_at"] is None
        assert "sweep_seconds" not in samples_of(exposition(app.context))
