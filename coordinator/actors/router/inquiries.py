"""What others ask the router: the sweeper about what it saw, anybody about how reading goes."""

import trio

from coordinator.actors.clocks import Clock
from coordinator.actors.messages import (
    DescribeReads,
    KnownIssuesOf,
    KnownOf,
    NamedRepository,
    ReadAgain,
    ReadBlockers,
    Sighted,
    WatchedRepositories,
    WatchedRepository,
)
from coordinator.actors.router.findings import Findings
from coordinator.actors.router.sheet import Sheet
from coordinator.rules.further_reads import Missing, in_turn, unswept_blockers
from coordinator.rules.ids import IssueRef
from coordinator.rules.repositories import Repository

__all__ = ["Inquiries", "Inquiry"]

Inquiry = (
    DescribeReads | KnownOf | NamedRepository | ReadAgain | ReadBlockers | Sighted | WatchedRepositories
)


class Inquiries:
    """Answers; what must be on disk before an answer is given goes on the sheet."""

    def __init__(self, findings: Findings, clock: Clock) -> None:
        self._findings = findings
        self._known = findings.known
        self._desk = findings.desk
        self._clock = clock
        self.missing = Missing()
        self._last_blocker: IssueRef | None = None

    def answer(self, asked: Inquiry, sheet: Sheet) -> object:
        """The reply to any of the questions."""
        match asked:
            case DescribeReads():
                return self._desk.view(self._clock())
            case WatchedRepositories():
                return self._watched()
            case NamedRepository(name=name):
                found = self._known.repositories.named(name)
                return None if found is None else self._described(found, self._concerned())
            case KnownOf(repo_id=repo_id):
                return self._known_of(repo_id)
            case Sighted():
                return self._findings.sighted(asked, sheet)
            case ReadAgain(refs=refs):
                known = [ref for ref in refs if ref in self._known.facts]
                return self._findings.read_further(known, "sweep", sheet)
            case ReadBlockers(swept=swept):
                return self._read_blockers(swept, sheet)

    def _watched(self) -> tuple[WatchedRepository, ...]:
        ours = self._concerned()
        return tuple(self._described(each, ours) for each in self._known.repositories.all())

    def _concerned(self) -> set[int]:
        return {each.repo_id for each in self._known.open_ours()}

    def _described(self, each: Repository, ours: set[int]) -> WatchedRepository:
        is_heard = each.id in self._known.heard
        return WatchedRepository(each.id, each.canonical, each.current, is_heard, each.id in ours)

    def _read_blockers(self, swept: frozenset[int], sheet: Sheet) -> int:
        wanted = self.missing.to_ask(unswept_blockers(self._known, swept), trio.current_time())
        refs = in_turn(wanted, self._last_blocker)
        self._last_blocker = refs[-1] if refs else None
        return self._findings.read_further(refs, "blocker", sheet)

    def _known_of(self, repo_id: int) -> KnownIssuesOf:
        repository = self._known.repositories.get(repo_id)
        if repository is None:
            return KnownIssuesOf(None, (), 0)
        name = repository.canonical
        return KnownIssuesOf(name, self._known.of(name), self._desk.pending(name))
