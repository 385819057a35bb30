"""Reads a content line by line from an offset. Memory stays flat however long a line is.

Every read fetches again the bytes before the offset: a file that does not continue what was read of it is noticed before anything of it is
given out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agent.tail.lines import as_utf8, cut, cut_wide, end_of_line, looks_finished, skip_nuls
from agent.tail.position import HEAD, MARKER, Cause
from agent.tail.text_encoding import UTF_8, encoding_of

if TYPE_CHECKING:
    from hashlib import _Hash

    from agent.tail.reader import ContentReader
    from agent.tail.text_encoding import TextEncoding

_STRIDE: Final = 1 << 20
"""Bytes per read while looking for the end of a long line or of a hole."""
_STRIDES: Final = 16
"""Such reads per turn: then the other files have theirs."""


class ContentChangedError(Exception):
    """The file does not continue what was read of it."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


class Oversized(NamedTuple):
    """A line over the limit, of which only the beginning was kept."""

    length: int
    """Bytes, without the end of the line."""
    sha256: str
    """Of the whole line, hexadecimal."""


class Piece(NamedTuple):
    """The result of one read."""

    lines: list[tuple[int, bytes]]
    """(offset, line without its end)."""
    size: int
    """Bytes of the content that it covers."""
    gaps: int = 0
    """Runs of NULs skipped."""
    oversized: Oversized | None = None
    """The cut of the only line, if it is too long."""
    is_rest: bool = False
    """The first line is the rest of one whose beginning was returned after a long silence of its writer."""
    is_unended: bool = False
    """The only line has no end."""


class _LongLine:
    """A line over the limit whose end is being looked for: memory stays flat however long it is."""

    def __init__(self, start: int, head: bytes) -> None:
        self.start = start
        self.head = head
        self.at = start
        from hashlib import sha256  # noqa: PLC0415 - it loads OpenSSL, for lines that hardly ever are that long

        self._hash: _Hash = sha256()

    def add(self, data: bytes) -> None:
        self._hash.update(data)
        self.at += len(data)

    def summary(self) -> Oversized:
        return Oversized(self.at - self.start, self._hash.hexdigest())


