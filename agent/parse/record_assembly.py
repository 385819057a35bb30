"""Lines → records, as far as formats and blocks tell: which line begins one, which is more of the open one, which is complete as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agent.names import EXCEPTION_STACKTRACE
from agent.parse.beginnings import begins_alone
from agent.parse.blocks import FIRST, FIRST_TWO, PEM_BEGIN, PEM_END, JavaRecord, JsonObject, Pem, RichTraceback, block_of, closes
from agent.parse.crash_reports import CrashReport
from agent.parse.formats import PLAIN, Format, Rest
from agent.parse.json_lines import objects_of
from agent.parse.json_lines import parse as parse_json
from agent.parse.limits import MAX_ATTRIBUTES, MAX_TEXT, limited, marked
from agent.parse.open_record import OpenRecord, may_be_cause
from agent.parse.parsed import levelled, placed
from agent.record import Drop

if TYPE_CHECKING:
    from agent.parse.blocks import LineBlock
    from agent.parse.line_reader import LineReader
    from agent.parse.parsed import Parsed

_MORE: Final = (b" ", b"\t", b"Caused by: ")
"""The beginning of a line that continues a plain text: indented, or the cause in a Java stack."""


class Item(NamedTuple):
    """The result of the lines from `offset` to `end` (where its last line begins): a record, or the reason why there is none."""

    offset: int
    end: int
    found: Parsed | str


class RecordAssembly:
    """The open records of one writer. `suspended` are those that a traceback has interrupted, oldest first; `open` is the newest."""

    __slots__ = ("_line", "_prefixed", "block", "items", "open", "rest", "since_ns", "suspended")

    def __init__(self, line: LineReader, *, prefixed: bool) -> None:
        """`prefixed`: each line had a prefix; a plain text is complete with its line there."""
        self._line = line
        self._prefixed = prefixed
        self.block: LineBlock | None = None
        self.items: list[Item] = []
        """The complete records; the caller takes them."""
        self.open: OpenRecord | None = None
        self.suspended: list[OpenRecord] = []
        self.rest = Rest.NONE
        """Which lines may be more of the open record."""
        self.since_ns = 0
        """When the oldest of the open records began."""

    @property
    def growing(self) -> list[OpenRecord]:
        """All records that may still grow."""
        return [] if self.open is None else [*self.suspended, self.open]

    def count(self, offset: int, reason: Drop) -> None:
        """Note a loss at an offset."""
        self.items.append(Item(offset, offset, reason))

    def emit(self, offset: int, parsed: Parsed, size: int) -> None:
        """A record that is complete with the present line."""
        self.items.append(Item(offset, self._line.at, _within_limits(levelled(parsed, self._line.base), size)))

    def close(self) -> None:
        """Complete all that is open."""
        if self.suspended:
            suspended, self.suspended = self.suspended, []
            for record in suspended:
                self._emit_open(record)
        if self.open is not None:
            self._emit_open(self.open)
        self.open = self.block = None

    def _emit_open(self, record: OpenRecord) -> None:
        for offset, end, parsed in record.close():
            kept = _within_limits(parsed, record.size)
            shortened = record.shortened and EXCEPTION_STACKTRACE in kept.attributes
            self.items.append(Item(offset, end, marked(kept) if shortened else kept))

    def withdraw(self, record: OpenRecord, offset: int) -> None:
        """Take back the first line of a record's traceback, at an offset."""
        if record.head is not None and record.offset != offset:
            record.drop_trace()
        elif record is self.open:
            self.open = self.suspended.pop() if self.suspended else None
        else:
            self.suspended.remove(record)

    def pad(self, line: bytes) -> None:
        """Take a blank line. It is not a record, but may belong to the open one."""
        if self.block is not None and not self.block.takes(line):
            self.block = None
        if self.open is not None and (self.rest is Rest.ANY or self.block is not None):
            self.open.add(self._line.at, line)

    def take(self, offset: int, line: bytes) -> None:
        """Take a line that does not belong to a traceback."""
        if line[:1] in FIRST or line[:2] in FIRST_TWO or b".rb:" in line:
            block = block_of(line, amid=self.open is not None and self.rest is Rest.ANY)
            if block is not None:
                self._begin_block(offset, line, block)
                return
        found, parsed = self._line.read(line)
        if found is not PLAIN and parsed is not None:
            self.close()
            self.begin_text(offset, line, parsed, found.rest)
        elif self._is_more(line, found, parsed):
            self._grow(offset, line)
        elif parsed is not None and Drop.MALFORMED_JSON in parsed.reasons and (objects := objects_of(line)):
            for start, one in objects:
                self._line.at = offset + start
                self.take(offset + start, one)
        else:
            self.close()
            self.begin_text(offset, line, parsed or self._line.plain(line), found.rest)

    def take_amid(self, offset: int, line: bytes) -> None:
        """Take another writer's line in the middle of a traceback."""
        found, parsed = self._line.read(line)
        if self._is_more(line, found, parsed):
            self._grow(offset, line)
        else:
            self.emit(offset, parsed or self._line.plain(line), len(line))

    def begin(self, offset: int, line: bytes, head: Parsed | None, rest: Rest) -> OpenRecord:
        """Open a record."""
        if not self.suspended:
            self.since_ns = self._line.now_ns
        record = self.open = OpenRecord(offset, line, head, self._line.base)
        record.end = self._line.at
        self.rest = rest
        self.block = Pem() if PEM_BEGIN in line and PEM_END not in line and head is not None else None
        return record

    def begin_text(self, offset: int, line: bytes, parsed: Parsed, rest: Rest) -> None:
        """A record that other lines may belong to, or that is complete as it stands."""
        complete = self._prefixed and rest is Rest.INDENTED and PEM_BEGIN not in line and not may_be_cause(line)
        if complete or rest is Rest.NONE:
            self.emit(offset, parsed, len(line))
        else:
            self.begin(offset, line, parsed, rest)

    def overflow(self, offset: int, line: bytes) -> None:
        """The open record has no room for a line: what follows is a record of its own, which goes on in the same way."""
        rest = Rest.INDENTED
        if self.open is not None:
            rest, self.open.incomplete = self.rest, True
        self.close()
        self.begin(offset, line, self._line.plain(line), rest)

    def take_in_block(self, offset: int, line: bytes) -> bool:
        """Take a line if it is one of the open block's; if it is not, or there is no room for more, the block has ended."""
        block, record = self.block, self.open
        if block is None:
            return False
        if record is None or not block.takes(line) or not (isinstance(block, CrashReport) or record.has_room(line)):
            self.block = None
        elif not record.has_room(line):
            self.overflow(offset, line)
            self.block = block
        else:
            record.add(self._line.at, line)
            if block.over:
                self.block = None
                self._read_block(block, record)
            return True
        return self.block is not None

    def _is_more(self, line: bytes, found: Format, parsed: Parsed | None) -> bool:
        """Whether a line in no format is more of the record before."""
        return (parsed is None or (found is PLAIN and self._continues(line))) and not begins_alone(line)

    def _continues(self, line: bytes) -> bool:
        if self.open is None or self.rest is Rest.NONE:
            return False
        return self.rest is Rest.ANY or line.startswith(_MORE) or (closes(line) and self.open.last[:1] in (b" ", b"\t"))

    def _grow(self, offset: int, line: bytes) -> None:
        if self.open is None:
            self.begin_text(offset, line, self._line.plain(line), Rest.INDENTED)
        elif not self.open.has_room(line):
            self.overflow(offset, line)
        else:
            self.open.add(self._line.at, line)
            self.block = Pem() if PEM_BEGIN in line and PEM_END not in line else None

    def _begin_block(self, offset: int, line: bytes, block: LineBlock) -> None:
        """A logger's traceback belongs to its record, if it comes in a box; all else is a record of its own."""
        boxed = isinstance(block, RichTraceback)
        if boxed and self.open is not None and not self.open.traced:
            self.open.add_trace(self._line.at, line)
        else:
            self.close()
            head = None if boxed else self._line.plain(line)
            if head is not None and isinstance(block, CrashReport):
                head = head._replace(severity=block.severity)
            self.begin(offset, line, head, Rest.INDENTED)
        self.block = block

    def _read_block(self, block: LineBlock, record: OpenRecord) -> None:
        """The lines of an object are its record, two lines of Java's the head of one, if they can be read."""
        text = b"\n".join(record.lines)
        if isinstance(block, JsonObject) and (parsed := parse_json(text, self._line.now_ns)) is not None:
            self.open = None
            self.items.append(Item(record.offset, record.end, _within_limits(placed(parsed, record.base), record.size)))
        elif isinstance(block, JavaRecord) and (read := self._line.read(text)[1]) is not None and read.severity:
            record.rehead(text, read)
            self.rest = Rest.ANY


def _within_limits(parsed: Parsed, size: int) -> Parsed:
    """The same; the size of the raw text tells cheaply that there is nothing to do."""
    return limited(parsed) if size > MAX_TEXT or len(parsed.attributes) > MAX_ATTRIBUTES else parsed
