"""Lines of text → records, by the table of layouts: with a level, or at least with a time.

A record may go on in any lines that do not begin one themselves. The layout that matched last is tried first for lines of the same shape (their
first characters without letters and digits), so that a layout more in the table costs nothing.
"""

from __future__ import annotations

import re
import string
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from agent.names import PROCESS_PID, SERVICE_NAME
from agent.parse import access, pairs, trace_context
from agent.parse.layout_parts import ALTERNATIVE
from agent.parse.layouts import BEGINS, LAYOUTS, SIGNED, SIGNS, TIMED, WORDED, Layout
from agent.parse.limits import to_text
from agent.parse.odd_times import MONTHS
from agent.parse.parsed import Parsed
from agent.parse.severity import ERROR, SeverityCache
from agent.parse.terminal import clean
from agent.parse.timestamps import from_text, yearless

if TYPE_CHECKING:
    from agent.record import Value

_ATTRIBUTES: Final = {
    "logger": "logger",
    "function": "code.function.name",
    "file": "code.file.path",
    "line": "code.line.number",
    "process": "process.name",
    "thread": "thread.name",
    "tid": "thread.id",
    "pid": PROCESS_PID,
    "invocation": "faas.invocation_id",
    "service": SERVICE_NAME,
    "client": "client.address",
    "port": "client.port",
    "database": "db.namespace",
    "clock": "time",
}
_NUMBERS: Final = frozenset(("tid", "pid", "line", "port"))
_USUAL: Final = frozenset(("time", "level", "message", *_ATTRIBUTES))
_THREAD: Final = re.compile(
    r"(?i:main|.*thread|.*(?:thread|pool|exec|worker|nio|scheduling|async|ForkJoin)[\w .:/()-]*-[\w()-]+|Thread-\d.*)"
)
"""How threads are called where no logger stands beside them."""
_BEHIND: Final = re.compile(r"(?P<message>.*\S) \((?P<logger>[a-z_]\w{0,63}(?:\.[\w$]{1,128}){1,12})(?::(?P<line>\d{1,7}))?\)", re.DOTALL)
_KEYED: Final = re.compile(r"\w+(?:=|:\d)")
"""A label that says what it labels: `id=1`, `myid:1`."""
_NO_MODULES: Final = frozenset(
    (
        "com", "org", "net", "io", "dev", "app", "local", "internal", "lan", "py", "pyc", "js", "ts", "go", "rs", "rb", "java", "json", "jsonl", "yaml",
        "yml", "toml", "ini", "cfg", "conf", "txt", "log", "csv", "tsv", "html", "xml", "md", "sh", "sql", "db", "sqlite", "gz", "zip", "tar", "png",
        "jpg", "pdf", "pem", "key", "crt", "sock", "service", "parquet",
    )
)  # fmt: skip
"""Ends of hosts and files, which have dots as modules have."""
_SHAPELESS: Final = (string.ascii_letters + string.digits).encode()
_DIGITS: Final = frozenset(string.digits)
_SHAPED: Final = 32
_MAX_SHAPES: Final = 1024
_PANICS: Final = ("panic: ", "http: panic serving ")
"""How Go's `log` begins, which has no levels, where a goroutine died."""
_SAID: Final = re.compile(r"(?:dd\.)?trace[_.]?[iI][dD][=:] ?\"?(\w{16,39})\"?[,;]? (?:dd\.)?span[_.]?[iI][dD][=:] ?\"?(\w{1,20})\b")
_SAID_WITHIN: Final = 1024
"""Characters in which ids are looked for."""


def _numbered(name: str) -> tuple[str, int]:
    """A group's name → what it holds, and its number."""
    role = name.rstrip(string.digits)
    return role, int(name[len(role) :] or 0)


class _Ending(NamedTuple):
    """The groups of a pattern that may hold something when a certain one matched last: most are of other ends of the line."""

    indices: tuple[int, ...]
    roles: tuple[str, ...]
    """The content of each group."""
    is_simple: bool
    """Whether no two of them hold the same."""
    named: tuple[tuple[str, str, bool], ...]
    """(role, attribute, whether it is a number) of those that become attributes."""
    says_more: bool
    """Whether there is more than time, level, message and what becomes an attribute as it is."""


