"""Reading a content by offset, whether it lies in a plain file or in a gzip one. Thin I/O.

A gzip file is a stream: going forward is cheap, going back starts over. So it is read with a window, and going far forward (to resume
half-way) is done in steps, so that other files do not wait. A file that is still being compressed ends early for now.
"""

from __future__ import annotations

import errno
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor, IsalError

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW: Final = 64 * 1024
"""Bytes kept behind the point of reading in a gzip content."""
COMPARED: Final = 64 * 1024
"""Bytes from the beginning in which a copy must equal its original."""
_COMPARED_END: Final = 4096
NEAR: Final = 8 << 20
"""Bytes that are decompressed at once to compare what lies behind them."""
_STEP: Final = 256 * 1024
_PIECE: Final = 4096
_SALVAGED: Final = 64 << 20
"""Bytes of a member that are decompressed once more to come to what a damaged step had decoded: with more the step is given up."""
_MAGIC: Final = b"\x1f\x8b"


class ContentReader:
    """A content, addressed by byte offset: of a plain file. It is never finished, for its writer may come back."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer at the present end. OSError if the file cannot be read."""
        return os.pread(self.fd, size, offset)

    def next_data(self, offset: int) -> int | None:
        """The offset of the first byte that is not in a hole of the file, from `offset` on; None = only a hole is left."""
        try:
            return os.lseek(self.fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system without holes
                return offset
            raise

    def advance(self, offset: int, budget: int) -> bool:  # noqa: ARG002 - any offset is as near as any other
        """Come closer to `offset` by at most `budget` bytes; whether `read` from there is cheap now (or the content ends before)."""
        return True

    def finished(self) -> bool:
        """Whether nothing can follow what was read."""
        return False

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self.fd)


