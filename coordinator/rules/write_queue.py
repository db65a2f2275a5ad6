"""Which issues are to be looked at and written to now: soon after a change, and never in a storm.

An issue is touched by whatever may change what we say of it, and looked at once a moment later. What
is touched while it is being written is looked at again; one that changes all the time is written ever
more seldom. A repository that cannot be written to backs off alone, with one issue as its probe.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from coordinator.rules.backoff import backoff_s
from coordinator.rules.ids import IssueRef
from coordinator.rules.looks import EVERY_S

__all__ = ["WriteQueue", "WritingPace"]

# How long ago an issue was written is of no interest any more after so many of its intervals.
CALM_INTERVALS = 2.0
# Intervals kept before those that are over are dropped: a few hundred KB at the most.
MAX_RESTING = 1_000


@dataclass(frozen=True, slots=True)
class WritingPace:
    """How soon and how often.

    Two seconds let a burst of events become one comment; nobody reads faster than every five seconds,
    and who watches an issue that changes all the time is served once a minute. Four at once leave
    half of the forge client's places to the reads, and two for one repository leave room for the others
    where one is slow. A comment that was sent and never confirmed stands there after `suspect_s` or
    never will: twice what one request to a forge may take. Another coordinator that wrote its first
    comment at the same moment as we has done so after `twin_s`. What people change of ours is looked at
    every `look_every_s`.
    """

    debounce_s: float = 2.0
    interval_s: float = 5.0
    max_interval_s: float = 60.0
    concurrency: int = 4
    per_repository: int = 2
    suspect_s: float = 60.0
    twin_s: float = 15.0
    look_every_s: float = EVERY_S


@dataclass(slots=True)
class _Failing:
    failures: int
    retry_at: float
    error: str
    held: dict[IssueRef, None] = field(default_factory=dict)
    probe: IssueRef | None = None


class WriteQueue:
    """Mutable, owned by one actor. Instants are seconds of any monotonic clock."""

    def __init__(self, pace: WritingPace) -> None:
        self.pace = pace
        self.busy: set[IssueRef] = set()
        self._due: dict[IssueRef, float] = {}
        self._since: dict[IssueRef, float] = {}
        self._line: list[tuple[float, IssueRef]] = []
        self._rest: dict[IssueRef, tuple[float, float]] = {}
        self._urgent: set[IssueRef] = set()
        self._answering: set[IssueRef] = set()
        self._failing: dict[str, _Failing] = {}
        self._alone: dict[IssueRef, _Failing] = {}
        # Due, but their repository has all the places it may have.
        self._crowd: dict[str, dict[IssueRef, None]] = {}

    def __len__(self) -> int:
        """How many issues wait for their turn."""
        return len(self._due)

    def touch(self, ref: IssueRef, now: float, *, within_s: float | None = None) -> None:
        """Something about the issue may have changed. `within_s`: somebody waits for the answer, and no
        longer than that; their asking is no churn."""
        written_at, interval_s = self._rest.get(ref, (now, 0.0))
        rested = max(now + self.pace.debounce_s, written_at + interval_s)
        if within_s is not None:
            self._urgent.add(ref)
        self.touch_at(ref, rested if within_s is None else now + within_s, now)

    def touch_at(self, ref: IssueRef, at: float, now: float) -> None:
        """Look at the issue at that instant, or earlier if it is due earlier."""
        self._since.setdefault(ref, now)
        if ref in self._alone:
            at = max(at, self._alone[ref].retry_at)
        if ref not in self._due or at < self._due[ref]:
            self._due[ref] = at
            heappush(self._line, (at, ref))

    def take(self, now: float) -> list[IssueRef]:
        """The issues to look at now; each is busy until it is `written`, `settled` or `failed`."""
        self._hold_or_release(now)
        taken: list[IssueRef] = []
        while len(self.busy) < self.pace.concurrency and self._line and self._line[0][0] <= now:
            at, ref = heappop(self._line)
            if self._is_stale(at, ref):
                continue
            failing = self._failing.get(ref.repo)
            if failing is not None and failing.probe != ref:
                failing.held[ref] = None
                continue
            if sum(each.repo == ref.repo for each in self.busy) >= self.pace.per_repository:
                self._crowd.setdefault(ref.repo, {})[ref] = None
                continue
            del self._due[ref]
            if ref in self._urgent:
                self._urgent.remove(ref)
                self._answering.add(ref)
            self._crowd.get(ref.repo, {}).pop(ref, None)
            self.busy.add(ref)
            taken.append(ref)
        return taken

    def next_in_s(self, now: float) -> float | None:
        """In how many seconds there may be something to take; None: not before something ends."""
        if len(self.busy) >= self.pace.concurrency:
            return None
        while self._line and self._is_stale(*self._line[0]):
            heappop(self._line)
        instants = [at for at, _ in self._line[:1]]
        instants += [each.retry_at for each in self._failing.values() if each.held and not each.probe]
        return max(0.0, min(instants) - now) if instants else None

    def settled(self, ref: IssueRef) -> None:
        """Nothing was to be written."""
        self._alone.pop(ref, None)
        self._end(ref)

    def put_back(self, ref: IssueRef, at: float, now: float) -> None:
        """It was too early to write: look at it again at that instant."""
        self._end(ref)
        self.touch_at(ref, at, now)

    def written(self, ref: IssueRef, now: float) -> None:
        """The forge has answered, with a yes or a no."""
        before, interval_s = self._rest.get(ref, (now, 0.0))
        is_churning = interval_s > 0 and now - before < CALM_INTERVALS * interval_s
        if ref in self._answering:
            self._answering.remove(ref)
            is_churning = False
        self._alone.pop(ref, None)
        grown = min(2 * interval_s, self.pace.max_interval_s) if is_churning else self.pace.interval_s
        self._rest[ref] = (now, grown)
        self._forget_rests(now)
        recovered = self._failing.pop(ref.repo, None)
        for held in recovered.held if recovered is not None else ():
            self._requeue(held)
        if ref in self._due and ref not in self._urgent:  # touched meanwhile: it must rest first
            self._due[ref] = max(self._due[ref], now + grown)
        self._end(ref)

    def failed(
        self,
        ref: IssueRef,
        now: float,
        error: str,
        *,
        wait_s: float | None = None,
        alone: bool = False,
    ) -> None:
        """The forge gave no answer: the repository rests, the issue stays due. With `alone` only the
        issue rests: the forge was there, and stumbled over this one."""
        failing = _Failing(0, now, error)
        if alone:
            failing = self._alone.setdefault(ref, failing)
        else:
            failing = self._failing.setdefault(ref.repo, failing)
            failing.held[ref] = None
        failing.failures += 1
        failing.retry_at = now + max(backoff_s(failing.failures), wait_s or 0.0)
        failing.error = error
        self._due[ref] = failing.retry_at if alone else now
        self._leave(ref)
        if alone:
            self._requeue(ref)

    def forget(self, ref: IssueRef) -> None:
        """There is no such issue any more."""
        for kept in (self._due, self._since, self._rest, self._alone):
            kept.pop(ref, None)
        self._urgent.discard(ref)
        self._answering.discard(ref)
        self._let_in(ref.repo)  # it may have been let in and not taken
        failing = self._failing.get(ref.repo)
        if failing is not None and failing.probe == ref and ref not in self.busy:
            failing.probe = None

    def oldest_s(self, now: float) -> float | None:
        """For how long the issue that waits longest has waited."""
        return max((now - since for since in self._since.values()), default=None)

    def failing(self) -> Iterator[tuple[str, int, str]]:
        """Repositories and single issues that rest: name, failures in a row, the last error."""
        for repo, each in sorted(self._failing.items()):
            yield repo, each.failures, each.error
        for ref, alone in sorted(self._alone.items()):
            yield str(ref), alone.failures, alone.error

    def _hold_or_release(self, now: float) -> None:
        """Of each repository that has rested long enough, one issue may try."""
        for failing in self._failing.values():
            failing.held = {ref: None for ref in failing.held if ref in self._due}
            if failing.held and failing.probe is None and failing.retry_at <= now:
                failing.probe = next(iter(failing.held))
                del failing.held[failing.probe]
                self._due[failing.probe] = now
                heappush(self._line, (now, failing.probe))

    def _is_stale(self, at: float, ref: IssueRef) -> bool:
        """Moved meanwhile, or queued anew when it is written."""
        return self._due.get(ref) != at or ref in self.busy

    def _requeue(self, ref: IssueRef) -> None:
        if ref in self._due:
            heappush(self._line, (self._due[ref], ref))

    def _end(self, ref: IssueRef) -> None:
        self._leave(ref)
        self._requeue(ref)
        if ref not in self._due:
            self._since.pop(ref, None)

    def _leave(self, ref: IssueRef) -> None:
        self.busy.discard(ref)
        self._let_in(ref.repo)
        failing = self._failing.get(ref.repo)
        if failing is not None and failing.probe == ref:
            failing.probe = None

    def _let_in(self, repo: str) -> None:
        """The next of those that wait for a place in the repository and are still due."""
        crowd = self._crowd.get(repo, {})
        while crowd:
            ref = next(iter(crowd))
            del crowd[ref]
            if ref in self._due:
                self._requeue(ref)
                break
        if not crowd:
            self._crowd.pop(repo, None)

    def _forget_rests(self, now: float) -> None:
        if len(self._rest) > MAX_RESTING:
            self._rest = {
                ref: (at, interval_s)
                for ref, (at, interval_s) in self._rest.items()
                if now - at < CALM_INTERVALS * interval_s
            }
