"""JSON lines, few at a time: ordinary lines → records, row by row. For where columns would be short: among other lines, or with ever other names.

What is ordinary is the same as in `json_columns`; a property test holds both to `json_lines.parse`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import orjson

from agent.parse import fields as named
from agent.parse.json_lines import LONG_NUMBER, too_deep
from agent.parse.limits import MAX_TEXT
from agent.parse.timestamps import parse_time
from agent.record import LogRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.record import Origin, Value

WIDE: Final = 9.2e18
"""`orjson` makes an integer of more than 64 bits a double beyond this, and rounds it."""
FLAT: Final = frozenset((str, int, bool, type(None)))
"""Values without rounded numbers and without deep nesting."""


def read(lines: Iterable[tuple[int, bytes]], origin: Origin, observed_ns: int, more: Mapping[str, Value]) -> list[LogRecord]:
    """The records of the first lines, up to the first that is not ordinary. `more`: attributes of all that have none of that name."""
    records: list[LogRecord] = []
    loads, plans, numbers, append = orjson.loads, named.plans, named.levels, records.append
    for offset, line in lines:
        try:
            fields = loads(line)
        except ValueError:
            break
        if type(fields) is not dict or not (plan := plans[tuple(fields)]).plain or len(line) > MAX_TEXT:
            break
        time_ns = parse_time(fields.pop(plan.time))
        level, body = fields.pop(plan.level), fields.pop(plan.body)
        known = numbers[level] if type(level) is str else named.as_level(level, bunyan=plan.bunyan)
        trace = plan.trace_of(fields.pop(plan.trace)) if plan.trace else b""
        span = plan.span_of(fields.pop(plan.span)) if plan.span else b""
        if not time_ns or known is None or type(body) is not str or trace is None or span is None:
            break
        if not plan.sure and (type(level) is not str or not known.number):
            break
        if (type(level) is str and known.text != level) or (plan.error and type(fields[plan.error]) is list):
            break
        if not FLAT.issuperset(map(type, fields.values())) and not all(map(is_certain, fields.values())) and is_hazardous(line):
            break
        for name, value in more.items():
            fields.setdefault(name, value)
        append(LogRecord(time_ns, observed_ns, *known, body, cast("dict[str, Value]", fields), origin, offset, trace, span))
    return records


def is_certain(value: Value) -> bool:
    """Whether a value is certainly no number, at any depth, that `orjson` may have rounded, and not deep."""
    return type(value) in FLAT or (isinstance(value, float) and -WIDE < value < WIDE)


def is_hazardous(line: bytes) -> bool:
    """Whether a line may hold what `orjson` takes and we do not: numbers beyond 64 bits, deep nesting."""
    return too_deep(line) or LONG_NUMBER.search(line) is not None
