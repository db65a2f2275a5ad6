"""One sweep of one repository: its pages to the router, then what no list shows.

Beside what changed a sweep looks for issues that are gone (no forge before Gitea 1.25 says so) and for
commands in comments whose delivery was lost. Whatever people write, they blind no sweep: a page too
long to hold is asked for in parts, an item too long is passed over and counted, and comments that
cannot be looked through wait while the issues go on.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from coordinator.actors.clocks import Clock
from coordinator.actors.follower import patiently
from coordinator.actors.messages import DescribeReads, KnownOf, ReadAgain, Sighted, Sighting, Swept
from coordinator.actors.sweeper.pages import in_parts
from coordinator.edges.gitea_remote_wire import IssuePage, RemoteComment
from coordinator.edges.gitea_wire import facts_of_issue
from coordinator.edges.journal import Commit, Journal, OrderDraft
from coordinator.errors import ForgeError, ForgeUnauthorized, ForgeUnavailable
from coordinator.rules.commands import is_command
from coordinator.rules.facts import IssueFacts
from coordinator.rules.ids import IssueRef, Login
from coordinator.rules.orders import RunCommand
from coordinator.rules.sweep_plan import Visit
from coordinator.rules.sweeping import OVERLAP_S, SETTLE_S, Listing, Part, vanished
from coordinator.runtime import Actor, ActorRef, Call

if TYPE_CHECKING:
    from coordinator.edges.gitea import Forge

__all__ = ["ROUTER_TIMEOUT_S", "Sweeping", "sweep_repository"]

T = TypeVar("T")

# The router answers in milliseconds, unless it waits for the disk.
ROUTER_TIMEOUT_S = 30.0
# A list that shrinks three times while it is read is of a repository that is being cleared out.
MAX_LISTINGS = 3
# 100,000 issues; a forge with more pages than that never ends.
MAX_PAGES = 2_000
# What the router takes in within some ten milliseconds.
CHUNK = 50
# More reads than the forge answers in a minute: adding to them would only make the oldest wait longer.
MAX_PENDING_READS = 2_000
ROOM_S = 1.0
# Reads that nobody answers must not keep us from looking elsewhere.
MAX_WAIT_S = 60.0
# Reads that a full list asked for are answered within a second or two; else the next sweep looks again.
DRAIN_S = 10.0
DRAIN_STEP_S = 0.2
# Where the forge's clock was set back behind our first sweep, what it has stamped in the last hour is
# of our time: a sweep has come by since it was set back.
CLOCK_BACK_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Sweeping:
    """What every sweep needs: whom to ask, whom to tell, and whose comments are no commands."""

    actor: Actor
    forge: "Forge"
    journal: Journal
    router: ActorRef
    clock: Clock
    not_people: frozenset[Login]


async def sweep_repository(
    tools: Sweeping,
    visit: Visit,
    forge_now: datetime,
    now: Callable[[], datetime],
    base_s: float,
    max_stretch: float,
) -> Swept:
    """Sweep it once. `forge_now` is the forge's clock, `now` ours, which never jumps; the next sweep is
    due after `base_s`, or up to `max_stretch` times that if nothing happens.

    Raises ForgeError, and what a call to the router raises: then nothing counts as swept.
    """
    return await _Sweep(tools, visit, forge_now).run(now, base_s, max_stretch)


class _Sweep:
    def __init__(self, tools: Sweeping, visit: Visit, forge_now: datetime) -> None:
        self.tools = tools
        self.forge = tools.forge
        self.sweep = visit.sweep.by_clock(forge_now)
        self.repo_id = visit.sweep.repo_id
        self.name = visit.name
        self.forge_now = forge_now
        self.settled_before = forge_now - timedelta(seconds=SETTLE_S)
        self.commands_from = visit.commands_from
        self.comments_owed = visit.comments_owed
        self.problem = ""
        self.too_long = 0
        self.changed = False
        # What this sweep has told the router already, by number: pages overlap and lists are repeated.
        self._told: dict[int, datetime] = {}

    async def run(self, now: Callable[[], datetime], base_s: float, max_stretch: float) -> Swept:
        await self._wait_for_room()
        listing = await self._list(self.sweep.since)
        self.too_long += listing.too_long
        commands = await self._look_for_commands(listing)
        await self._compare_counts(listing)
        swept = self.sweep.swept(
            listing,
            now(),
            settled_before=self.settled_before,
            changed=self.changed,
            base_s=base_s,
            max_stretch=max_stretch,
        )
        is_first = self.sweep.is_first
        unsettled = listing.newest is not None and listing.newest > self.settled_before
        return Swept(
            Visit(
                self.name,
                swept,
                self._begins_at() if is_first else self.commands_from,
                self.comments_owed,
            ),
            changed=self.changed,
            is_unsettled=unsettled and not is_first,
            commands=commands,
            problem=self.problem,
            too_long=self.too_long,
        )

    def _begins_at(self) -> datetime:
        """Comments are stamped with whole seconds."""
        return self.forge_now.replace(microsecond=0)

    async def _wait_for_room(self) -> None:
        """A first sweep of many repositories asks for reads faster than they are answered."""
        with trio.move_on_after(MAX_WAIT_S):
            while (await self._ask(DescribeReads())).pending > MAX_PENDING_READS:  # noqa: ASYNC110
                await trio.sleep(ROOM_S)

    # the list -----------------------------------------------------------------------------------

    async def _list(self, since: datetime | None) -> Listing:
        """All pages, told to the router; read again until nothing can have slipped through."""
        for _ in range(MAX_LISTINGS):
            listing = Listing()
            await self._read_pages(listing, since)
            if listing.is_stable:
                return listing
        raise ForgeUnavailable(f"{self.name}: its list shrank {MAX_LISTINGS} times while it was read")

    async def _read_pages(self, listing: Listing, since: datetime | None) -> None:
        async def read(part: Part) -> bool:
            # Before the request: what the page shows may be older than the moment it came.
            read_at = self.tools.clock()
            page = await self.forge.issues(
                self.name,
                since=since,
                page=part.page,
                limit=part.size,
                repo_id=self.repo_id,
            )
            sightings = await self._sightings(page, read_at)
            listing.add((each.facts for each in sightings), page.total)
            await self._tell(sightings)
            return page.is_end or page.total == len(listing)

        size = await self.forge.page_size()
        for number in range(1, MAX_PAGES + 1):
            outcome = await in_parts(Part(number, size), read)
            listing.too_long += outcome.too_long
            if outcome.is_end:
                return
        raise ForgeUnavailable(f"{self.name}: more than {MAX_PAGES} pages, expected an empty one")

    async def _sightings(self, page: IssuePage, read_at: datetime) -> list[Sighting]:
        found: list[Sighting] = []
        for issue in page.issues:
            await trio.lowlevel.checkpoint()  # long texts take a millisecond to read
            facts, text = facts_of_issue(issue, None, read_at)
            found.append(Sighting(facts, text))
            self.name = issue.repo_full_name
        return found

    async def _tell(self, sightings: list[Sighting]) -> None:
        news = [each for each in sightings if self._is_untold(each.facts)]
        for start in range(0, len(news), CHUNK):
            items = tuple(news[start : start + CHUNK])
            is_first = self.sweep.is_first
            settled_before = None if is_first else self.settled_before
            reply = await self._ask(Sighted(items, is_first, settled_before))
            self.changed |= reply.changed
            self._told |= {each.facts.ref.number: each.facts.updated_at for each in items}

    def _is_untold(self, facts: IssueFacts) -> bool:
        return self._told.get(facts.ref.number) != facts.updated_at

    # what is gone -------------------------------------------------------------------------------

    async def _compare_counts(self, listing: Listing) -> None:
        """A forge that says nothing of deletions still counts fewer issues than we know."""
        count = await self.forge.count_issues(self.name, repo_id=self.repo_id)
        known = await self._ask(KnownOf(self.repo_id))
        have = _together(known.refs, listing.issues)
        if self.sweep.suspects(count, have):
            await self._look_for_gone(known.refs)

    async def _look_for_gone(self, known: tuple[IssueRef, ...]) -> None:
        listing = await self._list(None)
        gone = vanished(known, listing.issues)
        # Where issues are switched off they are all out of sight, and none is deleted.
        if gone and not (await self.forge.repository(self.name, repo_id=self.repo_id)).has_issues:
            self.sweep = self.sweep.listed(len(listing), len(known))
            return
        if gone:
            asked = await self._ask(ReadAgain(gone))
            self.changed |= asked > 0
        with trio.move_on_after(DRAIN_S):
            while (settled := await self._ask(KnownOf(self.repo_id))).pending:  # noqa: ASYNC110
                await trio.sleep(DRAIN_STEP_S)
            have = _together(settled.refs, listing.issues)
            self.sweep = self.sweep.listed(len(listing), have)

    # comments -----------------------------------------------------------------------------------

    def _has_news(self, listing: Listing) -> bool:
        """A comment moves its issue's update time, so without news there is no new comment."""
        mark, newest = self.sweep.watermark, listing.newest
        return self.changed or (newest is not None and (mark is None or newest > mark))

    async def _look_for_commands(self, listing: Listing) -> int:
        """How many new ones were ordered. Where the comments cannot be read, all else goes on, and they
        are looked through the next time."""
        since = self._comments_since()
        if since is None or not (self.comments_owed or self._has_news(listing)):
            return 0
        try:
            found = await self._commands(since)
        except ForgeUnauthorized:
            raise
        except ForgeError as error:
            self.comments_owed, self.problem = since, f"its comments were not looked through: {error}"
            return 0
        self.comments_owed = None
        return await self._order(found)

    def _comments_since(self) -> datetime | None:
        """What was written before the first sweep is none of ours. Where the forge's clock was set back
        behind that, what it has stamped of late is."""
        if self.sweep.is_first or self.commands_from is None:
            return None
        is_back = self.commands_from > self.forge_now
        late = self.forge_now - timedelta(seconds=CLOCK_BACK_S)
        from_ = late.replace(microsecond=0) if is_back else self.commands_from
        since = max(self.sweep.since or from_, from_)
        return since if self.comments_owed is None else min(since, self.comments_owed)

    async def _commands(self, since: datetime) -> list[RemoteComment]:
        seen: set[int] = set()
        found: dict[int, RemoteComment] = {}

        async def read(part: Part) -> bool:
            comments = await self.forge.comments_since(
                self.name, since, part.page, limit=part.size, repo_id=self.repo_id
            )
            # A single comment that was seen may have been shifted; a whole page of them is the end.
            is_seen = seen.issuperset(each.id for each in comments)
            seen.update(each.id for each in comments)
            found.update((each.id, each) for each in comments if self._commands_us(each, since))
            return not comments or (part.size == size and is_seen)

        size = await self.forge.page_size()
        for page in range(1, MAX_PAGES + 1):
            outcome = await in_parts(Part(page, size), read)
            self.too_long += outcome.too_long
            if outcome.is_end:
                break
        return list(found.values())

    def _commands_us(self, comment: RemoteComment, since: datetime) -> bool:
        is_ours = comment.author in self.tools.not_people
        is_here = comment.issue_number is not None and not comment.is_pull
        # Stamped ahead of the forge's clock, it was written before that was set back.
        is_new = since <= comment.created_at <= self.forge_now + timedelta(seconds=OVERLAP_S)
        return is_here and not is_ours and is_new and is_command(comment.body)

    async def _order(self, comments: list[RemoteComment]) -> int:
        if not comments:
            return 0
        canonical = (await self._ask(KnownOf(self.repo_id))).canonical or self.name.lower()
        drafts = [
            OrderDraft(
                RunCommand(
                    IssueRef(canonical, each.issue_number or 0), self.repo_id, self.name, each.id
                ),
                "scribe",
            )
            for each in comments
        ]
        journal, at = self.tools.journal, self.tools.clock()
        commit = Commit(actor=self.tools.actor.context.id, at=at, opened=tuple(drafts))
        return len((await patiently(self.tools.actor, partial(journal.commit, commit))).opened)

    def _ask(self, message: Call[T]) -> Awaitable[T]:
        return self.tools.router.call(message, timeout_s=ROUTER_TIMEOUT_S)


def _together(known: tuple[IssueRef, ...], listed: dict[int, IssueFacts]) -> int:
    """How many issues are known once those listed are read."""
    return len({ref.number for ref in known} | listed.keys())
