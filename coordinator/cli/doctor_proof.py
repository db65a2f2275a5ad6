"""The doctor's last checks: does a delivery of the forge arrive, and may it post to our address?"""

from urllib.parse import urlsplit

from coordinator.cli.doctor_patient import Patient
from coordinator.cli.findings import Tell, judge_address, judge_arrival, skipped
from coordinator.cli.ping import NoCoordinator, addresses_of, read_health, wait_arrival
from coordinator.cli.receiver import allowance, sends_test
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteIssue, RemoteLabel

__all__ = ["check_address", "check_delivery"]

_PROVE = "doctor --prove: gives one issue a label it has already, which nobody sees, and waits"


async def check_delivery(patient: Patient, tell: Tell) -> None:
    """Has the forge send something, and watches the coordinator's counters.

    A test delivery where the forge sends one. Else, when asked to, the least visible edit there is:
    a label that an issue has is set once more, which changes nothing and notifies nobody, but is
    announced like any change of labels.
    """
    check = "delivery"
    if not patient.hooks or patient.forge is None or patient.info is None:
        tell(skipped(check, "no right webhook is known"))
        return
    if patient.local_url is None:
        tell(skipped(check, "it is not known where the coordinator runs"))
        return
    try:
        before = (await read_health(patient.local_url)).report
    except NoCoordinator as nobody:
        tell(skipped(check, str(nobody)))
        return
    done = await _have_sent(patient, patient.forge, tell)
    if done is None:
        return
    repo, cause = done
    arrival = await wait_arrival(patient.local_url, before, timeout_s=patient.wishes.proof_s)
    patient.has_arrived = arrival.word != "nothing"
    tell(judge_arrival(arrival, cause, repo))


async def _have_sent(patient: Patient, forge: Forge, tell: Tell) -> tuple[str, str] | None:
    """The repository that was made to send a delivery, and how; None, told, where none can be had."""
    assert patient.info is not None
    for repo, hook in patient.hooks.items():
        if hook is not None and sends_test(patient.info, hook) and not patient.wishes.prove:
            await forge.test_hook(repo, hook.id)
            return repo, f"asked {repo} for a test delivery"
    if not patient.wishes.prove:
        why = "this forge sends no test delivery to such a webhook"
        tell(skipped("delivery", why, remedy=_PROVE))
        return None
    for repo in patient.hooks:
        labels = {label.name: label for label in await forge.labels(repo)}
        for issue in (await forge.issues(repo)).issues:
            label = _held(issue, labels)
            if label is not None:
                await forge.add_labels(repo, issue.number, [label.id])
                return repo, f"gave {repo}#{issue.number} its label {label.name!r} once more"
    remedy = "give any issue a label and try again"
    tell(skipped("delivery", "no issue has a label to be set once more", remedy=remedy))
    return None


def _held(issue: RemoteIssue, labels: dict[str, RemoteLabel]) -> RemoteLabel | None:
    return next((labels[name] for name in issue.labels if name in labels), None)


async def check_address(patient: Patient, tell: Tell) -> None:
    """What the forge's administrator must allow for the address it is to post to."""
    if patient.receiver is None:
        tell(skipped("address", "our own address is not known", remedy="set COORDINATOR_PUBLIC_URL"))
        return
    host = urlsplit(patient.receiver).hostname or ""
    addresses = await addresses_of(patient.receiver)
    needs = allowance(addresses, patient.info) if addresses else None
    tell(judge_address(host, needs, has_arrived=patient.has_arrived))
