"""The decisions of a stream: what to do with a frame, how long to wait."""

from __future__ import annotations

import pytest

from strategy_agent.brokers.stream import Step, backoff, decide


@pytest.mark.parametrize(
    ("last", "seq", "resuming", "step"),
    [
        (0, 1, False, Step.DELIVER),
        (4, 5, False, Step.DELIVER),
        (4, 5, True, Step.DELIVER),
        (4, 6, False, Step.RESUME),
        (4, 6, True, Step.IGNORE),
        (4, 4, False, Step.IGNORE),
        (4, 1, True, Step.IGNORE),
    ],
)
def test_a_frame_is_delivered_in_order_once(last: int, seq: int, resuming: bool, step: Step) -> None:
    """The next number is delivered, an old one ignored, a later one asks once for what is missing."""
    assert decide(last, seq, resuming=resuming) is step


def test_backoff_doubles_up_to_its_limit() -> None:
    """Waiting starts small, doubles, and never exceeds the limit, however long the outage."""
    assert [backoff(attempt) for attempt in (1, 2, 3, 4, 5)] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert {backoff(attempt) for attempt in (6, 100, 100_000)} == {1.0}
