"""One content, followed from file to file: how far it was read, and reading on.

    found ──▶ PLACED ──(its path is gone, but we hold it open)──▶ HELD ──(read to its end)──▶ LOST
                │  ▲                                                                           │ │
                │  └───────────────────(a copy, or the .gz of it, was found)───────────────────┘ │
                └──(truncated; or gone while we did not hold it)──▶ LOST                         └─(nothing came)──▶ forgotten

A content is never read on from a file that does not continue it: at first by the stored digests, then by the bytes before the offset,
which every read fetches again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.tail.content import UTF_8, encoding_of
from agent.tail.lines import as_utf8, cut, cut_wide, end_of_line, looks_finished, skip_nuls
from agent.tail.position import HEAD, MARKER, NOTHING, Cause, Digest, Position
from agent.tail.reader import GzipReader

if TYPE_CHECKING:
    from hashlib import _Hash

    from agent.tail.content import Encoding
    from agent.tail.position import Place
    from agent.tail.reader import Reader

_STRIDE: Final = 1 << 20
"""Bytes per read while looking for the end of a long line or of a hole."""
_STRIDES: Final = 16
"""Such reads per turn: then the other files have theirs."""


class State(StrEnum):
    """See the picture above."""

    PLACED = "placed"
    HELD = "held"
    LOST = "lost"


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
    """What one read gave."""

    lines: list[tuple[int, bytes]]
    """(offset, line without its end)."""
    size: int
    """Bytes of the content that it is about."""
    gaps: int = 0
    """Runs of NULs skipped."""
    oversized: Oversized | None = None
    """Tells about the only line, if it is cut."""
    is_rest: bool = False
    """The first line is the rest of one whose beginning was given out when its writer was silent for long."""
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


class Stream:
    """A content and its reading. `offset` is behind the last line taken; what was stored may be before it (an open record)."""

    def __init__(self, key: str, name: str, home: str, place: Place, *, serial: int, saved: Position | None = None) -> None:
        self.key = key
        self.serial = serial
        self.born = serial
        """Its first serial in this life: it is known for as long as this says, also if it was put behind others."""
        self.name = name
        """The path it was found under."""
        self.home = name if home == name else home  # one string, not three equal ones: there may be many files
        """The real path where a successor is to be expected: that of the live file, also for what was rotated away from there."""
        self.place = place = place._replace(path=name) if place.path == name else place
        self.saved = saved or Position(name, place, 0)
        """The last position given out."""
        self.cause = self.saved.cause
        self.state = State.LOST if self.cause else State.PLACED
        self.offset = self.saved.offset
        self.mid_line = self.saved.mid_line
        self.size = self.saved.size
        self.mtime_ns = self.saved.mtime_ns
        self.seen = self.offset
        """Bytes looked at, so also those of a line without an end."""
        self.more = saved is None
        """Whether a read may give something."""
        self.drained = self.saved.drained
        """A gzip content was read to its end."""
        self.is_uncounted = False
        """It was lost just now: what was missed of it is not counted yet."""
        self.active_at = 0.0
        self.left_at = 0.0
        """When it became HELD or LOST."""
        self.left_size = 0
        """The size of its file when that lost its name."""
        self.retry_at = 0.0
        self.failures = 0
        self.deferrals = 0
        """How often its first read was put off."""
        self._head, self._marker = self.saved.head, self.saved.marker
        """What must be found again at `offset` before reading on."""
        self._tail: bytes | None = None if self.offset else b""
        """The bytes before the offset; None = not compared with the file yet."""
        self._read_status = self.size, self.mtime_ns
        """Size and time of the file when it was read last: whatever is newer was not read."""
        self._proven = place
        """Where it was when it was last read."""
        self._start = b""
        """The content's first bytes, as long as they are fewer than a head: then a shorter copy can be recognized."""
        self._encoding: Encoding | None = None
        """None: not looked at yet."""
        self._long: _LongLine | None = None
        self._hole: int | None = None

    def __hash__(self) -> int:
        """By the first serial, so that sets of contents have the same order in each run."""
        return self.born

    @property
    def head(self) -> Digest:
        """What is remembered of its first bytes."""
        return self._head

    @property
    def is_verified(self) -> bool:
        """Whether the file was seen to continue the stored position."""
        return self._tail is not None

    @property
    def has_partial(self) -> bool:
        """Whether a line without an end was seen."""
        return self.seen > self.offset and self._hole is None

    def is_emptied(self, size: int) -> bool:
        """Whether a file of this size cannot hold what we know of it: it was truncated, also if it grows again already.

        Of a file that was only seen yet, its size is all we know; of one that was looked into, the bytes before the offset tell more.
        """
        return not self.place.gzip and size < (self.offset if self.seen else self.size)

    @property
    def is_rotated(self) -> bool:
        """Whether its file is not the live one (any more)."""
        return self.state is not State.PLACED or self.place.path != self.home

    def lag(self) -> int:
        """Bytes known and not read yet."""
        return 0 if self.place.gzip else max(0, self.size - self.offset)

    def note_generation(self, generation: int) -> None:
        """Remember the inode's generation; ContentChangedError if it was another when this content was last read here."""
        if self.place.generation and generation and self.place.generation != generation:
            raise ContentChangedError(Cause.REPLACED)
        self.place = self.place._replace(generation=generation)

    def verify(self, reader: Reader) -> None:
        """Compare the file with what was read before; ContentChangedError if it does not continue it."""
        self._look_at_encoding(reader)
        if not self.is_continued_by(reader):
            raise ContentChangedError(Cause.TRUNCATED)
        self._tail = reader.read(max(0, self.offset - MARKER), min(MARKER, self.offset))

    def check(self, reader: Reader) -> None:
        """See whether the file still is what was read; ContentChangedError if not. For a compressed one it would take too long."""
        if self.place.gzip:
            return
        tail = self._tail
        if not (self.is_continued_by(reader) if tail is None else reader.read(self.offset - len(tail), len(tail)) == tail):
            raise ContentChangedError(Cause.TRUNCATED)

    def is_continued_by(self, reader: Reader) -> bool:
        """Whether a content is this one: its head and the bytes before the offset are there and the same."""
        start = self.offset - self._marker.length
        return self.has_head(reader) and self._marker.fits(reader.read(start, self._marker.length))

    def has_head(self, reader: Reader) -> bool:
        """Whether a content begins as this one does: cheap also where the offset is far."""
        return self._head.fits(reader.read(0, self._head.length))

    def may_begin_with(self, reader: Reader, size: int) -> bool:
        """Whether a shorter content may be the beginning of this one: as far as we remember, it is."""
        if self._start:
            return size > 0 and reader.read(0, len(self._start)) == self._start[:size]
        return self.has_head(reader)

    def move(self, place: Place) -> None:
        """Go on reading at another place, where this content was found."""
        if place.id != self.place.id:
            self.let_go()
            self.drained = False
        self.place = place
        self.state, self.cause, self.more = State.PLACED, Cause.NONE, not self.drained

    def let_go(self) -> None:
        """The file is not the one any more, or not certainly: compare before reading on."""
        if self.is_verified:
            self._proven = self.place
        if self._tail and self.offset:
            self._head, self._marker = self.saved.head, Digest.of(self._tail)
            self._tail = None
        self.look_again()

    def go_back(self) -> None:
        """The place that was taken for this content's is not: it was last where it was read last."""
        self.place = self._proven

    def look_again(self) -> None:
        """Forget what was seen behind the offset."""
        self._long, self._hole, self.seen = None, None, self.offset

    def note_read(self) -> None:
        """What is there now is read, or about to be."""
        self._read_status = self.size, self.mtime_ns

    def note_time(self, mtime_ns: int) -> None:
        """When the file had been written last, asked for after it was read: so what was read is no younger."""
        self._read_status = self._read_status[0], mtime_ns

    @property
    def read_mtime_ns(self) -> int:
        """When that was written at the latest which was read last."""
        return self._read_status[1]

    def disbelieve(self) -> None:
        """The file holds something else: so size and time that were seen last may be that one's already, and only what was read is certain."""
        self.size, self.mtime_ns = self.seen, self._read_status[1]

    def start_at(self, offset: int, reader: Reader) -> None:
        """Take what is before `offset` as read."""
        self.offset = self.seen = offset
        self._tail = reader.read(max(0, offset - MARKER), min(MARKER, offset))

    def cut_back(self, size: int, reader: Reader) -> None:
        """The copy that was found is shorter than what was read of the original: it ends here."""
        self.offset = self.seen = size
        self.position(min(self.saved.offset, size), self.saved.parser, reader)
        self._head, self._marker, self._tail = self.saved.head, NOTHING, None

    def position(self, offset: int, parser: bytes, reader: Reader | None) -> Position:
        """The position to store: `offset` is where the oldest incomplete record begins.

        Without a reader the digests can only be as good as what is at hand; that is enough where nothing is incomplete.
        """
        stored = self.saved
        if (offset, parser) != (stored.offset, stored.parser):
            head, marker = self._digests(offset, reader)
            stored = stored._replace(
                offset=offset,
                parser=parser,
                head=head,
                marker=marker,
                mid_line=self.mid_line and offset == self.offset,
            )
        stored = stored._replace(size=self._read_status[0], mtime_ns=self._read_status[1])
        drained = self.drained and stored.offset == self.seen
        self.saved = stored._replace(place=self.place, drained=drained, cause=self.cause)
        return self.saved

    def _digests(self, offset: int, reader: Reader | None) -> tuple[Digest, Digest]:
        try:
            return self._head_until(offset, reader), self._marker_before(offset, reader)
        except OSError:  # the lines are taken already; that the file can't be read is reported by its next read
            return self._head_until(offset, None), self._marker_before(offset, None)

    def _head_until(self, offset: int, reader: Reader | None) -> Digest:
        length = min(HEAD, offset)
        if self.saved.head.length >= length:
            return self.saved.head
        if len(self._start) >= length:
            return Digest.of(self._start[:length])
        if reader is None:
            return self.saved.head
        head = Digest.of(reader.read(0, length))
        return head if self._is_still(reader) or not self.saved.head.length else self.saved.head

    def _marker_before(self, offset: int, reader: Reader | None) -> Digest:
        if offset == self.offset:
            return self._marker if self._tail is None else Digest.of(self._tail)
        start = max(0, offset - MARKER)
        if reader is None or (isinstance(reader, GzipReader) and not reader.remembers(start)):
            return NOTHING  # a compressed content does not change: its head will do
        marker = Digest.of(reader.read(start, offset - start))
        return marker if self._is_still(reader) else NOTHING

    def _is_still(self, reader: Reader) -> bool:
        """Whether what a file was just asked for is of this content: it may have been emptied since it was read."""
        tail = self._tail
        return self.place.gzip or not tail or reader.read(self.offset - len(tail), len(tail)) == tail

    def read(self, reader: Reader, room: int, most: int, max_line: int) -> Piece | None:
        """Take whole lines: at most `most`, from about `room` bytes. None = none has an end yet.

        Raises ContentChangedError if the bytes before the offset are not those that were read.
        """
        if self._long:
            return self._read_long(reader, self._long)
        encoding = self._look_at_encoding(reader)
        if self.offset % encoding.unit:
            self.start_at(self.offset + encoding.unit - self.offset % encoding.unit, reader)
        data = self._fetch(reader, room)
        self.note_read()
        if data.startswith(b"\0") and not self.mid_line and encoding is UTF_8:
            return self._skip_hole(reader)
        self._hole = None
        self.seen, self.more = self.offset + len(data), len(data) >= room
        found = cut(data, self.offset, most) if encoding is UTF_8 else cut_wide(data, self.offset, most, encoding)
        if not found.consumed:
            return self._read_wide(reader, max_line, room) if self.more else None
        self.more = self.more or data.find(b"\n", found.consumed) >= 0
        return self._take(found.lines, data[: found.consumed], found.gaps)

    def _look_at_encoding(self, reader: Reader) -> Encoding:
        """The content's encoding; it does not change."""
        if self._encoding is None:
            start = reader.read(0, 4)
            if len(start) < 2:
                return UTF_8
            self._encoding = encoding_of(start)
        return self._encoding

    def _fetch(self, reader: Reader, room: int) -> bytes:
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

    def _read_wide(self, reader: Reader, max_line: int, room: int) -> Piece | None:
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

    def _read_long(self, reader: Reader, line: _LongLine) -> Piece | None:
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

    def _end_long(self, reader: Reader, line: _LongLine, end: int) -> Piece:
        piece = Piece([(line.start, line.head)], line.at + end - line.start, oversized=line.summary(), is_rest=self.mid_line)
        self.mid_line, self._long, self.more = False, None, True
        self.start_at(line.at + end, reader)
        return piece

    def _skip_hole(self, reader: Reader) -> Piece | None:
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
                self._hole, self.seen, self.more = at, max(self.size, at), False
                return None
        self._hole, self.seen = at, at
        return None

    def read_unended(self, reader: Reader, max_line: int, *, live: bool) -> Piece | None:
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
