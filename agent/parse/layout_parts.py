"""Parts of the layouts of text lines: patterns of times, levels, names and places, and of the text between and behind them.

Every part that repeats is bounded. Names and gaps as well: where both may hold dashes, a long line of dashes would take for ever.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_ZONE: Final = r"(?: ?(?:(?:Z|UTC|GMT|CES?T|[ECMP][SD]T)\b|[+-]\d\d:?\d\d))?"
TIME: Final = rf"(?P<time>\d{{4}}[-/.]\d\d[-/.]\d\d[T ]\d\d:\d\d:\d\d(?:[.,:]\d{{1,9}})?{_ZONE})"
ANY_TIME: Final = TIME.replace(r"\d{4}[-/.]\d\d[-/.]\d\d[T ]", r"(?:\d{4}[-/.]\d\d[-/.]\d\d[T ]|\d\d[- ][A-Z][a-z]{2}[- ]\d{4} )")
"""As Tomcat, BIND and log4j write it as well: 22-Nov-2026, 22 Nov 2026."""
CLOCK: Final = r"(?P<clock>(?:\d\d/\d\d/\d\d )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)"
WORDS: Final = (
    "(?i:TRACE|DEBUG|INFO(?:RMATION)?|SUCCESS|NOTICE|WARN(?:ING)?|ERROR|CRIT(?:ICAL)?|FATAL|ALERT|EMERG(?:ENCY)?|D?PANIC)"
    "|EXCEPTION|VERBOSE|SEVERE|CONFIG|FINE(?:R|ST)?|ERR|TRC|VRB|DBG|INF|WRN|FTL|PNC"
)
UPPER: Final = (
    "TRACE|DEBUG|INFO|SUCCESS|NOTICE|WARN(?:ING)?|ERROR|EXCEPTION|CRIT(?:ICAL)?|FATAL|ALERT|EMERG(?:ENCY)?|D?PANIC|SEVERE|VERBOSE"
)
LEVEL: Final = r"(?P<level>[A-Za-z]{3,11}(?:[+-]\d{1,3})?)(?![\w+])"
"""Any word: whether it is a level is looked up, for many alternatives cost more."""
PROSE: Final = r"(?![A-Z][a-z]{2,10} [a-z]+ )"
"""Not a level that begins a sentence: `Critical parts of …`."""
NAME: Final = r"\w[\w.$<>/-]{0,127}"
"""Names and gaps are bounded: where both may hold dashes, a long line of dashes would take for ever."""
_RUST: Final = r"\w{1,64}(?:::\w{1,64}){0,16}"
CALLED: Final = rf"(?P<logger>(?:{NAME}|{_RUST})(?<!Error)(?<!Exception))"
FILE: Final = r"(?P<file>[\w./@+-]{1,160}\.(?:py|pyx|go|rs|js|mjs|cjs|jsx|ts|tsx|java|kt|scala|rb|php|c|cc|cpp|h|hpp|cs|swift|exs?|erl|lua|pl|sh)):(?P<line>\d{1,7})"
LABEL: Final = r"\w[\w ./:=#@$()-]{0,63}"
PLACE: Final = r"(?P<file>[\w./@+-]{1,160}\.py)(?::(?P<line1>\d{1,7})|\[line:(?P<line2>\d{1,7})\])"
_UUID: Final = r"(?P<invocation>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_IDS: Final = r"trace_id=(?P<trace>\w{1,32}) span_id=(?P<span>\w{1,16})"

_ODOO: Final = r"(?:odoo|openerp|werkzeug|py\.warnings)\b"
"""The loggers that Odoo's lines name behind a database."""

