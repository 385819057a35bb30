"""Slow and many clients against the agent's own server."""

from __future__ import annotations

import asyncio
import contextlib
import resource

import pytest

from agent.clock import SystemClock
from agent.metrics import Kind, Metric, Metrics, Observation
from agent.net.http_server import HttpServer
from agent.net.server_message import ServerRequest
from agent.server.prometheus import MetricsPage
from tests.support.server_events import NoneBroken

SLOW = 500
GOOD = 100
COUNT = Metric("attack.count", Kind.COUNTER, "{thing}", "Counts.")
LEVEL = Metric("attack.level", Kind.GAUGE, "", "A level.")


@pytest.fixture
def many_files():
    """Room for both ends of all connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < 2048:
        pytest.skip("too few file descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _drip(port: int) -> None:
    """Send a little, then a little more, and connect again when closed."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                for piece in (b"GET / HTTP/1.1\r\n", b"Host: localhost\r\n", *[b"X: y\r\n"] * 50):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.2)
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.2)


async def _ask(port: int) -> bool:
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            try:
                return (await reader.read()).startswith(b"HTTP/1.1 200")
            finally:
                writer.transport.abort()
    except OSError:
        return False


async def test_slow_clients_do_not_starve_good_ones(many_files):
    """With 500 clients that drip their requests, at least 95 of 100 scrapes are answered, and all connections are gone afterwards."""
    metrics = Metrics({}, SystemClock())
    metrics.publish("x", [Observation(LEVEL, 1)])
    server = HttpServer({"GET /metrics": MetricsPage(metrics)}, NoneBroken())
    port = await server.listen("127.0.0.1", 0)
    slow = [asyncio.create_task(_drip(port)) for _ in range(SLOW)]
    await asyncio.sleep(1)
    served = 0
    for _ in range(GOOD):
        served += await _ask(port)
        assert sum(not task.cancelling() and not task.done() for task in server._connections) <= server.serving.limits.connections
        await asyncio.sleep(0.02)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    await server.close()
    assert served >= 0.95 * GOOD
    assert not server._connections


async def test_endless_label_values_cost_two_thousand_series():
    """A label that never repeats stays within the cap, in memory and on the page, and loses no count."""
    metrics = Metrics({}, SystemClock())
    for number in range(20_000):
        metrics.add(COUNT, 1, {"id": str(number)})
    before = _resident()
    for number in range(20_000, 200_000):
        metrics.add(COUNT, 1, {"id": str(number)})
    grown = _resident() - before
    response = await MetricsPage(metrics)(ServerRequest("GET", "/metrics"))
    lines = [line for line in response.body.decode().splitlines() if line.startswith("attack_count")]
    assert grown < 20 * 1024 * 1024
    assert len(lines) <= 2001
    assert sum(float(line.rpartition(" ")[2]) for line in lines) == 200_000


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
