"""What passes from one session to the next, and what stands in when the agent wrote nothing usable."""

from datetime import datetime

from coordinator.rules.run_state import RunState

__all__ = ["MAX_HANDOFF_BYTES", "degraded_handoff", "handoff_problem", "mechanical_facts"]

# A handoff is read in full by the successor; past this size it is a transcript, not a handoff.
MAX_HANDOFF_BYTES = 32 * 1024


def mechanical_facts(state: RunState, reason: str, now: datetime) -> str:
    """What the coordinator knows for certain about a run about to change sessions.

    Plain text that stands alone: a successor that gets nothing else can still begin.
    """
    tokens = "unknown" if state.usage is None else f"{state.usage.predicted_tokens} tokens"
    return "\n".join(
        (
            f"Run {state.run} by {state.agent}: session {state.session} ends at {now.isoformat()}.",
            f"Reason: {reason}.",
            f"Context: {tokens}, peak {state.peak_tokens}, estimated {state.estimated_context_tokens}.",
            f"Compactions: {state.compactions} in this session, {state.compactions_total} in the run.",
            "The issue:",
            state.brief,
        )
    )


def handoff_problem(handoff: str | None) -> str:
    """Why a successor cannot start from this text; "" when it can."""
    if handoff is None or not handoff.strip():
        return "the agent wrote none"
    # Lone surrogates can come out of a JSON escape; they count, they must not raise.
    size_bytes = len(handoff.encode("utf-8", "surrogatepass"))
    if size_bytes > MAX_HANDOFF_BYTES:
        return f"it has {size_bytes} bytes, more than {MAX_HANDOFF_BYTES}"
    return ""


def degraded_handoff(problem: str, facts: str) -> str:
    """The handoff that says what went wrong and gives what is known for certain."""
    return f"No usable handoff from the agent: {problem}. What is known for certain:\n\n{facts}"
