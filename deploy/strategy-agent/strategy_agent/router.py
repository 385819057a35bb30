"""The strategy router: asks every bot, weighs them by recent quality, scales down under stress.

Per tick and symbol it costs the same whatever came before, keeps a fixed number of floats per bot and symbol, and
uses no tick that has not arrived. The order in which bots were registered cannot matter: sums are exact
(``math.fsum``), and no bot sees another.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from math import fsum, isfinite, tanh

from strategy_agent.bots import Bot, MarketData
from strategy_agent.model import AccountData, Decision, Regime
from strategy_agent.regime import Features, RegimeDetector
from strategy_agent.stats import ExponentialMean, clamp

NEUTRAL_QUALITY = 0.5
"""Neither right nor wrong so far; also the quality of a router without bots."""

PRICE_RANGE = (1e-12, 1e12)
"""What may be a price. Anything else answers with a flat decision and leaves the statistics alone."""

REGIME_SCALE = {Regime.TREND: 1.0, Regime.RANGE: 0.7, Regime.VOLATILE: 0.35, Regime.CRASH: 0.05}
"""The share of capital that a regime allows, before anything else cuts it."""


QUALITY_HALF_LIFE = 100
"""In ticks."""

MAX_DRAWDOWN = 0.1
"""The account's drawdown at which nothing is allocated."""


def _ignore(_: str, __: Exception) -> None:
    """Do not report a bot's failure."""


class _Lane:
    """What the router remembers of one symbol: the regime, and per bot its last signal and its score."""

    def __init__(self) -> None:
        self.detector = RegimeDetector()
        self.signals: dict[str, float] = {}
        self.scores = defaultdict[str, ExponentialMean](partial(ExponentialMean, QUALITY_HALF_LIFE))

    def settle(self, features: Features) -> None:
        """Credit or debit every bot for its last signal, in volatilities, squashed to [-1, 1]."""
        if features.volatility <= 0:
            return
        move = features.tick_return / features.volatility
        for name, signal in self.signals.items():
            self.scores[name].update(tanh(signal * move))

    def quality(self, name: str) -> float:
        """Return how right the bot has been lately, in [0, 1]."""
        return clamp(NEUTRAL_QUALITY + 0.5 * tanh(3.0 * self.scores[name].value))


class StrategyRouter:
    """Turns ticks into decisions.

    :meth:`register_bot` at any time, :meth:`process_tick` per tick. Neither raises on any number; a second bot
    of the same name is an error. A bot that raises is flat for that tick, and ``failed`` is called with its name and
    the exception. Up to ``target_volatility``, per tick, the market is calm enough to cut nothing.
    """

    def __init__(self, target_volatility: float = 4e-4, failed: Callable[[str, Exception], object] = _ignore) -> None:
        self._target_volatility = target_volatility
        self._failed = failed
        self._bots: dict[str, Bot] = {}
        self._lanes = defaultdict[str, _Lane](_Lane)

    def register_bot(self, bot: Bot) -> None:
        """Add a bot; raises ``ValueError`` if its name is taken."""
        if bot.name in self._bots:
            raise ValueError(f"a bot named {bot.name!r} is registered already")
        self._bots[bot.name] = bot

    def process_tick(self, symbol: str, price: float, account_data: AccountData) -> Decision:
        """Return the decision for this tick; flat (signal and scalar 0) when ``price`` cannot be one."""
        lane = self._lanes[symbol]
        if not is_price(price):
            return Decision(symbol, price, 0.0, NEUTRAL_QUALITY, 0.0, lane.detector.regime)
        regime = lane.detector.update(price)
        features = lane.detector.features
        lane.settle(features)
        data = MarketData(symbol, price, regime, features)
        lane.signals = {name: self._ask(bot, data) for name, bot in self._bots.items()}
        signal, quality = combine(lane.signals, {name: lane.quality(name) for name in lane.signals})
        scalar = self._allocate(regime, quality, features.volatility, account_data.drawdown)
        return Decision(symbol, price, signal, quality, scalar, regime, features.volatility)

    def _ask(self, bot: Bot, data: MarketData) -> float:
        try:
            return _sane(bot.get_signal(data))
        except Exception as error:  # noqa: BLE001 - one bot must not stop the others
            self._failed(bot.name, error)
            return 0.0

    def _allocate(self, regime: Regime, quality: float, volatility: float, drawdown: float) -> float:
        target = self._target_volatility
        calm = target / volatility if volatility > target else 1.0
        solvent = 1.0 - drawdown / MAX_DRAWDOWN
        return clamp(REGIME_SCALE[regime] * clamp(2.0 * quality) * calm * clamp(solvent))


def is_price(value: float) -> bool:
    """Say whether a number can be a price at all."""
    return PRICE_RANGE[0] <= value <= PRICE_RANGE[1]


def combine(signals: dict[str, float], qualities: dict[str, float]) -> tuple[float, float]:
    """Weigh signals by squared quality and return (signal, quality); order of the bots is irrelevant."""
    weights = {name: quality * quality for name, quality in qualities.items()}
    total = fsum(weights.values())
    if total <= 0:
        return 0.0, NEUTRAL_QUALITY if not signals else 0.0
    signal = fsum(weight * signals[name] for name, weight in weights.items()) / total
    quality = fsum(weight * qualities[name] for name, weight in weights.items()) / total
    return clamp(signal, -1.0, 1.0), clamp(quality)


def _sane(signal: float) -> float:
    return clamp(signal, -1.0, 1.0) if isfinite(signal) else 0.0
