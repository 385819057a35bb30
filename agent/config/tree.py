"""Raw configuration with the place of every key and value, and the faults found in it: plain values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

Data = None | bool | int | float | str | list["Data"] | dict[str, "Data"]
"""A value of a YAML document."""

TWIN: Final = "_file"
"""`token_file` names a file that holds the secret `token`."""

Route = tuple[str | int, ...]
"""The way from the root to a value: `("sources", 0, "include")`."""


class Place(NamedTuple):
    """Where something stands: a file with line and column (from 1), or the name of an environment variable (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Fault(NamedTuple):
    """One error, or one warning."""

    place: Place
    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: {self.path}: " if self.path else f"{self.place}: "
        return where + self.message + (f" (fix: {self.fix})" if self.fix else "")


class InvalidConfigError(ConfigError):
    """All the faults of a configuration, in the order in which they stand there."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class Tree:
    """Data and the places of its parts."""

    source: str
    data: dict[str, Data] = field(default_factory=dict)
    keys: dict[Route, Place] = field(default_factory=dict)
    """Of each key of a mapping."""
    values: dict[Route, Place] = field(default_factory=dict)
    """Of each value."""
    texts: dict[Route, str] = field(default_factory=dict)
    """The text of each scalar that came from the environment, wholly or in part, before it was given a type."""
    referenced: set[str] = field(default_factory=set)
    """The variables that the data refers to."""
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    """Faults that do not keep the agent from starting."""

    def key_place(self, route: Route) -> Place:
        """Where the key stands, or else the nearest thing around it."""
        return self.keys.get(route) or self.value_place(route)

    def value_place(self, route: Route) -> Place:
        """Where the value stands, or else the nearest thing around it."""
        while route and route not in self.values:
            route = route[:-1]
        return self.values.get(route) or Place(self.source)

    def fill(self, other: Tree) -> list[Route]:
        """Take over what this tree leaves out, with its places; return the routes of the other that stay unused."""
        unused: list[Route] = []
        _fill(self.data, other.data, (), unused)
        for mine, theirs in ((self.keys, other.keys), (self.values, other.values)):
            mine.update({route: place for route, place in theirs.items() if route and not _under(route, unused) and route not in mine})
        self.texts.update({route: text for route, text in other.texts.items() if not _under(route, unused)})
        self.referenced.update(other.referenced)
        self.faults.extend(other.faults)
        self.warnings.extend(other.warnings)
        return unused


def _fill(mine: dict[str, Data], theirs: dict[str, Data], route: Route, unused: list[Route]) -> None:
    for key, value in theirs.items():
        present = mine.get(key)
        if present is None and mine.get(_twin(key)) is not None:
            unused.append((*route, key))
        elif present is None:
            mine[key] = value
        elif isinstance(present, dict) and isinstance(value, dict):
            _fill(present, value, (*route, key), unused)
        else:
            unused.append((*route, key))


def _twin(key: str) -> str:
    """The other way to give a secret: `token` in place, or `token_file`."""
    return key.removesuffix(TWIN) if key.endswith(TWIN) else key + TWIN


def _under(route: Route, tops: list[Route]) -> bool:
    return any(route[: len(top)] == top for top in tops)


def dotted(route: Route) -> str:
    """`sources[0].include` for people."""
    text = ""
    for part in route:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def kind_of(value: object) -> str:
    """The type of a value, in YAML's words."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return names.get(type(value), "nothing")


class Site(NamedTuple):
    """Where the mapping that is checked stands."""

    tree: Tree
    route: Route
    also: tuple[str, ...] = ()
    """Further keys of the mapping, which are checked elsewhere: for suggestions."""

    def fault(self, route: Route, message: str, fix: str = "") -> None:
        """Note a fault at the value at a route below."""
        full = (*self.route, *route)
        self.tree.faults.append(Fault(self.tree.value_place(full), dotted(full), message, fix))
