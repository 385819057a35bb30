"""What a risk tier costs per symbol, and that it grows in proportion to their number."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from strategy_agent.risk import RiskInputs, RiskTier, risk_tier

SYMBOLS = [1, 10, 100, 1000]


@pytest.mark.parametrize("symbols", SYMBOLS)
def test_tiers_of_many_symbols(benchmark: BenchmarkFixture, symbols: int) -> None:
    """Every symbol gets the tier that its figures say; the cost per symbol is in ``extra_info``."""
    inputs = [RiskInputs(number / symbols * 0.8, 0.0, 0.0) for number in range(symbols)]
    tiers = benchmark(lambda: [risk_tier(each) for each in inputs])
    if benchmark.stats is not None:  # None under --benchmark-disable
        benchmark.extra_info["microseconds_per_symbol"] = benchmark.stats.stats.median / symbols * 1e6
    assert tiers == sorted(tiers)
    assert tiers[0] is RiskTier.LOW