_BETWEEN: Final = (
    rf" ?\{{{FILE}\}}",  # Airflow
    r" ?\[ ?(?P<pid>\d{1,8}) ?\](?: \{[\w-]{0,64}\})?(?: [\w.-]{1,64}@[\w.-]{1,64})?",  # gunicorn, PostgreSQL, ClickHouse
    r"(?: |\t| - )(?P<pid>\d{1,8})(?: -)?(?=[ \t])",  # MySQL
    rf"\t{_UUID}",  # AWS Lambda
    rf" ?(?:- )?\[(?!(?:{WORDS}) {{0,8}}\])(?P<before>\w[\w ./:=#@$()-]{{0,63}})\](?: -)?",  # threads of Java and Python; labels
    r" \((?P<thread>\w*Thread[\w() -]{0,63})\)",
)
"""The text that may be between time and level, except a logger."""
BEFORE: Final = (
    rf"(?:[ \t](?!(?:the|an?|all|any|no|this|that|these|with|of|in|for|and|or|was|is|are) )(?=[A-Za-z_]{NAME[2:]}[ \t]{{1,8}}\[?(?:{UPPER})(?!\w))| {{0,8}}[|:-] {{0,2}}(?=[A-Za-z_]{NAME[2:]} {{0,32}}[|:-]))"
    rf"(?P<logger>[A-Za-z_]{NAME[2:]})(?: {{8,32}}(?=[|:-]))?"
)
"""A logger between time and level: before capitals, or between bars, colons or dashes."""
_BEHIND: Final = {
    r"[\]\t/:]": (
        rf"\]? \[{CALLED}\] \[{FILE}\] \[{_IDS}(?: resource\.service\.name=(?P<service>[^\] ]{{0,128}}))?(?: trace_sampled=(?P<sampled>\w+))?\](?: -)? ",
        rf"\t{_UUID}\t",
        r"\t(?P<logger>[\w.$]{1,128})#(?P<function>[\w$<>]{1,64}): ",  # Jenkins
        rf"\t(?:{CALLED}\t(?!\{{))?(?:{FILE}\t)?",  # zap's console
        rf"\]\[{CALLED} {{0,32}}\] ",  # Elasticsearch
        r"\] \[MY-\d{6}\] \[(?P<logger>\w{1,32})\] ",  # MySQL
        r"\] <(?P<process>\d{1,8}\.\d{1,10}\.\d{1,8})> ",  # RabbitMQ
        r"\] (?P<pid>\d{1,8})#(?P<tid>\d{1,8}): ",  # nginx
        r"/(?P<process>[\w-]{1,64})\] ",  # Celery
        r": (?P<logger>[\w./-]{1,64})/(?P<pid>\d{1,8}) on [\w.-]{1,255}: ",  # bunyan's command
        rf":(?=[A-Za-z_]){CALLED}:(?=[^\s/])",  # as logging's default, behind a time
        r":(?=[^\s:])",
    ),
    r"\]?+ {0,8}+[\[|(]": (
        r" {0,8}\| (?P<logger>[\w.<>]{1,128}):(?P<function>[\w.<>]{1,128}):(?P<line>\d{1,7}) - ",  # loguru
        rf" \[{CALLED}\] \[{FILE}\] \[{_IDS}(?: resource\.service\.name=(?P<service>[^\] ]{{0,128}}))?(?: trace_sampled=(?P<sampled>\w+))?\](?: -)? ",
        rf" {{0,8}}\| {CALLED} {{0,32}}\|(?: {_IDS} \|)? ",
        rf"\|{CALLED}\|",  # NLog
        r"\|(?=[^\s|])",
        rf" {{1,8}}\[{CALLED}\] \((?P<thread>[^)]{{1,64}})\) ",  # JBoss, Quarkus
        rf" {{1,8}}\[(?P<thread>\w[\w ./:#@$-]{{0,63}})\] {CALLED}(?: \({FILE}\))?(?: {{0,8}}:| --?) ",
        rf" \((?P<thread>\w[\w -]{{0,63}})\) \[{CALLED}\] ",  # Home Assistant
        r" {1,8}\[(?P<thread>[\w-]{1,64})\] (?=(?P<dotted>[a-z_]\w{0,63}(?:\.\w{1,64}){1,12}) )",  # Tomcat
        rf"\]? {{1,8}}[\[(]{FILE}[\])](?: [->:]|:)? ",
        r" \((?:(?P<logger>[\w./-]{1,64})/)?(?P<pid>\d{1,8})(?: on [\w.-]{1,255})?\): ",  # pino-pretty
        r"\]? {1,8}(?=\[(?P<dotted>[a-z_]\w{0,63}(?:\.\w{1,64}){1,12})\] )",  # a part of the message, if it is not a logger
        rf"\] \[{CALLED}\] ",
    ),
    r" {1,4}+\d{1,8}+ --- ": (
        r" {1,4}(?P<pid>\d{1,8}) --- (?:\[[^\],]{0,64},(?P<trace>[0-9a-f]{32}),(?P<span>[0-9a-f]{16})(?:,\w{0,5})?\] )?(?:\[[^\]]{0,64}\] ){0,2}?\[ {0,32}(?P<thread>[^\]]{1,64})\] (?P<logger>[\w.$\[\]/-]{1,128}) {1,64}: ",
    ),  # Spring Boot
    r"\]?+(?: {1,8}+[|-])?+ {1,8}+\[?+[^\s:]{1,160}+:\d": (
        rf"\]? {{1,8}}{FILE}(?: (?:--?|[>:|])|:)? ",
        rf"\]? {{1,8}}[|-] {{1,8}}{FILE}(?: (?:--?|[>:|])|:) ",
        rf"\]? {{1,8}}\[?(?=[A-Za-z_]){CALLED}:(?P<line>\d{{1,7}})\]?(?: -|:) ",
    ),
    r"\]?[ :|-]{1,8}\[?[^\s]{1,170}(?:[:\]]|  ?[-:])": (
        rf"\]? - {CALLED} - \[?{FILE}\]? - ",
        rf"\]?[ :|-]{{1,4}}\[?{CALLED}(?:\]?:| --?) ",
        r" {1,8}(?P<logger>\w{1,64}(?:::\w{1,64}){0,16})\] (?=\S)",  # env_logger
    ),
    r" {1,8}[\w.]{1,128} \[[^\]]{0,64}\] - ": (rf" {{1,8}}{CALLED} \[[^\]]{{0,64}}\] - ",),  # log4net
    r" in ": (rf" in {CALLED}: ",),  # Flask
    r"\]? {1,8}[a-z_]": (r"\]? {1,8}(?=(?P<dotted>__main__|[a-z_]\w{0,63}(?:\.\w{1,64}){1,12}) )",),
    r"": (r"\]?:?(?: {1,8}[|:-])? {1,8}",),
}
"""The text that may be between level and message, by its beginning. The most particular comes first; the last is padding or a dash."""


