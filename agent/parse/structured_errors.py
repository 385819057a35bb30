"""Exceptions in fields of their own → the attributes that OpenTelemetry has for them (semantic conventions, exceptions-logs).

structlog's `dict_tracebacks` writes lists of objects; Serilog and .NET the text of an exception, as `@x` (CLEF) or `Exception`. The field itself
stays where it holds more than the attributes do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.names import EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE
from agent.parse.exceptions import render
from agent.parse.traceback_json import from_structured

if TYPE_CHECKING:
    from agent.record import Value

TYPE: Final = EXCEPTION_TYPE
MESSAGE: Final = EXCEPTION_MESSAGE
STACKTRACE: Final = EXCEPTION_STACKTRACE
_TEXTS: Final = frozenset(("@x", "Exception"))
_NET: Final = re.compile(r"([\w.+`]{1,256}): ([^\r\n]{0,4096})")


def error_attributes(fields: dict[str, Value]) -> dict[str, Value]:
    """The fields, with the attributes of the exception that they hold; what a writer said under these names itself stays."""
    stacks = fields.get("exception")
    if isinstance(stacks, list) and stacks and isinstance(stacks[0], dict):
        return {**_of_stacks(stacks), **fields}
    for name in () if _TEXTS.isdisjoint(fields) else sorted(_TEXTS.intersection(fields)):
        text = fields[name]
        if isinstance(text, str) and text:
            match = _NET.match(text)
            named: dict[str, Value] = {TYPE: match[1], MESSAGE: match[2]} if match else {}
            return {**named, STACKTRACE: text, **{key: value for key, value in fields.items() if key != name}}
    return fields


def _of_stacks(stacks: list[Value]) -> dict[str, Value]:
    error = from_structured({"exception": stacks})
    if error is None or not error.type:
        return {}
    return {TYPE: error.qualified, MESSAGE: error.value, STACKTRACE: render(error)}
