"""The registry: every row can be loaded and keeps the form of its kind; what isn't there is told apart."""

from __future__ import annotations

import inspect
from importlib import metadata

import pytest

from agent import registry
from agent.component import ComponentConfig
from agent.registry import Kind, UnavailableError, UnknownTypeError

METHODS = {
    Kind.SOURCE: {"run": True, "close": True},
    Kind.SAMPLER: {"sample": False, "close": True},
    Kind.PROBE: {"probe": True, "close": True},
    Kind.EXPORTER: {"export": True, "close": True},
}
"""The methods of each kind, and whether they are coroutines."""


@pytest.mark.parametrize("row", registry.rows(), ids=lambda row: f"{row.kind}.{row.type}")
def test_row(row):
    """A row leads to a class with documented options, the constructor of the contract and the methods of its kind."""
    found = registry.load(row.kind, row.type)
    assert issubclass(found.Config, ComponentConfig)
    assert found.Config.model_config["frozen"]
    assert found.Config.model_config["extra"] == "forbid"
    assert [name for name, field in found.Config.model_fields.items() if not field.description] == []
    assert list(inspect.signature(found).parameters)[:2] == ["config", "context"]
    for method, is_coroutine in METHODS[row.kind].items():
        assert inspect.iscoroutinefunction(getattr(found, method)) is is_coroutine
    assert row.kind is not Kind.SOURCE or isinstance(found.replayable, bool)


@pytest.mark.parametrize("row", registry.rows(), ids=lambda row: f"{row.kind}.{row.type}")
def test_the_host_keys_are_the_hosts(row):
    """A component has no option that the host reads already; only a probe's timeout is for both, since the probe can say what it waited for."""
    config = registry.load(row.kind, row.type).Config
    assert {"type", "name", "interval"} & set(config.model_fields) == set()


def test_rows_are_sorted_and_complete():
    """All tables appear among the rows."""
    assert {(row.kind, row.type) for row in registry.rows()} == {
        (kind, name) for kind, table in registry.BUILT_IN.items() for name in table
    }


def test_unknown_type():
    """A type that nobody brings is unknown."""
    with pytest.raises(UnknownTypeError, match="'nothing'"):
        registry.load(Kind.SOURCE, "nothing")


def test_missing_package(monkeypatch):
    """A type whose package isn't installed says which one is missing."""
    monkeypatch.setitem(registry.SOURCES, "odd", "agent_that_is_not_there:Odd")
    with pytest.raises(UnavailableError, match="'agent_that_is_not_there'"):
        registry.load(Kind.SOURCE, "odd")


def test_a_package_brings_a_type(monkeypatch):
    """An entry point adds a type; it can't replace one of ours."""
    points = [
        metadata.EntryPoint("theirs", "agent.exporters.console:Console", "outrider.exporters"),
        metadata.EntryPoint("file", "elsewhere:File", "outrider.exporters"),
    ]
    monkeypatch.setattr(registry.metadata, "entry_points", lambda *, group: [point for point in points if point.group == group])
    assert registry.types(Kind.EXPORTER)["file"] == "agent.exporters.file:File"
    assert registry.load(Kind.EXPORTER, "theirs").__name__ == "Console"
