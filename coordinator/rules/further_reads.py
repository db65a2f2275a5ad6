"""Which reads follow from what was read: who waits for an issue that closed, what ours wait for.

Bounded: only blockers of our own open issues are followed, never the blockers of those, a forge's list
of dependents is cut, and blockers that no sweep looks at take turns.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping

from coordinator.rules.backoff import backoff_s
from coordinator.rules.facts import IssueFacts
from coordinator.rules.ids import IssueRef
from coordinator.rules.orders import ReadIssue, ReadWhy
from coordinator.rules.routing import KnownIssues

__all__ = [
    "Missing",
    "contradicted",
    "dependents",
    "in_turn",
    "read_order",
    "undescribed",
    "unknown_blockers",
    "unswept_blockers",
]

# Whoever closes an issue on which more depend finds the rest with the sweep.
MAX_DEPENDENTS = 100
# Read anew beside each sweep; with more of them each is read every second time, or third.
MAX_UNSWEPT = 50
# What somebody's typing error names is asked for less and less often.
_MISSING_S = 60.0
_MAX_MISSING_S = 3_600.0


class Missing:
    """Blockers that nobody shows us, with the tries and until when each is left alone. Instants are
    seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._tries: dict[IssueRef, tuple[int, float]] = {}

    def missed(self, ref: IssueRef, now_s: float) -> None:
        """It was asked for in vain."""
        tries = self._tries.get(ref, (0, 0.0))[0] + 1
        self._tries[ref] = (tries, now_s + backoff_s(tries, _MISSING_S, _MAX_MISSING_S))

    def seen(self, ref: IssueRef) -> None:
        self._tries.pop(ref, None)

    def to_ask(self, wanted: tuple[IssueRef, ...], now_s: float) -> tuple[IssueRef, ...]:
        """Those of all wanted ones that are not left alone now; what is not wanted is forgotten."""
        self._tries = {ref: self._tries[ref] for ref in wanted if ref in self._tries}
        return tuple(ref for ref in wanted if self._tries.get(ref, (0, now_s))[1] <= now_s)


def read_order(known: KnownIssues, ref: IssueRef, why: ReadWhy, nonce: str) -> ReadIssue | None:
    """The order to read an issue known only by its ref; None if no forge can have it.

    The id of a repository never heard of is 0: then only its name can find it.
    """
    repository = known.repositories.find(ref.repo)
    if repository is not None:
        return ReadIssue(ref, repository.id, repository.current, why, nonce)
    # A "~" stands in canonical names only.
    return None if "~" in ref.repo else ReadIssue(ref, 0, ref.repo, why, nonce)


def unknown_blockers(known: KnownIssues, facts: IssueFacts) -> tuple[IssueRef, ...]:
    """What stands before one of our open issues and was never seen, sorted; also what counts as deleted
    though the forge itself names it."""
    if not known.is_open_ours(facts):
        return ()
    deleted = known.deleted.difference(facts.native_blockers or ())
    return tuple(
        sorted(ref for ref in _blockers(facts) if ref not in known.facts and ref not in deleted)
    )


def dependents(
    known: KnownIssues, closed: IssueRef, blocked: Iterable[IssueRef]
) -> tuple[IssueRef, ...]:
    """Whose dependencies are to be read again now that `closed` is; `blocked` is the forge's own list.

    Not those that are known to wait for it and for nothing hidden: they are told without being read.
    """
    found = (ref for ref in sorted(set(blocked)) if ref != closed)
    return tuple(ref for ref in found if _needs_reading(known.facts.get(ref), closed))[:MAX_DEPENDENTS]


def contradicted(
    known: KnownIssues, facts: IssueFacts, seen: Mapping[IssueRef, str]
) -> tuple[IssueRef, ...]:
    """The blockers of one of our open issues that were seen, beside it, in another state than the known
    one, sorted: there was news of them that nobody told."""
    if not known.is_open_ours(facts):
        return ()
    told = ((ref, known.facts.get(ref), state) for ref, state in sorted(seen.items()))
    return tuple(ref for ref, old, state in told if old is not None and old.state != state)


def unswept_blockers(known: KnownIssues, swept: Collection[int]) -> tuple[IssueRef, ...]:
    """Everything our open issues wait for or waited for that no sweep shows, sorted.

    That is what lies in repositories that are not swept, also what counts as deleted, since nothing
    else would find it there again; and in swept ones the pull requests, and what was never seen and so
    may be one.
    """
    found = {ref for facts in known.open_ours() for ref in _blockers(facts)}
    return tuple(sorted(ref for ref in found if _is_unswept(known, ref, swept)))


def in_turn(
    refs: tuple[IssueRef, ...], after: IssueRef | None, most: int = MAX_UNSWEPT
) -> tuple[IssueRef, ...]:
    """The next few of these sorted refs, behind the one that was last the time before; at the end it
    begins anew."""
    start = 0 if after is None else bisect_right(refs, after)
    return (*refs[start:], *refs[:start])[:most]


def undescribed(known: KnownIssues) -> tuple[IssueRef, ...]:
    """Our open issues whose dependencies at the forge were never read, sorted."""
    return tuple(sorted(each.ref for each in known.open_ours() if each.native_blockers is None))


def _blockers(facts: IssueFacts) -> set[IssueRef]:
    return {*facts.blocked_by, *(facts.native_blockers or ())} - {facts.ref}


def _needs_reading(facts: IssueFacts | None, closed: IssueRef) -> bool:
    if facts is None:
        return True
    is_told = closed in (facts.native_blockers or ()) and not facts.hidden_blockers
    return facts.state == "open" and not is_told


def _is_unswept(known: KnownIssues, ref: IssueRef, swept: Collection[int]) -> bool:
    repository = known.repositories.find(ref.repo)
    if repository is None or repository.id not in swept:
        return True
    facts = known.facts.get(ref)
    return ref not in known.deleted if facts is None else facts.is_pull
