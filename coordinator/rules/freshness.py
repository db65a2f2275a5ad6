"""Which of two observations of one issue is the newer one: a total order, so that the fold is a max.

A forge stamps changes with whole seconds and delivers them in any order, any number of times. With a
total order over the facts themselves the outcome depends on neither. Within one second the read that
was sent last is the truth, and any read is truer than a payload. Among payloads of one second it
cannot be known; the ties are broken towards what bursts of deliveries usually end in, and the same
way everywhere: closed after open, more assignees after fewer (a forge reports n new assignees one by
one), more labels after fewer, and a digest of the whole at last.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from coordinator.rules.events import IssueFacts

__all__ = ["Freshness", "freshness", "merge"]

Freshness = tuple[int, int, int, int, int, int, str]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NEVER = -1 << 62  # before any instant a datetime can hold, in seconds or microseconds


def freshness(facts: IssueFacts) -> Freshness:
    """The sort key of an observation: greater is newer. Plain values, so that it survives JSON."""
    return (
        _microseconds(facts.updated_at) // 1_000_000,
        _NEVER if facts.read_at is None else _microseconds(facts.read_at),
        int(facts.state == "closed"),
        _NEVER if facts.closed_at is None else _microseconds(facts.closed_at) // 1_000_000,
        len(facts.assignees),
        len(facts.labels),
        _digest(facts),
    )


def merge(old: IssueFacts | None, new: IssueFacts) -> IssueFacts:
    """The newer of the two: commutative, associative, and merging twice changes nothing."""
    if old is None:
        return new
    # Nearly always the update times differ and decide, in whole seconds; the rest of the key is dear.
    times = [_microseconds(facts.updated_at) // 1_000_000 for facts in (old, new)]
    if times[0] != times[1]:
        return new if times[1] > times[0] else old
    return new if freshness(new) > freshness(old) else old


def _microseconds(at: datetime) -> int:
    # By subtraction, because converting "0001-01-01T00:00:00+02:00" to UTC leaves the calendar.
    return (at - _EPOCH) // _MICROSECOND


def _digest(facts: IssueFacts) -> str:
    whole = (
        str(facts.ref),
        facts.repo_id,
        facts.issue_id,
        facts.title,
        facts.text_key,
        facts.state,
        facts.assignees,
        facts.labels,
        facts.milestone,
        facts.html_url,
        _microseconds(facts.created_at),
        _microseconds(facts.updated_at),
        None if facts.closed_at is None else _microseconds(facts.closed_at),
        tuple(map(str, facts.blocked_by)),
        tuple(map(str, facts.blocks)),
        facts.repo_name,
        None if facts.native_blockers is None else tuple(map(str, facts.native_blockers)),
        facts.hidden_blockers,
        facts.is_pull,
    )
    # ASCII, so that no text can fail to encode; 16 bytes never collide by accident.
    return blake2b(ascii(whole).encode(), digest_size=16).hexdigest()
