"""Prefixes that say who wrote a line into a stream of several writers, and when. The writer is recognised whatever the time is. Pure.

    ranks            [rank0]: …      [default0]:…      [1,0]<stderr>:…            PyTorch, torchrun, mpirun
    services         web-1  | …      10:00:01 web.1 | …      0|app | …            docker compose, foreman and honcho, pm2
    pods, tasks      [pod/web/app] …      (train pid=7, ip=10.0.0.2) …            kubectl --prefix, Ray
    system logs      Nov 22 10:00:15 node1 app[17]: …      <13>1 2026-… …         syslog, journalctl, Heroku
    times            2026-11-22T10:00:00.123456789Z …                             docker logs -t, kubectl --timestamps, ts

Any other text is a prefix where a traceback's lines repeat it, except for the times in it (`Learned`).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agent.parse import syslog
from agent.parse.announcements import announces
from agent.parse.exceptions import BARE_GROUP_HEADER, HEADER
from agent.parse.json_lines import sniff as is_object
from agent.parse.limits import is_utf8, to_text
from agent.parse.odd_times import MONTHS
from agent.parse.parsed import Parsed
from agent.parse.severity import ANY_PYTHON_LEVEL
from agent.parse.terminal import clean
from agent.parse.times_in_text import CLOCK, DATE, MONTH, TIME, timeless, without_times
from agent.parse.timestamps import from_text, yearless
from agent.record import Drop

TIMED: Final = "time"
"""The writer of lines behind a time."""
WRITER: Final = "log.writer"
"""Attribute: who wrote a line, as its prefix says."""
_HEADER: Final = HEADER.encode()
_GROUP: Final = BARE_GROUP_HEADER.strip().encode()
_FIRST: Final = frozenset((b"[", b"(", b"\x1b", b"<", *(b"%c" % letter for letter in b"JFMASOND")))
"""How a prefix begins that has no bar in it, and no process in brackets: also with a priority, or a month."""
_LONGEST: Final = 512
"""Bytes of a prefix."""
_COLOUR: Final = r"(?:\x1b\[[0-9;]*m)*"
_SHAPES: Final = (
    r"\[(?P<rank>rank ?\d{1,6})\]: ?",
    rf"(?:{TIME})?\[(?P<process>default\d{{1,6}}|\d{{1,9}},\d{{1,6}})\](?:<std(?:out|err|diag)>)?:",
    rf"(?P<service>[A-Za-z][\w.-]{{0,127}}[._-]\d{{1,6}}) {{1,32}}\|(?:{_COLOUR} {_COLOUR}|$)",
    rf"{CLOCK} {_COLOUR}(?P<process_type>[A-Za-z][\w.-]{{0,127}}) {{1,32}}\|(?:{_COLOUR} {_COLOUR}|$)",
    r"(?P<number>\d{1,4}\|[\w.-]{1,128}) {0,32}\| ?",
    r"\[(?P<pod>pod/[\w.-]{1,253}/[\w.-]{1,253})\] ?",
    rf"{_COLOUR}\((?P<task>(?:[\w.<>:-]{{1,128}} )?pid=\d{{1,9}}(?:, ip=[\w.:]{{1,45}})?)\){_COLOUR} ?",
)
_PREFIX: Final = re.compile(f"{_COLOUR}(?:{'|'.join(_SHAPES)}){_COLOUR}".encode())
_SYSTEM: Final = re.compile(
    rf"(?P<time>{DATE}|{MONTH}|\d{{10}}\.\d{{6}}|\[ *\d{{1,9}}\.\d{{3,9}}\]) (?:(?P<host>[\w.:-]{{1,253}}) )?"
    r"(?P<app>[\w./@-]{1,64})\[(?P<pid>[\w.-]{1,64})\]: ?".encode()
)
_NAMES: Final = {"hostname": "host", "appname": "app", "procid": "pid"}
_TIMED: Final = re.compile(rf"\[?(?P<time>{DATE}|{MONTH})\]?[ \t]".encode())
_TWICE: Final = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:?\d\d) \[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:")
"""The prefixes of Docker and Kubernetes before a line, and a time that a logger has written."""
_TIME: Final = re.compile(TIME.encode())
_LEVEL: Final = re.compile(rf"[\[<(]?{ANY_PYTHON_LEVEL}".encode(), re.IGNORECASE)


class Prefixed(NamedTuple):
    """A line without its prefix. `base` says what the prefix does: a time, attributes, and as body the text that is put before a plain one."""

    writer: str
    text: bytes
    base: Parsed
    system: bool = False
    """Whether it is the header of a system log."""


def may_have_prefix(line: bytes) -> bool:
    """A cheap look that most lines of a log without prefixes fail; the patterns decide on the others."""
    return (
        line[:1] in _FIRST
        or b"|" in line
        or b"]: " in line
        or line[10:11] == b"T"
        or (b"{" in line and line[:1] != b"{")
        or line.endswith(_HEADER)
    )


def by_writer(line: bytes) -> Prefixed | None:
    """A line behind the prefix of a known kind; None if it has none."""
    match = _PREFIX.match(line) if line[:1] in _FIRST or b"|" in line else None
    if match is None:
        return None
    writer = str(match[match.lastgroup or 0].decode())
    return Prefixed(writer, line[match.end() :], Parsed(to_text(match[0]), {WRITER: writer}))


def by_system(line: bytes, now_ns: int, *, bare: bool) -> Prefixed | None:
    """A line behind the header of a system log. `bare`: a priority alone is one, too."""
    parsed = syslog.parse(line, now_ns) if bare or syslog.sniff(line) else None
    if parsed is None:
        return _by_journal(line, now_ns)
    writer = " ".join(str(parsed.attributes.get(f"syslog.{name}", "")) for name in ("hostname", "appname", "procid"))
    reasons = () if is_utf8(line) else (Drop.INVALID_UTF8,)
    return Prefixed(f"syslog {writer}", str(parsed.body).encode(), parsed._replace(body=None, reasons=reasons), system=True)


def _by_journal(line: bytes, now_ns: int) -> Prefixed | None:
    """The prefixes of `journalctl -o short-…` and Heroku, with a time that syslog does not write."""
    match = _SYSTEM.match(line) if b"]: " in line else None
    if match is None:
        return None
    names = {f"syslog.{name}": value.decode() for name, group in _NAMES.items() if (value := match[group])}
    base = Parsed(None, {**names}, _moment(match["time"], now_ns))
    return Prefixed("syslog " + " ".join(names.values()), line[match.end() :], base)


def by_time(line: bytes, now_ns: int, *, going_on: bool) -> Prefixed | None:
    """A line behind a time, if a traceback, an object or a logger's own time begins there, or one is `going_on` and no logger wrote the line."""
    twice = is_timed_twice(line)
    if not (twice or going_on or b"{" in line or b"xception" in line or _HEADER in line):
        return None
    match = _TIMED.match(line)
    if match is None:
        return None
    text = line[match.end() :]
    begins = (
        twice or text.rstrip() == b"{" or text.startswith(_HEADER) or text.endswith(_GROUP) or is_object(text) or announces(to_text(text))
    )
    if not begins and (not going_on or _LEVEL.match(text.lstrip())):
        return None
    return Prefixed(TIMED, text, Parsed(None, {}, _moment(match["time"], now_ns)))


