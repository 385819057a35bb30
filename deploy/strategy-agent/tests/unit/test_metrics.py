"""The agent's metrics."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from strategy_agent.model import Decision, Regime
from strategy_agent.outlets import LATENCY_BUCKETS, OTHER, Metrics

README = Path(__file__).parents[2] / "README.md"
DECISION = Decision("BTC-USD", 100.0, 0.5, 0.6, 0.7, Regime.TREND)


def test_a_decision_is_shown_per_symbol() -> None:
    """Scalar, quality and regime are gauges of the symbol; exactly one regime is 1."""
    metrics = Metrics(("BTC-USD",))
    metrics.note_decision(DECISION)
    value = metrics.registry.get_sample_value
    assert value("strategy_allocation_scalar", {"symbol": "BTC-USD"}) == 0.7
    assert value("strategy_router_quality", {"symbol": "BTC-USD"}) == 0.6
    found = {name: value("strategy_regime", {"symbol": "BTC-USD", "regime": name}) for name in Regime}
    assert found == {Regime.RANGE: 0, Regime.TREND: 1, Regime.VOLATILE: 0, Regime.CRASH: 0}


def test_symbols_come_from_the_allow_list_only() -> None:
    """However many symbols are traded, the labels are bounded."""
    metrics = Metrics(("BTC-USD", "ETH-USD"))
    labels = {metrics.symbol(f"S-{number}") for number in range(1000)} | {metrics.symbol("BTC-USD")}
    assert labels == {"BTC-USD", OTHER}


def test_latency_buckets_reach_from_50_us_to_10_s() -> None:
    """The buckets rise and span what can be expected."""
    assert list(LATENCY_BUCKETS) == sorted(LATENCY_BUCKETS)
    assert (LATENCY_BUCKETS[0], LATENCY_BUCKETS[-1]) == (0.00005, 10.0)


def test_every_signal_that_matters_is_exported_and_in_the_table() -> None:
    """What is exported, with its labels, unit and meaning, is what the README's table says; nothing else is."""
    metrics = Metrics(("A",))
    metrics.add_redis()
    rows = re.findall(r"^\| `(strategy_\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", README.read_text(), re.MULTILINE)
    table = {name: (tuple(re.findall(r"`(\w+)`", labels)), meaning.strip()) for name, labels, _, meaning in rows}
    collectors = {
        each for each in metrics.registry._names_to_collectors.values() if isinstance(each, MetricWrapperBase)
    }
    exported = {
        each._name + "_total" * (each._type == "counter"): (tuple(each._labelnames), each._documentation)
        for each in collectors
    }
    assert table == exported
    assert all(unit.strip() for _, _, unit, _ in rows)


def test_two_agents_do_not_share_metrics() -> None:
    """Each has a registry of its own."""
    first, second = Metrics(("A",)), Metrics(("A",))
    first.risk_tier.labels("A").set(1)
    assert second.registry.get_sample_value("strategy_risk_tier", {"symbol": "A"}) is None


def test_every_metric_is_prefixed_and_explained() -> None:
    """All families begin with the agent's name and have a help text."""
    text = generate_latest(Metrics(("A",)).registry).decode()
    helps = [line.split(" ", 3) for line in text.splitlines() if line.startswith("# HELP")]
    assert len(helps) >= 21
    assert all(name.startswith("strategy_") and explanation for _, _, name, explanation in helps)
