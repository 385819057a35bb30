r"""The layouts of text lines: one table. A layout is a name and a pattern; its groups are named for what they hold.

A pattern stands for a whole line without terminal control and is matched in linear time: every part that repeats is bounded, and the message,
which is the rest, is the last. No two layouts match the same line, or they say the same of it (a test holds them to that), so the order in
which they are tried changes nothing but the speed. What could be ordinary prose is in no layout: names before and behind a level count only where
brackets, colons, tabs or dots show that they are names. A number behind a group's name distinguishes groups of the same kind.

    time level [what stands between] … message      Python's logging, Java, Rust, zap, PostgreSQL, MySQL, nginx, RabbitMQ, structlog, Airflow …
    level time … message                            AWS Lambda, Django
    each in its own way                             glog, logrus, Redis, Ruby, Apache, rich, PHP, .NET, Android, NestJS, java.util.logging …
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.parse.layout_parts import (
    ANY_DAY,
    ANY_TIME,
    BEFORE,
    CALLED,
    CAPITALS,
    CLOCK,
    DIGITS,
    DJANGO,
    FILE,
    GAP,
    HALF,
    JAVA_LEVELS,
    JAVA_TIME,
    LABEL,
    LEVEL,
    LOGCAT,
    LOGCAT_TIME,
    MESSAGE,
    MIDDLE,
    NAME,
    PAIRED,
    PID_TAIL,
    PLACE,
    PLAIN_TAIL,
    PROSE,
    RICH,
    SLOG,
    STRUCTLOG,
    TAIL,
    TIME,
    UPPER,
    ZEROLOG,
)
from agent.parse.severity import BY_NAME, DEBUG, ERROR, FATAL, INFO, SYSLOG, SYSLOG_NAMES, TRACE, WARN

if TYPE_CHECKING:
    from collections.abc import Mapping


class Layout(NamedTuple):
    """One way to write a line."""

    name: str
    first: str
    """The characters that it may begin with."""
    pattern: str
    levels: Mapping[str, int] = BY_NAME
    """Level as written, or in small letters → SeverityNumber. A pattern without level is of records without one."""


_ANYHOW: Final = (
    "trace", "debug", "info", "information", "success", "notice", "warn", "warning", "error", "crit", "critical", "fatal", "alert", "emerg", "emergency",
    "panic", "dpanic",
)  # fmt: skip
_CAPITAL: Final = (
    "EXCEPTION", "VERBOSE", "SEVERE", "CONFIG", "FINE", "FINER", "FINEST", "ERR", "TRC", "VRB", "DBG", "INF", "WRN", "FTL", "PNC",
)  # fmt: skip
_TEXT: Final = {name: BY_NAME[name] for name in _ANYHOW} | {name: BY_NAME[name.lower()] for name in _CAPITAL}
"""Levels in running text: the usual ones in any case, those that are words as well in capitals only."""
_STRUCTURED: Final = {**_TEXT, "exception": ERROR}
_WORSE: Final = {**BY_NAME, "log": INFO, "fatal error": FATAL, "parse error": ERROR, "deprecated": WARN}
_POSTGRES_WORDS: Final = ("LOG", "STATEMENT", "DETAIL", "HINT", "CONTEXT", "QUERY", "DEBUG[1-5]")
_POSTGRES: Final = {
    **dict.fromkeys(("log", "statement", "detail", "hint", "context", "query"), INFO), **{f"debug{depth}": DEBUG for depth in range(1, 6)},
}  # fmt: skip
_REDIS: Final = {".": DEBUG, "-": DEBUG, "*": 10, "#": WARN}
_APACHE: Final = {**SYSLOG_NAMES, **{f"trace{depth}": TRACE for depth in range(1, 9)}}
_LOGCAT_LEVELS: Final = {"v": TRACE, "d": DEBUG, "i": INFO, "w": WARN, "e": ERROR, "f": FATAL, "s": FATAL}
_NEST: Final = {**_TEXT, "log": INFO}

LAYOUTS: Final = (
    Layout(
        "time, level",
        DIGITS + "[",
        rf"\[?{ANY_TIME}\]?(?:{STRUCTLOG}|{SLOG}|{ZEROLOG}|{GAP}(?:[\[<] {{0,4}})?{PROSE}{LEVEL}>?{TAIL})",
        _STRUCTURED,
    ),
    Layout("time, more, level", DIGITS + "[", rf"\[?{ANY_TIME}\]?{MIDDLE}{GAP}(?:[\[<] {{0,4}})?{LEVEL}>?{PID_TAIL}", _TEXT),
    Layout("time, logger, level", DIGITS + "[", rf"\[?{ANY_TIME}\]?{BEFORE}{GAP}[\[<]?{LEVEL}>?{PLAIN_TAIL}", _TEXT),
    Layout("time, more, logger, level", DIGITS + "[", rf"\[?{ANY_TIME}\]?{MIDDLE}{BEFORE}{GAP}[\[<]?{LEVEL}>?{PLAIN_TAIL}", _TEXT),
    Layout(
        "clock, level",
        DIGITS + "[",
        rf"\[?{CLOCK}\]?(?:{MIDDLE})?{GAP}(?:\[(?=[A-Za-z]{{3,9}} {{0,8}}\])|(?=(?:{UPPER})(?!\w))){LEVEL}(?!.{{0,400}}\S{RICH}$){TAIL}",
        _TEXT,
    ),
    Layout("Serilog's console", "[", rf"\[{CLOCK} (?P<level>VRB|DBG|INF|WRN|ERR|FTL)\] {MESSAGE}"),
    Layout("level, time", CAPITALS + "[" + CAPITALS.lower(), rf"\[?{LEVEL} {{0,8}}\]?[ \t:]{{1,4}}\[?{TIME}(?:{DJANGO}|{TAIL})", _TEXT),
    Layout("logging's default", CAPITALS, rf"(?P<level>{UPPER}):(?P<logger>{NAME}):{MESSAGE}"),
    Layout("level, colon", CAPITALS, rf"(?P<level>{UPPER}): {{1,8}}{MESSAGE}"),
    Layout(
        "level in brackets",
        "[",
        rf"\[(?P<level>{UPPER})\] {{1,8}}(?!\[?\d{{4}}[-/.]\d\d[-/.])(?:(?:\d{{3}}/\d{{6}} )?\((?P<pid>\d{{1,8}})\) : |(?P<logger>[a-z_]\w{{0,63}}(?:\.\w{{1,64}}){{1,12}}): )?{MESSAGE}",
    ),
    Layout("structlog without a time", "[", rf"\[(?=.{{9}}\])(?P<level>[a-z]{{4,9}}) {{0,5}}\] {PAIRED}"),
    Layout(
        "letter",
        DIGITS + "[",
        rf"\[?{TIME}\]?[ \t|]{{1,3}}(?:\[(?P<level1>[DIWEFC])\](?: (?P<logger1>{NAME}):)?|(?P<level2>[DWEFC]|I(?= \w{{1,64}}\.)) (?P<logger2>{NAME}):|(?P<level3>[DIWE])!|(?P<level4>[DINWEC]) \| (?P<logger4>{NAME}):)"
        rf" {{1,8}}{MESSAGE}",
    ),
    Layout(
        "MongoDB 4.2",
        DIGITS,
        rf"{TIME} (?P<level>[DIWEF])\d? (?P<logger>[A-Z]{{2,16}}) {{1,8}}\[(?P<thread>[^\]]{{1,64}})\] {MESSAGE}",
    ),
    Layout(
        "MySQL",
        DIGITS,
        rf"{TIME} (?P<pid>\d{{1,8}}) \[(?P<level>Note|System)\](?: \[MY-\d{{6}}\] \[(?P<logger1>\w{{1,32}})\]| (?P<logger2>\w{{1,32}}):)? {MESSAGE}",
    ),
    Layout(
        "PostgreSQL",
        DIGITS,
        rf"{TIME}(?: \[(?P<pid>\d{{1,8}})(?:-\d{{1,8}})?\]:?)?(?: [\w.\[\]-]{{1,64}}@[\w.\[\]-]{{1,64}})? {{1,2}}(?P<level>{'|'.join(_POSTGRES_WORDS)}): {{2}}{MESSAGE}",
        _POSTGRES,
    ),
    Layout(
        "glog",
        "IWEFDV",
        rf"(?P<level>[IWEFDV])(?:(?P<yearless>\d{{4}} \d\d:\d\d:\d\d\.\d{{1,9}})|(?P<time>\d{{8}} \d\d:\d\d:\d\d\.\d{{1,9}})) {{1,8}}(?P<tid>\d{{1,8}})"
        rf" {FILE}\] (?:(?P<paired>\"(?:[^\"\\]|\\.){{0,4096}}\"(?: .*)?)|{MESSAGE})",
    ),
    Layout("TensorFlow", DIGITS, rf"{TIME}: (?P<level>[IWEF]) {FILE}\] {MESSAGE}"),
    Layout("coloredlogs", DIGITS, rf"{TIME} [\w.-]{{1,64}} (?P<logger>{NAME})\[(?P<pid>\d{{1,8}})\] (?P<level>{UPPER}) {MESSAGE}"),
    Layout("Elixir", DIGITS, rf"{CLOCK}(?: [\w.]{{1,64}}=\S{{1,256}}){{1,8}} \[(?P<level>[a-z]{{4,9}})\] {{1,2}}{MESSAGE}", _TEXT),
    Layout("Minecraft", "[", rf"\[{CLOCK}\] \[(?P<thread>[^\]/]{{1,64}})/(?P<level>{UPPER})\](?: \[{CALLED}/?\])?: {MESSAGE}"),
    Layout("file, line, level", DIGITS, rf"{TIME}(?: -)? {PLACE}(?: -)? (?P<level>{UPPER})(?::| -)? {{1,8}}{MESSAGE}"),
    Layout("Sanic", "[", rf"\[{TIME}\] - \((?P<logger>{NAME})\)\[(?P<level>{UPPER})\] ?{MESSAGE}"),
    Layout("thread, level, logger", "[", rf"\[(?P<before>{LABEL})\] {{1,4}}(?P<level>{UPPER}) {{1,8}}{CALLED}(?::| -) {MESSAGE}"),
    Layout("level, thread, time", CAPITALS, rf"(?P<level>{UPPER}) {{1,4}}\[(?P<thread>{LABEL})\] {TIME} (?:{FILE} - )?{MESSAGE}"),
    Layout("pytest", CAPITALS, rf"(?P<level>{UPPER}) {{1,5}}(?P<logger>{NAME}):{FILE} {MESSAGE}"),
    Layout("vLLM", CAPITALS, rf"(?P<level>{UPPER}) (?P<yearless>\d\d-\d\d \d\d:\d\d:\d\d) \[{FILE}\] {MESSAGE}"),
    Layout(
        "padded level",
        CAPITALS,
        rf"(?P<level>(?:ERROR|DEBUG)(?= {{4}}\S)|INFO(?= {{5}}\S)|WARNING(?= {{2}}\S)) {{2,5}}(?!\S{{1,128}}:\S{{1,160}}:\d){MESSAGE}",
    ),
    Layout(
        "sd-daemon",
        "<",
        rf"<(?P<level>[0-7])>(?!1 \d|[A-Z][a-z]{{2}} [ \d]\d |\d{{4}}-){MESSAGE}",
        dict(zip("01234567", SYSLOG, strict=True)),
    ),
    Layout("logrus", "TDIWEFP", rf"(?P<level>TRAC|DEBU|INFO|WARN|ERRO|FATA|PANI)\[(?:\d{{4,8}}|{TIME})\] {{0,2}}{PAIRED}"),
    Layout(
        "geth, log15",
        "TDIWEC",
        rf"(?P<level>TRACE|DEBUG|DBUG|INFO|WARN|ERROR|EROR|CRIT) {{0,2}}\[(?P<clock>\d\d-\d\d\|\d\d:\d\d:\d\d(?:\.\d{{3}})?)\] {PAIRED}",
    ),
    Layout(
        "zerolog",
        DIGITS,
        rf"(?P<clock>\d{{1,2}}:\d\d[AP]M) (?P<level>TRC|DBG|INF|WRN|ERR|FTL|PNC)(?: {FILE} >)? {PAIRED}",
    ),
    Layout(
        "Tornado, Jupyter",
        "[",
        rf"\[(?P<level>[DIWECF]) (?:{TIME}|(?P<short>\d{{6}} \d\d:\d\d:\d\d)) (?:(?P<file>\w[\w.-]{{0,64}}):(?P<line>\d{{1,7}})|(?P<logger>\w{{1,64}}))\] {MESSAGE}",
    ),
    Layout(
        "Ruby",
        "DIWEF",
        rf"[DIWEF], \[{TIME} ?#(?P<pid>\d{{1,8}})\] {{1,2}}(?P<level>DEBUG|INFO|WARN|ERROR|FATAL) -- (?P<logger>[^:\n]{{0,64}}): ?{MESSAGE}",
    ),
    Layout(".NET console", "tdiwfc", r"(?P<level>trce|dbug|info|warn|fail|crit): (?P<message>(?P<logger>\w[\w.]{1,200})\[\d{1,9}\])"),
    Layout(
        "PHP",
        "[",
        r"\[(?P<time>\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})?)(?: (?P<zone>[\w/+-]{1,32}))?\] "
        rf"(?:PHP )?(?P<level>Fatal error|Parse error|Warning|Notice|Deprecated|DEBUG|NOTICE|WARNING|ERROR|ALERT): {{1,2}}{MESSAGE}",
        _WORSE,
    ),
    Layout(
        "Monolog",
        "[",
        rf"\[{TIME}\] (?P<logger>[\w-]{{1,64}})\.(?P<level>DEBUG|INFO|NOTICE|WARNING|ERROR|CRITICAL|ALERT|EMERGENCY): {MESSAGE}",
    ),
    Layout(
        "Apache error",
        "[",
        r"\[(?P<time>[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d(?:\.\d{1,9})? \d{4})\] \[(?:(?P<logger>\w{0,64}):)?(?P<level>emerg|alert|crit|error|warn|notice|info|debug|trace[1-8])\]"
        rf"(?: \[pid (?P<pid>\d{{1,8}})(?::tid (?P<tid>\d{{1,20}}))?\])?(?: \[client (?P<client>[\w.:]{{1,64}}?)(?::(?P<port>\d{{1,5}}))?\])? {MESSAGE}",
        _APACHE,
    ),
    Layout(
        "Redis",
        DIGITS,
        rf"(?P<pid>\d{{1,8}}):[XCSM] (?P<time>\d\d [A-Z][a-z]{{2}} \d{{4}} \d\d:\d\d:\d\d\.\d{{3}}) (?P<level>[.*#-]) {MESSAGE}",
        _REDIS,
    ),
    Layout(
        "rich",
        "[ ",
        rf"(?:\[(?P<american>\d\d/\d\d/\d\d \d\d:\d\d:\d\d)\]|\[{CLOCK}\]| {{10,22}}) (?P<level>{UPPER}) {{1,8}}(?P<message>.{{0,400}}?\S){RICH}",
    ),
    Layout(
        "NestJS",
        "[",
        rf"\[[\w.-]{{1,64}}\] (?P<pid>\d{{1,8}}) {{1,3}}- (?:(?P<half>{HALF})|{ANY_DAY}) {{1,8}}(?P<level>LOG|ERROR|WARN|DEBUG|VERBOSE|FATAL)(?: \[(?P<logger>[^\]]{{1,128}})\])? {MESSAGE}",
        _NEST,
    ),
    Layout("logcat, brief", "VDIWEFS", rf"{LOGCAT} {{0,32}}\( {{0,8}}(?P<pid>\d{{1,8}})\): {MESSAGE}", _LOGCAT_LEVELS),
    Layout("logcat, time", DIGITS, rf"{LOGCAT_TIME} {LOGCAT} {{0,32}}\( {{0,8}}(?P<pid>\d{{1,8}})\): {MESSAGE}", _LOGCAT_LEVELS),
    Layout(
        "logcat, threadtime",
        DIGITS,
        rf"{LOGCAT_TIME}(?: {{1,8}}[a-z]\w{{1,15}})? {{1,8}}(?P<pid>\d{{1,8}}) {{1,8}}(?P<tid>\d{{1,8}}) (?P<level>[VDIWEFS]) (?P<logger>[^:\n]{{0,128}}?) {{0,32}}: {MESSAGE}",
        _LOGCAT_LEVELS,
    ),
    Layout(
        "Android Studio",
        DIGITS,
        rf"{TIME} {{1,8}}(?P<pid>\d{{1,8}})-(?P<tid>\d{{1,8}})(?:/(?P<process1>[\w.:?]{{1,128}}) {LOGCAT}: | {{1,8}}(?P<logger2>\S[^\n]{{0,63}}?) {{1,64}}(?P<process2>[\w.:]{{1,128}}) {{1,64}}(?P<level2>[VDIWEF]) {{2}}){MESSAGE}",
        _LOGCAT_LEVELS,
    ),
    Layout(
        "java.util.logging",
        "JFMASOND",
        rf"(?P<time>{JAVA_TIME}) (?P<logger>[\w.$]{{1,256}})(?: (?P<function>[\w.$<>]{{1,256}}))?\n(?P<level>{JAVA_LEVELS}): ?{MESSAGE}",
    ),
    Layout(
        "AWS Lambda",
        "SERIX",
        r"(?P<message>(?:START|END|REPORT|INIT_START|INIT_REPORT|RESTORE_START|RESTORE_REPORT|EXTENSION|XRAY)\s(?:RequestId|Runtime Version|TraceId|Name|Init Duration): .*)",
    ),
)
TIMED: Final = Layout("time", DIGITS + "[", rf"\[?{TIME}\]?(?::|(?: {{1,8}}[|:-])(?= ))?[ \t](?:{FILE}: )?{MESSAGE}")
"""A line that begins with a time and has no level; what is indented behind one blank stays so."""
_DATED: Final = rb"\d{4}[-/.]\d\d[-/.]\d\d[T ]|\d\d[- ][A-Z][a-z]{2}[- ]\d{4} |\d\d:\d\d:\d\d|\d\d/\d\d/\d\d \d"
_LEVEL_TIME: Final = rb"[A-Za-z]{3,11} {0,8}\]?[ \t:]{1,4}\[?\d{4}[-/.]\d\d[-/.]"
_BEGINS: Final = {
    "<": rb"<[0-7]>[^\s<]",
    DIGITS: _DATED + rb"|\d{1,8}:[XCSM] \d|\d{1,2}:\d\d[AP]M |\d\d-\d\d \d\d:",
    "[": rb"\[(?:"
    + _DATED
    + rb"|[A-Za-z]{4,9} {0,5}\]|[DIWECF] \d|\d\d-[A-Z]|[A-Z][a-z]{2} [A-Z]|"
    + _LEVEL_TIME
    + rb"|[^\]\[]{1,64}\] {1,4}(?:"
    + UPPER.encode()
    + rb") |[\w.-]{1,64}\] \d{1,8} {1,3}- \d)",
    CAPITALS: rb"[A-Z]{3,11}:|[VDIWEFS]/[^\n(:]{1,160}\( {0,8}\d|[A-Z][a-z]{2} \d{1,2}, \d{4}|"
    + _LEVEL_TIME
    + rb"|[IWEFDV]\d{4}|[DIWEF], \[|[A-Z]{4}\[|[A-Z]{4,5} {1,2}\[\d\d-\d\d\||[A-Z]{4,8} (?:\d\d-\d\d \d| {0,4}(?:[\w.]{1,128}:[\w./-]{1,160}:\d|\[[^\]]{1,64}\] \d{4}-))|(?:ERROR|DEBUG) {4}\S|INFO {5}\S|WARNING {2}\S|[A-Z_]{3,16}\s(?:RequestId|Runtime|TraceId|Name|Init)",
    CAPITALS.lower(): rb"[a-z]{4}: \w[\w.]{1,200}\[|" + _LEVEL_TIME,
    " ": rb" {10,22} (?:" + UPPER.encode() + rb") ",
}
BEGINS: Final = {ord(first): re.compile(begin) for firsts, begin in _BEGINS.items() for first in firsts}
"""How the lines of all layouts begin, by their first byte: tells cheaply of most others that they are of none."""
_OTHERS: Final = "NOTE SYSTEM LOG STATEMENT DETAIL HINT CONTEXT QUERY V D I W E F C M S X AM PM"
SIGNS: Final = frozenset(name.upper().encode() for name in (*_TEXT, *_STRUCTURED, *_OTHERS.split()))
"""One of these words is near the beginning of each line that begins with a time and has a level: where none is, no layout is tried."""
SIGNED: Final = 220
"""Bytes that are "near"."""
WORDED: Final = bytes(byte - 32 if 97 <= byte <= 122 else byte if 65 <= byte <= 90 else 32 for byte in range(256))
"""For `bytes.translate`: capitals and blanks only."""
