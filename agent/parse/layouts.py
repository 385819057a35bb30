r"""The layouts of text lines: one table. A layout is a name and a pattern; its groups are named for what they hold.

A pattern stands for a whole line without terminal control and is matched in linear time: every part that repeats is bounded, and the message,
which is the rest, is the last. No two layouts match the same line, or they say the same of it (a test holds them to that), so the order in
which they are tried changes nothing but the speed. What could be ordinary prose is in no layout: names before and behind a level count only where
brackets, colons, tabs or dots show that they are names. A number behind a group's name tells apart groups that hold the same.

    time level [what stands between] … message      Python's logging, Java, Rust, zap, PostgreSQL, MySQL, nginx, RabbitMQ, structlog, Airflow …
    level time … message                            AWS Lambda, Django
    each in its own way                             glog, logrus, Redis, Ruby, Apache, rich, PHP, .NET, Android, NestJS, java.util.logging …
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.parse.severity import BY_NAME, DEBUG, ERROR, FATAL, INFO, SYSLOG, SYSLOG_NAMES, TRACE, WARN

if TYPE_CHECKING:
    from collections.abc import Mapping

_ZONE: Final = r"(?: ?(?:(?:Z|UTC|GMT|CES?T|[ECMP][SD]T)\b|[+-]\d\d:?\d\d))?"
TIME: Final = rf"(?P<time>\d{{4}}[-/.]\d\d[-/.]\d\d[T ]\d\d:\d\d:\d\d(?:[.,:]\d{{1,9}})?{_ZONE})"
_ANY_TIME: Final = TIME.replace(r"\d{4}[-/.]\d\d[-/.]\d\d[T ]", r"(?:\d{4}[-/.]\d\d[-/.]\d\d[T ]|\d\d[- ][A-Z][a-z]{2}[- ]\d{4} )")
"""As Tomcat, BIND and log4j write it as well: 22-Nov-2026, 22 Nov 2026."""
_CLOCK: Final = r"(?P<clock>(?:\d\d/\d\d/\d\d )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)"
WORDS: Final = (
    "(?i:TRACE|DEBUG|INFO(?:RMATION)?|SUCCESS|NOTICE|WARN(?:ING)?|ERROR|CRIT(?:ICAL)?|FATAL|ALERT|EMERG(?:ENCY)?|D?PANIC)"
    "|EXCEPTION|VERBOSE|SEVERE|CONFIG|FINE(?:R|ST)?|ERR|TRC|VRB|DBG|INF|WRN|FTL|PNC"
)
_UPPER: Final = (
    "TRACE|DEBUG|INFO|SUCCESS|NOTICE|WARN(?:ING)?|ERROR|EXCEPTION|CRIT(?:ICAL)?|FATAL|ALERT|EMERG(?:ENCY)?|D?PANIC|SEVERE|VERBOSE"
)
_LEVEL: Final = r"(?P<level>[A-Za-z]{3,11}(?:[+-]\d{1,3})?)(?![\w+])"
"""Any word: whether it is a level is looked up, for many alternatives cost more."""
_PROSE: Final = r"(?![A-Z][a-z]{2,10} [a-z]+ )"
"""Not a level that begins a sentence: `Critical parts of …`."""
_NAME: Final = r"\w[\w.$<>/-]{0,127}"
"""Names and gaps are bounded: where both may hold dashes, a long line of dashes would take for ever."""
_RUST: Final = r"\w{1,64}(?:::\w{1,64}){0,16}"
_CALLED: Final = rf"(?P<logger>(?:{_NAME}|{_RUST})(?<!Error)(?<!Exception))"
_FILE: Final = r"(?P<file>[\w./@+-]{1,160}\.(?:py|pyx|go|rs|js|mjs|cjs|jsx|ts|tsx|java|kt|scala|rb|php|c|cc|cpp|h|hpp|cs|swift|exs?|erl|lua|pl|sh)):(?P<line>\d{1,7})"
_LABEL: Final = r"\w[\w ./:=#@$()-]{0,63}"
_PLACE: Final = r"(?P<file>[\w./@+-]{1,160}\.py)(?::(?P<line1>\d{1,7})|\[line:(?P<line2>\d{1,7})\])"
_UUID: Final = r"(?P<invocation>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_IDS: Final = r"trace_id=(?P<trace>\w{1,32}) span_id=(?P<span>\w{1,16})"

_ODOO: Final = r"(?:odoo|openerp|werkzeug|py\.warnings)\b"
"""The loggers that Odoo's lines name behind a database."""

