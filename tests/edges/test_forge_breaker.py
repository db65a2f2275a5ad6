"""The circuit breaker as a table of what happened and whether the next request goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.edges.forge_breaker import Breaker, BreakerPace

PACE = BreakerPace(max_failures=3, min_pause_s=1.0, max_pause_s=8.0)


def failed(breaker: Breaker, times: int, now: float = 0.0) -> Breaker:
    for _ in range(times):
        breaker = breaker.failed(now, "down", is_probe=False)
    return breaker


def test_it_starts_closed() -> None:
    """Nothing is known against the forge."""
    breaker = Breaker(PACE)
    assert (breaker.state(0.0), breaker.wait_s(0.0), breaker.failures) == ("closed", None, 0)


def test_it_opens_after_failures_in_a_row() -> None:
    """Two of three are still closed; a success in between begins the count anew."""
    assert failed(Breaker(PACE), 2).state(0.0) == "closed"
    assert failed(failed(Breaker(PACE), 2).succeeded(), 2).state(0.0) == "closed"
    breaker = failed(Breaker(PACE), 3)
    assert (breaker.state(0.5), breaker.wait_s(0.5)) == ("open", 0.5)
    assert breaker.last_error == "down"


def test_one_probe_goes_after_the_pause() -> None:
    """The first request is the probe, others wait; if it is called off, the next one is it."""
    breaker = failed(Breaker(PACE), 3)
    assert (breaker.state(1.0), breaker.wait_s(1.0)) == ("half-open", None)
    probing = breaker.sent(1.0)
    assert (probing.state(1.0), probing.wait_s(1.0)) == ("half-open", 1.0)
    assert probing.called_off().wait_s(1.0) is None


def test_sending_while_closed_changes_nothing() -> None:
    """Only the half-open state has a probe."""
    assert Breaker(PACE).sent(0.0) == Breaker(PACE)


def test_a_good_probe_closes_it() -> None:
    """All is forgiven, but what was last the matter stays known."""
    breaker = failed(Breaker(PACE), 3).sent(1.0).succeeded()
    assert breaker == Breaker(PACE, last_error="down")


def test_failed_probes_lengthen_the_pause() -> None:
    """1, 2, 4, 8 and never more seconds; a success begins anew."""
    breaker, now, pauses = failed(Breaker(PACE), 3), 0.0, []
    for _ in range(6):
        pause = breaker.wait_s(now)
        assert pause is not None
        pauses.append(pause)
        now += pause
        breaker = breaker.sent(now).failed(now, "down", is_probe=True)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert failed(breaker.succeeded(), 3, now).wait_s(now) == 1.0


def test_late_failures_change_no_pause() -> None:
    """What was under way when it opened, or while a probe is, is no news."""
    breaker = failed(failed(Breaker(PACE), 3), 5, now=0.5)
    assert (breaker.open_until, breaker.openings) == (1.0, 1)
    probing = breaker.sent(1.0).failed(1.5, "late", is_probe=False)
    assert (probing.state(1.5), probing.is_probing) == ("half-open", True)


def test_a_probe_that_fails_after_a_late_success_counts_as_any_failure() -> None:
    """The success has closed it; one failure does not open it again."""
    breaker = failed(Breaker(PACE), 3).sent(1.0).succeeded().failed(1.5, "down", is_probe=True)
    assert (breaker.state(1.5), breaker.failures) == ("closed", 1)


def test_one_place_counts_once() -> None:
    """However often one repository fails by itself; two more places, and it is the forge."""
    breaker = Breaker(PACE)
    for _ in range(9):
        breaker = breaker.failed(0.0, "500", is_probe=False, culprit="acme/broken")
    assert (breaker.failures, breaker.state(0.0)) == (1, "closed")
    for culprit in ("acme/two", "acme/three"):
        breaker = breaker.failed(0.0, "500", is_probe=False, culprit=culprit)
    assert breaker.state(0.0) == "open"


@pytest.mark.parametrize(
    ("wish_s", "jitter", "pause_s"),
    [(None, 0.0, 1.0), (None, 1.0, 0.75), (5.0, 1.0, 5.0), (0.1, 0.0, 1.0), (3_600.0, 0.0, 8.0)],
)
def test_the_forges_wish_can_lengthen_the_pause(
    wish_s: float | None, jitter: float, pause_s: float
) -> None:
    """Within bounds; chance only shortens our own."""
    breaker = failed(Breaker(PACE), 2)
    breaker = breaker.failed(0.0, "429", is_probe=False, retry_after_s=wish_s, jitter=jitter)
    assert breaker.wait_s(0.0) == pause_s


def test_a_forge_that_is_down_for_days_is_still_asked() -> None:
    """The pause stays at its maximum, however many probes failed."""
    breaker = Breaker(PACE, failures=3, openings=5_000, open_until=0.0)
    assert breaker.failed(0.0, "down", is_probe=True).wait_s(0.0) == 8.0


@given(st.lists(st.sampled_from(["ok", "bad", "wait", "drop"]), max_size=60))
def test_it_never_stays_shut(steps: list[str]) -> None:
    """Whatever happened, after the longest pause a request may go, and its success closes it."""
    breaker, now = Breaker(PACE), 0.0
    for step in steps:
        if step == "wait":
            now += 3.0
        elif breaker.wait_s(now) is None:
            is_probe = breaker.state(now) == "half-open"
            breaker = breaker.sent(now)
            match step:
                case "ok":
                    breaker = breaker.succeeded()
                case "bad":
                    breaker = breaker.failed(now, "down", is_probe=is_probe)
                case _:
                    breaker = breaker.called_off()
    now += PACE.max_pause_s
    assert breaker.wait_s(now) is None
    assert breaker.sent(now).succeeded().state(now) == "closed"
