"""Spans to an OTLP endpoint, with the real exporter."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from strategy_agent.tracing import make_tracer_provider
from tests.support import AgentProcess, free_port


class Collector:
    """Takes what is posted to it."""

    def __init__(self) -> None:
        received: list[tuple[str, ExportTraceServiceRequest]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                received.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self.received = received
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Yield a collector that runs in a thread of its own."""
    collector = Collector()
    collector.thread.start()
    yield collector
    collector.server.shutdown()
    collector.thread.join()
    collector.server.server_close()


def test_an_endpoint_that_is_away_does_not_hold_the_end_up() -> None:
    """Without anybody there, shutting down takes a moment, not the exporter's usual ten seconds and more."""
    provider = make_tracer_provider({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"})
    provider.get_tracer("t").start_span("order").end()
    started = time.monotonic()
    provider.shutdown()
    assert time.monotonic() - started < 5.0


def test_spans_arrive_at_the_endpoint(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an endpoint, ended spans are delivered at the latest at shutdown, with the service's name."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    provider = make_tracer_provider({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    provider.get_tracer("t").start_span("order").end()
    provider.shutdown()
    ((path, request),) = collector.received
    (resource_spans,) = request.resource_spans
    attributes = {pair.key: pair.value.string_value for pair in resource_spans.resource.attributes}
    assert path == "/v1/traces"
    assert attributes["service.name"] == "strategy-agent"
    assert [span.name for scope in resource_spans.scope_spans for span in scope.spans] == ["order"]


def test_the_spans_of_an_orders_life_leave_the_process(collector: Collector) -> None:
    """What a running agent was given as endpoint has received order, submission and fill when it has ended."""
    with AgentProcess("--rate", "500", environ={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as agent:
        agent.wait_for("order_filled")
        assert agent.terminate() == (0, "")
    scopes = [
        scope for _, request in collector.received for each in request.resource_spans for scope in each.scope_spans
    ]
    assert {"order", "order.submit", "order.fill"} <= {span.name for scope in scopes for span in scope.spans}
