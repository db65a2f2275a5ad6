"""What the doctor finds about the coordinator that runs, judged from its `/health`. Pure."""

from collections.abc import Iterable

from coordinator.cli.findings import Finding, ok, problem, warning
from coordinator.cli.ping import Health, Report
from coordinator.rules.metadata import one_line

__all__ = ["judge_coordinator"]

_MAX_CHARS = 400
# What it goes without, and what to do about it.
_WORDS_OF_MODES = {
    "no-forge-token": (
        "payloads are trusted, missed webhooks are not found, nothing is written back",
        "set GITEA_TOKEN and restart the coordinator",
    ),
    "no-api-token": (
        "everything but the webhook and /health answers on loopback only",
        "set COORDINATOR_API_TOKEN (openssl rand -hex 24) and restart the coordinator",
    ),
}
# The same of a coordinator that cannot see what it works for.
_WORDS_OF_FAILURES = {
    "forge-unreachable": (
        "the running coordinator gets no answer from the forge; deliveries are kept until it does",
        "if the check `forge` is ok, GITEA_URL, a proxy or a firewall differs where the coordinator"
        " runs: mend that and restart it; else mend the forge: no restart is needed then",
    ),
    "reads-failing": (
        "the running coordinator cannot read issues it was told of",
        "`mosaic-coordinator state --actor router` names the repositories and says why; give the"
        " token's account access to them again, or remove their webhook",
    ),
    "sweep-failing": (
        "the running coordinator looks in vain for missed webhooks, in some repository or in all",
        "`mosaic-coordinator state --actor sweeper` says why; mend GITEA_REPOSITORIES or what the"
        " token's account may see, then `mosaic-coordinator refresh`",
    ),
}
# Chosen in the settings, or told by another of the modes.
_QUIET_MODES = {"parser-rules", "payload-trusted", "scribe-idle", "sweeper-idle", "write-back-off"}


def judge_coordinator(base: str, health: Health, version: str) -> Iterable[Finding]:
    """The running coordinator, what it goes without, and what of the forge it cannot see."""
    report, check = health.report, "coordinator"
    if health.http_status == 200:
        yield ok(check, f"{base} is healthy, version {report.version}")
    else:
        unwell = [
            f"{name} {status}" for name, status in report.components.items() if status != "running"
        ]
        seen = one_line(", ".join([*unwell, report.journal_error or ""]).strip(", "), _MAX_CHARS)
        remedy = "see its log, and `mosaic-coordinator state`"
        what = f"{base} answers {health.http_status}, {one_line(report.status, 20)}"
        yield problem(check, what, seen=seen, expected="200 ok", remedy=remedy)
    if report.version != version:
        seen, remedy = f"{one_line(report.version, 40)} runs, {version} asks", "restart the coordinator"
        yield warning(check, "this command is of another version", seen=seen, remedy=remedy)
    yield from (_of_mode(mode, report) for mode in report.degraded if mode not in _QUIET_MODES)
    yield from _of_sweep(report)
    if report.dead_letters:
        what = f"{report.dead_letters} messages crashed their actor twice"
        yield warning(check, what, remedy="mosaic-coordinator deadletters")


def _of_mode(mode: str, report: Report) -> Finding:
    check = "coordinator"
    if mode in _WORDS_OF_FAILURES:
        words, remedy = _WORDS_OF_FAILURES[mode]
        seen = {
            "forge-unreachable": report.forge and report.forge.last_error,
            "sweep-failing": report.sweep and report.sweep.problem,
        }
        told = one_line(seen.get(mode) or "", _MAX_CHARS)
        return problem(check, f"{mode}: {words}", seen=told, remedy=remedy)
    strange = (
        "a degraded mode of another version",
        "look it up in that version's README, or let both be of one version",
    )
    words, remedy = _WORDS_OF_MODES.get(mode, strange)
    return warning(check, f"{one_line(mode, 60)}: {words}", remedy=remedy)


def _of_sweep(report: Report) -> Iterable[Finding]:
    """What it could not read, one by one; that none at all can be swept is a mode."""
    if report.sweep is None:
        return
    check, failing, long = "coordinator", report.sweep.failing, report.sweep.too_long
    if failing:
        where = "1 repository" if failing == 1 else f"{failing} repositories"
        yield warning(
            check,
            f"{where} cannot be searched for missed webhooks",
            remedy="`mosaic-coordinator state --actor sweeper` names them and says why; give the"
            " token's account access to them, or take them out of GITEA_REPOSITORIES",
        )
    if long:
        what = "1 issue or comment was" if long == 1 else f"{long} issues or comments were"
        remedy = "`mosaic-coordinator state --actor sweeper` names where; shorten them"
        yield warning(check, f"since its start {what} too long to be read", remedy=remedy)