def is_timed_twice(line: bytes) -> bool:
    """Whether a line of a logger's, which says its time itself, stands behind a time."""
    return line[10:11] == b"T" and _TWICE.match(line) is not None


def _moment(text: bytes, now_ns: int) -> int:
    """Nanoseconds since the epoch of a time, with a year or without; 0 if it tells none."""
    time = text.decode()
    return yearless(time, now_ns) if time[:3] in MONTHS else from_text(time)


class Learned:
    """The prefix of a traceback's first line: whatever stands before, with any time in place of its times."""

    __slots__ = ("_name", "_pattern", "writer")

    def __init__(self, prefix: str) -> None:
        self._pattern = re.compile(timeless(prefix).pattern.encode())
        self.writer = "learned " + without_times(prefix)
        self._name = clean(without_times(prefix)).strip()

    @classmethod
    def of(cls, line: bytes) -> Learned | None:
        """The text before the header of a traceback that a line ends with; None if there is none, or nothing before it."""
        if not line.endswith(_HEADER) or not (prefix := line.removesuffix(BARE_GROUP_HEADER.encode()).removesuffix(_HEADER)).strip():
            return None
        return cls(prefix.decode()) if len(prefix) <= _LONGEST and is_utf8(prefix) else None

    def split(self, line: bytes) -> Prefixed | None:
        """A line without this prefix; None if it has another."""
        match = self._pattern.match(line) or self._pattern.match(line + b" ")
        if match is None:
            return None
        time = _TIME.search(match[0])
        base = Parsed(to_text(match[0]), {WRITER: self._name}, from_text(time[0].decode()) if time else 0)
        return Prefixed(self.writer, line[match.end() :], base)
