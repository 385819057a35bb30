"""The health check for images without curl."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from strategy_agent.aio import listen, port_of
from strategy_agent.cli import check_health, stale
from tests.support import free_port


@pytest.mark.parametrize(
    ("last_tick_at", "problem"),
    [
        (100.0, None),
        (95.0, None),
        (94.9, "last tick 5.1 s ago, more than 5 s"),
        (None, "no tick yet"),
    ],
)
def test_a_tick_must_be_young_enough(last_tick_at: float | None, problem: str | None) -> None:
    """At the limit is young enough, beyond is not; without a tick there is no progress."""
    assert stale(last_tick_at, 100.0, 5.0) == problem


def test_no_server_is_a_problem_with_its_address() -> None:
    """A refused connection is reported, not raised."""
    url = f"http://127.0.0.1:{free_port()}/health"
    problem = check_health(url)
    assert problem is not None
    assert problem.startswith(f"no answer from {url}: ")


@pytest.mark.parametrize("page", ["", "{}", '{"last_tick_at": "100"}', '{"last_tick_at": 1e999}', "<html>"])
async def test_what_is_no_health_page_is_a_problem(page: str) -> None:
    """Another program on the port does not pass for a healthy agent."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=page)

    runner = await listen([web.get("/health", answer)], "127.0.0.1", 0, patience=0.1)
    url = f"http://127.0.0.1:{port_of(runner)}/health"
    problem = await asyncio.to_thread(check_health, url)
    await runner.cleanup()
    assert problem is not None
    assert problem.startswith(f"no answer from {url}: ")