class GzipReader(ContentReader):
    """A gzip file, of any number of members.

    `damage` is the reason why reading can't continue; the bytes before are intact. `limit` caps the content's bytes and `ratio` how many of them one
    compressed byte may become, beyond the first mebibyte: a bomb ends early.
    """

    def __init__(self, fd: int, limit: int, ratio: int) -> None:
        super().__init__(fd)
        self._limit = limit
        self._ratio = ratio
        self._rewind()

    def read(self, offset: int, size: int) -> bytes:
        """As in `ContentReader`."""
        if offset < self._start:
            self._rewind()
        while self._start + len(self._buffer) < offset + size and self._fill():
            self._forget(offset - WINDOW)
        at = offset - self._start
        return bytes(self._buffer[at : at + size])

    def next_data(self, offset: int) -> int | None:
        """As in `ContentReader`."""
        return offset

    def advance(self, offset: int, budget: int) -> bool:
        """As in `ContentReader`."""
        goal = min(offset, self._start + len(self._buffer) + budget)
        self.read(goal, 0)
        return goal == offset or self._stuck

    def end(self, near: int) -> int | None:
        """The length of the content, if it ends within so many bytes, or its last bytes are plausible; None = unknown, or not complete yet.

        The last four bytes are the length of the last member, modulo 2³² (RFC 1952, section 2.3.1).
        """
        self.read(near, 1)
        end = self._start + len(self._buffer)
        if self.finished():
            return end
        said = int.from_bytes(os.pread(self.fd, 4, max(0, os.fstat(self.fd).st_size - 4)), "little")
        return said if end > near and said > end else None

    def remembers(self, offset: int) -> bool:
        """Whether reading from there does not need to start over."""
        return offset >= self._start

    def finished(self) -> bool:
        """As in `ContentReader`."""
        return self._complete or bool(self.damage)

    def _rewind(self) -> None:
        self.damage = ""
        self.is_bomb = False
        self._buffer = bytearray()
        self._start = 0
        """Offset of the buffer in the content."""
        self._fed = 0
        """Offset in the file of what is read next."""
        self._input = b""
        self._member: IgzipDecompressor | None = None
        self._members = 0
        self._begun = (0, 0)
        """Offsets in the content and in the file where the member begins."""
        self._complete = self._stuck = False

    def _forget(self, before: int) -> None:
        if before > self._start:
            gone = min(before - self._start, len(self._buffer))
            del self._buffer[:gone]
            self._start += gone

    def _fill(self) -> bool:
        """Decompress one step; False when there is nothing more for now."""
        self._stuck = True
        if self.finished():
            return False
        try:
            return self._step()
        except IsalError as error:  # type: ignore[misc]  # its stubs take it for an instance
            self.damage = str(error)
            self._append(self._salvage())
            return False

    def _step(self) -> bool:
        member = self._member or self._next_member()
        if member is None:
            return False
        data = b""
        if member.needs_input:
            data = self._input or self._load()
            self._input = b""
            if not data:
                return False
        self._append(member.decompress(data, _STEP))
        if member.eof:
            self._input, self._member, self._members = member.unused_data, None, self._members + 1
        self._stuck = False
        return not self.damage

    def _next_member(self) -> IgzipDecompressor | None:
        """Begin the next member if one begins here; what follows a member without the magic number is padding (gzip's own rule)."""
        if len(self._input) < len(_MAGIC):
            self._input += self._load()
        if not self._input:
            self._complete = self._members > 0
        elif not _MAGIC.startswith(self._input[:2]):
            self._complete, self.damage = True, "" if self._members else "not a gzip file"
        elif len(self._input) >= len(_MAGIC):
            self._member = IgzipDecompressor(flag=DECOMP_GZIP)
            self._begun = self._start + len(self._buffer), self._fed - len(self._input)
        return self._member

    def _salvage(self) -> bytes:
        """The bytes that the failed step had decoded: the member is decoded once more, without the bytes of earlier steps."""
        begun, at = self._begun
        known = self._start + len(self._buffer) - begun
        if known > _SALVAGED:
            return b""
        decoded, found = 0, b""
        for data in intact(self.fd, at):
            decoded += len(data)
            found += data[max(0, known - decoded + len(data)) :]
        return found

    def _load(self) -> bytes:
        data = os.pread(self.fd, _STEP, self._fed)
        self._fed += len(data)
        return data

    def _append(self, data: bytes) -> None:
        self._buffer += data
        end = self._start + len(self._buffer)
        if end > self._limit or end > self._fed * self._ratio + (1 << 20):
            self.is_bomb, self.damage = True, f"inflates to more than {self._limit} bytes or {self._ratio} times its size"


def intact(fd: int, at: int) -> Iterator[bytes]:
    """All of a gzip member that can be decoded, from its beginning at an offset in the file.

    Byte by byte where it is damaged, for what is decoded together with the damage is lost: that is rarely done, so that it may be slow.
    """
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    while not member.eof and (data := os.pread(fd, _PIECE, at)):
        at += len(data)
        before = member.copy()
        try:
            yield member.decompress(data)
        except zlib.error:
            with suppress(zlib.error):
                for byte in data:
                    yield before.decompress(bytes((byte,)))
            return


def equal_so_far(copy: ContentReader, original: ContentReader, size: int | None) -> bool:
    """Whether one content is the beginning of the other, up to `size`: compared are the first 64 KiB and the last 4 KiB.

    An empty file beside a living one may become a copy: that counts as one. `size` is None if the copy is compressed.
    """
    mine = copy.read(0, COMPARED if size is None else min(size, COMPARED))
    if mine != original.read(0, len(mine)):
        return False
    if size is None or size <= COMPARED:
        return True
    start = size - _COMPARED_END
    return copy.read(start, _COMPARED_END) == original.read(start, _COMPARED_END)


def end_of(reader: ContentReader, size: int | None = None) -> int | None:
    """The length of a content, None if it is unknown; `size` is that of the file, if known."""
    if isinstance(reader, GzipReader):
        return reader.end(NEAR)
    return os.fstat(reader.fd).st_size if size is None else size


def is_one_content(reader: ContentReader, other: ContentReader) -> bool:
    """Whether one of two contents is the beginning of the other, so that they may be one."""
    end, whole = end_of(reader), end_of(other)
    return end is not None and whole is not None and equal_so_far(reader, other, min(end, whole))
