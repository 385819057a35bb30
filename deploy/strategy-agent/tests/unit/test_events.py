"""Events."""

from __future__ import annotations

import time

from strategy_agent.events import EventNumbering, NoEvents


def test_events_are_numbered_without_gaps() -> None:
    """Numbers count from 1 over all kinds, so that a reader sees what it missed."""
    numbering = EventNumbering()
    assert [numbering.stamp(kind, {})["seq"] for kind in ("order", "fill", "order")] == [1, 2, 3]


def test_an_event_says_what_and_when() -> None:
    """Type and time stand beside the fields."""
    event = EventNumbering().stamp("fill", {"price": 1.5})
    assert (event["type"], event["price"]) == ("fill", 1.5)
    assert isinstance(event["at"], float)
    assert abs(event["at"] - time.time()) < 60


def test_without_redis_events_go_nowhere() -> None:
    """The sink that is no sink keeps nothing of what it is given."""
    events = NoEvents()
    events.publish("heartbeat", ticks=1)
    assert not vars(events)
