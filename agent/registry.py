"""Which component types exist: type → "module:Class". A new component is one line here; it is imported only where configured."""

from __future__ import annotations

import importlib
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from agent.errors import OutriderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.component import ComponentConfig, Context


class Kind(StrEnum):
    """The kinds of components; the value is the key of their list in the configuration."""

    SOURCE = "sources"
    SAMPLER = "samplers"
    PROBE = "probes"
    EXPORTER = "exporters"


SOURCES: Final = {
    "log_files": "agent.sources.log_files:LogFiles",
    "stdin": "agent.sources.stdin:Stdin",
}
SAMPLERS: Final = {
    "process_tree": "agent.sources.process_tree:ProcessTree",
}
TARGET_SAMPLER: Final = "process_tree"
"""The sampler of a target without a configured one: that of `OUTRIDER_TARGET`, or the command of `exec`."""
PROBES: Final = {
    "http": "agent.sources.probes.http:HttpProbe",
    "tcp": "agent.sources.probes.tcp:TcpProbe",
}
EXPORTERS: Final = {
    "console": "agent.exporters.console:Console",
    "file": "agent.exporters.file:File",
    "otlp_http": "agent.exporters.otlp_http:OtlpHttp",
    "sentry": "agent.exporters.sentry:Sentry",
}

BUILT_IN: Final[Mapping[Kind, Mapping[str, str]]] = {
    Kind.SOURCE: SOURCES,
    Kind.SAMPLER: SAMPLERS,
    Kind.PROBE: PROBES,
    Kind.EXPORTER: EXPORTERS,
}


class Row(NamedTuple):
    """One component type."""

    kind: Kind
    type: str
    target: str
    """`module:Class`."""


class ComponentClass(Protocol):
    """A component's class as the registry returns it: it has options, and is made from `(config, context)`."""

    Config: type[ComponentConfig]

    def __call__(self, config: ComponentConfig, context: Context) -> object:
        """Make the component; opens nothing."""


class UnknownTypeError(OutriderError):
    """The type of a component is unknown."""


class UnavailableError(OutriderError):
    """The type is known but can't be imported: an optional package is missing."""


def types(kind: Kind) -> dict[str, str]:
    """All types of a kind, with their targets: the built-in ones, then those of installed packages.

    A package brings one by an entry point in the group `outrider.sources`, `outrider.samplers`, `outrider.probes` or
    `outrider.exporters`; it cannot replace a built-in type.
    """
    from importlib import metadata  # noqa: PLC0415 - 2 MB (it brings zipfile and email) for what a built-in type never asks

    brought = {point.name: point.value for point in metadata.entry_points(group=f"outrider.{kind}")}
    return brought | dict(BUILT_IN[kind])


def rows() -> list[Row]:
    """Every component type of every kind."""
    return [Row(kind, name, target) for kind in Kind for name, target in sorted(types(kind).items())]


def load(kind: Kind, name: str) -> ComponentClass:
    """Import the class of a component type.

    Raises `UnknownTypeError`, or `UnavailableError` when a module it needs isn't installed.
    """
    target = BUILT_IN[kind].get(name) or types(kind).get(name)
    if target is None:
        raise UnknownTypeError(f"unknown type {name!r}")
    module, _, attribute = target.partition(":")
    try:
        return cast("ComponentClass", getattr(importlib.import_module(module), attribute))
    except ModuleNotFoundError as error:
        raise UnavailableError(f"{name!r} needs the module {error.name!r}, which isn't installed") from error
