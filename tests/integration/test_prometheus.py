from __future__ import annotations

import asyncio
import gzip
import importlib
import json
import pkgutil
import shutil
import socket
import urllib.parse
import urllib.request

import pytest

import agent
from agent.clock import SystemClock
from agent.metrics import Kind, Metric, Metrics, Observation
from agent.net.http_server import HttpServer
from agent.net.server_message import ServerRequest
from agent.server.prometheus import MetricsPage
from tests.support.server_events import NoneBroken

pytestmark = pytest.mark.integration

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)")
needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed (Debian package prometheus)")

SENT = Metric("outrider.records.sent", Kind.COUNTER, "{record}", "Records that a destination has.")
MEMORY = Metric("process.memory.usage", Kind.UPDOWN, "By", "Resident set size of the tree.")
TIME = Metric("outrider.export.duration", Kind.HISTOGRAM, "s", "How long an attempt took.", (0.1, 1.0))


def _metrics() -> Metrics:
    metrics = Metrics({"service.name": "app"}, SystemClock())
    metrics.publish("test", [Observation(SENT, 3, {"source": 'a"\\\n', "signal": "logs"}), Observation(MEMORY, 4096.0)])
    metrics.record(TIME, 0.5, {"destination": "x"})
    return metrics


def _all_rows() -> list[Metric]:
    """Every metric that is defined anywhere in the package."""
    names = [module.name for module in pkgutil.walk_packages(agent.__path__, "agent.") if not module.name.endswith("__main__")]
    modules = [importlib.import_module(name) for name in names]
    values = [value for module in modules for one in vars(module).values() for value in (one.values() if isinstance(one, dict) else [one])]
    return list({id(value): value for value in values if isinstance(value, Metric)}.values())


def _everything() -> Metrics:
    """A value of every metric."""
    metrics = _metrics()
    known = {SENT.name, MEMORY.name, TIME.name}
    rows = [row for row in _all_rows() if row.name not in known]
    metrics.publish("all", [Observation(row, 1) for row in rows if row.kind is not Kind.HISTOGRAM])
    for row in rows:
        if row.kind is Kind.HISTOGRAM:
            metrics.record(row, row.boundaries[0])
    return metrics


@needs_promtool
async def test_promtool_has_nothing_to_say():
    """`promtool check metrics` is silent on a page with every metric that the agent has."""
    response = await MetricsPage(_everything())(ServerRequest("GET", "/metrics"))
    process = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate(response.body)
    assert (process.returncode, output.decode()) == (0, "")
    assert response.body.count(b"# TYPE") > 60


@pytest.mark.parametrize(
    ("accept", "kind"), [("*/*", "text/plain"), ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text")]
)
async def test_a_client_gets_the_format_it_asks_for(accept, kind):
    """Over a real connection, whatever the case of its headers, a client gets its format, whole and compressed if it can take that."""
    server = HttpServer({"GET /metrics": MetricsPage(_everything())}, NoneBroken())
    port = await server.listen("127.0.0.1", 0)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept, "ACCEPT-ENCODING": "gzip"})
    try:
        with await asyncio.to_thread(urllib.request.urlopen, request, timeout=10) as answer:
            assert answer.headers["content-type"].startswith(kind)
            assert answer.headers["content-encoding"] == "gzip"
            page = gzip.decompress(answer.read()).decode()
    finally:
        await server.close()
    assert page.endswith("# EOF\n") is (kind != "text/plain")


@needs_prometheus
async def test_prometheus_scrapes_us(tmp_path):
    """Debian's Prometheus takes the page: the target is up, and the values that we count are the values that it stores."""
    server = HttpServer({"GET /metrics": MetricsPage(_metrics())}, NoneBroken())
    port = await server.listen("127.0.0.1", 0)
    own = _free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"scrape_configs: [{{job_name: outrider, scrape_interval: 1s, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        found = await _eventually(own, 'outrider_records_sent_total{job="outrider"}')
        assert found[0]["value"][1] == "3"
        assert found[0]["metric"]["source"] == 'a"\\\n'
        assert (await _eventually(own, "up"))[0]["value"][1] == "1"
        assert (await _eventually(own, "target_info"))[0]["metric"]["service_name"] == "app"
        assert (await _eventually(own, 'outrider_export_duration_seconds_bucket{le="1.0"}'))[0]["value"][1] == "1"
    finally:
        process.terminate()
        await process.wait()
        await server.close()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def _eventually(port: int, query: str) -> list:
    async with asyncio.timeout(60):
        while True:
            found = await asyncio.to_thread(_query, port, query)
            if found:
                return found
            await asyncio.sleep(0.2)


def _query(port: int, query: str) -> list:
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]["result"]
    except OSError:
        return []
