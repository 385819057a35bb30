"""One content, followed from file to file: where it is, how far it was read, and how it is recognised.

    found ──▶ PLACED ──(its path is gone, but we hold it open)──▶ HELD ──(read to its end)──▶ LOST
                │  ▲                                                                           │ │
                │  └───────────────────(a copy, or the .gz of it, was found)───────────────────┘ │
                └──(truncated; or gone while we did not hold it)──▶ LOST                         └─(nothing came)──▶ forgotten

A content is never read on from a file that does not continue it: at first by the stored digests, then by the bytes before the offset,
which every read fetches again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent.tail.line_reader import ContentChangedError, LineReader
from agent.tail.position import HEAD, MARKER, NOTHING, Cause, Digest, Position
from agent.tail.reader import GzipReader

if TYPE_CHECKING:
    from agent.tail.line_reader import Piece
    from agent.tail.position import FilePlace
    from agent.tail.reader import ContentReader


class ContentState(StrEnum):
    """See the picture above."""

    PLACED = "placed"
    HELD = "held"
    LOST = "lost"


class Content(LineReader):
    """A content and its reading. `offset` is behind the last line taken; what was stored may be before it (an open record)."""

    __slots__ = (
        "_marker", "_proven", "_read_status", "active_at", "born", "cause", "deferrals", "drained", "failures", "head",
        "is_polled", "is_uncounted", "key", "left_at", "left_size", "live_path", "mtime_ns", "name", "place", "retry_at", "saved", "serial",
        "size", "state",
    )  # fmt: skip

    def __init__(self, key: str, name: str, live_path: str, place: FilePlace, *, serial: int, saved: Position | None = None) -> None:
        self.key = key
        self.serial = self.born = serial
        """`born` is its first serial in this life: it is known for as long as this says, also if it was put behind others."""
        self.name = name
        """The path of its file when it was found."""
        self.live_path = name if live_path == name else live_path  # one string, not three equal ones: there may be many files
        """The real path where a successor is expected: that of the live file, also for a content that was rotated away from it."""
        self.place = place = place._replace(path=name) if place.path == name else place
        self.saved = saved or Position(name, place, 0)
        """The last position that was emitted."""
        super().__init__(self.saved.offset, mid_line=self.saved.mid_line, more=saved is None)
        self.cause = self.saved.cause
        self.state = ContentState.LOST if self.cause else ContentState.PLACED
        self.size, self.mtime_ns = self.saved.size, self.saved.mtime_ns
        """Size of the file at the last check."""
        self.drained = self.saved.drained
        """A gzip content was read to its end."""
        self.is_uncounted = False
        """It was lost just now, and its missed bytes are not counted yet."""
        self.active_at = 0.0
        """When the file was seen to grow, monotonic seconds; 0 = never yet."""
        self.left_at = 0.0
        """When it became HELD or LOST."""
        self.left_size = 0
        """The size of its file when that lost its name."""
        self.retry_at, self.failures = 0.0, 0
        """When to try again to read a file that failed so many times."""
        self.deferrals = 0
        """Number of times that its first read was postponed."""
        self.head, self._marker = self.saved.head, self.saved.marker
        """The bytes that must be found again before reading continues: the first ones, and those before the offset."""
        self.is_polled = False
        """Its file was asked for its size since it has had its present name."""
        self._read_status = self.size, self.mtime_ns
        """Size and time of the file at the last read. A newer file has unread bytes."""
        self._proven = place
        """Its place at the last read."""

    def __hash__(self) -> int:
        """By the first serial, so that sets of contents have the same order in each run."""
        return self.born

    def is_emptied(self, size: int) -> bool:
        """Whether a file of this size is too small to hold the known content: it was truncated, even if it grows again already.

        Of a file that was only seen yet, its size is all we know; of one that was looked into, the bytes before the offset tell more.
        """
        return not self.place.gzip and size < (self.offset if self.seen else self.size)

    @property
    def is_rotated(self) -> bool:
        """Whether its file is not, or no longer, the live one."""
        return self.state is not ContentState.PLACED or self.place.path != self.live_path

    @property
    def is_at_end(self) -> bool:
        """Whether it is known to have ended: its file was read to the end after it was rotated away."""
        return self.is_polled and self.place.path != self.live_path and self.size <= self.offset

    def lag(self) -> int:
        """Bytes that are known and not read yet."""
        return 0 if self.place.gzip else max(0, self.size - self.offset)

    def note_generation(self, generation: int) -> None:
        """Remember the inode's generation; ContentChangedError if it was another when this content was last read here."""
        if self.place.generation and generation and self.place.generation != generation:
            raise ContentChangedError(Cause.REPLACED)
        self.place = self.place._replace(generation=generation)

    def verify(self, reader: ContentReader) -> None:
        """Compare the file with what was read before; ContentChangedError if it does not continue it."""
        self._detect_encoding(reader)
        if not self.is_continued_by(reader):
            raise ContentChangedError(Cause.TRUNCATED)
        self._tail = reader.read(max(0, self.offset - MARKER), min(MARKER, self.offset))

    def check(self, reader: ContentReader) -> None:
        """Compare the whole file with what was read; ContentChangedError if they differ. Not for compressed files, where it would take too long."""
        if not self.place.gzip and not (self.is_still(reader) if self.is_verified else self.is_continued_by(reader)):
            raise ContentChangedError(Cause.TRUNCATED)

    def is_continued_by(self, reader: ContentReader) -> bool:
        """Whether a content is this one: its head and the bytes before the offset exist there and are equal."""
        start = self.offset - self._marker.length
        return self.has_head(reader) and self._marker.fits(reader.read(start, self._marker.length))

    def has_head(self, reader: ContentReader) -> bool:
        """Whether a content begins as this one does: cheap also where the offset is far."""
        return self.head.fits(reader.read(0, self.head.length))

    def may_begin_with(self, reader: ContentReader, size: int) -> bool:
        """Whether a shorter content may be the beginning of this one, as far as its remembered bytes show."""
        if self._start:
            return size > 0 and reader.read(0, len(self._start)) == self._start[:size]
        return self.has_head(reader)

    def move(self, place: FilePlace) -> None:
        """Continue reading at another place, where this content was found."""
        if place.id != self.place.id:
            self.let_go()
            self.drained = False
        self.place, self.is_polled = place, False
        self.state, self.cause, self.more = ContentState.PLACED, Cause.NONE, not self.drained

    def let_go(self) -> None:
        """The file may be another one now: compare before the next read."""
        if self.is_verified:
            self._proven = self.place
        if self._tail and self.offset:
            self.head, self._marker = self.saved.head, Digest.of(self._tail)
            self._tail = None
        self.forget_ahead()

    def go_back(self) -> None:
        """Undo a wrong place: the content was last where it was last read."""
        self.place = self._proven

    def read(self, reader: ContentReader, room: int, most: int, max_line: int) -> Piece | None:
        """As `LineReader.read`."""
        piece = super().read(reader, room, most, max_line)
        if self._hole is not None and not self.more:
            self.seen = max(self.size, self.seen)  # a hole at the end is nothing to read until something follows it
        self.note_read()
        return piece

    def note_read(self) -> None:
        """Remember the file's present size and time as those of the last read."""
        self._read_status = self.size, self.mtime_ns

    def note_time(self, mtime_ns: int) -> None:
        """The time of the file's last write, taken after the read: the bytes that were read are not younger."""
        self._read_status = self._read_status[0], mtime_ns

    @property
    def read_mtime_ns(self) -> int:
        """The latest time at which the bytes of the last read were written."""
        return self._read_status[1]

    def disbelieve(self) -> None:
        """The file holds something else: so size and time that were seen last may be that one's already, and only what was read is certain."""
        self.size, self.mtime_ns = self.seen, self._read_status[1]

    def cut_back(self, size: int, reader: ContentReader) -> None:
        """The copy that was found is shorter than the part of the original that was read: it ends here."""
        self.offset = self.seen = size
        self.position(min(self.saved.offset, size), self.saved.parser, reader)
        self.head, self._marker, self._tail = self.saved.head, NOTHING, None

    def position(self, offset: int, parser: bytes, reader: ContentReader | None) -> Position:
        """The position to store: `offset` is where the oldest incomplete record begins.

        Without a reader the digests can only be as good as what is at hand; that is enough where nothing is incomplete.
        """
        stored = self.saved
        if (offset, parser) != (stored.offset, stored.parser):
            head, marker = self._digests(offset, reader)
            stored = stored._replace(
                offset=offset,
                parser=bytes(memoryview(parser)),  # a copy: what orjson gives keeps the 4 KiB that it was written in
                head=head,
                marker=marker,
                mid_line=self.mid_line and offset == self.offset,
            )
        stored = stored._replace(size=self._read_status[0], mtime_ns=self._read_status[1])
        drained = self.drained and stored.offset == self.seen
        self.saved = stored._replace(place=self.place, drained=drained, cause=self.cause)
        return self.saved

    def _digests(self, offset: int, reader: ContentReader | None) -> tuple[Digest, Digest]:
        try:
            return self._head_until(offset, reader), self._marker_before(offset, reader)
        except OSError:  # the lines are taken already; that the file can't be read is reported by its next read
            return self._head_until(offset, None), self._marker_before(offset, None)

    def _head_until(self, offset: int, reader: ContentReader | None) -> Digest:
        length = min(HEAD, offset)
        if self.saved.head.length >= length:
            return self.saved.head
        if len(self._start) >= length:
            return Digest.of(self._start[:length])
        if reader is None:
            return self.saved.head
        head = Digest.of(reader.read(0, length))
        is_its = self.place.gzip or self.is_still(reader)  # it may have been emptied since it was read
        return head if is_its or not self.saved.head.length else self.saved.head

    def _marker_before(self, offset: int, reader: ContentReader | None) -> Digest:
        if offset == self.offset:
            return self._marker if self._tail is None else Digest.of(self._tail)
        start = max(0, offset - MARKER)
        if reader is None or (isinstance(reader, GzipReader) and not reader.remembers(start)):
            return NOTHING  # a compressed content does not change: its head will do
        marker = Digest.of(reader.read(start, offset - start))
        return marker if self.place.gzip or self.is_still(reader) else NOTHING
