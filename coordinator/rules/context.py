"""What a context window's fill means and what to do about it.

One measure throughout: `predicted_tokens`, what the next request starts from. Thresholds apply to
the *usable* window, each with an optional absolute cap; what is unknown stays unknown.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from fractions import Fraction
from math import ceil
from typing import NamedTuple

__all__ = [
    "COMPACT_THRESHOLD",
    "ROTATE_THRESHOLD",
    "ContextAction",
    "ContextPolicy",
    "ContextUsage",
    "Limits",
    "decide",
    "fill",
    "fill_in_percent",
    "limits",
    "rearm_at_tokens",
    "refilled_above_tokens",
    "usable_of",
    "usable_tokens",
]

# Above 80 % of the usable window models lose track of early instructions, and a compaction still has
# room to run; at 95 % only the handoff fits.
COMPACT_THRESHOLD = 0.80
ROTATE_THRESHOLD = 0.95


class ContextAction(Enum):
    """What a reading asks for."""

    CONTINUE = "continue"
    COMPACT = "compact"
    ROTATE = "rotate"


@dataclass(frozen=True, slots=True)
class ContextPolicy:
    """When and how one agent's context is looked after; fractions are of the usable window.

    `compact_cap_tokens` and `rotate_cap_tokens` are absolute upper limits beside the fractions.
    `window_tokens` is the operator's word on the window, for models whose record cannot be read.
    `max_fill_after` is the fill right after a compaction above which only a new session helps.
    """

    compact_at: float = COMPACT_THRESHOLD
    rotate_at: float = ROTATE_THRESHOLD
    compact_cap_tokens: int | None = None
    rotate_cap_tokens: int | None = None
    window_tokens: int | None = None
    auto_compact_tokens: int | None = None
    poll_s: float = 10.0
    poll_jitter: float = 0.2
    rearm_points: float = 0.15
    min_gain: float = 0.20
    max_compactions: int = 2
    cooldown_s: float = 120.0
    compact_timeout_s: float = 300.0
    rotate_timeout_s: float = 600.0
    max_sessions: int = 5
    unknown_after_failures: int = 3
    stall_after_s: float = 1800.0
    max_fill_after: float = 0.50


@dataclass(frozen=True, slots=True)
class ContextUsage:
    """One reading of a context window, in tokens.

    The first three are of the last single main-thread model request; sums over a turn or session
    are wrong here. `window_tokens` is the model's own record, None when unknown.
    """

    input_tokens: int
    cache_read_tokens: int
    cache_creation_tokens: int
    output_tokens: int
    window_tokens: int | None
    sampled_at: datetime

    @property
    def used_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_creation_tokens

    @property
    def predicted_tokens(self) -> int:
        """What the next request starts from: this one's input plus its answer."""
        return self.used_tokens + self.output_tokens


class Limits(NamedTuple):
    """The fills, in tokens, at which something is done; None: no limit is known."""

    compact_at_tokens: int | None
    rotate_at_tokens: int | None


def usable_tokens(window_tokens: int | None, policy: ContextPolicy) -> int | None:
    """How much of the window can be used: the smaller of it and the driver's auto-compact trigger.

    An unknown window (None, or a nonsensical size) falls back to the operator's word; without one
    the answer is None, even when a trigger is configured: it may lie far above the real window.
    """
    window = next((w for w in (window_tokens, policy.window_tokens) if w is not None and w > 0), None)
    if window is None or policy.auto_compact_tokens is None:
        return window
    return min(window, policy.auto_compact_tokens)


def usable_of(usage: ContextUsage, policy: ContextPolicy) -> int | None:
    """The usable window of the model that gave this reading; None while unknown."""
    return usable_tokens(usage.window_tokens, policy)


def limits(policy: ContextPolicy, usable: int | None) -> Limits:
    """The thresholds in tokens: a fraction of `usable` or the absolute cap, whichever is smaller.

    Reaching a limit counts as crossing it. With `usable` unknown only the caps remain.
    """
    return Limits(
        _limit(policy.compact_at, usable, policy.compact_cap_tokens),
        _limit(policy.rotate_at, usable, policy.rotate_cap_tokens),
    )


def _limit(fraction: float, usable: int | None, cap_tokens: int | None) -> int | None:
    of_window = None if usable is None else ceil(_exact(fraction) * usable)
    known = [tokens for tokens in (of_window, cap_tokens) if tokens is not None]
    return min(known, default=None)


def _exact(fraction: float) -> Fraction:
    """The fraction as the operator wrote it: 0.95 is 19/20, not its nearest binary neighbour."""
    return Fraction(str(fraction))


def rearm_at_tokens(policy: ContextPolicy, usable: int | None) -> int | None:
    """The fill at or below which another compaction may be asked for; None: no compact limit.

    `rearm_points` below the threshold. Where a cap is the threshold, the distance shrinks in
    proportion: 15 points of a large window may be more than the whole cap.
    """
    return _below_compact_limit(policy, usable, policy.compact_at - policy.rearm_points)


def refilled_above_tokens(policy: ContextPolicy, usable: int | None) -> int | None:
    """The fill above which a context just compacted is as good as full again; None: no limit.

    `max_fill_after` of the usable window, in proportion where a cap is the threshold.
    """
    return _below_compact_limit(policy, usable, policy.max_fill_after)


def _below_compact_limit(policy: ContextPolicy, usable: int | None, fraction: float) -> int | None:
    compact_at = limits(policy, usable).compact_at_tokens
    if compact_at is None:
        return None
    return int(compact_at * _exact(max(fraction, 0.0)) / _exact(policy.compact_at))


def fill(usage: ContextUsage | None, policy: ContextPolicy) -> float | None:
    """The share of the usable window the next request starts from; may exceed 1, None when unknown."""
    usable = None if usage is None else usable_of(usage, policy)
    return None if usage is None or usable is None else usage.predicted_tokens / usable


def fill_in_percent(usage: ContextUsage | None, policy: ContextPolicy) -> str:
    """The fill for people, such as "81.5 % of 200000 tokens", or what is known without a window."""
    if usage is None:
        return "unknown"
    usable, tokens = usable_of(usage, policy), usage.predicted_tokens
    if usable is None:
        return f"{tokens} tokens of an unknown window"
    return f"{100 * tokens / usable:.1f} % of {usable} tokens"


def decide(usage: ContextUsage | None, policy: ContextPolicy, *, armed: bool = True) -> ContextAction:
    """What the reading asks for, whatever the moment: rotate before compact, compact only if armed.

    No reading, or no limit known for it, is CONTINUE: `fill` says None then, so nobody takes it for
    a measured low fill.
    """
    if usage is None:
        return ContextAction.CONTINUE
    compact_at, rotate_at = limits(policy, usable_of(usage, policy))
    if rotate_at is not None and usage.predicted_tokens >= rotate_at:
        return ContextAction.ROTATE
    if armed and compact_at is not None and usage.predicted_tokens >= compact_at:
        return ContextAction.COMPACT
    return ContextAction.CONTINUE
