"""A collector that we did not write takes what we send, and passes on the same records."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import zlib
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.clock import SystemClock
from agent.component import Accepted, Context
from agent.exporters.otlp_http import REQUESTS, OtlpHttp, OtlpHttpConfig
from agent.metrics import Metrics
from agent.record import Row, Signal
from agent.testing.otlp_server import OtlpServer

WALL_NS = 1_700_000_000_000_000_000


def _binary() -> Path | None:
    spec = importlib.util.find_spec("rotel")
    path = Path(spec.origin).with_name("rotel-agent") if spec and spec.origin else None
    return path if path and path.exists() else None


pytestmark = pytest.mark.skipif(_binary() is None, reason="rotel is not installed (pip install rotel)")


class Nobody:
    def emit(self, event: object) -> None:
        pass


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(200):
        if process.returncode is not None:
            pytest.fail(f"rotel ended: {(await process.stdout.read()).decode()[-2000:]}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        await writer.wait_closed()
        return
    pytest.fail("rotel does not listen")


@pytest.fixture
async def behind():
    """The server behind rotel: what rotel passes on."""
    async with OtlpServer() as server:
        yield server


@pytest.fixture
async def rotel(behind, tmp_path):
    """A running rotel that exports to `behind`; the URL of its receiver."""
    port = _free_port()
    command = [
        *(str(_binary()), "start", "--exporter", "otlp", "--otlp-exporter-endpoint", behind.url, "--otlp-exporter-protocol", "http"),
        *("--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{_free_port()}", "--batch-timeout", "50ms"),
        *("--pid-file", str(tmp_path / "pid"), "--log-file", str(tmp_path / "log")),
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    try:
        await _listening(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 20)


def _logs() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    _attribute(resource.resource.attributes, "service.name", "app")
    scope = resource.scope_logs.add()
    scope.scope.name, scope.scope.version = "outrider", "0"
    for number in range(100):
        record = scope.log_records.add(
            time_unix_nano=WALL_NS + number, observed_time_unix_nano=WALL_NS, severity_number=17, severity_text="error"
        )
        record.body.string_value = f"event {number} · äöü"
        record.trace_id, record.span_id, record.flags = bytes(range(16)), bytes(range(8)), 1
        _attribute(record.attributes, "text", "x" * number)
        record.attributes.add(key="number").value.int_value = -number
        record.attributes.add(key="share").value.double_value = number / 7
        record.attributes.add(key="yes").value.bool_value = True
        nested = record.attributes.add(key="nested").value.kvlist_value
        nested.values.add(key="list").value.array_value.values.add().string_value = "deep"
    return request


def _metrics() -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    gauge = scope.metrics.add(name="probe_success", unit="1")
    for number in range(10):
        point = gauge.gauge.data_points.add(time_unix_nano=WALL_NS, as_double=number)
        _attribute(point.attributes, "target", f"t{number}")
    total = scope.metrics.add(name="outrider.records.sent", unit="{record}")
    total.sum.aggregation_temporality, total.sum.is_monotonic = 2, True
    total.sum.data_points.add(start_time_unix_nano=1, time_unix_nano=WALL_NS, as_int=42)
    return request


def _traces() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(10):
        scope.spans.add(
            trace_id=bytes(range(16)),
            span_id=bytes([number + 1] * 8),
            name=f"span {number}",
            kind=1,
            start_time_unix_nano=1,
            end_time_unix_nano=2,
        )
    return request


def _attribute(attributes, key: str, value: str) -> None:
    attributes.add(key=key).value.string_value = value


def _row(signal: Signal, records: int, request) -> Row:
    body = request.SerializeToString()
    return Row(1, signal, "s", records, zlib.compress(body, wbits=31), len(body), 0)


def _leaves(signal: Signal, request) -> list[bytes]:
    """The records of a request, each by itself, in an order of their own: a collector may regroup them."""
    if signal is Signal.LOGS:
        found = [record for resource in request.resource_logs for scope in resource.scope_logs for record in scope.log_records]
    elif signal is Signal.TRACES:
        found = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    else:
        metrics = [metric for resource in request.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics]
        found = [point for metric in metrics for point in (metric.gauge.data_points or metric.sum.data_points)]
    return [record.SerializeToString(deterministic=True) for record in found]


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize(("signal", "make"), [(Signal.LOGS, _logs), (Signal.METRICS, _metrics), (Signal.TRACES, _traces)])
async def test_rotel_receives_and_passes_on_the_same_records(rotel, behind, signal, make, compression):
    """Every record, with every field of its, comes out at the other end of a real collector, once."""
    clock = SystemClock()
    metrics = Metrics({}, clock)
    config = OtlpHttpConfig(endpoint=rotel, signals=[signal.value], compression=compression)
    exporter = OtlpHttp(config, Context("rotel", clock, metrics, Nobody(), {}, None))
    request = make()
    records = len(_leaves(signal, request))
    assert await exporter.export(_row(signal, records, request)) == Accepted()
    await exporter.close()
    arrived = await _arrived(behind, signal, records)
    assert sorted(arrived) == sorted(_leaves(signal, request))
    [counter] = [one for one in metrics.collect().resource_metrics[0].scope_metrics[0].metrics if one.name == REQUESTS.name]
    assert [(point.attributes["outcome"], point.attributes["status"]) for point in counter.data.data_points] == [("accepted", "200")]


async def _arrived(behind: OtlpServer, signal: Signal, records: int) -> list[bytes]:
    """Wait for that many records, and a little longer for more than there should be."""
    for _ in range(200):
        leaves = [leaf for one in behind.accepted for leaf in _leaves(signal, one.decode())]
        if len(leaves) >= records:
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    return [leaf for one in behind.accepted for leaf in _leaves(signal, one.decode())]
