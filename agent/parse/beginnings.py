"""Single lines that are written among other writers' records: access logs, progress bars, warnings. Each ends what is open.

The text of such a line is the formats' business. Here is only decided that it is neither more of a message nor continued by others.
"""

from __future__ import annotations

import re
from typing import Final

_COLOUR: Final = r"(?:\x1b\[[0-9;]*m)*"
_METHOD: Final = r"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT|PROPFIND|PRI|WS|WSCONNECT|WSDISCONNECT|WebSocket)"
_HOST: Final = r"(?:[\w.-]{1,253}|[\da-fA-F:.]{2,45}|\[[\da-fA-F:.]{2,45}\]|unix:)(?::\d{1,5})?"
_DAY: Final = r"\d{1,2}/[A-Z][a-z]{2}/\d{4}[: ]\d\d:\d\d:\d\d"
_REQUEST: Final = rf'"{_COLOUR}(?:{_METHOD} |[^"\n]{{1,4096}} HTTP/\d|-")'

SHAPES: Final = {
    "common log (gunicorn, werkzeug, nginx, Apache, aiohttp, HAProxy)": rf"(?:{_HOST},? ){{1,4}}(?:[^\s\[\"]{{1,256}} ){{0,3}}\[{_DAY}",
    "Django's runserver": rf"\[{_DAY}[^\]]{{0,16}}\] {_COLOUR}(?:{_REQUEST}|code \d|[\w.:-]{{2,253}} )",
    "Envoy": rf"\[\d{{4}}-\d\d-\d\d[T ][^\]]{{8,24}}\] {_REQUEST}",
    "uvicorn": rf"(?:[A-Z]{{4,8}}:? +)?{_HOST} - {_REQUEST}",
    "request behind an address": rf"{_HOST} {_REQUEST}",
    "request alone": rf"{_REQUEST}[^\n]{{0,4096}} [1-5]\d\d\b|{_COLOUR}{_METHOD}{_COLOUR} {{1,4}}/\S{{0,4096}} {_COLOUR}[1-5]\d\d\b",
    "uWSGI": r"\[pid: \d{1,7}\|app: ",
    "Gin": r"\[GIN(?:-debug)?\] ",
    "Rails": rf'Started {_METHOD} "',
    "Tornado": rf"{_COLOUR}\[[DIWEC] \d{{6}} \d\d:\d\d:\d\d ",
    "glog, klog": r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{3,9} ",
    "Go's log, nginx's errors": r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\b",
    "Apache's errors": r"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})? \d{4}\] ",
    "bar of tqdm": r"(?:[^|\n]{1,120}: )?[ ]{0,3}\d{1,3}%\|[^|\n]{0,1000}\|",
    "count of tqdm": r"(?:[^|\n:]{1,120}: )?\d[\d.]{0,11}[kMG]?(?:[A-Za-z]{1,12})? \[\d\d:\d\d[,<]",
    "bar of pip, rich": r"[^\n]{0,120}?(?:━){4}|[ ]{2,8}-{16,120} \d|[ ]{2,8}\|█",
    "bar of Keras": r"[ ]{0,8}\d{1,9}/(?:\d{1,9}|Unknown) {1,4}\[[=>.]",
    "logcat's buffers": r"--------- (?:beginning of|switch to) ",
    "warnings.warn": r"[^\s:][^:\n]{0,400}:\d{1,7}: (?:[\w.]{1,100}\.)?[A-Z]\w{0,60}Warning\b",
}
"""Patterns by writer. Repetitions are bounded, so that a long line costs no more than a short one."""
_ANY_SHAPE: Final = re.compile(f"{_COLOUR}(?:{'|'.join(SHAPES.values())})".encode())


def begins_alone(line: bytes) -> bool:
    """Whether a line is one that stands for itself, whatever is open."""
    return _may_begin(line) and _ANY_SHAPE.match(line) is not None


def _may_begin(line: bytes) -> bool:
    """Whether a line has what one of each shape has: most have not, and this costs a tenth. Digits behind a letter are glog's."""
    return (
        b"[" in line
        or b'"' in line
        or b"/" in line
        or b"|" in line
        or b"Warning" in line
        or b"\xe2\x94\x81" in line
        or b"---" in line
        or line[1:5].isdigit()
    )
