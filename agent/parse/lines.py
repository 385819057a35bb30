"""Lines of a file or a stream → records. One `Parser` per file; its state is small and goes with the position.

Give it whole lines in order. What it returns is complete; what is not complete yet (a traceback, a record of several lines) stays inside,
and `open_offset` says from where on the lines are needed again should the process end now. Records behind an open one wait for it, so that
nothing is returned twice after a restart. A line is never lost and never an error: what is not understood becomes a plain record and is counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import orjson

from agent.columns import Records
from agent.names import LOG_STREAM
from agent.parse import json_columns
from agent.parse.containers import BY_NAME as CONTAINERS
from agent.parse.dialect import KnownFormat
from agent.parse.formats import BY_NAME as FORMATS
from agent.parse.json_columns import JsonReader
from agent.parse.limits import OPEN_AGE
from agent.parse.parser_state import NOTHING, ParserState, Returned
from agent.parse.timestamps import NS
from agent.parse.writers import Writers
from agent.record import LogRecord

if TYPE_CHECKING:
    from agent.parse.parsed import Parsed
    from agent.record import Origin

_Lines = Sequence[tuple[int, bytes]]

AUTO: Final = "auto"
FORMAT_NAMES: Final = (AUTO, *FORMATS, *CONTAINERS)
"""Options that a user may configure."""
_MAX_WAITING: Final = 1_000
"""Records that may wait behind an open one; then it is closed as it is."""


class Parser:
    """One file's or stream's lines. `format` is a name of `FORMAT_NAMES`; `auto`: found from the lines, again when they change."""

    def __init__(self, format: str = AUTO) -> None:  # noqa: A002 - the word that the configuration uses
        self._writers = Writers(_given(format), fixed=format != AUTO)
        self._returned: Returned | None = None
        self._drops: Counter[str] = Counter()
        self._origin: Origin | None = None
        self._text: bytes | None = None
        self._most = json_columns.MOST
        self._last = -1

    def parse_chunk(self, lines: Sequence[tuple[int, bytes]], origin: Origin, observed_ns: int) -> tuple[Records, dict[str, int]]:
        """The records that are complete now, and counts by reason. A line is (offset, bytes without the newline)."""
        self._origin = origin
        records = Records()
        if self._returned is not None:
            lines = self._needed(self._returned, lines, observed_ns)
        self._text = self._all_text(lines)
        index = 0
        while index < len(lines):
            if self._writers.simple:
                self._release(records, observed_ns)
                index = self._read_simple(lines, index, observed_ns, records)
            if index < len(lines):
                self._writers.feed(*lines[index], observed_ns)
                index += 1
                if index % _MAX_WAITING == 0 and self._writers.waiting > _MAX_WAITING:
                    self._release(records, observed_ns)  # most of them wait for nothing but the end of the chunk
                    if self._writers.waiting > _MAX_WAITING:
                        self._writers.close(observed_ns)
        self._release(records, observed_ns)
        if self._writers.pieced:
            self._text = None
        return records, self.take_drops()

    @property
    def text(self) -> bytes | None:
        """The raw bytes that the records of the last `parse_chunk` came from, for `Batch.text`; None if they were put together from pieces.

        Use this and not the chunk: a record that was open before the chunk begins in earlier bytes.
        """
        return self._text

    def open_offset(self) -> int | None:
        """Offset of the oldest record that is not complete: a position must not pass it. None: everything was returned."""
        return self._writers.open_offset()

    def flush(self, observed_ns: int, *, ended: bool = False, failed: bool = False, written_ns: int = 0) -> Records:
        """Close what is open: the source is at its end, was rotated, or has been silent for long enough. `ended`: nothing will follow.

        `failed`: its process ended as an interpreter does for an uncaught exception: a last traceback down to the program itself is
        that exception's, and not of the logger that wrote above it. `written_ns`: when the last line was written, nanoseconds since the Unix
        epoch, 0 = unknown: below an older text a traceback is an exception's that ended the program, too.

        Give `Batch.text=None` with what it returns. Counts go into those of the next chunk, or `take_drops`.
        """
        records = Records()
        self._writers.close(observed_ns, ended=ended, failed=failed, written_ns=written_ns)
        self._release(records, observed_ns)
        return records

    def expire(self, observed_ns: int, quiet: float, age: float = OPEN_AGE, *, written_ns: int = 0) -> Records:
        """Close what is open of writers that were silent for `quiet` seconds, and, as incomplete, what is open for `age` seconds.

        To be called when all that was written so far is read, as often as that is looked for. Result and `written_ns`:
        as with `flush`.
        """
        records = Records()
        self._writers.expire(observed_ns, int(quiet * NS), int(age * NS), written_ns=written_ns)
        self._release(records, observed_ns)
        return records

    def state(self) -> bytes:
        """The state that is stored with the position: the known formats at the position, which is before open records."""
        state = self._writers.state
        if self._returned is not None:
            state = state._replace(returned=_both(self._returned, state.returned, self._last))
        return orjson.dumps(state if state.returned else state[:3], default=tuple)

    @classmethod
    def from_state(cls, state: bytes, format: str = AUTO) -> Parser:  # noqa: A002 - as in the constructor
        """A parser that goes on where another stood. A state that it can't read is as good as none; a format that is given counts more."""
        parser = cls(format)
        known = _loaded(state)
        if known is not None and format in (AUTO, known.container):
            parser._writers = Writers(known, fixed=format != AUTO)
            parser._returned = known.returned
        return parser

    def take_drops(self) -> dict[str, int]:
        """The counts since the last chunk, made by `flush`."""
        drops, self._drops = self._drops, Counter()
        return dict(drops)

    def _read_simple(self, lines: _Lines, index: int, observed_ns: int, into: Records) -> int:
        """Take lines by themselves as long as they are ordinary JSON; return the index of the first that is not."""
        if self._writers.wrapped:
            return self._read_wrapped(lines, index, observed_ns, into)
        return self._read_blocks(JsonReader(self._known_origin(), observed_ns), lines, index, into)

    def _read_wrapped(self, lines: _Lines, index: int, observed_ns: int, into: Records) -> int:
        """As above for what a container's program wrote. A line that is not simple is fed, and if it leaves nothing open, on it goes."""
        writer, inner = self._writers.json_run(lines, index)
        reader = JsonReader(self._known_origin(), observed_ns, {LOG_STREAM: writer})
        at = 0
        while at < len(inner):
            at = self._read_blocks(reader, inner, at, into)
            if at < len(inner):
                self._writers.feed(*lines[index + at], observed_ns)
                at += 1
                if not self._writers.simple:
                    break
                self._release(into, observed_ns)
        return index + at

    def _read_blocks(self, reader: JsonReader, lines: _Lines, index: int, into: Records) -> int:
        """Take ordinary lines; return the index of the first that is not. Where many are not, little is read ahead in vain."""
        while index < len(lines):
            wanted = lines[index : index + self._most]
            block = reader.take(wanted) if self._most >= json_columns.FEWEST else reader.rows(wanted)
            into.extend(block)
            index += len(block)
            if len(block) < len(wanted):
                self._most = min(2 * len(block), json_columns.MOST) or 1
                break
            self._most = min(2 * self._most, json_columns.MOST)
        return index

    def _needed(self, returned: Returned, lines: _Lines, observed_ns: int) -> _Lines:
        """Read the lines again that are not in a record yet; the rest are lines that were not read before."""
        count = bisect_right(lines, returned.until, key=itemgetter(0))
        for offset, line in lines[:count]:
            self._last = offset
            if offset in returned.needed:
                self._writers.feed(offset, line, observed_ns)
        if count < len(lines):
            self._writers.restore(returned)
            self._returned = None
        return lines[count:]

    def _all_text(self, lines: Sequence[tuple[int, bytes]]) -> bytes | None:
        """The bytes of all records that may come out now."""
        self._writers.pieced = False
        before = self._writers.open_text()
        text = None if before is None else b"\n".join([*before, *[line for _, line in lines]])
        return None if text is not None and b"\0" in text else text  # UTF-16, perhaps: words are not seen in it

    def _release(self, records: Records, observed_ns: int) -> None:
        """Hand out what does not lie behind an open record, in the order of the file."""
        for offset, _, found in self._writers.release():
            if isinstance(found, str):
                self._drops[found] += 1
            else:
                self._drops.update(found.reasons)
                records.append(self._record(found, offset, observed_ns))

    def _record(self, parsed: Parsed, offset: int, observed_ns: int) -> LogRecord:
        body, attributes, time_ns, severity, text, trace, span, flags, dropped, _ = parsed
        return LogRecord(time_ns, observed_ns, severity, text, body, attributes, self._known_origin(), offset, trace, span, flags, dropped)

    def _known_origin(self) -> Origin:
        if self._origin is None:
            raise ValueError("flush before the first chunk")
        return self._origin


def _given(format_: str) -> ParserState:
    """The state where the configuration gives the format."""
    if format_ not in FORMAT_NAMES:
        raise ValueError(f"no such format: {format_!r}; there are {', '.join(FORMAT_NAMES)}")
    if format_ == AUTO or format_ in CONTAINERS:
        return NOTHING._replace(container=format_ if format_ in CONTAINERS else "")
    return ParserState(streams=(("", KnownFormat(format_)),))


def _loaded(state: bytes) -> ParserState | None:
    try:
        container, strays, streams, *more = orjson.loads(state)
        known = tuple((str(name), KnownFormat(str(own), str(rival), int(votes))) for name, (own, rival, votes) in streams)
        return ParserState(str(container), int(strays), known, _returned(*more[0]) if more else None)
    except (ValueError, TypeError):
        return None


def _returned(until: int, needed: Sequence[int], container: str, strays: int) -> Returned:
    return Returned(int(until), tuple(map(int, needed)), str(container), int(strays))


def _both(before: Returned, now: Returned | None, last: int) -> Returned:
    """Lines that are not read again yet are needed as well."""
    later = [offset for offset in before.needed if offset > last]
    return before._replace(needed=(*(now.needed if now else ()), *later))
