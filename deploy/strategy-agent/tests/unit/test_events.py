"""Events."""

from __future__ import annotations

from strategy_agent.outlets import Events


def test_without_redis_events_go_nowhere() -> None:
    """The sink that is no sink keeps nothing of what it is given."""
    events = Events()
    events.publish("heartbeat", ticks=1)
    assert not vars(events)
