"""Spans for order life cycles.

    order                        decision until the last fill, or until it failed
    ├─ order.submit              the request to the broker, retries included
    └─ order.fill                acknowledgement until the last fill

Spans are always made, because the logs carry their ids; they leave the process only if OpenTelemetry's usual
variables say where to: ``OTEL_EXPORTER_OTLP_ENDPOINT`` (always over HTTP), or ``OTEL_TRACES_EXPORTER=console`` for
standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from structlog.stdlib import get_logger

from strategy_agent import __version__

EXPORT_TIMEOUT = 2.0
"""Seconds for an export with its retries, unless the environment says otherwise; the usual 10 delay the exit, too."""

TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

log = get_logger(__name__)


def make_tracer_provider(environ: Mapping[str, str]) -> TracerProvider:
    """Return a provider with the exporter that the environment asks for, or with none."""
    name = environ.get("OTEL_SERVICE_NAME") or "strategy-agent"
    resource = Resource.create({"service.name": name, "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp")
    if exporter == "console":
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
    elif exporter == "otlp" and any(environ.get(name) for name in ENDPOINTS):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - slow

        timeout = None if any(environ.get(name) for name in TIMEOUTS) else EXPORT_TIMEOUT
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    elif exporter not in ("otlp", "none"):
        log.warning("unknown_traces_exporter", exporter=exporter, known=["otlp", "console", "none"])
    return provider
