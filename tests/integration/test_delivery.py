"""R12 and the sender host on the real parts: spool file, HTTP over loopback, a server with a limit."""

from __future__ import annotations

import asyncio
import sys

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from agent.clock import SystemClock
from agent.component import Context
from agent.exporters.otlp_http import OtlpHttp, OtlpHttpConfig
from agent.host.delivery import Sender
from agent.metrics import Metrics
from agent.record import Payload, Signal
from agent.retry import Backoff
from agent.spool.spool import Spool
from agent.testing.http_faults import HANG, RESET, answer
from agent.testing.otlp_server import OtlpServer, partial_success, read_store, repeats

LIMIT = 64 * 1024
"""Bytes: the server's limit after decompression (R12)."""
QUICK = Backoff(first=0.01, longest=0.02)


class Nobody:
    def emit(self, event: object) -> None:
        pass


def _logs(texts: list[str]) -> Payload:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for text in texts:
        scope.log_records.add().body.string_value = text
    return Payload(Signal.LOGS, len(texts), request.SerializeToString())


def _metrics(targets: list[str]) -> Payload:
    request = ExportMetricsServiceRequest()
    points = request.resource_metrics.add().scope_metrics.add().metrics.add(name="probe_success").gauge.data_points
    for target in targets:
        points.add(as_double=1).attributes.add(key="target").value.string_value = target
    return Payload(Signal.METRICS, len(targets), request.SerializeToString())


def _texts(server: OtlpServer) -> list[str]:
    requests = [one.decode() for one in server.accepted if one.path.endswith("logs")]
    return [record.body.string_value for one in requests for record in one.resource_logs[0].scope_logs[0].log_records]


def _targets(server: OtlpServer) -> list[str]:
    requests = [one.decode() for one in server.accepted if one.path.endswith("metrics")]
    metrics = [metric for one in requests for metric in one.resource_metrics[0].scope_metrics[0].metrics]
    return [point.attributes[0].value.string_value for metric in metrics for point in metric.gauge.data_points]


@pytest.fixture
async def spool(tmp_path):
    """A spool in a file, with one destination for logs and metrics."""
    opened = await Spool.open(tmp_path)
    await opened.register("there", [Signal.LOGS, Signal.METRICS])
    yield opened
    await opened.close()


async def _store(spool: Spool, *payloads: Payload) -> None:
    for payload in payloads:
        await spool.append("source", [payload], {}, {}, replayable=True)


async def _deliver(spool: Spool, server: OtlpServer, *signals: Signal, **options) -> list[Sender]:
    clock = SystemClock()
    metrics = Metrics({}, clock)
    exporter = OtlpHttp(OtlpHttpConfig(endpoint=server.url, **options), Context("there", clock, metrics, Nobody(), {}, None))
    senders = [
        Sender(exporter, signal, destination="there", spool=spool, clock=clock, telemetry=Nobody(), metrics=metrics, backoff=QUICK)
        for signal in signals or (Signal.LOGS, Signal.METRICS)
    ]
    for sender in senders:
        sender.drain()
    try:
        await asyncio.wait_for(asyncio.gather(*(sender.run() for sender in senders)), 60)
    finally:
        await exporter.close()
    return senders


async def _account(spool: Spool, signal: Signal) -> tuple[int, int, int, int, int]:
    """Accepted, sent, rejected, dead-lettered, pending of the destination; the law holds."""
    ledger = await spool.ledger()
    assert ledger.violations() == ()
    [line] = [one for one in ledger.lines if one.destination == "there" and one.signal == signal.value]
    return line.accepted, line.sent, line.rejected, line.dead_lettered, line.pending


async def test_every_record_that_fits_arrives(spool):
    """Behind a limit of 64 KiB all records but the oversize ones arrive, once and in order; only those are dead letters."""
    texts = [f"{number} " + "x" * (number * 37 % 9000) for number in range(2000)]
    huge = {number: f"{number} " + "y" * (LIMIT + number) for number in (0, 777, 1500, 1999)}
    for number, text in huge.items():
        texts[number] = text
    await _store(spool, _logs(texts[:1000]), _logs(texts[1000:1999]), _logs(texts[1999:]))
    async with OtlpServer(limit=LIMIT) as server:
        await _deliver(spool, server, Signal.LOGS)
        assert _texts(server) == [text for number, text in enumerate(texts) if number not in huge]
        assert max(len(one.unpacked()) for one in server.accepted) <= LIMIT
        assert repeats(server.accepted) == 0
    assert await _account(spool, Signal.LOGS) == (2000, 1996, 0, 4, 0)
    letters = await spool.ask("dead-letters")
    assert [(one["records"], one["reason"].endswith("/v1/logs: HTTP 413")) for one in letters] == [(1, True)] * 4


async def test_every_data_point_that_fits_arrives(spool):
    """The same for metrics, whose records are data points."""
    targets = [f"{number}" + "x" * 500 for number in range(500)]
    targets[123] = "y" * LIMIT
    await _store(spool, _metrics(targets))
    async with OtlpServer(limit=LIMIT) as server:
        await _deliver(spool, server, Signal.METRICS)
        assert _targets(server) == [target for target in targets if len(target) < LIMIT]
    assert await _account(spool, Signal.METRICS) == (500, 499, 0, 1, 0)


