"""The registry: every row can be loaded and keeps the form of its kind; unknown and missing types have different errors."""

from __future__ import annotations

import ast
import functools
import inspect
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import registry
from agent.component import ComponentConfig
from agent.config.docstrings import attribute_docstrings
from agent.config.fields import model_in
from agent.config.settings import ProbeEntry, SamplerEntry, Settings
from agent.registry import Kind, UnavailableError, UnknownTypeError

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).parents[2]
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
    assert set(found.Config.model_fields) <= set(attribute_docstrings(found.Config))
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
    """A type that no package brings is unknown."""
    with pytest.raises(UnknownTypeError, match="'nothing'"):
        registry.load(Kind.SOURCE, "nothing")


def test_missing_package(monkeypatch):
    """A type whose package isn't installed says which one is missing."""
    monkeypatch.setitem(registry.SOURCES, "odd", "agent_that_is_not_there:Odd")
    with pytest.raises(UnavailableError, match="'agent_that_is_not_there'"):
        registry.load(Kind.SOURCE, "odd")


def test_a_package_brings_a_type(monkeypatch):
    """An entry point adds a type; it can't replace a built-in one."""
    points = [
        metadata.EntryPoint("theirs", "agent.exporters.console:Console", "outrider.exporters"),
        metadata.EntryPoint("file", "elsewhere:File", "outrider.exporters"),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: [point for point in points if point.group == group])
    assert registry.types(Kind.EXPORTER)["file"] == "agent.exporters.file:File"
    assert registry.load(Kind.EXPORTER, "theirs").__name__ == "Console"


@functools.cache
def attributes_read() -> set[str]:
    """The names of all attributes that the agent reads anywhere but in the configuration itself."""
    files = [path for path in (ROOT / "agent").rglob("*.py") if path.parent.name != "config"]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


def options_below(model: type[BaseModel]) -> set[str]:
    """The names of a model's options, at every depth."""
    inner = [model_in(field.annotation) for field in model.model_fields.values()]
    return set(model.model_fields).union(*(options_below(one) for one in inner if one is not None))


@pytest.mark.parametrize("row", registry.rows(), ids=lambda row: f"{row.kind}.{row.type}")
def test_every_option_is_read(row):
    """No component has an option that nothing reads."""
    assert options_below(registry.load(row.kind, row.type).Config) - attributes_read() == set()


def test_every_setting_is_read():
    """No part of the configuration is parsed and then not used."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "agent").rglob("*.py") if path.parent.name != "config")
    unread = [key for key in Settings.model_fields if f"settings.{key}" not in text]
    assert unread == ["include"]  # the loader's own
    inside = {"include", "insecure"}  # the second decides whether the configuration is right, and is not needed after that
    entries = options_below(SamplerEntry) | options_below(ProbeEntry)
    assert (options_below(Settings) | entries) - attributes_read() - inside == set()
