"""Both exporters that call out go through a proxy; what the proxy says costs no data."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

from agent.component import Context
from agent.errors import RetryableError
from agent.exporters.otlp_http import OtlpHttp, OtlpHttpConfig
from agent.exporters.sentry import Sentry, SentryConfig
from agent.metrics import Metrics
from agent.record import Row, Signal
from agent.testing.clock import FakeClock
from agent.testing.http_faults import FaultServer, answer
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from agent.telemetry import Event

ROW = Row(1, Signal.LOGS, "app", 1, zlib.compress(b"", wbits=31), 0, 0)
CREDENTIALS = "Basic dXNlcjpodW50ZXIy"
"""user:hunter2."""


class Nobody:
    def emit(self, _event: Event) -> None:
        pass


def _context() -> Context:
    clock = FakeClock()

    async def positions() -> dict[str, bytes]:
        return {}

    return Context("there", clock, Metrics({}, clock), Nobody(), {}, positions)  # type: ignore[arg-type]


async def test_otlp_goes_through_the_configured_proxy():
    """With `proxy_url` the row is handed to the proxy, with the proxy's credentials, and arrives."""
    async with FaultServer() as server, Proxy(authorization=CREDENTIALS) as proxy:
        options = {"endpoint": f"http://collector.test:{server.port}", "proxy_url": f"http://user:hunter2@{proxy.address}"}
        exporter = OtlpHttp(OtlpHttpConfig(**options), _context())
        await exporter.export(ROW)
        await exporter.close()
        assert [request.path for request in server.log.requests] == ["/v1/logs"]
    assert [asked.target for asked in proxy.asked] == [f"http://collector.test:{server.port}/v1/logs"]


async def test_otlp_goes_by_the_environment(monkeypatch: pytest.MonkeyPatch):
    """Without the option the standard variables decide; `direct` sets them aside."""
    async with FaultServer() as server, Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        monkeypatch.delenv("http_proxy", raising=False)
        monkeypatch.setenv("NO_PROXY", "other.test")
        exporter = OtlpHttp(OtlpHttpConfig(endpoint=f"http://collector.test:{server.port}"), _context())
        await exporter.export(ROW)
        await exporter.close()
        assert len(proxy.asked) == 1
        direct = OtlpHttp(OtlpHttpConfig(endpoint=f"http://collector.test:{server.port}", proxy_url="direct", timeout=0.5), _context())
        with pytest.raises(RetryableError):
            await direct.export(ROW)
        await direct.close()
    assert len(proxy.asked) == 1


async def test_sentry_goes_through_the_configured_proxy():
    """With `proxy_url` an envelope is handed to the proxy and arrives."""
    async with FaultServer(answer(200, b"{}")) as server, Proxy() as proxy:
        config = SentryConfig(dsn=f"http://key@sentry.test:{server.port}/1", proxy_url=f"http://{proxy.address}")
        exporter = Sentry(config, _context())
        await exporter.check()
        await exporter.close()
        assert [request.path for request in server.log.requests] == ["/api/1/envelope/"]
    assert [asked.method for asked in proxy.asked] == ["POST"]


@pytest.mark.parametrize("url", ["http://collector.test:4318", "https://collector.test"])
async def test_a_proxy_that_refuses_costs_nothing(url: str):
    """A proxy that wants other credentials is a passing trouble: the row is kept, and the message is about the proxy and shows no secret."""
    async with Proxy(authorization=CREDENTIALS) as proxy:
        exporter = OtlpHttp(OtlpHttpConfig(endpoint=url, proxy_url=f"http://user:wrong1@{proxy.address}"), _context())
        with pytest.raises(RetryableError, match="asks for other credentials") as raised:
            await exporter.export(ROW)
        await exporter.close()
    assert "wrong1" not in str(raised.value)
