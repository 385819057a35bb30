"""Spans for order life cycles.

    order                        decision until the fill, or until it failed
    ├─ order.submit              the request to the broker
    └─ order.fill                acknowledgement until the fill

Spans are always made, because the logs carry their ids; they leave the process only if
``OTEL_EXPORTER_OTLP_ENDPOINT`` says where to, over HTTP.
"""

from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from strategy_agent import __version__


def make_tracer_provider(environ: Mapping[str, str]) -> TracerProvider:
    """Return a provider with an exporter if the environment names an endpoint, else with none."""
    name = environ.get("OTEL_SERVICE_NAME") or "strategy-agent"
    resource = Resource.create({"service.name": name, "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - slow

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=2.0)))  # not 10: an exit waits for it
    return provider
