"""One writer's lines → the meaning of each, with what belongs together joined.

    line ──▶ clean ──▶ traceback? ──no──▶ written in the format of the file? ──no──▶ in another? ──no──▶ more of the open record, or plain
                          ├─▶ joined to the open record
                          └─▶ in doubt ──▶ held back, until it is joined or is a line like any other

A record of a text format stays open until the next line says that it is over; a JSON line is complete as it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agent.names import EXCEPTION_STACKTRACE
from agent.parse.beginnings import begins_alone
from agent.parse.blocks import PEM_BEGIN, PEM_END, JavaRecord, JsonObject, Pem, RichTraceback, block_of, closes
from agent.parse.crash_reports import CrashReport
from agent.parse.dialect import UNKNOWN, Dialect, Known
from agent.parse.doubts import Doubts
from agent.parse.exceptions import HEADER
from agent.parse.formats import BY_NAME, PLAIN, Format, Rest, detect
from agent.parse.json_lines import objects_of
from agent.parse.json_lines import parse as parse_json
from agent.parse.limits import MAX_ATTRIBUTES, MAX_TEXT, is_utf8, limited, marked
from agent.parse.open_record import OpenRecord, may_be_cause
from agent.parse.parsed import NOWHERE, levelled, placed
from agent.parse.plain import parse as as_text
from agent.parse.terminal import overwritten, undressed
from agent.parse.traceback import Joint, TracebackJoiner
from agent.parse.traceback_extent import TOGETHER_NS, Ending, message_lines
from agent.parse.traceback_joiner import goes_on, may_open
from agent.parse.traceback_tokens import LineKind
from agent.parse.wide import unmarked
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.parse.blocks import Block
    from agent.parse.doubts import Doubt
    from agent.parse.parsed import Parsed


class Item(NamedTuple):
    """What came of the lines from `offset` to `end` (where its last line begins): a record, or the reason why there is none."""

    offset: int
    end: int
    found: Parsed | str


_HEADER: Final = HEADER.encode()
_SYSLOG: Final = BY_NAME["syslog"]
_BARE: Final = (b"Traceback (", b"  + Exception Group Traceback (")
"""How a traceback begins that stands in a line of its own."""
_ODD: Final = frozenset((b"\0", b"\r", b"\xef", b"\x1b"))
"""What a line begins with that may have to be cleaned."""
_MORE: Final = (b" ", b"\t", b"Caused by: ")
"""How a line begins that goes on with a plain text: indented, or with the cause in a stack of Java's."""
_MOST_SUSPENDED: Final = 8
"""Threads that die together interrupt one another's tracebacks; more than so many are not told apart."""