class _Row:
    """A layout at work; its pattern is compiled when a line may be of it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.levels = {**{name.upper(): number for name, number in layout.levels.items()}, **layout.levels}
        self._endings: dict[int | None, _Ending] = {}

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.layout.pattern, re.DOTALL)

    def parts(self, text: str) -> tuple[dict[str, str | None], _Ending] | None:
        """The text of each kind of group; None if the text is not of this layout."""
        match = self.pattern.fullmatch(text)
        if match is None:
            return None
        ending = self._endings.get(match.lastindex) or self._ending(match.lastindex)
        values = zip(ending.roles, match.group(*ending.indices), strict=True)
        return dict(values) if ending.is_simple else {role: part for role, part in values if part is not None}, ending

    def _ending(self, last: int | None) -> _Ending:
        numbered = {index: _numbered(name) for name, index in self.pattern.groupindex.items()}
        wanted = [index for index, (_, number) in numbered.items() if number < ALTERNATIVE or number == numbered[last or 1][1]]
        wanted = wanted if len(wanted) > 1 else wanted * 2  # of one group a match makes no tuple
        roles = tuple(numbered[index][0] for index in wanted)
        named = tuple((role, _ATTRIBUTES[role], role in _NUMBERS) for role in dict.fromkeys(roles) if role in _ATTRIBUTES)
        made = self._endings[last] = _Ending(tuple(wanted), roles, len(set(roles)) == len(roles), named, not _USUAL.issuperset(roles))
        return made


FIRST: Final = bytes(BEGINS) + b"\x1b"
"""The bytes that a line of a layout may begin with."""
_ROWS: Final = tuple(map(_Row, LAYOUTS))
_BY_FIRST: Final = {
    first: tuple(row for row in _ROWS if first in row.layout.first)
    for first in sorted({first for row in _ROWS for first in row.layout.first})
}
_TIMED: Final = _Row(TIMED)
_last: Final[dict[bytes, _Row]] = {}
_levels: Final = SeverityCache()


def sniff(line: bytes) -> bool:
    """Whether the line is of a layout with a level."""
    return parse(line, 0) is not None


def parse(line: bytes, now_ns: int) -> Parsed | None:
    """The record of a line with a level, or None. `now_ns` helps times without a year."""
    text = _candidate(line)
    return None if text is None else _levelled(line, text, now_ns)


def sniff_timed(line: bytes) -> bool:
    """Whether the line begins with a time."""
    return parse_timed(line, 0) is not None


def parse_timed(line: bytes, now_ns: int) -> Parsed | None:
    """The record of a line that begins with a time, with a level or without."""
    text = _candidate(line)
    if text is None:
        return None
    if (parsed := _levelled(line, text, now_ns)) is not None:
        return parsed
    found = _TIMED.parts(text)
    if found is None or not from_text(found[0]["time"] or ""):
        return None
    return _record(*found, ERROR if (found[0]["message"] or "").startswith(_PANICS) else 0, now_ns)


def _levelled(line: bytes, text: str, now_ns: int) -> Parsed | None:
    shape = line[:_SHAPED].translate(None, _SHAPELESS)
    last = _last.get(shape)
    if last is not None and (parsed := _parsed(last, text, now_ns)) is not None:
        return parsed
    if text[0] in _DIGITS and SIGNS.isdisjoint(line[:SIGNED].translate(WORDED).split()):
        return None
    for row in _BY_FIRST.get(text[:1], ()):
        if row is not last and (parsed := _parsed(row, text, now_ns)) is not None:
            if len(_last) >= _MAX_SHAPES:
                _last.clear()
            _last[shape] = row
            return parsed
    return None


def _candidate(line: bytes) -> str | None:
    """The line as text, if it may be of a layout."""
    text = None
    if line[:1] == b"\x1b":
        text = clean(to_text(line))
        line = text[:64].encode("utf-8", "replace")
    begin = BEGINS.get(line[0]) if line else None
    if begin is None or begin.match(line) is None:
        return None
    return clean(to_text(line)) if text is None else text


def _parsed(row: _Row, text: str, now_ns: int) -> Parsed | None:
    found = row.parts(text)
    if found is None:
        return None
    level = found[0].get("level")
    if level is None:
        return _record(*found, 0, now_ns)
    severity = (
        row.levels.get(level) or row.levels.get(level.lower()) or (_levels[level].number if level[-1].isdigit() or len(level) == 1 else 0)
    )
    if not severity:
        return None
    record = _record(*found, severity, now_ns)
    return _with_logger_behind(record) if text[0] == "[" and text[-1] == ")" and "logger" not in record.attributes else record


def _with_logger_behind(record: Parsed) -> Parsed:
    """The record of a line that ends with its logger in brackets, as Kafka's do: `[2026-11-22 10:00:00,123] INFO started (kafka.server.KafkaServer)`."""
    match = _BEHIND.fullmatch(str(record.body))
    if match is None or not _is_module(match["logger"]):
        return record
    line: dict[str, Value] = {"code.line.number": int(match["line"])} if match["line"] else {}
    return record._replace(body=match["message"], attributes={**record.attributes, "logger": match["logger"], **line})