async def test_our_own_limit_works_like_the_servers(spool):
    """A row over `max_request_size` is halved before anything is sent."""
    texts = [f"{number} " + "x" * 100 for number in range(1000)]
    await _store(spool, _logs(texts))
    async with OtlpServer() as server:
        await _deliver(spool, server, Signal.LOGS, max_request_size=10_000)
        assert _texts(server) == texts
        assert max(len(request.body) for request in server.log.requests) <= 10_000
        assert max(len(one.unpacked()) for one in server.accepted) <= 10_000


async def test_a_bad_day_loses_nothing(spool):
    """Through refusals, silence, resets and partial successes each record finds exactly one end, and repeats are the same bytes."""
    rows = [[f"{row}.{number}" for number in range(10)] for row in range(12)]
    await _store(spool, *(_logs(texts) for texts in rows))
    again = [answer(503), HANG, RESET, answer(429, headers={"Retry-After": "0"}), answer(504)]
    async with OtlpServer(*again, partial_success(4, "too old"), answer(400), RESET) as server:
        await _deliver(spool, server, Signal.LOGS, timeout=0.2)
        assert _texts(server) == [text for texts in rows[2:] for text in texts]
        bodies = [request.body for request in server.log.requests]
        assert len(set(bodies)) == len(rows)
    assert await _account(spool, Signal.LOGS) == (120, 106, 4, 10, 0)


async def test_a_failed_signal_does_not_hold_up_the_other(spool):
    """While logs are refused, metrics go through: each signal has its own cursor."""
    await _store(spool, _logs(["a"]), _metrics(["b"]))
    async with OtlpServer() as server:
        clock = SystemClock()
        metrics = Metrics({}, clock)
        options = OtlpHttpConfig(endpoint="http://127.0.0.1:9", metrics={"endpoint": f"{server.url}/v1/metrics"})
        exporter = OtlpHttp(options, Context("there", clock, metrics, Nobody(), {}, None))
        parts = {"destination": "there", "spool": spool, "clock": clock, "telemetry": Nobody(), "metrics": metrics}
        logs, metric = (Sender(exporter, signal, **parts) for signal in (Signal.LOGS, Signal.METRICS))
        metric.drain()
        refused = asyncio.ensure_future(logs.run())
        await asyncio.wait_for(metric.run(), 10)
        logs.stop()
        await refused
        await exporter.close()
        assert _targets(server) == ["b"]
    assert await _account(spool, Signal.LOGS) == (1, 0, 0, 0, 1)
    assert await _account(spool, Signal.METRICS) == (1, 1, 0, 0, 0)


async def test_a_cancelled_delivery_goes_on_where_it_was(spool):
    """A sender that is cancelled in the middle leaves the rest to its successor; what is sent twice is the same bytes."""
    rows = [[f"{row}.{number}" for number in range(10)] for row in range(30)]
    await _store(spool, *(_logs(texts) for texts in rows))
    async with OtlpServer() as server:
        for _ in range(10):
            task = asyncio.ensure_future(_deliver(spool, server, Signal.LOGS))
            await asyncio.sleep(0.004)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await _deliver(spool, server, Signal.LOGS)
        unique = list(dict.fromkeys(one.body for one in server.accepted))
        assert len(unique) == len(rows)
        assert list(dict.fromkeys(_texts(server))) == [text for texts in rows for text in texts]
        assert repeats(server.accepted) <= 10
    assert await _account(spool, Signal.LOGS) == (300, 300, 0, 0, 0)


async def test_a_server_of_its_own(spool, tmp_path):
    """The fake as a process: what it accepted is in its file though it was killed, refusals are not, and everything came once."""
    rows = [[f"{row}.{number}" for number in range(10)] for row in range(20)]
    await _store(spool, *(_logs(texts) for texts in rows))
    store = tmp_path / "store"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.testing.otlp_server", "--port", "0", "--store", str(store), "--plan", "503:1,ok:3,429:1,reset:1"),
        stdout=asyncio.subprocess.PIPE,
    )
    port = int(await process.stdout.readline())
    config = OtlpHttpConfig(endpoint=f"http://127.0.0.1:{port}")
    clock = SystemClock()
    metrics = Metrics({}, clock)
    exporter = OtlpHttp(config, Context("there", clock, metrics, Nobody(), {}, None))
    parts = {"destination": "there", "spool": spool, "clock": clock, "telemetry": Nobody(), "metrics": metrics, "backoff": QUICK}
    sender = Sender(exporter, Signal.LOGS, **parts)
    sender.drain()
    await asyncio.wait_for(sender.run(), 30)
    await exporter.close()
    process.kill()
    await process.communicate()
    stored = list(read_store(store))
    texts = [record.body.string_value for one in stored for record in one.decode().resource_logs[0].scope_logs[0].log_records]
    assert texts == [text for row in rows for text in row]
    assert repeats(stored) == 0
