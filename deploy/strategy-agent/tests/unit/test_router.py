"""The strategy router."""

from __future__ import annotations

import pickle
import pickletools
import sys
from itertools import islice
from math import copysign, inf, nan
from types import FrameType

import pytest

from strategy_agent.bots import MarketData, MeanReversionBot, MomentumBot, TestBot
from strategy_agent.market import SCENARIOS, price_path
from strategy_agent.model import AccountData, Decision, Regime
from strategy_agent.router import NEUTRAL_QUALITY, StrategyRouter, combine, is_price

pytestmark = pytest.mark.router

ACCOUNT = AccountData()


def run(router: StrategyRouter, scenario: str, ticks: int, account: AccountData = ACCOUNT) -> list[Decision]:
    """Return the decisions of a router over a scenario."""
    points = islice(price_path(SCENARIOS[scenario], 7, "BTC-USD"), ticks)
    return [router.process_tick(point.symbol, point.price, account) for point in points if point.price is not None]


def router_of(*signals: float) -> StrategyRouter:
    """Return a router with a test bot per signal."""
    router = StrategyRouter()
    for number, signal in enumerate(signals):
        router.register_bot(TestBot(signal, f"bot-{number}"))
    return router


def test_two_bots_of_one_name_are_an_error() -> None:
    """Registering a name twice is refused, with the name in the message."""
    router = router_of(1.0)
    with pytest.raises(ValueError, match="'bot-0' is registered already"):
        router.register_bot(TestBot(0.5, "bot-0"))


def test_without_bots_the_router_is_flat() -> None:
    """Nobody to ask means no signal and neutral quality."""
    decision = StrategyRouter().process_tick("BTC-USD", 100.0, ACCOUNT)
    assert (decision.signal, decision.quality) == (0.0, NEUTRAL_QUALITY)


def test_a_right_bot_gains_quality() -> None:
    """A bot that is long while the price climbs ends above neutral, one that is short below."""
    assert run(router_of(1.0), "steady-trend", 1000)[-1].quality > 0.7
    assert run(router_of(-1.0), "steady-trend", 1000)[-1].quality < 0.3


def test_the_better_bot_is_listened_to() -> None:
    """Of two opposite bots the one that has been right sets the direction."""
    assert run(router_of(1.0, -1.0), "steady-trend", 1000)[-1].signal > 0.5


def test_a_bot_is_judged_by_what_came_after_its_signal() -> None:
    """Who follows the last move in a market that turns with every tick is always wrong, and never looks right."""

    class Follower:
        name = "follower"

        def get_signal(self, data: MarketData) -> float:
            return copysign(1.0, data.features.tick_return)

    router = StrategyRouter()
    router.register_bot(Follower())
    decisions = [router.process_tick("BTC-USD", 100.0 + number % 2 * 0.1, ACCOUNT) for number in range(200)]
    assert max(decision.quality for decision in decisions[10:]) < 0.1


@pytest.mark.parametrize(
    ("scenario", "ticks", "regime", "scalar"),
    [
        ("flash-crash", 1560, Regime.CRASH, 0.05),
        ("hf-noise", 500, Regime.VOLATILE, 0.35),
        ("quiet", 500, Regime.RANGE, 0.7),
        ("steady-trend", 1000, Regime.TREND, 1.0),
    ],
)
def test_every_regime_allows_its_share(scenario: str, ticks: int, regime: Regime, scalar: float) -> None:
    """With a calm market, a solvent account and bots that are right, the scalar is that of the regime."""
    router = StrategyRouter(target_volatility=1.0)
    for signal in (1.0, -1.0):
        router.register_bot(TestBot(signal, f"bot {signal}"))
    decision = run(router, scenario, ticks)[-1]
    assert decision.regime is regime
    assert decision.allocation_scalar == pytest.approx(scalar)


def test_a_crash_takes_the_allocation_away() -> None:
    """Before the crash capital is allowed, in it next to none."""
    decisions = run(router_of(1.0), "flash-crash", 1560)
    assert decisions[1499].allocation_scalar > 0.4
    assert decisions[-1].regime is Regime.CRASH
    assert decisions[-1].allocation_scalar < 0.05


@pytest.mark.parametrize(("equity", "expected"), [(100.0, 0.7), (95.0, 0.35), (90.0, 0.0), (50.0, 0.0)])
def test_drawdown_scales_down_to_nothing(equity: float, expected: float) -> None:
    """The scalar falls in proportion to the drawdown and is 0 from the limit on."""
    router = router_of(1.0)
    decision = router.process_tick("BTC-USD", 100.0, AccountData(equity, 100.0))
    assert decision.allocation_scalar == pytest.approx(expected)


def test_volatility_beyond_the_target_scales_down_in_proportion() -> None:
    """Half of the target that the market has leaves half of what the regime allows; more than it has cuts nothing."""
    volatility = run(router_of(1.0), "hf-noise", 500)[-1].volatility

    def scalar(target: float) -> float:
        router = StrategyRouter(target_volatility=target)
        for signal in (1.0, -1.0):
            router.register_bot(TestBot(signal, f"bot {signal}"))
        return run(router, "hf-noise", 500)[-1].allocation_scalar

    assert scalar(volatility / 2) == pytest.approx(scalar(volatility) / 2)
    assert scalar(volatility * 2) == pytest.approx(scalar(volatility)) == pytest.approx(0.35)