def _record(parts: dict[str, str | None], ending: _Ending, severity: int, now_ns: int) -> Parsed:
    attributes: dict[str, Value] = {}
    for role, name, is_number in ending.named:
        if part := parts.get(role):
            attributes[name] = int(part) if is_number else part
    message = (parts.get("message") or "").rstrip()
    if ending.says_more:
        message = _more(message, parts, attributes)
    message = _with_tail(message, attributes)
    time = parts.get("time")
    time_ns = from_text(time) if time and "zone" not in parts else _odd_time(parts, now_ns)
    level = parts.get("level") or ""
    if "trace" not in message and not (ending.says_more and parts.get("trace")):
        return Parsed(message, attributes, time_ns, severity, level)
    trace, span = _ids(parts, message)
    return Parsed(message, attributes, time_ns, severity, level, trace, span, int(bool(trace) and parts.get("sampled") == "True"))


def _ids(parts: dict[str, str | None], message: str) -> tuple[bytes, bytes]:
    """Trace and span, where the layout has a place for them, or the message says them side by side."""
    given = parts.get("trace"), parts.get("span")
    if not given[0]:
        match = _SAID.search(message, 0, _SAID_WITHIN)
        given = (match[1], match[2]) if match else (None, None)
        if match and match[0].startswith("dd."):
            trace = trace_context.datadog_trace_id(match[1])
            return trace or b"", (trace_context.datadog_span_id(match[2]) or b"") if trace else b""
    trace = trace_context.trace_id(given[0])
    return trace or b"", (trace_context.span_id(given[1]) or b"") if trace else b""


def _more(message: str, parts: dict[str, str | None], attributes: dict[str, Value]) -> str:
    """The message, with pairs, a logger that is its first word, and a label, which are put among the attributes."""
    if paired := parts.get("paired"):
        message, more = pairs.part(paired)
        attributes |= more
    if (dotted := parts.get("dotted")) and _is_module(dotted):
        attributes["logger"] = dotted
        message = message.removeprefix("[")[len(dotted) :].removeprefix("]").lstrip(" ")
    if before := parts.get("before"):
        is_thread = "logger" in attributes or _THREAD.fullmatch(before) or " " in before or _KEYED.match(before)
        attributes["thread.name" if is_thread else "logger"] = before
    return message


def _with_tail(message: str, attributes: dict[str, Value]) -> str:
    """The message without an object behind it; what that or a request in it says is put among the attributes."""
    if message[-1:] == "}" and "\t{" in message:
        message = _with_fields(message, attributes)
    if '" ' in message and (request := access.match(message)):
        attributes |= access.attributes_of(request)
    return message


def _is_module(name: str) -> bool:
    """Whether a dotted name is one of a module, rather than a host, a file or a version."""
    segments = name.split(".")
    return segments[-1].lower() not in _NO_MODULES and not any(segment.isdigit() for segment in segments)


def _with_fields(message: str, attributes: dict[str, Value]) -> str:
    """The console of zap puts the fields behind the message, as an object."""
    text, _, tail = message.rpartition("\t{")
    try:
        fields = orjson.loads("{" + tail)
    except ValueError:
        return message
    attributes |= {name: value for name, value in fields.items() if name not in attributes}
    return text


def _odd_time(parts: dict[str, str | None], now_ns: int) -> int:
    if time := parts.get("time"):
        return from_text(f"{time} {parts['zone']}" if parts.get("zone") else time)
    if time := parts.get("yearless"):
        return yearless(time, now_ns)
    if time := parts.get("short"):  # yymmdd
        return from_text(f"20{time[:2]}-{time[2:4]}-{time[4:]}")
    if time := parts.get("american"):
        return from_text(f"20{time[6:8]}-{time[:2]}-{time[3:5]}{time[8:]}")
    if time := parts.get("half"):  # the month first, as half days are written in America
        month, day, rest = time.split("/", 2)
        return from_text(f"{MONTHS[min(int(month), 12) - 1]} {day}, {rest[:4]} {rest[6:]}")
    return 0
