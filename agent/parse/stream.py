"""One writer's lines → the meaning of each, with what belongs together joined.

    line ──▶ clean ──▶ traceback? ──no──▶ written in the format of the file? ──no──▶ in another? ──no──▶ more of the open record, or plain
                          └─▶ joined to the open record

A record of a text format stays open until the next line says that it is over; a JSON line is complete as it stands.
"""

from __future__ import annotations

from typing import Final

from agent.parse.formats import BY_NAME, PLAIN, Format, Rest, detect
from agent.parse.joining import NOWHERE, Open, placed
from agent.parse.limits import MAX_ATTRIBUTES, MAX_TEXT, limited
from agent.parse.parsed import Parsed
from agent.parse.plain import parse as as_text
from agent.parse.reasons import JOIN_LIMIT, NUL_GAP
from agent.parse.traceback import Joint, TracebackJoiner

Item = tuple[int, Parsed | str]
"""What came of lines from an offset on: a record, or the reason why there is none."""

CHANGE_AFTER: Final = 3
"""So many lines running in another format, and the file has changed to it. (Each of them was already read by its own.)"""
_BLOCK_BEGIN: Final = b"-----BEGIN "
_BLOCK_END: Final = b"-----END "
_BLOCK_LINES: Final = 200
"""A PEM block is one thing, so that a key in it is seen as one; it has no more lines than this."""


