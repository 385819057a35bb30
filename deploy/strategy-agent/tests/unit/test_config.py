"""How durations are written."""

from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from strategy_agent.config import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("20s", 20), ("1.5m", 90), ("1h", 3600), ("3", 3), ("0", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    """A number with or without a unit is a duration in seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 s", "1d", "1e3", "inf", "nan", "10s20"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    """The message shows how durations are written."""
    with pytest.raises(ArgumentTypeError, match=r"write 250ms, 20s, 1.5m or 1h"):
        parse_duration(text)
