"""Events."""

from __future__ import annotations

from strategy_agent.events import NoEvents


def test_without_redis_events_go_nowhere() -> None:
    """The sink that is no sink keeps nothing of what it is given."""
    events = NoEvents()
    events.publish("heartbeat", ticks=1)
    assert not vars(events)
