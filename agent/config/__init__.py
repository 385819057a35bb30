"""The configuration: from a YAML file and the environment to one frozen `Settings`, or to the list of all that is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.config.loading import Loaded, from_environment, load, read
from agent.config.settings import Entry, ProbeEntry, SamplerEntry, Settings
from agent.config.tree import Fault, InvalidConfigError

if TYPE_CHECKING:
    from agent.config.json_schema import Object
    from agent.config.reference import Component

__all__ = [
    "Entry",
    "Fault",
    "InvalidConfigError",
    "Loaded",
    "ProbeEntry",
    "SamplerEntry",
    "Settings",
    "components",
    "from_environment",
    "load",
    "read",
    "schema",
]


def schema() -> Object:
    """JSON Schema of the configuration file."""
    from agent.config import json_schema  # noqa: PLC0415 - a running agent needs no schema

    return json_schema.schema()


def components() -> list[Component]:
    """All component types with their options, for people."""
    from agent.config import reference  # noqa: PLC0415 - as above

    return reference.components()