_BETWEEN: Final = (
    rf" ?\{{{_FILE}\}}",  # Airflow
    r" ?\[ ?(?P<pid>\d{1,8}) ?\](?: \{[\w-]{0,64}\})?(?: [\w.-]{1,64}@[\w.-]{1,64})?",  # gunicorn, PostgreSQL, ClickHouse
    r"(?: |\t| - )(?P<pid>\d{1,8})(?: -)?(?=[ \t])",  # MySQL
    rf"\t{_UUID}",  # AWS Lambda
    rf" ?(?:- )?\[(?!(?:{WORDS}) {{0,8}}\])(?P<before>\w[\w ./:=#@$()-]{{0,63}})\](?: -)?",  # threads of Java and Python; labels
    r" \((?P<thread>\w*Thread[\w() -]{0,63})\)",
)
"""What may stand between time and level, but a logger."""
_BEFORE: Final = (
    rf"(?:[ \t](?!(?:the|an?|all|any|no|this|that|these|with|of|in|for|and|or|was|is|are) )(?=[A-Za-z_]{_NAME[2:]}[ \t]{{1,8}}\[?(?:{_UPPER})(?!\w))| {{0,8}}[|:-] {{0,2}}(?=[A-Za-z_]{_NAME[2:]} {{0,32}}[|:-]))"
    rf"(?P<logger>[A-Za-z_]{_NAME[2:]})(?: {{8,32}}(?=[|:-]))?"
)
"""A logger between time and level: before capitals, or between bars, colons or dashes."""
_BEHIND: Final = {
    r"[\]\t/:]": (
        rf"\]? \[{_CALLED}\] \[{_FILE}\] \[{_IDS}(?: resource\.service\.name=(?P<service>[^\] ]{{0,128}}))?(?: trace_sampled=(?P<sampled>\w+))?\](?: -)? ",
        rf"\t{_UUID}\t",
        r"\t(?P<logger>[\w.$]{1,128})#(?P<function>[\w$<>]{1,64}): ",  # Jenkins
        rf"\t(?:{_CALLED}\t(?!\{{))?(?:{_FILE}\t)?",  # zap's console
        rf"\]\[{_CALLED} {{0,32}}\] ",  # Elasticsearch
        r"\] \[MY-\d{6}\] \[(?P<logger>\w{1,32})\] ",  # MySQL
        r"\] <(?P<process>\d{1,8}\.\d{1,10}\.\d{1,8})> ",  # RabbitMQ
        r"\] (?P<pid>\d{1,8})#(?P<tid>\d{1,8}): ",  # nginx
        r"/(?P<process>[\w-]{1,64})\] ",  # Celery
        r": (?P<logger>[\w./-]{1,64})/(?P<pid>\d{1,8}) on [\w.-]{1,255}: ",  # bunyan's command
        rf":(?=[A-Za-z_]){_CALLED}:(?=[^\s/])",  # as logging's default, behind a time
        r":(?=[^\s:])",
    ),
    r"\]?+ {0,8}+[\[|(]": (
        r" {0,8}\| (?P<logger>[\w.<>]{1,128}):(?P<function>[\w.<>]{1,128}):(?P<line>\d{1,7}) - ",  # loguru
        rf" \[{_CALLED}\] \[{_FILE}\] \[{_IDS}(?: resource\.service\.name=(?P<service>[^\] ]{{0,128}}))?(?: trace_sampled=(?P<sampled>\w+))?\](?: -)? ",
        rf" {{0,8}}\| {_CALLED} {{0,32}}\|(?: {_IDS} \|)? ",
        rf"\|{_CALLED}\|",  # NLog
        r"\|(?=[^\s|])",
        rf" {{1,8}}\[{_CALLED}\] \((?P<thread>[^)]{{1,64}})\) ",  # JBoss, Quarkus
        rf" {{1,8}}\[(?P<thread>\w[\w ./:#@$-]{{0,63}})\] {_CALLED}(?: \({_FILE}\))?(?: {{0,8}}:| --?) ",
        rf" \((?P<thread>\w[\w -]{{0,63}})\) \[{_CALLED}\] ",  # Home Assistant
        r" {1,8}\[(?P<thread>[\w-]{1,64})\] (?=(?P<dotted>[a-z_]\w{0,63}(?:\.\w{1,64}){1,12}) )",  # Tomcat
        rf"\]? {{1,8}}[\[(]{_FILE}[\])](?: [->:]|:)? ",
        r" \((?:(?P<logger>[\w./-]{1,64})/)?(?P<pid>\d{1,8})(?: on [\w.-]{1,255})?\): ",  # pino-pretty
        r"\]? {1,8}(?=\[(?P<dotted>[a-z_]\w{0,63}(?:\.\w{1,64}){1,12})\] )",  # a part of the message, if it is not a logger
        rf"\] \[{_CALLED}\] ",
    ),
    r" {1,4}+\d{1,8}+ --- ": (
        r" {1,4}(?P<pid>\d{1,8}) --- (?:\[[^\],]{0,64},(?P<trace>[0-9a-f]{32}),(?P<span>[0-9a-f]{16})(?:,\w{0,5})?\] )?(?:\[[^\]]{0,64}\] ){0,2}?\[ {0,32}(?P<thread>[^\]]{1,64})\] (?P<logger>[\w.$\[\]/-]{1,128}) {1,64}: ",
    ),  # Spring Boot
    r"\]?+(?: {1,8}+[|-])?+ {1,8}+\[?+[^\s:]{1,160}+:\d": (
        rf"\]? {{1,8}}{_FILE}(?: (?:--?|[>:|])|:)? ",
        rf"\]? {{1,8}}[|-] {{1,8}}{_FILE}(?: (?:--?|[>:|])|:) ",
        rf"\]? {{1,8}}\[?(?=[A-Za-z_]){_CALLED}:(?P<line>\d{{1,7}})\]?(?: -|:) ",
    ),
    r"\]?[ :|-]{1,8}\[?[^\s]{1,170}(?:[:\]]|  ?[-:])": (
        rf"\]? - {_CALLED} - \[?{_FILE}\]? - ",
        rf"\]?[ :|-]{{1,4}}\[?{_CALLED}(?:\]?:| --?) ",
        r" {1,8}(?P<logger>\w{1,64}(?:::\w{1,64}){0,16})\] (?=\S)",  # env_logger
    ),
    r" {1,8}[\w.]{1,128} \[[^\]]{0,64}\] - ": (rf" {{1,8}}{_CALLED} \[[^\]]{{0,64}}\] - ",),  # log4net
    r" in ": (rf" in {_CALLED}: ",),  # Flask
    rf" [\w.?-]{{1,63}} {_ODOO}": (rf" (?:\?|(?P<database>[\w.-]{{1,63}})) (?P<logger>{_ODOO}(?:\.\w{{1,64}}){{0,16}}): ",),
    r"\]? {1,8}[a-z_]": (r"\]? {1,8}(?=(?P<dotted>__main__|[a-z_]\w{0,63}(?:\.\w{1,64}){1,12}) )",),
    r"": (r"\]?:?(?: {1,8}[|:-])? {1,8}",),
}
"""What may stand between level and message, by how it begins; the most particular first, the last is none of it: padding, a dash."""


