"""What tokens cost, and what a run is expected to cost before it starts.

List prices in US dollars per million tokens, as of 2026-11-19, measured from the billing of known
usage and in agreement with https://platform.claude.com/docs/en/about-claude/pricing and
https://platform.claude.com/docs/en/models/overview of that date. Batch and regional rates are not
considered. A model that is not listed has no price here: callers decide what that means.
"""

import re
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple, Protocol

__all__ = [
    "PRICES",
    "Price",
    "Rates",
    "TokenCounts",
    "cost",
    "expected_cost_usd",
    "most_expensive",
    "price_of",
]

# How much a coding agent's context grows per request, tool results included: the run is modelled as
# that many requests. A rough middle of observed runs; it moves all models alike.
TURN_TOKENS = 4_000

# The part of that growth the model writes itself; the rest is tool results and files it reads.
OUTPUT_SHARE = 0.2

PER_MILLION = 1_000_000


class TokenCounts(Protocol):
    """Tokens as billed for one request: both a context reading and a parse's cost are."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...
    @property
    def cache_creation_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...


class Rates(NamedTuple):
    """US dollars per million tokens; writes to the cache are kept for five minutes or an hour."""

    input: float
    output: float
    cache_read: float
    write_5m: float
    write_1h: float


@dataclass(frozen=True, slots=True)
class Price:
    """The rates of a model; prompts longer than `band_tokens` pay `above` for the whole request."""

    rates: Rates
    band_tokens: int | None = None
    above: Rates | None = None

    def rates_for(self, prompt_tokens: int) -> Rates:
        """The rates of one request with a prompt of this size, cached parts included."""
        if self.above is None or self.band_tokens is None or prompt_tokens <= self.band_tokens:
            return self.rates
        return self.above


_OPUS_5 = Price(Rates(5.0, 25.0, 0.50, 6.25, 10.0))
_SONNET_4 = Price(Rates(3.0, 15.0, 0.30, 3.75, 6.0))

PRICES: dict[str, Price] = {
    "claude-haiku-5-5": Price(
        Rates(0.10, 0.50, 0.01, 0.125, 0.20),
        band_tokens=100_000,
        above=Rates(0.50, 2.50, 0.05, 0.625, 1.00),
    ),
    "claude-sonnet-5-5": Price(Rates(2.0, 10.0, 0.10, 2.50, 4.0)),
    "claude-opus-5-5": Price(Rates(4.0, 20.0, 0.20, 5.0, 8.0)),
    "claude-fable-5-2": Price(Rates(8.0, 40.0, 0.20, 10.0, 16.0)),
    "claude-fable-5-1": Price(Rates(10.0, 50.0, 0.25, 12.50, 20.0)),
    "claude-sonnet-5": Price(Rates(2.0, 10.0, 0.20, 2.50, 4.0)),
    "claude-opus-5": _OPUS_5,
    "claude-opus-4-8": _OPUS_5,
    "claude-opus-4-7": _OPUS_5,
    "claude-opus-4-6": _OPUS_5,
    "claude-opus-4-5": _OPUS_5,
    "claude-sonnet-4-6": _SONNET_4,
    "claude-sonnet-4-5": _SONNET_4,
    "claude-haiku-4-5": Price(Rates(1.0, 5.0, 0.10, 1.25, 2.0)),
}

# A release date, as in claude-haiku-4-5-20251001, or a window choice, as in claude-sonnet-5[1m].
_SUFFIXES = re.compile(r"(-20[0-9]{6})?(\[[^\]]*\])?$")


def price_of(model: str) -> Price | None:
    """The price of the model, whatever its release date or window suffix; None when not listed."""
    return PRICES.get(_SUFFIXES.sub("", model, count=1))


def cost(price: Price, tokens: TokenCounts) -> float:
    """US dollars for one request at list price; cache writes at the five-minute rate."""
    prompt = tokens.input_tokens + tokens.cache_read_tokens + tokens.cache_creation_tokens
    rates = price.rates_for(prompt)
    total = (
        tokens.input_tokens * rates.input
        + tokens.cache_read_tokens * rates.cache_read
        + tokens.cache_creation_tokens * rates.write_5m
        + tokens.output_tokens * rates.output
    )
    return total / PER_MILLION


def expected_cost_usd(estimate_tokens: int, model: str) -> float | None:
    """US dollars of a run that fills its context up to the estimate; None for an unlisted model.

    The context grows by equal steps of at most TURN_TOKENS, one request each. Request k of n writes
    its step to the cache and reads the k - 1 steps before it, so over the run

        writes = estimate,  reads = estimate · (n - 1) / 2,  output = OUTPUT_SHARE · estimate

    and reads dominate as estimates grow: cheap cache reads can outweigh a dear output. Each request
    pays the band of its own prompt size.
    """
    price = price_of(model)
    return None if price is None else _run_cost(max(estimate_tokens, 0), price)


def _run_cost(estimate_tokens: int, price: Price) -> float:
    turns = ceil(estimate_tokens / TURN_TOKENS)
    if turns == 0:
        return 0.0
    step = estimate_tokens / turns
    low = turns
    if price.above is not None and price.band_tokens is not None:
        low = min(turns, int(price.band_tokens / step))
    low_band = _turns_cost(step, 0, low, price.rates)
    return low_band + _turns_cost(step, low, turns, price.above or price.rates)


def _turns_cost(step: float, first: int, end: int, rates: Rates) -> float:
    """Requests first..end-1, where request k reads k steps from the cache and writes one."""
    count = end - first
    reads = step * count * (first + end - 1) / 2
    per_turn = step * (rates.write_5m + OUTPUT_SHARE * rates.output)
    return (reads * rates.cache_read + count * per_turn) / PER_MILLION


def most_expensive(estimate_tokens: int) -> float:
    """The highest expected cost of any listed model: what a run of unknown price is taken to cost."""
    return max(_run_cost(max(estimate_tokens, 0), price) for price in PRICES.values())
