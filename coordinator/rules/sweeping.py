"""The sweep's decisions: what a list of issues differs in, how far it reached, when to look again.

A sweep of a repository lists what was updated since its watermark. Forges stamp with whole seconds
and take `since` inclusively, and what is stamped first may be committed last, so each sweep overlaps
the one before. The list shows no deletions; those are suspected by the count of issues.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from coordinator.rules.facts import IssueFacts
from coordinator.rules.ids import IssueRef

__all__ = [
    "Listing",
    "Look",
    "Part",
    "RepositorySweep",
    "differences",
    "is_read_later",
    "look",
    "vanished",
]

# A forge stamps an issue inside the transaction it commits; none of its transactions lasts this long.
OVERLAP_S = 30.0
# A forge delivers within 5 s or never, but may have others to serve first. What changed less long ago
# than this is left to its delivery until the next sweep, else slow deliveries would count as missed.
SETTLE_S = 10.0
# The second of a change, and one more for clocks that are only told in whole seconds.
_EARLY_S = 2.0
# Where there are so many repositories that idle ones have to wait longer, they do so a little more each
# time, after the ordinary pauses between two changes have passed.
_PATIENT_SWEEPS = 3
_STRETCH = 1.5
_MAX_EXPONENT = 30  # 1.5 to this power is above any stretch: further powers would only grow large
# Neighbours among those drift apart by this share of the interval, so that they never sweep at once.
_SPREAD = 0.1
_GOLDEN = 0.6180339887498949  # multiples of it spread evenly, however many there are

Look = Literal["pass", "take", "read"]


def differences(old: IssueFacts | None, new: IssueFacts) -> tuple[str, ...]:
    """What must have happened between the two, sorted: one word for each kind of delivery missed."""
    if old is None:
        came = {"opened": True, "assigned": bool(new.assignees), "closed": new.state == "closed"}
        return tuple(sorted(word for word, happened in came.items() if happened))
    before, after = set(old.assignees), set(new.assignees)
    native = new.native_blockers is not None and (
        (old.native_blockers or (), old.hidden_blockers) != (new.native_blockers, new.hidden_blockers)
    )
    found = {
        "assigned": bool(after - before),
        "unassigned": bool(before - after),
        "closed": (old.state, new.state) == ("open", "closed"),
        "reopened": (old.state, new.state) == ("closed", "open"),
        "edited": (old.title, old.text_key) != (new.title, new.text_key),
        "labels": old.labels != new.labels,
        "milestone": old.milestone != new.milestone,
        "dependencies": native,
    }
    return tuple(sorted(word for word, happened in found.items() if happened))


def look(seen: IssueFacts, known: IssueFacts | None, *, settled_before: datetime | None = None) -> Look:
    """What to do about an issue seen in a list: nothing, take the list's word, or read it.

    A later update time alone is reason enough: dependencies are in no list. A closed issue seen for
    the first time needs no reading, because what it once waited for matters to nobody. With
    `settled_before`, what changed after it is passed over this time. An older view says nothing, unless
    it was asked for later: then the forge's clock was set back, or the forge restored from a backup.
    """
    if settled_before is not None and seen.updated_at > settled_before:
        return "pass"
    if known is None:
        return "take" if seen.state == "closed" else "read"
    if seen.updated_at < known.updated_at:
        return "read" if is_read_later(seen, known) and differences(known, seen) else "pass"
    is_news = seen.updated_at > known.updated_at or differences(known, seen)
    return "read" if is_news or _was_early(seen, known, settled_before) else "pass"


def is_read_later(new: IssueFacts, old: IssueFacts) -> bool:
    """Whether both are answers of the forge, and the new one was asked for after the old one."""
    return new.read_at is not None and old.read_at is not None and new.read_at > old.read_at


def _was_early(seen: IssueFacts, known: IssueFacts, settled_before: datetime | None) -> bool:
    """Whether what is known was read so soon after the last change that a dependency may have followed
    within the same second: it leaves no trace in any list.

    Both instants by the forge's clock, which shows `SETTLE_S` more than `settled_before` now.
    """
    if settled_before is None or seen.read_at is None or known.read_at is None:
        return False
    forge_now = settled_before + timedelta(seconds=SETTLE_S)
    known_at = known.read_at - (seen.read_at - forge_now)
    return seen.state == "open" and known_at < known.updated_at + timedelta(seconds=_EARLY_S)


def vanished(known: Iterable[IssueRef], listed: Container[int]) -> tuple[IssueRef, ...]:
    """The known issues of a repository that a full list does not show, sorted; to be read again."""
    return tuple(sorted(ref for ref in known if ref.number not in listed))


@dataclass(frozen=True, slots=True)
class Part:
    """The page numbered `page`, from 1, of a list of which every page holds `size` items."""

    page: int
    size: int

    def smaller(self) -> tuple["Part", ...]:
        """The same items on the next smaller pages, in order; none if it is a single item."""
        share = next((n for n in range(2, self.size + 1) if self.size % n == 0), 0)
        first = (self.page - 1) * share + 1
        return tuple(Part(page, self.size // share) for page in range(first, first + share))


@dataclass(slots=True)
class Listing:
    """The pages of one list of issues, put together.

    Whatever is created or updated while paging shifts issues to later pages, where they are seen
    twice; but a deletion shifts one to an earlier page, and nobody sees it. `too_long` counts the
    issues that were passed over because nobody can read them.
    """

    issues: dict[int, IssueFacts] = field(default_factory=dict)
    totals: set[int] = field(default_factory=set)
    too_long: int = 0

    def __len__(self) -> int:
        """How many issues the forge has shown, or tried to."""
        return len(self.issues) + self.too_long

    def add(self, issues: Iterable[IssueFacts], total: int | None) -> None:
        """Take a page in; of two views of an issue the later updated one stays."""
        for facts in issues:
            known = self.issues.get(facts.ref.number)
            if known is None or known.updated_at <= facts.updated_at:
                self.issues[facts.ref.number] = facts
        if total is not None:
            self.totals.add(total)

    @property
    def is_stable(self) -> bool:
        """Whether nothing can have slipped through while it was read; else read it once more."""
        return not self.totals or len(self) >= max(self.totals)

    @property
    def newest(self) -> datetime | None:
        """The latest update time in the list."""
        return max((facts.updated_at for facts in self.issues.values()), default=None)


@dataclass(frozen=True, slots=True)
class RepositorySweep:
    """How far a repository was swept and when it is due again.

    `watermark` is by the forge's clock, which also stamps the issues; everything else is by ours. It
    is None until a sweep found an issue. `sweeps` counts those finished, `quiet` those in a row that
    found nothing. `counted` is the pair (issues at the forge, issues known) that the last full list
    could not bring to agree.
    """

    repo_id: int
    watermark: datetime | None = None
    sweeps: int = 0
    quiet: int = 0
    due_at: datetime | None = None
    counted: tuple[int, int] | None = None

    @property
    def is_first(self) -> bool:
        """Whether no sweep was finished yet: what the first one finds was never expected."""
        return self.sweeps == 0

    @property
    def since(self) -> datetime | None:
        """From when on the next sweep lists, in whole seconds; None: everything."""
        if self.watermark is None:
            return None
        return (self.watermark - timedelta(seconds=OVERLAP_S)).replace(microsecond=0)

    def by_clock(self, forge_now: datetime) -> "RepositorySweep":
        """The same by the forge's clock of this moment: a watermark ahead of it is void, since what
        changes now is stamped earlier, and everything is listed."""
        is_ahead = self.watermark is not None and self.watermark > forge_now
        return replace(self, watermark=None) if is_ahead else self

    def is_due(self, now: datetime) -> bool:
        return self.due_at is None or self.due_at <= now

    def stirred(self, now: datetime) -> "RepositorySweep":
        """Something happened there, or somebody asked: look again now."""
        return replace(self, quiet=0, due_at=now if self.due_at is None else min(self.due_at, now))

    def swept(
        self,
        listing: Listing,
        now: datetime,
        *,
        settled_before: datetime,
        changed: bool,
        base_s: float,
        max_stretch: float = 1.0,
    ) -> "RepositorySweep":
        """After a stable list, all of it looked at; `settled_before` is by the forge's clock.

        The watermark goes back only with the forge's clock. It never passes `settled_before`: what
        changed after that was passed over, and a clock that ran ahead for a moment would blind us
        until then.
        """
        quiet = 0 if changed else self.quiet + 1
        marks = [each for each in (listing.newest, self.watermark) if each is not None]
        return replace(
            self,
            watermark=min(max(marks), settled_before) if marks else None,
            sweeps=self.sweeps + 1,
            quiet=quiet,
            due_at=now + timedelta(seconds=self.interval_s(base_s, quiet, max_stretch)),
        )

    def failed(self, now: datetime, after_s: float) -> "RepositorySweep":
        """The list could not be read to its end; the watermark stays where it is."""
        return replace(self, due_at=now + timedelta(seconds=after_s))

    def interval_s(self, base_s: float, quiet: int, max_stretch: float = 1.0) -> float:
        """How long until the next sweep, after this many quiet ones: never below `base_s`, and just
        that where there is no need to stretch it."""
        if max_stretch <= 1:
            return base_s
        exponent = min(max(quiet - _PATIENT_SWEEPS, 0), _MAX_EXPONENT)
        stretch = min(_STRETCH**exponent, max_stretch)
        return base_s * stretch * (1 + _SPREAD * ((self.repo_id * _GOLDEN) % 1))

    def suspects(self, count: int, known: int) -> bool:
        """Whether the count at the forge, against that of the issues we know, calls for a full list.

        Once a full list has not explained a difference, only another difference calls for one.
        """
        explained = 0 if self.counted is None else self.counted[0] - self.counted[1]
        return count - known != explained

    def listed(self, count: int, known: int) -> "RepositorySweep":
        """After a full list, and with what it brought taken in."""
        return replace(self, counted=(count, known) if count != known else None)