class Layout(NamedTuple):
    """One way to write a line."""

    name: str
    first: str
    """What it may begin with: characters."""
    pattern: str
    levels: Mapping[str, int] = BY_NAME
    """Level as written, or in small letters → SeverityNumber. A pattern without level is of records without one."""


def _either(parts: tuple[str, ...], start: int, end: str = "") -> str:
    """The parts, each with the same end, as alternatives with group names of their own."""
    return "|".join(re.sub(r"\(\?P<(\w+?)>", rf"(?P<\g<1>{start + at}>", part + end) for at, part in enumerate(parts))


ALTERNATIVE: Final = 40
"""Groups with this number or more are of one of several ends of a line: all that holds is in those with the number of the last one."""
_DIGITS: Final = "0123456789"
_CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MESSAGE: Final = r"(?P<message>.*)"
_PAIRED: Final = r"(?P<paired>.*)"
_GUARD: Final = r"(?=[ \t-]{0,3}[\[{0-9]|\t[a-f]| \(\w{0,64}Thread)"
_MIDDLE: Final = rf"{_GUARD}(?:{_either(_BETWEEN, 10)})"
_GAP: Final = r"(?:[ \t:|-]{1,8}|(?=\[))"
_CLOSED: Final = r"(?: {0,8}(?=\]))?"


