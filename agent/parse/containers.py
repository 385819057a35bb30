r"""Container runtimes' files: each line wraps a line (or a piece of one) of the program's stdout or stderr, whose own format is found inside.

    Docker json-file   {"log":"…\\n","stream":"stdout","time":"2026-…Z"}     a piece has no \\n at its end
    CRI                2026-…Z stdout P …                                     P a piece, F the last piece

(moby daemon/logger/jsonfilelog; kubernetes: CRI logging design.) The wrapper's time is a record's time if it has none of its own, and the
stream becomes `log.iostream`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from agent.parse.json_lines import decode, too_deep
from agent.parse.timestamps import from_text
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.record import Value


class Wrapped(NamedTuple):
    """The content of a line of a container's file."""

    time_ns: int
    stream: str
    text: bytes
    """Without the newline of the program's own."""
    partial: bool
    """Whether the program's line goes on in the next one of this stream."""
    attributes: dict[str, Value]


class Container(NamedTuple):
    """One runtime's way to wrap lines."""

    name: str
    unwrap: Callable[[bytes], Wrapped | None]
    peek: Callable[[bytes], tuple[str, bytes] | None]
    """Stream and text of a line that is whole and ordinary, quickly; None for all others, which `unwrap` understands."""
    malformed: str


_STREAMS: Final = {b"stdout": "stdout", b"stderr": "stderr"}
_CRI: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\S{8,24}) (stdout|stderr) ([FP])(?::[^ ]*)?(?: (.*))?", re.DOTALL)
_DOCKER: Final = re.compile(
    rb'\s*\{\s*(?:"log"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*"(?:stream|time|attrs)"|"stream"\s*:\s*"\w+"\s*,\s*"(?:log|time|attrs)"'
    rb'|"time"\s*:\s*"[^"]*"\s*,\s*"(?:log|stream|attrs)"|"attrs"\s*:)'
)


def unwrap_cri(line: bytes) -> Wrapped | None:
    """Take a line of a Kubernetes runtime apart; None if it is none."""
    match = _CRI.fullmatch(line)
    time_ns = from_text(match[1].decode("ascii", "replace")) if match else 0
    if match is None or not time_ns:
        return None
    return Wrapped(time_ns, match[2].decode(), match[4] or b"", match[3] == b"P", {})


def peek_cri(line: bytes) -> tuple[str, bytes] | None:
    """The usual line of a Kubernetes runtime."""
    parts = line.split(b" ", 3)
    if len(parts) != 4 or parts[2] != b"F" or parts[1] not in _STREAMS or not from_text(parts[0].decode("ascii", "replace")):
        return None
    return _STREAMS[parts[1]], parts[3]


def peek_docker(line: bytes) -> tuple[str, bytes] | None:
    """The usual line of Docker: these three names and a whole line."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if type(fields) is not dict or tuple(fields) != ("log", "stream", "time"):
        return None
    log, stream, time = fields.values()
    if type(log) is not str or type(stream) is not str or type(time) is not str or log[-1:] != "\n":
        return None
    return stream, log[:-1].encode()


def unwrap_docker(line: bytes) -> Wrapped | None:
    """Take a line of Docker's `json-file` driver apart; None if it is none."""
    if not _DOCKER.match(line) or too_deep(line):
        return None
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = decode(line)
    if not isinstance(fields, dict):
        return None
    log, stream, time = fields.get("log"), fields.get("stream"), fields.get("time")
    if not isinstance(log, str) or not isinstance(stream, str) or not isinstance(time, str):
        return None
    attributes = fields.get("attrs")
    text = log.encode("utf-8", "backslashreplace")
    whole = text.endswith(b"\n")
    return Wrapped(from_text(time), stream, text[:-1] if whole else text, not whole, attributes if isinstance(attributes, dict) else {})


CONTAINERS: Final = (
    Container("docker", unwrap_docker, peek_docker, Drop.MALFORMED_DOCKER),
    Container("cri", unwrap_cri, peek_cri, Drop.MALFORMED_CRI),
)
BY_NAME: Final = {container.name: container for container in CONTAINERS}


def unfinished(lines: Sequence[bytes]) -> list[int]:
    """Which lines are pieces of lines that go on behind the last one, by index."""
    pieces: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        wrapped = next((found for one in CONTAINERS if (found := one.unwrap(line)) is not None), None)
        if wrapped is not None and wrapped.partial:
            pieces.setdefault(wrapped.stream, []).append(index)
        elif wrapped is not None:
            pieces.pop(wrapped.stream, None)
    return sorted(index for indices in pieces.values() for index in indices)
