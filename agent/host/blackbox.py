"""The black box: the last lines that were logged and the last resource samples, kept in memory for whoever asks what went before a crash."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import orjson

from agent.columns import last
from agent.encode.sentry_event import timestamp
from agent.error_event import Attachment
from agent.verdict.errors import STACKTRACE, level_name
from agent.verdict.last import LastOfEach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.record import LogRecord

Line = tuple[int, int, str]
"""Nanoseconds since the Unix epoch, SeverityNumber, text."""
MAX_LINES: Final = 300
LONGEST_LINE: Final = 2048
MAX_SAMPLES: Final = 120
MAX_BYTES: Final = 64 * 1024
"""Of all attachments of an event together."""
_LINES_SHARE: Final = MAX_BYTES * 3 // 4


class BlackBox:
    """What was last said and measured, per source; bounded in every direction."""

    def __init__(self) -> None:
        self._lines = LastOfEach(MAX_LINES, shortened)
        self._samples: deque[tuple[int, Mapping[str, float]]] = deque(maxlen=MAX_SAMPLES)

    def remember(self, source: str, records: Sequence[LogRecord]) -> None:
        """Take the last of a source's records; they are redacted already."""
        self._lines.extend(source, last(records, MAX_LINES))

    def sample(self, time_ns: int, figures: Mapping[str, float]) -> None:
        """Take what was measured at a moment (nanoseconds since the Unix epoch)."""
        if figures:
            self._samples.append((time_ns, dict(figures)))

    def attachments(self, source: str) -> tuple[Attachment, ...]:
        """What is known now: the newest lines of the source ("" = of all) and the newest samples, in `MAX_BYTES` together."""
        lines = self._lines.of(source) if source else sorted(self._lines)
        text = newest([line_of(line) for line in lines], _LINES_SHARE)
        found = [Attachment("last_lines.txt", "text/plain", text)] if text else []
        samples = _rows(self._samples)
        while len(samples) > MAX_BYTES - _LINES_SHARE and self._samples:
            self._samples.popleft()
            samples = _rows(self._samples)
        return (*found, Attachment("resources.jsonl", "application/x-ndjson", samples)) if samples else tuple(found)


def shortened(record: LogRecord) -> Line:
    """What is kept of a record: called for many records, so it makes no text of it."""
    body = record.body if isinstance(record.body, str) else str(record.body)
    stack = record.attributes.get(STACKTRACE)
    text = f"{body[:LONGEST_LINE]}\n{stack}" if isinstance(stack, str) else body
    return record.time_ns or record.observed_ns, record.severity, text[:LONGEST_LINE]


def line_of(line: Line) -> str:
    """A line for people."""
    time_ns, severity, text = line
    return f"{timestamp(time_ns)} {level_name(severity or 9)} {text}"


def newest(lines: Sequence[str], limit: int) -> bytes:
    """As many of the last lines as fit into `limit` bytes."""
    kept: list[bytes] = []
    for line in reversed(lines):
        encoded = line.encode("utf-8", "backslashreplace") + b"\n"
        limit -= len(encoded)
        if limit < 0:
            break
        kept.append(encoded)
    return b"".join(reversed(kept))


def _rows(samples: deque[tuple[int, Mapping[str, float]]]) -> bytes:
    return b"".join(orjson.dumps({"time": timestamp(time_ns), **figures}) + b"\n" for time_ns, figures in samples)