def _tail(ends: Mapping[str, tuple[str, ...]]) -> str:
    """The ends of a line as alternatives, each group of them tried only where the line goes on as it begins."""
    groups, number = [], ALTERNATIVE
    for begin, parts in ends.items():
        groups.append(f"(?={begin})(?:{_either(parts, number, _MESSAGE)})")
        number += len(parts)
    return rf"{_CLOSED}(?:{'|'.join(groups)}|[\]: ]{{0,4}})"


_TAIL: Final = _tail(_BEHIND)
_PLAIN_TAIL: Final = _tail(
    {
        r"\]?+(?: {1,8}+[|-])?+ {1,8}+[\[(]?+[\w./@+-]{1,160}+:\d": (
            rf"\]? {{1,8}}[\[(]?{_FILE}[\])]?(?: (?:--?|[>:|])|:)? ",
            rf"\]? {{1,8}}[|-] {{1,8}}[\[(]?{_FILE}[\])]?(?: (?:--?|[>:|])|:) ",
        ),
        "": _BEHIND[""],
    }
)
_STRUCTLOG: Final = _either((r" ?\[(?=.{9}\])(?P<level>[a-z]{4,9}) {0,5}\] (?P<paired>.*)",), 90)
_SLOG: Final = _either((r"(?<=\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (?P<level>(?:DEBUG|INFO|WARN|ERROR)(?:[+-]\d{1,3})?) (?P<paired>.*)",), 91)
_ZEROLOG: Final = _either((rf" (?P<level>TRC|DBG|INF|WRN|ERR|FTL|PNC)(?: {_FILE})?(?: >)? (?P<paired>.*)",), 92)
_DJANGO: Final = _either((rf" (?P<logger>{_NAME}) (?P<pid>\d{{1,8}}) (?P<tid>\d{{1,20}}) (?P<message>.*)",), 93)
_RICH: Final = r" {2,400}(?P<file>\w[\w.-]{0,64}\.py):(?P<line>\d{1,6}) {0,80}"
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
_LOGCAT: Final = r"(?P<level>[VDIWEFS])/(?P<logger>[^\n(:]{1,128}?)"
_LOGCAT_TIME: Final = rf"(?:{TIME}|(?P<yearless>\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3,9}})(?: [+-]\d{{4}})?)"
_HALF_CLOCK: Final = r"\d{1,2}:\d\d:\d\d(?: |" + "\u202f" + r")[AP]M"
_HALF: Final = rf"\d{{1,2}}/\d{{1,2}}/\d{{4}}, {_HALF_CLOCK}"
_ANY_DAY: Final = r"(?P<time>\d{1,4}[-./]\d{1,2}[-./]\d{1,4},? [\d:]{7,8}(?:[ \u202f][AaPp]\.?[Mm]\.?)?)"
_NEST: Final = {**_TEXT, "log": INFO}
JAVA_TIME: Final = r"[A-Z][a-z]{2} \d{1,2}, \d{4},? " + _HALF_CLOCK
JAVA_LEVELS: Final = "SEVERE|WARNING|INFO|CONFIG|FINE(?:R|ST)?"

