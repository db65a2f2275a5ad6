"""The doctor's last checks: does a delivery of the forge arrive, and may it post to our address?"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from coordinator.cli.doctor_patient import Patient
from coordinator.cli.findings import Tell, judge_address, judge_arrival, skipped, warning
from coordinator.cli.ping import NoCoordinator, addresses_of, read_health, wait_arrival
from coordinator.cli.receiver import allowance, sends_test
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import RemoteComment, RemoteIssue, RemoteLabel
from coordinator.rules.comment import is_sticky

__all__ = ["check_address", "check_delivery"]

# At the end of our own comment, and away again the next time: no reader sees it.
_PROOF = "<!-- mosaic-coordinator:proof -->"
# Whose comments are looked through for one of our own; we write one on whatever we work on.
_MAX_ISSUES = 10


@dataclass(frozen=True, slots=True)
class _Edit:
    """An edit that nobody notices and every forge announces; `did` and `does` say what it is."""

    repo: str
    did: str
    does: str
    make: Callable[[], Awaitable[object]]


async def check_delivery(patient: Patient, tell: Tell) -> None:
    """Has the forge send something, and watches the coordinator's counters.

    A test delivery where the forge sends one. With --prove, if there is any, the least visible edit: a
    label that an issue has is set once more, which changes nothing and notifies nobody, but is
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
    wanted = patient.wishes.prove
    edit = await _relabelling(patient, forge) if wanted else None
    if edit is None and (tested := await _test(patient, forge)):
        return tested
    if not wanted:
        edit = await _relabelling(patient, forge)
    edit = edit or await _remark(patient, forge, tell)
    if edit is not None and wanted:
        await edit.make()
        return edit.repo, edit.did
    why = "this forge sends no test delivery to such a webhook, so the secret there is not proven"
    repo = next(iter(patient.hooks))
    if edit is not None:
        remedy = f"mosaic-coordinator doctor --prove --repo {edit.repo}: {edit.does}"
    else:
        remedy = (
            f"give any issue of {repo} a label, then mosaic-coordinator doctor --prove --repo {repo}"
        )
    tell(skipped("delivery", why, remedy=remedy))
    return None


async def _test(patient: Patient, forge: Forge) -> tuple[str, str] | None:
    assert patient.info is not None
    for repo, hook in patient.hooks.items():
        if hook is not None and sends_test(patient.info, hook):
            await forge.test_hook(repo, hook.id)
            return repo, f"asked {repo} for a test delivery"
    return None


async def _relabelling(patient: Patient, forge: Forge) -> _Edit | None:
    for repo in patient.hooks:
        labels = {label.name: label for label in await forge.labels(repo)}
        for issue in (await forge.issues(repo)).issues if labels else ():
            label = _held(issue, labels)
            if label is not None:
                what = f"{repo}#{issue.number} its label {label.name!r} once more"
                give = partial(forge.add_labels, repo, issue.number, [label.id])
                return _Edit(repo, f"gave {what}", f"gives {what}, which nobody notices", give)
    return None


def _held(issue: RemoteIssue, labels: dict[str, RemoteLabel]) -> RemoteLabel | None:
    return next((labels[name] for name in issue.labels if name in labels), None)


async def _remark(patient: Patient, forge: Forge, tell: Tell) -> _Edit | None:
    """The comment that we edit all the time anyway."""
    own = patient.account.login if patient.account else ""
    if not own:  # comments of deleted accounts have no author either
        return None
    for repo in patient.hooks:
        for issue in (await forge.issues(repo)).issues[:_MAX_ISSUES]:
            for comment in await forge.comments(repo, issue.number):
                if comment.author == own and is_sticky(comment.body):
                    what = f"a mark that no reader sees in our comment on {repo}#{issue.number}"
                    change = partial(_toggle, forge, repo, comment, tell)
                    return _Edit(repo, f"changed {what}", f"changes {what}", change)
    return None


async def _toggle(forge: Forge, repo: str, known: RemoteComment, tell: Tell) -> None:
    """No forge edits a comment on condition that it is still the one that was read, so what a running
    coordinator writes at the same moment can be lost; where it shows, that is told."""
    body = (await forge.comment(repo, known.id)).body.removesuffix("\n")
    is_marked = body.endswith(_PROOF)
    text = body.removesuffix(_PROOF) if is_marked else f"{body}\n{_PROOF}"
    await forge.edit_comment(repo, known.id, text)
    if (await forge.comment(repo, known.id)).body.split() != text.split():
        what = f"our comment on {repo}#{known.issue_number} was written to while it was being marked"
        remedy = "look whether it is up to date; with the next change of its issue it is written anew"
        tell(warning("delivery", what, remedy=remedy))


async def check_address(patient: Patient, tell: Tell) -> None:
    """What the forge's administrator must allow for the address it is to post to."""
    if patient.receiver is None:
        tell(skipped("address", "our own address is not known", remedy="set COORDINATOR_PUBLIC_URL"))
        return
    host = urlsplit(patient.receiver).hostname or ""
    addresses = await addresses_of(patient.receiver)
    needs = allowance(addresses, patient.info) if addresses else None
    tell(judge_address(host, needs, has_arrived=patient.has_arrived))