class Stream:
    """The lines of one writer, in order. `fixed`: the known format is the only one (and plain text, where a line is not written so)."""

    __slots__ = (
        "_at",
        "_base",
        "_block",
        "_doubts",
        "_joiner",
        "_now_ns",
        "_open",
        "_pause_ns",
        "_prefixed",
        "_rest",
        "_since_ns",
        "_suspended",
        "dialect",
    )

    def __init__(self, known: Known = UNKNOWN, *, fixed: bool = False, prefixed: bool = False) -> None:
        """`prefixed`: each line had a prefix; a plain text is complete with its line there."""
        self.dialect = Dialect(known, fixed=fixed)
        self._prefixed = prefixed
        self._joiner = TracebackJoiner(self.dialect.begins_record)
        self._open: OpenRecord | None = None
        self._doubts = Doubts()
        self._suspended: list[OpenRecord] = []
        self._rest = Rest.NONE
        self._block: Block | None = None
        self._base = NOWHERE
        self._now_ns = self._pause_ns = self._since_ns = 0
        self._at = 0

    @property
    def open_offset(self) -> int | None:
        """Where the oldest record begins that may still grow."""
        if self._suspended:
            return min(record.offset for record in self._growing)
        return None if self._open is None else self._open.offset

    @property
    def open_lines(self) -> list[bytes]:
        """The lines that are in no complete record."""
        return [*[line for record in self._growing for line in record.lines], *self._doubts.lines]

    @property
    def _growing(self) -> list[OpenRecord]:
        return [] if self._open is None else [*self._suspended, self._open]

    def feed(self, offset: int, line: bytes, now_ns: int, out: list[Item], base: Parsed = NOWHERE, *, end: int | None = None) -> None:
        """Take the next line; append what is complete to `out`. `base` says what a wrapper knows of the line, `end` where its last piece is."""
        self._pause_ns, self._now_ns = now_ns - self._now_ns, now_ns
        self._base, self._at = base, offset if end is None else end
        odd = line[:1] in _ODD or line[-1:] == b"\0" or b"\r" in line or b"%|" in line
        cleaned = self._cleaned(offset, line, out) if odd else line
        if not cleaned.strip():
            self._blank(cleaned, out)
        elif self._block is None or not self._grow_block(self._block, offset, cleaned, out):
            self._text(offset, cleaned, out)

    def _cleaned(self, offset: int, line: bytes, out: list[Item]) -> bytes:
        """A line without what is no content at its ends."""
        cleaned = line.strip(b"\0")
        if b"\0" in cleaned and (text := unmarked(line)) is not None:
            out.append(Item(offset, offset, Drop.UNMARKED_UTF16))
            cleaned = text
        elif len(cleaned) != len(line):
            out.append(Item(offset, offset, Drop.NUL_GAP))
        return self._shown(offset, cleaned.removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf"), out)

    def _shown(self, offset: int, line: bytes, out: list[Item]) -> bytes:
        """The record that a terminal shows at last, where progress bars stood in its line before; any other line as it is."""
        if line[:1] == b"\x1b" and (bare := undressed(line))[:1] == b"{":
            return bare
        at = overwritten(line)
        if not at or not line[:at].strip(b"\r"):
            return line[at:]
        if detect(line[at:]) is PLAIN:
            return line
        out.append(Item(offset, offset, Drop.OVERWRITTEN))
        return line[at:]

    def plain(self, offset: int, line: bytes, reason: str, out: list[Item]) -> None:
        """Take a line as text, whatever it looks like, and count the reason."""
        self._at = offset
        parsed = as_text(line)
        self._emit(offset, parsed._replace(reasons=(*parsed.reasons, reason)), len(line), out)

    def close(self, out: list[Item], *, ended: bool = False, failed: bool = False, written_ns: int = 0) -> None:
        """Complete the open record, if there is one. `ended`: nothing will follow; otherwise it may be only that nothing does now.

        `failed`: an exception has most likely ended its writer. `written_ns`: when its last line was written, if known.
        """
        if written_ns and self._open is not None:
            self._open.note_written(written_ns)
        if failed and self._open is not None:
            self._open.apart = True
        self._finish(Ending.GONE if ended else Ending.SILENCE, out)

    def withdraw(self, offset: int) -> bool:
        """Take back the line at an offset, a traceback's first: it is another writer's. False: it is not to be had any more."""
        found = next((record for record in self._growing if record.begins_trace_at(offset)), None)
        if found is None:
            return False
        if found is self._open:
            self._joiner.reset()
        if found.head is not None and found.offset != offset:
            found.drop_trace()
        elif found is self._open:
            self._open = self._suspended.pop() if self._suspended else None
        else:
            self._suspended.remove(found)
        return True

    def expire(self, now_ns: int, quiet_ns: int, age_ns: int, out: list[Item], *, written_ns: int = 0) -> None:
        """Complete the open record if this writer was silent for long enough, or, marked as incomplete, if it is open for too long."""
        self._now_ns, self._since_ns = (
            min(self._now_ns, now_ns),
            min(self._since_ns, now_ns),
        )  # a clock that was set back is no reason to wait
        if self._open is None:
            return
        if now_ns - self._now_ns >= quiet_ns:
            self.close(out, written_ns=written_ns)
        elif now_ns - self._since_ns >= age_ns:
            self.give_up(out)

    def give_up(self, out: list[Item]) -> None:
        """Complete the open record, marked as incomplete: more of it may come."""
        for record in self._growing:
            record.incomplete = True
        self._finish(Ending.LATER, out)

    def _finish(self, ending: Ending, out: list[Item]) -> None:
        self._decide(ending, out)
        self._close_record(out)
        self._joiner.reset()

    def _blank(self, line: bytes, out: list[Item]) -> None:
        """An empty line is no record; it may be a part of one."""
        joint = self._joiner.feed(line) if self._joiner.open else Joint.OUTSIDE
        if joint is Joint.DOUBT:
            self._doubt(self._at, line, out)
        elif self._open is not None and joint is Joint.CONTINUE:
            self._confirm(self._open)
            self._open.add_trace(self._at, line)
        else:
            self._decide(Ending.ANOTHER, out)
            self._pad(line)
            if self._prefixed and self._open is None:  # its prefix says something all the same
                self._emit(self._at, self._plain(line), len(line), out)

    def _pad(self, line: bytes) -> None:
        if self._block is not None and not self._block.takes(line):
            self._block = None
        if self._open is not None and (self._rest is Rest.ANY or self._block is not None):
            self._open.add(self._at, line)

    def _text(self, offset: int, line: bytes, out: list[Item]) -> None:
        if self._suspended and self._joiner.complete:
            self._resume(line, out)
        joiner = self._joiner
        named = joiner.open and joiner.complete
        joint = joiner.feed(line) if joiner.open or may_open(line) else Joint.OUTSIDE
        if joint is Joint.DOUBT:
            self._doubt(offset, line, out)
        elif joint is Joint.CONTINUE and self._open is not None:
            self._confirm(self._open)
            self._grow_trace(offset, line, self._open, out, below=named and self._joiner.complete)
        elif joint is Joint.OUTSIDE and self._joiner.open and self._open is not None:
            self._amid(offset, line, out)
        else:
            if self._doubts.held:
                self._decide(Ending.ANOTHER, out)
            (self._start_trace if joint is Joint.START else self._record)(offset, line, out)

    def _doubt(self, offset: int, line: bytes, out: list[Item]) -> None:
        """Hold the line back, unless that has lasted for too long."""
        full = self._open is None or self._open.full
        ending = Ending.TOO_MANY if full else self._doubts.ending(self._now_ns)
        if ending is None:
            self._doubts.add(offset, self._at, line, self._base, self._now_ns)
            return
        self._joiner.reset()
        self._decide(ending, out)
        self._release(offset, line, out)

    def _confirm(self, record: OpenRecord) -> None:
        """The traceback goes on: what was in doubt is a part of it."""
        self._doubts.sure(self._now_ns)
        if self._doubts.held:
            _join(record, self._doubts.take())

    def _decide(self, ending: Ending, out: list[Item]) -> None:
        """What was in doubt is the open traceback's message, or lines like any others; nothing can confirm it any more."""
        if not self._doubts.held or self._open is None:
            return
        structured = self.dialect.is_structured
        record = self._open
        own = message_lines(
            ending,
            self._doubts.pauses,
            structured=structured,
            unfinished=lambda: record.error.is_unfinished,
            whole=lambda: record.error.is_whole,
        )
        doubts = self._doubts.take()
        _join(self._open, doubts[:own])
        if own == len(doubts):
            return
        self._close_record(out)
        here = self._at, self._base
        for doubt in doubts[own:]:
            self._at, self._base = doubt.end, doubt.base
            self._release(doubt.offset, doubt.line, out)
        self._at, self._base = here

    def _release(self, offset: int, line: bytes, out: list[Item]) -> None:
        """Take a line that is no traceback's, and, where it is not indented, in no format: the joiner has asked for both."""
        if not line.strip():
            self._pad(line)
        elif self._block is not None and self._grow_block(self._block, offset, line, out):
            return
        elif line[:1] in b" \t":
            self._record(offset, line, out)
        else:
            self._close_record(out)
            own = self.dialect.own if self.dialect.fixed and self.dialect.own is not None else PLAIN
            self._begin_text(offset, line, _counting_bytes(line, self._malformed(line, own)), Rest.INDENTED, out)

    def _resume(self, line: bytes, out: list[Item]) -> None:
        """Behind the exception line of a traceback that stood in the middle of another one, a line may go on with that."""
        if self._open is None or not goes_on(line):
            return
        resumed = self._suspended.pop()
        outer, self._suspended = self._suspended, []
        self._decide(Ending.ANOTHER, out)
        self._close_record(out)
        self._open, self._suspended, self._rest = resumed, outer, Rest.NONE
        resumed.resumed = True
        self._joiner = TracebackJoiner(self.dialect.begins_record)
        for before in resumed.stack:
            self._joiner.feed(before)

    def _start_trace(self, offset: int, line: bytes, out: list[Item]) -> None:
        """A traceback belongs to the text record right before it; otherwise it is a record by itself, or what a logger was given to write."""
        self._doubts.sure(self._now_ns)
        head = self._logged(line) if _HEADER in line and not line.startswith(_BARE) else None
        if head is None and self._open is not None and self._may_have_trace(self._open):
            self._continue_with_trace(self._open, line)
            return
        if self._joiner.interrupted and self._open is not None and not self._open.resumed and len(self._suspended) < _MOST_SUSPENDED:
            self._suspended.append(self._open)
        else:
            self._close_record(out)
        self._begin(offset, line, head, Rest.NONE)
        if head is not None and self._open is not None:
            self._open.begin_trace()

    def _may_have_trace(self, record: OpenRecord) -> bool:
        """Whether the traceback that begins may belong to the open record: not to a warning's, which no logger wrote."""
        alone = self._rest is Rest.INDENTED and begins_alone(record.first)
        return not (record.traced or alone) and self._joiner.begun is not LineKind.ANNOUNCEMENT

    def _continue_with_trace(self, record: OpenRecord, line: bytes) -> None:
        record.apart = self._pause_ns > TOGETHER_NS or self._base.time_ns - record.base.time_ns > TOGETHER_NS
        if self._joiner.begun is LineKind.SEPARATOR:
            record.claim_exception()
        record.add_trace(self._at, line)

    def _logged(self, line: bytes) -> Parsed | None:
        """What a logger (or syslog) says in the line that a traceback begins in (`log.error(traceback.format_exc())`), None if none wrote it."""
        found, parsed = self._read_whole(line)
        if parsed is not None and found is _SYSLOG:  # the level is that of all the service prints
            return parsed._replace(severity=0, severity_text="")
        return parsed if found.rest is Rest.ANY else None

    def _grow_trace(self, offset: int, line: bytes, record: OpenRecord, out: list[Item], *, below: bool) -> None:
        """`below`: the line stands below the exception's."""
        if below and not record.has_room(line, below=True):
            self._joiner.reset()
            self._overflow(offset, line, out)
        elif not below and record.full and not record.shorten():
            self._overflow(offset, line, out)
        else:
            record.add_trace(self._at, self._joiner.unprefixed or line, below=below)

    def _amid(self, offset: int, line: bytes, out: list[Item]) -> None:
        """Another writer's line in the middle of a traceback."""
        found, parsed = self._read_whole(line)
        if self._is_more(line, found, parsed):
            self._grow(offset, line, out)
        else:
            self._emit(offset, parsed or self._plain(line), len(line), out)

    def _record(self, offset: int, line: bytes, out: list[Item]) -> None:
        if (block := block_of(line, amid=self._open is not None and self._rest is Rest.ANY)) is not None:
            self._begin_block(offset, line, block, out)
            return
        found, parsed = self._read_whole(line)
        if found is not PLAIN and parsed is not None:
            self._close_record(out)
            self._begin_text(offset, line, parsed, found.rest, out)
        elif self._is_more(line, found, parsed):
            self._grow(offset, line, out)
        elif parsed is not None and Drop.MALFORMED_JSON in parsed.reasons and (objects := objects_of(line)):
            for start, one in objects:
                self._at = offset + start
                self._record(offset + start, one, out)
        else:
            self._close_record(out)
            self._begin_text(offset, line, parsed or self._plain(line), found.rest, out)

    def _is_more(self, line: bytes, found: Format, parsed: Parsed | None) -> bool:
        """Whether a line in no format is more of the record before."""
        return (parsed is None or (found is PLAIN and self._continues(line))) and not begins_alone(line)

    def _read_whole(self, line: bytes) -> tuple[Format, Parsed | None]:
        """The format a line is written in with its meaning, and what is to be counted; (plain, None) if it is only more of the record before."""
        found, parsed = self.dialect.read(line, self._now_ns)
        if parsed is not None:
            parsed = placed(parsed, self._base)
        elif self.dialect.fixed and found.rest is Rest.ANY:
            return PLAIN, None
        else:
            found, parsed = PLAIN, self._malformed(line, found)
        return found, parsed if is_utf8(line) else _counting_bytes(line, parsed)

    def _continues(self, line: bytes) -> bool:
        if self._open is None or self._rest is Rest.NONE:
            return False
        return self._rest is Rest.ANY or line.startswith(_MORE) or (closes(line) and self._open.last[:1] in (b" ", b"\t"))

    def _begin(self, offset: int, line: bytes, head: Parsed | None, rest: Rest) -> None:
        if not self._suspended:
            self._since_ns = self._now_ns
        self._open = OpenRecord(offset, line, head, self._base)
        self._open.end = self._at
        self._rest = rest
        self._block = Pem() if PEM_BEGIN in line and PEM_END not in line and head is not None else None

    def _begin_text(self, offset: int, line: bytes, parsed: Parsed, rest: Rest, out: list[Item]) -> None:
        """A record that other lines may belong to, or that is complete as it stands."""
        complete = self._prefixed and rest is Rest.INDENTED and PEM_BEGIN not in line and not may_be_cause(line)
        if complete or rest is Rest.NONE:
            self._emit(offset, parsed, len(line), out)
        else:
            self._begin(offset, line, parsed, rest)

    def _begin_block(self, offset: int, line: bytes, block: Block, out: list[Item]) -> None:
        """A logger's traceback belongs to its record, if it comes in a box; all else is a record of its own."""
        if isinstance(block, RichTraceback) and self._open is not None and not self._open.traced:
            self._open.add_trace(self._at, line)
        else:
            self._close_record(out)
            self._begin(offset, line, None if isinstance(block, RichTraceback) else self._head_of(block, line), Rest.INDENTED)
        self._block = block

    def _head_of(self, block: Block, line: bytes) -> Parsed:
        head = self._plain(line)
        return head._replace(severity=block.severity) if isinstance(block, CrashReport) else head

    def _grow(self, offset: int, line: bytes, out: list[Item]) -> None:
        if self._open is None:
            self._begin_text(offset, line, self._plain(line), Rest.INDENTED, out)
        elif not self._open.has_room(line):
            self._overflow(offset, line, out)
        else:
            self._open.add(self._at, line)
            self._block = Pem() if PEM_BEGIN in line and PEM_END not in line else None

    def _grow_block(self, block: Block, offset: int, line: bytes, out: list[Item]) -> bool:
        """Whether a line is one of the block's; if it is not, or there is no room for more, the block is over."""
        record = self._open
        if record is None or not block.takes(line) or not (isinstance(block, CrashReport) or record.has_room(line)):
            self._block = None
            return False
        if not record.has_room(line):
            self._overflow(offset, line, out)
            self._block = block
            return True
        record.add(self._at, line)
        if block.over:
            self._block = None
            if isinstance(block, JsonObject):
                self._read_object(record, out)
            elif isinstance(block, JavaRecord):
                self._read_two(record)
        return True

    def _read_two(self, record: OpenRecord) -> None:
        """Both lines are the head of the open record."""
        first = b"\n".join(record.lines)
        _, parsed = self._read_whole(first)
        if parsed is not None and parsed.severity:
            record.rehead(first, parsed)
            self._rest = Rest.ANY

    def _read_object(self, record: OpenRecord, out: list[Item]) -> None:
        """The lines of an object are its record, if they can be read."""
        parsed = parse_json(b"\n".join(record.lines), self._now_ns)
        if parsed is not None:
            self._open = None
            out.append(Item(record.offset, record.end, _within_limits(placed(parsed, record.base), record.size)))

    def _overflow(self, offset: int, line: bytes, out: list[Item]) -> None:
        """The open record has no room for a line: what follows is a record of its own, which goes on in the same way."""
        rest = Rest.INDENTED
        if self._open is not None:
            rest, self._open.incomplete = self._rest, True
        self._close_record(out)
        self._begin(offset, line, self._plain(line), rest)

    def _close_record(self, out: list[Item]) -> None:
        """As `close`, but the traceback reader knows already where it stands."""
        if self._suspended:
            suspended, self._suspended = self._suspended, []
            for record in suspended:
                self._emit_open(record, out)
        if self._open is not None:
            self._emit_open(self._open, out)
        self._open = None
        self._block = None

    def _emit(self, offset: int, parsed: Parsed, size: int, out: list[Item]) -> None:
        out.append(Item(offset, self._at, _within_limits(levelled(parsed, self._base), size)))

    def _emit_open(self, record: OpenRecord, out: list[Item]) -> None:
        for offset, end, parsed in record.close():
            kept = _within_limits(parsed, record.size)
            out.append(Item(offset, end, marked(kept) if record.shortened and EXCEPTION_STACKTRACE in kept.attributes else kept))

    def _malformed(self, line: bytes, looked_like: Format) -> Parsed:
        parsed = self._plain(line)
        return parsed._replace(reasons=(*parsed.reasons, looked_like.malformed)) if looked_like.malformed else parsed

    def _plain(self, line: bytes) -> Parsed:
        """A line as a text, with the prefix that it had."""
        parsed = placed(as_text(line), self._base)
        return parsed._replace(body=f"{self._base.body!s}{parsed.body!s}") if self._base.body else parsed


def _counting_bytes(line: bytes, parsed: Parsed) -> Parsed:
    """The record, with the reason to count if its line is not UTF-8."""
    return parsed if is_utf8(line) else parsed._replace(reasons=(*parsed.reasons, Drop.INVALID_UTF8))


def _join(record: OpenRecord, doubts: Sequence[Doubt]) -> None:
    for doubt in doubts:
        record.add_trace(doubt.end, doubt.line)


def _within_limits(parsed: Parsed, size: int) -> Parsed:
    """The same; the size of the raw text tells cheaply that there is nothing to do."""
    return limited(parsed) if size > MAX_TEXT or len(parsed.attributes) > MAX_ATTRIBUTES else parsed
