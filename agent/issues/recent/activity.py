"""The last lines that were logged and the last resource samples, kept in memory as attachments of an event."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import orjson

from agent.columns import last
from agent.issues.envelope.format import timestamp
from agent.issues.event.error_event import Attachment
from agent.issues.reading.record_fields import STACKTRACE, level_name
from agent.issues.recent.last_records import LastOfEach
from agent.record import LogRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.clock import Clock

Line = tuple[int, int, str, str]
"""Nanoseconds since the Unix epoch, SeverityNumber, text, key of the origin."""
Sample = tuple[int, Mapping[str, float]]
"""Nanoseconds since the Unix epoch, figures."""
Judged = tuple[str, Sequence[LogRecord]]
"""A batch with its source."""
MAX_LINES: Final = 300
LONGEST_LINE: Final = 2048
MAX_SAMPLES: Final = 120
MAX_BYTES: Final = 64 * 1024
"""Of all attachments of an event together."""
_LINES_SHARE: Final = MAX_BYTES * 3 // 4


class RecentActivity:
    """The last lines per source and the last samples; bounded in every direction."""

    def __init__(self, clock: Clock, figures: Callable[[], Mapping[str, float]]) -> None:
        """`figures` reads the workload's figures at this moment."""
        self._clock = clock
        self._figures = figures
        self._lines = LastOfEach(MAX_LINES, shortened)
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._waiting: dict[object, Judged] = {}
        """Batches that are judged and not stored, in order."""

    @contextlib.contextmanager
    def judging(self, source: str, records: Sequence[LogRecord]) -> Iterator[Sequence[Judged]]:
        """A batch counts as recent while it is judged; gives the batches that are being judged before it."""
        before, key = [*self._waiting.values()], object()
        self._waiting[key] = source, records
        try:
            yield before
        finally:
            del self._waiting[key]

    def keep(self, source: str, records: Sequence[LogRecord]) -> None:
        """Take the last of a source's records; they are redacted already."""
        self._lines.extend(source, last(records, MAX_LINES))

    def sample(self) -> None:
        """Keep the present figures."""
        self._samples.extend(self._now())

    def attachments(self, source: str) -> tuple[Attachment, ...]:
        """The newest lines of the source ("" = of all), the newest samples and the present figures, in `MAX_BYTES` together."""
        parts = [part for name, records in self._waiting.values() if source in ("", name) for part in last(records, MAX_LINES)]
        lines = [*(self._lines.of(source) if source else self._lines), *(shortened(record) for part in parts for record in part)]
        text = newest([line_of(line) for line in in_order(lines[-MAX_LINES:] if source else lines)], _LINES_SHARE)
        found = [Attachment("last_lines.txt", "text/plain", text)] if text else []
        samples = [*self._samples, *self._now()][-MAX_SAMPLES:]
        rows = newest([_row(sample) for sample in samples], MAX_BYTES - _LINES_SHARE)
        return (*found, Attachment("resources.jsonl", "application/x-ndjson", rows)) if rows else tuple(found)

    def _now(self) -> list[Sample]:
        figures = self._figures()
        return [(self._clock.wall_ns(), dict(figures))] if figures else []


def shortened(record: LogRecord) -> Line:
    """The parts of a record that are kept. Called for many records, so it does not format them."""
    body = record.body if isinstance(record.body, str) else str(record.body)
    stack = record.attributes.get(STACKTRACE)
    text = f"{body[:LONGEST_LINE]}\n{stack}" if isinstance(stack, str) else body
    return record.time_ns or record.observed_ns, record.severity, text[:LONGEST_LINE], record.origin.key


def in_order(lines: Sequence[Line]) -> list[Line]:
    """Lines in the order of events: those of one origin as they were written, those of several by their times.

    A clock that is set back, and a line without a time of its own among others, change nothing within an origin.
    """
    reached: dict[str, int] = {}
    times = []
    for time_ns, _, _, origin in lines:
        reached[origin] = max(reached.get(origin, 0), time_ns)
        times.append(reached[origin])
    return [lines[index] for index in sorted(range(len(lines)), key=times.__getitem__)]


def line_of(line: Line) -> str:
    """A line as text."""
    time_ns, severity, text, _ = line
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


def _row(sample: Sample) -> str:
    time_ns, figures = sample
    return orjson.dumps({"time": timestamp(time_ns), **figures}).decode()