@pytest.mark.parametrize("price", [nan, inf, -inf, 0.0, -1.0, 1e300, 5e-324])
def test_what_cannot_be_a_price_is_answered_flat_and_forgotten(price: float) -> None:
    """A nonsense price gives a flat decision and leaves no trace in what follows."""
    spoilt, clean = router_of(1.0), router_of(1.0)
    for router in (spoilt, clean):
        run(router, "steady-trend", 100)
    flat = spoilt.process_tick("BTC-USD", price, ACCOUNT)
    assert (flat.signal, flat.allocation_scalar) == (0.0, 0.0)
    assert spoilt.process_tick("BTC-USD", 101.0, ACCOUNT) == clean.process_tick("BTC-USD", 101.0, ACCOUNT)


@pytest.mark.parametrize(("signal", "expected"), [(nan, 0.0), (inf, 0.0), (5.0, 1.0), (-5.0, -1.0)])
def test_a_bot_that_breaks_the_contract_is_contained(signal: float, expected: float) -> None:
    """What is not a number counts as no opinion, what is too large is cut."""
    assert router_of(signal).process_tick("BTC-USD", 100.0, ACCOUNT).signal == expected


def test_symbols_do_not_influence_one_another() -> None:
    """A crash in one symbol leaves the other's decision as it was."""
    router, alone = router_of(1.0), router_of(1.0)
    for price in (100.0, 90.0, 80.0, 70.0):
        router.process_tick("ETH-USD", price, ACCOUNT)
    assert router.process_tick("BTC-USD", 50.0, ACCOUNT) == alone.process_tick("BTC-USD", 50.0, ACCOUNT)


def test_bots_see_the_tick_they_are_asked_about() -> None:
    """A bot is given the symbol, price and regime of this very tick."""
    seen: list[MarketData] = []

    class Spy:
        name = "spy"

        def get_signal(self, data: MarketData) -> float:
            seen.append(data)
            return 0.0

    router = StrategyRouter()
    router.register_bot(Spy())
    decision = router.process_tick("BTC-USD", 123.0, ACCOUNT)
    assert [(data.symbol, data.price, data.regime) for data in seen] == [("BTC-USD", 123.0, decision.regime)]


def calls(router: StrategyRouter, price: float) -> int:
    """Return how many functions a tick calls."""
    counted = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        router.process_tick("BTC-USD", price, ACCOUNT)
    finally:
        sys.setprofile(before)
    return counted


def memory(router: StrategyRouter) -> int:
    """Return of how many parts the router's whole state consists."""
    return sum(1 for _ in pickletools.genops(pickle.dumps(router)))


def test_a_tick_costs_the_same_whatever_came_before() -> None:
    """Neither the calls per tick nor the parts of the state grow with the history."""
    router = StrategyRouter()
    for bot in (MomentumBot(), MeanReversionBot(), TestBot()):
        router.register_bot(bot)
    path = [point.price or 0.0 for point in islice(price_path(SCENARIOS["quiet"], 7, "BTC-USD"), 2000)]
    costs, sizes = list[int](), list[int]()
    for price in path:
        costs.append(calls(router, price))
        sizes.append(memory(router))
    assert max(costs[-100:]) <= max(costs[100:200])
    assert set(sizes[2:]) == {sizes[2]}


def test_combine_weighs_by_squared_quality() -> None:
    """With qualities 0.5 and 1 the second bot weighs four times as much."""
    signal, quality = combine({"a": 1.0, "b": -1.0}, {"a": 0.5, "b": 1.0})
    assert signal == pytest.approx((0.25 - 1.0) / 1.25)
    assert quality == pytest.approx((0.125 + 1.0) / 1.25)


def test_combine_trusts_nobody_when_nobody_is_any_good() -> None:
    """If every quality is 0, there is no signal and the quality is 0."""
    assert combine({"a": 1.0}, {"a": 0.0}) == (0.0, 0.0)


def test_registration_order_is_irrelevant() -> None:
    """The same bots in another order give the same decisions to the last digit."""
    bots = [TestBot(0.3, "x"), TestBot(-0.7, "y"), TestBot(0.1, "z")]
    first, second = StrategyRouter(), StrategyRouter()
    for bot in bots:
        first.register_bot(bot)
    for bot in reversed(bots):
        second.register_bot(bot)
    assert run(first, "flash-crash", 800) == run(second, "flash-crash", 800)


def test_a_real_set_of_bots_survives_every_scenario() -> None:
    """Momentum and mean reversion together stay within bounds in all scenarios."""
    for scenario in SCENARIOS:
        router = StrategyRouter()
        router.register_bot(MomentumBot())
        router.register_bot(MeanReversionBot())
        assert all(0 <= decision.allocation_scalar <= 1 for decision in run(router, scenario, 2500))


@pytest.mark.parametrize(("value", "answer"), [(1e-12, True), (1e12, True), (0.0, False), (nan, False), (inf, False)])
def test_is_price(value: float, answer: bool) -> None:
    """Prices are finite, above zero, and within reason."""
    assert is_price(value) is answer


def test_a_bot_that_raises_is_flat_and_stops_nobody() -> None:
    """The others are asked as before, and each failure is reported with the bot's name."""

    class Broken:
        name = "broken"

        def get_signal(self, _: MarketData) -> float:
            raise ZeroDivisionError

    failures: list[tuple[str, type[Exception]]] = []
    router = StrategyRouter(failed=lambda bot, error: failures.append((bot, type(error))))
    router.register_bot(TestBot(1.0))
    router.register_bot(Broken())
    decisions = [router.process_tick("BTC-USD", 100.0, ACCOUNT) for _ in range(2)]
    assert [decision.signal for decision in decisions] == [0.5, 0.5]
    assert failures == [("broken", ZeroDivisionError)] * 2
