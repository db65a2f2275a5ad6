"""Which repositories are swept when: a few at a time, the closed ones seldom, and where there are very
many the idle ones as often as is polite.

Instants are datetimes of a clock that never jumps; what is saved holds none of them, because a new
life looks everywhere at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from coordinator.rules.backoff import backoff_s
from coordinator.rules.sweeping import SETTLE_S, RepositorySweep

__all__ = ["CONCURRENCY", "REFRESH_PACE_S", "SavedSweep", "SweepPlan", "Target", "Visit"]

# Four lists at a time: a forge on a small machine answers them beside its people and our reads.
CONCURRENCY = 4
# A sweep of a repository where nothing happened is two requests; all of those together are not to be
# more often than this. With up to 60 repositories a minute is enough to look at each.
MAX_IDLE_RATE = 2.0
_IDLE_REQUESTS = 2
# Once or twice a forge may stumble; a third failure in a row wants somebody's eye.
STUCK_FAILURES = 3
# A repository that is gone or closed to us comes back by somebody's hand: nobody waits for it.
REFUSED_STRETCH = 10.0
# Somebody who asks again and again gets one sweep in five seconds, which is as good.
REFRESH_PACE_S = 5.0
# What was too new to judge when somebody asked is judged as soon as can be; stamps are cut to seconds.
_SETTLED_S = SETTLE_S + 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """A repository to be watched, by what it is called now."""

    repo_id: int
    name: str


@dataclass(frozen=True, slots=True)
class SavedSweep:
    """What outlives a restart: how far a repository was swept, and since when, by the forge's clock,
    its comments are commands to us (None: since its first sweep, which is still to come). From
    `comments_owed` on they are still to be looked through; None: as far as the issues were."""

    repo_id: int
    name: str
    watermark: datetime | None
    is_swept: bool
    counted: tuple[int, int] | None
    commands_from: datetime | None
    comments_owed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A repository and where its next sweep begins; or, after it, where the one after that does."""

    name: str
    sweep: RepositorySweep
    commands_from: datetime | None = None
    comments_owed: datetime | None = None

    def saved(self) -> SavedSweep:
        sweep = self.sweep
        return SavedSweep(
            sweep.repo_id,
            self.name,
            sweep.watermark,
            not sweep.is_first,
            sweep.counted,
            self.commands_from,
            self.comments_owed,
        )


@dataclass(frozen=True, slots=True)
class _Trouble:
    failures: int
    error: str
    is_refused: bool = False