LAYOUTS: Final = (
    Layout(
        "time, level",
        _DIGITS + "[",
        rf"\[?{_ANY_TIME}\]?(?:{_STRUCTLOG}|{_SLOG}|{_ZEROLOG}|{_GAP}(?:[\[<] {{0,4}})?{_PROSE}{_LEVEL}>?{_TAIL})",
        _STRUCTURED,
    ),
    Layout("time, more, level", _DIGITS + "[", rf"\[?{_ANY_TIME}\]?{_MIDDLE}{_GAP}(?:[\[<] {{0,4}})?{_LEVEL}>?{_TAIL}", _TEXT),
    Layout("time, logger, level", _DIGITS + "[", rf"\[?{_ANY_TIME}\]?{_BEFORE}{_GAP}[\[<]?{_LEVEL}>?{_PLAIN_TAIL}", _TEXT),
    Layout("time, more, logger, level", _DIGITS + "[", rf"\[?{_ANY_TIME}\]?{_MIDDLE}{_BEFORE}{_GAP}[\[<]?{_LEVEL}>?{_PLAIN_TAIL}", _TEXT),
    Layout(
        "clock, level",
        _DIGITS + "[",
        rf"\[?{_CLOCK}\]?(?:{_MIDDLE})?{_GAP}(?:\[(?=[A-Za-z]{{3,9}} {{0,8}}\])|(?=(?:{_UPPER})(?!\w))){_LEVEL}(?!.{{0,400}}\S{_RICH}$){_TAIL}",
        _TEXT,
    ),
    Layout("Serilog's console", "[", rf"\[{_CLOCK} (?P<level>VRB|DBG|INF|WRN|ERR|FTL)\] {_MESSAGE}"),
    Layout(
        "level, time", _CAPITALS + "[" + _CAPITALS.lower(), rf"\[?{_LEVEL} {{0,8}}\]?[ \t:]{{1,4}}\[?{TIME}(?:{_DJANGO}|{_TAIL})", _TEXT
    ),
    Layout("logging's default", _CAPITALS, rf"(?P<level>{_UPPER}):(?P<logger>{_NAME}):{_MESSAGE}"),
    Layout("level, colon", _CAPITALS, rf"(?P<level>{_UPPER}): {{1,8}}{_MESSAGE}"),
    Layout(
        "level in brackets",
        "[",
        rf"\[(?P<level>{_UPPER})\] {{1,8}}(?!\[?\d{{4}}[-/.]\d\d[-/.])(?:(?:\d{{3}}/\d{{6}} )?\((?P<pid>\d{{1,8}})\) : |(?P<logger>[a-z_]\w{{0,63}}(?:\.\w{{1,64}}){{1,12}}): )?{_MESSAGE}",
    ),
    Layout("structlog without a time", "[", rf"\[(?=.{{9}}\])(?P<level>[a-z]{{4,9}}) {{0,5}}\] {_PAIRED}"),
    Layout(
        "letter",
        _DIGITS + "[",
        rf"\[?{TIME}\]?[ \t|]{{1,3}}(?:\[(?P<level1>[DIWEFC])\](?: (?P<logger1>{_NAME}):)?|(?P<level2>[DWEFC]|I(?= \w{{1,64}}\.)) (?P<logger2>{_NAME}):|(?P<level3>[DIWE])!|(?P<level4>[DINWEC]) \| (?P<logger4>{_NAME}):)"
        rf" {{1,8}}{_MESSAGE}",
    ),
    Layout(
        "MongoDB 4.2",
        _DIGITS,
        rf"{TIME} (?P<level>[DIWEF])\d? (?P<logger>[A-Z]{{2,16}}) {{1,8}}\[(?P<thread>[^\]]{{1,64}})\] {_MESSAGE}",
    ),
    Layout(
        "MySQL",
        _DIGITS,
        rf"{TIME} (?P<pid>\d{{1,8}}) \[(?P<level>Note|System)\](?: \[MY-\d{{6}}\] \[(?P<logger1>\w{{1,32}})\]| (?P<logger2>\w{{1,32}}):)? {_MESSAGE}",
    ),
    Layout(
        "PostgreSQL",
        _DIGITS,
        rf"{TIME}(?: \[(?P<pid>\d{{1,8}})(?:-\d{{1,8}})?\]:?)?(?: [\w.\[\]-]{{1,64}}@[\w.\[\]-]{{1,64}})? {{1,2}}(?P<level>{'|'.join(_POSTGRES_WORDS)}): {{2}}{_MESSAGE}",
        _POSTGRES,
    ),
    Layout(
        "glog",
        "IWEFDV",
        rf"(?P<level>[IWEFDV])(?:(?P<yearless>\d{{4}} \d\d:\d\d:\d\d\.\d{{1,9}})|(?P<time>\d{{8}} \d\d:\d\d:\d\d\.\d{{1,9}})) {{1,8}}(?P<tid>\d{{1,8}})"
        rf" {_FILE}\] (?:(?P<paired>\"(?:[^\"\\]|\\.){{0,4096}}\"(?: .*)?)|{_MESSAGE})",
    ),
    Layout("TensorFlow", _DIGITS, rf"{TIME}: (?P<level>[IWEF]) {_FILE}\] {_MESSAGE}"),
    Layout("coloredlogs", _DIGITS, rf"{TIME} [\w.-]{{1,64}} (?P<logger>{_NAME})\[(?P<pid>\d{{1,8}})\] (?P<level>{_UPPER}) {_MESSAGE}"),
    Layout("Elixir", _DIGITS, rf"{_CLOCK}(?: [\w.]{{1,64}}=\S{{1,256}}){{1,8}} \[(?P<level>[a-z]{{4,9}})\] {{1,2}}{_MESSAGE}", _TEXT),
    Layout("Minecraft", "[", rf"\[{_CLOCK}\] \[(?P<thread>[^\]/]{{1,64}})/(?P<level>{_UPPER})\](?: \[{_CALLED}/?\])?: {_MESSAGE}"),
    Layout("file, line, level", _DIGITS, rf"{TIME}(?: -)? {_PLACE}(?: -)? (?P<level>{_UPPER})(?::| -)? {{1,8}}{_MESSAGE}"),
    Layout("Sanic", "[", rf"\[{TIME}\] - \((?P<logger>{_NAME})\)\[(?P<level>{_UPPER})\] ?{_MESSAGE}"),
    Layout("thread, level, logger", "[", rf"\[(?P<before>{_LABEL})\] {{1,4}}(?P<level>{_UPPER}) {{1,8}}{_CALLED}(?::| -) {_MESSAGE}"),
    Layout("level, thread, time", _CAPITALS, rf"(?P<level>{_UPPER}) {{1,4}}\[(?P<thread>{_LABEL})\] {TIME} (?:{_FILE} - )?{_MESSAGE}"),
    Layout("pytest", _CAPITALS, rf"(?P<level>{_UPPER}) {{1,5}}(?P<logger>{_NAME}):{_FILE} {_MESSAGE}"),
    Layout("vLLM", _CAPITALS, rf"(?P<level>{_UPPER}) (?P<yearless>\d\d-\d\d \d\d:\d\d:\d\d) \[{_FILE}\] {_MESSAGE}"),
    Layout(
        "padded level",
        _CAPITALS,
        rf"(?P<level>(?:ERROR|DEBUG)(?= {{4}}\S)|INFO(?= {{5}}\S)|WARNING(?= {{2}}\S)) {{2,5}}(?!\S{{1,128}}:\S{{1,160}}:\d){_MESSAGE}",
    ),
    Layout(
        "sd-daemon",
        "<",
        rf"<(?P<level>[0-7])>(?!1 \d|[A-Z][a-z]{{2}} [ \d]\d |\d{{4}}-){_MESSAGE}",
        dict(zip("01234567", SYSLOG, strict=True)),
    ),
    Layout("logrus", "TDIWEFP", rf"(?P<level>TRAC|DEBU|INFO|WARN|ERRO|FATA|PANI)\[(?:\d{{4,8}}|{TIME})\] {{0,2}}{_PAIRED}"),
    Layout(
        "geth, log15",
        "TDIWEC",
        rf"(?P<level>TRACE|DEBUG|DBUG|INFO|WARN|ERROR|EROR|CRIT) {{0,2}}\[(?P<clock>\d\d-\d\d\|\d\d:\d\d:\d\d(?:\.\d{{3}})?)\] {_PAIRED}",
    ),
    Layout(
        "zerolog",
        _DIGITS,
        rf"(?P<clock>\d{{1,2}}:\d\d[AP]M) (?P<level>TRC|DBG|INF|WRN|ERR|FTL|PNC)(?: {_FILE} >)? {_PAIRED}",
    ),
    Layout(
        "Tornado, Jupyter",
        "[",
        rf"\[(?P<level>[DIWECF]) (?:{TIME}|(?P<short>\d{{6}} \d\d:\d\d:\d\d)) (?:(?P<file>\w[\w.-]{{0,64}}):(?P<line>\d{{1,7}})|(?P<logger>\w{{1,64}}))\] {_MESSAGE}",
    ),
    Layout(
        "Ruby",
        "DIWEF",
        rf"[DIWEF], \[{TIME} ?#(?P<pid>\d{{1,8}})\] {{1,2}}(?P<level>DEBUG|INFO|WARN|ERROR|FATAL) -- (?P<logger>[^:\n]{{0,64}}): ?{_MESSAGE}",
    ),
    Layout(".NET console", "tdiwfc", r"(?P<level>trce|dbug|info|warn|fail|crit): (?P<message>(?P<logger>\w[\w.]{1,200})\[\d{1,9}\])"),
    Layout(
        "PHP",
        "[",
        r"\[(?P<time>\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})?)(?: (?P<zone>[\w/+-]{1,32}))?\] "
        rf"(?:PHP )?(?P<level>Fatal error|Parse error|Warning|Notice|Deprecated|DEBUG|NOTICE|WARNING|ERROR|ALERT): {{1,2}}{_MESSAGE}",
        _WORSE,
    ),
    Layout(
        "Monolog",
        "[",
        rf"\[{TIME}\] (?P<logger>[\w-]{{1,64}})\.(?P<level>DEBUG|INFO|NOTICE|WARNING|ERROR|CRITICAL|ALERT|EMERGENCY): {_MESSAGE}",
    ),
    Layout(
        "Apache error",
        "[",
        r"\[(?P<time>[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d(?:\.\d{1,9})? \d{4})\] \[(?:(?P<logger>\w{0,64}):)?(?P<level>emerg|alert|crit|error|warn|notice|info|debug|trace[1-8])\]"
        rf"(?: \[pid (?P<pid>\d{{1,8}})(?::tid (?P<tid>\d{{1,20}}))?\])?(?: \[client (?P<client>[\w.:]{{1,64}}?)(?::(?P<port>\d{{1,5}}))?\])? {_MESSAGE}",
        _APACHE,
    ),
    Layout(
        "Redis",
        _DIGITS,
        rf"(?P<pid>\d{{1,8}}):[XCSM] (?P<time>\d\d [A-Z][a-z]{{2}} \d{{4}} \d\d:\d\d:\d\d\.\d{{3}}) (?P<level>[.*#-]) {_MESSAGE}",
        _REDIS,
    ),
    Layout(
        "rich",
        "[ ",
        rf"(?:\[(?P<american>\d\d/\d\d/\d\d \d\d:\d\d:\d\d)\]|\[{_CLOCK}\]| {{10,22}}) (?P<level>{_UPPER}) {{1,8}}(?P<message>.{{0,400}}?\S){_RICH}",
    ),
    Layout(
        "NestJS",
        "[",
        rf"\[[\w.-]{{1,64}}\] (?P<pid>\d{{1,8}}) {{1,3}}- (?:(?P<half>{_HALF})|{_ANY_DAY}) {{1,8}}(?P<level>LOG|ERROR|WARN|DEBUG|VERBOSE|FATAL)(?: \[(?P<logger>[^\]]{{1,128}})\])? {_MESSAGE}",
        _NEST,
    ),
    Layout("logcat, brief", "VDIWEFS", rf"{_LOGCAT} {{0,32}}\( {{0,8}}(?P<pid>\d{{1,8}})\): {_MESSAGE}", _LOGCAT_LEVELS),
    Layout("logcat, time", _DIGITS, rf"{_LOGCAT_TIME} {_LOGCAT} {{0,32}}\( {{0,8}}(?P<pid>\d{{1,8}})\): {_MESSAGE}", _LOGCAT_LEVELS),
    Layout(
        "logcat, threadtime",
        _DIGITS,
        rf"{_LOGCAT_TIME}(?: {{1,8}}[a-z]\w{{1,15}})? {{1,8}}(?P<pid>\d{{1,8}}) {{1,8}}(?P<tid>\d{{1,8}}) (?P<level>[VDIWEFS]) (?P<logger>[^:\n]{{0,128}}?) {{0,32}}: {_MESSAGE}",
        _LOGCAT_LEVELS,
    ),
    Layout(
        "Android Studio",
        _DIGITS,
        rf"{TIME} {{1,8}}(?P<pid>\d{{1,8}})-(?P<tid>\d{{1,8}})(?:/(?P<process1>[\w.:?]{{1,128}}) {_LOGCAT}: | {{1,8}}(?P<logger2>\S[^\n]{{0,63}}?) {{1,64}}(?P<process2>[\w.:]{{1,128}}) {{1,64}}(?P<level2>[VDIWEF]) {{2}}){_MESSAGE}",
        _LOGCAT_LEVELS,
    ),
    Layout(
        "java.util.logging",
        "JFMASOND",
        rf"(?P<time>{JAVA_TIME}) (?P<logger>[\w.$]{{1,256}})(?: (?P<function>[\w.$<>]{{1,256}}))?\n(?P<level>{JAVA_LEVELS}): ?{_MESSAGE}",
    ),
    Layout(
        "AWS Lambda",
        "SERIX",
        r"(?P<message>(?:START|END|REPORT|INIT_START|INIT_REPORT|RESTORE_START|RESTORE_REPORT|EXTENSION|XRAY)\s(?:RequestId|Runtime Version|TraceId|Name|Init Duration): .*)",
    ),
)
TIMED: Final = Layout("time", _DIGITS + "[", rf"\[?{TIME}\]?(?::|(?: {{1,8}}[|:-])(?= ))?[ \t](?:{_FILE}: )?{_MESSAGE}")
"""A line that begins with a time and has no level; what is indented behind one blank stays so."""
_DATED: Final = rb"\d{4}[-/.]\d\d[-/.]\d\d[T ]|\d\d[- ][A-Z][a-z]{2}[- ]\d{4} |\d\d:\d\d:\d\d|\d\d/\d\d/\d\d \d"
_LEVEL_TIME: Final = rb"[A-Za-z]{3,11} {0,8}\]?[ \t:]{1,4}\[?\d{4}[-/.]\d\d[-/.]"
_BEGINS: Final = {
    "<": rb"<[0-7]>[^\s<]",
    _DIGITS: _DATED + rb"|\d{1,8}:[XCSM] \d|\d{1,2}:\d\d[AP]M |\d\d-\d\d \d\d:",
    "[": rb"\[(?:"
    + _DATED
    + rb"|[A-Za-z]{4,9} {0,5}\]|[DIWECF] \d|\d\d-[A-Z]|[A-Z][a-z]{2} [A-Z]|"
    + _LEVEL_TIME
    + rb"|[^\]\[]{1,64}\] {1,4}(?:"
    + _UPPER.encode()
    + rb") |[\w.-]{1,64}\] \d{1,8} {1,3}- \d)",
    _CAPITALS: rb"[A-Z]{3,11}:|[VDIWEFS]/[^\n(:]{1,160}\( {0,8}\d|[A-Z][a-z]{2} \d{1,2}, \d{4}|"
    + _LEVEL_TIME
    + rb"|[IWEFDV]\d{4}|[DIWEF], \[|[A-Z]{4}\[|[A-Z]{4,5} {1,2}\[\d\d-\d\d\||[A-Z]{4,8} (?:\d\d-\d\d \d| {0,4}(?:[\w.]{1,128}:[\w./-]{1,160}:\d|\[[^\]]{1,64}\] \d{4}-))|(?:ERROR|DEBUG) {4}\S|INFO {5}\S|WARNING {2}\S|[A-Z_]{3,16}\s(?:RequestId|Runtime|TraceId|Name|Init)",
    _CAPITALS.lower(): rb"[a-z]{4}: \w[\w.]{1,200}\[|" + _LEVEL_TIME,
    " ": rb" {10,22} (?:" + _UPPER.encode() + rb") ",
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
