"""Trading bots: each turns what the market did into a signal in [-1, 1], and knows nothing else."""

from collections import defaultdict
from functools import partial
from math import tanh
from typing import ClassVar, Protocol

from msgspec import Struct

from strategy_agent.model import Regime
from strategy_agent.regime import Features
from strategy_agent.stats import ExponentialMean


class MarketData(Struct, frozen=True):
    """What a bot sees of one tick."""

    symbol: str
    price: float
    regime: Regime
    features: Features


class Bot(Protocol):
    """A source of signals.

    ``get_signal`` is called once per tick and symbol, in the order of the ticks. It answers at once, with a number
    in [-1, 1]: -1 fully short, +1 fully long. The router cuts what lies outside and takes what is not a number
    for 0.
    """

    @property
    def name(self) -> str:
        """A name that no other bot of the same router has."""
        ...

    def get_signal(self, data: MarketData) -> float:
        """Answer one tick."""
        ...


class TestBot(Struct, frozen=True):
    """Always gives the same signal: the fixed point against which a router is tested."""

    __test__: ClassVar = False  # it is called Test…, but it is not one for pytest

    signal: float = 1.0
    name: str = "test"

    def get_signal(self, data: MarketData) -> float:  # noqa: ARG002 - constant by design
        """Return the constant."""
        return self.signal


class MomentumBot:
    """Goes with the drift, as far as the path led somewhere."""

    name = "momentum"

    def get_signal(self, data: MarketData) -> float:
        """Return the efficiency ratio with the sign of the drift."""
        return data.features.efficiency if data.features.drift >= 0 else -data.features.efficiency


class MeanReversionBot:
    """Leans against the distance from a moving average, measured in volatilities; stands aside in a crash."""

    name = "mean-reversion"

    def __init__(self, half_life: float = 100) -> None:
        self._means = defaultdict[str, ExponentialMean](partial(ExponentialMean, half_life))

    def get_signal(self, data: MarketData) -> float:
        """Return the opposite of the squashed distance."""
        away = data.price / self._means[data.symbol].update(data.price) - 1.0
        if data.regime is Regime.CRASH or data.features.volatility <= 0:
            return 0.0
        return -tanh(away / (4.0 * data.features.volatility))
