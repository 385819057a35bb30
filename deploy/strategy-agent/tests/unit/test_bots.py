"""Trading bots."""

from __future__ import annotations

import pytest

from strategy_agent.bots import Bot, MarketData, MeanReversionBot, MomentumBot, TestBot
from strategy_agent.model import Regime
from strategy_agent.regime import Features


def data(price: float = 100.0, regime: Regime = Regime.RANGE, **features: float) -> MarketData:
    """Return what a bot sees."""
    return MarketData("BTC-USD", price, regime, Features(**features))


@pytest.mark.parametrize("signal", [-1.0, 0.0, 0.3])
def test_the_test_bot_is_constant(signal: float) -> None:
    """The test bot says the same whatever happens."""
    bot = TestBot(signal)
    assert {bot.get_signal(data(price)) for price in (1.0, 100.0, 1e6)} == {signal}


@pytest.mark.parametrize(("drift", "expected"), [(1e-4, 0.8), (-1e-4, -0.8)])
def test_momentum_goes_with_the_drift(drift: float, expected: float) -> None:
    """The momentum bot's signal is the efficiency ratio with the drift's sign."""
    assert MomentumBot().get_signal(data(drift=drift, efficiency=0.8)) == expected


@pytest.mark.parametrize(("price", "sign"), [(101.0, -1), (99.0, 1)])
def test_mean_reversion_leans_against_the_distance(price: float, sign: int) -> None:
    """Above its mean the bot sells, below it buys."""
    bot = MeanReversionBot()
    for _ in range(100):
        bot.get_signal(data(100.0, volatility=1e-3))
    assert bot.get_signal(data(price, volatility=1e-3)) * sign > 0.5


@pytest.mark.parametrize("still", [data(101.0, Regime.CRASH, volatility=1e-3), data(101.0, volatility=0.0)])
def test_mean_reversion_stands_aside(still: MarketData) -> None:
    """In a crash, and without volatility to measure with, the bot has no opinion."""
    bot = MeanReversionBot()
    bot.get_signal(data(100.0))
    assert bot.get_signal(still) == 0.0


@pytest.mark.parametrize("bot", [TestBot(), MomentumBot(), MeanReversionBot()])
def test_bots_keep_the_contract(bot: Bot) -> None:
    """Every bot has a name and answers within [-1, 1]."""
    assert bot.name
    for price in (1e-12, 1.0, 1e12):
        assert -1.0 <= bot.get_signal(data(price, volatility=1e-3, drift=1.0, efficiency=1.0)) <= 1.0
