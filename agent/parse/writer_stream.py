"""One writer's lines → the meaning of each, with what belongs together joined.

    line ──▶ clean ──▶ traceback? ──no──▶ written in the format of the file? ──no──▶ in another? ──no──▶ more of the open record, or plain
                          ├─▶ joined to the open record
                          └─▶ undecided ──▶ held back, until it is joined or is a line like any other

A record of a text format stays open until the next line shows that it has ended; a JSON line is complete as it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.parse.beginnings import begins_alone
from agent.parse.dialect import UNKNOWN, Dialect, KnownFormat
from agent.parse.doubts import Doubts
from agent.parse.exceptions import HEADER
from agent.parse.formats import BY_NAME, Rest
from agent.parse.line_reader import ODD, LineReader, cleaned
from agent.parse.parsed import NOWHERE
from agent.parse.plain import parse as as_text
from agent.parse.record_assembly import Item as Item  # noqa: PLC0414 - what this gives out
from agent.parse.record_assembly import RecordAssembly
from agent.parse.traceback import Joint, TracebackJoiner
from agent.parse.traceback_extent import TOGETHER_NS, Ending, is_later_write, message_lines
from agent.parse.traceback_joiner import goes_on, may_open
from agent.parse.traceback_tokens import LineKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.parse.doubts import Doubt
    from agent.parse.open_record import OpenRecord
    from agent.parse.parsed import Parsed

_HEADER: Final = HEADER.encode()
_SYSLOG: Final = BY_NAME["syslog"]
_BARE: Final = (b"Traceback (", b"  + Exception Group Traceback (")
"""How a traceback begins that stands in a line of its own."""
_MOST_SUSPENDED: Final = 8
"""Threads that die together interrupt one another's tracebacks; more than so many are not distinguished."""