class SweepPlan:
    """What is watched, under way and due. Mutable, owned by one actor."""

    def __init__(
        self,
        base_s: float,
        *,
        concurrency: int = CONCURRENCY,
        refresh_pace_s: float = REFRESH_PACE_S,
    ) -> None:
        self.base_s = base_s
        self.refresh_pace_s = refresh_pace_s
        self.concurrency = concurrency
        self._visits: dict[int, Visit] = {}
        self._watched: set[int] = set()
        self._running: set[int] = set()
        self._asked: set[int] = set()  # by somebody who waits for it
        self._again: set[int] = set()  # asked while it was under way
        self._begun: dict[int, datetime] = {}
        self._trouble: dict[int, _Trouble] = {}
        # Those found due, the most urgent last; looking through a thousand after each sweep costs more
        # than the sweep.
        self._line: list[int] = []

    def __len__(self) -> int:
        """How many repositories are watched."""
        return len(self._watched)

    @property
    def watched(self) -> frozenset[int]:
        return frozenset(self._watched)

    @property
    def running(self) -> frozenset[int]:
        return frozenset(self._running)

    @property
    def failing(self) -> dict[str, str]:
        """The watched repositories that could not be swept the last time, and why, by name."""
        failed = {self._visits[each].name: self._trouble[each].error for each in self._trouble}
        return dict(sorted(failed.items()))

    def stuck(self, *, with_refused: bool) -> int:
        """How many repositories have failed several times in a row; those the forge refuses to show
        count if somebody expects to see them."""
        stuck = (each for each in self._trouble.values() if each.failures >= STUCK_FAILURES)
        return sum(with_refused or not each.is_refused for each in stuck)

    @property
    def max_stretch(self) -> float:
        """How many times less often than the others idle repositories are swept."""
        return max(len(self) * _IDLE_REQUESTS / (MAX_IDLE_RATE * self.base_s), 1.0)

    def name_of(self, repo_id: int) -> str:
        return self._visits[repo_id].name

    def saved(self) -> tuple[SavedSweep, ...]:
        """For a snapshot, in order of the ids."""
        return tuple(self._visits[repo_id].saved() for repo_id in sorted(self._visits))

    def load(self, saved: Iterable[SavedSweep]) -> None:
        """Start from a snapshot: everything is due."""
        for each in saved:
            sweep = RepositorySweep(
                each.repo_id, each.watermark, int(each.is_swept), counted=each.counted
            )
            visit = Visit(each.name, sweep, each.commands_from, each.comments_owed)
            self._visits[each.repo_id] = visit

    def watch(self, targets: Iterable[Target]) -> None:
        """These are watched from now on. What was known of others is kept: they may come back."""
        wanted = {target.repo_id: target.name for target in targets}
        self._watched, self._line = set(wanted), []
        for repo_id, name in wanted.items():
            known = self._visits.get(repo_id)
            if known is None:
                self._visits[repo_id] = Visit(name, RepositorySweep(repo_id))
            elif known.name != name:
                self._visits[repo_id] = replace(known, name=name)
        self._trouble = {key: value for key, value in self._trouble.items() if key in wanted}

    def begin(self, now: datetime) -> list[Visit]:
        """The sweeps to begin now, those longest due first; each is under way until `done`, `failed`
        or `put_back`."""
        begun: list[Visit] = []
        if len(self._line) < self.concurrency - len(self._running):
            self._line = sorted(self._due(self._watched, now), key=self._turn, reverse=True)
        while self._line and len(self._running) < self.concurrency:
            for repo_id in self._due([self._line.pop()], now):
                self._begun[repo_id] = now
                self._running.add(repo_id)
                begun.append(self._visits[repo_id])
        return begun

    def next_s(self, now: datetime) -> float | None:
        """Seconds until a sweep is to begin; None: not before one has ended, or a repository comes."""
        if len(self._running) >= self.concurrency:
            return None
        sweeps = (self._visits[each].sweep for each in self._watched - self._running)
        moments = [now if sweep.due_at is None else sweep.due_at for sweep in sweeps]
        return max((min(moments) - now).total_seconds(), 0.0) if moments else None

    def done(
        self, visit: Visit, now: datetime, *, is_unsettled: bool = False, problem: str = ""
    ) -> bool:
        """The sweep has ended well; whether it came further than what was saved before it says.

        `is_unsettled`: it passed over what had changed just now. `problem`: why a part of it failed.
        """
        before = self._visits[visit.sweep.repo_id].saved()
        repo_id = visit.sweep.repo_id
        self._running.discard(repo_id)
        if problem:
            self._note(repo_id, problem)
        else:
            self._trouble.pop(repo_id, None)
        sweep = visit.sweep
        if is_unsettled and repo_id in self._asked:
            sweep = _no_later(sweep, now + timedelta(seconds=_SETTLED_S))
        else:
            self._asked.discard(repo_id)
        self._visits[repo_id] = replace(visit, sweep=self._asked_again(sweep, now))
        return visit.saved() != before

    def failed(self, repo_id: int, error: str, now: datetime, *, is_refused: bool = False) -> None:
        """The sweep of this repository failed: it waits, the others go on."""
        self._running.discard(repo_id)
        failures = self._note(repo_id, error, is_refused=is_refused)
        wait_s = self.base_s * REFUSED_STRETCH if is_refused else backoff_s(failures)
        visit = self._visits[repo_id]
        sweep = visit.sweep.failed(now, wait_s)
        self._visits[repo_id] = replace(visit, sweep=self._asked_again(sweep, now))

    def put_back(self, repo_id: int) -> None:
        """Nothing can be said of the repository: the forge was away. It is due as before."""
        self._running.discard(repo_id)

    def ask(self, name: str | None, now: datetime) -> int:
        """Somebody wants the repository of this name (None: every one) swept; how many those are."""
        wanted = [
            each
            for each in self._watched
            if name is None or self._visits[each].name.lower() == name.lower()
        ]
        self._line = []
        for repo_id in wanted:
            self._asked.add(repo_id)
            if repo_id in self._running:
                self._again.add(repo_id)
            else:
                self._stir(repo_id, self._pace(repo_id, now))
        return len(wanted)

    def heard(self, repo_ids: Iterable[int], now: datetime) -> bool:
        """Deliveries told of these repositories, so they are busy; whether one of them is unknown."""
        known = self._watched.intersection(repo_ids)
        for repo_id in known:
            if self._visits[repo_id].sweep.due_at is not None:
                self._stir(repo_id, now + timedelta(seconds=self.base_s))
        return len(known) < len(set(repo_ids))

    def _note(self, repo_id: int, error: str, *, is_refused: bool = False) -> int:
        """Remember the trouble with it; how many times in a row that makes."""
        before = self._trouble.get(repo_id)
        trouble = _Trouble(before.failures + 1 if before else 1, error, is_refused)
        if repo_id in self._watched:
            self._trouble[repo_id] = trouble
        return trouble.failures

    def _due(self, repo_ids: Iterable[int], now: datetime) -> list[int]:
        """Those of them that may begin now."""
        return [
            each
            for each in repo_ids
            if each in self._watched
            and each not in self._running
            and self._visits[each].sweep.is_due(now)
        ]

    def _stir(self, repo_id: int, at: datetime) -> None:
        visit = self._visits[repo_id]
        self._visits[repo_id] = replace(visit, sweep=visit.sweep.stirred(at))

    def _asked_again(self, sweep: RepositorySweep, now: datetime) -> RepositorySweep:
        if sweep.repo_id not in self._again:
            return sweep
        self._again.discard(sweep.repo_id)
        self._asked.add(sweep.repo_id)
        return sweep.stirred(self._pace(sweep.repo_id, now))

    def _pace(self, repo_id: int, now: datetime) -> datetime:
        begun = self._begun.get(repo_id)
        return now if begun is None else max(now, begun + timedelta(seconds=self.refresh_pace_s))

    def _turn(self, repo_id: int) -> tuple[bool, float, int]:
        due_at = self._visits[repo_id].sweep.due_at
        return due_at is not None, due_at.timestamp() if due_at else 0.0, repo_id


def _no_later(sweep: RepositorySweep, at: datetime) -> RepositorySweep:
    return sweep if sweep.due_at is not None and sweep.due_at <= at else replace(sweep, due_at=at)