class LineReader:
    """A place in a content, behind the last line that was taken."""

    __slots__ = ("_encoding", "_hole", "_long", "_start", "_tail", "mid_line", "more", "offset", "seen")

    def __init__(self, offset: int, *, mid_line: bool, more: bool) -> None:
        self.offset = offset
        """Bytes taken: behind the end of a line, except `mid_line`."""
        self.mid_line = mid_line
        """The offset is inside a line whose beginning was given out already."""
        self.more = more
        """Whether a read may return a line."""
        self.seen = offset
        """Bytes inspected, those of a line without an end included."""
        self._tail: bytes | None = None if offset else b""
        """The bytes before the offset; None = not compared with the file yet."""
        self._start = b""
        """The content's first bytes, at most `HEAD`, if it was read from its beginning: so a shorter copy can be recognized."""
        self._encoding: TextEncoding | None = None
        """None: not detected yet."""
        self._long: _LongLine | None = None
        self._hole: int | None = None
        """The offset inside a hole from which it must be skipped further."""

    @property
    def is_verified(self) -> bool:
        """Whether the file is known to continue what was read."""
        return self._tail is not None

    @property
    def has_partial(self) -> bool:
        """Whether a line without an end was seen."""
        return self.seen > self.offset and self._hole is None

    def forget_ahead(self) -> None:
        """Forget the bytes that were inspected behind the offset."""
        self._long, self._hole, self.seen = None, None, self.offset

    def is_still(self, reader: ContentReader) -> bool:
        """Whether a file still has the bytes that were last read; True for a content that was never compared with its file."""
        tail = self._tail
        return not tail or reader.read(self.offset - len(tail), len(tail)) == tail

    def start_at(self, offset: int, reader: ContentReader) -> None:
        """Count the bytes before `offset` as read."""
        self.offset = self.seen = offset
        self._tail = reader.read(max(0, offset - MARKER), min(MARKER, offset))

    def read(self, reader: ContentReader, room: int, most: int, max_line: int) -> Piece | None:
        """Take whole lines: at most `most`, from about `room` bytes. None = none has an end yet.

        Raises ContentChangedError if the bytes before the offset are not those that were read.
        """
        if self._long:
            return self._read_long(reader, self._long)
        encoding = self._detect_encoding(reader)
        if self.offset % encoding.unit:
            self.start_at(self.offset + encoding.unit - self.offset % encoding.unit, reader)
        data = self._fetch(reader, room)
        if data.startswith(b"\0") and not self.mid_line and encoding is UTF_8:
            return self._skip_hole(reader)
        self._hole = None
        self.seen, self.more = self.offset + len(data), len(data) >= room
        found = cut(data, self.offset, most) if encoding is UTF_8 else cut_wide(data, self.offset, most, encoding)
        if not found.consumed:
            return self._read_wide(reader, max_line, room) if self.more else None
        self.more = self.more or data.find(b"\n", found.consumed) >= 0
        return self._take(found.lines, data[: found.consumed], found.gaps)

    def _detect_encoding(self, reader: ContentReader) -> TextEncoding:
        """The content's encoding; it does not change."""
        if self._encoding is None:
            start = reader.read(0, 4)
            if len(start) < 2:
                return UTF_8
            self._encoding = encoding_of(start)
        return self._encoding

    def _fetch(self, reader: ContentReader, room: int) -> bytes:
        tail = self._tail or b""
        data = reader.read(self.offset - len(tail), len(tail) + room)
        if not data.startswith(tail):
            raise ContentChangedError(Cause.TRUNCATED)
        return data[len(tail) :]

    def _take(self, lines: list[tuple[int, bytes]], data: bytes, gaps: int = 0) -> Piece:
        self._tail = (data if len(data) >= MARKER else (self._tail or b"") + data)[-MARKER:]
        if len(self._start) == self.offset < HEAD:
            self._start = (self._start + data[:HEAD])[:HEAD]
        self.offset += len(data)
        is_rest, self.mid_line = self.mid_line, False
        if is_rest and lines and not lines[0][1]:
            lines, is_rest = lines[1:], False  # only the end of the line was missing
        return Piece(lines, len(data), gaps, is_rest=is_rest)

    def _read_wide(self, reader: ContentReader, max_line: int, room: int) -> Piece | None:
        """No line ends within `room`: look further, and past the limit only for the end."""
        encoding = self._encoding or UTF_8
        data = reader.read(self.offset, max(max_line, room) + 1)
        end = end_of_line(data, 0, encoding)
        if end:
            self.more = True
            lines = cut(data[:end], self.offset, 1).lines if encoding is UTF_8 else cut_wide(data[:end], self.offset, 1, encoding).lines
            return self._take(lines, data[:end])
        self.seen, self.more = self.offset + len(data), len(data) > max_line
        if self.more:
            self._long = _LongLine(self.offset, as_utf8(data[:max_line], encoding))
        return None

    def _read_long(self, reader: ContentReader, line: _LongLine) -> Piece | None:
        for _ in range(_STRIDES):
            data = reader.read(line.at, _STRIDE)
            encoding = self._encoding or UTF_8
            end = end_of_line(data, 0, encoding) - encoding.unit
            line.add(data if end < 0 else data[:end])
            if end >= 0:
                return self._end_long(reader, line, encoding.unit)
            if len(data) < _STRIDE:
                self.seen, self.more = line.at, False
                return None
        self.seen = line.at
        return None

    def _end_long(self, reader: ContentReader, line: _LongLine, end: int) -> Piece:
        piece = Piece([(line.start, line.head)], line.at + end - line.start, oversized=line.summary(), is_rest=self.mid_line)
        self.mid_line, self._long, self.more = False, None, True
        self.start_at(line.at + end, reader)
        return piece

    def _skip_hole(self, reader: ContentReader) -> Piece | None:
        """Skip NULs, but only once something follows them: a file may be allocated first and written later."""
        at = self._hole or self.offset
        for _ in range(_STRIDES):
            begin = reader.next_data(at)
            data = reader.read(begin, _STRIDE) if begin is not None else b""
            at, rest = skip_nuls(begin or at, data)
            if rest:
                size, self._hole, self.more = at - self.offset, None, True
                self.start_at(at, reader)
                return Piece([], size, gaps=1)
            if not data:
                self._hole, self.seen, self.more = at, at, False
                return None
        self._hole, self.seen = at, at
        return None

    def read_unended(self, reader: ContentReader, max_line: int, *, live: bool) -> Piece | None:
        """Take the last line although it has no end: its file is not written any more, or was silent for long.

        None if there is none, or if the file is `live` and the line is certainly not whole.
        """
        if self._long:
            piece = self._end_long(reader, self._long, 0)
            self.more, self.mid_line = False, True
            return piece._replace(is_unended=True)
        data = self._fetch(reader, max_line)
        encoding = self._encoding or UTF_8
        text = as_utf8(data, encoding)
        if not data.strip(b"\0") or end_of_line(data, 0, encoding) or (live and (not looks_finished(text) or len(data) % encoding.unit)):
            return None
        self.seen = self.offset + len(data)
        piece = self._take([skip_nuls(self.offset, text)], data)
        self.mid_line = True
        return piece._replace(is_unended=True)
