"""The agent's metrics."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from strategy_agent.model import Decision, Regime
from strategy_agent.outlets import LATENCY_BUCKETS, OTHER, Metrics

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


def test_every_signal_that_matters_has_its_labels() -> None:
    """The latency chain, ages, losses by reason, and the state, each with exactly these labels; nothing else."""
    instruments = [each for each in vars(Metrics(("A",))).values() if isinstance(each, MetricWrapperBase)]
    labels = {each._name.removeprefix("strategy_"): each._labelnames for each in instruments}
    wanted: dict[str, tuple[str, ...]] = {
        **dict.fromkeys(("tick_to_signal_seconds", "signal_to_order_seconds", "submit_to_ack_seconds"), ()),
        **dict.fromkeys(("ack_to_fill_seconds", "tick_age_seconds", "book_cache_hit_ratio"), ()),
        **dict.fromkeys(("drawdown_ratio", "kill_switch"), ()),
        **dict.fromkeys(("book_age_seconds", "allocation_scalar", "router_quality", "risk_tier"), ("symbol",)),
        "rejects": ("broker", "reason"),
        "reconnects": ("broker", "topic", "reason"),
        "sequence_gaps": ("broker", "topic"),
        "regime": ("symbol", "regime"),
        "clock_offset_seconds": ("broker",),
    }
    losses = {
        "bad_ticks": ("symbol",),
        "events_dropped": ("reason",),
        "frames_lost": ("broker", "topic"),
    }
    assert labels == {**wanted, **losses, "redis_up": ()}


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
