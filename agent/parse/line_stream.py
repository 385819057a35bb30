"""Bytes of one stream that can't be read again (a pipe, standard input, a socket) → batches of records. No I/O.

    feed(bytes) ─▶ UTF-8 (`Utf8Stream`) ─▶ lines (`LineSplitter`) ─▶ records (`Parser`) ─▶ `batches`, until the caller has stored them

A record of several lines is open until a line begins another, until nothing has come for `quiet` seconds, or until it is `OPEN_AGE` old.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from agent.parse.limits import OPEN_AGE
from agent.parse.line_splitter import LineSplitter
from agent.parse.lines import Parser
from agent.parse.wide import Utf8Stream
from agent.record import Batch, Drop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.columns import Records
    from agent.record import Origin


class LineStream:
    """One stream."""

    def __init__(self, origin: Origin, format_: str, *, longest: int, quiet: float) -> None:
        """`longest`: bytes, a longer line is cut and counted; `quiet`: seconds."""
        self.origin = origin
        self.batches: deque[Batch] = deque()
        """Records and counts in order; the caller removes each batch when it is stored."""
        self._format = format_
        self._quiet = quiet
        self._text = Utf8Stream()
        self._lines = LineSplitter(longest)
        self._parser = Parser(format_)
        self._counts: Counter[str] = Counter()

    @property
    def patience(self) -> float | None:
        """Seconds without bytes after which `flush` is due; None while no record is open."""
        return None if self._parser.open_offset() is None else self._quiet

    def configure(self, format_: str, *, longest: int, quiet: float, now_ns: int) -> None:
        """Change the options within the stream. An open record stays open unless the format changes."""
        self._lines.longest, self._quiet = longest, quiet
        if format_ != self._format:
            self.flush(now_ns)
            self._parser, self._format = Parser(format_), format_

    def count(self, reason: Drop, number: int) -> None:
        """Count losses in the next batch."""
        self._counts[reason] += number

    def give_up(self, batch: Batch) -> None:
        """A batch can't be stored: its records are lost, and its counts are in the next one."""
        self._counts.update({**batch.drops, Drop.SPOOL_FAILED: len(batch.records) + batch.drops.get(Drop.SPOOL_FAILED, 0)})

    def take_counts(self) -> dict[str, int]:
        """Remove the counts that are in no batch yet, and return them."""
        counts, self._counts = +self._counts, Counter()
        return dict(counts)

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take the next bytes. Records that they complete are a batch, and so are records that are open for too long."""
        self._parse(self._lines.feed(self._text.feed(data)), now_ns)
        if self._parser.open_offset() is not None:
            self._add(self._parser.expire(now_ns, self._quiet, max(OPEN_AGE, self._quiet)), self._parser.take_drops())

    def skip(self, size: int, now_ns: int) -> None:
        """So many bytes are lost: the line and the record before them have ended."""
        self._finish_line(now_ns)
        self.flush(now_ns)
        self._text.skip(size)
        self._lines.skip(size)

    def flush(self, now_ns: int, *, ended: bool = False, failed: bool = False) -> None:
        """Complete the record that is open; a line that is open stays. `ended`, `failed`: as in `Parser.flush`."""
        self._add(self._parser.flush(now_ns, ended=ended, failed=failed), self._parser.take_drops())

    def finish(self, now_ns: int, *, failed: bool = False) -> None:
        """Complete all that is open: the stream is at its end."""
        self._finish_line(now_ns)
        self.flush(now_ns, ended=True, failed=failed)

    def _finish_line(self, now_ns: int) -> None:
        self._parse([*self._lines.feed(self._text.end()), *self._lines.finish()], now_ns)

    def _parse(self, lines: list[tuple[int, bytes]], now_ns: int) -> None:
        self.count(Drop.OVERSIZED, self._lines.take_cuts())
        if lines:
            records, drops = self._parser.parse_chunk(lines, self.origin, now_ns)
            self._add(records, drops, self._parser.text)

    def _add(self, records: Records, drops: Mapping[str, int], text: bytes | None = None) -> None:
        self._counts.update(drops)
        counts = self.take_counts()
        if records or counts:
            self.batches.append(Batch(records=records, drops=counts, text=text))
