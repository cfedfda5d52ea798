"""What a call costs, by the price list that ships with genai-prices. Nothing is fetched."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING

from forgehand.domain.usage import Usage

if TYPE_CHECKING:
    import genai_prices


def load() -> None:
    """Read the price list (a fifth of a second), so that the first call does not wait for it on the loop."""
    import_module("genai_prices")


def usage_of_call(
    provider: str, model: str, *, input_tokens: int, output_tokens: int, cached: int = 0, written: int = 0
) -> Usage:
    """The usage of one call, with its price in micro-dollars rounded up; no price where none is known.

    `input_tokens` includes the tokens that were read from the cache and those written to it.
    """
    import genai_prices

    tokens = genai_prices.Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cached,
        cache_write_tokens=written,
    )
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached,
        calls=1,
        cost=_micro_dollars(tokens, provider, model),
    )


def most_expensive(name: str, input_tokens: int, output_tokens: int) -> int | None:
    """What a call of `provider/model` can cost at most, in micro-dollars; None where no price is known."""
    provider, _, model = name.partition("/")
    if provider == "scripted":
        return 0
    return usage_of_call(provider, model, input_tokens=input_tokens, output_tokens=output_tokens).cost


def _micro_dollars(tokens: genai_prices.Usage, provider: str, model: str) -> int | None:
    import genai_prices

    try:
        price = genai_prices.calc_price(tokens, model, provider_id=provider)
    except (LookupError, ValueError):  # an unknown model, or counts that contradict each other
        return None
    return math.ceil(price.total_price * 1_000_000)
