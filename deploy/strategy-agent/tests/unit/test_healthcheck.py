"""The health check for images without curl."""

from __future__ import annotations

import pytest

from strategy_agent.healthcheck import _stale, check_health
from tests.support import free_port


@pytest.mark.parametrize(
    ("last_tick_at", "problem"),
    [
        (100.0, None),
        (95.0, None),
        (94.9, "last tick 5.1 s ago, more than 5 s"),
        (None, "no tick yet"),
        ("100", "no tick yet"),
        (float("nan"), "no tick yet"),
        (10**400, "no tick yet"),
    ],
)
def test_a_tick_must_be_young_enough(last_tick_at: object, problem: str | None) -> None:
    """At the limit is young enough, beyond is not; without a tick there is no progress."""
    assert _stale({"last_tick_at": last_tick_at}, 100.0, 5.0) == problem


def test_no_server_is_a_problem_with_its_address() -> None:
    """A refused connection is reported, not raised."""
    url = f"http://127.0.0.1:{free_port()}/health"
    problem = check_health(url, timeout=1.0)
    assert problem is not None
    assert problem.startswith(f"no answer from {url}: ")