def _either(parts: tuple[str, ...], start: int, end: str = "") -> str:
    """The parts, each with the same end, as alternatives with group names of their own."""
    return "|".join(re.sub(r"\(\?P<(\w+?)>", rf"(?P<\g<1>{start + at}>", part + end) for at, part in enumerate(parts))


ALTERNATIVE: Final = 40
"""Groups with this number or more are of one of several ends of a line: all that holds is in those with the number of the last one."""
DIGITS: Final = "0123456789"
CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MESSAGE: Final = r"(?P<message>.*)"
PAIRED: Final = r"(?P<paired>.*)"
_GUARD: Final = r"(?=[ \t-]{0,3}[\[{0-9]|\t[a-f]| \(\w{0,64}Thread)"
MIDDLE: Final = rf"{_GUARD}(?:{_either(_BETWEEN, 10)})"
GAP: Final = r"(?:[ \t:|-]{1,8}|(?=\[))"
_CLOSED: Final = r"(?: {0,8}(?=\]))?"


def _tail(ends: Mapping[str, tuple[str, ...]]) -> str:
    """The ends of a line as alternatives, each group of them tried only where the line goes on as it begins."""
    groups, number = [], ALTERNATIVE
    for begin, parts in ends.items():
        groups.append(f"(?={begin})(?:{_either(parts, number, MESSAGE)})")
        number += len(parts)
    return rf"{_CLOSED}(?:{'|'.join(groups)}|[\]: ]{{0,4}})"


TAIL: Final = _tail(_BEHIND)
PID_TAIL: Final = _tail(
    {
        rf" [\w.?-]{{1,63}} {_ODOO}": (rf" (?:\?|(?P<database>[\w.-]{{1,63}})) (?P<logger>{_ODOO}(?:\.\w{{1,64}}){{0,16}}): ",),
        **_BEHIND,
    }
)
"""The ends behind a level that follows more than a time: also a database and a logger, as Odoo writes them."""
PLAIN_TAIL: Final = _tail(
    {
        r"\]?+(?: {1,8}+[|-])?+ {1,8}+[\[(]?+[\w./@+-]{1,160}+:\d": (
            rf"\]? {{1,8}}[\[(]?{FILE}[\])]?(?: (?:--?|[>:|])|:)? ",
            rf"\]? {{1,8}}[|-] {{1,8}}[\[(]?{FILE}[\])]?(?: (?:--?|[>:|])|:) ",
        ),
        "": _BEHIND[""],
    }
)
STRUCTLOG: Final = _either((r" ?\[(?=.{9}\])(?P<level>[a-z]{4,9}) {0,5}\] (?P<paired>.*)",), 90)
SLOG: Final = _either((r"(?<=\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (?P<level>(?:DEBUG|INFO|WARN|ERROR)(?:[+-]\d{1,3})?) (?P<paired>.*)",), 91)
ZEROLOG: Final = _either((rf" (?P<level>TRC|DBG|INF|WRN|ERR|FTL|PNC)(?: {FILE})?(?: >)? (?P<paired>.*)",), 92)
DJANGO: Final = _either((rf" (?P<logger>{NAME}) (?P<pid>\d{{1,8}}) (?P<tid>\d{{1,20}}) (?P<message>.*)",), 93)
RICH: Final = r" {2,400}(?P<file>\w[\w.-]{0,64}\.py):(?P<line>\d{1,6}) {0,80}"
LOGCAT: Final = r"(?P<level>[VDIWEFS])/(?P<logger>[^\n(:]{1,128}?)"
LOGCAT_TIME: Final = rf"(?:{TIME}|(?P<yearless>\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3,9}})(?: [+-]\d{{4}})?)"
_HALF_CLOCK: Final = r"\d{1,2}:\d\d:\d\d(?: |" + "\u202f" + r")[AP]M"
HALF: Final = rf"\d{{1,2}}/\d{{1,2}}/\d{{4}}, {_HALF_CLOCK}"
ANY_DAY: Final = r"(?P<time>\d{1,4}[-./]\d{1,2}[-./]\d{1,4},? [\d:]{7,8}(?:[ \u202f][AaPp]\.?[Mm]\.?)?)"
JAVA_TIME: Final = r"[A-Z][a-z]{2} \d{1,2}, \d{4},? " + _HALF_CLOCK
JAVA_LEVELS: Final = "SEVERE|WARNING|INFO|CONFIG|FINE(?:R|ST)?"
