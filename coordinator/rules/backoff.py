"""How long to leave alone what has failed: twice as long each time, up to a bound."""

__all__ = ["MAX_BACKOFF_S", "backoff_s"]

# A minute: who mends something sees it noticed while still looking.
MAX_BACKOFF_S = 60.0


def backoff_s(
    failures: int, first_s: float = 1.0, max_s: float = MAX_BACKOFF_S, *, jitter: float = 0.0
) -> float:
    """The pause after this many failures (≥ 1) in a row.

    `jitter`, drawn from 0..1, shortens it by up to a quarter, so that many do not come back at once.
    """
    doublings = min(failures - 1, 32)  # beyond, any first pause has reached its bound
    return min(first_s * 2.0**doublings, max_s) * (1 - 0.25 * jitter)
