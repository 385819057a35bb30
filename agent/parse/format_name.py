"""The option of a source that says in which format its lines are written."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from agent.options import OptionError, closest
from agent.parse.lines import FORMAT_NAMES


def _known(name: str) -> str:
    if name not in FORMAT_NAMES:
        close = closest(name, FORMAT_NAMES)
        raise OptionError(f"must be one of {', '.join(FORMAT_NAMES)}", f"did you mean {close!r}?" if close else "auto finds it by itself")
    return name


FormatName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": [*FORMAT_NAMES]})]
"""A format's name, or `auto`."""
