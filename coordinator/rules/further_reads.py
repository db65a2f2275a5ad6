"""Which reads follow from what was read: who waits for an issue that closed, what ours wait for.

Bounded: only blockers of our own open issues are followed, never the blockers of those, and a forge's
list of dependents is cut.
"""

from collections.abc import Collection, Iterable

from coordinator.rules.facts import IssueFacts
from coordinator.rules.ids import IssueRef
from coordinator.rules.orders import ReadIssue, ReadWhy
from coordinator.rules.routing import KnownIssues

__all__ = ["blockers_outside", "dependents", "read_order", "undescribed", "unknown_blockers"]

# Whoever closes an issue on which more depend finds the rest with the sweep.
MAX_DEPENDENTS = 100


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


def blockers_outside(known: KnownIssues, swept: Collection[int]) -> tuple[IssueRef, ...]:
    """Everything our open issues wait for or waited for in repositories no sweep looks at, sorted; also
    what counts as deleted, since nothing else would find it there again."""
    ours = [facts for facts in known.facts.values() if known.is_open_ours(facts)]
    found = {ref for facts in ours for ref in _blockers(facts)}
    return tuple(sorted(ref for ref in found if _repo_id(known, ref) not in swept))


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


def _repo_id(known: KnownIssues, ref: IssueRef) -> int | None:
    repository = known.repositories.find(ref.repo)
    return None if repository is None else repository.id
