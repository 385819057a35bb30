"""The wiring: which parts a configuration gets follows from what its components are able to do, not from the names of their types."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar
from unittest.mock import Mock

import pytest

from agent import registry
from agent.component import ComponentConfig
from agent.config import load
from agent.host.builder import Builder
from agent.issues.runs.monitors import ProbeCheck
from agent.record import Signal
from agent.status import ProbeFacts
from agent.testing.exporters import RecordingExporter

HOST = Path(__file__).parents[3] / "agent/host"


def test_the_host_names_no_component_type():
    """No module of the host holds the name of a type as a text, so that one of another name can do the same."""
    names = {row.type for row in registry.rows()} - {"file", "console"}  # words that mean other things too
    found = [
        (path.name, name)
        for path in sorted(HOST.glob("*.py"))
        for name in re.findall(r'["\']([a-z_]+)["\']', path.read_text())
        if name in names
    ]
    assert found == []


class Issues(RecordingExporter):
    """An exporter of errors that is not the one of the registry."""

    signals = frozenset({Signal.SENTRY_ERROR})
    labels: ClassVar = {"release": "app@2", "environment": "test"}


class Quiet:
    """A source that knows when it has given out everything."""

    Config = ComponentConfig
    replayable = True
    settling = 1.5

    def __init__(self, config, context):
        self.config, self.context = config, context

    async def run(self, emit):
        """Read nothing."""

    async def close(self):
        """Nothing is held."""


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Builds a configuration with these two types as well."""
    monkeypatch.setitem(registry.EXPORTERS, "issues", f"{__name__}:Issues")
    monkeypatch.setitem(registry.SOURCES, "quiet", f"{__name__}:Quiet")

    def build(text):
        file = tmp_path / "f.yaml"
        file.write_text(text)
        builder = Builder(load(file, {}), Mock())
        return builder, builder.build()

    return build


@pytest.mark.parametrize(("type_", "wanted"), [("issues", True), ("console", False)])
def test_errors_are_looked_for_where_a_destination_takes_them(built, type_, wanted):
    """A detector is made if an exporter of any type takes error rows."""
    _, pipeline = built(f"exporters: [{{type: {type_}}}]")
    assert (pipeline.issues is not None) is wanted


def test_monitors_read_the_last_results_of_the_probes(built):
    """A probe checks in at Sentry with its last result, once there is one."""
    _, pipeline = built("{exporters: [{type: issues}], probes: [{url: 'tcp://127.0.0.1:1', name: venue, interval: 15}]}")
    assert pipeline.issues.monitors.probes() == []
    (probe,) = pipeline.probes
    probe.last = ProbeFacts("venue", "tcp://127.0.0.1:1", "down", False, "refused", 0.25, 7)
    assert pipeline.issues.monitors.probes() == [ProbeCheck("venue", False, 0.25, 7, 15.0)]


def test_any_source_may_say_when_it_has_settled(built):
    """The longest silence that a source needs is the one that ends are waited for."""
    builder, _ = built("sources: [{type: quiet}]")
    assert builder.settling() == 1.5


def test_the_sampler_of_a_named_target_is_the_registrys(built, monkeypatch):
    """The command of `exec` is measured by the sampler that the registry names."""
    builder, _ = built("{}")
    poller = builder.target_sampler("pid:1", 5.0)
    assert (poller.name, poller.sampler._config.target) == (registry.TARGET_SAMPLER, "pid:1")
