"""The sweeper: finds what the webhooks did not tell.

A forge delivers at most once and says nothing of dependencies. So on start, and then again and again,
each watched repository is asked what changed since the last time; what differs from what the router
knows is read anew. What was missed is counted there.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from coordinator.actors.clocks import Clock, SteadyClock, utc_now
from coordinator.actors.follower import MAX_CRASHES, patiently
from coordinator.actors.messages import (
    Look,
    Refresh,
    SaveSweeps,
    Stirred,
    Survey,
    Surveyed,
    SweepEnded,
    Swept,
)
from coordinator.actors.sweeper.survey import Surveyor, Watched
from coordinator.actors.sweeper.visit import Sweeping, sweep_repository
from coordinator.edges.journal import Commit, Journal, Snapshot
from coordinator.edges.snapshot_wire import dump_sweeps, load_sweeps
from coordinator.errors import ForgeError, ForgeUnauthorized, ForgeUnavailable
from coordinator.rules.backoff import MAX_BACKOFF_S, backoff_s
from coordinator.rules.events import IssueObserved
from coordinator.rules.fleet import Fleet
from coordinator.rules.sweep_plan import CONCURRENCY, REFRESH_PACE_S, SweepPlan, Visit
from coordinator.runtime import Actor, ActorDown, CallTimeout, MailboxFull

if TYPE_CHECKING:
    from coordinator.edges.gitea import Forge

__all__ = ["Sweeper"]

# A crash loses at most so much of how far it has looked, which it then looks at again.
SAVE_S = 5.0
# What a first sweep finds is not missed, so it had better be remembered that there was one.
SAVE_FIRST_S = 0.25
# How often deliveries are looked at for what they say of repositories.
LISTEN_S = 1.0
LISTEN_BATCH = 1_000
# A repository that a delivery told of for the first time is not left to the next round, nor are names
# that are still to be looked up.
EARLY_S = 1.0
# In line behind other words of ours.
_MAX_WHY_CHARS = 300
# Timers closer than this would only spin.
_MIN_WAIT_S = 0.01

_Incoming = Look | SaveSweeps | Stirred | Surveyed | SweepEnded | Refresh


class Sweeper(Actor):
    """Needs the router. `repositories` is "heard", "all", or names; each is swept every `interval_s`,
    but where there are very many the idle ones less often."""

    name = "sweeper"
    snapshot_version = 1

    def __init__(
        self,
        journal: Journal,
        fleet: Fleet,
        forge: "Forge",
        *,
        repositories: Watched,
        interval_s: float,
        clock: Clock = utc_now,
        concurrency: int = CONCURRENCY,
        refresh_pace_s: float = REFRESH_PACE_S,
    ) -> None:
        self.journal = journal
        self.logins = fleet.logins
        self.forge = forge
        self.interval_s = interval_s
        self.clock = clock
        self.now = SteadyClock(clock)  # the wall may be set while we wait
        self.log = structlog.get_logger().bind(actor=self.name)
        self.plan = SweepPlan(interval_s, concurrency=concurrency, refresh_pace_s=refresh_pace_s)
        self.surveyor = Surveyor(repositories)
        self.problem: str | None = None
        self.lost: dict[str, str] = {}
        self.commands = 0
        self.too_long: dict[int, int] = {}
        self._named: dict[str, int] = {}
        self._forge_at: tuple[datetime, float] | None = None  # its clock, and ours at that moment
        self._survey_at_s = 0.0
        self._surveyed_s = 0.0
        self._is_surveying = False
        self._is_up = False
        self._failures = 0
        self._save_at_s: float | None = None
        self._begun_s: float | None = None
        self._last_at: datetime | None = None
        self._took_s: float | None = None

    async def init(self) -> None:
        snapshot = await patiently(self, partial(self.journal.snapshot, self.name))
        if snapshot is not None and snapshot.version == self.snapshot_version:
            sweeps, self._named = load_sweeps(snapshot.state)
            self.surveyor.named = dict(self._named)
            self.plan.load(sweeps)
        self.context.spawn(self._listen, name="listen")
        self.context.ref.cast_nowait(Look())

    async def handle(self, message: _Incoming) -> object:
        reply: object = None
        match message:
            case Refresh(repo=repo):
                reply = self._refresh(repo)
            case Stirred(repo_ids=repo_ids):
                self._stirred(repo_ids)
            case Surveyed():
                self._surveyed(message)
            case SweepEnded():
                self._ended(message)
            case SaveSweeps():
                await self._save()
            case Look():
                pass
        self._go_on()
        return reply

    async def terminate(self, reason: str) -> None:
        if self._save_at_s is not None:
            await self._save()

    def inspect(self) -> object:
        wait_s = None if not self._is_up else self.plan.next_s(self.now())
        watched = self.surveyor.watched
        return {
            "watched": watched if isinstance(watched, str) else "by name",
            "repositories": len(self.plan),
            "running": len(self.plan.running),
            "failing": {**self.plan.failing, **self.lost},
            "stuck": self.plan.stuck(with_refused=watched != "heard") + len(self.lost),
            "too_long": {self.plan.name_of(each): n for each, n in sorted(self.too_long.items())},
            "problem": self.problem,
            "last_at": None if self._last_at is None else self._last_at.isoformat(),
            "took_s": self._took_s,
            "next_in_s": wait_s if wait_s is None else round(wait_s, 3),
            "commands_found": self.commands,
        }

    # deciding -----------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Begin whatever is due, and see to it that we look again when something is."""
        now_s = trio.current_time()
        if not self._is_surveying and now_s >= self._survey_at_s:
            self._is_surveying, self._surveyed_s = True, now_s
            self.context.spawn(self._survey, name="survey")
        # While we look around, what was asked for waits for the forge's clock.
        is_ready = self._is_up and not self._is_surveying
        if is_ready:
            for visit in self.plan.begin(self.now()):
                self._begin(visit)
            if self.plan.running and self._begun_s is None:
                self._begun_s = now_s
        waits: list[float | None] = [] if self._is_surveying else [self._survey_at_s - now_s]
        waits += [self.plan.next_s(self.now())] if is_ready else []
        wait_s = min((each for each in waits if each is not None), default=None)
        if wait_s is not None:
            self.context.start_timer("look", max(wait_s, _MIN_WAIT_S), Look())

    def _begin(self, visit: Visit) -> None:
        repo_id = visit.sweep.repo_id
        crashes = self.context.crashes_of(_item(repo_id))
        if len(crashes) >= MAX_CRASHES:
            why = f"sweeping it crashed twice: {crashes[-1].error.type}"
            self.plan.failed(repo_id, why, self.now(), is_refused=True)
            return
        self.context.spawn(self._sweep, visit, name=f"sweep {visit.name}", item=_item(repo_id))

    def _refresh(self, repo: str | None) -> int:
        if repo is None:
            self.surveyor.relist()
        self._survey_early(self.plan.refresh_pace_s)
        return self.plan.ask(repo, self.now())

    def _stirred(self, repo_ids: frozenset[int]) -> None:
        has_unknown = self.plan.heard(repo_ids, self.now())
        if has_unknown and self.surveyor.watched == "heard":
            self._survey_early(EARLY_S)

    def _survey_early(self, pace_s: float) -> None:
        """Look around now, if the last time is so long ago and no failure makes us wait."""
        if self._is_up:
            early_s = max(trio.current_time(), self._surveyed_s + pace_s)
            self._survey_at_s = min(self._survey_at_s, early_s)

    # surveys ------------------------------------------------------------------------------------

    def _tools(self) -> Sweeping:
        own = () if self.surveyor.own is None else (self.surveyor.own,)
        return Sweeping(
            self,
            self.forge,
            self.journal,
            self.context.whereis("router"),
            self.clock,
            self.logins.union(own),
        )

    async def _survey(self) -> None:
        names = {each.repo_id: each.name for each in self.plan.saved()}
        try:
            outcome = Surveyed(await self.surveyor.look(self._tools(), names))
        except ForgeError as error:
            retry_in_s = self.forge.health().retry_in_s or 0.0
            outcome = Surveyed(None, str(error), retry_in_s)
        except (ActorDown, CallTimeout, MailboxFull) as error:
            outcome = Surveyed(None, str(error), is_forge=False)
        await self.context.ref.cast(outcome)

    def _surveyed(self, outcome: Surveyed) -> None:
        self._is_surveying = False
        now_s = trio.current_time()
        if outcome.survey is None:
            self._failures += 1
            wait_s = max(backoff_s(self._failures), min(outcome.retry_in_s, MAX_BACKOFF_S))
            self._survey_at_s = now_s + wait_s
            if outcome.is_forge:
                self._down(outcome.error)
            return
        self._up(outcome.survey)
        partial_now = outcome.survey.is_partial
        self._survey_at_s = now_s + (EARLY_S if partial_now else self.interval_s)

    def _up(self, survey: Survey) -> None:
        if self.problem is not None:
            self.log.info("forge_reached", after_failures=self._failures)
        self._failures, self.problem, self._is_up = 0, None, True
        self._forge_at = survey.forge_at, survey.asked_s
        self.lost = dict(survey.lost)
        if dict(survey.named) != self._named:
            self._named = dict(survey.named)
            self._save_in(SAVE_S)
        self.plan.watch(survey.targets)

    def _down(self, error: str) -> None:
        if self.problem is None:
            self.log.warning("forge_not_reached", why=error[:_MAX_WHY_CHARS])
        self._is_up, self.problem = False, error[:_MAX_WHY_CHARS]

    # sweeps -------------------------------------------------------------------------------------

    async def _sweep(self, visit: Visit) -> None:
        repo_id = visit.sweep.repo_id
        try:
            swept = await sweep_repository(
                self._tools(),
                visit,
                self._forge_now(),
                self.now,
                self.interval_s,
                self.plan.max_stretch,
            )
            outcome = SweepEnded(repo_id, swept)
        except (ForgeUnavailable, ForgeUnauthorized) as error:
            is_down = isinstance(error, ForgeUnauthorized) or self.forge.health().state != "closed"
            outcome = SweepEnded(repo_id, None, str(error), is_down=is_down)
        except ForgeError as error:
            outcome = SweepEnded(repo_id, None, str(error), is_refused=True)
        except (ActorDown, CallTimeout, MailboxFull) as error:
            outcome = SweepEnded(repo_id, None, str(error))
        await self.context.ref.cast(outcome)

    def _forge_now(self) -> datetime:
        """The forge's clock now: what it showed last, and what has passed since."""
        assert self._forge_at is not None
        at, asked_s = self._forge_at
        return at + timedelta(seconds=trio.current_time() - asked_s)

    def _ended(self, outcome: SweepEnded) -> None:
        repo_id, now = outcome.repo_id, self.now()
        if outcome.swept is not None:
            self._swept(outcome.swept, now)
        elif outcome.is_down:
            self.plan.put_back(repo_id)
            self.surveyor.own = None  # the next survey shows whether the token still counts
            self._down(outcome.error)
            self._survey_at_s = trio.current_time() + (self.forge.health().retry_in_s or backoff_s(1))
        else:
            error = outcome.error[:_MAX_WHY_CHARS]
            self.plan.failed(repo_id, error, now, is_refused=outcome.is_refused)
            self.log.warning("repository_not_swept", repo_id=repo_id, why=error)
            if outcome.is_refused:
                self.surveyor.forget(repo_id)
        if not self.plan.running and self._begun_s is not None:
            self._last_at = self.clock()
            self._took_s = round(trio.current_time() - self._begun_s, 3)
            self._begun_s = None

    def _swept(self, swept: Swept, now: datetime) -> None:
        problem = swept.problem[:_MAX_WHY_CHARS]
        if problem and problem != self.plan.failing.get(swept.visit.name):
            self.log.warning("comments_not_swept", repository=swept.visit.name, why=problem)
        if self.plan.done(swept.visit, now, is_unsettled=swept.is_unsettled, problem=problem):
            self._save_in(SAVE_FIRST_S if swept.visit.sweep.sweeps == 1 else SAVE_S)
        self.commands += swept.commands
        self._passed_over(swept)
        if swept.changed or swept.commands:
            self.log.info(
                "repository_swept",
                repository=swept.visit.name,
                changed=swept.changed,
                commands=swept.commands,
            )

    def _passed_over(self, swept: Swept) -> None:
        """Say once what is too long: the next sweeps may come upon it again. They list only what has
        changed, so none of them tells that it was shortened, and the number is of this life so far."""
        visit, repo_id = swept.visit, swept.visit.sweep.repo_id
        if swept.too_long > self.too_long.get(repo_id, 0):
            self.too_long[repo_id] = swept.too_long
            self.log.warning("too_long_to_read", repository=visit.name, items=swept.too_long)

    async def _listen(self) -> None:
        """Hear which repositories deliveries tell of: a busy one is swept at the full pace."""
        seen = self.journal.head("events")
        while True:
            await self.journal.wait_past("events", seen)
            heard = set[int]()
            while batch := await patiently(self, partial(self.journal.read_events, seen, LISTEN_BATCH)):
                seen = batch[-1].seq
                events = (each.event for each in batch)
                observed = (each for each in events if isinstance(each, IssueObserved))
                heard |= {each.facts.repo_id for each in observed if each.source == "webhook"}
            if heard:
                with suppress(MailboxFull, ActorDown):
                    self.context.ref.cast_nowait(Stirred(frozenset(heard)))
            await trio.sleep(LISTEN_S)

    # the journal --------------------------------------------------------------------------------

    def _save_in(self, wait_s: float) -> None:
        at_s = trio.current_time() + wait_s
        if self._save_at_s is None or at_s < self._save_at_s:
            self._save_at_s = at_s
            self.context.start_timer("save", wait_s, SaveSweeps())

    async def _save(self) -> None:
        self._save_at_s = None
        state = dump_sweeps(self.plan.saved(), self.surveyor.named)
        snapshot = Snapshot(0, self.snapshot_version, state)
        commit = Commit(actor=self.name, at=self.clock(), snapshot=snapshot)
        await patiently(self, partial(self.journal.commit, commit))


def _item(repo_id: int) -> str:
    return f"sweep of {repo_id}"
