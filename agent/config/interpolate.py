"""`${VAR}` and `${VAR:-default}` in a scalar; `$$` is a dollar. Applied after parsing, so that a value can't bring structure with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE: Final = re.compile(r"\$(?:\$|\{([^{}]*)(\}?))")
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


class Substituted(NamedTuple):
    """A scalar after substitution."""

    text: str
    names: tuple[str, ...]
    """The variables that it refers to. Without any, only `$$` was replaced."""
    problems: tuple[str, ...] = ()
    """Messages about its invalid references."""


def substitute(text: str, env: Mapping[str, str]) -> Substituted:
    """Replace the references of one scalar. The default also stands for an empty variable, as in the shell."""
    problems: list[str] = []
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name = _NAME.fullmatch(match[1])
        if name is None or not match[2]:
            problems.append(f"{match[0]!r} is not a reference to an environment variable")
            return ""
        names.append(name[1])
        value = env.get(name[1], "")
        if not value and name[2] is not None:
            return name[2]
        if name[1] not in env:
            problems.append(f"the environment variable {name[1]} is not set")
        return value

    result = _REFERENCE.sub(replace, text)
    return Substituted(result, tuple(names), tuple(problems))