class Stream:
    """The lines of one writer, in order. `name` fixes the format; empty: it is found."""

    __slots__ = ("_base", "_block", "_fixed", "_format", "_joiner", "_now_ns", "_open", "_rest", "_rival", "_votes")

    def __init__(self, name: str = "", *, fixed: bool = False) -> None:
        self._format = BY_NAME.get(name)
        self._fixed = fixed and self._format is not None
        self._rival: Format | None = None
        self._votes = 0
        self._joiner = TracebackJoiner(self._begins_record)
        self._open: Open | None = None
        self._rest = Rest.NONE
        self._block = 0
        self._base = NOWHERE
        self._now_ns = 0

    @property
    def name(self) -> str:
        """Name of the format that was found or given; empty before."""
        return self._format.name if self._format else ""

    @property
    def open(self) -> Open | None:
        """The record that may still grow."""
        return self._open

    def feed(self, offset: int, line: bytes, now_ns: int, out: list[Item], base: Parsed = NOWHERE) -> None:
        """Take the next line; append what is complete to `out`. `base` says what a wrapper knows of the line."""
        self._now_ns, self._base = now_ns, base
        cleaned = line.strip(b"\0")
        if len(cleaned) != len(line):
            out.append((offset, NUL_GAP))
        cleaned = cleaned.removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf")
        if not cleaned.strip():
            self._blank(cleaned)
        elif self._block and self._open:
            self._grow_block(cleaned, out)
        else:
            self._text(offset, cleaned, out)

    def plain(self, offset: int, line: bytes, reason: str, out: list[Item]) -> None:
        """Take a line as text, whatever it looks like, and count the reason."""
        parsed = as_text(line)
        self._emit(offset, parsed._replace(reasons=(*parsed.reasons, reason)), len(line), out)

    def close(self, out: list[Item]) -> None:
        """Complete the open record, if there is one."""
        if self._open is not None:
            self._emit(self._open.offset, self._open.close(), self._open.size, out)
        self._open = None
        self._block = 0
        self._joiner.reset()

    def _blank(self, line: bytes) -> None:
        """An empty line is no record; it may be a part of one."""
        joint = self._joiner.feed(line) if self._joiner.open else Joint.OUTSIDE
        if self._open is not None and joint is Joint.CONTINUE:
            self._open.add_trace(line)
        elif self._open is not None and (self._rest is Rest.ANY or self._block):
            self._open.add(line)

    def _text(self, offset: int, line: bytes, out: list[Item]) -> None:
        joint = self._joiner.feed(line) if self._joiner.open or line[:1] != b"{" else Joint.OUTSIDE
        if joint is Joint.START:
            self._start_trace(offset, line, out)
        elif joint is Joint.CONTINUE and self._open is not None:
            self._grow_trace(offset, line, self._open, out)
        else:
            self._record(offset, line, out)

    def _start_trace(self, offset: int, line: bytes, out: list[Item]) -> None:
        """A traceback belongs to the text record right before it; otherwise it is a record by itself."""
        if self._open is not None and not self._open.traced:
            self._open.add_trace(line)
            return
        self._close_record(out)
        self._begin(offset, line, None, Rest.NONE)

    def _grow_trace(self, offset: int, line: bytes, record: Open, out: list[Item]) -> None:
        if record.full:
            self._make_room(out)
            self._begin(offset, line, self._plain(line), Rest.INDENTED)
        else:
            record.add_trace(line)

    def _record(self, offset: int, line: bytes, out: list[Item]) -> None:
        found, parsed = self._read(line)
        if parsed is None or (found is PLAIN and self._continues(line)):
            self._grow(offset, line, out)
        elif self._joiner.open and self._open is not None:  # another writer's line in the middle of a traceback
            self._emit(offset, parsed, len(line), out)
        else:
            self._close_record(out)
            if found.rest is Rest.NONE:
                self._emit(offset, parsed, len(line), out)
            else:
                self._begin(offset, line, parsed, found.rest)

    def _read(self, line: bytes) -> tuple[Format, Parsed | None]:
        """The format a line is written in with its meaning; (plain, None) if it is only more of the record before."""
        own = self._format
        if own is not None and (parsed := own.parse(line, self._now_ns)) is not None:
            self._votes = 0
            return own, placed(parsed, self._base)
        if own is not None and self._fixed:
            return PLAIN, None if own.rest is Rest.ANY else self._malformed(line, own)
        found = detect(line)
        if found is PLAIN or (parsed := found.parse(line, self._now_ns)) is None:
            return PLAIN, self._malformed(line, found)
        self._vote(found)
        return found, placed(parsed, self._base)

    def _continues(self, line: bytes) -> bool:
        return self._open is not None and (self._rest is Rest.ANY or (self._rest is Rest.INDENTED and line[:1] in b" \t"))

    def _vote(self, found: Format) -> None:
        """A line was written in another format than the file's: change to it once it is plain that the file did."""
        self._votes = self._votes + 1 if found is self._rival else 1
        self._rival = found
        if self._format is None or self._votes >= CHANGE_AFTER:
            self._format = found
            self._votes = 0

    def _begin(self, offset: int, line: bytes, head: Parsed | None, rest: Rest) -> None:
        self._open = Open(offset, line, head, self._base)
        self._rest = rest
        self._block = _BLOCK_LINES if head is not None and _BLOCK_BEGIN in line and _BLOCK_END not in line else 0

    def _grow(self, offset: int, line: bytes, out: list[Item]) -> None:
        self._make_room(out)
        if self._open is None:
            self._begin(offset, line, self._plain(line), Rest.INDENTED)
            return
        self._open.add(line)
        if _BLOCK_BEGIN in line and _BLOCK_END not in line:
            self._block = _BLOCK_LINES

    def _grow_block(self, line: bytes, out: list[Item]) -> None:
        self._block = 0 if _BLOCK_END in line else self._block - 1
        if self._open is not None:
            self._open.add(line)
        self._make_room(out)

    def _make_room(self, out: list[Item]) -> None:
        """Close the open record if nothing more may be joined to it; what follows is a record of its own."""
        if self._open is not None and self._open.full:
            out.append((self._open.offset, JOIN_LIMIT))
            self._close_record(out)

    def _close_record(self, out: list[Item]) -> None:
        """As `close`, but the traceback reader knows already where it stands."""
        if self._open is not None:
            self._emit(self._open.offset, self._open.close(), self._open.size, out)
        self._open = None
        self._block = 0

    def _emit(self, offset: int, parsed: Parsed, size: int, out: list[Item]) -> None:
        out.append((offset, limited(parsed) if size > MAX_TEXT or len(parsed.attributes) > MAX_ATTRIBUTES else parsed))

    def _begins_record(self, line: bytes) -> bool:
        """Whether an unindented line below an exception line begins a record; in a file of one-line records it always does."""
        return (
            self._format is None
            or self._format.rest is not Rest.ANY
            or self._format.parse(line, 0) is not None
            or detect(line) is not PLAIN
        )

    def _malformed(self, line: bytes, looked_like: Format) -> Parsed:
        parsed = self._plain(line)
        return parsed._replace(reasons=(*parsed.reasons, looked_like.malformed)) if looked_like.malformed else parsed

    def _plain(self, line: bytes) -> Parsed:
        return placed(as_text(line), self._base)
