"""What others ask the router: the sweeper about what it saw, anybody about how reading goes."""

from coordinator.actors.clocks import Clock
from coordinator.actors.messages import (
    DescribeReads,
    KnownIssuesOf,
    KnownOf,
    ReadAgain,
    ReadBlockers,
    Sighted,
    WatchedRepositories,
    WatchedRepository,
)
from coordinator.actors.router.findings import Findings
from coordinator.actors.router.sheet import Sheet
from coordinator.rules.further_reads import blockers_outside

__all__ = ["Inquiries", "Inquiry"]

Inquiry = DescribeReads | KnownOf | ReadAgain | ReadBlockers | Sighted | WatchedRepositories


class Inquiries:
    """Answers; what must be on disk before an answer is given goes on the sheet."""

    def __init__(self, findings: Findings, clock: Clock) -> None:
        self._findings = findings
        self._known = findings.known
        self._desk = findings.desk
        self._clock = clock

    def answer(self, asked: Inquiry, sheet: Sheet) -> object:
        """The reply to any of the questions."""
        match asked:
            case DescribeReads():
                return self._desk.view(self._clock())
            case WatchedRepositories():
                return self._watched()
            case KnownOf(repo_id=repo_id):
                return self._known_of(repo_id)
            case Sighted():
                return self._findings.sighted(asked, sheet)
            case ReadAgain(refs=refs):
                known = [ref for ref in refs if ref in self._known.facts]
                return self._findings.read_further(known, "sweep", sheet)
            case ReadBlockers(swept=swept):
                outside = blockers_outside(self._known, swept)
                return self._findings.read_further(outside, "blocker", sheet)

    def _watched(self) -> tuple[WatchedRepository, ...]:
        known = self._known
        ours = {each.repo_id for each in known.open_ours()}
        return tuple(
            WatchedRepository(
                each.id, each.canonical, each.current, each.id in known.heard, each.id in ours
            )
            for each in known.repositories.all()
        )

    def _known_of(self, repo_id: int) -> KnownIssuesOf:
        repository = self._known.repositories.get(repo_id)
        if repository is None:
            return KnownIssuesOf(None, (), 0)
        name = repository.canonical
        return KnownIssuesOf(name, self._known.of(name), self._desk.pending(name))
