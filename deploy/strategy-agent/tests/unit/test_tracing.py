"""Where spans go."""

from __future__ import annotations

import pytest

from strategy_agent.tracing import make_tracer_provider


def resource(environ: dict[str, str]) -> dict[str, object]:
    """Return the resource attributes of a provider made for an environment."""
    provider = make_tracer_provider(environ)
    provider.shutdown()
    return dict(provider.resource.attributes)


def test_the_service_has_a_name() -> None:
    """Without a configured name it is the agent's own."""
    assert resource({})["service.name"] == "strategy-agent"


def test_a_configured_name_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_SERVICE_NAME`` is obeyed."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    assert resource({"OTEL_SERVICE_NAME": "mine"})["service.name"] == "mine"


def test_without_an_endpoint_spans_stay(capsys: pytest.CaptureFixture[str]) -> None:
    """Spans are made, for the ids in the logs, and leave for nowhere."""
    provider = make_tracer_provider({"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
    span = provider.get_tracer("t").start_span("order")
    span.end()
    provider.shutdown()
    assert span.get_span_context().is_valid
    assert capsys.readouterr().err == ""