class WriterStream:
    """The lines of one writer, in order. `fixed`: the known format is the only one (and plain text, where a line is not written so)."""

    __slots__ = ("_doubts", "_joiner", "_line", "_pause_ns", "_prefixed", "_records", "dialect", "items")

    def __init__(self, known: KnownFormat = UNKNOWN, *, fixed: bool = False, prefixed: bool = False) -> None:
        """`prefixed`: each line had a prefix; a plain text is complete with its line there."""
        self.dialect = Dialect(known, fixed=fixed)
        self._prefixed = prefixed
        self._joiner = TracebackJoiner(self.dialect.begins_record)
        self._doubts = Doubts()
        self._line = LineReader(self.dialect)
        self._records = RecordAssembly(self._line, prefixed=prefixed)
        self._pause_ns = 0
        self.items = self._records.items
        """The complete records; the caller takes them out of the list."""

    @property
    def open_offset(self) -> int | None:
        """Where the oldest record begins that may still grow."""
        records = self._records
        if records.suspended:
            return min(record.offset for record in records.growing)
        return None if records.open is None else records.open.offset

    @property
    def open_lines(self) -> list[bytes]:
        """The lines that are in no complete record."""
        return [*[line for record in self._records.growing for line in record.lines], *self._doubts.lines]

    def feed(self, offset: int, line: bytes, now_ns: int, base: Parsed = NOWHERE, *, end: int | None = None) -> None:
        """Take the next line. `base` says what a wrapper knows of it, `end` where its last piece is."""
        place = self._line
        self._pause_ns, place.now_ns = now_ns - place.now_ns, now_ns
        place.base, place.at = base, offset if end is None else end
        if line[:1] in ODD or line[-1:] == b"\0" or b"\r" in line or b"%|" in line:
            line, reasons = cleaned(line)
            for reason in reasons:
                self._records.count(offset, reason)
        if not line.strip():
            self._blank(line)
        elif self._records.block is None or not self._records.take_in_block(offset, line):
            self._text(offset, line)

    def plain(self, offset: int, line: bytes, reason: str) -> None:
        """Take a line as text, whatever it looks like, and count the reason."""
        self._line.at = offset
        parsed = as_text(line)
        self._records.emit(offset, parsed._replace(reasons=(*parsed.reasons, reason)), len(line))

    def close(self, *, ended: bool = False, failed: bool = False, written_ns: int = 0) -> None:
        """Complete the open record, if there is one. `ended`: nothing will follow; otherwise it may be only that nothing does now.

        `failed`: an exception has most likely ended its writer. `written_ns`: when its last line was written, if known.
        """
        record = self._records.open
        if written_ns and record is not None:
            record.note_written(written_ns)
        if failed and record is not None:
            record.apart = True
        self._finish(Ending.GONE if ended else Ending.SILENCE)

    def withdraw(self, offset: int) -> bool:
        """Take back the line at an offset, a traceback's first: it is another writer's. False: it is no longer there."""
        found = next((record for record in self._records.growing if record.begins_trace_at(offset)), None)
        if found is None:
            return False
        if found is self._records.open:
            self._joiner.reset()
        self._records.withdraw(found, offset)
        return True

    def expire(self, now_ns: int, quiet_ns: int, age_ns: int, *, written_ns: int = 0) -> None:
        """Complete the open record if this writer was silent for long enough, or, marked as incomplete, if it is open for too long."""
        place, records = self._line, self._records
        place.now_ns, records.since_ns = (
            min(place.now_ns, now_ns),
            min(records.since_ns, now_ns),
        )  # a clock that is set back does not make it wait
        if records.open is None:
            return
        if now_ns - place.now_ns >= quiet_ns:
            self.close(written_ns=written_ns)
        elif now_ns - records.since_ns >= age_ns:
            self.give_up()

    def give_up(self) -> None:
        """Complete the open record, marked as incomplete: more of it may come."""
        for record in self._records.growing:
            record.incomplete = True
        self._finish(Ending.LATER)

    def _finish(self, ending: Ending) -> None:
        self._decide(ending)
        self._records.close()
        self._joiner.reset()

    def _blank(self, line: bytes) -> None:
        """An empty line is not a record; it may be a part of one."""
        joint = self._joiner.feed(line) if self._joiner.open else Joint.OUTSIDE
        place, records = self._line, self._records
        if joint is Joint.DOUBT:
            self._doubt(place.at, line)
        elif records.open is not None and joint is Joint.CONTINUE:
            self._confirm(records.open)
            records.open.add_trace(place.at, line)
        else:
            self._decide(Ending.ANOTHER)
            records.pad(line)
            if self._prefixed and records.open is None:  # its prefix has a meaning nevertheless
                records.emit(place.at, place.plain(line), len(line))

    def _text(self, offset: int, line: bytes) -> None:
        records = self._records
        if records.suspended and self._joiner.complete:
            self._resume(line)
        joiner = self._joiner
        named = joiner.open and joiner.complete
        joint = joiner.feed(line) if joiner.open or may_open(line) else Joint.OUTSIDE
        if joint is Joint.DOUBT:
            self._doubt(offset, line)
        elif joint is Joint.CONTINUE and records.open is not None:
            self._confirm(records.open)
            self._grow_trace(offset, line, records.open, below=named and joiner.complete)
        elif joint is Joint.OUTSIDE and joiner.open and records.open is not None:
            records.take_amid(offset, line)
        else:
            if self._doubts.held:
                self._decide(Ending.ANOTHER)
            (self._start_trace if joint is Joint.START else records.take)(offset, line)

    # --- undecided lines ----------------------------------------------------------------------------------------------

    def _doubt(self, offset: int, line: bytes) -> None:
        """Hold the line back, unless that has lasted for too long."""
        place, record = self._line, self._records.open
        ending = Ending.TOO_MANY if record is None or record.full else self._doubts.ending(place.now_ns)
        if ending is None:
            self._doubts.add(offset, place.at, line, place.base, place.now_ns)
            return
        self._joiner.reset()
        self._decide(ending)
        self._release(offset, line)

    def _confirm(self, record: OpenRecord) -> None:
        """The traceback continues: the undecided lines are a part of it."""
        self._doubts.sure(self._line.now_ns)
        if self._doubts.held:
            _join(record, self._doubts.take())

    def _decide(self, ending: Ending) -> None:
        """The undecided lines are the open traceback's message, or lines like any others; nothing more can confirm them."""
        place, record = self._line, self._records.open
        if not self._doubts.held or record is None:
            return
        structured, pauses = self.dialect.is_structured, self._doubts.pauses
        unfinished, whole = (lambda: record.error.is_unfinished), (lambda: record.error.is_whole)
        own = message_lines(ending, pauses, structured=structured, unfinished=unfinished, whole=whole)
        doubts = self._doubts.take()
        _join(record, doubts[:own])
        if own == len(doubts):
            return
        self._records.close()
        here = place.at, place.base
        for doubt in doubts[own:]:
            place.at, place.base = doubt.end, doubt.base
            self._release(doubt.offset, doubt.line)
        place.at, place.base = here

    def _release(self, offset: int, line: bytes) -> None:
        """Take a line that does not belong to a traceback, and, where it is not indented, to no format: the joiner has checked both."""
        records = self._records
        if not line.strip():
            records.pad(line)
        elif records.take_in_block(offset, line):
            return
        elif line[:1] in b" \t":
            records.take(offset, line)
        else:
            records.close()
            records.begin_text(offset, line, self._line.unread(line), Rest.INDENTED)

    # --- tracebacks --------------------------------------------------------------------------------------------------

    def _resume(self, line: bytes) -> None:
        """Behind the exception line of a traceback that stood in the middle of another one, a line may continue that one."""
        records = self._records
        if records.open is None or not goes_on(line):
            return
        resumed = records.suspended.pop()
        outer, records.suspended = records.suspended, []
        self._decide(Ending.ANOTHER)
        records.close()
        records.open, records.suspended, records.rest = resumed, outer, Rest.NONE
        resumed.resumed = True
        self._joiner = TracebackJoiner(self.dialect.begins_record)
        for before in resumed.stack:
            self._joiner.feed(before)

    def _start_trace(self, offset: int, line: bytes) -> None:
        """A traceback belongs to the text record right before it; otherwise it is a record by itself, or what a logger was given to write."""
        records = self._records
        self._doubts.sure(self._line.now_ns)
        head = self._logged(line) if _HEADER in line and not line.startswith(_BARE) else None
        if head is None and records.open is not None and self._may_have_trace(records.open):
            self._continue_with_trace(records.open, line)
            return
        if self._joiner.interrupted and records.open is not None and not records.open.resumed and len(records.suspended) < _MOST_SUSPENDED:
            records.suspended.append(records.open)
        else:
            records.close()
        record = records.begin(offset, line, head, Rest.NONE)
        if head is not None:
            record.begin_trace()

    def _may_have_trace(self, record: OpenRecord) -> bool:
        """Whether the traceback that begins may belong to the open record: not to a warning's, which no logger wrote."""
        alone = self._records.rest is Rest.INDENTED and begins_alone(record.first)
        return not (record.traced or alone) and self._joiner.begun is not LineKind.ANNOUNCEMENT

    def _continue_with_trace(self, record: OpenRecord, line: bytes) -> None:
        record.apart = self._pause_ns > TOGETHER_NS or is_later_write(record.base.time_ns, self._line.base.time_ns)
        if self._joiner.begun is LineKind.SEPARATOR:
            record.claim_exception()
        record.add_trace(self._line.at, line)

    def _logged(self, line: bytes) -> Parsed | None:
        """The logger's (or syslog's) part of the line that a traceback begins in (`log.error(traceback.format_exc())`), None if there is none."""
        found, parsed = self._line.read(line)
        if parsed is not None and found is _SYSLOG:  # the level is that of all the service prints
            return parsed._replace(severity=0, severity_text="")
        return parsed if found.rest is Rest.ANY else None

    def _grow_trace(self, offset: int, line: bytes, record: OpenRecord, *, below: bool) -> None:
        """`below`: the line stands below the exception's."""
        if below and not record.has_room(line, below=True):
            self._joiner.reset()
            self._records.overflow(offset, line)
        elif not below and record.full and not record.shorten():
            self._records.overflow(offset, line)
        else:
            record.add_trace(self._line.at, self._joiner.unprefixed or line, below=below)


def _join(record: OpenRecord, doubts: Sequence[Doubt]) -> None:
    for doubt in doubts:
        record.add_trace(doubt.end, doubt.line)
