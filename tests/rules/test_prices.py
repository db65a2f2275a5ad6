"""What tokens cost and what a run is expected to cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.context import ContextUsage
from coordinator.rules.events import ParseCost
from coordinator.rules.prices import (
    PRICES,
    cost,
    expected_cost_usd,
    most_expensive,
    price_of,
)
from tests.rules.runs import EPOCH


@pytest.mark.parametrize(
    ("model", "listed"),
    [
        ("claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-sonnet-5[1m]", "claude-sonnet-5"),
        ("claude-sonnet-5-20260101[1m]", "claude-sonnet-5"),
        ("claude-sonnet-5-6", None),
        ("gpt-7", None),
        ("", None),
    ],
)
def test_a_model_is_found_by_its_family_name(model: str, listed: str | None) -> None:
    """Release dates and window suffixes do not change the price, another version does."""
    assert price_of(model) == (PRICES[listed] if listed else None)


@pytest.mark.parametrize(
    ("model", "tokens", "usd"),
    [
        ("claude-sonnet-5-5", ParseCost(input_tokens=3_000, output_tokens=1_000), 0.016),
        ("claude-opus-5-5", ParseCost(cache_read_tokens=1_000_000), 0.20),
        ("claude-opus-5-5", ParseCost(cache_creation_tokens=1_000_000), 5.0),
        ("claude-haiku-5-5", ParseCost(input_tokens=100_000, output_tokens=1_000), 0.0105),
        ("claude-haiku-5-5", ParseCost(input_tokens=100_001, output_tokens=1_000), 0.0525005),
        ("claude-haiku-5-5", ParseCost(cache_read_tokens=99_999, input_tokens=2), 0.00500095),
        ("claude-sonnet-5-5", ParseCost(), 0.0),
        ("claude-sonnet-5-5", ContextUsage(500_000, 0, 0, 0, None, EPOCH), 1.0),
    ],
)
def test_a_request_costs_its_list_price(
    model: str, tokens: ParseCost | ContextUsage, usd: float
) -> None:
    """Each kind of token at its rate; a long prompt puts the whole request into the upper band."""
    price = price_of(model)
    assert price is not None
    assert cost(price, tokens) == pytest.approx(usd)


def test_expected_cost_follows_the_formula() -> None:
    """40,000 tokens on Sonnet 5.5: ten requests, writes and output once, reads nine halves of it."""
    writes, output, reads = 40_000 * 2.50, 8_000 * 10.0, 40_000 * 4.5 * 0.10
    assert expected_cost_usd(40_000, "claude-sonnet-5-5") == pytest.approx(
        (writes + output + reads) / 1e6
    )


def test_expected_cost_pays_each_request_in_its_band() -> None:
    """On Haiku 5.5 the 25 requests up to 100,000 tokens are cheap and the 25 behind are not."""
    low = 25 * 4_000 * (0.125 + 0.2 * 0.50) + 4_000 * sum(range(25)) * 0.01
    high = 25 * 4_000 * (0.625 + 0.2 * 2.50) + 4_000 * sum(range(25, 50)) * 0.05
    assert expected_cost_usd(200_000, "claude-haiku-5-5") == pytest.approx((low + high) / 1e6)
    assert expected_cost_usd(100_000, "claude-haiku-5-5") == pytest.approx(low / 1e6)


@pytest.mark.parametrize("estimate", [0, -5])
def test_no_work_costs_nothing(estimate: int) -> None:
    """An empty or nonsensical estimate has no price of its own."""
    assert expected_cost_usd(estimate, "claude-opus-5-5") == 0.0
    assert most_expensive(estimate) == 0.0


def test_an_unlisted_model_has_no_expected_cost() -> None:
    """What is not known is not guessed here."""
    assert expected_cost_usd(10_000, "gpt-7") is None


def test_models_rank_by_price_as_listed() -> None:
    """Haiku under Sonnet under Opus under Fable, for an ordinary task."""
    models = ["claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-2"]
    costs = [expected_cost_usd(40_000, model) or 0.0 for model in models]
    assert costs == sorted(costs)
    assert most_expensive(40_000) == expected_cost_usd(40_000, "claude-fable-5-1")


@given(
    st.sampled_from(sorted(PRICES)),
    st.integers(0, 2_000_000),
    st.integers(0, 500_000),
)
def test_a_larger_estimate_never_costs_less(model: str, tokens: int, more: int) -> None:
    """The expected cost grows with the estimate, across the band's edge too."""
    low, high = expected_cost_usd(tokens, model), expected_cost_usd(tokens + more, model)
    assert low is not None
    assert high is not None
    # One more request makes all steps shorter, which can move one of them into the lower band.
    assert high >= low * 0.99
    assert high <= most_expensive(tokens + more) + 1e-9
